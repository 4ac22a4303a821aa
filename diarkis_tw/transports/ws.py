"""
The WebSocket server (RFC 6455): C{docs/protocol.md}, section "WebSocket", over what
L{diarkis_tw.transports.stream_connection} says of all streams.

Autobahn does the opening handshake and cuts frames. The rest is done here:

  - A message that comes alone and in one frame goes past Autobahn's machine for
    frames, which takes twice as long as all the rest of an echo.
  - Time-outs are those of all streams, kept by the server's sweep; Autobahn's own
    timers, which run on a global clock, are off.
  - A message is handed on after Autobahn has put it away, so that a user who stops
    or resumes reading does so between two messages.
  - Whatever ends a connection, the close frame is the last thing written, and
    nothing that comes after it is looked at.
  - No frame, header or message makes a log entry; they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from random import getstate, setstate
from typing import Final, Protocol, TypeAlias, cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.config.settings import WsSettings
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.request import Request
from diarkis_tw.core.users import Users
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.transports.stream_connection import CLOSED, OPEN, StreamConnection
from diarkis_tw.transports.stream_server import StreamServer
from diarkis_tw.transports.ws_binary import BinarySpeech
from diarkis_tw.transports.ws_json import JsonSpeech
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.handshake import REASON_MAX_BYTES
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE
from diarkis_tw.wire.websocket import (
    BINARY_SUBPROTOCOL,
    FRAME_PONG,
    JSON_SUBPROTOCOL,
    close_frame,
    close_status,
    server_frame,
    whole_message,
)

HEADER_BYTES: Final = 8192
"""Opening handshake: a browser with all its cookies sends 4 KB."""

STRANGER_BYTES: Final = 1024
"""Message of a client that is not OPEN: a HELLO has 83 bytes, an auth 190."""

FRAGMENTS: Final = 64
"""Frames of one message, so that empty ones are not sent for ever."""

CONTROL_FRAMES: Final = 32
"""Pings and pongs in a C{CONTROL_PERIOD}: no client needs more than one."""

CONTROL_PERIOD: Final[Seconds] = 1.0


RequestKind: TypeAlias = type[Request]
CONNECTING: Final = WebSocketServerProtocol.STATE_CONNECTING
NOT_UTF8: Final = WebSocketServerProtocol.CLOSE_STATUS_CODE_INVALID_PAYLOAD


class Speech(Protocol):
    """
    What a subprotocol says and understands.
    """

    @property
    def is_binary(self) -> bool:
        """
        The kind of its messages.
        """

    @property
    def first_byte(self) -> int:
        """
        Of a frame that is a whole message of that kind.
        """

    def begin(self) -> None:
        """
        The opening handshake is over.
        """

    def read(self, message: bytes) -> None:
        """
        Act on a message.

        @raise RemoteProtocolError: it is not what belongs there.
        """

    def size(self, encoded: Encoded) -> int:
        """
        Bytes that its frame will have, about.
        """

    def frame(self, encoded: Encoded) -> bytes | None:
        """
        The frame of a message; L{None} if these keys are used up.
        """

    def last_words(self, code: CloseCode, closing: bool) -> bytes:
        """
        What goes before the close frame.

        @param closing: CLOSE, else TERMINATE.
        """

    def lost_by(self, status: int | None) -> CloseCode | None:
        """
        What a client's close status means for its user.
        """


class Silence:
    """
    A logger for Autobahn, which would let clients write the log.
    """

    def _nothing(self, *args: object, **fields: object) -> None:
        pass

    critical = error = warn = info = debug = trace = failure = _nothing


# Autobahn's own bases disagree about the types of some attributes.
class WsConnection(StreamConnection, WebSocketServerProtocol):  # type: ignore[misc]
    """
    One client.

    @ivar message_limit: greatest legal length of a message at present, in bytes.
    """

    type = ServerType.WS
    log = Silence()

    # Autobahn's options. Its factory would copy them to each connection, 3 KB.
    CONFIG_ATTRS: Sequence[str] = ()  # type: ignore[assignment]  # a list there
    versions = (13,)
    failByDrop = True  # what it calls a drop is done in _fail_connection
    requireMaskedClientFrames = True
    applyMask = True
    utf8validateIncoming = False  # done in one call, at the end of a message
    perMessageCompressionAccept = staticmethod(lambda offers: None)  # none is
    webStatus = False
    logOctets = logFrames = trackTimings = False
    maskServerFrames = echoCloseCodeReason = serveFlashSocketPolicy = False
    maxFramePayloadSize = maxMessagePayloadSize = autoFragmentSize = 0
    openHandshakeTimeout = closeHandshakeTimeout = 0
    autoPingInterval = autoPingTimeout = 0
    autoPingSize = 12
    autoPingRestartOnAnyTraffic = False
    tcpNoDelay = False  # see StreamConnection
    maxConnections = trustXForwardedFor = 0
    flashSocketPolicy = ""
    allowedOrigins = ("*",)  # looked at in onConnect
    allowedOriginsPatterns = (re.compile(""),)
    allowNullOrigin = True

    # What most clients never change takes no room in each of them.
    _server: WsServer
    _speech: Speech
    _message: bytes | None = None
    _size = 0
    _fragments = 0
    _control_frames = 0
    _control_since: Seconds = 0.0

    def __init__(self, server: WsServer, host: str, address: str) -> None:
        WebSocketServerProtocol.__init__(self)
        super().__init__(server, host, address)
        self.message_limit = STRANGER_BYTES
        self._parts: list[bytes] = []

    # Twisted's side

    def connectionMade(self) -> None:
        super().connectionMade()
        self._connectionMade()

    def dataReceived(self, data: bytes) -> None:
        phase = self.phase
        if phase is OPEN and self._is_between_messages():
            speech = self._speech
            message = whole_message(data, speech.first_byte, self.message_limit)
            if message is not None and (speech.is_binary or _is_utf8(message)):
                self._take(message)
                return
        if phase is not CLOSED:
            self.data += data
            self._read()

    # The user's side

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        if self.phase is not OPEN:
            return False
        speech = self._speech
        if self._stuffed and not self._has_room(speech.size(encoded)):
            return False
        frame = speech.frame(encoded)
        if frame is None:
            self.close(CloseCode.REKEY)
            return self._user.send(encoded, reliable)
        self.write(frame, encoded.status is not None)
        return True

    def receive(
        self, ver: int, cmd: int, request_id: int, body: Body, kind: RequestKind = Request
    ) -> None:
        """
        Hand a command to the user.
        """
        if not self._inbox.receive(ver, cmd, request_id, body, True, kind):
            self.hold_for_user()

    # Opening handshake

    def onConnect(self, request: ConnectionRequest) -> str | None:
        allowed = self._server.allowed_origins
        if allowed and request.origin and request.origin.lower() not in allowed:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN, "origin")
        for name in request.protocols:
            if name in SPEECHES:
                self._speech = SPEECHES[name](self._server, self)
                return cast(str, name)
        if request.protocols:
            raise ConnectionDeny(ConnectionDeny.BAD_REQUEST, "subprotocol")
        self._speech = JsonSpeech(self._server, self)
        return None

    def failHandshake(
        self, reason: str, code: int = 400, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        self._server.terminated += 1
        self._end(_http_refusal(code, responseHeaders or ()), None)

    def _onOpen(self) -> None:
        # Nobody looks at these again, and they are much of a connection's memory.
        self.send_queue = ()  # type: ignore[assignment]  # a deque has 600 bytes
        self.utf8validator = None  # type: ignore[assignment]
        self.http_headers = {}
        self.http_request_params = {}
        self.http_request_data = b""
        self.http_response_data = ""
        self.websocket_extensions = []
        self._speech.begin()

    # Frames

    def consumeData(self) -> None:
        """
        Autobahn's loop over what has come, which stops when the user does.
        """
        if self.state == CONNECTING:
            self._read_handshake()
            return  # with the handshake complete, it calls this again
        while self._reading and self.phase is not CLOSED:
            more = self.processData()
            message = self._message
            if message is not None:
                self._message = None
                self._take(message)
            if not more:
                return

    def _take(self, message: bytes) -> None:
        self._prompt = not self.data
        try:
            self._speech.read(message)
        except RemoteProtocolError as error:
            self.terminate(error.code)
        self._prompt = False

    def _is_between_messages(self) -> bool:
        return (
            self._reading
            and not self.data
            and self.current_frame is None
            and not self.inside_message
        )

    def _read_handshake(self) -> None:
        try:
            self.processHandshake()
        except Exception:  # of Autobahn, about what a stranger sent
            self.failHandshake("")
        held = len(self.data) if self.state == CONNECTING else 0
        if held > HEADER_BYTES and self.phase is not CLOSED:
            self.failHandshake("", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _onMessageBegin(self, isBinary: bool) -> None:
        if isBinary is not self._speech.is_binary:
            self.terminate(CloseCode.PROTOCOL)
        self._parts = []
        self._size = 0
        self._fragments = 0

    def _onMessageFrameBegin(self, length: int) -> None:
        self._size += length
        self._fragments += 1
        if self._size > self.message_limit:
            self.terminate(CloseCode.TOO_LARGE)
        elif self._fragments > FRAGMENTS:
            self.terminate(CloseCode.PROTOCOL)

    def _onMessageFrameData(self, payload: bytes) -> None:
        self._parts.append(payload)

    def _onMessageFrameEnd(self) -> None:
        """
        Nothing to do: what a frame holds is in C{_parts}.
        """

    def _onMessageEnd(self) -> None:
        if self.phase is CLOSED:
            return
        message = b"".join(self._parts)
        self._parts = []
        if not self._speech.is_binary and not _is_utf8(message):
            self._fail_connection(NOT_UTF8, "not UTF-8")
        else:
            self._message = message

    def _onPing(self, payload: bytes) -> None:
        self._count_control_frame()
        if not self._stuffed and self.phase is not CLOSED:
            self.write(server_frame(FRAME_PONG, payload))

    def _onPong(self, payload: bytes) -> None:
        self._count_control_frame()

    def _count_control_frame(self) -> None:
        now = self._server.clock.seconds()
        if now - self._control_since >= CONTROL_PERIOD:
            self._control_since = now
            self._control_frames = 0
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES:
            self.terminate(CloseCode.RATE)

    # Ending

    def client_left(self, code: CloseCode | None) -> None:
        """
        The client has said goodbye.

        @param code: its reason; L{None} = none that counts.
        """
        self._end(close_frame(WebSocketServerProtocol.CLOSE_STATUS_CODE_NORMAL), code)

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        """
        Autobahn answers a client's close frame.
        """
        self._end(close_frame(self.remoteCloseCode), self._speech.lost_by(self.remoteCloseCode))

    def dropConnection(self, abort: bool = False) -> None:
        """
        Autobahn has done so: C{_end} has taken care of it.
        """

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        """
        Autobahn has found a frame that RFC 6455 does not allow.
        """
        if self.phase is not CLOSED:
            self._server.terminated += 1
            self._end(close_frame(code, reason), CloseCode.PROTOCOL)

    def _close_words(self, code: CloseCode) -> bytes:
        return self._speech.last_words(code, True) + close_frame(close_status(code), code.name)

    def _terminate_words(self, code: CloseCode) -> bytes:
        if self.state == CONNECTING:
            late = code is CloseCode.HANDSHAKE
            status = HTTPStatus.REQUEST_TIMEOUT if late else HTTPStatus.SERVICE_UNAVAILABLE
            return _http_refusal(status, ())
        return self._speech.last_words(code, False) + close_frame(close_status(code), code.name)

    def _read(self) -> None:
        self.consumeData()


SPEECHES: Final[Mapping[str, Callable[[WsServer, WsConnection], Speech]]] = {
    JSON_SUBPROTOCOL: JsonSpeech,
    BINARY_SUBPROTOCOL: BinarySpeech,
}


class WsServer(StreamServer, WebSocketServerFactory):  # type: ignore[misc]
    """
    Factory of L{WsConnection}s.

    @ivar allowed_origins: of pages that may connect; empty = all.
    @ivar record_limit: greatest legal length of a binary message, in bytes.
    """

    def __init__(
        self,
        settings: WsSettings,
        users: Users,
        admission: Admission,
        ciphers: AeadCache,
        clock: IReactorTime,
    ) -> None:
        # autobahn/websocket/protocol.py, 26.10: it seeds the random numbers of the process anew.
        random_state = getstate()
        WebSocketServerFactory.__init__(self, server="", reactor=clock)
        setstate(random_state)
        super().__init__(settings, users, admission, ciphers, clock)
        self.allowed_origins = frozenset(_serialized(origin) for origin in settings.allowed_origins)
        self.record_limit = (
            1 + TAG_SIZE + max(settings.max_rcv_size + REQUEST_HEADER_SIZE, 1 + REASON_MAX_BYTES)
        )

    def connection(self, host: str, address: str) -> WsConnection:
        return WsConnection(self, host, address)


def _serialized(origin: str) -> str:
    """
    As a browser writes it (RFC 6454, 6.2): without the port that goes without saying.
    """
    origin = origin.lower()
    for scheme, port in (("http:", ":80"), ("https:", ":443")):
        if origin.startswith(scheme):
            origin = origin.removesuffix(port)
    return origin


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _http_refusal(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += ["Content-Length: 0", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii")
