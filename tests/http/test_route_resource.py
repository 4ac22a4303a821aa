"""
Tests of L{diarkis_tw.http.route_resource} and L{diarkis_tw.http.request}: what
an application's handlers get and what becomes of their answers.
"""

import contextlib
import json
from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.http.json_resource import BODY_LIMIT
from diarkis_tw.http.request import QUERY_FIELDS
from diarkis_tw.http.route_resource import SEGMENTS_MOST
from diarkis_tw.http.routes import HttpHandler
from diarkis_tw.server import HttpError, HttpRequest, Response
from tests.http.case import Answer, HttpCase, HttpConnection, encode

JSON = {"Content-Type": "application/json"}


class RouteCase(HttpCase):
    """
    A server with routes.

    @ivar seen: the requests that came to L{note}.
    """

    def setUp(self) -> None:
        self.seen: list[HttpRequest] = []

    def routes(
        self,
        routes: Mapping[str, HttpHandler | tuple[HttpHandler, ...]],
        http: HttpSettings | None = None,
    ) -> None:
        """
        Start a server with routes, by method and pattern.
        """
        self.serve(http, start=False)
        for name, handlers in routes.items():
            method, pattern = name.split()
            chain = handlers if isinstance(handlers, tuple) else (handlers,)
            self.server.http.command(method, pattern, *chain)
        self.start()

    def note(self, request: HttpRequest) -> str:
        """
        A handler that notes what it got.
        """
        self.seen.append(request)
        return "noted"

    def got(self, path: str, **options: object) -> HttpRequest:
        """
        Ask for something that L{note} answers.
        """
        answer = self.ask(path, **options)  # type: ignore[arg-type]
        self.assertEqual((answer.status, answer.body), (200, b"noted"), answer.body)
        return self.seen.pop()

    def one(self, handler: HttpHandler, http: HttpSettings | None = None) -> Answer:
        """
        Ask a server whose only route has this handler.
        """
        self.routes({"GET /a": handler}, http)
        return self.ask("/a")


class RequestTests(RouteCase):
    """
    What a handler sees.
    """

    def setUp(self) -> None:
        super().setUp()
        self.routes({"GET /a/:name": self.note, "POST /a": self.note, "PUT /a": self.note})

    def test_path(self) -> None:
        """
        Path and parameters are decoded; an encoded slash stays in its parameter.
        """
        for sent, name in (
            ("alice", "alice"),
            ("a%20b", "a b"),
            ("a+b", "a+b"),
            ("%C3%BC", "ü"),
            ("%2e%2E", ".."),
            ("a%2Fb", "a/b"),
            ("%25", "%"),
            ("%252F", "%2F"),
            ("a;b=c", "a;b=c"),
        ):
            request = self.got(f"/a/{sent}?x=/y")
            self.assertEqual(dict(request.params), {"name": name})
            self.assertEqual((request.method, request.path), ("GET", f"/a/{name}"))
        self.assertEqual(self.got("/%61/x/").path, "/a/x/")

    def test_bad_path(self) -> None:
        """
        A path that cannot be decoded is the client's fault, whether or not it is a route.
        """
        for path in ("/a/%", "/a/%2", "/a/%zz", "/a/%FF", "/%C3%28", "/a/%ED%A0%80"):
            self.assertRefused(self.ask(path), 400, "bad_path")
        self.assertEqual(self.seen, [])

    def test_other_paths(self) -> None:
        """
        What is no route is 404 in JSON, however it is written.
        """
        for path in (
            "/",
            "/b",
            "/a",
            "//a/x",
            "///",
            "/A/x",
            "/a//x",
            "/a/x//",
            "a/x",
            "http://a/a/x",
            "/.",
        ):
            method = "DELETE" if path == "/a" else "GET"
            answer = self.ask(path, method=method)
            if path == "/a":
                self.assertEqual(answer.status, 405)
            else:
                self.assertRefused(answer, 404, "not_found")
        self.assertEqual(self.ask("/a/" + "x" * 8000).status, 200)
        self.assertEqual(self.ask("/" * 8000).status, 404)
        self.assertEqual(self.ask("/x" * 4000).status, 404)

    def test_segments(self) -> None:
        """
        A path of ever so many segments is none, without being taken apart.
        """
        deep = "/:a" + "/x" * (SEGMENTS_MOST - 1)
        self.routes({f"GET {deep}": self.note, f"GET {deep}/x": self.note})
        self.assertEqual(self.ask(deep.replace(":", "")).status, 200)
        self.assertEqual(self.ask(deep.replace(":", "") + "/x").status, 404)

    def test_query(self) -> None:
        """
        The query is decoded, too; a semicolon in it separates nothing.
        """
        query = self.got("/a/x?q=a%20b+c&n=3&tag=a;b&tag=%C3%BC&empty=&bare").query
        self.assertEqual((query["q"], query.get_int("n")), ("a b c", 3))
        self.assertEqual(query.get_all("tag"), ["a;b", "ü"])
        self.assertEqual((query["empty"], query["bare"]), ("", ""))
        self.assertEqual(dict(self.got("/a/x").query), {})
        self.assertEqual(dict(self.got("/a/x?").query), {})

    def test_bad_query(self) -> None:
        """
        A query that is not UTF-8, or an endless one, is refused when it is looked at.
        """
        self.routes({"GET /a": lambda request: dict(request.query)})
        many = "&".join(["a=1"] * (QUERY_FIELDS + 1))
        for query in ("a=%FF", "%FF", many, "&" * 8000):
            self.assertRefused(self.ask(f"/a?{query}"), 400, "bad_query", str(QUERY_FIELDS))

    def test_parameter_errors(self) -> None:
        """
        A parameter that is missing or wrong gets a 400 that names it, without a check in the
        handler.
        """
        self.routes(
            {
                "GET /a/:id": lambda request: {"id": request.params.get_int("id")},
                "GET /b": lambda request: {"page": request.query["page"]},
            }
        )
        self.assertEqual(self.ask("/a/7").json(), {"id": 7})
        self.assertRefused(self.ask("/a/x"), 400, "bad_parameter", "path parameter id")
        self.assertRefused(self.ask("/b"), 400, "bad_parameter", "query parameter page")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_headers(self) -> None:
        """
        Headers are found in any case, Content-Type included.
        """
        headers = {"X-Thing": "one", "Content-Type": "Text/Plain"}
        request = self.got("/a", method="POST", body=b"a", headers=headers)
        self.assertEqual((request.header("x-thing"), request.header("X-THING")), ("one", "one"))
        self.assertEqual((request.header("none"), request.header("none", "x")), ("", "x"))
        self.assertEqual(request.header("content-type"), "Text/Plain")

    def test_address(self) -> None:
        """
        The address is the peer's.
        """
        self.assertEqual(self.got("/a/x").address, "192.168.1.1")

    def test_body(self) -> None:
        """
        The body is there as it came, whatever it says it is.
        """
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "image/png"):
            for method in ("POST", "PUT"):
                request = self.got("/a", method=method, body=b"a=1", headers={"Content-Type": kind})
                self.assertEqual(request.body, b"a=1")
        self.assertEqual(self.got("/a/x").body, b"")


