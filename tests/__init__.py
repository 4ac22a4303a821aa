"""
Tests. They mirror the package; C{tests/vectors} holds golden files.

Property tests are the same in each run, and a slow machine does not fail them.

The profile C{again} is for the second of two runners, see the Makefile: the examples
are the same ones each time, so the first runner has tried them all already.
"""

from hypothesis import settings

settings.register_profile("diarkis_tw", derandomize=True, deadline=None, max_examples=120)
settings.register_profile("again", settings.get_profile("diarkis_tw"), max_examples=20)
settings.load_profile("diarkis_tw")
