"""
A peer that has the keys and means harm: what it can make one connection hold is
bounded, and where the protocol says so it is closed.

The bound, with the default limits: 8 channels x (255 early frames of an MTU, with
what Python takes for each, and one open message of 64 KiB); the process's
L{ReassemblyBudget} bounds all connections together. What the peer makes it send
is bounded by 256 packets in flight and 256 lost ones that are remembered.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import State
from diarkis_tw.wire.frame import (
    CHANNELS,
    MESSAGE,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    encode_ack,
    reliable_header,
)
from tests.rudp.peer import MILLISECOND, SECOND, Peer, ack, memory, reliable, unreliable

KIB = 1024
ROOM = 1200 - 11 - 16
HELD_MOST = CHANNELS * (255 * (ROOM + 200) + 80 * KIB)
"""Bytes that reassembly may take in one connection."""

SENT_MOST = 300 * KIB
"""Bytes that a connection may take for what it sent, its messages aside."""


class HostileTestCase(SynchronousTestCase):
    """
    A server's end and its peer.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def turn(self, *frames: bytes) -> None:
        """
        A packet comes and the connection's owner does its part.
        """
        self.peer.give(*frames)
        self.peer.connection.delivered.clear()
        self.peer.now += MILLISECOND
        if (self.connection.deadline() or self.peer.now) <= self.peer.now:
            self.connection.tick(self.peer.now)
        self.connection.flush(self.peer.now)


class ReassemblyTests(HostileTestCase):
    """
    Gaps and messages without end.
    """

    def widest(self, data: bytes) -> None:
        """
        Fill the windows of all channels but for their first frame.
        """
        for seq in range(1, 256):
            for channel in range(CHANNELS):
                self.turn(reliable_header(channel, seq, True, True) + data)

    def test_widestGaps(self) -> None:
        """
        The widest gaps on all channels, full of large frames, stay within the bound.
        """
        self.assertLess(memory(lambda: self.widest(bytes(ROOM - 3))), HELD_MOST)
        self.assertIs(self.connection.state, State.OPEN)
        self.assertEqual(self.connection.delivered, [])

    def test_emptyFrames(self) -> None:
        """
        Gaps full of empty frames take no more than the budget counts.
        """
        taken = memory(lambda: self.widest(b""))
        self.assertLess(taken, self.peer.budget.used + 20 * KIB)
        self.assertLess(taken, 400 * KIB)

    def test_gapsAndMessages(self) -> None:
        """
        Open messages of the largest size before gaps as wide are within the bound too.
        """

        def fill() -> None:
            for channel in range(CHANNELS):
                for seq in range(64):
                    header = reliable_header(channel, seq, seq == 0, False)
                    self.turn(header + bytes(KIB))
                for seq in range(65, 64 + 256):
                    self.turn(reliable_header(channel, seq, False, False) + bytes(ROOM - 3))

        self.assertLess(memory(fill), HELD_MOST)
        self.assertIs(self.connection.state, State.OPEN)

    def test_endlessMessage(self) -> None:
        """
        A message without end is closed with TOO_LARGE before it takes more than the largest one.
        """

        def endless() -> None:
            seq = 0
            while self.connection.state is State.OPEN:
                self.turn(reliable_header(0, seq, seq == 0, False) + bytes(ROOM - 3))
                seq += 1

        self.assertLess(memory(endless), 80 * KIB)
        self.assertEqual(self.connection.code, CloseCode.TOO_LARGE)
        self.assertEqual(self.peer.budget.used, 0)

    def test_emptyFragments(self) -> None:
        """
        A message of empty fragments goes on for ever and takes nothing.
        """

        def endless() -> None:
            for seq in range(8_000):
                self.turn(reliable_header(0, seq, seq == 0, False))

        self.assertLess(memory(endless), 20 * KIB)

    def test_hugeJumps(self) -> None:
        """
        A seq far beyond the window closes at once and keeps nothing.
        """
        for seq in (256, 1_000, 32_767, 32_768, 65_535):
            self.setUp()
            self.turn(reliable(seq, bytes(1_000)))
            self.assertEqual(self.connection.code, CloseCode.PROTOCOL)
            self.assertEqual(self.peer.budget.used, 0)

    def test_manyConnections(self) -> None:
        """
        Many such peers together hold the process's budget and no more, and another
        connection's messages go on arriving.
        """
        budget = ReassemblyBudget(2_000_000)
        for _ in range(4):
            self.peer = Peer(budget=budget)
            self.connection = self.peer.connection
            self.widest(bytes(1_000))
        self.assertLess(budget.used, 2_000_000)
        self.assertGreater(budget.used, 1_400_000)
        honest = Peer(budget=budget)
        for seq in range(100):
            honest.give(reliable(seq, b"%d" % seq))
        self.assertEqual(len(honest.delivered()), 100)


