"""
Makes pytest run the tests as trial does: in a directory of their own.
"""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    C{mktemp()} of trial's test cases makes names below the current directory, which must not be
    the checkout.
    """
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("tests"))
    yield
    os.chdir(before)
