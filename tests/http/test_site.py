"""
Tests of L{diarkis_tw.http.site} and L{diarkis_tw.http.channel}.
"""

from typing import cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel

from diarkis_tw.http.channel import LINGER, READ_SIZE, REQUESTS_A_READ, WAIT_MOST
from diarkis_tw.http.json_resource import BoundedRequest, JsonResource, Root
from diarkis_tw.http.site import CONNECTIONS_MOST, JsonSite
from tests.http.case import HttpConnection, encode


class Slow(JsonResource):
    """
    Answers when the test says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[object]] = []

    def answer(self, request: BoundedRequest) -> object:
        self.waiting.append(Deferred())
        return self.waiting[-1]


SLOW = encode("GET", "/slow")
NOTHING = encode("GET", "/nothing")


class SiteCase(SynchronousTestCase):
    """
    A site on a clock.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.slow = Slow()
        self.site = JsonSite(Root({b"slow": self.slow}, JsonResource()), self.reactor)

    def connect(self, sent: bytes = b"") -> HttpConnection:
        """
        Open a connection and send something.
        """
        connection = HttpConnection(self.site)
        if sent:
            connection.send(sent)
        return connection


class ManyTests(SiteCase):
    """
    More connections than there is room for.
    """

    def test_displaced(self) -> None:
        """
        At the cap, whoever has waited longest makes room.
        """
        first = self.connect(NOTHING)
        second = self.connect()
        others = [self.connect() for _ in range(CONNECTIONS_MOST - 2)]
        first.send(NOTHING)  # waits anew
        newest = self.connect(NOTHING)
        self.assertEqual(newest.answer().status, 404)
        self.assertFalse(second.transport.connected)
        self.assertTrue(first.transport.connected)
        self.assertTrue(all(one.transport.connected for one in others))
        self.assertEqual((self.site.displaced, self.site.turned_away), (1, 0))

    def test_flood(self) -> None:
        """
        However many connections are opened and say nothing, a player gets through.
        """
        player = self.connect(NOTHING)
        for _ in range(3 * CONNECTIONS_MOST):
            self.connect(b"GET / HT")
        self.assertFalse(player.transport.connected)
        self.assertEqual(self.connect(NOTHING).answer().status, 404)
        self.assertEqual(self.site.displaced, 2 * CONNECTIONS_MOST + 2)

    def test_busy(self) -> None:
        """
        Those that wait for an answer are not displaced; without another the new one is
        turned away.
        """
        busy = [self.connect(SLOW) for _ in range(CONNECTIONS_MOST)]
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertEqual((self.site.displaced, self.site.turned_away), (0, 1))
        self.slow.waiting[7].callback({})
        self.assertEqual(busy[7].answer().status, 200)
        self.assertEqual(self.connect(NOTHING).answer().status, 404)
        self.assertFalse(busy[7].transport.connected)
        self.assertIsNotNone(self.connect())

    def test_gone(self) -> None:
        """
        Connections that ended, waiting or busy, take no room.
        """
        for _ in range(2 * CONNECTIONS_MOST):
            self.connect(SLOW).transport.loseConnection()
            self.connect().transport.loseConnection()
        self.assertEqual((self.site.displaced, self.site.turned_away), (0, 0))


