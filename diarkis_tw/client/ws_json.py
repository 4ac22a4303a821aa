"""
The dialect of the JSON subprotocol of WebSocket.

Rules:

  - The server says hello, the client proves its keys with auth, the server says
    ready; in this order, each once. After that there are responses and pushes.
  - The server may say terminate at any time.
  - Nothing in it is sealed: that nobody else reads or writes is TLS's affair.
"""

from collections.abc import Callable
from enum import Enum

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.stream import WS_MESSAGE_MAX_BYTES, Ending, Heard
from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.handshake import CID_SIZE, RESET_TOKEN_SIZE, Terms
from diarkis_tw.wire.json_message import (
    JsonAuth,
    JsonHello,
    JsonReady,
    JsonTerminate,
    decode_json_handshake,
    decode_json_server_message,
    encode_json_auth,
    encode_json_request,
    json_proof,
)
from diarkis_tw.wire.keys import NONCE_SIZE
from diarkis_tw.wire.message import Request
from diarkis_tw.wire.websocket import JSON_SUBPROTOCOL


class _Phase(Enum):
    GREETED = "waiting for hello"
    PROVING = "waiting for ready"
    OPEN = "open"


class JsonDialect:
    """
    A L{diarkis_tw.client.ws.WsDialect}.
    """

    is_text = True
    subprotocol = JSON_SUBPROTOCOL

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """
        @param random: C{os.urandom}, or a test's.
        """
        self._random = random
        self._phase = _Phase.GREETED

    def begin(self, endpoint: Endpoint) -> bytes:
        """
        See L{diarkis_tw.client.stream.Dialect.begin}.
        """
        self._keys = endpoint.keys
        return b""

    def encode(self, request: Request) -> bytes:
        """
        See L{diarkis_tw.client.stream.Dialect.encode}.
        """
        text = encode_json_request(request.ver, request.cmd, request.request_id, request.payload)
        if len(text) > WS_MESSAGE_MAX_BYTES:
            raise LocalProtocolError(f"a text of {len(text)} bytes is too large for any server")
        return text

    def end(self, code: CloseCode, reason: str) -> bytes:
        """
        Say nothing: the close status says it.
        """
        return b""

    def is_used_up(self) -> bool:
        """
        Nothing is sealed, so nothing is used up.
        """
        return False

    def receive_message(self, message: bytes) -> Heard:
        """
        See L{diarkis_tw.client.ws.WsDialect.receive_message}.
        """
        if self._phase is _Phase.OPEN:
            return _command(message)
        found = decode_json_handshake(message)
        if isinstance(found, JsonTerminate):
            return Ending(found.code, found.reason)
        if isinstance(found, JsonHello) and self._phase is _Phase.GREETED:
            return self._auth(found)
        if isinstance(found, JsonReady) and self._phase is _Phase.PROVING:
            self._phase = _Phase.OPEN
            return _terms(found)
        raise RemoteProtocolError(f"{type(found).__name__} while {self._phase.value}")

    def _auth(self, hello: JsonHello) -> bytes:
        if hello.protocol != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"the server speaks version {hello.protocol} of the protocol", CloseCode.VERSION
            )
        self._phase = _Phase.PROVING
        nonce = self._random(NONCE_SIZE)
        proof = json_proof(self._keys.hello_key(), hello.nonce, nonce)
        return encode_json_auth(JsonAuth(self._keys.sid, nonce, proof))


def _command(message: bytes) -> Heard:
    try:
        return decode_json_server_message(message)
    except RemoteProtocolError:
        terminate = decode_json_handshake(message)
        if not isinstance(terminate, JsonTerminate):
            raise
        return Ending(terminate.code, terminate.reason)


def _terms(ready: JsonReady) -> Terms:
    return Terms(
        cid=bytes(CID_SIZE),
        reset_token=bytes(RESET_TOKEN_SIZE),
        retry_interval=0,
        ack_delay=0,
        mtu=0,
        window=0,
        connection_ttl=ready.connection_ttl,
        keep_alive=ready.keep_alive,
        max_retry=0,
    )
