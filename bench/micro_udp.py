"""
The UDP server's own part of an echo, without sockets: from the port's C{doRead},
which has a datagram of each client, to the answers' C{sendto}. And what hostile
datagrams cost.
"""

import os
import time
from collections import deque
from contextlib import nullcontext
from cProfile import Profile
from typing import Final, cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import MemoryReactorClock

from bench.datagrams import shake_hands
from bench.session import ECHO, PAYLOAD_SIZE
from diarkis_tw import demo
from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.config.settings import NodeSettings, Settings, UdpSettings
from diarkis_tw.constants import ServerType, Status
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.server import Server
from diarkis_tw.transports.udp import UdpServer
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.datagram import HELLO_BYTE, HELLO_SIZE
from diarkis_tw.wire.message import encode_request, encode_response

TURN: Final = 0.001
"""Seconds between two turns of the reactor."""

Address = tuple[str, int]


class Socket:
    """
    The least that a server needs of a socket.

    @ivar arrived: what there is to read.
    @ivar sent: what the server sent, and where to.
    """

    family = 0

    def __init__(self) -> None:
        self.arrived: deque[tuple[bytes, Address]] = deque()
        self.sent: list[tuple[bytes, Address]] = []

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        """
        Receive.
        """
        if self.arrived:
            return self.arrived.popleft()
        raise BlockingIOError

    def sendto(self, datagram: bytes, address: Address) -> None:
        """
        Send.
        """
        self.sent.append((datagram, address))


class Port:
    """
    A port whose datagrams do not come from a network.
    """

    def __init__(self, protocol: DatagramProtocol) -> None:
        self.protocol = protocol
        self.socket = Socket()
        protocol.makeConnection(self)  # type: ignore[arg-type]

    def doRead(self) -> None:
        """
        Read all that arrived; the server puts its own in this one's place.
        """

    def getHost(self) -> IPv4Address:
        """
        Say where it listens.
        """
        return IPv4Address("UDP", "127.0.0.1", 7000)


class Reactor(MemoryReactorClock):
    """
    A reactor on a clock, with one UDP port.
    """

    def listenUDP(self, port: int, protocol: DatagramProtocol, *args: object) -> Port:
        """
        Make the port.
        """
        self.port = Port(protocol)
        return self.port


class Player:
    """
    One connected user.

    @ivar connection: the client's side.
    @ivar address: of the client.
    """

    def __init__(
        self, server: "UdpEchoServer", number: int, reliable: bool, ciphers: AeadCache
    ) -> None:
        keys = server.server.users.create(f"{number}", "UDP", {}).keys
        self._server = server
        self._reliable = reliable
        self.address = ("127.0.0.1", 1024 + number)
        payload = os.urandom(PAYLOAD_SIZE)
        self._request = encode_request(*ECHO, 1, payload)
        self._answer = (encode_response(*ECHO, Status.OK, 1, payload), reliable)
        endpoint = Endpoint(ServerType.UDP, "127.0.0.1", 7000, keys)
        self.connection: Connection = shake_hands(endpoint, self._ask, ciphers, server.now)

    def send(self) -> None:
        """
        Put one request on the way to the server.
        """
        now = self._server.now()
        self.connection.send(self._request, self._reliable, 0, now)
        for datagram in self.connection.flush(now):
            self._server.port.socket.arrived.append((datagram, self.address))

    def check(self, datagram: bytes) -> None:
        """
        Take the server's answer.
        """
        connection = self.connection
        connection.receive(datagram, self._server.now())
        if connection.delivered != [self._answer]:
            raise RuntimeError(f"{connection.delivered!r} instead of an answer")
        connection.delivered.clear()

    def _ask(self, datagram: bytes) -> bytes:
        self._server.port.socket.arrived.append((datagram, self.address))
        self._server.turn()
        [(answer, _)] = self._server.take()
        return answer


class UdpEchoServer:
    """
    A server in this process.

    @ivar players: its users.
    @ivar udp: the protocol under measurement.
    """

    def __init__(self, players: int, reliable: bool) -> None:
        self._reactor = Reactor()
        self._reactor.advance(1)
        settings = Settings(udp=UdpSettings(), node=NodeSettings(max_command_rate=0))
        self.server = Server(cast(IReactorTime, self._reactor), settings)
        demo.setup(self.server)
        self.server.service().startService()
        self.port: Port = self._reactor.port
        self.udp = cast(UdpServer, self.port.protocol)
        ciphers = AeadCache(2 * players + 2)
        self.players = [Player(self, n, reliable, ciphers) for n in range(players)]

    def now(self) -> int:
        """
        The clock, in microseconds.
        """
        return microseconds(self._reactor.seconds())

    def turn(self) -> None:
        """
        One turn of the reactor: what is due, what can be read, and what that left.
        """
        self.port.doRead()
        self._reactor.advance(0)

    def take(self) -> list[tuple[bytes, Address]]:
        """
        What the server has sent.
        """
        sent, self.port.socket.sent = self.port.socket.sent, []
        return sent

    def echoes(self, count: int, profile: Profile | None = None) -> float:
        """
        Run echoes, one of each player a turn, and check the answers.

        @return: microseconds of CPU for each.
        """
        took = 0
        for _ in range(count):
            for player in self.players:
                player.send()
            with profile or nullcontext():
                begin = time.thread_time_ns()
                self.turn()
                took += time.thread_time_ns() - begin
            answers = self.take()
            for player, (datagram, _) in zip(self.players, answers, strict=True):
                player.check(datagram)
            self._reactor.advance(TURN)
        return took / count / len(self.players) / 1e3

    def hostile(self) -> dict[str, bytes]:
        """
        Make datagrams that nobody asked for, by what they are.
        """
        player = self.players[0]
        self.port.socket.arrived.clear()
        player.send()
        genuine, _ = self.port.socket.arrived.pop()
        return {
            "junk": bytes(len(genuine)),
            "HELLO without cookie": bytes((HELLO_BYTE,)) + bytes(HELLO_SIZE - 1),
            "unknown cid": genuine[:1] + bytes(len(genuine) - 1),
            "forged, of a live cid": genuine[:-1] + bytes((genuine[-1] ^ 1,)),
        }

    def cost(self, datagram: bytes, count: int) -> float:
        """
        Measure what C{count} of such a datagram cost.

        @return: microseconds of CPU for each.
        """
        arrived = self.port.socket.arrived
        arrived.extend([(datagram, ("127.0.0.2", 1))] * count)
        begin = time.thread_time_ns()
        while arrived:
            self.turn()
        took = time.thread_time_ns() - begin
        self.take()
        return took / count / 1e3
