"""
Time that nobody sets.

Twisted's reactors count by the system's clock (C{time.time}; Twisted 26.10,
twisted/internet/base.py). Set forward by a minute, it would time out every user at
once; set back, it would leave everything waiting for as long.
"""

import time
from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.interfaces import IReactorTime


class _Counting(Protocol):
    seconds: Callable[[], float]


def count_steadily(reactor: IReactorTime) -> None:
    """
    Let a reactor count from the start of the machine. What it schedules, and whoever
    asks it for the time, goes by C{reactor.seconds}, and Twisted's own tests replace
    that, too.

    Nothing is done if something is scheduled already: by the other count that would
    be decades ahead. Modules of an application should schedule nothing when they are
    imported.
    """
    if not reactor.getDelayedCalls():
        cast(_Counting, reactor).seconds = time.monotonic