class TimeTests(SiteCase):
    """
    How long a connection may do nothing useful.
    """

    def test_idle(self) -> None:
        """
        A connection without a request is closed in time, on the clock that was given.
        """
        connection = self.connect()
        self.reactor.advance(WAIT_MOST - 1)
        self.assertTrue(connection.transport.connected)
        self.reactor.advance(2)
        self.assertFalse(connection.transport.connected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_trickle(self) -> None:
        """
        A request that comes byte by byte has no more time than one that does not come.
        """
        body = encode("POST", "/nothing", None, {"Content-Length": "99"})
        for begun in (b"", b"GET / HTTP/1.1\r\nX: ", body):
            connection = self.connect(begun)
            for _ in range(int(WAIT_MOST)):
                self.assertTrue(connection.transport.connected)
                connection.send(b"x")
                self.reactor.advance(1)
            self.assertFalse(connection.transport.connected)

    def test_kept(self) -> None:
        """
        With each answer the time begins anew, and it stands still while one is made.
        """
        connection = self.connect()
        for _ in range(3):
            self.reactor.advance(WAIT_MOST - 1)
            connection.send(NOTHING)
        connection.send(SLOW)
        self.reactor.advance(WAIT_MOST * 2)
        self.slow.waiting[0].callback({})
        self.reactor.advance(WAIT_MOST - 1)
        self.assertEqual([a.status for a in connection.answers()], [404, 404, 404, 200])
        self.reactor.advance(2)
        self.assertFalse(connection.transport.connected)

    def test_unread(self) -> None:
        """
        A client that does not read its last answer is cut off.
        """
        for request in (NOTHING, encode("GET", "/nothing", None, {"Connection": "close"})):
            connection = self.connect()
            connection.transport.loseConnection = lambda: None  # type: ignore[method-assign]
            connection.send(request)
            self.reactor.advance(LINGER - 1)
            self.assertFalse(connection.transport.disconnected)
            self.reactor.pump([WAIT_MOST - LINGER + 1, LINGER])
            self.assertTrue(connection.transport.disconnected)


class WorkTests(SiteCase):
    """
    How much one connection may ask for.
    """

    def test_pipelined(self) -> None:
        """
        Requests sent in one go are answered one by one, in order.
        """
        connection = self.connect(NOTHING + encode("GET", "/slow", b"abc") + NOTHING)
        self.assertEqual(len(connection.answers()), 1)
        self.slow.waiting[0].callback({})
        self.assertEqual([a.status for a in connection.answers()], [404, 200, 404])
        self.assertTrue(connection.transport.connected)

    def test_pipelined_flood(self) -> None:
        """
        One read is good for so many requests; the last answer says that it is.
        """
        for one in (NOTHING, encode("POST", "/nothing", b"abc")):
            connection = self.connect(one * (REQUESTS_A_READ - 1))
            self.assertTrue(connection.transport.connected)
            connection = self.connect(one * 1000)
            answers = connection.answers()
            self.assertEqual(len(answers), REQUESTS_A_READ)
            self.assertNotIn("Connection", answers[-2].headers)
            self.assertEqual(answers[-1].headers["Connection"], "close")
            self.assertFalse(connection.transport.connected)

    def test_many_in_turn(self) -> None:
        """
        One after the other, a connection may make any number.
        """
        connection = self.connect()
        for _ in range(5 * REQUESTS_A_READ):
            connection.send(NOTHING)
        self.assertEqual(len(connection.answers()), 5 * REQUESTS_A_READ)
        self.assertTrue(connection.transport.connected)

    def test_read_size(self) -> None:
        """
        A turn of the reactor reads only so much from one connection.
        """
        transport = cast(FileDescriptor, self.connect().transport)
        self.assertEqual(transport.bufferSize, READ_SIZE)

    def test_read_size_with_tls(self) -> None:
        """
        The same holds for the socket below TLS.
        """
        socket = StringTransport()
        channel = cast(Protocol, self.site.buildProtocol(None))
        ProtocolWrapper(WrappingFactory(self.site), channel).makeConnection(socket)
        self.assertEqual(cast(FileDescriptor, socket).bufferSize, READ_SIZE)

    def test_headers(self) -> None:
        """
        A flood of headers, or one without end, is refused.
        """
        endless = b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000
        long_path = b"GET /" + b"a" * 40_000
        many = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n"
        for flood in (endless, long_path, many):
            connection = self.connect(flood)
            self.assertFalse(connection.transport.connected)
            self.assertLess(len(connection.transport.value()), 100)

    def test_one_protocol(self) -> None:
        """
        Only the protocol that is bounded is offered.
        """
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])
        self.assertIsInstance(self.site.buildProtocol(None), HTTPChannel)


class CloseTests(SiteCase):
    """
    The end of the site.
    """

    def test_none(self) -> None:
        """
        Without connections it has closed at once.
        """
        self.successResultOf(self.site.when_closed())

    def test_waits_for_answers(self) -> None:
        """
        Who waits for an answer gets it, and then it is over; the others are closed at once.
        """
        idle, half, busy = self.connect(), self.connect(b"GET"), self.connect(SLOW)
        closed = self.site.when_closed()
        self.assertFalse(idle.transport.connected)
        self.assertFalse(half.transport.connected)
        self.assertNoResult(closed)
        self.slow.waiting[0].callback({})
        self.assertEqual(busy.answer().headers["Connection"], "close")
        self.assertFalse(busy.transport.connected)
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_abort(self) -> None:
        """
        Whoever has waited long enough cuts the rest.
        """
        busy = self.connect(SLOW)
        closed = self.site.when_closed()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.site.abort_all()
        self.assertFalse(busy.transport.connected)
