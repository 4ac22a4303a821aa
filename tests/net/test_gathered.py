"""
L{diarkis_tw.net.gathered}, around Twisted's own transport on a pair of sockets.
"""

import contextlib
import socket
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.net.gathered import GATHER_MOST, GatheredTransport, Gathering
from tests.transports.fake_socket import FakeSocket


class GatheredCase(SynchronousTestCase):
    """
    Connections of one server.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.gathering = Gathering(self.reactor)
        self.transport, self.peer, self.gathered = self.connect()

    def connect(self) -> tuple[tcp.Server, socket.socket, GatheredTransport]:
        """
        Make a connection.

        @return: Twisted's transport, the other end, and what is tested.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
            self.addCleanup(end.close)
        port = cast(Any, SimpleNamespace(_realPortNumber=7200))
        transport = tcp.Server(ours, Protocol(), ("", 0), port, 1, cast(Any, self.reactor))
        gathered = self.gathering.wrap(cast(Any, transport))
        assert isinstance(gathered, GatheredTransport)
        return transport, theirs, gathered

    def turn(self) -> None:
        """
        End this turn of the reactor.
        """
        self.reactor.advance(0)

    def came(self, peer: socket.socket | None = None) -> bytes:
        """
        What the peer has received since this was last asked.
        """
        came = b""
        with contextlib.suppress(BlockingIOError):
            while data := (peer or self.peer).recv(2**20):
                came += data
        return came

    def waits(self) -> bool:
        """
        Whether the reactor's write queue has something of the connection.
        """
        return self.transport in self.reactor.writers


class TurnTests(GatheredCase):
    """
    When bytes go out.
    """

    def test_one_turn(self) -> None:
        """
        What is written in a turn goes out at its end, in order and past the reactor's queue.
        """
        for _ in range(2):
            for data in (b"one ", b"two ", b"three"):
                self.gathered.write(data)
            self.assertEqual(self.came(), b"")
            self.turn()
            self.assertEqual(self.came(), b"one two three")
            self.assertFalse(self.waits())

    def test_many(self) -> None:
        """
        Many connections wait for one delayed call, and each gets its own.
        """
        others = [self.connect() for _ in range(3)]
        for number, (_, _, gathered) in enumerate(others):
            gathered.write(b"%d" % number)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.turn()
        self.assertEqual([self.came(peer) for _, peer, _ in others], [b"0", b"1", b"2"])

    def test_nothing(self) -> None:
        """
        Without anything to write there is no delayed call.
        """
        self.turn()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_bound(self) -> None:
        """
        Beyond GATHER_MOST bytes nothing waits for the end of the turn, and order is kept.
        """
        half = GATHER_MOST // 2
        self.gathered.write(b"a" * half)
        self.gathered.write(b"b" * half)
        self.assertEqual(self.came(), b"")
        self.gathered.write(b"c")
        self.assertEqual(self.came(), b"a" * half + b"b" * half + b"c")
        self.gathered.write(b"d")
        self.assertEqual(self.came(), b"")
        self.turn()
        self.assertEqual(self.came(), b"d")

    def test_now(self) -> None:
        """
        What is written now goes out now, but not before what waits.
        """
        self.gathered.write_now(b"now ")
        self.assertEqual(self.came(), b"now ")
        self.gathered.write(b"first ")
        self.gathered.write_now(b"second")
        self.assertEqual(self.came(), b"")
        self.turn()
        self.assertEqual(self.came(), b"first second")

    def test_full_socket(self) -> None:
        """
        What the socket does not take goes through the reactor's queue, and so does all behind it.
        """
        size = 2_000_000
        self.gathered.write(b"a" * size)
        self.assertTrue(self.waits())
        self.gathered.write(b"b" * 10)
        self.turn()
        self.gathered.write_now(b"c")
        came = self.came()
        self.assertLess(len(came), size)
        while self.waits():
            self.transport.doWrite()
            came += self.came()
        self.assertEqual(came, b"a" * size + b"b" * 10 + b"c")

    def test_producer(self) -> None:
        """
        A producer is paused once Twisted's own buffer is full.
        """
        producer = FakeSocket()
        self.gathered.registerProducer(producer, True)  # type: ignore[arg-type]
        self.gathered.write(b"a" * 2_000_000)
        self.assertFalse(producer.reading)
        self.gathered.unregisterProducer()


class EndTests(GatheredCase):
    """
    When the connection ends.
    """

    def test_shut(self) -> None:
        """
        Whoever ends in order says first what waits.
        """
        for end in ("loseConnection", "loseWriteConnection"):
            _, peer, gathered = self.connect()
            gathered.write(b"last words")
            getattr(gathered, end)()
            self.assertEqual(self.came(peer), b"last words", end)

    def test_abort(self) -> None:
        """
        Whoever aborts says nothing more.
        """
        self.gathered.write(b"too late")
        self.gathered.abortConnection()
        self.turn()
        self.assertEqual(self.came(), b"")

    def test_lost(self) -> None:
        """
        What waits for a connection that is lost harms no other.
        """
        _, peer, other = self.connect()
        self.gathered.write(b"to nobody")
        other.write(b"to somebody")
        self.transport.connectionLost(Failure(CONNECTION_DONE))
        self.turn()
        self.assertEqual(self.came(peer), b"to somebody")

    def test_broken(self) -> None:
        """
        A socket that is found broken is left to the reactor.
        """
        self.peer.close()
        self.gathered.write(b"hello")
        self.turn()
        self.assertTrue(self.waits())


class WrapTests(GatheredCase):
    """
    What is wrapped.
    """

    def test_others(self) -> None:
        """
        Transports other than plain TCP stay as they are.
        """
        other = FakeSocket()
        self.assertIs(self.gathering.wrap(other), other)

    def test_delegates(self) -> None:
        """
        Whatever else a stream needs goes on to the transport.
        """
        self.transport.startReading()
        self.assertIn(self.transport, self.reactor.readers)
        self.gathered.pauseProducing()
        self.assertNotIn(self.transport, self.reactor.readers)
        self.gathered.resumeProducing()
        self.assertIn(self.transport, self.reactor.readers)
