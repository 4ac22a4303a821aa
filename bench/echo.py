"""
The echo benchmark: 64 bytes there and back, the server in its own process on
one core, the load on the other one, and a bare Twisted echo as the floor.

Rules:

  - Server and floor take turns within each round, so that whatever else the
    machine does meets both.
  - CPU time is the server process's own, user and system, over the steady part:
    after the warm-up, before the last answers.
  - Requests are sealed before and answers opened after the timed part; a wrong
    answer fails the run.
"""

import argparse
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.figures import machine, percentile, spread
from bench.idle import bytes_per_user
from bench.load import EchoClient, Load
from bench.process import ServerProcess, cores
from bench.session import Session, log_in, shake_hands
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, RESPONSE_HEADER_SIZE
from diarkis_tw.wire.record import RECORD_HEADER_SIZE, RecordReader

PAYLOAD_SIZE: Final = 64
REQUEST_SIZE: Final = RECORD_HEADER_SIZE + REQUEST_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE
ANSWER_SIZE: Final = RECORD_HEADER_SIZE + RESPONSE_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE

WARM_UP: Final = 0.3
"""Part of a phase, in seconds, that is not counted."""

PREPARED_RATE: Final = 60_000
"""Requests a second that are made beforehand; more are made as they are needed."""

CLEAN: Final = 85
"""Percent of its core that a server should have had in a closed loop."""

CONFIG: Final[dict[str, Any]] = {
    # Idle clients of the bench send no keep-alive.
    "TCP": {"address": "127.0.0.1", "port": 0, "noDelay": True, "connectionTTL": 600},
    "HTTP": {"address": "127.0.0.1", "port": 0},
    "node": {"maxCommandRate": 0, "reconnectGrace": 0, "shutdownTimeout": 1},
    "log": {"level": "warn"},
    "app": {"module": "diarkis_tw.demo"},
}


