"""
Clients over UDP, with a real L{Connection} and without a reactor.
"""

import os
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Final

from bench.endpoint import IO_TIME
from bench.load import LoadClient
from bench.session import ECHO
from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.udp_handshake import UdpHandshake
from diarkis_tw.constants import Status
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, Limits
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.message import encode_request, encode_response

DATAGRAM_SIZE: Final = 2048
"""More than any datagram of the protocol has."""

ACK_DELAY: Final = 20_000
"""Microseconds after which a client acknowledges in any case."""

DIFFERENT: Final = 256
"""Requests of a client that differ by their id, made once and sent in turn."""


def clock() -> int:
    """
    The load's clock, in microseconds.
    """
    return microseconds(perf_counter())


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
    handshake = UdpHandshake(endpoint, os.urandom, True)
    handshake.cookie(ask(handshake.hello(time())), time())
    accepted = handshake.accept(ask(handshake.hello(time())), time())
    if accepted is None:
        raise RuntimeError("the server does not accept")
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
    Load for the server: one user's echoes. Here nothing can be made beforehand, for
    acknowledgements depend on what came; and every answer is looked at at once.
    """

    __slots__ = ("_answered", "_answers", "_connection", "_reliable", "_requested", "_requests")

    def __init__(
        self, wire: socket.socket, connection: Connection, reliable: bool, size: int
    ) -> None:
        """
        @param reliable: how requests travel, and so answers.
        @param size: bytes of the payload.
        """
        super().__init__(wire)
        self._connection = connection
        self._reliable = reliable
        self._requested = self._answered = 0
        payload = os.urandom(size)
        ids = range(1, DIFFERENT + 1)
        self._requests = [encode_request(*ECHO, n, payload) for n in ids]
        self._answers = [(encode_response(*ECHO, Status.OK, n, payload), reliable) for n in ids]

    def send(self, now: float) -> None:
        """
        Send one request, with an acknowledgement of what came.
        """
        self.sent.append(now)
        request = self._requests[self._requested % DIFFERENT]
        self._requested += 1
        connection, time = self._connection, clock()
        if not connection.send(request, self._reliable, 0, time):
            raise RuntimeError("a request was refused")
        for datagram in connection.flush(time):
            self.socket.send(datagram)

    def receive(self) -> int:
        """
        Receive a datagram and look at the answers in it.
        """
        connection = self._connection
        if not connection.receive(self.socket.recv(DATAGRAM_SIZE), clock()):
            raise RuntimeError("the server's packet does not open")
        delivered = connection.delivered
        for answer in delivered:
            if answer != self._answers[self._answered % DIFFERENT]:
                raise RuntimeError("a wrong answer")
            self._answered += 1
        count = len(delivered)
        delivered.clear()
        return count

    def rest(self) -> None:
        """
        Acknowledge the last answer, or the server would send it again.
        """
        for datagram in self._connection.flush(clock() + ACK_DELAY):
            self.socket.send(datagram)
