"""
Tests of diarkis_tw.client.
"""