class FloodTests(HostileTestCase):
    """
    Frames that ask for something.
    """

    def flood(self, *frames: bytes, count: int = 600) -> int:
        """
        Send the same packet many times, without ever acknowledging anything.

        @return: the memory it took.
        """

        def work() -> None:
            for _ in range(count):
                self.turn(*frames)

        return memory(work)

    def test_pings(self) -> None:
        """
        PINGs are answered by one ACK for every second packet, and take nothing.
        """
        self.assertLess(self.flood(bytes((PING,)) * ROOM, count=100), 10 * KIB)
        self.assertLessEqual(self.connection._sent.next_number, 101)

    def test_challenges(self) -> None:
        """
        PATH_CHALLENGEs whose answers are never acknowledged take nothing.
        """
        self.assertLess(self.flood((bytes((PATH_CHALLENGE,)) + bytes(8)) * 100), 10 * KIB)
        self.assertIs(self.connection.state, State.OPEN)

    def test_challengesUnflushed(self) -> None:
        """
        Nor do they if the connection never comes to answering.
        """

        def work() -> None:
            for _ in range(200):
                self.peer.give((bytes((PATH_CHALLENGE,)) + bytes(8)) * 100)
                self.peer.give((bytes((PATH_RESPONSE,)) + bytes(8)) * 100)

        self.assertLess(memory(work), 10 * KIB)

    def test_duplicates(self) -> None:
        """
        The same reliable frame again and again takes nothing and arrives once.
        """
        self.peer.give(reliable(0))
        self.peer.delivered()
        self.assertLess(self.flood(reliable(0), reliable(0)), 10 * KIB)

    def test_unreliable(self) -> None:
        """
        A packet full of the smallest messages brings no more than fits it.
        """
        self.peer.give(unreliable(b"") * 390)
        self.assertEqual(len(self.peer.delivered()), 390)

    def test_acks(self) -> None:
        """
        The same ACK again and again, also several times in a packet, takes nothing.
        """
        self.connection.send(b"x", True, 0, self.peer.now)
        self.peer.flush()
        self.assertLess(self.flood(*[ack(0)] * 200, count=200), 10 * KIB)
        self.assertEqual(self.connection.queued, 0)

    def test_unsentAcks(self) -> None:
        """
        An ACK of what was never sent closes.
        """
        for largest in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
            self.setUp()
            self.turn(encode_ack(largest, 0, 0))
            self.assertEqual(self.connection.code, CloseCode.PROTOCOL, largest)


class SilentReceiverTests(HostileTestCase):
    """
    A peer that takes part but acknowledges nothing, or only what it should not.
    """

    def send(self) -> None:
        """
        Send as much as the connection takes.
        """
        while self.connection.send(bytes(1_000), True, 0, self.peer.now):
            pass

    def test_neverAcknowledges(self) -> None:
        """
        It holds the queue of 1 MB and little more, for as long as it likes to.
        """

        def work() -> None:
            self.send()
            for _ in range(2_000):
                self.turn(unreliable(b"still here"))
                self.peer.now += SECOND // 2
                self.send()

        self.assertLess(memory(work), 1024 * KIB + 4096 * 300 + SENT_MOST)
        self.assertIsNotNone(self.connection.full_since)
        self.assertIs(self.connection.state, State.OPEN)

    def test_neverAcknowledgesPing(self) -> None:
        """
        Unanswered PINGs are bounded as well.
        """
        self.connection.ping()

        def work() -> None:
            for _ in range(1_000):
                self.turn(unreliable(b"still here"))
                self.connection.ping()
                self.peer.now += SECOND // 2

        self.assertLess(memory(work), SENT_MOST)

    def test_acknowledgesOnlyLast(self) -> None:
        """
        If it acknowledges only each tenth packet, what is lost is remembered in bounds.
        """

        def work() -> None:
            for number in range(6_000):
                self.connection.send(b"x", False)
                self.connection.send(bytes(100), True, number % 8, self.peer.now)
                largest = self.connection._sent.next_number - 1
                if number % 10 == 9:
                    self.turn(encode_ack(largest, 255, 0))
                else:
                    self.turn(bytes((MESSAGE,)) + b"x")

        self.assertLess(memory(work), 1024 * KIB + 4096 * 300 + SENT_MOST)
        self.assertIs(self.connection.state, State.OPEN)

    def test_pausedForEver(self) -> None:
        """
        While the owner takes no more, what the peer sends is not kept.
        """
        self.connection.paused = True

        def work() -> None:
            for seq in range(3_000):
                self.turn(reliable(seq % 200, bytes(1_000)))

        self.assertLess(memory(work), 10 * KIB)
