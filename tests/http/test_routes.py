"""
Tests of L{diarkis_tw.http.routes}: registering and finding.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import HttpSettings, Settings, TcpSettings
from diarkis_tw.errors import RegistrationError
from diarkis_tw.http.request import HttpRequest
from diarkis_tw.http.routes import RESERVED, HttpRoutes
from diarkis_tw.server import Server


def handler(request: HttpRequest) -> str:
    """
    Any handler.
    """
    return "a"


class RegistrationTests(SynchronousTestCase):
    """
    What may be registered.
    """

    def setUp(self) -> None:
        self.routes = HttpRoutes()

    def refused(self, arguments: tuple[object, ...], *parts: str, method: str = "GET") -> None:
        """
        Pattern and handlers are refused, with a sentence that has these parts.
        """
        register: Callable[..., object] = self.routes.command
        with self.assertRaises(RegistrationError) as caught:
            register(method, *arguments)
        for part in parts:
            self.assertIn(part, str(caught.exception))

    def test_patterns(self) -> None:
        """
        A pattern is segments of text and parameters.
        """
        for pattern in (
            "/",
            "/a/",
            "/a/b.c-d_~",
            "/größe",
            "/a/:b",
            "/:a/:b_1",
            "/:_/x",
            "/@a",
        ):
            self.routes.get(pattern, handler)

    def test_malformed(self) -> None:
        """
        Anything else is refused, and the sentence has the segment in it.
        """
        for pattern in (
            "", "a", "//", "/a//b", "/a//", "/:", "/a:b", "/:a-b", "/:1", "/::a", "/:a:b", "/:ü",
            "/*", "/a*", "/<a>", "/a?b=c", "/a#b", "/a%20b", "/a b", "/a\n", "/a\x00", "/.",
            "/../a", "/a|b", "/a\\b",
        ):  # fmt: skip
            self.refused((pattern, handler), f"GET {pattern}", "/text/:name")
        self.refused((b"/a", handler), "begins with")
        self.refused(("/:a/b/:a", handler), "one name")

    def test_reserved(self) -> None:
        """
        The server's own paths are refused, those beside them are not.
        """
        self.assertLessEqual({"endpoint", "healthcheck"}, RESERVED)
        for word in RESERVED:
            for pattern in (f"/{word}", f"/{word}/", f"/{word}/:x"):
                self.refused((pattern, handler), "server's own")
            self.routes.get(f"/my/{word}", handler)
            self.routes.get(f"/{word}s", handler)

    def test_duplicate(self) -> None:
        """
        A method and pattern are registered once, whatever parameters are called; the
        sentence names the first one.
        """
        self.routes.get("/a/:x", handler)
        for pattern in ("/a/:x", "/a/:y", "/a/:x/"):
            self.refused((pattern, handler), "GET /a/:x has handler (", "test_routes.py:")
        self.routes.post("/a/:x", handler)
        self.routes.get("/a/x", handler)

    def test_handlers(self) -> None:
        """
        A handler takes the request and nothing else.
        """

        class Game:
            def hello(self, request: HttpRequest) -> None:
                pass

            def __call__(self, request: HttpRequest, option: int = 0) -> None:
                pass

        async def later(request: HttpRequest) -> None:
            pass

        self.routes.get("/ok", handler, Game().hello, Game(), later, lambda request: None)
        self.refused(("/a",), "GET /a", "needs a handler")
        self.refused(("/a", None), "f(request), not None")
        wrong: tuple[Callable[..., object], ...] = (
            lambda: None,
            lambda request, next_: None,
            lambda *requests: None,
        )
        for one in wrong:
            self.refused(("/a", handler, one), "f(request)", "test_routes")
        self.routes.get("/a", handler)

    def test_methods(self) -> None:
        """
        Each method has its own call, PATCH comes by C{command}, and others are refused.
        """
        routes = self.routes
        for register in (
            routes.get, routes.head, routes.post, routes.put, routes.delete, routes.options,
        ):  # fmt: skip
            register("/a", handler)
        self.routes.command("PATCH", "/a", handler)
        for method in ("get", "TRACE", "CONNECT", "", "GET "):
            self.refused(("/b", handler), "GET HEAD POST", method=method)
        self.routes.freeze(served=True)
        found = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
        self.assertEqual(self.routes.methods(["a"]), found)

    def test_late(self) -> None:
        """
        After the start it is too late.
        """
        server = Server(MemoryReactorClock(), Settings(tcp=TcpSettings(), http=HttpSettings()))
        server.service().startService()
        self.routes = server.http
        self.refused(("/a", handler), "too late", "setup(server)")


class NotServedTests(SynchronousTestCase):
    """
    Routes on a node without an HTTP server.
    """

    def start(self, settings: Settings, routes: int) -> list[str]:
        """
        Start a server with routes.

        @return: what the log says of them.
        """
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        server = Server(MemoryReactorClock(), settings)
        for number in range(routes):
            server.http.get(f"/{number}", handler)
        server.service().startService()
        formats = [(event.get("log_format"), event) for event in events]
        return [text.format(**event) for text, event in formats if text and "not served" in text]

    def test_said(self) -> None:
        """
        One application may serve nodes of all kinds, so it is no error, but it is said.
        """
        (line,) = self.start(Settings(tcp=TcpSettings()), 2)
        self.assertIn("2 HTTP route(s)", line)

    def test_nothing_to_say(self) -> None:
        """
        Without routes, or with an HTTP server, there is nothing to say.
        """
        self.assertEqual(self.start(Settings(tcp=TcpSettings()), 0), [])
        self.assertEqual(self.start(Settings(tcp=TcpSettings(), http=HttpSettings()), 2), [])


class FindTests(SynchronousTestCase):
    """
    Which route a path leads to.
    """

    def find(self, patterns: str, *segments: str, method: str = "GET") -> tuple[str, object]:
        """
        Find a route among patterns, each C{METHOD:pattern} or a pattern of GET.
        """
        routes = HttpRoutes()
        for one in patterns.split():
            verb, _, pattern = one.partition("/")
            routes.command(verb or "GET", f"/{pattern}", handler)
        routes.freeze(served=True)
        found = routes.find(method, list(segments))
        return ("", None) if found is None else (found[0].name, found[1])

    def test_parameters(self) -> None:
        """
        A parameter is one segment, whatever is in it, but not an empty one.
        """
        for value in ("a", "a b", "a/b", "%2F", "%", "ü", "..", "\n", "<segment:x>", "a" * 9999):
            found = self.find("/hello/:name", "hello", value)
            self.assertEqual(found, ("GET /hello/:name", {"name": value}))
        for segments in (
            ("hello",),
            ("hello", ""),
            ("hello", "", ""),
            ("hello", "a", "b"),
            ("", "a"),
        ):
            self.assertEqual(self.find("/hello/:name", *segments), ("", None))

    def test_texts(self) -> None:
        """
        Text stands for itself alone, case and all.
        """
        self.assertEqual(self.find("/a.b/ü", "a.b", "ü"), ("GET /a.b/ü", {}))
        for segments in (("aXb", "ü"), ("A.b", "ü"), ("a.b/ü",), ("a.b", "Ü")):
            self.assertEqual(self.find("/a.b/ü", *segments), ("", None))

    def test_text_first(self) -> None:
        """
        Text wins over a parameter, whatever was registered first.
        """
        for patterns in ("/a/:x /a/b", "/a/b /a/:x"):
            self.assertEqual(self.find(patterns, "a", "b")[0], "GET /a/b")
            self.assertEqual(self.find(patterns, "a", "c")[0], "GET /a/:x")

    def test_method_decides(self) -> None:
        """
        A text of another method does not hide the parameter.
        """
        patterns = "/a/:x POST/a/b"
        self.assertEqual(self.find(patterns, "a", "b")[0], "GET /a/:x")
        self.assertEqual(self.find(patterns, "a", "b", method="POST")[0], "POST /a/b")

    def test_head(self) -> None:
        """
        HEAD goes to its own route, else to that of GET.
        """
        self.assertEqual(self.find("/a", "a", method="HEAD")[0], "GET /a")
        self.assertEqual(self.find("/a HEAD/a", "a", method="HEAD")[0], "HEAD /a")
        self.assertEqual(self.find("/a HEAD/a", "a")[0], "GET /a")
        self.assertEqual(self.find("HEAD/a", "a")[0], "")

    def test_method_as_written(self) -> None:
        """
        Methods have a case.
        """
        self.assertEqual(self.find("/a", "a", method="get")[0], "")

    def test_slash_at_the_end(self) -> None:
        """
        It makes no difference, on either side.
        """
        for pattern in ("/a", "/a/"):
            for segments in (("a",), ("a", "")):
                self.assertEqual(self.find(pattern, *segments)[0], "GET /a")
        self.assertEqual(self.find("/", "")[0], "GET /")
        self.assertEqual(self.find("/:x", "")[0], "")

    def test_depth(self) -> None:
        """
        A path of thousands of segments is looked up like any other.
        """
        self.assertEqual(self.find("/a/:b /:a/b", *["a"] * 8000), ("", None))
        self.assertEqual(self.find("/a/:b /:a/b", *[""] * 8000), ("", None))
