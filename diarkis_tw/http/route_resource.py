"""
Runs the handlers of the application's routes.

Rules:

  - Handlers of a route run in order until one answers; an error ends them.
  - The answer comes within C{timeout}: what takes longer is cancelled, and the
    client gets 503.
  - A client that hangs up cancels what runs for it.
  - Nothing is served before the node serves.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.core.background import as_deferred, call_safely
from diarkis_tw.core.node import Node
from diarkis_tw.errors import HttpError
from diarkis_tw.http.json_resource import ALLOWED_HEADERS, BoundedRequest, JsonResource
from diarkis_tw.http.request import HttpRequest
from diarkis_tw.http.response import Response, as_response
from diarkis_tw.http.routes import HttpHandler, HttpRoutes

BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

SEGMENTS_MOST: Final = 64
"""Segments of a path; taking thousands apart is work for nothing."""


class RouteResource(JsonResource):
    """
    Every path that is not the server's own.
    """

    log = Logger()
    allowed_headers = ALLOWED_HEADERS + b", Authorization"

    def __init__(
        self, routes: HttpRoutes, node: Node, settings: HttpSettings, clock: IReactorTime
    ) -> None:
        super().__init__(settings.allow_origin)
        self._routes = routes
        self._node = node
        self._timeout = settings.timeout
        self._clock = clock

    def respond(self, request: BoundedRequest) -> object:
        """
        Find the route and run it.
        """
        segments = _segments(request.path)
        found = self._routes.find(request.method.decode("latin-1"), segments)
        if found is None or request.method == b"OPTIONS":
            allowed = self._routes.methods(segments)
            if not allowed:
                raise HttpError(404, "There is nothing here.")
            names = ", ".join(allowed).encode()
            if self.allow_origin and request.method == b"OPTIONS":
                request.setHeader(b"Access-Control-Allow-Methods", names)
                if found is None:
                    return {}
        if found is None:
            request.setHeader(b"Allow", names)
            raise HttpError(405, f"Use {' or '.join(allowed)}.", "method")
        if self._node.state is NodeState.STARTING:
            raise HttpError(503, "The node is starting.", "starting")
        route, params = found
        request.route = route.name
        return self._run(
            request, route.handlers, HttpRequest(request, "/".join(["", *segments]), params)
        )

    def _run(
        self, raw: BoundedRequest, handlers: tuple[HttpHandler, ...], request: HttpRequest
    ) -> Response | Deferred[Response]:
        for index, handler in enumerate(handlers, 1):
            result = handler(request)
            if (work := as_deferred(result)) is not None:
                rest = Deferred.fromCoroutine(_finish(work, handlers[index:], request))
                return self._within_time(raw, rest)
            if result is not None:
                return as_response(result)
        return Response(status=204)

    def _within_time(self, raw: BoundedRequest, work: Deferred[Response]) -> Deferred[Response]:
        """
        Wait for C{work} until its time is up or nobody waits for its answer.

        Not C{Deferred.addTimeout}: a handler that does not end when cancelled
        must not keep the client waiting.
        """
        answer: Deferred[Response] = Deferred()

        def finished(result: Response | Failure) -> None:
            if timer.active():
                timer.cancel()
                answer.callback(result)
            elif isinstance(result, Failure) and not result.check(CancelledError):
                self.log.failure("{route} failed after its end", result, route=raw.route)

        def give_up() -> None:
            call_safely("cancelling an HTTP handler", work.cancel)

        def late() -> None:
            self.log.warn(
                "{route} took more than {timeout} s and is cancelled",
                route=raw.route,
                timeout=self._timeout,
            )
            answer.errback(HttpError(503, "The answer took too long.", "timeout"))
            give_up()

        def gone(failure: Failure) -> None:
            if timer.active():
                timer.cancel()
                give_up()

        timer = self._clock.callLater(self._timeout, late)
        raw.notifyFinish().addErrback(gone)
        work.addBoth(finished)
        return answer


async def _finish(
    work: Deferred[object], handlers: tuple[HttpHandler, ...], request: HttpRequest
) -> Response:
    """
    Wait for the handler that has begun, and run those after it.
    """
    result = await work
    for handler in handlers:
        if result is not None:
            break
        result = handler(request)
        if (more := as_deferred(result)) is not None:
            result = await more
    return Response(status=204) if result is None else as_response(result)


def _segments(path: bytes) -> list[str]:
    """
    Take a path apart and decode it; in this order, so that an encoded slash
    stays in its segment.
    """
    if not path.startswith(b"/") or path.startswith(b"//") or path.count(b"/") > SEGMENTS_MOST:
        raise HttpError(404, "There is nothing here.")
    try:
        if b"%" not in path:
            return path[1:].decode().split("/")
        if BAD_ESCAPE.search(path):
            raise HttpError(400, "In a path, % is followed by two hexadecimal digits.", "bad_path")
        return [unquote_to_bytes(segment).decode() for segment in path[1:].split(b"/")]
    except UnicodeDecodeError:
        raise HttpError(400, "The path is not UTF-8, percent-encoded.", "bad_path") from None
