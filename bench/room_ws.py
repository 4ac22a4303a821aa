"""
Members of a room over WebSocket: those of a bare relay, and of the real server with
JSON and with sealed records.
"""

import os
import socket
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from bench.endpoint import IO_TIME, EndpointApi
from bench.room_member import TEXT_SIZE, BareMember, Pieces, receive_some
from bench.room_player import Player, pushed
from bench.session import Session
from diarkis_tw.schema import room
from diarkis_tw.schema.command import AnyCommand, as_value
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.json_message import (
    JsonAuth,
    JsonHello,
    decode_json_handshake,
    decode_json_server_message,
    encode_json_auth,
    encode_json_push,
    encode_json_request,
    json_proof,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import (
    BINARY_SUBPROTOCOL,
    FRAME_BINARY,
    FRAME_TEXT,
    JSON_SUBPROTOCOL,
    server_frame,
    split_ws_record,
    ws_header,
)

MASKED: Final = 0x80
NO_MASK: Final = bytes(4)
"""A client masks; with this mask (RFC 6455, 5.3) the bytes stay what they are."""


def frame(first: int, payload: bytes) -> bytes:
    """
    Write a client's frame.

    @param first: its first byte.
    @param payload: less than 65,536 bytes.
    """
    size = len(payload)
    if size < 126:
        return bytes((first, MASKED | size)) + NO_MASK + payload
    return bytes((first, MASKED | 126)) + size.to_bytes(2) + NO_MASK + payload


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


def open_web_socket(address: dict[str, Any], protocol: str | None) -> tuple[socket.socket, bytes]:
    """
    Connect and shake hands.

    @param protocol: the subprotocol; L{None} = none.
    @return: the socket, and what came after the handshake.
    """
    wire = socket.create_connection((address["host"], address["port"]), IO_TIME)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = [
        "GET / HTTP/1.1",
        f"Host: {address['host']}:{address['port']}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    wire.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += receive_some(wire)
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.splitlines()[0]:
        raise RuntimeError(f"no WebSocket: {head.decode()}")
    return wire, rest


def pushed_json(name: str, text: bytes) -> bytes:
    """
    The JSON that the members of a room get when C{name} broadcasts C{text}.
    """
    said = as_value(room.Said(sender=name, message=text))
    return encode_json_push(1, room.RoomCommand.BROADCAST, said)


class BareWebSocketMember(BareMember):
    """
    A member of the bare relay.
    """

    def __init__(self, address: dict[str, Any], name: str, room_name: bytes, size: int) -> None:
        """
        @param size: bytes of a delivery without its frame.
        """
        wire, _ = open_web_socket(address, None)
        self._payload = size
        entrance = frame(FRAME_TEXT, room_name)
        welcome = server_frame(FRAME_TEXT, room_name)
        super().__init__(wire, name, entrance, len(server_frame(FRAME_TEXT, bytes(size))), welcome)

    def say(self, number: int) -> None:
        self.socket.send(frame(FRAME_TEXT, self._spoken(number)))

    def said(self, number: int) -> bytes:
        return server_frame(FRAME_TEXT, self._spoken(number))

    def _spoken(self, number: int) -> bytes:
        return self.text(number).ljust(self._payload, b".")


class WebSocketPlayer(Player):
    """
    A player over WebSocket.
    """

    def __init__(self, wire: socket.socket, name: str, size: int) -> None:
        """
        @param size: bytes of a delivery, frame included.
        """
        super().__init__(wire, name)
        self._pieces = Pieces(size)

    def receive(self) -> int:
        return self._pieces.add(receive_some(self.socket))

    def heard(self) -> list[bytes]:
        return list(messages(self._pieces.take()))


class JsonPlayer(WebSocketPlayer):
    """
    A player who speaks JSON, which nothing seals.
    """

    def __init__(self, api: EndpointApi, name: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("WS", name)
        address = {"host": endpoint.host, "port": endpoint.port}
        wire, rest = open_web_socket(address, JSON_SUBPROTOCOL)
        hello = decode_json_handshake(next(messages(rest or receive_some(wire))))
        if not isinstance(hello, JsonHello):
            raise RuntimeError(f"{hello} instead of hello")
        nonce = os.urandom(16)
        proof = json_proof(endpoint.keys.hello_key(), hello.nonce, nonce)
        auth = JsonAuth(endpoint.keys.sid, nonce, proof)
        wire.sendall(frame(FRAME_TEXT, encode_json_auth(auth)))
        receive_some(wire)
        size = len(server_frame(FRAME_TEXT, pushed_json(name, bytes(TEXT_SIZE))))
        super().__init__(wire, name, size)

    def encode(self, command: AnyCommand, request_id: int, request: msgspec.Struct) -> bytes:
        return encode_json_request(1, command.cmd, request_id, as_value(request))

    def decode(self, message: bytes) -> Response | Push:
        return decode_json_server_message(message)

    def said(self, number: int) -> bytes:
        return pushed_json(self.name, self.text(number))

    def put(self, message: bytes) -> None:
        self.socket.send(frame(FRAME_TEXT, message))


class WebSocketSession(Session):
    """
    The sealing side over WebSocket.
    """

    transport = TransportId.WS

    def header(self, kind: RecordType, size: int) -> bytes:
        return ws_header(kind)


class BinaryPlayer(WebSocketPlayer):
    """
    A player with sealed records.
    """

    def __init__(self, api: EndpointApi, name: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("WS", name)
        address = {"host": endpoint.host, "port": endpoint.port}
        self._session = session = WebSocketSession(endpoint.keys, b"", ciphers)
        wire, _ = open_web_socket(address, BINARY_SUBPROTOCOL)
        wire.sendall(frame(FRAME_BINARY, session.hello()))
        _, _, accept = split_ws_record(next(messages(receive_some(wire))))
        session.accept(accept)
        wire.sendall(frame(FRAME_BINARY, session.keep_alive()))
        session.opened(*split_ws_record(next(messages(receive_some(wire))))[1:])
        record = bytes(1 + len(pushed(name, bytes(TEXT_SIZE))) + TAG_SIZE)
        super().__init__(wire, name, len(server_frame(FRAME_BINARY, record)))

    def put(self, message: bytes) -> None:
        self.socket.send(frame(FRAME_BINARY, self._session.seal(message)))

    def heard(self) -> list[bytes]:
        opened = self._session.opened
        return [opened(*split_ws_record(record)[1:]) for record in super().heard()]
