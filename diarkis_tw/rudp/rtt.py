"""
Round-trip time and the retransmission time-out. RFC 9002, section 5.

The least round trip is the path's own, without the queue that this sender makes.
It ages: a path may become longer for good. But only while the sender is not what
fills the path, or a long transfer would take its own queue for the path.

All times are integers of microseconds.
"""

from typing import Final

RTO_MIN: Final = 30_000
VARIANCE_MIN: Final = 2_000
LOSS_DELAY_MIN: Final = 1_000

LEAST_LIFE: Final = 10_000_000
"""After so long without a smaller sample the least of that time counts."""

EXPIRIES_MOST: Final = 24
"""Back-offs that count: 1.5 to this power takes any time-out above its ceiling."""


class RoundTrip:
    """
    Estimates the round trip of one path.

    @ivar smoothed: smoothed round trip, 0 before the first sample.
    @ivar variance: its mean deviation.
    @ivar least: the smallest sample, see above.
    @ivar latest: the last sample.
    """

    __slots__ = (
        "_ack_delay",
        "_recent",
        "_recent_since",
        "_retry_interval",
        "latest",
        "least",
        "smoothed",
        "variance",
    )

    def __init__(self, retry_interval: int, ack_delay: int) -> None:
        """
        @param retry_interval: the time-out before any sample, and the ceiling of every back-off.
        @param ack_delay: the greatest delay of an ack at the peer.
        """
        self._retry_interval = retry_interval
        self._ack_delay = ack_delay
        self.reset()

    def reset(self) -> None:
        """
        Forget everything: the path is another.
        """
        self.smoothed = 0
        self.variance = 0
        self.least = 0
        self.latest = 0
        # The smallest sample since then, 0 = none.
        self._recent = 0
        self._recent_since = 0

    def sample(
        self, round_trip: int, ack_delay: int = 0, now: int = 0, is_filled: bool = True
    ) -> None:
        """
        Take one measurement.

        @param ack_delay: how long the peer says it held the ack.
        @param now: when the acknowledgement came.
        @param is_filled: the sender sends as much as it may, so that this may
            measure its own queue.
        """
        if round_trip < 1:
            round_trip = 1
        self.latest = round_trip
        smoothed = self.smoothed
        if not smoothed:
            self.least = self.smoothed = round_trip
            self.variance = round_trip // 2
            return
        if is_filled:
            self._recent = 0
        elif not self._recent:
            self._recent = round_trip
            self._recent_since = now
        else:
            if round_trip < self._recent:
                self._recent = round_trip
            if now - self._recent_since >= LEAST_LIFE:
                self.least = self._recent
                self._recent = 0
        if round_trip < self.least:
            self.least = round_trip
        delay = ack_delay if ack_delay < self._ack_delay else self._ack_delay
        if delay and round_trip >= self.least + delay:
            round_trip -= delay
        difference = round_trip - smoothed
        self.smoothed = smoothed + difference // 8
        self.variance += (abs(difference) - self.variance) // 4

    def timeout(self, expiries: int) -> int:
        """
        The retransmission time-out.

        @param expiries: how often it has expired without progress.
        """
        smoothed = self.smoothed
        if not smoothed:
            return self._retry_interval
        spread = 4 * self.variance
        base = smoothed + (spread if spread > VARIANCE_MIN else VARIANCE_MIN) + self._ack_delay
        if base < RTO_MIN:
            base = RTO_MIN
        if expiries:
            expiries = min(expiries, EXPIRIES_MOST)
            base = base * 3**expiries >> expiries
        if base <= self._retry_interval:
            return base
        return min(base, max(self._retry_interval, smoothed * 5 // 4))

    def loss_delay(self) -> int:
        """
        The age at which a packet older than an acknowledged one is lost.
        RFC 9002, section 6.1.2.
        """
        if not self.smoothed:
            return self._retry_interval
        return max(max(self.smoothed, self.latest) * 9 // 8, LOSS_DELAY_MIN)

    def inflated(self) -> bool:
        """
        Whether packets wait in a queue of the network.
        """
        return self.smoothed > self.least * 5 // 4 + 10_000
