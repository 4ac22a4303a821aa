"""
A WebSocket client of the load: frames made by hand, which cost it next to nothing.
"""

import os
import socket
from collections.abc import Iterator
from typing import Any, Final

from bench.endpoint import IO_TIME
from bench.session import Session
from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.wire.json_message import (
    JsonAuth,
    JsonHello,
    JsonReady,
    decode_json_handshake,
    encode_json_auth,
    json_proof,
)
from diarkis_tw.wire.keys import SessionKeys, TransportId
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import (
    BINARY_SUBPROTOCOL,
    FRAME_BINARY,
    FRAME_TEXT,
    JSON_SUBPROTOCOL,
    split_ws_record,
    ws_header,
)

MASKED: Final = 0x80
MASK: Final = b"\x37\xfa\x21\x3d"
"""RFC 6455, 5.3: a client masks. That it is always the same is no help to a server."""


class WebSocketSession(Session):
    """
    The sealing side over WebSocket.
    """

    transport = TransportId.WS

    def header(self, kind: RecordType, size: int) -> bytes:
        """
        The header of a record, whose frame says how long it is.
        """
        return ws_header(kind)


def frame(first: int, payload: bytes) -> bytes:
    """
    Write a client's frame.

    @param first: its first byte.
    @param payload: less than 65,536 bytes.
    """
    size = len(payload)
    key = (MASK * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
    if size < 126:
        return bytes((first, MASKED | size)) + MASK + masked
    return bytes((first, MASKED | 126)) + size.to_bytes(2) + MASK + masked


def messages(data: bytes) -> Iterator[bytes]:
    """
    Cut a server's frames, which are whole messages of less than 65,536 bytes.
    """
    at = 0
    while at < len(data):
        size = data[at + 1]
        at += 2
        if size == 126:
            size = int.from_bytes(data[at : at + 2])
            at += 2
        yield data[at : at + size]
        at += size


def open_web_socket(
    address: dict[str, Any], protocol: str | None = None
) -> tuple[socket.socket, bytes]:
    """
    Connect and shake hands.

    @param protocol: the subprotocol; L{None} = none.
    @return: the socket, and what came after the handshake.
    """
    wire = socket.create_connection((address["host"], address["port"]), IO_TIME)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.sendall(upgrade(protocol))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(wire)
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.splitlines()[0]:
        raise RuntimeError(f"no WebSocket: {head.decode()}")
    return wire, rest


def upgrade(protocol: str | None) -> bytes:
    """
    Write the opening handshake, as long as a browser's.
    """
    lines = [
        "GET / HTTP/1.1",
        "Host: game.example.com:7300",
        "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36",
        "Upgrade: websocket",
        "Origin: https://game.example.com",
        "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-US,en;q=0.9",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ]
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return "\r\n".join([*lines, "", ""]).encode()


def enter_json(endpoint: Endpoint) -> socket.socket:
    """
    Connect and prove to be the user.
    """
    wire, rest = open_web_socket(_address(endpoint), JSON_SUBPROTOCOL)
    try:
        wire.sendall(auth(endpoint.keys, next_message(wire, rest)))
        if not isinstance(ready := decode_json_handshake(next_message(wire)), JsonReady):
            raise RuntimeError(f"{ready} instead of ready")
    except BaseException:
        wire.close()
        raise
    return wire


def enter_binary(endpoint: Endpoint, session: WebSocketSession) -> socket.socket:
    """
    Connect and come as far as the answer to the first keep-alive.
    """
    wire, _ = open_web_socket(_address(endpoint), BINARY_SUBPROTOCOL)
    try:
        wire.sendall(frame(FRAME_BINARY, session.hello()))
        kind, _, accept = split_ws_record(next_message(wire))
        if kind != RecordType.ACCEPT:
            raise RuntimeError(f"record {kind} instead of ACCEPT")
        session.accept(accept)
        wire.sendall(frame(FRAME_BINARY, session.keep_alive()))
        session.opened(*split_ws_record(next_message(wire))[1:])
    except BaseException:
        wire.close()
        raise
    return wire


def auth(keys: SessionKeys, hello: bytes) -> bytes:
    """
    Answer a server's hello.
    """
    said = decode_json_handshake(hello)
    if not isinstance(said, JsonHello):
        raise RuntimeError(f"{said} instead of hello")
    nonce = os.urandom(16)
    proof = json_proof(keys.hello_key(), said.nonce, nonce)
    return frame(FRAME_TEXT, encode_json_auth(JsonAuth(keys.sid, nonce, proof)))


def next_message(wire: socket.socket, rest: bytes = b"") -> bytes:
    """
    Read a message that comes alone, in one piece.

    @param rest: what has been read already.
    """
    return next(messages(rest or _receive(wire)))


def _address(endpoint: Endpoint) -> dict[str, Any]:
    return {"host": endpoint.host, "port": endpoint.port}


def _receive(wire: socket.socket) -> bytes:
    data = wire.recv(65536)
    if not data:
        raise RuntimeError("the server closed a connection")
    return data
