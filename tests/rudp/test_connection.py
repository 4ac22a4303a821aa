"""
Tests of L{diarkis_tw.rudp.connection}: packets in, acknowledgements, and what it
remembers.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
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
