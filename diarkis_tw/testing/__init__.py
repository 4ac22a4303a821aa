"""
Helpers for tests of games and of this package: real code on in-memory links.
"""
