"""
The server's own part of an echo, without sockets: what the kernel and Twisted's
reactor cost is not in it. This is the tool for profiling.
"""

import argparse
from collections.abc import Callable
from cProfile import Profile
from functools import partial
from pstats import Stats
from typing import Final, Protocol

from bench.figures import machine, spread
from bench.micro_dispatch import DispatchServers
from bench.micro_tcp import EchoServer, open_and_seal
from bench.micro_udp import UdpEchoServer
from bench.micro_ws import BareServer, GameServer
from bench.session import PAYLOAD_SIZE

PARTS: Final = ("tcp", "udp", "ws")

RECEIVERS: Final = 100
"""Who get the same push."""


class Echoes(Protocol):
    """
    A server in this process.
    """

    def echoes(self, count: int, profile: Profile | None = None) -> float:
        """
        Run echoes, C{count} of each player.

        @return: microseconds of CPU for each.
        """


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--only", choices=PARTS, help="one transport alone")
    parser.add_argument("--count", type=int, default=200, help="echoes of each user a round")
    parser.add_argument("--clients", type=int, default=50, help="users, in turn")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    print(machine())
    total = options.count * options.clients
    print(
        f"one echo of {PAYLOAD_SIZE} bytes, CPU us; median (least-greatest) of "
        f"{options.rounds} rounds of {total}"
    )
    for part, measure in (("tcp", _tcp), ("udp", _udp), ("ws", _ws)):
        if options.only in (None, part):
            measure(options)
    if not options.profile:
        _line("AES-GCM alone, opening and sealing", options.rounds, lambda: open_and_seal(total))


def _tcp(options: argparse.Namespace) -> None:
    _measure("TCP, dataReceived to transport.write", EchoServer(options.clients), options)
    if not options.profile:
        _measure_dispatch(options)


def _udp(options: argparse.Namespace) -> None:
    for name, clients, reliable in (
        ("UDP unreliable, doRead to sendto", options.clients, False),
        ("UDP unreliable, alone in its turn", 1, False),
        ("UDP reliable", options.clients, True),
        ("UDP reliable, alone in its turn", 1, True),
    ):
        _measure(name, UdpEchoServer(clients, reliable), options)
    if not options.profile:
        print("  hostile datagrams, each")
        server = UdpEchoServer(1, False)
        for name, datagram in server.hostile().items():
            _line(name, options.rounds, partial(server.cost, datagram, options.count))


def _ws(options: argparse.Namespace) -> None:
    for name, binary in (("JSON", False), ("binary", True)):
        _measure(f"WebSocket {name}", GameServer(options.clients, binary), options)
        _measure("    bare Autobahn", BareServer(options.clients, binary), options)
    if not options.profile:
        print(f"  one JSON push to {RECEIVERS}, for each of them")
        server = GameServer(RECEIVERS, False)
        for name, once in (("encoded once", True), ("encoded for each", False)):
            _line(name, options.rounds, partial(server.pushes, options.count, once))


def _measure(name: str, server: Echoes, options: argparse.Namespace) -> None:
    server.echoes(options.count)
    if options.profile:
        profile = Profile()
        server.echoes(options.count, profile)
        print(f"\n{name}")
        Stats(profile).sort_stats("tottime").print_stats(25)
    else:
        _line(name, options.rounds, lambda: server.echoes(options.count))


def _measure_dispatch(options: argparse.Namespace) -> None:
    servers = DispatchServers(options.clients)
    servers.above(options.count)
    rounds = [servers.above(options.count) for _ in range(options.rounds)]
    for name in rounds[0]:
        print(f"      + {name:38}{spread([found[name] for found in rounds], 2)}", flush=True)


def _line(name: str, rounds: int, measure: Callable[[], float]) -> None:
    print(f"    {name:40}{spread([measure() for _ in range(rounds)], 2)}", flush=True)
