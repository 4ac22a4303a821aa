"""
The side door for an external dedicated server, which players talk to directly.
"""
