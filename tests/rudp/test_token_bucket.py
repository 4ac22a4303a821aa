"""
Tests of L{diarkis_tw.rudp.token_bucket}.
"""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.token_bucket import SourceBuckets, TokenBucket

SECOND = 1_000_000

pauses = st.lists(st.integers(0, 300_000), max_size=60)


class CountingBucket:
    """
    A bucket as the books draw it: tokens, refilled by the time that passed.
    """

    def __init__(self, interval: int, burst: int) -> None:
        self.interval, self.burst = interval, burst
        self.tokens = Fraction(burst)
        self.at = 0

    def take(self, now: int) -> bool:
        """
        Refill, and take a token if there is one.
        """
        earned = Fraction(now - self.at, self.interval)
        self.tokens = min(self.tokens + earned, Fraction(self.burst))
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class TokenBucketTests(SynchronousTestCase):
    """
    L{TokenBucket}.
    """

    @given(st.integers(1, 200_000), st.integers(1, 6), pauses)
    def test_differsFromCounting(self, interval: int, burst: int, pauses: list[int]) -> None:
        """
        It gives a token exactly when one that counts tokens does.
        """
        bucket, counting = TokenBucket(interval, burst), CountingBucket(interval, burst)
        now = 0
        for pause in pauses:
            now += pause
            self.assertEqual(bucket.take(now), counting.take(now), now)

    def test_burstOffByOne(self) -> None:
        """
        A full bucket gives its burst and no more; the next token comes an interval
        later and not a microsecond before.
        """
        for start in (0, 1, 12_345_678):
            bucket = TokenBucket(100, 3)
            self.assertEqual([bucket.take(start) for _ in range(4)], [True] * 3 + [False])
            self.assertFalse(bucket.take(start + 99))
            self.assertTrue(bucket.take(start + 100))
            self.assertFalse(bucket.take(start + 100))

    def test_refusalsCost(self) -> None:
        """
        Asking in vain takes nothing.
        """
        bucket = TokenBucket(100, 1)
        self.assertTrue(bucket.take(0))
        self.assertFalse(any(bucket.take(now) for now in range(100)))
        self.assertTrue(bucket.take(100))


class SourceBucketsTests(SynchronousTestCase):
    """
    L{SourceBuckets}.
    """

    @given(
        st.integers(1, 12),
        st.integers(1, 12),
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 400_000)), max_size=120),
    )
    def test_differsFromCounting(
        self, per_source: int, per_node: int, attempts: list[tuple[int, int]]
    ) -> None:
        """
        It allows what unbounded tables of counting buckets allow.
        """

        def bucket(rate: int) -> CountingBucket:
            return CountingBucket(-(-SECOND // rate), rate)

        buckets = SourceBuckets(per_source, per_node)
        node = bucket(per_node)
        sources = {source: bucket(per_source) for source in range(5)}
        now = 0
        for source, pause in attempts:
            now += pause
            counting = sources[source]
            expected = counting.take(now)
            if expected and not node.take(now):
                counting.tokens += 1
                expected = False
            self.assertEqual(buckets.take(source, now), expected, (source, now))

    def test_limitsOfReset(self) -> None:
        """
        10 a second for one source, another source not touched by it, and 1000 for
        all of them.
        """
        buckets = SourceBuckets(10, 1000)
        self.assertEqual(sum(buckets.take("192.0.2.1", SECOND) for _ in range(50)), 10)
        self.assertEqual(sum(buckets.take("192.0.2.2", SECOND) for _ in range(50)), 10)
        self.assertEqual(sum(buckets.take(source, SECOND) for source in range(2000)), 980)
        self.assertEqual(sum(buckets.take(source, 2 * SECOND) for source in range(2000)), 1000)

    def test_rateExceeded(self) -> None:
        """
        Over a minute of asking each millisecond, a source gets its rate and its
        first burst, whether or not the rate divides a second.
        """
        for rate in (1, 3, 7, 10):
            buckets = SourceBuckets(rate, 1000)
            taken = sum(buckets.take("192.0.2.1", now) for now in range(0, 60 * SECOND, 1000))
            self.assertLessEqual(taken, 61 * rate)
            self.assertGreaterEqual(taken, 61 * rate - 2)

    def test_intervalRoundedDown(self) -> None:
        """
        Of 3 a second the next one comes when a third of the second is over, and not
        in the microsecond before.
        """
        buckets = SourceBuckets(3, 1000)
        self.assertEqual([buckets.take("source", 0) for _ in range(4)], [True] * 3 + [False])
        self.assertFalse(buckets.take("source", 333_333))
        self.assertTrue(buckets.take("source", 333_334))

    def test_tableGrows(self) -> None:
        """
        Whatever addresses an attacker invents, no more than four times the node's
        rate are kept, and those in use are not pushed out by them.
        """
        buckets = SourceBuckets(2, 50)
        now = SECOND
        largest = known = 0
        for number in range(60_000):
            now += 200
            buckets.take(number, now)
            known += buckets.take("known", now)
            largest = max(largest, len(buckets))
        self.assertLessEqual(largest, 4 * 50)
        self.assertGreater(largest, 50)
        self.assertLessEqual(known, 2 * 12 + 2)

    def test_pauseKeepsBuckets(self) -> None:
        """
        After a pause in which every bucket filled up, none of them is kept.
        """
        for pause in (2 * SECOND, 100 * SECOND):
            buckets = SourceBuckets(10, 1000)
            for source in range(500):
                buckets.take(source, SECOND)
            buckets.take("later", SECOND + pause)
            self.assertEqual(len(buckets), 1)
