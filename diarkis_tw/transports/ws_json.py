"""
A connection of the subprotocol C{diarkis.v1.json}: texts of
L{diarkis_tw.wire.json_message}.

The client's proof contains the server's nonce, so it cannot be a repetition: whoever
gives it is OPEN at once. From then on nothing is sealed; TLS protects the texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.admission import keep_alive_interval
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.request import TextRequest
from diarkis_tw.transports.stream_connection import OPEN
from diarkis_tw.wire.json_message import (
    JsonReady,
    decode_json_auth,
    decode_json_request,
    encode_json_hello,
    encode_json_ready,
    encode_json_terminate,
)
from diarkis_tw.wire.websocket import FRAME_TEXT, server_frame, status_close_code

if TYPE_CHECKING:
    from diarkis_tw.transports.ws import WsConnection, WsServer


class JsonSpeech:
    """
    What such a connection says and understands; see
    L{diarkis_tw.transports.ws.Speech}.
    """

    is_binary = False
    first_byte = FRAME_TEXT

    __slots__ = ("_connection", "_nonce", "_server")

    def __init__(self, server: WsServer, connection: WsConnection) -> None:
        self._server = server
        self._connection = connection
        self._nonce = server.admission.nonce()

    def begin(self) -> None:
        """
        Say hello.
        """
        self._connection.write(server_frame(FRAME_TEXT, encode_json_hello(self._nonce)))

    def read(self, message: bytes) -> None:
        """
        Act on a text.

        @raise RemoteProtocolError: it is not what belongs there.
        """
        connection = self._connection
        if connection.phase is not OPEN:
            self._read_auth(message)
            return
        ver, cmd, request_id, body = decode_json_request(message)
        connection.heard = True
        connection.receive(ver, cmd, request_id, body, TextRequest)

    def size(self, encoded: Encoded) -> int:
        """
        Bytes that the frame of a message will have, about.
        """
        return len(encoded.json)

    def frame(self, encoded: Encoded) -> bytes:
        """
        The frame of a message, the same for all who receive it.
        """
        frame = encoded.frame
        if frame is None:
            frame = encoded.frame = server_frame(FRAME_TEXT, encoded.json)
        return frame

    def last_words(self, code: CloseCode, closing: bool) -> bytes:
        """
        What goes before the close frame: until ready, terminate.
        """
        if self._connection.phase is OPEN:
            return b""
        return server_frame(FRAME_TEXT, encode_json_terminate(code, code.name))

    def lost_by(self, status: int | None) -> CloseCode | None:
        """
        What it means for the user that the client has closed with C{status}.
        """
        return status_close_code(status)

    def _read_auth(self, message: bytes) -> None:
        connection = self._connection
        user = self._server.admission.admit_json(decode_json_auth(message), self._nonce)
        if isinstance(user, CloseCode):
            connection.terminate(user)
            return
        ttl = connection.ttl
        ready = encode_json_ready(JsonReady(int(ttl), keep_alive_interval(ttl)))
        connection.admit(user)
        connection.message_limit = self._server.settings.max_rcv_size
        connection.write(server_frame(FRAME_TEXT, ready))
        connection.confirm()
