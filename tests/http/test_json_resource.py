"""
Tests of L{diarkis_tw.http.json_resource}.
"""

from collections.abc import Callable
from io import BytesIO

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.http.json_resource import (
    BODY_LIMIT,
    BODY_PATIENCE,
    CONNECTIONS_MOST,
    IDLE_TIMEOUT,
    ApiError,
    BoundedRequest,
    JsonResource,
    JsonSite,
    Root,
)
from tests.http.case import Answer, HttpConnection, encode


class Odd(JsonResource):
    """
    Answers with what a test says.
    """

    methods = (b"GET", b"POST")
    make: Callable[[BoundedRequest], object]

    def answer(self, request: BoundedRequest) -> object:
        return self.make(request)


class JsonResourceTests(SynchronousTestCase):
    """
    Answers, failures and bodies.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.odd = Odd()
        self.odd.make = lambda request: {"size": len(request.body())}
        self.site = JsonSite(Root({b"odd": self.odd}, ""), self.reactor)

    def ask(self, body: bytes | None = None) -> Answer:
        """
        Ask the odd one.
        """
        connection = HttpConnection(self.site)
        connection.send(encode("GET" if body is None else "POST", "/odd", body))
        return connection.answer()

    def test_so_many_connections(self) -> None:
        """
        So many connections at once; one that ends makes room for another.
        """
        channels = [self.site.buildProtocol(None) for _ in range(CONNECTIONS_MOST)]
        self.assertNotIn(None, channels)
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertEqual(self.site.turned_away, 1)
        transport = StringTransport()
        channels[0].makeConnection(transport)
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.site.buildProtocol(None))
        self.assertIsNone(self.site.buildProtocol(None))

    def test_value(self) -> None:
        """
        A mapping, or a Deferred of one, becomes JSON.
        """
        self.odd.make = lambda request: {"a": 1}
        self.assertEqual(self.ask().json(), {"a": 1})
        self.odd.make = lambda request: succeed({"a": 2})
        self.assertEqual(self.ask().json(), {"a": 2})

    def test_apiError(self) -> None:
        """
        An ApiError, raised now or later, becomes its answer and is not logged.
        """
        error = ApiError(418, "teapot", "I am a teapot.")

        def refuse(request: BoundedRequest) -> object:
            raise error

        expected = {"code": 418, "error": "teapot", "message": "I am a teapot."}
        self.odd.make = refuse
        self.assertEqual(self.ask().json(), expected)
        self.odd.make = lambda request: fail(error)
        self.assertEqual(self.ask().json(), expected)

    def test_failure(self) -> None:
        """
        Any other failure is 500 in JSON, with its details in the log only.
        """

        def broken(request: BoundedRequest) -> object:
            raise ZeroDivisionError("secret")

        self.odd.make = broken
        answer = self.ask()
        self.assertEqual((answer.status, answer.json()["error"]), (500, "internal"))
        self.assertNotIn(b"secret", answer.body)
        self.odd.make = lambda request: fail(ZeroDivisionError("secret"))
        self.assertEqual(self.ask().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_unencodable(self) -> None:
        """
        A value that is no JSON is 500 too, whenever it comes.
        """
        self.odd.make = lambda request: {"a": object()}
        self.assertEqual(self.ask().status, 500)
        self.odd.make = lambda request: succeed({"a": object()})
        self.assertEqual(self.ask().status, 500)
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_lateAnswer(self) -> None:
        """
        An answer to a client that has gone is dropped.
        """
        late: Deferred[object] = Deferred()
        self.odd.make = lambda request: late
        connection = HttpConnection(self.site)
        connection.send(encode("GET", "/odd"))
        connection.transport.loseConnection()
        late.callback({"a": 1})
        self.assertEqual(connection.transport.value(), b"")

    def test_bodyInMemory(self) -> None:
        """
        Of a body above the limit no more is kept than the limit.
        """
        kept = []

        def look(request: BoundedRequest) -> object:
            assert isinstance(request.content, BytesIO)
            kept.append(len(request.content.getvalue()))
            return {"size": len(request.body())}

        self.odd.make = look
        connection = HttpConnection(self.site)
        size = BODY_PATIENCE
        connection.send(encode("POST", "/odd", None, {"Content-Length": str(size)}))
        for _ in range(size // 4096):
            connection.send(bytes(4096))
        self.assertEqual(connection.answer().status, 413)
        self.assertEqual(kept, [BODY_LIMIT])

    def test_endlessBody(self) -> None:
        """
        An upload far above the limit is cut off, announced or chunked.
        """
        for head in ({"Content-Length": str(10**12)}, {"Transfer-Encoding": "chunked"}):
            connection = HttpConnection(self.site)
            connection.send(encode("POST", "/odd", None, head))
            part = bytes(2**16)
            if "Transfer-Encoding" in head:
                part = b"10000\r\n" + part + b"\r\n"
            for _ in range(BODY_PATIENCE // 2**16):
                connection.send(part)
            self.assertTrue(connection.transport.connected)
            connection.send(part)
            self.assertFalse(connection.transport.connected)

    def test_idle(self) -> None:
        """
        A connection without a request is closed in time, on the clock that was given.
        """
        connection = HttpConnection(self.site)
        self.reactor.advance(IDLE_TIMEOUT - 1)
        self.assertTrue(connection.transport.connected)
        self.reactor.advance(2)
        self.assertFalse(connection.transport.connected)

    def test_dribbledRequest(self) -> None:
        """
        A request may come byte by byte.
        """
        connection = HttpConnection(self.site)
        for byte in encode("POST", "/odd", b"12345"):
            connection.send(bytes([byte]))
        self.assertEqual(connection.answer().json(), {"size": 5})
