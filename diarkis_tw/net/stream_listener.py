"""
One listening TCP port and what happens to it when the node ends.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory

from diarkis_tw.net.addresses import bind_address
from diarkis_tw.net.listening import listen_upward
from diarkis_tw.net.tls import ServerTls, ServerTlsFactory

BACKLOG: Final = 512
"""Connections that may wait to be accepted: all players come back at once
after a restart."""


class StreamListener:
    """
    Listens for a factory.

    @ivar host: the address bound.
    @ivar port: the port bound, 0 before.
    @ivar tls: certificate and key; L{None} = without TLS.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        factory: IProtocolFactory,
        section: str,
        address: str,
        nic: str,
        port: int,
        *,
        fixed: bool = False,
        tls: ServerTls | None = None,
        when_closed: Callable[[], Deferred[None]] = lambda: succeed(None),
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        """
        @param section: of the configuration, for errors.
        @param fixed: do not search for a free port.
        @param tls: lies below the factory's protocols; L{None} = nothing does.
        @param when_closed: fires once the factory's connections have closed.
        @param abort: cuts those that have not.
        """
        self._reactor = reactor
        if tls is not None:
            factory = ServerTlsFactory(tls, factory, reactor)
        self._factory = cast("ServerFactory[Any]", factory)
        self.tls = tls
        self._section = section
        self._address = address
        self._nic = nic
        self._wanted = port
        self._fixed = fixed
        self._when_closed = when_closed
        self.abort = abort
        self._listening: IListeningPort | None = None
        self.host = ""
        self.port = 0

    def bind(self) -> None:
        """
        Listen.

        @raise StartError: no port could be bound.
        @raise ConfigError: there is no such interface.
        """
        reactor = cast(IReactorTCP, self._reactor)
        host = bind_address(self._address, self._nic, section=self._section)

        def listen(port: int) -> IListeningPort:
            return reactor.listenTCP(port, self._factory, BACKLOG, host)

        self._listening = listen_upward(listen, self._wanted, fixed=self._fixed)
        self.host = host
        self.port = cast(IPv4Address, self._listening.getHost()).port

    def close(self) -> Deferred[None]:
        """
        Listen no more. Fires once the connections have closed by themselves.
        """
        if self._listening is None:
            return succeed(None)
        listening, self._listening = self._listening, None
        stopped = maybeDeferred(listening.stopListening)
        return stopped.addCallback(lambda result: self._when_closed())
