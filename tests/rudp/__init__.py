"""
Tests of L{diarkis_tw.rudp}.
"""