class JsonTests(RouteCase):
    """
    JSON in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.routes({"POST /a": lambda request: {"got": request.json()}})

    def post(self, body: bytes, kind: str = "application/json") -> Answer:
        """
        Post something.
        """
        return self.ask("/a", method="POST", body=body, headers={"Content-Type": kind})

    def test_object(self) -> None:
        """
        A JSON object that says that it is one.
        """
        for kind in ("application/json", "Application/JSON; charset=utf-8"):
            self.assertEqual(self.post(b'{"a": [1]}', kind).json(), {"got": {"a": [1]}})

    def test_bad(self) -> None:
        """
        Anything else is refused.
        """
        deep = b'{"a":' * 9000
        for body in (b"", b"[]", b"1", b"null", b"{", b'{"a": NaN}', b"\xff", b"{}{}", deep):
            self.assertRefused(self.post(body), 400, "bad_body", "JSON object")

    def test_keyTwice(self) -> None:
        """
        A key that an object has twice is refused, at any depth and however it is
        written; colons in texts are none.
        """
        for body in (
            b'{"a": 1, "a": 2}',
            b'{"a": 1, "\\u0061": 1}',
            b'{"a": {"b": 1, "b": 1}}',
            b'{"a": [{"b": 1, "b": 1}], "c": 1}',
            b'{"a": {"b": 1, "b": {}}}',
        ):
            self.assertRefused(self.post(body), 400, "bad_body", "a key twice")
        for value in ({"a": "::"}, {"a:": [{"b": 1}, {"b": 1}], "b": {"a:": 1}}, {}):
            self.assertEqual(self.post(json.dumps(value).encode()).json(), {"got": value})

    def test_declared(self) -> None:
        """
        So is what does not say that it is JSON: a form of another site's page can say only
        other things without asking first.
        """
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
            answer = self.post(b"{}", kind)
            self.assertRefused(answer, 415, "unsupported_media_type", "application/json")
        answer = self.ask("/a", method="POST", body=b"{}")
        self.assertRefused(answer, 415, "unsupported_media_type")

    def test_size(self) -> None:
        """
        A body above the limit is refused before the handler runs.
        """
        self.assertEqual(self.post(b"{}" + b" " * (BODY_LIMIT - 2)).status, 200)
        self.routes({"POST /a": self.note})
        self.assertRefused(self.post(b" " * (BODY_LIMIT + 1)), 413, "too_large", str(BODY_LIMIT))
        self.assertEqual(self.seen, [])


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


class TimeTests(RouteCase):
    """
    Handlers that take long.
    """

    def begin(self, handler: HttpHandler, timeout: int = 5) -> HttpConnection:
        """
        Ask a slow handler.
        """
        self.routes(
            {"GET /slow/:x": handler, "GET /fast": lambda request: "fast"},
            HttpSettings(timeout=timeout),
        )
        connection = self.connect()
        connection.send(encode("GET", "/slow/secret"))
        return connection

    def test_timeout(self) -> None:
        """
        After C{timeout} the client gets 503, and what it waited for is cancelled.
        """
        ended: list[str] = []

        async def handler(request: HttpRequest) -> object:
            try:
                await deferLater(self.reactor, 60)
            except CancelledError:
                ended.append("cancelled")
                raise
            return "late"

        connection = self.begin(handler, timeout=7)
        self.reactor.advance(6.9)
        self.assertEqual((connection.transport.value(), ended), (b"", []))
        self.reactor.advance(0.2)
        self.assertRefused(connection.answer(), 503, "timeout")
        self.assertEqual(ended, ["cancelled"])
        connection.send(encode("GET", "/fast"))
        self.assertEqual([a.status for a in connection.answers()], [503, 200])

    def test_in_time(self) -> None:
        """
        Just in time is in time, and leaves no timer.
        """
        connection = self.begin(lambda request: deferLater(self.reactor, 4.9, lambda: "ok"))
        before = len(self.reactor.getDelayedCalls())
        self.reactor.advance(4.95)
        self.assertEqual(connection.answer().body, b"ok")
        # the handler's timer and that of the time-out are gone, the idle one is back
        self.assertEqual(len(self.reactor.getDelayedCalls()), before - 1)

    def test_whole_chain(self) -> None:
        """
        The time is for all handlers of the route together.
        """

        def step(request: HttpRequest) -> "Deferred[None]":
            self.seen.append(request)
            return deferLater(self.reactor, 2, lambda: None)

        self.routes({"GET /a": (step, step, step, step)}, HttpSettings(timeout=5))
        connection = self.connect()
        connection.send(encode("GET", "/a"))
        self.reactor.pump([2, 2, 1])
        self.assertRefused(connection.answer(), 503, "timeout")
        self.reactor.pump([2, 2, 2])
        self.assertEqual(len(self.seen), 3)

    def test_stubborn(self) -> None:
        """
        A handler that does not end when it is cancelled keeps nobody waiting, and what it
        does afterwards reaches nobody.
        """
        waiting: list[Deferred[object]] = []

        async def stubborn(request: HttpRequest) -> object:
            for _ in range(2):
                waiting.append(Deferred())
                with contextlib.suppress(CancelledError):
                    await waiting[-1]
            return "late"

        connection = self.begin(stubborn)
        self.reactor.advance(5)
        self.assertRefused(connection.answer(), 503, "timeout")
        waiting[-1].callback(None)
        self.assertEqual(len(connection.answers()), 1)

    def test_failing_afterwards(self) -> None:
        """
        What fails while or after it is cancelled is logged, and harms nothing else.
        """

        async def untidy(request: HttpRequest) -> object:
            try:
                await Deferred()
            finally:
                raise ZeroDivisionError

        def cancel(deferred: "Deferred[object]") -> None:
            raise ZeroDivisionError

        handlers: tuple[Callable[[HttpRequest], object], ...] = (
            untidy,
            lambda request: Deferred(cancel),
        )
        for handler in handlers:
            connection = self.begin(handler)
            self.reactor.advance(5)
            self.assertRefused(connection.answer(), 503, "timeout")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_gone(self) -> None:
        """
        A client that hangs up cancels what runs for it, without a word in the log.
        """
        cancelled: list[object] = []
        waiting: Deferred[object] = Deferred(cancelled.append)
        connection = self.begin(lambda request: waiting)
        connection.transport.loseConnection()
        self.assertEqual(cancelled, [waiting])
        self.reactor.advance(60)
        self.assertEqual((connection.transport.value(), self.flushLoggedErrors()), (b"", []))

    def test_stop(self) -> None:
        """
        When the node ends, handlers get a moment and are then cancelled.
        """
        cancelled: list[object] = []
        connection = self.begin(lambda request: Deferred(cancelled.append))
        idle = self.connect()
        stopped = self.server.service().stopService()
        self.assertFalse(idle.transport.connected)
        self.assertTrue(connection.transport.connected)
        self.reactor.advance(5)
        self.assertFalse(connection.transport.connected)
        self.assertEqual(len(cancelled), 1)
        assert stopped is not None
        self.successResultOf(stopped)


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
