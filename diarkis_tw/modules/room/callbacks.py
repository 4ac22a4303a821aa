"""
Calling the application from a room.

Rules:

  - A callback that raises, or an asynchronous one that never finishes, harms
    nothing but what it was called for.
  - An asynchronous on_tick is not called again for a room before it is done with it.
  - A synchronous one that takes over C{SLOW} is logged once with file and line:
    it holds up every user of the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.background import FAULTS, as_deferred, background, call_safely
from diarkis_tw.core.callables import describe_callable
from diarkis_tw.errors import CommandError
from diarkis_tw.units import Seconds

if TYPE_CHECKING:
    from diarkis_tw.modules.room.room import Room

SLOW: Final[Seconds] = 0.1
"""Beyond this a player of a fast game sees the node stall."""


class RoomCallbacks:
    """
    Calls callbacks and looks at how long they take.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slow: set[int] = set()

    def timed(self, callback: Callable[..., object], *args: object) -> object:
        """
        Call C{callback}; its failure is the caller's.
        """
        started = self._clock.seconds()
        try:
            return callback(*args)
        finally:
            taken = self._clock.seconds() - started
            # By identity: what is registered stays, and need not be hashable.
            if taken > SLOW and id(callback) not in self._slow:
                self._slow.add(id(callback))
                self.log.warn(
                    "{callback} took {ms:.0f} ms and held up the whole node for as long: "
                    "wait with a Deferred or a coroutine, compute in a thread",
                    callback=describe_callable(callback),
                    ms=taken * 1000,
                )

    async def ask(
        self, code: ErrorCode, patience: Seconds, condition: Callable[..., object], *args: object
    ) -> object:
        """
        Call a condition.

        @param patience: how long it may take if it is asynchronous.
        @return: what it says.
        @raise CommandError: with C{code}, it says nothing for too long.
        """
        answer = self.timed(condition, *args)
        work = as_deferred(answer)
        if work is None:
            return answer
        try:
            return await work.addTimeout(patience, self._clock)
        except TimeoutError:
            raise CommandError(code, "the room did not decide in time; try again") from None

    def tell(self, event: str, callbacks: list[Callable[..., object]], *args: object) -> None:
        """
        Call all callbacks of an event; failures are logged.
        """
        for callback in callbacks:
            call_safely(f"an {event} callback of rooms", self.timed, callback, *args)

    def tick(self, callbacks: list[Callable[..., object]], room: Room) -> None:
        """
        Call all callbacks of a tick but those that are still at the last one of this
        room: one that never ends shall not be begun for ever.
        """
        for callback in callbacks:
            if callback in room.ticking:
                continue
            try:
                work = as_deferred(self.timed(callback, room))
            except FAULTS:
                self.log.failure("an on_tick callback of rooms failed")
                continue
            if work is not None and not work.called:
                room.ticking = (*room.ticking, callback)
                work.addBoth(self._ticked, callback, room)
            if work is not None:
                background("an on_tick callback of rooms", work)

    def _ticked(self, result: object, callback: Callable[..., object], room: Room) -> object:
        room.ticking = tuple(other for other in room.ticking if other is not callback)
        return result
