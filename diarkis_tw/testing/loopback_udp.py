"""
UDP for the reactor without sockets: what L{diarkis_tw.testing.loopback} does for
TCP and HTTP, and datagrams besides, on the same clock::

    reactor = LoopbackUdpReactor()
    reactor.listenUDP(7000, protocol, "127.0.0.1")
    reactor.hops.append(RoughPath(seed=1, delay=0.05, loss=0.1))
    connecting = connect_to(endpoint, reactor=reactor)
    reactor.advance(1)

Rules:

  - Hosts matter: a datagram reaches the port that is bound to its destination. One
    that is bound to no host in particular has 127.0.0.1, or ::1.
  - Each datagram passes all L{LoopbackUdpReactor.hops} in order. A hop is a function
    that gets a L{Datagram} and says which ones leave it, each with a delay: none is
    a loss, two a duplication, another source address a translation.
  - A datagram to nobody vanishes; a sender that is connected is told that it was
    refused, as on a real loopback.
  - Nothing is delivered inside C{write}. With the same seeds everything happens
    again the same way.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IReactorUDP, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from diarkis_tw.testing.loopback import LoopbackReactor
from diarkis_tw.units import Seconds

Address: TypeAlias = tuple[str, int]

SENT_KEPT: Final = 10_000
"""Datagrams of the past that L{LoopbackUdpReactor.sent} knows."""

DATAGRAM_MAX: Final = 65_507
"""Bytes that UDP over IPv4 can carry."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """
    A datagram on its way.

    @ivar data: what was written.
    @ivar source: host and port it comes from.
    @ivar destination: host and port it goes to.
    """

    data: bytes
    source: Address
    destination: Address


Hop: TypeAlias = Callable[[Datagram], Iterable[tuple[Seconds, Datagram]]]


@implementer(IListeningPort, IUDPTransport)
class LoopbackUdpPort:
    """
    A UDP port of a L{LoopbackUdpReactor}.

    @ivar protocol: gets the datagrams.
    @ivar peer: the only address it talks with, L{None} while not connected.
    @ivar max_packet_size: bytes of a datagram that the protocol sees.
    """

    log = Logger()

    def __init__(
        self,
        reactor: "LoopbackUdpReactor",
        protocol: DatagramProtocol,
        address: Address,
        max_packet_size: int,
    ) -> None:
        """
        @param reactor: where to listen.
        @param protocol: gets the datagrams.
        @param address: what is bound; port 0 = any.
        @param max_packet_size: bytes of a datagram that the protocol sees.
        """
        self.protocol = protocol
        self.peer: Address | None = None
        self.max_packet_size = max_packet_size
        self._reactor = reactor
        self._address = address
        self._broadcast = False
        self._stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        """
        Bind.

        @raise CannotListenError: the address is in use.
        """
        host, port = self._address
        if port == 0:
            self._address = (host, self._reactor.free_port())
        elif self._address in self._reactor.udp_ports:
            raise CannotListenError(host, port, OSError("address already in use"))
        self._reactor.udp_ports[self._address] = self
        self.protocol.makeConnection(self)

    def stopListening(self) -> Deferred[None] | None:
        """
        Close, in the next turn, as sockets do.

        @return: fires then; L{None} if it is closed.
        """
        if self._reactor.udp_ports.get(self._address) is not self:
            return None
        if self._stopped is None:
            self._stopped = Deferred()
            self._reactor.callLater(0, self._stop)
        return self._stopped

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        Look up the address that is really bound.
        """
        kind = IPv6Address if isIPv6Address(self._address[0]) else IPv4Address
        return kind("UDP", *self._address)

    def write(self, packet: bytes, addr: Address | None = None) -> None:
        """
        Send a datagram.

        @param packet: at most 65507 bytes.
        @param addr: where to; L{None} = the peer.

        @raise MessageLengthError: it is longer.
        """
        destination = self.peer if addr is None else addr
        if destination is None or self.peer not in (None, destination):
            raise ValueError(f"connected to {self.peer}, asked to send to {addr}")
        if len(packet) > DATAGRAM_MAX:
            raise MessageLengthError("message too long")
        if self._reactor.udp_ports.get(self._address) is self:
            self._reactor.put_in(Datagram(bytes(packet), self._address, destination))

    def connect(self, host: str, port: int) -> None:
        """
        Talk with one address only.

        @param host: an IP address.
        @param port: its port.

        @raise OSError: the address is of another family.
        """
        if self.peer is not None:
            raise RuntimeError("already connected")
        if isIPv6Address(host) != isIPv6Address(self._address[0]):
            raise OSError("address family not supported")
        self.peer = (host, port)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """
        Without effect.
        """
        self._broadcast = enabled

    def getBroadcastAllowed(self) -> bool:
        """
        Look up what L{setBroadcastAllowed} was last called with.
        """
        return self._broadcast

    def deliver(self, datagram: Datagram) -> None:
        """
        A datagram arrived. As with a real port, an exception of the protocol is
        logged and ends nothing.

        @param datagram: for this port.
        """
        if self._stopped is not None or self.peer not in (None, datagram.source):
            return
        try:
            data = datagram.data[: self.max_packet_size]
            self.protocol.datagramReceived(data, datagram.source)
        except Exception:
            self.log.failure("datagramReceived failed")

    def refused(self) -> None:
        """
        Nobody listens where the last datagram went.
        """
        if self._stopped is None and self.peer is not None:
            self.protocol.connectionRefused()

    def _stop(self) -> None:
        del self._reactor.udp_ports[self._address]
        self.protocol.doStop()
        if self._stopped is not None:
            self._stopped.callback(None)


