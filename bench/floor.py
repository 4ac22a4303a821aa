"""
The floor: the least that a Twisted server can do for an echo. It is a process
of its own, C{python -m bench.floor --ready-file PATH}.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorCore,
    IReactorTCP,
    IReactorUDP,
    ITCPTransport,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory

from diarkis_tw.tap import write_ready_file


class Echo(Protocol):
    """
    Writes back whatever comes.
    """

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class DatagramEcho(DatagramProtocol):
    """
    Sends each datagram back.
    """

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        cast(IUDPTransport, self.transport).write(datagram, addr)


class MessageEcho(WebSocketServerProtocol):
    """
    Sends each message back.
    """

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


def autobahn() -> WebSocketServerFactory:
    """
    Make a factory of L{MessageEcho}s, with Autobahn's options as they are.
    """
    factory = WebSocketServerFactory()
    factory.protocol = MessageEcho
    factory.noisy = False
    return factory


def main() -> None:
    """
    Listen on free ports of loopback until SIGTERM.
    """
    factory = ServerFactory()
    factory.protocol = Echo
    factory.noisy = False
    stream = cast(IReactorTCP, reactor).listenTCP(0, factory, 512, "127.0.0.1")
    datagrams = cast(IReactorUDP, reactor).listenUDP(0, DatagramEcho(), "127.0.0.1", 8192)
    messages = cast(IReactorTCP, reactor).listenTCP(0, autobahn(), 512, "127.0.0.1")
    serve({"TCP": stream, "UDP": datagrams, "WS": messages})


def serve(ports: Mapping[str, IListeningPort]) -> None:
    """
    Write the ready file that the command line asks for and serve until SIGTERM.

    @param ports: by the name of the transport.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-file", type=Path, required=True)
    addresses = {name: cast(IPv4Address, port.getHost()) for name, port in ports.items()}
    write_ready_file(
        parser.parse_args().ready_file,
        {name: (address.host, address.port) for name, address in addresses.items()},
    )
    cast(IReactorCore, reactor).run()


if __name__ == "__main__":
    main()
