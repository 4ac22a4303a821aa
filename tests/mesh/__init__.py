"""
Tests of L{diarkis_tw.mesh}.
"""