@dataclass(frozen=True, slots=True)
class Phase:
    """
    What one phase gave.

    @ivar cpu: microseconds of the server's CPU per message.
    @ivar half: median round trip in milliseconds; C{most}: 99 % are faster.
    @ivar rate: messages per second.
    @ivar busy: percent of its core that the server used.
    @ivar system: percent of its CPU time spent in the kernel.
    """

    cpu: float
    half: float
    most: float
    rate: float
    busy: float
    system: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    A server and its load.

    @ivar check: takes the answers that came, and fails on a wrong one.
    """

    name: str
    process: ServerProcess
    load: Load
    check: Callable[[], None]

    def closed_loop(self, seconds: float) -> Phase:
        """
        Measure with one request of each client always in flight.
        """
        self._prepare(PREPARED_RATE * (seconds + WARM_UP))
        self.load.begin()
        self.load.closed_loop(WARM_UP)
        phase = self._measure(lambda: self.load.closed_loop(seconds))
        self.load.drain([])
        self.check()
        return phase

    def fixed_rate(self, seconds: float, rate: float) -> Phase:
        """
        Measure with C{rate} requests a second.
        """
        self._prepare(rate * (seconds + WARM_UP))
        self.load.fixed_rate(WARM_UP, rate)
        phase = self._measure(lambda: self.load.fixed_rate(seconds, rate))
        self.check()
        return phase

    def _prepare(self, messages: float) -> None:
        clients = self.load.clients
        for client in clients:
            client.prepare(int(messages / len(clients)) + 1)

    def _measure(self, phase: Callable[[], list[float]]) -> Phase:
        process = self.process
        user, system = process.user_and_system()
        cpu, begin = process.cpu_time(), time.perf_counter()
        times = phase()
        cpu, took = process.cpu_time() - cpu, time.perf_counter() - begin
        user_now, system_now = process.user_and_system()
        user, system = user_now - user, system_now - system
        times.sort()
        return Phase(
            cpu=cpu / len(times) * 1e6,
            half=percentile(times, 50) * 1e3,
            most=percentile(times, 99) * 1e3,
            rate=len(times) / took,
            busy=cpu / took * 100,
            system=system / ((user + system) or 1) * 100,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--seconds", type=float, default=1.0, help="of each closed-loop phase")
    parser.add_argument("--clients", type=int, default=50, help="that send at the same time")
    parser.add_argument("--rounds", type=int, default=10, help="of both servers in turn")
    parser.add_argument("--rate", type=int, default=5000, help="of the second part; 0 = without")
    parser.add_argument("--idle", type=int, default=2000, help="users for memory; 0 = without")


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    begin = time.monotonic()
    print(machine(), flush=True)
    if cores() == (None, None):
        print("one core only: load and server disturb each other", flush=True)
    closed: list[tuple[Phase, Phase]] = []
    paced: list[tuple[Phase, Phase]] = []
    usable = os.sched_getaffinity(0)
    with TemporaryDirectory(prefix="bench-") as name:
        try:
            with _contestants(Path(name), options.clients) as (floor, server):
                if (load_core := cores()[1]) is not None:
                    os.sched_setaffinity(0, {load_core})
                for number in range(1, options.rounds + 1):
                    closed.append(_turns(floor, server, number, options.seconds, 0))
                    if options.rate:
                        paced.append(
                            _turns(floor, server, number, options.seconds / 2, options.rate)
                        )
        finally:
            os.sched_setaffinity(0, usable)
        _report(
            f"Closed loop: {options.clients} clients, one request in flight each; "
            f"{options.rounds} rounds of {options.seconds:g} s",
            closed,
        )
        if median(phase.busy for pair in closed for phase in pair) < CLEAN:
            print("Something else ran on these cores: the figures are too high.")
        if paced:
            _report(f"Fixed rate: {options.rate} requests a second in all", paced)
        if options.idle:
            print(f"\nMemory: {options.idle} users come and stay idle", flush=True)
            size = bytes_per_user(_server(Path(name), "idle"), options.idle)
            print(f"    {size / 1024:.1f} KiB resident per user", flush=True)
    print(f"\n{time.monotonic() - begin:.0f} s in all", flush=True)


def _turns(
    floor: Contestant, server: Contestant, number: int, seconds: float, rate: float
) -> tuple[Phase, Phase]:
    order = (floor, server) if number % 2 else (server, floor)
    phases: dict[str, Phase] = {}
    for contestant in order:
        if rate:
            phases[contestant.name] = contestant.fixed_rate(seconds, rate)
        else:
            phases[contestant.name] = contestant.closed_loop(seconds)
    low, high = phases[floor.name], phases[server.name]
    kind = "fixed rate " if rate else "closed loop"
    print(
        f"round {number} {kind}  {floor.name} {low.cpu:.1f} us  {server.name} {high.cpu:.1f} us"
        f"  above {high.cpu - low.cpu:.1f} us",
        flush=True,
    )
    return low, high


def _report(title: str, rounds: Sequence[tuple[Phase, Phase]]) -> None:
    print(f"\n{title}; median (least-greatest)")
    print(f"{'':12}{'CPU us/message':24}{'p50 ms':24}{'p99 ms':24}{'messages/s':26}busy  kernel")
    for name, phases in zip(("floor", "diarkis_tw"), zip(*rounds, strict=True), strict=True):
        print(
            f"{name:12}"
            f"{spread([phase.cpu for phase in phases]):24}"
            f"{spread([phase.half for phase in phases], 2):24}"
            f"{spread([phase.most for phase in phases], 2):24}"
            f"{spread([phase.rate for phase in phases], 0):26}"
            f"{median(phase.busy for phase in phases):3.0f} %"
            f"{median(phase.system for phase in phases):6.0f} %"
        )
    print(f"{'above':12}{spread([high.cpu - low.cpu for low, high in rounds])}", flush=True)


@contextmanager
def _contestants(folder: Path, count: int) -> Iterator[tuple[Contestant, Contestant]]:
    core = cores()[0]
    with (
        ServerProcess(["-m", "bench.floor"], folder, "floor", core) as bare,
        _server(folder, "server", core) as process,
        _loaded(_floor_load(bare, count)) as floor,
        _loaded(_server_load(process, count)) as server,
    ):
        yield floor, server


@contextmanager
def _loaded(contestant: Contestant) -> Iterator[Contestant]:
    try:
        yield contestant
    finally:
        contestant.load.close()


def _server(folder: Path, name: str, core: int | None = None) -> ServerProcess:
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIG))
    program = "from twisted.scripts.twistd import run; run()"
    command = ["-c", program, "-n", "--pidfile=", "diarkis", "--config", str(config)]
    return ServerProcess(command, folder, name, core)


def _floor_load(process: ServerProcess, count: int) -> Contestant:
    address = (process.addresses["TCP"]["host"], process.addresses["TCP"]["port"])
    request = os.urandom(REQUEST_SIZE)
    clients = []
    for _ in range(count):
        connection = socket.create_connection(address, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(EchoClient(connection, REQUEST_SIZE, lambda: request))

    def check() -> None:
        for client in clients:
            answers = client.take_answers()
            if answers != request * (len(answers) // REQUEST_SIZE):
                raise RuntimeError("the floor's echo is wrong")

    return Contestant("floor", process, Load(clients), check)


def _server_load(process: ServerProcess, count: int) -> Contestant:
    ciphers = AeadCache(2 * count + 2)
    sessions = []
    clients = []
    for number in range(count):
        keys, address = log_in(process.addresses["HTTP"], f"player{number}")
        session = Session(keys, os.urandom(PAYLOAD_SIZE), ciphers)
        sessions.append(session)
        clients.append(EchoClient(shake_hands(session, address), ANSWER_SIZE, session.echo))

    def check() -> None:
        for session, client in zip(sessions, clients, strict=True):
            reader = RecordReader(ANSWER_SIZE)
            reader.feed(client.take_answers())
            while (record := reader.next()) is not None:
                session.check(record[1], record[2])

    return Contestant("diarkis_tw", process, Load(clients), check)
