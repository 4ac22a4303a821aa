"""
Tests of L{diarkis_tw.rudp.connection}: retransmission, giving up, deadlines.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.frame import PING
from tests.rudp.peer import (
    MILLISECOND,
    ROUND_TRIP,
    SECOND,
    Peer,
    ack,
    closes,
    datas,
    reliable,
    unreliable,
)

RTO = ROUND_TRIP + 4 * (ROUND_TRIP // 2) + 20 * MILLISECOND


class TimerTestCase(SynchronousTestCase):
    """
    A path of 50 ms, known from the handshake.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def send(self, message: bytes = b"x", channel: int = 0) -> None:
        """
        Send a reliable message in a packet of its own.
        """
        self.assertTrue(self.connection.send(message, True, channel, self.peer.now))
        self.peer.flush()

    def pings(self, packets: list[list[tuple[int, int, int, bytes]]]) -> int:
        """
        How many PINGs there are.
        """
        return sum(kind == PING for frames in packets for kind, _, _, _ in frames)


class RetransmissionTests(TimerTestCase):
    """
    The retransmission time-out.
    """

    def test_expiries(self) -> None:
        """
        What is not acknowledged goes again after the time-out, and then 1.5 times as late each
        time, up to retryInterval.
        """
        started = self.peer.now
        self.send()
        times = []
        while len(times) < 10:
            if datas(self.peer.wait(MILLISECOND)):
                times.append((self.peer.now - started) // MILLISECOND)
        gaps = [later - before for before, later in zip([0, *times], times, strict=False)]
        self.assertEqual(gaps, [170, 255, 383, 574, 860, *[1000] * 5])

    def test_firstTimeout(self) -> None:
        """
        Before any sample it is retryInterval.
        """
        self.peer = Peer(round_trip=0, limits=Limits(retry_interval=300 * MILLISECOND))
        self.connection = self.peer.connection
        self.send()
        self.assertEqual(datas(self.peer.wait(299 * MILLISECOND)), [])
        self.assertEqual(datas(self.peer.wait(MILLISECOND)), [b"x"])

    def test_oldest(self) -> None:
        """
        First the frames of the oldest packet go again, from the second expiry on of two packets.
        """
        for number in range(5):
            self.send(b"%d" % number)
        self.assertEqual(datas(self.peer.wait(RTO)), [b"0"])
        self.assertEqual(datas(self.peer.wait(RTO * 3 // 2))[:2], [b"0", b"1"])

    def test_twoPackets(self) -> None:
        """
        From the second expiry on two packets go, even if one frame is all there is.
        """
        self.send()
        packets = [
            len(self.peer.wait(self.connection.round_trip.timeout(expiries)))
            for expiries in range(4)
        ]
        self.assertEqual(packets, [1, 2, 2, 2])

    def test_progress(self) -> None:
        """
        Progress ends the back-off.
        """
        self.send(b"first")
        self.peer.wait(2 * SECOND)
        self.peer.give(ack(self.peer.packets[-1][0]))
        self.send(b"second")
        self.assertIn(b"second", datas(self.peer.wait(self.connection.round_trip.timeout(0))))

    def test_lost(self) -> None:
        """
        A packet that later ones show to be lost goes again at once.
        """
        for number in range(4):
            self.send(b"%d" % number)
        self.peer.now += ROUND_TRIP
        self.peer.give(ack(3, 2, 1))
        self.assertEqual(datas(self.peer.flush()), [b"0"])
        self.assertEqual(self.connection.retransmitted, 1)

    def test_lostByTime(self) -> None:
        """
        One that is late goes again at 9/8 of the round trip.
        """
        self.send(b"0")
        self.peer.wait(10 * MILLISECOND)
        self.send(b"1")
        self.peer.wait(40 * MILLISECOND)
        self.peer.give(ack(1))
        delay = self.connection.round_trip.loss_delay()
        self.assertEqual(datas(self.peer.wait(delay - 50 * MILLISECOND - 1)), [])
        self.assertEqual(datas(self.peer.wait(1)), [b"0"])

    def test_ping(self) -> None:
        """
        A PING goes again until it is acknowledged.
        """
        self.connection.ping()
        self.assertEqual(self.pings(self.peer.wait(2 * SECOND)), 5)
        self.peer.give(ack(self.peer.packets[-1][0]))
        self.assertEqual(self.pings(self.peer.wait(2 * SECOND)), 0)
        self.assertIsNone(self.connection.deadline())

    def test_nothingToSendAgain(self) -> None:
        """
        If all that waits is behind a full window, the time-out sends what is in flight or a
        PING, not packets without frames.
        """
        peer = Peer(limits=Limits(window=16, redundancy=False))
        for _ in range(40):
            peer.connection.send(bytes(300), True, 0, peer.now)
        peer.flush()
        # the second half of the flight arrived, but for the very last frame
        for _, frames, _, _, _ in peer.connection._sent.packets.values():
            for frame in frames:
                if frame.seq not in (8, 15):
                    frame.acked = True
        packets = peer.wait(5 * SECOND)
        self.assertTrue(all(packets))
        self.assertLess(len(packets), 20)

    def test_probesWithBlockedChannel(self) -> None:
        """
        A second expiry with nothing that may go again ends in one PING.
        """
        peer = Peer(limits=Limits(window=16, redundancy=False))
        for _ in range(40):
            peer.connection.send(b"x", True, 0, peer.now)
        peer.flush()
        for _, frames, _, _, _ in peer.connection._sent.packets.values():
            for frame in frames:
                frame.waiting = frame.acked = frame.seq > 0
                frame.waiting = True
        packets = peer.wait(2 * SECOND)
        self.assertTrue(all(packets))
        self.assertLess(len(packets), 10)

    def test_hearsWithoutAcks(self) -> None:
        """
        A peer that is heard for an hour but acknowledges nothing costs two packets a second and
        no growing numbers.
        """
        self.send()
        for _ in range(3600):
            self.peer.give(unreliable(b"x"))
            self.peer.delivered()
            self.peer.wait(SECOND)
        self.assertLessEqual(len(self.peer.packets), 2 * 3600 + 5)
        self.assertIs(self.connection.state, State.OPEN)


class GivingUpTests(TimerTestCase):
    """
    maxRetry x retryInterval of silence.
    """

    def test_silence(self) -> None:
        """
        With data unacknowledged, the connection ends with TIMEOUT after that silence and not
        before; one CLOSE tells the peer, if it should hear.
        """
        self.peer.give(unreliable(b"x"))
        self.send()
        self.assertEqual(closes(self.peer.wait(10 * SECOND - 1)), [])
        self.assertIs(self.connection.state, State.OPEN)
        self.assertEqual(closes(self.peer.wait(1)), [b"\x02"])
        self.assertIs(self.connection.state, State.CLOSED)
        self.assertEqual(self.connection.code, CloseCode.TIMEOUT)
        self.assertIsNone(self.connection.deadline())
        self.assertEqual(self.peer.wait(SECOND), [])

    def test_product(self) -> None:
        """
        Both factors count.
        """
        limits = Limits(max_retry=4, retry_interval=500 * MILLISECOND)
        self.peer = Peer(limits=limits)
        self.connection = self.peer.connection
        self.send()
        self.peer.wait(2 * SECOND - 1)
        self.assertIs(self.connection.state, State.OPEN)
        self.peer.wait(1)
        self.assertIs(self.connection.state, State.CLOSED)

    def test_heard(self) -> None:
        """
        Anything authentic begins the time anew.
        """
        self.send()
        self.peer.wait(9 * SECOND)
        self.peer.give(unreliable(b"x"))
        self.peer.wait(10 * SECOND - 1)
        self.assertIs(self.connection.state, State.OPEN)
        self.peer.wait(1)
        self.assertIs(self.connection.state, State.CLOSED)

    def test_longSilenceBefore(self) -> None:
        """
        A silence before the data was sent does not count.
        """
        self.peer.wait(60 * SECOND)
        self.send()
        self.peer.wait(10 * SECOND - 1)
        self.assertIs(self.connection.state, State.OPEN)

    def test_nothingUnacknowledged(self) -> None:
        """
        Silence alone ends nothing here: neither after all was acknowledged, nor after what was
        lost arrived late, nor after a lost PING.
        """
        for number in range(5):
            self.send(b"%d" % number)
        self.peer.give(ack(4, 3, 2))
        self.connection.ping()
        self.peer.give(ack(4, 3, 2, 1, 0))
        self.peer.flush()
        self.send(b"last")
        self.peer.wait(ROUND_TRIP)
        number = self.peer.packets[-1][0]
        self.peer.give(ack(number))
        self.peer.wait(60 * SECOND)
        self.assertIs(self.connection.state, State.OPEN)
        self.assertIsNone(self.connection.deadline())


class DeadlineTests(TimerTestCase):
    """
    L{Connection.deadline}.
    """

    def test_idle(self) -> None:
        """
        An idle connection has none.
        """
        self.assertIsNone(self.connection.deadline())
        self.peer.give(reliable(0))
        self.peer.wait(SECOND)
        self.assertIsNone(self.connection.deadline())

    def test_tickIsEnough(self) -> None:
        """
        Whatever is due at a deadline is done by tick and flush: none is named twice.
        """
        for number in range(60):
            self.connection.send(bytes(900), True, number % 8, self.peer.now)
        self.peer.flush()
        seen: list[int] = []
        for turn in range(400):
            deadline = self.connection.deadline()
            if deadline is None:
                break
            self.assertGreater(deadline, self.peer.now - 1)
            self.assertNotIn(deadline, seen[-1:], "a timer that fires for ever")
            seen.append(deadline)
            self.peer.now = deadline
            self.connection.tick(deadline)
            self.peer.flush()
            if turn % 7 == 0:
                largest = self.peer.packets[-1][0]
                self.peer.give(ack(largest, *range(max(largest - 3, 0), largest)))
                self.peer.flush()

    def test_early(self) -> None:
        """
        A tick before its time does nothing.
        """
        self.send()
        deadline = self.connection.deadline()
        assert deadline is not None
        self.connection.tick(deadline - 1)
        self.assertEqual((self.peer.flush(), self.connection.deadline()), ([], deadline))
