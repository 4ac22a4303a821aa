"""
Tests of L{diarkis_tw.net}.
"""
