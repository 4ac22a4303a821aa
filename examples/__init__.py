"""
Small applications, each run by a test.
"""
