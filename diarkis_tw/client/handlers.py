"""
Handlers of the application: functions, coroutines or whatever returns a Deferred.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, ParamSpec, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

P = ParamSpec("P")

Handler: TypeAlias = Callable[P, object]
"""What it returns is waited for if it can be, and otherwise ignored."""


class Handlers(Generic[P]):
    """
    The handlers of one event, called in order of registration. A failure is logged
    and keeps nobody else from being called.
    """

    log = Logger()

    def __init__(self, event: str) -> None:
        """
        @param event: its name, for the log.
        """
        self._event = event
        self._handlers: list[Handler[P]] = []

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: Handler[P]) -> None:
        """
        Register one more.

        @param handler: sync, async, or returning a Deferred.
        """
        self._handlers.append(handler)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """
        The event happened.
        """
        for handler in tuple(self._handlers):
            try:
                result = handler(*args, **kwargs)
            except Exception:
                self.log.failure("{event} handler failed", event=self._event)
                continue
            if isinstance(result, Deferred):
                result.addErrback(self._failed)
            elif isinstance(result, Awaitable):
                Deferred.fromCoroutine(_wait(result)).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("{event} handler failed", failure, event=self._event)


async def _wait(awaitable: Awaitable[object]) -> object:
    return await awaitable
