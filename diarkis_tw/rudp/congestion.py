"""
How much may be in flight, and how fast it may leave.

Rules:

  - Slow start, then additive increase; both only while the window is what
    limits the sender and the round trip is not inflated.
  - Loss lowers the window once per round trip, and only if the round trip is
    inflated or much is lost: isolated loss on a radio link is no congestion.
  - Never below 128 KiB/s times the round trip: a game's trickle never waits.
  - A burst of up to C{BURST} packets leaves at once; beyond it packets are
    spread at 1.25 windows a round trip.

Windows as in RFC 9002, section 7, but for when they shrink.
"""

from typing import Final

from diarkis_tw.rudp.rtt import RoundTrip

WINDOW_FIRST: Final = 32
WINDOW_LEAST: Final = 8
WINDOW_MOST: Final = 256
"""In packets of the MTU."""

FLOOR_RATE: Final = 128 * 1024
"""Bytes per second that are always allowed."""

HEAVY_LOSS: Final = 0.25
"""Smoothed loss that counts as congestion whatever the round trip."""

BURST: Final = 16

LOSS_MEMORY: Final = 256
"""Packets over which loss is smoothed."""

LOSS_PRIOR: Final = 32
"""Packets without loss that a new path is credited with."""


class Congestion:
    """
    The congestion window of one path, in bytes, and its pacer.

    @ivar window: bytes that may be in flight.
    @ivar loss: smoothed share of packets lost, 0..1.
    @ivar limited: the window, not the application, held the last flush back.
    """

    __slots__ = (
        "_budget",
        "_mtu",
        "_paced_at",
        "_recovery_since",
        "_round_trip",
        "_samples",
        "_threshold",
        "limited",
        "loss",
        "window",
    )

    def __init__(self, mtu: int, round_trip: RoundTrip) -> None:
        self._mtu = mtu
        self._round_trip = round_trip
        self.loss = 0.0
        self._samples = LOSS_PRIOR
        self.reset()

    def reset(self) -> None:
        """
        Begin anew on another path.
        """
        self.window = WINDOW_FIRST * self._mtu
        self.limited = False
        self._threshold = WINDOW_MOST * self._mtu
        self._recovery_since = -1
        self._budget = BURST * self._mtu
        self._paced_at = 0

    def acked(self, size: int) -> None:
        """
        A packet of C{size} bytes arrived.
        """
        if self._samples < LOSS_MEMORY:
            self._samples += 1
        if self.loss:
            self.loss -= self.loss / self._samples
        if not self.limited:
            return
        if self._round_trip.inflated():
            self._threshold = min(self._threshold, self.window)
            self.window = max(self.window, self._floor())
            return
        grow = size if self.window < self._threshold else self._mtu * size // self.window
        self.window = min(max(self.window + grow, self._floor()), WINDOW_MOST * self._mtu)

    def lost(self, sent_at: int, now: int) -> None:
        """
        A packet is lost.

        @param sent_at: when it was sent.
        """
        if self._samples < LOSS_MEMORY:
            self._samples += 1
        self.loss += (1.0 - self.loss) / self._samples
        if sent_at <= self._recovery_since:
            return
        if self._round_trip.inflated() or self.loss > HEAVY_LOSS:
            self._recovery_since = now
            self.window = max(self.window * 7 // 10, self._floor())
            self._threshold = self.window

    def _floor(self) -> int:
        floor = max(WINDOW_LEAST * self._mtu, FLOOR_RATE * self._round_trip.smoothed // 1_000_000)
        return min(floor, WINDOW_MOST * self._mtu)

    def allowed_at(self, now: int) -> int:
        """
        When the pacer lets the next packet out.

        @return: C{now} or earlier if at once.
        """
        round_trip = self._round_trip.smoothed
        if not round_trip:
            return now
        earned = (now - self._paced_at) * self.window * 5 // (4 * round_trip)
        if earned > 0:
            budget = self._budget + earned
            most = BURST * self._mtu
            self._budget = budget if budget < most else most
            self._paced_at = now
        elif earned < 0:
            # The system's clock was set back: nothing would be earned until it is there again.
            self._paced_at = now
        if self._budget > 0:
            return now
        # rounded up: at that instant it must be earned
        return now - ((self._budget - 1) * 4 * round_trip // (self.window * 5))

    def sent(self, size: int) -> None:
        """
        A packet of C{size} bytes left.
        """
        self._budget -= size
