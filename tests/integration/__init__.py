"""
Tests of whole processes: real sockets, real reactors, real signals.
"""
