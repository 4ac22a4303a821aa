"""
Tests of L{diarkis_tw.core}.
"""
