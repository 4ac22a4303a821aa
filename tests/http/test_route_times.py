"""
Tests of L{diarkis_tw.http.route_resource}: handlers that take long.
"""

import contextlib
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.http.routes import HttpHandler
from diarkis_tw.server import HttpRequest
from tests.http.case import HttpConnection, encode
from tests.http.route_case import RouteCase


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
