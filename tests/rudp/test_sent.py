"""
Tests of L{diarkis_tw.rudp.sent}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.rudp.channel import ReliableFrame, SendChannel
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.rtt import RoundTrip
from diarkis_tw.rudp.sent import (
    IN_FLIGHT_MOST,
    LOST_REMEMBERED,
    NUMBERS_REMEMBERED,
    THRESHOLD_LIFE,
    SentPackets,
)
from tests.rudp.peer import memory

ROUND_TRIP = 100_000
LOSS_DELAY = 112_500
SIZE = 100


class SentTestCase(SynchronousTestCase):
    """
    Packets on a path of 100 ms.
    """

    def setUp(self) -> None:
        self.round_trip = RoundTrip(1_000_000, 20_000)
        self.round_trip.sample(ROUND_TRIP)
        self.congestion = Congestion(1200, self.round_trip)
        self.sent = SentPackets(self.round_trip, self.congestion)
        self.channel = SendChannel(0, 1_000_000)
        self.now = 1_000_000

    def frame(self) -> ReliableFrame:
        """
        A frame that is about to be sent.
        """
        self.channel.add(b"12345678", 1000)
        taken: list[ReliableFrame] = []
        self.channel.take(taken, 0, 100)
        [frame] = taken
        self.sent.pending_frames += 1
        self.sent.pending_bytes += 8
        return frame

    def send(
        self, *frames: ReliableFrame, told: int = -1, copy: ReliableFrame | None = None
    ) -> int:
        """
        Send a packet, with a new frame if none is given.

        @return: its number.
        """
        self.sent.add((self.now, frames or (self.frame(),), copy, told, SIZE))
        return self.sent.next_number - 1

    def ack(self, largest: int, *before: int, delay: int = 0) -> int | None:
        """
        The peer acknowledges packets.
        """
        bits = sum(1 << largest - 1 - number for number in before)
        bitmap = bits.to_bytes(32, "little")
        return self.sent.acked(largest & 0xFFFF, delay, bitmap, self.now)

    def lost(self) -> list[int]:
        """
        Take the numbers of the frames that are lost.
        """
        frames = [frame.seq for frame in self.sent.lost_frames]
        for frame in self.sent.lost_frames:
            frame.waiting = False
        self.sent.lost_frames.clear()
        return frames


class AckTests(SentTestCase):
    """
    What an ACK means.
    """

    def test_arrived(self) -> None:
        """
        Acknowledged packets are in flight no more, and their frames done.
        """
        frames = [self.frame() for _ in range(3)]
        for frame in frames:
            self.send(frame)
        self.assertEqual((self.sent.in_flight, self.sent.pending_bytes), (3 * SIZE, 24))
        self.ack(2, 0)
        self.assertEqual([frame.acked for frame in frames], [True, False, True])
        self.assertEqual(list(self.sent.packets), [1])
        self.assertEqual((self.sent.in_flight, self.sent.pending_bytes), (SIZE, 8))
        self.assertEqual((self.sent.pending_frames, self.sent.progress_at), (1, self.now))

    def test_nothingNew(self) -> None:
        """
        The same ACK again says nothing new.
        """
        self.send(told=5)
        self.assertEqual(self.ack(0), 5)
        self.assertIsNone(self.ack(0))

    def test_told(self) -> None:
        """
        Of the ACKs that acknowledged packets carried the largest counts.
        """
        for told in (3, 9, -1):
            self.send(told=told)
        self.assertEqual(self.ack(2, 1, 0), 9)
        self.send()
        self.assertEqual(self.ack(3), -1)

    def test_sample(self) -> None:
        """
        The largest gives a round trip, without the peer's delay, the first time it is acknowledged.
        """
        for _ in range(2):
            self.send()
        self.now += 180_000
        self.ack(1, delay=10_000)
        self.assertEqual(self.round_trip.smoothed, ROUND_TRIP + 70_000 // 8)
        self.now += 500_000
        self.ack(1, 0)
        self.assertEqual(self.round_trip.smoothed, ROUND_TRIP + 70_000 // 8)

    def test_clockSetBack(self) -> None:
        """
        An ACK that seems to come before its packet was sent measures nothing.
        """
        self.send()
        self.now -= 500_000
        self.ack(0)
        self.assertEqual(self.round_trip.least, ROUND_TRIP)

    def test_longerPath(self) -> None:
        """
        A longer path is known as that in time, but not while the sender fills it.
        """
        for limited, least in ((True, ROUND_TRIP), (False, 3 * ROUND_TRIP)):
            self.congestion.limited = limited
            for _ in range(50):
                number = self.send()
                self.now += 3 * ROUND_TRIP
                self.ack(number)
            self.assertEqual(self.round_trip.least, least)

    def test_neverSent(self) -> None:
        """
        An ACK of a packet that was never sent is the peer's fault.
        """
        self.assertRaises(RemoteProtocolError, self.ack, 0)
        self.assertRaises(RemoteProtocolError, self.ack, 0xFFFF)
        for _ in range(3):
            self.send()
        self.assertRaises(RemoteProtocolError, self.ack, 3)
        self.assertRaises(RemoteProtocolError, self.ack, 0x8000)

    def test_belowZero(self) -> None:
        """
        An ACK of a packet before the first is the peer's fault.
        """
        for _ in range(3):
            self.send()
        acked = self.sent.acked
        self.assertRaises(RemoteProtocolError, acked, 2, 0, b"\x04", self.now)
        self.assertRaises(RemoteProtocolError, acked, 2, 0, b"\x00\x01", self.now)
        acked(2, 0, b"\x03", self.now)

    def test_unsentByNumber(self) -> None:
        """
        An ACK of packets that needed none is no fault.
        """
        for _ in range(5):
            self.sent.add(None)
        self.assertIsNone(self.ack(4, 3, 2, 1, 0))
        self.assertEqual(self.sent.packets, {})

    def test_numberWrap(self) -> None:
        """
        Acknowledgements are understood across the wraps of the 16 bits.
        """
        for number in range(200_000):
            if number % 3:
                self.sent.add(None)
            else:
                self.send()
                self.now += 1_000
                self.assertEqual(self.ack(number), -1)
        self.assertEqual((self.sent.packets, self.sent.pending_frames), ({}, 0))

    def test_ancient(self) -> None:
        """
        An ACK of a packet further back than is remembered says nothing.
        """
        self.send()
        for _ in range(NUMBERS_REMEMBERED - 1):
            self.sent.add(None)
        self.assertEqual(self.ack(0), -1)
        self.send()
        number = self.sent.next_number - 1
        for _ in range(NUMBERS_REMEMBERED):
            self.sent.add(None)
        self.assertIsNone(self.ack(number))

    def test_savedByCopy(self) -> None:
        """
        A copy that brings its frame first is counted; one that comes beside it is not.
        """
        first, second = self.frame(), self.frame()
        self.send(first)
        self.send(second, first, copy=first)
        self.send(second, copy=second)
        self.ack(1)
        self.assertEqual(self.sent.saved, 1)
        self.ack(2, 1, 0)
        self.assertEqual(self.sent.saved, 1)


class LossTests(SentTestCase):
    """
    RFC 9002, section 6.1.
    """

    def test_threshold(self) -> None:
        """
        A packet is lost when one sent three later is acknowledged.
        """
        for _ in range(4):
            self.send()
        self.ack(2)
        self.assertEqual(self.lost(), [])
        self.ack(3)
        self.assertEqual(self.lost(), [0])
        self.assertEqual(list(self.sent.packets), [1])

    def test_time(self) -> None:
        """
        A packet is lost when it is older than 9/8 round trips and a later one is acknowledged,
        at the instant that C{loss_at} names.
        """
        self.send()
        self.now += 10_000
        self.send()
        self.now += 90_000
        self.round_trip.smoothed = self.round_trip.latest = ROUND_TRIP
        self.ack(1)
        due = self.sent.loss_at
        assert due is not None
        self.assertEqual(due, 1_000_000 + self.round_trip.loss_delay())
        self.sent.detect_lost(due - 1)
        self.assertEqual((self.lost(), self.sent.loss_at), ([], due))
        self.sent.detect_lost(due)
        self.assertEqual((self.lost(), self.sent.loss_at), ([0], None))

    def test_onlyBeforeAcknowledged(self) -> None:
        """
        However old, a packet is not lost before a later one is acknowledged.
        """
        self.send()
        self.send()
        self.now += 10_000_000
        self.ack(0)
        self.assertEqual((self.lost(), self.sent.loss_at), ([], None))

    def test_frameInOtherPacket(self) -> None:
        """
        A frame that another packet in flight carries too is not lost.
        """
        frame = self.frame()
        self.send(frame)
        for _ in range(3):
            self.send()
        self.send(frame)
        self.ack(3, 2, 1)
        self.assertEqual(self.lost(), [])
        for _ in range(3):
            self.send()
        self.ack(7)
        self.assertEqual(self.lost()[0], frame.seq)

    def test_spurious(self) -> None:
        """
        A late ACK of a lost packet raises the threshold by one for 30 s, to 10 at most.
        """
        for round_ in range(12):
            first = self.send()
            for _ in range(12):
                self.send()
            threshold = min(3 + round_, 10)
            self.ack(first + threshold - 1)
            self.assertNotIn(first, self.lost())
            self.ack(first + threshold)
            self.assertEqual(self.lost(), [self.channel._next - 13])
            self.assertEqual(self.sent.spurious, round_)
            self.ack(first + threshold, first)
            self.assertEqual(self.sent.spurious, round_ + 1)
            self.ack(first + 12, *range(first, first + 12))
            self.lost()
        self.now += THRESHOLD_LIFE
        first = self.send()
        for _ in range(3):
            self.send()
        self.ack(first + 3)
        self.assertEqual(len(self.lost()), 1)

    def test_spuriousFrame(self) -> None:
        """
        The frames of a packet that came late need not go again.
        """
        frame = self.frame()
        self.send(frame)
        for _ in range(4):
            self.send()
        self.ack(3)
        self.ack(3, 0)
        self.assertTrue(frame.acked)
        self.assertEqual(self.sent.pending_frames, 3)

    def test_bound(self) -> None:
        """
        One packet more than 256 in flight makes the oldest count as lost.
        """
        for _ in range(IN_FLIGHT_MOST + 5):
            self.send()
        self.assertEqual(len(self.sent.packets), IN_FLIGHT_MOST)
        self.assertEqual(self.lost(), list(range(5)))
        self.assertEqual(self.sent.in_flight, IN_FLIGHT_MOST * SIZE)

    @given(st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(0, 12))), max_size=40))
    def test_anyAcks(self, script: list[tuple[int, set[int]]]) -> None:
        """
        Whatever is acknowledged, each frame is acknowledged, in flight or lost, and the
        sums are right.
        """
        self.setUp()
        frames: list[ReliableFrame] = []
        for count, back in script:
            for _ in range(count):
                frames.append(self.frame())
                self.send(frames[-1])
            top = self.sent.next_number - 1
            numbers = sorted((top - n for n in back if top - n >= 0), reverse=True)
            if numbers:
                self.ack(*numbers)
            self.now += 7_000
        flying = {id(frame) for _, frames, *_ in self.sent.packets.values() for frame in frames}
        lost = {id(frame) for frame in self.sent.lost_frames}
        for frame in frames:
            if not frame.acked:
                self.assertNotEqual(id(frame) in flying, id(frame) in lost, frame.seq)
        self.assertEqual(self.sent.in_flight, SIZE * len(self.sent.packets))
        self.assertEqual(self.sent.pending_frames, sum(not frame.acked for frame in frames))
        self.assertEqual(self.sent.pending_bytes, 8 * self.sent.pending_frames)


class MemoryTests(SentTestCase):
    """
    What is kept.
    """

    def test_arrivedData(self) -> None:
        """
        The data of a frame that arrived is dropped, though a lost packet still refers to it.
        """
        frame = self.frame()
        self.send(frame)
        for _ in range(4):
            self.send()
        self.ack(3)
        self.send(frame)
        self.ack(5)
        self.assertEqual(frame.encoded, b"")

    def test_lostPackets(self) -> None:
        """
        Lost packets are remembered in bounds, however many numbers pass in between.
        """
        self.send()
        for _ in range(3 * LOST_REMEMBERED):
            for _ in range(NUMBERS_REMEMBERED // 100):
                self.sent.add(None)
            number = self.sent.next_number
            for _ in range(4):
                self.send()
            self.ack(number + 2, number + 1)  # always one behind it, so that nothing is at rest
            self.lost()
        self.assertLessEqual(len(self.sent._lost), LOST_REMEMBERED)
        self.assertLessEqual(self.sent._lost_bits.bit_length(), NUMBERS_REMEMBERED)
        self.assertGreater(self.congestion.loss, 0.3)

    def test_afterBurst(self) -> None:
        """
        Once nothing is in flight, the memory of a burst with loss is given back.
        """

        def burst() -> None:
            for _ in range(IN_FLIGHT_MOST):
                self.send()
            number = self.sent.next_number
            self.ack(number - 1, *range(number - 100, number - 1))
            for frame in self.sent.lost_frames:
                self.send(frame)
            self.lost()
            number = self.sent.next_number
            self.ack(number - 1, *range(number - 200, number - 1))
            self.assertEqual(self.sent.packets, {})

        self.assertLess(memory(burst), 2_000)
