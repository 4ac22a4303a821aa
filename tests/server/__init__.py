"""
Tests of L{diarkis_tw.server}.
"""
