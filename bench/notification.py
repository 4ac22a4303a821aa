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
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

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
from diarkis_tw.client.endpoint import Endpoint
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
STUCK: Final = 20.0
"""Seconds after which a run has failed."""

TICK: Final = 0.1
"""Seconds without anything received after which a lost command is sent again."""


class TcpUser:
    """
    A user on TCP.
    """

    def __init__(self, endpoint: Endpoint, ciphers: AeadCache) -> None:
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

    def send(self, message: bytes) -> None:
        """
        Send a message.
        """
        self.socket.sendall(self._session.seal(message))

    def tick(self) -> None:
        """
        Nothing is lost.
        """


class UdpUser:
    """
    A user on UDP, who acknowledges at once.
    """

    def __init__(self, endpoint: Endpoint, ciphers: AeadCache) -> None:
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
        self.flush(ACK_DELAY)
        return messages

    def send(self, message: bytes) -> None:
        """
        Send a message reliably.
        """
        self._connection.send(message, True, 0, clock())
        self.flush()

    def tick(self) -> None:
        """
        Send again what seems lost.
        """
        self._connection.tick(clock())
        self.flush()

    def flush(self, ahead: int = 0) -> None:
        """
        Send what there is, and what there would be C{ahead} microseconds later.
        """
        for datagram in self._connection.flush(clock() + ahead):
            self.socket.send(datagram)


NotifiedUser: TypeAlias = TcpUser | UdpUser


def enter(process: ServerProcess, transport: str, count: int) -> "Audience":
    """
    Let users come to one server.
    """
    ciphers = AeadCache(2 * count + 4)
    make: type[NotifiedUser] = TcpUser if transport == "tcp" else UdpUser
    with EndpointApi(process.addresses["HTTP"]) as api:
        control = UdpUser(api.log_in("UDP", CONTROL), ciphers)
        uids = [f"user{number}" for number in range(count)]
        return Audience(control, [make(api.log_in(transport.upper(), u), ciphers) for u in uids])


class Audience:
    """
    All users, and the one who has notifications sent.
    """

    def __init__(self, control: NotifiedUser, users: Sequence[NotifiedUser]) -> None:
        """
        @param control: its uid is L{CONTROL}.
        """
        self._control = control
        self._users = users
        self._by_fd = {user.socket.fileno(): user for user in (self._control, *self._users)}
        self._epoll = select.epoll()
        for descriptor, user in self._by_fd.items():
            user.socket.setblocking(False)  # a time-out would be another system call
            self._epoll.register(descriptor, select.EPOLLIN)
        self._answers: deque[bytes] = deque()
        self._missing: set[NotifiedUser] = set()
        self._expected: Push | None = None

    def close(self) -> None:
        """
        Close all sockets.
        """
        self._epoll.close()
        for user in self._by_fd.values():
            user.socket.close()

    def notify(self, cmd: int = SEND) -> tuple[float, Measured]:
        """
        Have one notification sent.

        @param cmd: the command for that.
        @return: seconds until all had received it, and what the server measured.
        """
        message = os.urandom(MESSAGE_SIZE)
        self._expected = Push(0, Builtin.NOTIFICATION, message)
        self._missing.update(self._users)
        begin = time.perf_counter()
        self._control.send(encode_request(2, cmd, 1, message))
        self._receive_until(lambda: not self._missing)
        received = time.perf_counter() - begin
        self._receive_until(lambda: bool(self._answers))
        self._answers.clear()
        return received, self._report()

    def wait(self, duration: float) -> Measured:
        """
        Have nothing sent for a while.
        """
        self._ask(START)
        end = time.perf_counter() + duration
        # Who does not acknowledge what comes again would be taken for gone.
        self._receive_until(lambda: time.perf_counter() >= end)
        return self._report()

    def _report(self) -> Measured:
        return msgspec.convert(decode_value(self._ask(REPORT)), Measured)

    def _ask(self, cmd: int) -> bytes:
        self._control.send(encode_request(2, cmd, 1, b""))
        self._receive_until(lambda: bool(self._answers))
        return self._answers.popleft()

    def _receive_until(self, is_done: Callable[[], bool]) -> None:
        end = time.perf_counter() + STUCK
        while not is_done():
            ready = self._epoll.poll(TICK)
            if time.perf_counter() > end:
                raise RuntimeError(f"{len(self._missing)} users got nothing for {STUCK:g} s")
            for descriptor, _ in ready:
                user = self._by_fd[descriptor]
                for message in user.receive():
                    self._received(user, decode_server_message(message))
            if not ready:
                self._control.tick()

    def _received(self, user: NotifiedUser, found: Push | Response) -> None:
        if user is self._control and isinstance(found, Response):
            assert isinstance(found.payload, bytes)
            self._answers.append(found.payload)
        elif user in self._missing and found == self._expected:
            self._missing.remove(user)
        else:
            raise RuntimeError(f"a user got {found!r}")


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
        audience = enter(server, transport, count)
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
