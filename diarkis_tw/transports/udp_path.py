"""
Following a client whose address changes. RFC 9000, section 9, cut down.

Rules:

  - An authentic packet with a new largest number from another address makes that
    address the candidate. Each authentic packet from there is answered with a
    challenge, smaller than any packet of a client, and nothing else is sent
    there. The challenge stays the same for as long as the candidate does, or a
    client that sends more often than its answers take to come could never move.
  - The answer moves the connection there: one move a second and ten a minute at
    most. A new port keeps what was measured of the path, a new IP does not.
  - No answer in three time-outs, or a newer packet from the old address: the
    candidate is forgotten. Of the new path nothing is known, so these are never
    shorter than those before any measurement (RFC 9000, 8.2.4).

All times are integers of microseconds.
"""

from collections.abc import Sequence
from typing import Final

MOVE_INTERVAL: Final = 1_000_000
MOVES_PER_MINUTE: Final = 10
MINUTE: Final = 60_000_000
TIMEOUTS: Final = 3

Address = tuple[str, int]


class Path:
    """
    Where a connection's client is.

    @ivar address: where everything is sent.
    @ivar candidate: where it may have moved; L{None} if nowhere.
    @ivar challenge: what the candidate must answer; empty until it is chosen.
    """

    __slots__ = (
        "_candidate_until",
        "_moves",
        "address",
        "candidate",
        "challenge",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.candidate: Address | None = None
        self.challenge = b""
        self._candidate_until = 0
        self._moves: Sequence[int] = ()

    def heard(self, address: Address, is_newest: bool, now: int, patience: int) -> bool:
        """
        An authentic packet came.

        @param is_newest: it has the largest number so far.
        @param patience: how long a new candidate may take to answer.
        @return: whether C{candidate} is to be challenged now.
        """
        if now >= self._candidate_until:
            self.candidate = None
        if address == self.address:
            if is_newest:
                self.candidate = None
            return False
        if address != self.candidate:
            if not is_newest or not self._may_move(now):
                return False
            self.candidate = address
            self.challenge = b""
            self._candidate_until = now + patience
        return True

    def answered(self, data: bytes, address: Address, now: int) -> bool | None:
        """
        A PATH_RESPONSE came.

        @return: L{None} if it proves nothing; else the connection has moved, and
            this is whether its IP address is another.
        """
        if address != self.candidate or data != self.challenge or now >= self._candidate_until:
            return None
        other_host = address[0] != self.address[0]
        self.address = address
        self.candidate = None
        self._moves = (*self._moves, now)
        return other_host

    def _may_move(self, now: int) -> bool:
        self._moves = tuple(time for time in self._moves if now - time < MINUTE)
        if len(self._moves) >= MOVES_PER_MINUTE:
            return False
        return not self._moves or now - self._moves[-1] >= MOVE_INTERVAL
