"""
Tests of L{diarkis_tw.transports.tcp}: clients that do not read, handlers that
do not finish, commands faster than allowed.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.inbox import FULL_PATIENCE, QUEUE_LIMIT, RELEASE_AT
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import HOLD_BYTES, QUEUE_BYTES, Phase
from diarkis_tw.wire.message import PUSH_HEADER_SIZE
from tests.transports.case import ECHO, SHOUT, SLOW, TcpCase, TcpClient
from tests.transports.fake_socket import HIGH_WATER

OVERHEAD = 4 + PUSH_HEADER_SIZE + 16
"""Bytes of a push's record besides its payload."""

BLOCK = 4096 - OVERHEAD
"""Payload of a push whose record has 4096 bytes."""


class SlowReaderTests(TcpCase):
    """
    A client that does not read.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.peer = self.opened(self.alice)
        self.peer.socket.room = 0
        self.pushed = 0

    def push(self, count: int = 1) -> bool:
        """
        Push numbered blocks; each record has 4096 bytes.

        @return: whether the last one was taken.
        """
        taken = False
        for _ in range(count):
            taken = self.alice.server_push(2, 1, b"%08d" % self.pushed + bytes(BLOCK - 8))
            self.pushed += 1
        return taken

    def stuff(self) -> None:
        """
        Fill the socket's own buffer.
        """
        while not self.peer.connection._stuffed:
            self.assertTrue(self.push())

    def numbers(self) -> list[int]:
        """
        Which blocks the client got.
        """
        return [int(payload[:8]) for payload in self.peer.payloads() if len(payload) == BLOCK]

    def test_queuedIsExact(self) -> None:
        """
        What the socket has no room for is counted to the byte, and nothing else is.
        """
        connection = self.peer.connection
        self.stuff()
        self.assertEqual(self.pushed * 4096, HIGH_WATER + 4096)
        self.assertEqual(connection.queued, 0)
        self.push(3)
        self.assertEqual(connection.queued, 3 * 4096)
        self.alice.server_push(2, 1, b"x")
        self.assertEqual(connection.queued, 3 * 4096 + 1 + OVERHEAD)
        self.peer.socket.room = None
        self.peer.turn()
        self.assertEqual(connection.queued, 0)

    def test_orderIsKept(self) -> None:
        """
        What waited and what came after it arrive once, in order, whatever the peer takes at once.
        """
        self.push(100)
        for room in (1, 4095, 4096, 70_000, 0, 12_345):
            self.peer.socket.room = room
            self.peer.turn()
            self.push()
        self.peer.socket.room = None
        self.peer.turn()
        self.push()
        self.peer.turn()
        self.assertEqual(self.numbers(), list(range(self.pushed)))

    def test_holding(self) -> None:
        """
        Above HOLD_BYTES commands are left unread; at it they are read again, in order.
        """
        self.stuff()
        self.push(HOLD_BYTES // 4096)
        connection = self.peer.connection
        self.assertEqual(connection.queued, HOLD_BYTES)
        self.assertTrue(self.peer.socket.reading)
        self.push(2 * HIGH_WATER // 4096)
        self.assertFalse(self.peer.socket.reading)
        for n in range(3):
            self.peer.socket.arrive(self.peer.raw.request(2, ECHO, b"command %d" % n))
        self.peer.socket.room = HIGH_WATER + 4096
        self.peer.turn()
        self.assertEqual(connection.queued, HOLD_BYTES + HIGH_WATER - 4096)
        self.assertFalse(self.peer.socket.reading)
        self.assertEqual(self.echoed, [])
        self.peer.socket.room = HIGH_WATER + 4096
        self.peer.turn()
        self.assertTrue(self.peer.socket.reading)
        self.peer.socket.room = None
        self.peer.turn()
        self.assertEqual(self.peer.payloads()[-3:], [b"command 0", b"command 1", b"command 2"])
        self.assertEqual(self.numbers(), list(range(self.pushed)))

    def test_heldWithRecordsRead(self) -> None:
        """
        Commands of one chunk behind the one that filled the queue wait for the client to read.
        """
        self.peer.socket.room = HIGH_WATER + 1
        size = (HOLD_BYTES + 1).to_bytes(4)
        shout = self.peer.raw.request(2, SHOUT, b"1---" + HIGH_WATER.to_bytes(4))
        fill = self.peer.raw.request(2, SHOUT, b"2---" + size)
        behind = self.peer.raw.request(2, ECHO, b"3")
        self.peer.send(shout, fill, behind)
        self.assertFalse(self.peer.socket.reading)
        self.assertEqual([payload[:1] for payload in self.peer.payloads()], [])
        self.peer.socket.room = None
        self.peer.turn()
        self.assertEqual([payload[:1] for payload in self.peer.payloads()], [b"1", b"2", b"3"])
        self.assertTrue(self.peer.socket.reading)
        self.assertTrue(self.peer.alive())

    def test_refusing(self) -> None:
        """
        Up to QUEUE_BYTES messages are taken; beyond, they are refused and counted, never raised.
        """
        self.stuff()
        self.assertTrue(self.push(QUEUE_BYTES // 4096))
        connection = self.peer.connection
        self.assertEqual(connection.queued, QUEUE_BYTES)
        self.assertFalse(self.push())
        self.assertFalse(self.alice.server_push(2, 1, b"", reliable=False))
        self.assertEqual(self.factory.refused, 2)
        self.assertEqual(connection.queued, QUEUE_BYTES)
        self.assertIs(connection.phase, Phase.OPEN)

    def test_refusedAreNotNumbered(self) -> None:
        """
        A refused message leaves no gap in the stream: later ones still open.
        """
        self.stuff()
        self.push(QUEUE_BYTES // 4096)
        last = self.pushed
        self.assertFalse(self.push())
        self.peer.socket.room = None
        self.peer.turn()
        self.assertTrue(self.push())
        self.peer.turn()
        self.assertEqual(self.numbers(), [*range(last), last + 1])
        self.assertTrue(self.peer.alive())

    def test_overflow(self) -> None:
        """
        Refusing for its whole patience ends the session with OVERFLOW.
        """
        self.stuff()
        self.push(QUEUE_BYTES // 4096 + 1)
        self.keep_alive_for(FULL_PATIENCE - 1)
        self.assertState(self.alice, UserState.CONNECTED)
        self.keep_alive_for(2)
        self.assertState(self.alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])
        self.peer.socket.room = None
        self.assertClosed(self.peer, CloseCode.OVERFLOW)
        self.assertEqual(self.numbers(), list(range(self.pushed - 1)))

    def keep_alive_for(self, seconds: float) -> None:
        """
        Let time pass on a connection that is not silent: reading is held, so what keeps it
        alive is what had been read before.
        """
        for _ in range(int(seconds)):
            self.peer.connection.heard = True
            self.advance(1)

    def test_recovers(self) -> None:
        """
        A client that reads again in time is as good as new, patience included.
        """
        self.stuff()
        self.push(QUEUE_BYTES // 4096 + 1)
        self.keep_alive_for(FULL_PATIENCE - 1)
        self.peer.socket.room = None
        self.peer.turn()
        self.peer.received.clear()
        self.assertTrue(self.peer.alive())
        self.peer.socket.room = 0
        self.pushed = 0
        self.stuff()
        self.push(QUEUE_BYTES // 4096 + 1)
        self.keep_alive_for(FULL_PATIENCE - 1)
        self.assertState(self.alice, UserState.CONNECTED)

    def test_readingLittleIsNotEnough(self) -> None:
        """
        A client that takes only what the socket had buffered does not reset its patience.
        """
        self.stuff()
        self.push(QUEUE_BYTES // 4096 + 1)
        self.keep_alive_for(5)
        self.peer.socket.room = HIGH_WATER
        self.peer.turn()
        self.assertFalse(self.push())
        self.keep_alive_for(6)
        self.assertState(self.alice, UserState.GONE)

    def test_kickedWhileStuffed(self) -> None:
        """
        CLOSE comes after all that waited, and its connection is aborted if it is not read.
        """
        self.push(50)
        self.alice.disconnect()
        self.assertFalse(self.peer.socket.shut)
        self.peer.socket.room = None
        self.assertClosed(self.peer, CloseCode.KICKED)
        self.assertEqual(self.numbers(), list(range(50)))

    def test_kickedAndNeverRead(self) -> None:
        """
        A client that does not read even its CLOSE is cut off after the linger.
        """
        self.push(50)
        self.alice.disconnect()
        self.advance(3)
        self.assertTrue(self.peer.socket.aborted)
        self.peer.turn()
        self.assertTrue(self.peer.socket.ended)

    def test_lostWhileStuffed(self) -> None:
        """
        What waited is gone with the connection; the session is not.
        """
        self.push(50)
        self.peer.socket.cut()
        self.peer.turn()
        self.assertState(self.alice, UserState.AWAY)
        self.assertTrue(self.opened(self.alice).alive())

    def test_forgedBehindHeldOnes(self) -> None:
        """
        A forged record that waited unread ends the connection in order once it is read.
        """
        self.stuff()
        self.push(HOLD_BYTES // 4096 + 1)
        self.assertFalse(self.peer.socket.reading)
        self.peer.socket.arrive(b"\x10\x00\x00\x10" + bytes(16))
        self.peer.turn()
        self.assertIs(self.peer.connection.phase, Phase.OPEN)
        self.peer.socket.room = None
        self.assertRefused(self.peer, CloseCode.PROTOCOL)


class SlowHandlerTests(TcpCase):
    """
    A handler that does not finish, and the commands behind it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.peer = self.opened(self.alice)

    def finish(self, which: bytes, answer: bytes = b"slow") -> None:
        """
        Let a handler finish.
        """
        waiting: Deferred[bytes] = self.slow.pop(which)
        waiting.callback(answer)
        self.peer.turn()

    def test_order(self) -> None:
        """
        Commands behind an unfinished one wait for it and then run in order.
        """
        self.peer.request(SLOW)
        for n in range(5):
            self.peer.request(ECHO, b"%d" % n)
        self.assertEqual(self.peer.payloads(), [])
        self.finish(b"")
        self.assertEqual(self.peer.payloads(), [b"slow", b"0", b"1", b"2", b"3", b"4"])

    def test_othersAreNotHindered(self) -> None:
        """
        Another user's commands run meanwhile.
        """
        self.peer.request(SLOW)
        self.assertTrue(self.opened(self.user("bob")).alive())

    def test_held(self) -> None:
        """
        With its queue full the connection is not read; at half it is, and nothing is lost.
        """
        self.peer.request(SLOW, b"a")
        for n in range(QUEUE_LIMIT):
            self.assertTrue(self.peer.socket.reading, n)
            kind, payload = (SLOW, b"b") if n == QUEUE_LIMIT - RELEASE_AT - 1 else (ECHO, b"%d" % n)
            self.peer.request(kind, payload)
        self.assertFalse(self.peer.socket.reading)
        for n in range(QUEUE_LIMIT, QUEUE_LIMIT + 50):
            self.peer.request(ECHO, b"%d" % n)
        self.assertFalse(self.peer.socket.reading)
        self.finish(b"a")
        self.assertTrue(self.peer.socket.reading)
        self.finish(b"b")
        expected = [b"%d" % n for n in range(QUEUE_LIMIT + 50)]
        expected[QUEUE_LIMIT - RELEASE_AT - 1] = b"slow"
        self.assertEqual(self.peer.payloads(), [b"slow", *expected])

    def test_heldWithinOneChunk(self) -> None:
        """
        What one chunk brings beyond a full queue waits in the reader and is not lost.
        """
        count = 2 * QUEUE_LIMIT + 100
        slow = self.peer.raw.request(2, SLOW)
        records = [self.peer.raw.request(2, ECHO, b"%d" % n) for n in range(count)]
        self.peer.send(slow, *records)
        self.assertFalse(self.peer.socket.reading)
        self.finish(b"")
        self.assertEqual(self.peer.payloads(), [b"slow", *(b"%d" % n for n in range(count))])
        self.assertTrue(self.peer.socket.reading)

    def held_with(self, *data: bytes) -> None:
        """
        Fill the user's queue with one chunk that ends with these bytes, then let it drain.
        """
        slow = self.peer.raw.request(2, SLOW)
        fill = [self.peer.raw.request(2, ECHO) for _ in range(QUEUE_LIMIT)]
        self.peer.socket.arrive(b"".join([slow, *fill, *data]))
        self.peer.turn()
        self.assertFalse(self.peer.socket.reading)
        self.assertEqual(self.peer.received, [])
        self.finish(b"")

    def test_forgedBehindHeldOnes(self) -> None:
        """
        A forged record read with held commands ends the connection in order, after them.
        """
        self.held_with(b"\x10\x00\x00\x10" + bytes(16))
        self.assertEqual(len(self.peer.payloads()), 1 + QUEUE_LIMIT)
        self.assertRefused(self.peer, CloseCode.PROTOCOL)

    def test_finBehindHeldOnes(self) -> None:
        """
        A goodbye read with held commands is answered after them, and the end is then noticed.
        """
        raw = self.peer.raw
        raw.sent += 1 + QUEUE_LIMIT
        fin = raw.request(0, 0, request_id=0)
        raw.sent -= 2 + QUEUE_LIMIT
        self.held_with(fin)
        self.assertClosed(self.peer, CloseCode.NORMAL)
        self.assertEqual(self.left, ["alice"])

    def test_fullForLong(self) -> None:
        """
        A queue that stays full for its patience ends the session with OVERFLOW.
        """
        self.peer.request(SLOW)
        for _ in range(QUEUE_LIMIT):
            self.peer.request(ECHO)
        self.advance(FULL_PATIENCE + 1)
        self.assertState(self.alice, UserState.GONE)
        self.assertClosed(self.peer, CloseCode.OVERFLOW)

    def test_finPassesTheQueue(self) -> None:
        """
        A user can leave whatever its handler does.
        """
        self.peer.request(SLOW)
        self.peer.send(self.peer.raw.request(0, 0, request_id=0))
        self.assertClosed(self.peer, CloseCode.NORMAL)
        self.assertEqual(self.left, ["alice"])

    def test_closePassesTheQueue(self) -> None:
        """
        A CLOSE counts while a handler runs.
        """
        self.peer.request(SLOW)
        self.peer.send(self.peer.raw.close())
        self.assertState(self.alice, UserState.GONE)
        self.assertClosing(self.peer)

    def test_lostWhileHeld(self) -> None:
        """
        Commands of a lost connection still run, and the next connection is read.
        """
        self.peer.request(SLOW)
        for n in range(QUEUE_LIMIT):
            self.peer.request(ECHO, b"%d" % n)
        self.peer.socket.cut()
        self.peer.turn()
        self.assertState(self.alice, UserState.AWAY)
        again = self.accepted(self.alice)
        again.request(ECHO, b"new")
        self.assertFalse(again.socket.reading)
        self.slow[b""].callback(b"slow")
        again.turn()
        self.assertTrue(again.socket.reading)
        self.assertEqual(again.payloads()[-1], b"new")

    def test_heldByBoth(self) -> None:
        """
        A connection held by its user and by its peer is read once neither holds it.
        """
        self.peer.request(SLOW)
        for _ in range(QUEUE_LIMIT):
            self.peer.request(ECHO)
        self.peer.socket.room = 0
        self.alice.server_push(2, 1, bytes(HIGH_WATER))
        self.alice.server_push(2, 1, bytes(HOLD_BYTES))
        self.slow[b""].callback(b"slow")
        self.peer.turn()
        self.assertIsNone(self.alice.inbox.full_since)
        self.assertFalse(self.peer.socket.reading)
        self.peer.socket.room = None
        self.peer.turn()
        self.assertTrue(self.peer.socket.reading)

    def test_readingWhileHeldByUser(self) -> None:
        """
        That the peer reads again does not overrule the user's full queue.
        """
        self.peer.request(SLOW)
        for _ in range(QUEUE_LIMIT):
            self.peer.request(ECHO)
        self.peer.socket.room = 0
        self.alice.server_push(2, 1, bytes(HIGH_WATER))
        self.alice.server_push(2, 1, bytes(HOLD_BYTES))
        self.peer.socket.room = None
        self.peer.turn()
        self.assertFalse(self.peer.socket.reading)
        self.finish(b"")
        self.assertTrue(self.peer.socket.reading)


