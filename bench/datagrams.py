"""
Clients over UDP, without a reactor: for load small ones, else with a real
L{Connection}.
"""

import os
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Final

from bench.datagram_session import DatagramSession
from bench.endpoint import IO_TIME
from bench.load import LoadClient
from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.udp_handshake import Accepted, UdpHandshake
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache

DATAGRAM_SIZE: Final = 2048
"""More than any datagram of the protocol has."""

ACK_DELAY: Final = 20_000
"""Microseconds after which a client acknowledges in any case."""


def clock() -> int:
    """
    The load's clock, in microseconds.
    """
    return microseconds(perf_counter())


def greet(
    endpoint: Endpoint, ask: Callable[[bytes], bytes], time: Callable[[], int] = clock
) -> Accepted:
    """
    Come as far as ACCEPT.

    @param ask: sends a datagram and gives the answer.
    @param time: the client's clock, in microseconds.
    """
    handshake = UdpHandshake(endpoint, os.urandom, True)
    handshake.cookie(ask(handshake.hello(time())), time())
    accepted = handshake.accept(ask(handshake.hello(time())), time())
    if accepted is None:
        raise RuntimeError("the server does not accept")
    return accepted


def shake_hands(
    endpoint: Endpoint,
    ask: Callable[[bytes], bytes],
    ciphers: AeadCache,
    time: Callable[[], int] = clock,
) -> Connection:
    """
    Come as far as the acknowledgement of the first packet.

    @param ask: sends a datagram and gives the answer.
    @param ciphers: shared by all clients.
    @param time: the client's clock, in microseconds.
    """
    accepted = greet(endpoint, ask, time)
    terms = accepted.terms
    opener, sealer = accepted.agreement.ciphers(True, ciphers)
    connection = Connection(
        Limits(ack_delay=terms.ack_delay * 1000),
        terms.cid,
        True,
        opener,
        sealer,
        ReassemblyBudget(1 << 26),
        time(),
        accepted.round_trip,
    )
    connection.ping()
    for datagram in connection.flush(time()):
        if not connection.receive(ask(datagram), time()):
            raise RuntimeError("the server's first packet does not open")
    return connection


def open_socket(host: str, port: int) -> socket.socket:
    """
    Make a socket that talks with one server.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(IO_TIME)
    made.connect((host, port))
    return made


def asker(wire: socket.socket) -> Callable[[bytes], bytes]:
    """
    Make a function that sends a datagram and waits for the answer.
    """

    def ask(datagram: bytes) -> bytes:
        wire.send(datagram)
        return wire.recv(DATAGRAM_SIZE)

    return ask


class BareEchoClient(LoadClient):
    """
    Load for the bare echo.
    """

    __slots__ = ("_request",)

    def __init__(self, wire: socket.socket, size: int) -> None:
        """
        @param size: bytes of each datagram.
        """
        super().__init__(wire)
        self._request = os.urandom(size)

    def send(self, now: float) -> None:
        """
        Send one request.
        """
        self.sent.append(now)
        self.socket.send(self._request)

    def receive(self) -> int:
        """
        Receive an answer and look at it.
        """
        if self.socket.recv(DATAGRAM_SIZE) != self._request:
            raise RuntimeError("the floor's echo is wrong")
        return 1


class DatagramEchoClient(LoadClient):
    """
    Load for the server: one user's echoes, every one of them looked at.
    """

    __slots__ = ("_session",)

    def __init__(self, wire: socket.socket, session: DatagramSession) -> None:
        super().__init__(wire)
        self._session = session

    def send(self, now: float) -> None:
        """
        Send one request.
        """
        self.sent.append(now)
        self.socket.send(self._session.request())

    def receive(self) -> int:
        """
        Receive a datagram and look at the answers in it.
        """
        return self._session.take(self.socket.recv(DATAGRAM_SIZE))

    def rest(self) -> None:
        """
        Acknowledge the last answer, or the server would send it again.
        """
        self.socket.send(self._session.acknowledge())
