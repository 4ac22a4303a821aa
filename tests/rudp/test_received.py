"""
Tests of L{diarkis_tw.rudp.received}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.received import REPLAY_WINDOW, ReceivedPackets
from diarkis_tw.wire.frame import parse_frames

ACK_DELAY = 20_000
START = 1_000_000


def acked(received: ReceivedPackets, now: int = START) -> set[int]:
    """
    The full numbers that the next ACK speaks of.
    """
    [(_, low, _, bitmap)], _ = parse_frames(received.ack_frame(now))
    largest = received.largest
    assert low == largest & 0xFFFF
    bits = int.from_bytes(bitmap, "little")
    before = {largest - 1 - back for back in range(bits.bit_length()) if bits >> back & 1}
    return {largest} | before


class ReplayTests(SynchronousTestCase):
    """
    L{ReceivedPackets.is_new}.
    """

    @given(st.lists(st.integers(0, 3000), max_size=60))
    def test_anyOrder(self, numbers: list[int]) -> None:
        """
        A number is new once, and never when it is 1024 or more behind the largest.
        """
        received = ReceivedPackets(ACK_DELAY)
        seen: set[int] = set()
        for number in numbers:
            largest = max(seen, default=-1)
            expected = number not in seen and largest - number < REPLAY_WINDOW
            self.assertEqual(received.is_new(number), expected, (number, largest))
            if expected:
                received.add(number, False, START)
                seen.add(number)

    def test_windowOffByOne(self) -> None:
        """
        1023 behind the largest is inside, 1024 is not.
        """
        received = ReceivedPackets(ACK_DELAY)
        received.add(5000, False, START)
        self.assertTrue(received.is_new(5000 - 1023))
        self.assertFalse(received.is_new(5000 - 1024))

    def test_jump(self) -> None:
        """
        A jump by more than the window forgets what was before it and no more.
        """
        received = ReceivedPackets(ACK_DELAY)
        for number in (0, 1, 1025, 1030):
            received.add(number, False, START)
        self.assertFalse(received.is_new(1025))
        self.assertTrue(received.is_new(1024))


class AckTimeTests(SynchronousTestCase):
    """
    L{ReceivedPackets.ack_at}.
    """

    def setUp(self) -> None:
        self.received = ReceivedPackets(ACK_DELAY)
        self.received.add(0, True, START)
        self.received.ack_frame(START)

    def test_nothingToAck(self) -> None:
        """
        What elicits no ACK gets none.
        """
        for number in range(1, 10):
            self.received.add(number, False, START)
        self.assertIsNone(self.received.ack_at)

    def test_first(self) -> None:
        """
        One packet is acknowledged within the ack delay.
        """
        self.received.add(1, True, START + 10_000)
        self.assertEqual(self.received.ack_at, START + 10_000 + ACK_DELAY)

    def test_second(self) -> None:
        """
        Every second one is acknowledged at once.
        """
        for number in (1, 3):
            self.received.add(number, True, START + number)
            self.assertEqual(self.received.ack_at, START + number + ACK_DELAY)
            self.received.add(number + 1, True, START + number + 1)
            self.assertEqual(self.received.ack_at, START + number + 1)
            self.received.ack_frame(START + number + 1)
            self.assertIsNone(self.received.ack_at)

    def test_gap(self) -> None:
        """
        One after a gap is acknowledged at once, and so is the one that fills it.
        """
        self.received.add(2, True, START + 1)
        self.assertEqual(self.received.ack_at, START + 1)
        self.received.ack_frame(START + 1)
        self.received.add(1, True, START + 2)
        self.assertEqual(self.received.ack_at, START + 2)

    def test_pause(self) -> None:
        """
        The first after a pause longer than the ack delay is acknowledged at once.
        """
        self.received.add(1, True, START + ACK_DELAY)
        self.assertEqual(self.received.ack_at, START + 2 * ACK_DELAY)
        self.received.ack_frame(START + ACK_DELAY)
        later = START + 2 * ACK_DELAY + 1
        self.received.add(2, True, later)
        self.assertEqual(self.received.ack_at, later)


class AckFrameTests(SynchronousTestCase):
    """
    L{ReceivedPackets.ack_frame}.
    """

    def setUp(self) -> None:
        self.received = ReceivedPackets(ACK_DELAY)

    @given(st.sets(st.integers(0, 600), min_size=1))
    def test_anySet(self, numbers: set[int]) -> None:
        """
        It names the largest and exactly those of the 256 before it that came.
        """
        received = ReceivedPackets(ACK_DELAY)
        for number in numbers:
            received.add(number, True, START)
        largest = max(numbers)
        self.assertEqual(acked(received), {n for n in numbers if largest - n <= 256})

    def test_delay(self) -> None:
        """
        It says in milliseconds how long ago the largest came.
        """
        self.received.add(7, True, START)
        self.received.add(5, True, START + 3_000)
        [(_, _, delay, _)], _ = parse_frames(self.received.ack_frame(START + 7_900))
        self.assertEqual(delay, 7)

    def test_told(self) -> None:
        """
        What the peer is known to have heard of is left out.
        """
        for number in range(10):
            self.received.add(number, True, START)
        self.received.told = 6
        self.assertEqual(acked(self.received), {7, 8, 9})
        self.received.told = 9
        self.assertEqual(acked(self.received), {9})

    def test_lateAfterTold(self) -> None:
        """
        A late packet is named although the peer has heard of later ones.
        """
        for number in (0, 1, 2, 4, 5, 6):
            self.received.add(number, True, START)
        self.received.told = 6
        self.received.add(3, True, START)
        self.assertIn(3, acked(self.received))
