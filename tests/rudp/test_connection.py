"""
Tests of L{diarkis_tw.rudp.connection}: packets, acknowledgements, messages.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.frame import (
    ACK,
    MESSAGE,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
)
from tests.rudp.peer import (
    MILLISECOND,
    SECOND,
    Peer,
    ack,
    acks,
    closes,
    datas,
    memory,
    reliable,
    unreliable,
)

PING_FRAME = bytes((PING,))


class ReceiveTests(SynchronousTestCase):
    """
    Datagrams in.
    """

    def setUp(self) -> None:
        self.peer = Peer()

    def test_both(self) -> None:
        """
        One packet brings messages of both kinds, in order, at both ends and without encryption.
        """
        for is_client in (True, False):
            for encrypted in (True, False):
                peer = Peer(is_client, encrypted=encrypted)
                self.assertTrue(
                    peer.give(unreliable(b"a"), reliable(0, b"b"), bytes((MESSAGE,)) + b"c")
                )
                self.assertEqual(
                    peer.connection.delivered, [(b"a", False), (b"b", True), (b"c", False)]
                )

    def test_integrityOnly(self) -> None:
        """
        Without encryption the content is readable, and a turned bit is found all the same.
        """
        peer = Peer(encrypted=False)
        datagram = peer.packet(reliable(0, b"readable"))
        self.assertIn(b"readable", datagram)
        self.assertFalse(peer.connection.receive(datagram.replace(b"read", b"rEad"), peer.now))
        self.assertEqual((peer.connection.forged, peer.delivered()), (1, []))
        self.assertTrue(peer.connection.receive(datagram, peer.now))

    def test_replayed(self) -> None:
        """
        A datagram that came before, or is older than the window, is counted and nothing else.
        """
        first = self.peer.packet(unreliable(b"x"))
        old = self.peer.packet(unreliable(b"old"))
        self.assertTrue(self.peer.connection.receive(first, self.peer.now))
        self.peer.give(unreliable(b"y"), number=1 + 1024)
        heard_at = self.peer.now
        self.peer.now += 1
        for datagram in (first, old):
            self.assertFalse(self.peer.connection.receive(datagram, self.peer.now))
        self.assertEqual((self.peer.connection.replayed, self.peer.delivered()), (2, [b"x", b"y"]))
        self.assertEqual(self.peer.connection.heard_at, heard_at)

    def test_forged(self) -> None:
        """
        A datagram with any bit turned, or cut, changes nothing but a counter.
        """
        datagram = self.peer.packet(reliable(0, b"x"))
        forgeries = [datagram[:size] for size in range(len(datagram))]
        for bit in range(8 * 9, 8 * len(datagram)):
            turned = bytearray(datagram)
            turned[bit >> 3] ^= 1 << (bit & 7)
            forgeries.append(bytes(turned))
        for forgery in forgeries:
            self.assertFalse(self.peer.connection.receive(forgery, self.peer.now))
        self.assertEqual(self.peer.connection.forged, len(forgeries))
        self.assertEqual((self.peer.connection.largest, self.peer.delivered()), (-1, []))
        self.assertTrue(self.peer.connection.receive(datagram, self.peer.now))
        self.assertEqual((self.peer.connection.largest, self.peer.delivered()), (0, [b"x"]))

    def test_numberWrap(self) -> None:
        """
        Packet numbers are restored across the wraps of their 16 bits, in steps of any
        size below half of it, and late packets too.
        """
        number = 0
        for step in (1, 1000, 30_000, 32_767, 5, 32_000, 32_767, 32_767, 1, 60) * 5:
            number += step
            self.assertTrue(self.peer.give(PING_FRAME, number=number))
            self.assertEqual(self.peer.connection.largest, number)
            self.assertTrue(self.peer.give(PING_FRAME, number=number - 1) or step == 1)
        self.assertGreater(number, 10 * 65_536)

    def test_withoutFrames(self) -> None:
        """
        A packet without frames is legal and asks for nothing.
        """
        for frames in (b"", bytes(30)):
            self.assertTrue(self.peer.give(frames))
        self.assertEqual(self.peer.wait(SECOND), [])
        self.assertIs(self.peer.connection.state, State.OPEN)

    def test_challenge(self) -> None:
        """
        A PATH_CHALLENGE is answered at once with its data.
        """
        self.peer.give(bytes((PATH_CHALLENGE,)) + b"12345678")
        [frames] = self.peer.flush()
        self.assertIn((PATH_RESPONSE, 0, 0, b"12345678"), frames)

    def test_response(self) -> None:
        """
        The data of a PATH_RESPONSE is for the owner.
        """
        self.peer.give(bytes((PATH_RESPONSE,)) + b"12345678")
        self.assertEqual(self.peer.connection.path_response, b"12345678")


class AckTests(SynchronousTestCase):
    """
    When and what the connection acknowledges.
    """

    def setUp(self) -> None:
        self.peer = Peer(limits=Limits(ack_delay=15 * MILLISECOND))
        self.peer.give(PING_FRAME)
        self.peer.flush()

    def test_delayed(self) -> None:
        """
        One packet is acknowledged alone after the ack delay, and says how long it waited.
        """
        self.peer.now += 10 * MILLISECOND
        self.peer.give(PING_FRAME)
        self.assertEqual(self.peer.wait(14 * MILLISECOND), [])
        [[(kind, largest, delay, bitmap)]] = self.peer.wait(MILLISECOND)
        self.assertEqual((kind, largest, delay, bitmap), (ACK, 1, 15, b"\x01"))

    def test_second(self) -> None:
        """
        The second is acknowledged at once, as everything ack-eliciting.
        """
        for frame in (
            PING_FRAME,
            reliable(0),
            bytes((PATH_CHALLENGE,)) + bytes(8),
            bytes((PATH_RESPONSE,)) + bytes(8),
        ):
            self.setUp()
            self.peer.now += MILLISECOND
            self.peer.give(frame)
            self.peer.give(frame)
            self.assertEqual(acks(self.peer.flush()), [(2, b"\x03")])

    def test_notEliciting(self) -> None:
        """
        Unreliable messages and ACKs are not acknowledged.
        """
        self.peer.connection.send(b"x", True, 0, self.peer.now)
        self.peer.flush()
        for _ in range(5):
            self.peer.give(unreliable(b"x"), ack(0))
        self.assertEqual(acks(self.peer.wait(SECOND)), [])

    def test_onData(self) -> None:
        """
        An ACK that is owed rides on data that leaves before it is due.
        """
        self.peer.now += MILLISECOND
        self.peer.give(PING_FRAME)
        self.peer.connection.send(b"x", False)
        [[first, second]] = self.peer.flush()
        self.assertEqual((first[:2], second[3]), ((ACK, 1), b"x"))
        self.assertEqual(self.peer.wait(SECOND), [])

    def test_bitmapShrinks(self) -> None:
        """
        What the peer acknowledged to have heard of is left out.
        """
        for number in range(20):
            self.peer.give(reliable(number))
        self.peer.connection.send(b"x", True, 0, self.peer.now)
        self.assertEqual(len(acks(self.peer.flush())[0][1]), 3)
        self.peer.give(ack(self.peer.packets[-1][0]), reliable(20))
        self.assertEqual(acks(self.peer.wait(SECOND)), [(21, b"")])


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


class MemoryTests(SynchronousTestCase):
    """
    What an idle connection takes; measured with many for the users of a process in C{bench}.
    """

    def idle(self, message: bytes, is_reliable: bool) -> float:
        """
        Bytes of each of many servers' ends after a few messages both ways.
        """
        pairs: list[tuple[Peer, Peer]] = []

        def talk() -> None:
            for _ in range(100):
                client, server = Peer(True), Peer(False)
                for _ in range(3):
                    for one, other in ((client, server), (server, client)) * 2:
                        one.connection.send(message, is_reliable, 0, one.now)
                        one.now += 30 * MILLISECOND
                        one.connection.tick(one.now)
                        for datagram in one.connection.flush(one.now):
                            other.connection.receive(datagram, other.now)
                        other.connection.delivered.clear()
                pairs.append((client, server))

        return memory(talk) / 100 / 2

    def test_idle(self) -> None:
        """
        With everything around it in the test it stays below 4 KB, also if it spoke reliably.
        """
        self.assertLess(self.idle(b"keep alive", False), 4_000)
        self.assertLess(self.idle(b"keep alive", True), 5_000)


class RekeyTests(SynchronousTestCase):
    """
    The end of the packet numbers.
    """

    LIMIT = 2**28 - 4096

    def test_sender(self) -> None:
        """
        Before the limit the connection closes with REKEY, in the middle of a flush too, and all
        that it still sends is below the limit.
        """
        peer = Peer()
        peer.connection._sent.next_number = peer._largest = self.LIMIT - 10
        for _ in range(30):
            peer.connection.send(bytes(1_100), False)
        packets = peer.wait(5 * SECOND)
        self.assertEqual(closes(packets), [b"\x09"] * 3)
        self.assertEqual(peer.connection.code, CloseCode.REKEY)
        self.assertLess(max(number for number, _, _ in peer.packets), self.LIMIT)

    def test_receiver(self) -> None:
        """
        A packet below the limit is taken, one at the limit is the peer's fault.
        """
        for number, code in ((self.LIMIT - 1, None), (self.LIMIT, CloseCode.PROTOCOL)):
            peer = Peer()
            peer.connection._received.largest = self.LIMIT - 100
            self.assertTrue(peer.give(PING_FRAME, number=number))
            self.assertEqual(peer.connection.code, code)


class RoundTripTests(SynchronousTestCase):
    """
    What is known of the path.
    """

    def test_seeded(self) -> None:
        """
        The handshake's round trip is the first sample.
        """
        self.assertEqual(Peer(round_trip=80_000).connection.round_trip.smoothed, 80_000)
        self.assertEqual(Peer(round_trip=0).connection.round_trip.smoothed, 0)

    def test_noSample(self) -> None:
        """
        Without any sample an ACK of something else makes no packet lost at once.
        """
        peer = Peer(round_trip=0)
        for _ in range(2):
            peer.connection.send(b"x", True, 0, peer.now)
            peer.flush()
        peer.connection.send(b"x", False)
        peer.flush()
        peer.now += MILLISECOND
        peer.give(ack(2, 1))
        self.assertEqual(datas(peer.wait(500 * MILLISECOND)), [])
        self.assertEqual(peer.connection.retransmitted, 0)
