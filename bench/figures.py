"""
Figures of repeated measurements.
"""

import os
import platform
from collections.abc import Sequence
from statistics import median

import cryptography
import twisted


def percentile(ordered: Sequence[float], percent: float) -> float:
    """
    Pick the value that C{percent} of the values do not exceed.

    @param ordered: sorted, not empty.
    """
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """
    Write the median, then least and greatest.
    """
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def machine() -> str:
    """
    Describe what the figures depend on.
    """
    return (
        f"{os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}, Twisted {twisted.__version__}, "
        f"cryptography {cryptography.__version__}"
    )


def row(*cells: str) -> str:
    """
    Write a row of a table in Markdown.
    """
    return f"| {' | '.join(cells)} |"
