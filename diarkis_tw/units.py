"""
Units of time. Inside, time is in seconds; milliseconds exist only as JSON keys
and on the wire.
"""

from typing import Final, TypeAlias

Seconds: TypeAlias = float

MILLISECONDS_PER_SECOND: Final = 1000


MICROSECONDS_PER_SECOND: Final = 1_000_000


def seconds(milliseconds: int) -> Seconds:
    """
    Convert a JSON or wire value in milliseconds.
    """
    return milliseconds / MILLISECONDS_PER_SECOND


def milliseconds(value: Seconds) -> int:
    """
    Convert to whole milliseconds, rounded to the nearest.
    """
    return round(value * MILLISECONDS_PER_SECOND)


def microseconds(value: Seconds) -> int:
    """
    Convert to whole microseconds, rounded to the nearest: what is computed from
    it compares exactly, which sums of floats do not.
    """
    return int(value * MICROSECONDS_PER_SECOND + 0.5)
