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
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from diarkis_tw.core.background import FAULTS
from diarkis_tw.errors import HttpError, RemoteProtocolError
from diarkis_tw.http.response import NO_BODY, Response
from diarkis_tw.wire.json_text import refuse_duplicates

BODY_LIMIT: Final = 64 * 1024
"""Bytes of a request's body: data of a user, not an upload."""

BODY_PATIENCE: Final = 16 * BODY_LIMIT
"""Bytes of a body above C{BODY_LIMIT} that are thrown away to be able to
answer 413; beyond that the connection is cut."""

PIECES_MOST: Final = 4096
"""Pieces that a body may come in: as packets or as chunks, each of which costs more
than its bytes do."""

ALLOWED_HEADERS: Final = b"Content-Type, ClientKey, ResponseVersion"
"""Request headers that a web page of another origin may send to the endpoint API."""


def parse_object(body: bytes, sentence: str) -> dict[str, object]:
    """
    Parse a JSON object. A key that an object has twice is refused: msgspec takes the
    last one, a proxy in front of this server perhaps the first.

    @param sentence: what it must be, for the error.
    @raise HttpError: 400, it is something else.
    """
    try:
        value = msgspec.json.decode(body, type=dict[str, object])
        # Each member has one colon: with no more of them than members nothing was lost.
        if body.count(b":") != len(value):
            refuse_duplicates(body)
        return value
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, RemoteProtocolError) as error:
        raise HttpError(400, f"{sentence}: {error}.", "bad_body") from None


def require_method(request: Request, methods: tuple[bytes, ...]) -> None:
    """
    Check the method of a request.

    @raise HttpError: 405, it is none of C{methods}.
    """
    # HEAD changes nothing, so it goes where only GET goes
    reads = methods == (b"GET",) and request.method == b"HEAD"
    if request.method not in methods and not reads:
        request.setHeader(b"Allow", b", ".join(methods))
        raise HttpError(405, f"Use {b' or '.join(methods).decode()}.", "method")


class BoundedRequest(Request):
    """
    A request that keeps at most C{BODY_LIMIT} bytes of its body in memory, and
    parses neither query nor cookies for those who do not ask.

    @ivar body_size: how many bytes came.
    @ivar query: what is behind the question mark, as it came.
    @ivar route: what answers it, for the log.
    """

    route = ""

    def gotLength(self, length: int | None) -> None:
        self.body_size = 0
        self._pieces = 0
        self.content = BytesIO()

    def parseCookies(self) -> None:
        """
        Leave them in their header.
        """

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # A body is JSON whatever it is called. As a form twisted.web would parse it, and
        # answer a bad one by itself, not in JSON.
        self._content_type = self.requestHeaders.getRawHeaders(b"Content-Type")
        self.requestHeaders.removeHeader(b"Content-Type")
        bare, _, self.query = path.partition(b"?")
        super().requestReceived(command, bare, version)

    def process(self) -> None:
        if self._content_type is not None:
            self.requestHeaders.setRawHeaders(b"Content-Type", self._content_type)
        super().process()

    def handleContentChunk(self, data: bytes) -> None:
        self.body_size += len(data)
        self._pieces += 1
        if self.body_size > BODY_PATIENCE or self._pieces > PIECES_MOST:
            self.channel.loseConnection()
        elif self.body_size <= BODY_LIMIT:
            super().handleContentChunk(data)

    def body(self) -> bytes:
        """
        The whole body.

        @raise HttpError: 413, it is too large.
        """
        if self.body_size > BODY_LIMIT:
            raise HttpError(413, f"The body is above {BODY_LIMIT} bytes.")
        return cast(BytesIO, self.content).getvalue()


class JsonResource(Resource):
    """
    A resource whose C{answer} returns what becomes the JSON, or raises
    L{HttpError}.

    @cvar methods: the HTTP methods it has besides HEAD and OPTIONS.
    @cvar allowed_headers: request headers that a web page of another origin
        may send.
    @ivar allow_origin: value of Access-Control-Allow-Origin; empty = none.
    """

    log = Logger()
    isLeaf = True
    methods: ClassVar[tuple[bytes, ...]] = (b"GET",)
    allowed_headers: ClassVar[bytes] = ALLOWED_HEADERS

    def __init__(self, allow_origin: str = "") -> None:
        super().__init__()
        self.allow_origin = allow_origin

    def answer(self, request: BoundedRequest) -> object:
        """
        Make the answer: a mapping, or a Deferred of one.
        """
        raise HttpError(404, "There is nothing here.")

    def respond(self, request: BoundedRequest) -> object:
        """
        Answer, if the method is right.
        """
        if request.method == b"OPTIONS" and self.allow_origin:
            request.setHeader(b"Access-Control-Allow-Methods", b", ".join(self.methods))
            return {}
        require_method(request, self.methods)
        return self.answer(request)

    def render(self, request: Request) -> int:
        """
        Answer one request.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        if self.allow_origin:
            request.setHeader(b"Access-Control-Allow-Origin", self.allow_origin.encode())
            request.setHeader(b"Access-Control-Allow-Headers", self.allowed_headers)
        raw = cast(BoundedRequest, request)
        try:
            result = self.respond(raw)
            if not isinstance(result, Deferred):
                self._write(raw, result, gone)
                return NOT_DONE_YET
        except FAULTS:
            self._failed(Failure(), raw, gone)
            return NOT_DONE_YET
        result.addCallback(lambda value: self._write(raw, value, gone))
        result.addErrback(self._failed, raw, gone)
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: BoundedRequest, gone: list[Failure]) -> None:
        error = failure.value
        if not isinstance(error, HttpError):
            self.log.failure(
                "{what} failed", failure, what=request.route or request.method.decode("latin-1")
            )
            error = HttpError(500, "The server failed to answer; its log says why.", "internal")
        body = {"code": error.status, "error": error.word, "message": error.message}
        self._write(request, Response(body, error.status), gone)

    def _write(self, request: BoundedRequest, result: object, gone: list[Failure]) -> None:
        if gone:
            return
        response = result if isinstance(result, Response) else Response(result)
        content_type, body = response.encode()
        # What may fail comes first: it gets an answer of its own.
        own = Headers({name: [value] for name, value in response.headers.items()})
        headers = request.responseHeaders
        headers.setRawHeaders(b"Cache-Control", [b"no-store"])
        if content_type is not None:
            headers.setRawHeaders(b"Content-Type", [content_type])
            headers.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
        for name, values in own.getAllRawHeaders():
            headers.setRawHeaders(name, values)
        request.setResponseCode(response.status)
        if response.status not in NO_BODY:
            request.setHeader(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()


class Root(JsonResource):
    """
    The root: its children by name, and one resource for everything else.
    """

    isLeaf = False

    def __init__(self, children: Mapping[bytes, Resource], others: JsonResource) -> None:
        super().__init__(others.allow_origin)
        self._others = others
        for name, child in children.items():
            self.putChild(name, child)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self._others
