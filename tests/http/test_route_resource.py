"""
Tests of L{diarkis_tw.http.route_resource}: what becomes of the answers of an
application's handlers.
"""

from twisted.internet.defer import Deferred, fail, succeed

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.http.routes import HttpHandler
from diarkis_tw.server import HttpError, HttpRequest, Response
from tests.http.case import encode
from tests.http.route_case import RouteCase

JSON = {"Content-Type": "application/json"}


class AnswerTests(RouteCase):
    """
    What becomes of a handler's answer.
    """

    def test_forms(self) -> None:
        """
        Handlers may be plain, return a Deferred, or be asynchronous.
        """

        async def at_once(request: HttpRequest) -> object:
            return {"a": 1}

        async def later(request: HttpRequest) -> object:
            return {"a": await succeed(1)}

        handlers: tuple[HttpHandler, ...] = (
            lambda request: {"a": 1},
            lambda request: succeed({"a": 1}),
            at_once,
            later,
        )
        for handler in handlers:
            self.assertEqual(self.one(handler).json(), {"a": 1})

    def test_later(self) -> None:
        """
        The answer goes out when it is there.
        """
        waiting: Deferred[object] = Deferred()
        self.routes({"GET /a": lambda request: waiting})
        connection = self.connect()
        connection.send(encode("GET", "/a"))
        self.assertEqual(connection.transport.value(), b"")
        waiting.callback((201, "made"))
        self.assertEqual((connection.answer().status, connection.answer().body), (201, b"made"))

    def test_types(self) -> None:
        """
        The type of the value decides the content type; browsers shall not guess another.
        """
        for value, kind, body in (
            ({"a": "ü"}, "application/json", '{"a":"ü"}'.encode()),
            ([1, 2], "application/json", b"[1,2]"),
            ("<b>ü", "text/plain; charset=utf-8", "<b>ü".encode()),
            (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        ):
            answer = self.one(lambda request, value=value: value)  # type: ignore[misc]
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, kind))
            self.assertEqual(answer.body, body)
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")

    def test_response(self) -> None:
        """
        A Response sets status and headers, and may replace those that are set otherwise.
        """
        headers = {"X-A": "b", "content-type": "image/png", "Cache-Control": "max-age=60"}
        answer = self.one(lambda request: Response(b"png", 203, headers))
        self.assertEqual(answer.status, 203)
        self.assertEqual(answer.headers.get_all("Content-Type"), ["image/png"])
        self.assertEqual(answer.headers.get_all("Cache-Control"), ["max-age=60"])
        self.assertEqual(answer.headers["X-A"], "b")

    def test_nothing(self) -> None:
        """
        None is 204, and the connection goes on behind it; an empty body of another status
        has its length.
        """
        self.routes({"GET /a": lambda request: None, "GET /b": lambda request: (202, None)})
        connection = self.connect()
        connection.send(encode("GET", "/a") + encode("GET", "/b"))
        first, second = connection.answers()
        self.assertEqual((first.status, first.body), (204, b""))
        self.assertEqual(
            (first.headers["Content-Length"], first.headers["Content-Type"]), (None, None)
        )
        self.assertEqual((second.status, second.headers["Content-Length"]), (202, "0"))

    def test_head(self) -> None:
        """
        HEAD is GET without the body, with its length.
        """
        self.routes({"GET /a": self.note})
        answer = self.ask("/a", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["Content-Length"], "5")
        self.assertEqual(self.seen[0].method, "HEAD")

    def test_header_injection(self) -> None:
        """
        A header of a handler cannot begin another one.
        """
        answer = self.one(lambda request: Response("a", headers={"X-A": "b\r\nX-B: c\r\n\r\nd"}))
        self.assertNotIn("X-B", answer.headers)
        self.assertEqual(answer.body, b"a")

    def test_http_error(self) -> None:
        """
        An HttpError becomes its answer, and the log does not hear of it.
        """

        async def refuse(request: HttpRequest) -> object:
            raise HttpError(409, "Taken.", "taken")

        def forbid(request: HttpRequest) -> object:
            raise HttpError(403, "Not you.")

        self.assertRefused(self.one(refuse), 409, "taken", "Taken.")
        self.assertRefused(self.one(forbid), 403, "forbidden", "Not you.")
        self.assertRefused(self.one(lambda request: fail(HttpError(413, "Big."))), 413, "too_large")
        self.assertEqual(self.flushLoggedErrors(), [])
        with self.assertRaises(ValueError):
            HttpError(200, "no error")

    def test_failing(self) -> None:
        """
        Any other failure is 500, with its details and the route in the log only.
        """

        def broken(request: HttpRequest) -> object:
            raise ZeroDivisionError("secret")

        async def broken_later(request: HttpRequest) -> object:
            await succeed(None)
            raise ZeroDivisionError("secret")

        wrong: tuple[HttpHandler, ...] = (
            broken,
            broken_later,
            lambda request: fail(ZeroDivisionError("secret")),
            lambda request: 404,
            lambda request: ("secret", 200),
            lambda request: (999, "secret"),
            lambda request: {"a": object()},
            lambda request: succeed({"a": object()}),
            lambda request: "\ud800",
            lambda request: Response("secret", headers={"no good": "a"}),
        )
        for handler in wrong:
            answer = self.one(handler)
            self.assertRefused(answer, 500, "internal", "log")
            self.assertNotIn(b"secret", answer.body)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_starting(self) -> None:
        """
        Nothing is served before the node serves.
        """
        self.serve(start=False)
        ready: Deferred[None] = Deferred()
        self.server.on_ready(lambda: ready)
        self.server.http.get("/a", self.note)
        self.start()
        self.assertRefused(self.ask("/a"), 503, "starting")
        self.assertRefused(self.ask("/b"), 404, "not_found")
        ready.callback(None)
        self.assertEqual(self.ask("/a").status, 200)
        self.server.offline()
        self.assertEqual(self.ask("/a").status, 200)


