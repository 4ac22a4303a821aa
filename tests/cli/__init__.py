"""
Tests of L{diarkis_tw.cli}.
"""
