"""
Tests of L{diarkis_tw.rudp.rtt}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.rtt import LEAST_LIFE, RoundTrip

RETRY = 1_000_000
ACK_DELAY = 20_000


class SampleTests(SynchronousTestCase):
    """
    RFC 9002, section 5.
    """

    def setUp(self) -> None:
        self.round_trip = RoundTrip(RETRY, ACK_DELAY)

    def test_first(self) -> None:
        """
        The first sample is the estimate, with half of it as deviation.
        """
        self.round_trip.sample(100_000, 5_000)
        self.assertEqual(
            (self.round_trip.smoothed, self.round_trip.variance, self.round_trip.least),
            (100_000, 50_000, 100_000),
        )

    def test_smoothing(self) -> None:
        """
        A later sample counts an eighth, its deviation a quarter.
        """
        self.round_trip.sample(100_000)
        self.round_trip.sample(180_000)
        self.assertEqual(self.round_trip.smoothed, 110_000)
        self.assertEqual(self.round_trip.variance, 57_500)
        self.assertEqual(self.round_trip.least, 100_000)
        self.assertEqual(self.round_trip.latest, 180_000)

    def test_ackDelay(self) -> None:
        """
        The delay that the peer admits is taken off, no more than it may be.
        """
        for told, smoothed in ((10_000, 103_750), (200_000, 102_500)):
            round_trip = RoundTrip(RETRY, ACK_DELAY)
            round_trip.sample(100_000)
            round_trip.sample(140_000, told)
            self.assertEqual(round_trip.smoothed, smoothed)

    def test_ackDelayBelowLeast(self) -> None:
        """
        A delay that would make the sample smaller than the least is not believed.
        """
        self.round_trip.sample(100_000)
        self.round_trip.sample(110_000, 15_000)
        self.assertEqual(self.round_trip.smoothed, 101_250)

    def measure(self, round_trip: int, seconds: int, *, is_filled: bool = False) -> None:
        """
        Take one sample a second.
        """
        for _ in range(seconds):
            self.now += 1_000_000
            self.round_trip.sample(round_trip, 0, self.now, is_filled)

    now = 0

    def test_longerPath(self) -> None:
        """
        A path that became longer is known as that after a while, and no more inflated.
        """
        self.measure(50_000, 30)
        self.measure(150_000, 9)
        self.assertEqual(self.round_trip.least, 50_000)
        self.assertTrue(self.round_trip.inflated())
        self.measure(150_000, 2 * LEAST_LIFE // 1_000_000)
        self.assertEqual(self.round_trip.least, 150_000)
        self.assertFalse(self.round_trip.inflated())
        self.measure(60_000, 1)
        self.assertEqual(self.round_trip.least, 60_000)

    def test_ownQueue(self) -> None:
        """
        A sender that fills the path does not take its queue for the path.
        """
        self.measure(50_000, 1)
        self.measure(150_000, 100, is_filled=True)
        self.assertEqual(self.round_trip.least, 50_000)

    def test_reset(self) -> None:
        """
        After a reset nothing is known.
        """
        self.round_trip.sample(100_000)
        self.round_trip.reset()
        self.assertEqual(self.round_trip.smoothed, 0)
        self.assertEqual(self.round_trip.timeout(0), RETRY)

    @given(st.lists(st.tuples(st.integers(-5, 20_000_000), st.integers(0, 255_000))))
    def test_anySamples(self, samples: list[tuple[int, int]]) -> None:
        """
        Whatever was measured, the estimates stay within the samples.
        """
        round_trip = RoundTrip(RETRY, ACK_DELAY)
        for sample, delay in samples:
            round_trip.sample(sample, delay)
        if samples:
            most = max(1, *(sample for sample, _ in samples))
            self.assertTrue(1 <= round_trip.least <= round_trip.smoothed <= most)
            self.assertTrue(0 <= round_trip.variance <= most)


class TimeoutTests(SynchronousTestCase):
    """
    L{RoundTrip.timeout} and L{RoundTrip.loss_delay}.
    """

    def setUp(self) -> None:
        self.round_trip = RoundTrip(RETRY, ACK_DELAY)

    def test_noSample(self) -> None:
        """
        Before any sample it is retryInterval, however often it expired.
        """
        self.assertEqual([self.round_trip.timeout(n) for n in (0, 1, 9)], [RETRY] * 3)

    def test_steady(self) -> None:
        """
        It is the smoothed round trip, 4 deviations or 2 ms, and the ack delay.
        """
        self.round_trip.sample(100_000)
        self.assertEqual(self.round_trip.timeout(0), 100_000 + 200_000 + ACK_DELAY)
        for _ in range(100):
            self.round_trip.sample(100_000)
        self.assertEqual(self.round_trip.timeout(0), 100_000 + 2_000 + ACK_DELAY)

    def test_least(self) -> None:
        """
        It is never below 30 ms.
        """
        for _ in range(50):
            self.round_trip.sample(100)
        self.assertEqual(self.round_trip.timeout(0), 30_000)

    def test_backOff(self) -> None:
        """
        Each expiry makes it half as long again, up to retryInterval.
        """
        for _ in range(50):
            self.round_trip.sample(100)
        self.assertEqual(
            [self.round_trip.timeout(n) for n in (1, 2, 3, 8, 9, 10**9)],
            [45_000, 67_500, 101_250, 768_867, RETRY, RETRY],
        )

    def test_longRoundTrip(self) -> None:
        """
        Where the round trip is longer than retryInterval, 1.25 of it is the most.
        """
        self.round_trip.sample(2_000_000)
        self.assertEqual([self.round_trip.timeout(n) for n in (0, 1, 5)], [2_500_000] * 3)

    def test_lossDelay(self) -> None:
        """
        A packet counts as lost after 9/8 of the longer of smoothed and last round trip.
        """
        self.assertEqual(self.round_trip.loss_delay(), RETRY)
        self.round_trip.sample(80_000)
        self.round_trip.sample(160_000)
        self.assertEqual(self.round_trip.loss_delay(), 180_000)
        self.round_trip.sample(8_000)
        self.assertEqual(self.round_trip.loss_delay(), self.round_trip.smoothed * 9 // 8)

    def test_lossDelayLeast(self) -> None:
        """
        On a loopback it is a millisecond, not the jitter of a scheduler.
        """
        for _ in range(50):
            self.round_trip.sample(50)
        self.assertEqual(self.round_trip.loss_delay(), 1_000)

    def test_inflated(self) -> None:
        """
        The round trip is inflated above 1.25 of the least plus 10 ms.
        """
        self.round_trip.sample(100_000)
        self.round_trip.smoothed = 135_000
        self.assertFalse(self.round_trip.inflated())
        self.round_trip.smoothed = 135_001
        self.assertTrue(self.round_trip.inflated())
