"""
One bound UDP port and what happens to it when the node ends.
"""

from typing import Final, Protocol, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

from diarkis_tw.net.addresses import bind_address
from diarkis_tw.net.listening import listen_upward

RECEIVE_SIZE: Final = 2048
"""Bytes of a datagram that are looked at: more than any legal one has."""


class DatagramServer(Protocol):
    """
    What is listened for.
    """

    def when_closed(self) -> Deferred[None]:
        """
        Fires once no connection is left.
        """


class DatagramListener:
    """
    Binds a port for a datagram protocol.

    @ivar host: the address bound.
    @ivar port: the port bound, 0 before.
    @ivar tls: L{None}: datagrams have no TLS.
    """

    tls = None

    def __init__(
        self,
        reactor: IReactorTime,
        server: DatagramServer,
        section: str,
        address: str,
        nic: str,
        port: int,
    ) -> None:
        """
        @param section: of the configuration, for errors.
        """
        self._reactor = reactor
        self._server = server
        self._section = section
        self._address = address
        self._nic = nic
        self._wanted = port
        self._listening: IListeningPort | None = None
        self.host = ""
        self.port = 0

    def bind(self) -> None:
        """
        Bind.

        @raise StartError: no port could be bound.
        @raise ConfigError: there is no such interface.
        """
        reactor = cast(IReactorUDP, self._reactor)
        protocol = cast(DatagramProtocol, self._server)
        host = bind_address(self._address, self._nic, section=self._section)

        def listen(port: int) -> IListeningPort:
            return reactor.listenUDP(port, protocol, host, RECEIVE_SIZE)

        self._listening = listen_upward(listen, self._wanted)
        self.host = host
        self.port = cast(IPv4Address, self._listening.getHost()).port

    def close(self) -> Deferred[None]:
        """
        Close the port once the connections have ended by themselves: unlike
        streams they need it for their last words.
        """
        if self._listening is None:
            return succeed(None)
        return self._server.when_closed().addCallback(lambda result: self._stop())

    def abort(self) -> None:
        """
        Close the port now.
        """
        self._stop()

    def _stop(self) -> Deferred[None]:
        listening, self._listening = self._listening, None
        if listening is None:
            return succeed(None)
        return listening.stopListening() or succeed(None)
