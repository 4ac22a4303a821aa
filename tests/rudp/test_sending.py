"""
Tests of L{diarkis_tw.rudp.connection}: messages out, and full queues.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.frame import (
    MESSAGE,
    PATH_CHALLENGE,
    PING,
)
from tests.rudp.peer import (
    MILLISECOND,
    SECOND,
    Peer,
    ack,
    acks,
    datas,
    reliable,
    unreliable,
)

PING_FRAME = bytes((PING,))


class SendTests(SynchronousTestCase):
    """
    Messages out.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def send(self, message: bytes = b"x", channel: int = 0) -> bool:
        """
        Send a reliable message.
        """
        return self.connection.send(message, True, channel, self.peer.now)

    def test_oneTurn(self) -> None:
        """
        What is sent in one turn leaves in as few datagrams as fit it.
        """
        for _ in range(20):
            self.send(bytes(100))
            self.connection.send(bytes(100), False)
        packets = self.peer.flush()
        self.assertEqual(len(packets), 4)
        self.assertEqual(sum(map(len, packets)), 40)

    def test_numbers(self) -> None:
        """
        Packet numbers count from 0, and a frame that goes again goes in a new packet.
        """
        self.send()
        self.peer.wait(2 * SECOND)
        numbers = [number for number, _, _ in self.peer.packets]
        self.assertGreater(len(numbers), 3)
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual(set(datas(f for _, _, f in self.peer.packets)), {b"x"})

    def test_clientPads(self) -> None:
        """
        A client's datagram has 44 bytes at least, padded before the frames; a server's as few as
        it needs.
        """
        for is_client, size in ((True, 44), (False, 3 + 16 + 2)):
            peer = Peer(is_client)
            peer.connection.send(b"m", False)
            [datagram] = peer.connection.flush(peer.now)
            self.assertEqual(len(datagram), size)
            self.assertEqual(peer.read(datagram)[2], [(MESSAGE, 0, 0, b"m")])

    def test_mtu(self) -> None:
        """
        No datagram is larger than the MTU, and a long transfer's are nearly that.
        """
        for mtu in (576, 1200):
            for is_client in (True, False):
                peer = Peer(is_client, Limits(mtu=mtu))
                for number in range(1, 250, 2):
                    peer.give(PING_FRAME, number=number)
                peer.connection.send(bytes(40_000), True, 0, peer.now)
                peer.connection.send(bytes(mtu - 72), False)
                peer.wait(0)
                sizes = [size for _, size, _ in peer.packets]
                self.assertLessEqual(max(sizes), mtu)
                self.assertGreater(max(sizes), mtu - 45)

    def test_largest(self) -> None:
        """
        A payload of the limit goes and arrives, one of a byte more is refused to the sender and
        TOO_LARGE to the receiver; each end has the header of its own messages on top.
        """
        for is_client, header in ((True, 5), (False, 6)):
            most = 2_000 + header
            peer = Peer(is_client, Limits(max_message_size=2_000))
            self.assertTrue(peer.connection.send(bytes(most), True, 0, peer.now))
            self.assertRaises(LocalProtocolError, peer.connection.send, bytes(most + 1), True)
            other = Peer(not is_client, Limits(max_message_size=2_000))
            other.give(reliable(0, bytes(1_000), last=False))
            other.give(reliable(1, bytes(most - 1_000), first=False))
            self.assertEqual(other.delivered(), [bytes(most)])
            other.give(reliable(2, bytes(1_000), last=False))
            other.give(reliable(3, bytes(most - 999), first=False))
            self.assertEqual(other.connection.code, CloseCode.TOO_LARGE)

    def test_unreliableLargest(self) -> None:
        """
        An unreliable payload of MTU - 72 goes, one of a byte more is an error.
        """
        for is_client, header in ((True, 5), (False, 6)):
            peer = Peer(is_client)
            self.assertTrue(peer.connection.send(bytes(1_128 + header), False))
            error = self.assertRaises(
                LocalProtocolError, peer.connection.send, bytes(1_129 + header), False
            )
            self.assertIn("reliably", str(error))

    def test_inFlight(self) -> None:
        """
        All channels together have 256 packets in flight at most, probes included.
        """
        self.connection._congestion.window = 10**9
        self.peer.give(unreliable(b"x"))
        for channel in range(8):
            for _ in range(256):
                self.send(bytes(1_100), channel)
        self.peer.wait(150 * MILLISECOND)
        self.assertEqual(len(self.connection._sent.packets), 256)
        self.assertEqual(len(self.peer.packets), 256)
        for _ in range(30):
            self.peer.give(unreliable(b"still here"))
            self.peer.wait(SECOND)
            self.assertLessEqual(len(self.connection._sent.packets), 256)
        self.assertGreater(self.connection.retransmitted, 30)
        self.assertIs(self.connection.state, State.OPEN)

    def test_window(self) -> None:
        """
        A channel sends no seq at or beyond the oldest unacknowledged + window.
        """
        peer = Peer(limits=Limits(window=16))
        for _ in range(40):
            peer.connection.send(b"x", True, 3, peer.now)
        self.assertEqual(len(datas(peer.flush())), 16)
        peer.give(ack(0))
        self.assertEqual(len(datas(peer.flush())), 16)

    def test_pacing(self) -> None:
        """
        A burst above 16 packets is spread, and the deadline says when the next may leave.
        """
        for _ in range(32):
            self.send(bytes(1_100))
        burst = len(self.peer.flush())
        self.assertIn(burst, (16, 17, 18))  # of 1122 bytes, not 1200
        self.assertIsNotNone(self.connection.sender.blocked_until)
        deadline = self.connection.deadline()
        assert deadline is not None
        self.assertTrue(0 < deadline - self.peer.now < 5 * MILLISECOND)
        self.assertEqual(len(datas(self.peer.wait(50 * MILLISECOND))), 32 - burst)

    def test_windowGrows(self) -> None:
        """
        The congestion window grows when it, not the pacer, held frames back.
        """
        congestion = self.connection._congestion
        congestion._budget, congestion._paced_at = 10**9, self.peer.now
        for _ in range(100):
            self.send(bytes(1_100))
        window = congestion.window
        sent = len(self.peer.flush())
        self.assertEqual((sent, self.connection.sender.blocked_until), (-(-window // 1_122), None))
        self.peer.now += 50 * MILLISECOND
        self.peer.give(ack(1, 0))
        self.assertEqual(congestion.window, window + 2 * 1_122)

    def test_unreliableNotHeldBack(self) -> None:
        """
        Unreliable messages leave at once, however full the window is.
        """
        for _ in range(64):
            self.send(bytes(1_100))
        self.peer.wait(40 * MILLISECOND)
        self.connection.send(b"now", False)
        self.assertIn((MESSAGE, 0, 0, b"now"), [f for frames in self.peer.flush() for f in frames])

    def test_pathChanged(self) -> None:
        """
        On another path nothing is known of the old one.
        """
        self.connection._congestion.window = 5
        self.connection.path_changed()
        self.assertEqual(self.connection.round_trip.timeout(0), SECOND)
        self.assertEqual(self.connection._congestion.window, 32 * 1200)

    def test_challenge(self) -> None:
        """
        A challenge is a datagram of its own, which is not sent again nor kept.
        """
        datagram = self.connection.challenge(b"12345678", self.peer.now)
        self.assertEqual(self.peer.read(datagram)[2], [(PATH_CHALLENGE, 0, 0, b"12345678")])
        self.assertIsNone(self.connection.deadline())
        self.peer.give(ack(0))
        self.assertIs(self.connection.state, State.OPEN)

    def test_twoEnds(self) -> None:
        """
        A message goes through two real ends.
        """
        client, server = Peer(True), Peer(False)
        client.connection.send(bytes(3_000), True, 5, client.now)
        for datagram in client.connection.flush(client.now):
            self.assertTrue(server.connection.receive(datagram, server.now))
        self.assertEqual(server.delivered(), [bytes(3_000)])


class BackPressureTests(SynchronousTestCase):
    """
    Full queues, and an owner that takes no more.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def fill(self) -> None:
        """
        Send until a message is refused.
        """
        while self.connection.send(bytes(60_000), True, 0, self.peer.now):
            pass

    def test_refused(self) -> None:
        """
        At 1 MB a reliable message is refused, an unreliable one dropped and counted; since when is
        remembered.
        """
        self.fill()
        self.assertLessEqual(self.connection.queued, 1024 * 1024)
        since = self.peer.now
        self.assertEqual(self.connection.full_since, since)
        self.peer.now += 5
        self.assertFalse(self.connection.send(bytes(60_000), True, 0, self.peer.now))
        while self.connection.send(bytes(1_000), False, 0, self.peer.now):
            pass
        self.assertFalse(self.connection.send(bytes(1_000), False, 0, self.peer.now))
        self.assertEqual((self.connection.dropped, self.connection.full_since), (2, since))

    def test_onlyUnreliable(self) -> None:
        """
        A queue that only unreliable messages meet is as full.
        """
        for _ in range(4096):
            self.connection.send(b"", True, 0, self.peer.now)
        self.assertIsNone(self.connection.full_since)
        self.peer.now += 7
        self.assertFalse(self.connection.send(b"x", False, 0, self.peer.now))
        self.assertEqual(self.connection.full_since, self.peer.now)

    def test_drained(self) -> None:
        """
        Once the peer takes something the queue is full no more, although nothing else is sent.
        """
        self.fill()
        self.peer.flush()
        self.peer.give(ack(3, 2, 1, 0))
        self.assertIsNone(self.connection.full_since)

    def test_nothingNew(self) -> None:
        """
        A peer that only repeats what it has acknowledged takes nothing.
        """
        self.connection.send(b"x", True, 0, self.peer.now)
        self.peer.flush()
        self.peer.give(ack(0))
        self.fill()
        self.peer.flush()
        since = self.connection.full_since
        self.peer.give(ack(0))
        self.assertEqual(self.connection.full_since, since)

    def test_burst(self) -> None:
        """
        Once a burst of unreliable messages has left the queue is full no more, although
        nothing is ever acknowledged.
        """
        while self.connection.send(bytes(1_000), False, 0, self.peer.now):
            pass
        self.assertIsNotNone(self.connection.full_since)
        self.peer.flush()
        self.assertEqual(self.connection.queued, 0)
        self.assertIsNone(self.connection.full_since)

    def test_unreliableBesideFull(self) -> None:
        """
        That unreliable messages leave says nothing of the reliable ones.
        """
        self.fill()
        self.connection.send(b"x", False, 0, self.peer.now)
        self.connection.send(b"y", False, 0, self.peer.now)
        self.peer.flush()
        self.assertIsNotNone(self.connection.full_since)

    def test_accepted(self) -> None:
        """
        A reliable message that is taken ends it, an unreliable one does not.
        """
        self.fill()
        self.assertTrue(self.connection.send(b"x", False, 0, self.peer.now))
        self.assertIsNotNone(self.connection.full_since)
        self.assertTrue(self.connection.send(b"x", True, 0, self.peer.now))
        self.assertIsNone(self.connection.full_since)

    def test_paused(self) -> None:
        """
        While the owner takes no more, packets with reliable frames are not acknowledged, and
        come again later; other ones take effect.
        """
        self.connection.paused = True
        datagram = self.peer.packet(unreliable(b"u"), reliable(0, b"r"))
        self.assertTrue(self.connection.receive(datagram, self.peer.now))
        self.peer.give(unreliable(b"x"))
        self.assertEqual(self.peer.delivered(), [b"x"])
        self.assertEqual(acks(self.peer.wait(SECOND)), [])
        self.connection.paused = False
        self.assertTrue(self.connection.receive(datagram, self.peer.now))
        self.assertEqual(self.peer.delivered(), [b"u", b"r"])
        self.assertEqual(acks(self.peer.wait(SECOND)), [(1, b"\x01")])

    def test_pausedAcks(self) -> None:
        """
        Acknowledgements count also in a packet that is dropped for want of room, as does CLOSE.
        """
        self.connection.send(b"x", True, 0, self.peer.now)
        self.peer.flush()
        self.connection.paused = True
        self.peer.give(ack(0), reliable(0))
        self.assertEqual(self.connection.queued, 0)
        self.peer.give(reliable(0), b"\x03\x07")
        self.assertEqual(self.connection.code, CloseCode.KICKED)

    def test_pausedWrongAck(self) -> None:
        """
        The peer's fault in such a packet closes too.
        """
        self.connection.paused = True
        self.peer.give(ack(5), reliable(0))
        self.assertEqual(self.connection.code, CloseCode.PROTOCOL)

    def test_budget(self) -> None:
        """
        When the process holds too much, packets that would add to it are dropped
        unacknowledged; what is complete and in order goes on.
        """
        self.peer.budget.used = self.peer.budget.begin + 1
        self.peer.give(unreliable(b"u"), reliable(1, b"early"))
        self.peer.give(reliable(0, b"first", last=False))
        self.assertEqual((self.peer.delivered(), acks(self.peer.wait(SECOND))), ([], []))
        self.peer.give(reliable(0, b"0"), reliable(1, b"1"), reliable(0, b"0"))
        self.assertEqual(self.peer.delivered(), [b"0", b"1"])
        self.assertEqual(acks(self.peer.wait(SECOND)), [(2, b"")])
        self.assertEqual(self.peer.budget.used, self.peer.budget.begin + 1)

    def test_budgetIsShared(self) -> None:
        """
        What one connection holds is missing to another one, until it ends.
        """
        other = Peer(budget=self.peer.budget)
        self.peer.give(reliable(0, b"12345", last=False))
        held = self.peer.budget.used
        other.give(reliable(3, b"12345"))
        self.assertGreater(self.peer.budget.used, held)
        other.connection.close(CloseCode.TIMEOUT, other.now)
        self.assertEqual(self.peer.budget.used, held)
        self.peer.give(b"\xff")
        self.assertEqual(self.peer.budget.used, 0)
