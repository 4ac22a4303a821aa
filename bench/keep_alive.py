"""
What users cost who are connected over UDP and only keep alive, at the interval
that the server asks for by default.
"""

import time
from collections import deque
from dataclasses import dataclass
from select import select
from socket import socket
from typing import Final

from bench.contest import Contestant
from bench.datagrams import (
    DATAGRAM_SIZE,
    BareEchoClient,
    asker,
    clock,
    open_socket,
    shake_hands,
)
from bench.endpoint import EndpointApi
from bench.load import Load
from bench.process import ServerProcess
from diarkis_tw.config.fields import CONNECTION_TTL_DEFAULT
from diarkis_tw.constants import Builtin
from diarkis_tw.core.admission import keep_alive_interval
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.units import seconds
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.keep_alive import encode_keep_alive_request
from diarkis_tw.wire.message import encode_request
from diarkis_tw.wire.packet import CLIENT_HEADER_SIZE

ROUNDS: Final = 3
"""Keep-alives of each user that are measured."""

INTERVAL: Final = seconds(keep_alive_interval(CONNECTION_TTL_DEFAULT))
"""Seconds between two keep-alives of a user, as the server asks for by default."""

REQUEST: Final = encode_request(0, Builtin.KEEP_ALIVE, 0, encode_keep_alive_request(0, 1))
REQUEST_SIZE: Final = CLIENT_HEADER_SIZE + 1 + len(REQUEST) + TAG_SIZE


class KeepAlives:
    """
    All users, on one socket: the server tells them apart by their cids, and
    answers in the order in which they asked.

    @ivar sent: keep-alives so far; C{answered}: those with an answer.
    """

    def __init__(self, wire: socket, interval: float) -> None:
        """
        @param interval: seconds between two keep-alives of a user.
        """
        self.sent = self.answered = 0
        self._wire = wire
        self._interval = interval
        self._due: deque[tuple[float, Connection]] = deque()
        self._waiting: deque[Connection] = deque()

    def add(self, connection: Connection, since: float) -> None:
        """
        Keep C{connection} alive.

        @param since: when it was last heard of.
        """
        self._due.append((since + self._interval, connection))

    def run_due(self) -> None:
        """
        Send what is due and receive what was answered.
        """
        while self._due and self._due[0][0] <= time.perf_counter():
            due, connection = self._due.popleft()
            connection.send(REQUEST, False, 0, clock())
            for datagram in connection.flush(clock()):
                self._wire.send(datagram)
            self.sent += 1
            self._waiting.append(connection)
            self._due.append((due + self._interval, connection))
        while self._waiting and select([self._wire], [], [], 0)[0]:
            self._receive(self._wire.recv(DATAGRAM_SIZE))

    def settle(self) -> None:
        """
        Receive all answers that are still to come.
        """
        while self._waiting:
            self._receive(self._wire.recv(DATAGRAM_SIZE))

    def run(self, duration: float) -> None:
        """
        Go on for a while.
        """
        end = time.perf_counter() + duration
        while time.perf_counter() < end:
            self.run_due()
            time.sleep(0.0002)

    def _receive(self, datagram: bytes) -> None:
        while self._waiting:
            connection = self._waiting.popleft()
            if connection.receive(datagram, clock()):
                self.answered += len(connection.delivered)
                connection.delivered.clear()
                return


@dataclass(frozen=True, slots=True)
class Share:
    """
    What keep-alives cost.

    @ivar busy: percent of its core that the server used; C{floor}: that a bare
        echo used for as many datagrams.
    @ivar rate: keep-alives per second.
    @ivar answered: percent of them.
    """

    busy: float
    floor: float
    rate: float
    answered: float

    def __str__(self) -> str:
        return (
            f"{self.busy:.1f} % of a core for {self.rate:.0f} keep-alives a second, "
            f"{self.busy / self.rate * 1e4:.1f} us each; {self.answered:.1f} % answered\n"
            f"{self.floor:.1f} % for the bare echo of as many datagrams"
        )


def measure(server: ServerProcess, floor: ServerProcess, count: int, interval: float) -> Share:
    """
    Let users come and keep alive.

    @param server: with the default connectionTTL; not started yet, as C{floor}.
    @param interval: seconds between two keep-alives of a user.
    """
    ciphers = AeadCache(2 * count + 2)
    with (
        server,
        EndpointApi(server.addresses["HTTP"]) as api,
        open_socket(**server.addresses["UDP"]) as wire,
    ):
        users = KeepAlives(wire, interval)
        for number in range(count):
            endpoint = api.log_in("UDP", f"user{number}")
            users.run_due()
            users.settle()
            users.add(shake_hands(endpoint, asker(wire), ciphers), time.perf_counter())
        users.run(interval)
        users.settle()
        sent, answered = users.sent, users.answered
        cpu, begin = server.cpu_time(), time.perf_counter()
        users.run(ROUNDS * interval)
        cpu, took = server.cpu_time() - cpu, time.perf_counter() - begin
        users.settle()
        sent, answered = users.sent - sent, users.answered - answered
    rate = sent / took
    return Share(cpu / took * 100, _bare_echo(floor, interval, rate), rate, answered / sent * 100)


def _bare_echo(floor: ServerProcess, duration: float, rate: float) -> float:
    with floor, open_socket(**floor.addresses["UDP"]) as wire:
        load = Load([BareEchoClient(wire, REQUEST_SIZE)])
        return Contestant("floor", floor, load).fixed_rate(duration, rate).busy