class RateTests(TcpCase):
    """
    C{maxCommandRate} on a stream: commands wait, none is dropped.
    """

    def setUp(self) -> None:
        self.serve(rate=100)

    def flood(self, client: TcpClient, count: int) -> None:
        """
        Many commands at once.
        """
        client.send(*(client.raw.request(2, ECHO, b"%d" % n) for n in range(count)))

    def test_throttled(self) -> None:
        """
        Above its burst a client is left unread, and served at its rate, in order.
        """
        client = self.opened()
        self.flood(client, 500)
        first = len(client.payloads())
        self.assertLess(first, 300)
        self.assertFalse(client.socket.reading)
        for _ in range(4):
            self.advance(0.5)
            client.turn()
        self.assertAlmostEqual(len(client.payloads()) - first, 200, delta=10)
        for _ in range(4):
            self.advance(0.5)
            client.turn()
        self.assertEqual(client.payloads(), [b"%d" % n for n in range(500)])
        self.assertTrue(client.socket.reading)

    def test_closeWhileThrottled(self) -> None:
        """
        The end of a client that is left unread is noticed once it is read.
        """
        client = self.opened()
        self.flood(client, 300)
        self.assertFalse(client.socket.reading)
        client.send(client.raw.close())
        self.assertEqual(self.left, [])
        self.advance(1)
        client.turn()
        self.assertEqual(self.left, ["alice"])
        self.assertClosing(client)
