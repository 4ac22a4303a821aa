"""
Tests of L{diarkis_tw.http.json_resource}.
"""

from collections.abc import Callable
from io import BytesIO

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import HttpError
from diarkis_tw.http.json_resource import (
    BODY_LIMIT,
    BODY_PATIENCE,
    PIECES_MOST,
    BoundedRequest,
    JsonResource,
    Root,
)
from diarkis_tw.http.site import JsonSite
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
        self.site = JsonSite(Root({b"odd": self.odd}, JsonResource()), self.reactor)

    def ask(self, body: bytes | None = None) -> Answer:
        """
        Ask the odd one.
        """
        connection = HttpConnection(self.site)
        connection.send(encode("GET" if body is None else "POST", "/odd", body))
        return connection.answer()

    def test_value(self) -> None:
        """
        A mapping, or a Deferred of one, becomes JSON.
        """
        self.odd.make = lambda request: {"a": 1}
        self.assertEqual(self.ask().json(), {"a": 1})
        self.odd.make = lambda request: succeed({"a": 2})
        self.assertEqual(self.ask().json(), {"a": 2})

    def test_httpError(self) -> None:
        """
        An HttpError, raised now or later, becomes its answer and is not logged.
        """
        error = HttpError(418, "I am a teapot.", "teapot")

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

    def test_manyPieces(self) -> None:
        """
        A body in ever so many chunks, each of which costs more than its bytes, is cut off.
        """
        connection = HttpConnection(self.site)
        connection.send(encode("POST", "/odd", None, {"Transfer-Encoding": "chunked"}))
        connection.send(b"1\r\nx\r\n" * PIECES_MOST)
        self.assertTrue(connection.transport.connected)
        connection.send(b"1\r\nx\r\n")
        self.assertFalse(connection.transport.connected)

    def test_query(self) -> None:
        """
        A query is kept as it came, and nothing of it is parsed before someone asks.
        """
        self.odd.make = lambda request: {
            "query": request.query.decode(),
            "path": request.path.decode(),
            "args": request.args,
        }
        connection = HttpConnection(self.site)
        connection.send(encode("GET", "/odd?a=1&b=?"))
        found = connection.answer().json()
        self.assertEqual(found, {"query": "a=1&b=?", "path": "/odd", "args": {}})

    def test_dribbledRequest(self) -> None:
        """
        A request may come byte by byte.
        """
        connection = HttpConnection(self.site)
        for byte in encode("POST", "/odd", b"12345"):
            connection.send(bytes([byte]))
        self.assertEqual(connection.answer().json(), {"size": 5})
