"""
Tests of L{diarkis_tw.config}.
"""
