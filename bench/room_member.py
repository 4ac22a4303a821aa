"""
Members of a room, as the load sees them, and those of the bare relay.

What a member hears is only counted when it comes; it is opened and compared
afterwards.
"""

import socket
from select import select
from typing import Final

from bench.endpoint import IO_TIME

TEXT_SIZE: Final = 64
"""Bytes of what a member says."""

CHUNK: Final = 65536
"""Bytes read at once; more than any datagram has."""


class Member:
    """
    One member: a socket, what it says and what it has heard.

    @ivar name: as long as that of every other member.
    """

    def __init__(self, wire: socket.socket, name: str) -> None:
        wire.setblocking(False)
        self.socket = wire
        self.name = name

    def text(self, number: int) -> bytes:
        """
        What the member says, which nobody else says and never again.
        """
        return f"{self.name} says {number} ".encode().ljust(TEXT_SIZE, b".")

    def say(self, number: int) -> None:
        """
        Send a text to the room.
        """
        raise NotImplementedError

    def receive(self) -> int:
        """
        Receive what there is.

        @return: how many deliveries that completes.
        """
        raise NotImplementedError

    def tick(self) -> None:
        """
        Do what time demands; called when there is nothing else to do.
        """

    def rest(self) -> None:
        """
        Nothing will be said for a while.
        """

    def heard(self) -> list[bytes]:
        """
        What was delivered since this was last asked.
        """
        raise NotImplementedError

    def said(self, number: int) -> bytes:
        """
        What others hear when the member says a text.
        """
        raise NotImplementedError

    def wait(self) -> None:
        """
        Wait until something comes.

        @raise RuntimeError: nothing does.
        """
        if not select([self.socket], [], [], IO_TIME)[0]:
            raise RuntimeError(f"{self.name} waits in vain")

    def leave(self) -> None:
        """
        Close the socket.
        """
        self.socket.close()


class Pieces:
    """
    What came over a stream, in pieces that are only counted.
    """

    def __init__(self, size: int) -> None:
        """
        @param size: bytes of every delivery.
        """
        self._size = size
        self._missing = size
        self._pieces: list[bytes] = []

    def add(self, data: bytes) -> int:
        """
        Take a piece.

        @return: how many deliveries that completes.
        """
        self._pieces.append(data)
        count, beyond = divmod(len(data) - self._missing, self._size)
        self._missing = self._size - beyond
        return count + 1

    def take(self) -> bytes:
        """
        All pieces since this was last asked, which end with a delivery.
        """
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._missing = self._size
        return data


class BareMember(Member):
    """
    A member of the bare relay, over TCP or UDP: what it sends comes back to everybody.
    """

    def __init__(
        self, wire: socket.socket, name: str, room: bytes, size: int, welcome: bytes = b""
    ) -> None:
        """
        @param room: the name of its room, as it is sent.
        @param size: bytes of a delivery, as many as the real server writes for one.
        @param welcome: what comes back; empty = the same.
        """
        super().__init__(wire, name)
        self._size = size
        self._pieces = Pieces(size)
        wire.send(room)
        self.wait()
        if wire.recv(CHUNK) != (welcome or room):
            raise RuntimeError("the relay does not let a member in")

    def say(self, number: int) -> None:
        self.socket.send(self.said(number))

    def said(self, number: int) -> bytes:
        return self.text(number).ljust(self._size, b".")

    def receive(self) -> int:
        return self._pieces.add(receive_some(self.socket))

    def heard(self) -> list[bytes]:
        data, size = self._pieces.take(), self._size
        return [data[at : at + size] for at in range(0, len(data), size)]


def receive_some(wire: socket.socket) -> bytes:
    """
    Receive what there is.

    @raise RuntimeError: the server has closed the connection.
    """
    data = wire.recv(CHUNK)
    if not data:
        raise RuntimeError("the server closed a connection")
    return data
