"""
One notification to many connected users: how soon all have it, and how long the
server does nothing else.

How it is measured:

  - All users are real, each with a socket of its own in the load's process; the
    server has its own process and core.
  - The server's own turns are measured in its process: L{bench.notified_app}.
  - Between two notifications the users are silent, so the server has let go of
    their AES-GCM objects, as it does with users who only keep alive.
  - Every user must get exactly this message, or the run fails.
"""

import argparse
import os
import select
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from bench.datagrams import ACK_DELAY, DATAGRAM_SIZE, asker, clock, open_socket
from bench.datagrams import shake_hands as shake_hands_udp
from bench.endpoint import EndpointApi
from bench.figures import machine, spread
from bench.idle import allow_open_files
from bench.keep_alive import INTERVAL
from bench.notified_app import CONTROL, REPORT, SEND, START, Measured
from bench.process import ServerProcess, cores, game_server, pinned
from bench.session import Session
from bench.session import shake_hands as shake_hands_tcp
from diarkis_tw.constants import Builtin
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.message import Push, Response, decode_server_message, encode_request
from diarkis_tw.wire.record import RecordReader
from diarkis_tw.wire.value import decode_value

USERS: Final = 10_000
TRANSPORTS: Final = ("tcp", "udp")
MESSAGE_SIZE: Final = 64
RECORD_SIZE: Final = 65536
STUCK: Final = 10.0
"""Seconds without anything received after which the run has failed."""


class TcpUser:
    """
    A user on TCP.
    """

    def __init__(self, api: EndpointApi, uid: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("TCP", uid)
        self._session = Session(endpoint.keys, b"", ciphers)
        self.socket = shake_hands_tcp(self._session, (endpoint.host, endpoint.port))
        self._reader = RecordReader(RECORD_SIZE)

    def receive(self) -> list[bytes]:
        """
        Read messages.
        """
        data = self.socket.recv(RECORD_SIZE)
        if not data:
            raise RuntimeError("the server closed a connection")
        self._reader.feed(data)
        messages = []
        while (record := self._reader.next()) is not None:
            messages.append(self._session.opened(record[1], record[2]))
        return messages


class UdpUser:
    """
    A user on UDP, who acknowledges at once.
    """

    def __init__(self, api: EndpointApi, uid: str, ciphers: AeadCache) -> None:
        endpoint = api.log_in("UDP", uid)
        self.socket = open_socket(endpoint.host, endpoint.port)
        self._connection: Connection = shake_hands_udp(endpoint, asker(self.socket), ciphers)

    def receive(self) -> list[bytes]:
        """
        Read messages.
        """
        connection = self._connection
        connection.receive(self.socket.recv(DATAGRAM_SIZE), clock())
        messages = [message for message, _ in connection.delivered]
        connection.delivered.clear()
        self._flush(ACK_DELAY)
        return messages

    def command(self, cmd: int, payload: bytes = b"") -> None:
        """
        Send a command of version 2.
        """
        self._connection.send(encode_request(2, cmd, 1, payload), True, 0, clock())
        self._flush(0)

    def answer(self) -> bytes:
        """
        Wait for the answer.
        """
        while True:
            for message in self.receive():
                found = decode_server_message(message)
                if isinstance(found, Response):
                    return found.payload

    def _flush(self, ahead: int) -> None:
        for datagram in self._connection.flush(clock() + ahead):
            self.socket.send(datagram)


class Audience:
    """
    All users, and the one who has notifications sent.
    """

    def __init__(self, process: ServerProcess, transport: str, count: int) -> None:
        ciphers = AeadCache(2 * count + 4)
        make: Callable[[EndpointApi, str, AeadCache], TcpUser | UdpUser] = (
            TcpUser if transport == "tcp" else UdpUser
        )
        with EndpointApi(process.addresses["HTTP"]) as api:
            self._control = UdpUser(api, CONTROL, ciphers)
            self._users = [make(api, f"user{number}", ciphers) for number in range(count)]
        self._by_fd = {user.socket.fileno(): user for user in self._users}
        self._epoll = select.epoll()
        for descriptor in self._by_fd:
            self._epoll.register(descriptor, select.EPOLLIN)
        for user in self._users:
            user.socket.setblocking(False)  # a time-out would be another system call

    def close(self) -> None:
        """
        Close all sockets.
        """
        self._epoll.close()
        for user in (self._control, *self._users):
            user.socket.close()

    def notify(self) -> tuple[float, Measured]:
        """
        Have one notification sent.

        @return: seconds until all had received it, and what the server measured.
        """
        message = os.urandom(MESSAGE_SIZE)
        begin = time.perf_counter()
        self._control.command(SEND, message)
        received = self._receive(Push(0, Builtin.NOTIFICATION, message)) - begin
        self._control.answer()
        return received, self._report()

    def wait(self, duration: float) -> Measured:
        """
        Have nothing sent for a while.
        """
        self._control.command(START)
        self._control.answer()
        time.sleep(duration)
        return self._report()

    def _report(self) -> Measured:
        self._control.command(REPORT)
        return msgspec.convert(decode_value(self._control.answer()), Measured)

    def _receive(self, expected: Push) -> float:
        missing = set(self._by_fd)
        now = time.perf_counter()
        while missing:
            ready = self._epoll.poll(STUCK)
            if not ready:
                raise RuntimeError(f"{len(missing)} users got nothing for {STUCK:g} s")
            for descriptor, _ in ready:
                for message in self._by_fd[descriptor].receive():
                    if decode_server_message(message) != expected or descriptor not in missing:
                        raise RuntimeError("a user got something else")
                    missing.remove(descriptor)
            now = time.perf_counter()
        return now


def measure(
    folder: Path, core: int | None, transport: str, count: int, rounds: int, quiet: float
) -> None:
    """
    Measure one transport and print.

    @param quiet: seconds between two notifications, in which the server is
        measured too.
    """
    allow_open_files(count)
    print(f"\nNotification: {count} users on {transport.upper()}, {rounds} times", flush=True)
    server = game_server(folder, f"notified-{transport}", core, app="bench.notified_app")
    with server, ExitStack() as stack:
        audience = Audience(server, transport, count)
        stack.callback(audience.close)
        before, received, measured = [], [], []
        for _ in range(rounds):
            before.append(audience.wait(quiet))
            time_received, of_server = audience.notify()
            received.append(time_received)
            measured.append(of_server)
    if any(of_server.sent != count for of_server in measured):
        raise RuntimeError(f"sent to {[of_server.sent for of_server in measured]}")
    rows = {
        "sent to all": [of_server.took for of_server in measured],
        "received by all": received,
        "longest turn": [of_server.stall for of_server in measured],
        "  of CPU time": [of_server.cpu_stall for of_server in measured],
        "  without notification": [of_server.stall for of_server in before],
    }
    for name, seconds in rows.items():
        print(f"{name:24}{spread([value * 1e3 for value in seconds])} ms", flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--only", choices=TRANSPORTS, help="one transport alone")
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--rounds", type=int, default=5)


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    print(machine(), flush=True)
    core, load_core = cores()
    with TemporaryDirectory(prefix="bench-") as name, pinned(load_core):
        for transport in TRANSPORTS:
            if options.only in (None, transport):
                measure(Path(name), core, transport, options.users, options.rounds, INTERVAL)
