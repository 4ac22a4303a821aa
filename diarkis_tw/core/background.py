"""
Work that nobody waits for, done so that its failure is never lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

FAULTS: Final = (Exception, SystemExit, asyncio.CancelledError)
"""
What a callback of the application may raise and be stopped here. SystemExit comes of
C{sys.exit} and argparse; were it to reach the reactor, Twisted would not end the process
but close the socket that is being read, over UDP that of all players.
"""


def as_deferred(result: object) -> Deferred[object] | None:
    """
    The Deferred behind what a callback returned, or L{None} for a plain value.
    """
    if isinstance(result, Deferred):
        return result
    if isinstance(result, Awaitable):
        return Deferred.fromCoroutine(_await(result))
    return None


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


def background(description: str, awaitable: Awaitable[object]) -> Deferred[object]:
    """
    Let C{awaitable} run by itself and log its failure under C{description}.

    @return: fires with L{None} once it has ended, however it ended;
        cancellable.
    """

    def failed(failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("{description} failed", failure, description=description)

    return cast("Deferred[object]", as_deferred(awaitable)).addErrback(failed)


def call_safely(description: str, function: Callable[..., object], *args: object) -> object:
    """
    Call one callback of the application: a failure is logged and goes no
    further, so that the next callback still runs. Coroutines and Deferreds go
    on in the background.

    @return: what the callback returned; L{None} for failures and background
        work.
    """
    try:
        result = function(*args)
    except FAULTS:
        _log.failure("{description} failed", description=description)
        return None
    work = as_deferred(result)
    if work is None:
        return result
    background(description, work)
    return None
