"""
One time for all nodes, which no two events of one node share.

Rules (L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed
System", 1978, physical clocks):

  - It rises with each reading.
  - Every frame says when it was sent; who hears of a later time than its own goes
    on from there. So what a node does after it has heard of something is later
    than that, whatever the clocks of the machines say.
  - Where nodes do not hear each other, it goes on as fast as real time: of two
    things that happened then, the one that was later by more than what the clocks
    drift apart meanwhile is later.
  - It begins as the machine's time of day, which matters for nodes that have never
    heard each other, and for no others.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.units import Seconds

TIME_MAX: Final = 2**62
"""Latest time that is believed, in microseconds: half of what a frame can say."""


class MeshTime:
    """
    This node's reading of it.
    """

    def __init__(self, clock: IReactorTime, now: Seconds) -> None:
        """
        @param clock: how fast it goes.
        @param now: Unix time, so that nodes that have never heard each other begin with
            about the same.
        """
        self._clock = clock
        self._ahead = int(now * 1_000_000) - self._real()
        self._last = 0

    def now(self) -> int:
        """
        Read it, in microseconds: later than before, and than all that was heard.
        """
        self._last = max(self._real() + self._ahead, self._last + 1)
        return self._last

    def heard(self, time: int) -> None:
        """
        Some node said that it is this late.
        """
        if time > self._last:
            self._last = time
            self._ahead = max(self._ahead, time - self._real())

    def _real(self) -> int:
        return int(self._clock.seconds() * 1_000_000)
