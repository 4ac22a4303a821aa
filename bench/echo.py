"""
The echo benchmark: 64 bytes there and back, the server in its own process on
one core, the load on the other one, and a bare Twisted echo as the floor. Then
users who do little: their keep-alives, their memory, and notifications to all.

How it is measured: L{bench.contest}.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from bench import idle, keep_alive, notification, tcp, udp, ws
from bench.contest import Contestant, contest, report, report_unclean
from bench.figures import machine
from bench.process import ServerProcess, cores, game_server, pinned
from diarkis_tw.config.fields import CONNECTION_TTL_DEFAULT

Entrants: TypeAlias = Callable[[ServerProcess, ServerProcess, int], Sequence[Contestant]]
"""Connects clients, so many to each, to floor and server."""

PARTS: Final[dict[str, Sequence[Entrants]]] = {
    "tcp": (tcp.contestants,),
    "udp": (udp.contestants,),
    "ws": (ws.texts, ws.records),
}
"""Contests by transport, each between a floor and what is built on it."""

NOTIFIED: Final = ("tcp", "udp")
"""Transports whose users get notifications."""

NOTIFICATIONS: Final = 3
"""How often one is sent to all."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--only", choices=PARTS, help="one transport alone")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each closed-loop phase")
    parser.add_argument("--clients", type=int, default=50, help="that send at the same time")
    parser.add_argument("--rounds", type=int, default=6, help="of all servers in turn")
    parser.add_argument("--rate", type=int, default=5000, help="of the second part; 0 = without")
    parser.add_argument(
        "--idle", type=int, help="users for memory; 0 = without (default 2000, on UDP 10000)"
    )
    parser.add_argument(
        "--keep-alive", type=int, default=5000, help="UDP users who keep alive; 0 = without"
    )
    parser.add_argument(
        "--notified",
        type=int,
        default=notification.USERS,
        help="users who get a notification; 0 = without",
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=keep_alive.INTERVAL,
        help="of their keep-alives, and between notifications",
    )


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    begin = time.monotonic()
    print(machine(), flush=True)
    core, load_core = cores()
    if core is None:
        print("one core only: load and server disturb each other", flush=True)
    with TemporaryDirectory(prefix="bench-") as name, pinned(load_core):
        folder = Path(name)
        for part in PARTS:
            if options.only in (None, part):
                print(f"\n{part.upper()}", flush=True)
                for entrants in PARTS[part]:
                    _echoes(entrants, folder, core, options)
                _memory(part, folder, core, options.idle)
        if options.keep_alive and options.only in (None, "udp"):
            _keep_alives(folder, core, options.keep_alive, options.interval)
        for part in NOTIFIED:
            if options.notified and options.only in (None, part):
                notification.measure(
                    folder, core, part, options.notified, NOTIFICATIONS, options.interval
                )
    print(f"\n{time.monotonic() - begin:.0f} s in all", flush=True)


def _echoes(
    entrants: Entrants, folder: Path, core: int | None, options: argparse.Namespace
) -> None:
    with ExitStack() as stack:
        floor = stack.enter_context(_floor(folder, core))
        server = stack.enter_context(game_server(folder, "server", core))
        contestants = entrants(floor, server, options.clients)
        for contestant in contestants:
            stack.callback(contestant.load.close)
        closed, paced = contest(contestants, options.rounds, options.seconds, options.rate)
    names = [contestant.name for contestant in contestants]
    report(
        f"Closed loop: {options.clients} clients, one request in flight each; "
        f"{options.rounds} rounds of {options.seconds:g} s",
        names,
        closed,
    )
    report_unclean(names, closed)
    if paced:
        report(f"Fixed rate: {options.rate} requests a second in all", names, paced)


def _memory(part: str, folder: Path, core: int | None, asked: int | None) -> None:
    count = idle.DEFAULT[part] if asked is None else asked
    if not count:
        return
    print(f"\nMemory: {count} users come and stay idle", flush=True)
    size = idle.bytes_per_user(part, game_server(folder, "idle", core), count)
    print(f"{size / 1024:.1f} KiB resident per user", flush=True)


def _keep_alives(folder: Path, core: int | None, count: int, interval: float) -> None:
    print(f"\nKeep-alive: {count} UDP users do nothing else", flush=True)
    server = game_server(folder, "keep-alive", core, CONNECTION_TTL_DEFAULT)
    print(keep_alive.measure(server, _floor(folder, core), count, interval), flush=True)


def _floor(folder: Path, core: int | None) -> ServerProcess:
    return ServerProcess(["-m", "bench.floor"], folder, "floor", core)
