"""
The floor of rooms: the least that a Twisted server can do to relay. What one member
sends goes to all members of its room as it came. It is a process of its own,
C{python -m bench.relay --ready-file PATH}.

The first thing that a client sends is the name of its room; it comes back once
the client is in.
"""

from __future__ import annotations

from typing import cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.interfaces import (
    IReactorTCP,
    IReactorUDP,
    ITCPTransport,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from bench.floor import serve

Address = tuple[str, int]


class RelayFactory(ServerFactory):
    """
    All rooms, by name.
    """

    noisy = False

    def __init__(self) -> None:
        self.rooms: dict[bytes, list[Relay]] = {}

    def buildProtocol(self, addr: object) -> Relay:
        return Relay(self)


class Relay(Protocol):
    """
    One member.
    """

    transport: ITCPTransport

    def __init__(self, factory: RelayFactory) -> None:
        self._factory = factory
        self._members: list[Relay] | None = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self._members is None:
            self._members = self._factory.rooms.setdefault(data, [])
            self._members.append(self)
            self.transport.write(data)
            return
        for member in self._members:
            member.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._members is not None:
            self._members.remove(self)


class WebSocketRelayFactory(WebSocketServerFactory):
    """
    All rooms over WebSocket, by name.
    """

    noisy = False

    def __init__(self) -> None:
        super().__init__()
        self.setProtocolOptions(tcpNoDelay=True)
        self.rooms: dict[bytes, list[WebSocketRelay]] = {}

    def buildProtocol(self, addr: object) -> WebSocketRelay:
        made = WebSocketRelay()
        made.factory = self
        return made


class WebSocketRelay(WebSocketServerProtocol):
    """
    One member. A message is framed once for all who get it.
    """

    members: list[WebSocketRelay] | None = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.members is None:
            self.members = self.factory.rooms.setdefault(payload, [])
            self.members.append(self)
            self.sendMessage(payload, isBinary)
            return
        prepared = self.factory.prepareMessage(payload, isBinary)
        for member in self.members:
            member.sendPreparedMessage(prepared)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.members is not None:
            self.members.remove(self)


class DatagramRelay(DatagramProtocol):
    """
    All rooms over UDP; nobody leaves.
    """

    noisy = False

    def __init__(self) -> None:
        self._rooms: dict[bytes, list[Address]] = {}
        self._room_of: dict[Address, list[Address]] = {}

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        transport = cast(IUDPTransport, self.transport)
        members = self._room_of.get(addr)
        if members is None:
            members = self._room_of[addr] = self._rooms.setdefault(datagram, [])
            members.append(addr)
            transport.write(datagram, addr)
            return
        for member in members:
            transport.write(datagram, member)


def main() -> None:
    """
    Listen on free ports of loopback until SIGTERM.
    """
    stream = cast(IReactorTCP, reactor).listenTCP(0, RelayFactory(), 512, "127.0.0.1")
    frames = cast(IReactorTCP, reactor).listenTCP(0, WebSocketRelayFactory(), 512, "127.0.0.1")
    datagrams = cast(IReactorUDP, reactor).listenUDP(0, DatagramRelay(), "127.0.0.1", 8192)
    serve({"TCP": stream, "WS": frames, "UDP": datagrams})


if __name__ == "__main__":
    main()
