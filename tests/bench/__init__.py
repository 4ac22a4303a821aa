"""
Tests of L{bench}: it still runs and notices wrong answers.
"""
