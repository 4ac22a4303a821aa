"""
Makes pytest run the tests as trial does: in a directory of their own. Only the
benchmarks come last: trial, which may run beside it, has them first, and each wants a
core for itself.
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Put the benchmarks at the end; all else stays in order.
    """
    items.sort(key=lambda item: item.nodeid.startswith("tests/bench/"))
