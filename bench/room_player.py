"""
Members of a room of the real server.
"""

from collections.abc import Iterator

import msgspec

from bench.datagrams import ACK_DELAY, asker, clock, open_socket
from bench.datagrams import shake_hands as shake_hands_udp
from bench.endpoint import EndpointApi
from bench.room_member import CHUNK, Member, Pieces, receive_some
from bench.session import Session, shake_hands
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.schema import room
from diarkis_tw.schema.command import AnyCommand, Shape, as_shape, as_value
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.message import (
    Push,
    Response,
    decode_server_message,
    encode_push,
    encode_request,
)
from diarkis_tw.wire.record import RECORD_HEADER_SIZE, RecordReader
from diarkis_tw.wire.value import encode_value


def pushed(name: str, text: bytes) -> bytes:
    """
    The message that the members of a room get when C{name} broadcasts C{text}.
    """
    said = room.Said(sender=name, message=text)
    return encode_push(1, room.RoomCommand.BROADCAST, encode_value(as_value(said)))


class Player(Member):
    """
    A user: whatever the transport, it creates or joins a room with the room
    commands and broadcasts there.
    """

    def put(self, message: bytes) -> None:
        """
        Send a message to the server.
        """
        raise NotImplementedError

    def encode(self, command: AnyCommand, request_id: int, request: msgspec.Struct) -> bytes:
        """
        Make the message of a command.

        @param request_id: 0 = no answer.
        """
        return encode_request(1, command.cmd, request_id, encode_value(as_value(request)))

    def decode(self, message: bytes) -> Response | Push:
        """
        Read a message of the server.
        """
        return decode_server_message(message)

    def say(self, number: int) -> None:
        self.put(self.encode(room.BROADCAST, 0, room.Say(message=self.text(number))))

    def said(self, number: int) -> bytes:
        return pushed(self.name, self.text(number))

    def create(self, members: int) -> str:
        """
        Make a room.

        @param members: how many it is for.
        @return: its id.
        """
        made = self._ask(room.CREATE, room.Create(max_members=members), room.Joined)
        return made.room_id

    def join(self, room_id: str) -> None:
        """
        Join a room.
        """
        self._ask(room.JOIN, room.Join(room_id=room_id), room.Joined)

    def settle(self, count: int) -> None:
        """
        Hear of the C{count} members who came later.
        """
        messages = self._messages()
        for _ in range(count):
            next(messages)

    def _ask(self, command: AnyCommand, request: msgspec.Struct, shape: type[Shape]) -> Shape:
        self.put(self.encode(command, 1, request))
        for message in self._messages():
            answer = self.decode(message)
            if isinstance(answer, Response):
                if answer.status is not Status.OK:
                    raise RuntimeError(f"{answer!r}")
                return as_shape(answer.payload, shape)
        raise AssertionError("messages never end")

    def _messages(self) -> Iterator[bytes]:
        while True:
            self.wait()
            self.receive()
            yield from self.heard()


class StreamPlayer(Player):
    """
    A player over TCP.
    """

    def __init__(self, api: EndpointApi, name: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("TCP", name)
        self._session = Session(endpoint.keys, b"", ciphers)
        super().__init__(shake_hands(self._session, (endpoint.host, endpoint.port)), name)
        self._reader = RecordReader(CHUNK)
        self._pieces = Pieces(len(self.said(0)) + RECORD_HEADER_SIZE + TAG_SIZE)

    def put(self, message: bytes) -> None:
        self.socket.send(self._session.seal(message))

    def receive(self) -> int:
        return self._pieces.add(receive_some(self.socket))

    def heard(self) -> list[bytes]:
        reader, opened = self._reader, self._session.opened
        reader.feed(self._pieces.take())
        return [opened(header, body) for _, header, body in iter(reader.next, None)]


class DatagramPlayer(Player):
    """
    A player over UDP. Its datagrams are opened when they come, because what it
    acknowledges depends on them.
    """

    def __init__(self, api: EndpointApi, name: str, reliable: bool, ciphers: AeadCache) -> None:
        """
        @param reliable: how it says its texts, and so how they are delivered.
        """
        endpoint = api.log_in("UDP", name)
        wire = open_socket(endpoint.host, endpoint.port)
        self._connection: Connection = shake_hands_udp(endpoint, asker(wire), ciphers)
        self._reliable = reliable
        super().__init__(wire, name)

    def put(self, message: bytes) -> None:
        # Commands that make or join a room must arrive, and so does what they bring.
        reliable = self._reliable or message[1:3] != room.BROADCAST.cmd.to_bytes(2)
        if not self._connection.send(message, reliable, 0, clock()):
            raise RuntimeError("a message was refused")
        self._flush(clock())

    def receive(self) -> int:
        connection = self._connection
        before = len(connection.delivered)
        now = clock()
        if not connection.receive(self.socket.recv(CHUNK), now):
            raise RuntimeError("the server's packet does not open")
        self._flush(now)
        return len(connection.delivered) - before

    def tick(self) -> None:
        now = clock()
        deadline = self._connection.deadline()
        if deadline is not None and deadline <= now:
            self._connection.tick(now)
            self._flush(now)

    def rest(self) -> None:
        # All is acknowledged, or the server would send it again.
        self._flush(clock() + ACK_DELAY)

    def heard(self) -> list[bytes]:
        messages = [message for message, _ in self._connection.delivered]
        self._connection.delivered.clear()
        return messages

    def leave(self) -> None:
        self._connection.close(CloseCode.NORMAL, clock())
        self._flush(clock())
        super().leave()

    def _flush(self, now: int) -> None:
        for datagram in self._connection.flush(now):
            self.socket.send(datagram)


def fill(members: list[Player]) -> None:
    """
    Bring players together in a room.
    """
    first, *others = members
    room_id = first.create(max(len(members), room.MEMBERS_MIN))
    for other in others:
        other.join(room_id)
    for index, member in enumerate(members):
        member.settle(len(members) - 1 - index)
