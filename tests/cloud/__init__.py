"""
Tests of L{diarkis_tw.cloud}.
"""