@implementer(IReactorUDP)
class LoopbackUdpReactor(LoopbackReactor):
    """
    C{IReactorTime}, C{IReactorTCP} and C{IReactorUDP} in memory.

    @ivar udp_ports: what is bound, by address.
    @ivar hops: what every datagram passes, in order; append, remove, replace.
    @ivar sent: the last L{SENT_KEPT} datagrams as they were written, oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.udp_ports: dict[Address, LoopbackUdpPort] = {}
        self.hops: list[Hop] = []
        self.sent: deque[Datagram] = deque(maxlen=SENT_KEPT)
        self._arriving: list[Datagram] = []

    def listenUDP(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str = "",
        maxPacketSize: int = 8192,
    ) -> IListeningPort:
        """
        Listen in memory.

        @param port: 0 = any.
        @param protocol: gets the datagrams.
        @param interface: the host to bind.
        @param maxPacketSize: bytes of a datagram that the protocol sees.
        @return: the bound port.

        @raise CannotListenError: the address is in use.
        """
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(interface, interface)  # noqa: S104 - nothing is bound
        listening = LoopbackUdpPort(self, protocol, (host, port), maxPacketSize)
        listening.startListening()
        return cast(IListeningPort, listening)

    def put_in(self, datagram: Datagram) -> None:
        """
        Send a datagram through the hops, as a port does; a test may so speak in the
        name of any address.

        @param datagram: what to send.
        """
        self.sent.append(datagram)
        leaving: list[tuple[Seconds, Datagram]] = [(0.0, datagram)]
        for hop in self.hops:
            leaving = [
                (delay + more, translated)
                for delay, passing in leaving
                for more, translated in hop(passing)
            ]
        for delay, passing in leaving:
            if delay > 0:
                self.callLater(delay, self._arrive, passing)
            else:
                self._arrive(passing)

    def _arrive(self, datagram: Datagram) -> None:
        self._arriving.append(datagram)

    def _turn(self) -> bool:
        moved = super()._turn()
        arriving, self._arriving = self._arriving, []
        for datagram in arriving:
            port = self.udp_ports.get(datagram.destination)
            if port is not None:
                port.deliver(datagram)
            elif (sender := self.udp_ports.get(datagram.source)) is not None:
                sender.refused()
        return moved or bool(arriving)


class RoughPath:
    """
    A hop that treats datagrams badly, the same way for the same seed. Shares are
    0..1.

    @ivar delay: one way, in seconds.
    @ivar loss: share that is lost.
    @ivar duplication: share that arrives twice, the second time later.
    @ivar reordering: share that is held back.
    @ivar corruption: share with one bit turned.
    @ivar held_back: how long at most, in seconds.
    @ivar lost: how many were lost.
    """

    def __init__(
        self,
        seed: int,
        *,
        delay: Seconds = 0.0,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
        corruption: float = 0.0,
        held_back: Seconds = 0.05,
    ) -> None:
        """
        @param seed: chooses the datagrams.
        """
        self.delay = delay
        self.loss = loss
        self.duplication = duplication
        self.reordering = reordering
        self.corruption = corruption
        self.held_back = held_back
        self.lost = 0
        self._random = random.Random(seed)  # noqa: S311 - it must repeat

    def __call__(self, datagram: Datagram) -> Iterable[tuple[Seconds, Datagram]]:
        """
        Treat one datagram.

        @param datagram: as it came.
        @return: what leaves, with delays.
        """
        # Always as many numbers, so that a changed share changes nothing else.
        chance = self._random.random
        lost, twice, late, turned = chance(), chance(), chance(), chance()
        first, second = (chance() * self.held_back for _ in range(2))
        where = self._random.randrange(2**32)
        if lost < self.loss:
            self.lost += 1
            return ()
        if turned < self.corruption and datagram.data:
            data = bytearray(datagram.data)
            bit = where % (len(data) * 8)
            data[bit >> 3] ^= 1 << (bit & 7)
            datagram = replace(datagram, data=bytes(data))
        arrival = self.delay + (first if late < self.reordering else 0.0)
        leaving = [(arrival, datagram)]
        if twice < self.duplication:
            leaving.append((arrival + second, datagram))
        return leaving


class Nat:
    """
    A hop like the router of a household: towards one server it gives every sender
    an address of its own, and L{rebind} gives it another, as routers do after a
    pause or a restart. What is still sent to the former address is lost.

    @ivar host: the address that the server sees.
    """

    def __init__(self, server: Address, host: str = "192.0.2.1", first_port: int = 1024) -> None:
        """
        @param server: what is outside.
        @param host: the address that it sees.
        @param first_port: of the ports given out, one after the other.
        """
        self.host = host
        self._server = server
        self._next_port = first_port
        self._outside: dict[Address, Address] = {}
        self._inside: dict[Address, Address] = {}

    def rebind(self, host: str | None = None) -> None:
        """
        Forget all translations; the next datagram of each sender makes a new one.

        @param host: another address for the server to see; L{None} = the same.
        """
        self._outside.clear()
        self._inside.clear()
        if host is not None:
            self.host = host

    def __call__(self, datagram: Datagram) -> Iterable[tuple[Seconds, Datagram]]:
        """
        Translate one datagram.

        @param datagram: as it came.
        @return: what leaves.
        """
        if datagram.destination == self._server:
            outside = self._outside.get(datagram.source)
            if outside is None:
                outside = (self.host, self._next_port)
                self._next_port += 1
                self._outside[datagram.source] = outside
                self._inside[outside] = datagram.source
            return ((0.0, replace(datagram, source=outside)),)
        if datagram.source == self._server and datagram.destination[0] == self.host:
            inside = self._inside.get(datagram.destination)
            return () if inside is None else ((0.0, replace(datagram, destination=inside)),)
        return ((0.0, datagram),)
