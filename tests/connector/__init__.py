"""
Tests of L{diarkis_tw.connector}.
"""
