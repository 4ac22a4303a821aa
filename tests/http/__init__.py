"""
Tests of L{diarkis_tw.http}.
"""