class ChainTests(RouteCase):
    """
    Several handlers of one route.
    """

    def test_order(self) -> None:
        """
        The next one runs if one returns None, at once or later; what one leaves, the next
        one finds.
        """

        def first(request: HttpRequest) -> None:
            request.data["steps"] = ["first"]

        async def second(request: HttpRequest) -> None:
            await succeed(None)
            steps(request).append("second")

        def third(request: HttpRequest) -> "Deferred[None]":
            steps(request).append("third")
            return succeed(None)

        def steps(request: HttpRequest) -> list[object]:
            found = request.data["steps"]
            assert isinstance(found, list)
            return found

        def last(request: HttpRequest) -> object:
            return steps(request)

        def never(request: HttpRequest) -> object:
            raise AssertionError

        for chain in ((first, last, never), (first, second, third, second, last, never)):
            self.routes({"GET /a": chain})
            self.assertIn(b'["first"', self.ask("/a").body)
        self.assertEqual(self.ask("/a").body, b'["first","second","third","second"]')

    def test_error(self) -> None:
        """
        An error ends the chain, at any place.
        """

        def refuse(request: HttpRequest) -> None:
            raise HttpError(401, "Say who you are.")

        async def later(request: HttpRequest) -> None:
            await succeed(None)

        for chain in ((refuse, self.note), (later, refuse, self.note)):
            self.routes({"GET /a": chain})
            self.assertRefused(self.ask("/a"), 401, "unauthorized")
        self.assertEqual(self.seen, [])

    def test_nobody_answers(self) -> None:
        """
        If none has an answer it is 204.
        """

        async def later(request: HttpRequest) -> None:
            await succeed(None)

        for chain in ((later, later), (later, lambda request: None), (lambda request: None, later)):
            self.routes({"GET /a": chain})
            self.assertEqual(self.ask("/a").status, 204)


class MethodTests(RouteCase):
    """
    Methods, and web pages of other origins.
    """

    ROUTES = ("GET /a", "PUT /a/", "POST /a/:x", "OPTIONS /own", "GET /own")

    def setUp(self) -> None:
        super().setUp()
        self.routes(dict.fromkeys(self.ROUTES, self.note))

    def test_others(self) -> None:
        """
        A method that a path does not have is 405 with those that it has.
        """
        for method in ("POST", "DELETE", "OPTIONS", "TRACE", "get", "FOO", "CONNECT"):
            answer = self.ask("/a", method=method)
            self.assertRefused(answer, 405, "method", "Use GET or HEAD or PUT.")
            self.assertEqual(answer.headers["Allow"], "GET, HEAD, PUT")
        self.assertEqual(self.ask("/a/b").headers["Allow"], "POST")
        self.assertEqual(self.seen, [])
        self.assertEqual(self.ask("/own", method="OPTIONS").status, 200)

    def test_no_origin(self) -> None:
        """
        Without allowOrigin nothing of it is said.
        """
        for path in ("/a", "/own", "/b"):
            self.assertNotIn("access-control", str(self.ask(path).headers).lower())

    def test_origin(self) -> None:
        """
        With allowOrigin each answer has it, errors included.
        """
        self.routes(
            dict.fromkeys(self.ROUTES, self.note), HttpSettings(allow_origin="https://a.example")
        )
        for path in ("/a", "/a/b", "/b", "/a/%zz"):
            answer = self.ask(path, headers={"Origin": "https://evil.example"})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://a.example")

    def test_preflight(self) -> None:
        """
        A browser's question before the request is answered with the methods of that path and
        the headers it may send.
        """
        self.routes(dict.fromkeys(self.ROUTES, self.note), HttpSettings(allow_origin="*"))
        answer = self.ask("/a", method="OPTIONS", headers={"Access-Control-Request-Method": "PUT"})
        self.assertEqual((answer.status, answer.json()), (200, {}))
        self.assertEqual(answer.headers["Access-Control-Allow-Methods"], "GET, HEAD, PUT")
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        self.assertIn("Content-Type", allowed)
        self.assertIn("Authorization", allowed)
        self.assertEqual(self.seen, [])
        self.assertRefused(self.ask("/b", method="OPTIONS"), 404, "not_found")

    def test_own_options(self) -> None:
        """
        A route of OPTIONS answers it itself.
        """
        self.routes(dict.fromkeys(self.ROUTES, self.note), HttpSettings(allow_origin="*"))
        answer = self.ask("/own", method="OPTIONS")
        self.assertEqual((answer.status, answer.body), (200, b"noted"))
        self.assertEqual(answer.headers["Access-Control-Allow-Methods"], "GET, HEAD, OPTIONS")

    def test_built_in_paths(self) -> None:
        """
        A parameter does not reach the server's own paths.
        """
        self.routes({"GET /:a": self.note, "GET /:a/:b": self.note})
        self.assertEqual(self.ask("/x").body, b"noted")
        self.assertEqual(self.ask("/healthcheck").json()["status"], "ok")
        self.assertEqual(self.ask("/%68ealthcheck").json()["status"], "ok")
        self.assertRefused(self.ask("/endpoint"), 404, "not_found", "/endpoint/type/")
        self.assertRefused(self.ask("/healthcheck/x"), 404, "not_found")
