"""
Tests of diarkis_tw.testing.
"""
