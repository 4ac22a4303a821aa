"""
One timer for the deadlines of many: a timer each would cost more than what they
wait for.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.units import MICROSECONDS_PER_SECOND, microseconds

STALE_MOST: Final = 64
"""Entries of the heap that nobody waits for, beside one for each item."""

T = TypeVar("T")


class Deadlines(Generic[T]):
    """
    Calls back for each item at its earliest deadline, in microseconds of the
    reactor's clock.

    @ivar armed: by item, when it will be called back for; to be read alone.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[T], None]) -> None:
        """
        @param due: called with an item whose deadline has come; it may set the
            next one, and must not raise.
        """
        self._clock = clock
        self._due = due
        self._heap: list[tuple[int, int, T]] = []
        self.armed: dict[T, int] = {}
        self._count = 0
        self._timer: IDelayedCall | None = None
        self._timer_at = 0

    def set(self, item: T, deadline: int) -> None:
        """
        Call back for C{item} at C{deadline}, if it is not to be called earlier
        anyway.
        """
        armed = self.armed.get(item)
        if armed is not None and armed <= deadline:
            return
        self.armed[item] = deadline
        self._count += 1
        heappush(self._heap, (deadline, self._count, item))
        if len(self._heap) > 2 * len(self.armed) + STALE_MOST:
            self._clear_out()
        if self._timer is None or deadline < self._timer_at:
            self._arm()

    def forget(self, item: T) -> None:
        """
        Do not call back for C{item} any more.
        """
        self.armed.pop(item, None)

    def stop(self) -> None:
        """
        Forget all.
        """
        self._heap.clear()
        self.armed.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _clear_out(self) -> None:
        """
        Drop what was set and then made earlier or forgotten: else an item kept
        for ten seconds and called back each 20 ms would fill the memory.
        """
        armed = self.armed
        self._heap = [entry for entry in self._heap if armed.get(entry[2]) == entry[0]]
        heapify(self._heap)

    def _arm(self) -> None:
        self._timer_at = self._heap[0][0]
        delay = max(0.0, self._timer_at / MICROSECONDS_PER_SECOND - self._clock.seconds())
        if self._timer is not None and self._timer.active():
            self._timer.reset(delay)
        else:
            self._timer = self._clock.callLater(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = microseconds(self._clock.seconds())
        heap = self._heap
        due: list[T] = []
        while heap and heap[0][0] <= now:
            deadline, _, item = heappop(heap)
            if self.armed.get(item) == deadline:
                del self.armed[item]
                due.append(item)
        for item in due:
            self._due(item)
        if self._heap and self._timer is None:
            self._arm()
