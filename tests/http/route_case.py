"""
A server with routes, for tests of what an application's handlers get and answer.
"""

from collections.abc import Mapping

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.http.routes import HttpHandler
from diarkis_tw.server import HttpRequest
from tests.http.case import Answer, HttpCase


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
