"""
Resources that speak JSON: the answer, every error, and bounded bodies.

An error is always C{{"code": <HTTP status>, "error": "<word>", "message":
"<sentence>"}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import ClassVar, Final, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

BODY_LIMIT: Final = 64 * 1024
"""Bytes of a request's body: data of a user, not an upload."""

BODY_PATIENCE: Final = 16 * BODY_LIMIT
"""Bytes of a body above C{BODY_LIMIT} that are thrown away to be able to
answer 413; beyond that the connection is cut."""

IDLE_TIMEOUT: Final = 30
"""Seconds that an HTTP connection may be silent."""

ALLOWED_HEADERS: Final = b"Content-Type, ClientKey, ResponseVersion"
"""Request headers that a web page of another origin may send."""


CONNECTIONS_MOST: Final = 256
"""HTTP connections at once: logging in takes milliseconds, and a usual limit of
1024 sockets leaves the rest to players."""


class ApiError(Exception):
    """
    A request that gets an error answer.

    @ivar status: HTTP status.
    @ivar reason: a word for programs.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class BoundedRequest(Request):
    """
    A request that keeps at most C{BODY_LIMIT} bytes of its body in memory.

    @ivar body_size: how many bytes came.
    """

    def gotLength(self, length: int | None) -> None:
        self.body_size = 0
        self.content = BytesIO()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # A body is JSON whatever it is called. As a form twisted.web would parse it, and
        # answer a bad one by itself, not in JSON.
        self.requestHeaders.removeHeader(b"Content-Type")
        super().requestReceived(command, path, version)

    def handleContentChunk(self, data: bytes) -> None:
        self.body_size += len(data)
        if self.body_size <= BODY_LIMIT:
            super().handleContentChunk(data)
        elif self.body_size > BODY_PATIENCE:
            cast(ITransport, self.channel.transport).loseConnection()

    def body(self) -> bytes:
        """
        The whole body.

        @raise ApiError: 413, it is too large.
        """
        if self.body_size > BODY_LIMIT:
            raise ApiError(413, "too_large", f"The body is above {BODY_LIMIT} bytes.")
        return cast(BytesIO, self.content).getvalue()


class JsonResource(Resource):
    """
    A resource whose C{answer} returns what becomes the JSON, or raises
    L{ApiError}.

    @cvar methods: the HTTP methods it has besides HEAD and OPTIONS.
    @ivar allow_origin: value of Access-Control-Allow-Origin; empty = none.
    """

    log = Logger()
    isLeaf = True
    methods: ClassVar[tuple[bytes, ...]] = (b"GET",)

    def __init__(self, allow_origin: str = "") -> None:
        super().__init__()
        self.allow_origin = allow_origin

    def answer(self, request: BoundedRequest) -> object:
        """
        Make the answer: a mapping, or a Deferred of one.
        """
        raise ApiError(404, "not_found", "There is nothing here.")

    def render(self, request: Request) -> int:
        """
        Answer one request.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        if self.allow_origin:
            request.setHeader(b"Access-Control-Allow-Origin", self.allow_origin.encode())
            request.setHeader(b"Access-Control-Allow-Headers", ALLOWED_HEADERS)
        try:
            result = self._answer(cast(BoundedRequest, request))
        except Exception:
            self._failed(Failure(), request, gone)
            return NOT_DONE_YET
        if isinstance(result, Deferred):
            result.addCallback(lambda value: self._write(request, 200, value, gone))
            result.addErrback(self._failed, request, gone)
        else:
            self._write(request, 200, result, gone)
        return NOT_DONE_YET

    def _answer(self, request: BoundedRequest) -> object:
        if request.method == b"OPTIONS" and self.allow_origin:
            request.setHeader(b"Access-Control-Allow-Methods", b", ".join(self.methods))
            return {}
        # HEAD changes nothing, so it goes where only GET goes
        reads = self.methods == (b"GET",) and request.method == b"HEAD"
        if request.method not in self.methods and not reads:
            request.setHeader(b"Allow", b", ".join(self.methods))
            allowed = b" or ".join(self.methods).decode()
            raise ApiError(405, "method", f"Use {allowed}.")
        return self.answer(request)

    def _failed(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        error = failure.value
        if not isinstance(error, ApiError):
            self.log.failure("{method} failed", failure, method=request.method)
            error = ApiError(500, "internal", "The server failed to answer; its log says why.")
        body = {"code": error.status, "error": error.reason, "message": str(error)}
        self._write(request, error.status, body, gone)

    def _write(self, request: Request, status: int, value: object, gone: list[Failure]) -> None:
        if gone:
            return
        body = msgspec.json.encode(value)
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()


class Root(JsonResource):
    """
    The root: its children by name, a JSON 404 for everything else.
    """

    isLeaf = False

    def __init__(self, children: Mapping[bytes, Resource], allow_origin: str) -> None:
        super().__init__(allow_origin)
        for name, child in children.items():
            self.putChild(name, child)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return JsonResource(self.allow_origin)


class JsonSite(Site):
    """
    A site without a log line a request, and with a cap on its connections, so
    that they cannot use up the process's sockets.

    @ivar turned_away: connections above the cap.
    """

    requestFactory = BoundedRequest
    displayTracebacks = False
    noisy = False

    def __init__(self, root: Resource, clock: IReactorTime) -> None:
        super().__init__(root, timeout=IDLE_TIMEOUT, reactor=clock)
        self._connections = 0
        self.turned_away = 0

    def buildProtocol(  # type: ignore[override]  # Twisted names a private class
        self, addr: IAddress | None
    ) -> Protocol | None:
        if self._connections >= CONNECTIONS_MOST:
            self.turned_away += 1
            return None
        channel = cast(Protocol, super().buildProtocol(addr))
        lost = channel.connectionLost

        def connection_lost(reason: Failure = connectionDone) -> None:
            self._connections -= 1
            lost(reason)

        channel.connectionLost = connection_lost  # type: ignore[method-assign]
        self._connections += 1
        return channel

    def log(self, request: object) -> None:
        """
        Write nothing.
        """
