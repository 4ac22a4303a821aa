"""
A reactor without sockets, threads or waiting: TCP clients and servers that were
given the same L{LoopbackReactor} talk to each other in memory, on a clock that
the test turns::

    reactor = LoopbackReactor()
    port = reactor.listenTCP(0, factory)
    connecting = connect_to(endpoint, reactor=reactor)
    reactor.advance(1)                          # one second of virtual time

Rules:

  - Bytes move, connections open and end, and timers run inside
    L{LoopbackReactor.pump} and L{LoopbackReactor.advance} only, never inside
    C{write}, so that nothing is re-entered that would not be on a network.
  - The host of C{connectTCP} does not matter; the port alone finds the listener.
  - L{diarkis_tw.testing.link} says how bytes travel and how to disturb them.
"""

from collections.abc import Callable, Iterable
from typing import Final, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionDone,
    ConnectionRefusedError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from diarkis_tw.testing.link import CHUNK_SIZE, Link, LoopbackTransport
from diarkis_tw.units import Seconds

TURNS_MAX: Final = 10_000
"""Turns of one pump; more means that two ends keep each other busy for ever."""

_FIRST_PORT: Final = 49152


class StillBusy(Exception):
    """
    The reactor did not come to rest: something repeats without time passing.
    """


@implementer(IListeningPort)
class LoopbackPort:
    """
    A listener of a L{LoopbackReactor}.
    """

    def __init__(
        self, reactor: "LoopbackReactor", factory: IProtocolFactory, address: IPv4Address
    ) -> None:
        """
        @param reactor: where to listen.
        @param factory: makes a protocol per connection.
        @param address: what is bound; port 0 = any.
        """
        self.factory = factory
        self._reactor = reactor
        self._address = address

    def startListening(self) -> None:
        """
        Bind.

        @raise CannotListenError: the port is in use.
        """
        host, port = self._address.host, self._address.port
        if port == 0:
            port = self._reactor.free_port()
            self._address = IPv4Address("TCP", host, port)
        elif port in self._reactor.ports:
            raise CannotListenError(host, port, OSError("address already in use"))
        self._reactor.ports[port] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        Refuse further connections; those that exist go on.

        @return: has already fired.
        """
        if self._reactor.ports.pop(self._address.port, None) is not None:
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """
        Look up the address that is really bound.
        """
        return self._address


@implementer(IConnector)
class LoopbackConnector:
    """
    A client's connection attempt, and the connection it became.

    @ivar state: C{"connecting"}, C{"connected"} or C{"disconnected"}.
    @ivar factory: makes the client's protocol and is told of every change.
    @ivar destination: what it connects to.
    @ivar transport: the client's end, L{None} while there is none.
    """

    def __init__(
        self,
        reactor: "LoopbackReactor",
        destination: IPv4Address,
        factory: ClientFactory,
        timeout: Seconds | None,
    ) -> None:
        """
        @param reactor: where to connect.
        @param destination: its port finds the listener.
        @param factory: makes the client's protocol.
        @param timeout: of an attempt, L{None} = for ever.
        """
        self.state = "disconnected"
        self.factory = factory
        self.destination = destination
        self.transport: LoopbackTransport | None = None
        self._reactor = reactor
        self._timeout = timeout
        self._timer: IDelayedCall | None = None

    def connect(self) -> None:
        """
        Try, in the next turn.
        """
        if self.state != "disconnected":
            raise RuntimeError(f"cannot connect while {self.state}")
        self.state = "connecting"
        self.factory.doStart()
        self._reactor.attempts.append(self)
        if self._timeout is not None:
            self._timer = self._reactor.callLater(self._timeout, self.failed, TimeoutError())
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """
        Give the attempt up.

        @raise NotConnectingError: there is none.
        """
        if self.state != "connecting":
            raise NotConnectingError("not connecting")
        self.failed(UserError())

    def disconnect(self) -> None:
        """
        Give up the attempt, or end the connection.
        """
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IPv4Address:
        """
        Look up what it connects to.
        """
        return self.destination

    def failed(self, error: Exception) -> None:
        """
        There will be no connection.

        @param error: why.
        """
        self._over()
        self.factory.clientConnectionFailed(self, Failure(error))
        self.factory.doStop()

    def build(self, transport: LoopbackTransport) -> IProtocol | None:
        """
        The listener accepted.

        @param transport: the client's end.
        @return: what the factory built.
        """
        self._over()
        self.state = "connected"
        self.transport = transport
        return cast("IProtocol | None", self.factory.buildProtocol(self.destination))

    def lost(self, reason: Failure) -> None:
        """
        The connection is over.

        @param reason: why.
        """
        self._over()
        self.factory.clientConnectionLost(self, reason)
        self.factory.doStop()

    def _over(self) -> None:
        self.state = "disconnected"
        self.transport = None
        if self in self._reactor.attempts:
            self._reactor.attempts.remove(self)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class LoopbackReactor(MemoryReactorClock):
    """
    C{IReactorTime} and C{IReactorTCP} in memory.

    @ivar ports: what listens, by port.
    @ivar links: every connection that was made, oldest first; C{links[-1].cut()}.
    @ivar attempts: connection attempts that the next turn decides.
    @ivar chunk_size: L{Link.chunk_size} of connections to come; 1 makes every
        protocol see its bytes one by one.
    @ivar opened: called with each connection before a byte moves, to disturb it from
        the beginning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, LoopbackPort] = {}
        self.links: list[Link] = []
        self.attempts: list[LoopbackConnector] = []
        self.chunk_size = CHUNK_SIZE
        self.opened: Callable[[Link], object] = lambda link: None
        self._next_port = _FIRST_PORT

    def free_port(self) -> int:
        """
        Choose a port that nothing uses.

        @return: 49152 and up.
        """
        while self._next_port in self.ports:
            self._next_port += 1
        self._next_port += 1
        return self._next_port - 1

    def listenTCP(
        self, port: int, factory: Factory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen in memory.

        @param port: 0 = any.
        @param factory: makes a protocol per connection.
        @param backlog: without effect.
        @param interface: announced by C{getHost}.
        @return: the bound port.

        @raise CannotListenError: the port is in use.
        """
        listening = LoopbackPort(
            self,
            cast(IProtocolFactory, factory),
            IPv4Address("TCP", interface or "127.0.0.1", port),
        )
        listening.startListening()
        return cast(IListeningPort, listening)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: Seconds | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """
        Connect to what listens on a port of this reactor, in the next turn;
        refused if nothing does.

        @param host: announced by C{getPeer}, otherwise without effect.
        @param port: of the listener.
        @param factory: makes the client's protocol.
        @param timeout: of the attempt, in seconds.
        @param bindAddress: without effect.
        @return: the connector.
        """
        connector = LoopbackConnector(self, IPv4Address("TCP", host, port), factory, timeout)
        connector.connect()
        return cast(IConnector, connector)

    def pump(self, timings: Iterable[Seconds] = (0.0,)) -> None:
        """
        Deliver everything until nothing moves any more. Time stands still, unless
        C{timings} says otherwise.

        @param timings: passed to L{advance} one by one.

        @raise StillBusy: it would go on for ever.
        """
        for amount in timings:
            self.advance(amount)

    def advance(self, amount: Seconds) -> None:
        """
        Let time pass. Each timer runs at its own instant, and everything comes to
        rest before the next one.

        @param amount: how long, in seconds.

        @raise StillBusy: something repeats without time passing.
        """
        end = self.rightNow + amount
        self._settle()
        while True:
            due = min((call.getTime() for call in self.calls), default=None)
            if due is None or due > end:
                break
            self.rightNow = max(self.rightNow, due)
            self._settle()
        self.rightNow = end
        self._settle()

    def _settle(self) -> None:
        for _ in range(TURNS_MAX):
            if not self._turn():
                return
        raise StillBusy(f"still busy after {TURNS_MAX} turns at {self.rightNow} s")

    def _turn(self) -> bool:
        moved = self._run_timers()
        attempts, self.attempts = self.attempts, []
        for attempt in attempts:
            moved = True
            if attempt.state == "connecting":
                self._open(attempt)
        for link in tuple(self.links):
            if link.open:
                # Both turns are wanted, hence no short circuit.
                moved |= link.client.turn() | link.server.turn()
        return moved

    def _run_timers(self) -> bool:
        # Those due by now; what they schedule for now runs in the next turn.
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        due.sort(key=lambda call: call.getTime())
        for call in due:
            # An earlier one may have cancelled or delayed it.
            if call.active() and call.getTime() <= self.rightNow:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def _open(self, connector: LoopbackConnector) -> None:
        destination = connector.destination
        port = self.ports.get(destination.port)
        if port is None:
            connector.failed(ConnectionRefusedError())
            return
        client = IPv4Address("TCP", "127.0.0.1", self.free_port())
        link = Link(client, destination, self.chunk_size)
        served = port.factory.buildProtocol(client)
        protocol = connector.build(link.client)
        if protocol is None:
            connector.failed(ConnectBindError())
            return
        self.links.append(link)
        self.opened(link)
        if served is None:
            # Accepted and closed, which is how a factory refuses.
            link.server.end(ConnectionDone())
        else:
            link.server.attach(served)
        link.client.attach(protocol, connector.lost)
