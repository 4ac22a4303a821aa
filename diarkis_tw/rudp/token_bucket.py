"""
Token buckets: how often something may happen.

Rules:

  - A bucket is one number: when it will be full again. To take a token moves that
    by the time in which one token comes back; none is left if it would then lie
    further away than a full bucket's worth (the virtual scheduling form of ITU-T
    I.371, A.1). All of it is in integers of microseconds, so nothing is lost to
    rounding.
  - A bucket that is full needs no memory. L{SourceBuckets} keeps those that gave
    a token in the last two to three seconds. The node's own bucket allows at
    most four times its rate of them, however many addresses an attacker invents.
"""

from collections.abc import Hashable
from typing import Final

SECOND: Final = 1_000_000
"""In microseconds."""


class TokenBucket:
    """
    One bucket, full at first.
    """

    __slots__ = ("_depth", "_full_at", "_interval")

    def __init__(self, interval: int, burst: int) -> None:
        """
        @param interval: microseconds in which one token comes back, at least 1.
        @param burst: tokens it holds, at least 1.
        """
        self._interval = interval
        self._depth = interval * burst
        self._full_at = 0

    def take(self, now: int) -> bool:
        """
        Take a token if there is one.

        @param now: microseconds of a monotonic clock, 0 and up.
        @return: whether there was one.
        """
        full_at = self._full_at
        full_at = (full_at if full_at > now else now) + self._interval
        if full_at - now > self._depth:
            return False
        self._full_at = full_at
        return True


class SourceBuckets:
    """
    One bucket for each source and one for the node; each holds what it gets in a
    second, and what is allowed takes a token of both.
    """

    __slots__ = ("_depth", "_interval", "_node", "_older", "_recent", "_rotate_at")

    def __init__(self, per_source: int, per_node: int) -> None:
        """
        @param per_source: tokens a second of one source, 1 to 1,000,000.
        @param per_node: tokens a second of all sources, 1 to 1,000,000.
        """
        # Rounded up, so that a rate that does not divide a second is not exceeded.
        self._interval = -(-SECOND // per_source)
        self._depth = self._interval * per_source
        self._node = TokenBucket(-(-SECOND // per_node), per_node)
        self._recent: dict[Hashable, int] = {}
        self._older: dict[Hashable, int] = {}
        self._rotate_at = 0

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def take(self, source: Hashable, now: int) -> bool:
        """
        Take a token of a source and of the node if both have one.

        @param source: an IP address. (With the port it would give an attacker
            65535 buckets.)
        @param now: microseconds of a monotonic clock, 0 and up.
        @return: whether both had one; if not, none was taken.
        """
        if now >= self._rotate_at:
            # A bucket that was not used for the time in which it fills up is full.
            late = now >= self._rotate_at + self._depth
            self._older = {} if late else self._recent
            self._recent = {}
            self._rotate_at = now + self._depth
        full_at = self._recent.get(source) or self._older.get(source, 0)
        full_at = (full_at if full_at > now else now) + self._interval
        if full_at - now > self._depth or not self._node.take(now):
            return False
        self._recent[source] = full_at
        return True
