"""
Tests. They mirror the package; C{tests/vectors} holds golden files.

Property tests are the same in each run, and a slow machine does not fail them.
"""

from hypothesis import settings

settings.register_profile("diarkis_tw", derandomize=True, deadline=None, max_examples=120)
settings.load_profile("diarkis_tw")
