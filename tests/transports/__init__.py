"""
Tests of L{diarkis_tw.transports}.
"""
