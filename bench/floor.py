"""
The floor: the least that a Twisted server can do for an echo. It is a process
of its own, C{python -m bench.floor --ready-file PATH}.
"""

import argparse
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorCore, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory

from diarkis_tw.tap import write_ready_file


class Echo(Protocol):
    """
    Writes back whatever comes.
    """

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


def main() -> None:
    """
    Listen on a free port of loopback until SIGTERM.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-file", type=Path, required=True)
    ready_file = parser.parse_args().ready_file
    factory = ServerFactory()
    factory.protocol = Echo
    factory.noisy = False
    port = cast(IReactorTCP, reactor).listenTCP(0, factory, 512, "127.0.0.1")
    address = cast(IPv4Address, port.getHost())
    write_ready_file(ready_file, {"TCP": (address.host, address.port)})
    cast(IReactorCore, reactor).run()


if __name__ == "__main__":
    main()
