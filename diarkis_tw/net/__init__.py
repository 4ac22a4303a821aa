"""
Listening: interface addresses and the upward port search.
"""
