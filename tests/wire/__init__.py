"""
Tests of L{diarkis_tw.wire}.
"""
