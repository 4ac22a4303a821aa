"""
What users cost who are connected over UDP and only keep alive, at the interval
that the server asks for by default.
"""

import time
from collections import deque
from pathlib import Path
from select import select
from socket import socket
from typing import Final

from bench.datagrams import DATAGRAM_SIZE, asker, clock, open_socket, shake_hands
from bench.endpoint import EndpointApi
from bench.process import game_server
from diarkis_tw.config.fields import CONNECTION_TTL_DEFAULT
from diarkis_tw.constants import Builtin
from diarkis_tw.core.admission import keep_alive_interval
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.units import seconds
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.keep_alive import encode_keep_alive_request
from diarkis_tw.wire.message import encode_request

ROUNDS: Final = 4
"""Keep-alives of each user that are measured."""

REQUEST: Final = encode_request(0, Builtin.KEEP_ALIVE, 0, encode_keep_alive_request(0, 1))


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

    def add(self, connection: Connection) -> None:
        """
        Begin to keep C{connection} alive.
        """
        self._due.append((time.perf_counter() + self._interval, connection))

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


def measure(folder: Path, core: int | None, count: int) -> str:
    """
    Let users come and keep alive.

    @param folder: for the server's files.
    @param core: for the server.
    @return: a sentence.
    """
    interval = seconds(keep_alive_interval(CONNECTION_TTL_DEFAULT))
    server = game_server(folder, "keep-alive", core, CONNECTION_TTL_DEFAULT)
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
            users.add(shake_hands(endpoint, asker(wire), ciphers))
        users.run(interval)
        sent, answered = users.sent, users.answered
        cpu, begin = server.cpu_time(), time.perf_counter()
        users.run(ROUNDS * interval)
        cpu, took = server.cpu_time() - cpu, time.perf_counter() - begin
        sent, answered = users.sent - sent, users.answered - answered
    return (
        f"{cpu / took * 100:.2f} % of a core, {sent / took:.0f} keep-alives a second, "
        f"{cpu / sent * 1e6:.1f} us each; {answered / sent * 100:.1f} % answered"
    )
