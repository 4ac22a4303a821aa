"""
Members of a room over WebSocket: those of a bare relay, and of the real server with
JSON and with sealed records.
"""

import socket
from typing import Any

import msgspec

from bench.endpoint import EndpointApi
from bench.room_member import TEXT_SIZE, BareMember, Pieces, receive_some
from bench.room_player import Player, pushed
from bench.web_socket import (
    WebSocketSession,
    enter_binary,
    enter_json,
    frame,
    messages,
    open_web_socket,
)
from diarkis_tw.schema import room
from diarkis_tw.schema.command import AnyCommand, as_value
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.json_message import (
    decode_json_server_message,
    encode_json_push,
    encode_json_request,
)
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.websocket import FRAME_BINARY, FRAME_TEXT, server_frame, split_ws_record


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
        wire, _ = open_web_socket(address)
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
        wire = enter_json(api.log_in("WS", name))
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


class BinaryPlayer(WebSocketPlayer):
    """
    A player with sealed records.
    """

    def __init__(self, api: EndpointApi, name: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("WS", name)
        self._session = session = WebSocketSession(endpoint.keys, b"", ciphers)
        wire = enter_binary(endpoint, session)
        record = bytes(1 + len(pushed(name, bytes(TEXT_SIZE))) + TAG_SIZE)
        super().__init__(wire, name, len(server_frame(FRAME_BINARY, record)))

    def put(self, message: bytes) -> None:
        self.socket.send(frame(FRAME_BINARY, self._session.seal(message)))

    def heard(self) -> list[bytes]:
        opened = self._session.opened
        return [opened(*split_ws_record(record)[1:]) for record in super().heard()]
