"""
Tests of L{diarkis_tw.modules}.
"""
