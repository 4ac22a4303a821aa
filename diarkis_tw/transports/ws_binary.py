"""
A connection of the subprotocol C{diarkis.v1.bin}: the records of TCP, each a binary
message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.transports.stream_connection import ACCEPTED, HELLO
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT, TAG_SIZE, Cipher
from diarkis_tw.wire.handshake import (
    HELLO_BODY_SIZE,
    decode_close,
    encode_close,
    encode_terminate,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import decode_request
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import FRAME_BINARY, server_frame, split_ws_record, ws_header

if TYPE_CHECKING:
    from diarkis_tw.transports.ws import WsConnection, WsServer

ACCEPT_HEADER: Final = ws_header(RecordType.ACCEPT)
TERMINATE_HEADER: Final = ws_header(RecordType.TERMINATE)
DATA_HEADER: Final = ws_header(RecordType.DATA)
CLOSE_HEADER: Final = ws_header(RecordType.CLOSE)
DATA: Final = int(RecordType.DATA)


class BinarySpeech:
    """
    What such a connection says and understands; see
    L{diarkis_tw.transports.ws.Speech}.
    """

    is_binary = True
    first_byte = FRAME_BINARY

    __slots__ = ("_connection", "_opener", "_received", "_sealer", "_sent", "_server")

    _opener: Cipher
    _sealer: Cipher

    def __init__(self, server: WsServer, connection: WsConnection) -> None:
        self._server = server
        self._connection = connection
        self._received = 0
        self._sent = 0

    def begin(self) -> None:
        """
        The client speaks first.
        """

    def read(self, message: bytes) -> None:
        """
        Act on a record.

        @raise RemoteProtocolError: it is not the client's.
        """
        connection = self._connection
        kind, header, body = split_ws_record(message)
        if connection.phase is HELLO:
            self._read_hello(kind, header, body)
            return
        number = self._received
        opened = self._opener.open(number, header, body)
        if opened is None or number >= STREAM_NUMBER_LIMIT + (kind != DATA):
            raise RemoteProtocolError("a record that is not the client's")
        self._received = number + 1
        connection.heard = True
        if connection.phase is ACCEPTED and not connection.confirm():
            return
        if kind == DATA:
            ver, cmd, request_id, payload = decode_request(opened)
            connection.receive(ver, cmd, request_id, payload)
        elif kind == RecordType.CLOSE:
            connection.client_left(decode_close(opened)[0])
        else:
            raise RemoteProtocolError(f"record type {kind}")

    def size(self, encoded: Encoded) -> int:
        """
        Bytes that the frame of a message will have, about.
        """
        return len(encoded.binary) + TAG_SIZE

    def frame(self, encoded: Encoded) -> bytes | None:
        """
        The frame of a message; L{None} if the packet numbers are used up.
        """
        message = encoded.binary
        number = self._sent
        if number >= STREAM_NUMBER_LIMIT:
            return None
        self._sent = number + 1
        sealed = self._sealer.seal(number, DATA_HEADER, message)
        return server_frame(FRAME_BINARY, DATA_HEADER + sealed)

    def last_words(self, code: CloseCode, closing: bool) -> bytes:
        """
        What goes before the close frame: CLOSE, or TERMINATE.
        """
        if closing:
            number = min(self._sent, STREAM_NUMBER_LIMIT)
            record = CLOSE_HEADER + self._sealer.seal(number, CLOSE_HEADER, encode_close(code, ""))
        else:
            record = TERMINATE_HEADER + encode_terminate(self._connection.nonce, code)
        return server_frame(FRAME_BINARY, record)

    def lost_by(self, status: int | None) -> CloseCode | None:
        """
        Nothing authenticates a close status: without a CLOSE before it, the
        connection is just lost.
        """
        return None

    def _read_hello(self, kind: int, header: bytes, body: bytes) -> None:
        connection = self._connection
        if kind != RecordType.HELLO or len(body) != HELLO_BODY_SIZE:
            connection.terminate(CloseCode.UNKNOWN)
            return
        admitted = connection.admit_hello(TransportId.WS, header, body, ACCEPT_HEADER)
        if admitted is not None:
            self._opener, self._sealer = self._server.sealing(admitted.keys)
            connection.message_limit = self._server.record_limit
            connection.write(server_frame(FRAME_BINARY, ACCEPT_HEADER + admitted.accept))
