"""
Tests of what a hostile client or network can do.
"""
