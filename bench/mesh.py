"""
The mesh benchmark: real nodes and a real NATS server, all on this machine.

  - C{messages}: private messages from a node to a player of another one, one way.
  - C{players}: what the NATS thread costs those who play here: echoes at half
    load, without a mesh, with one, and with messages coming and going.
  - C{registry}: looking at the other nodes sends nothing.
  - C{crowd}: the CPU of a node that hears the heartbeats of many.
  - C{notification}: one to the users of several nodes.

Each prints a table as it stands in docs/performance.md: medians of the rounds, with
the least and the greatest.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import mesh_cost, mesh_messages, mesh_notification
from bench.figures import machine

PARTS: Final[Mapping[str, Callable[[Path, argparse.Namespace], None]]] = {
    "messages": mesh_messages.messages,
    "players": mesh_cost.players,
    "registry": mesh_messages.registry,
    "crowd": mesh_cost.crowd,
    "notification": mesh_notification.measure,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each phase")
    parser.add_argument("--messages", type=float, default=200, help="private ones a second")
    parser.add_argument("--share", type=float, default=0.6, help="of the time in busy handlers")
    parser.add_argument(
        "--slice", type=float, default=0.002, help="seconds of CPU for handlers in one turn"
    )
    parser.add_argument("--clients", type=int, default=50, help="who play")
    parser.add_argument("--rate", type=int, default=15_000, help="of their echoes, a second in all")
    parser.add_argument(
        "--traffic", type=float, default=500, help="mesh messages a second meanwhile, each way"
    )
    parser.add_argument("--crowd", type=int, default=50, help="simulated nodes")
    parser.add_argument("--nodes", type=int, default=4, help="that have users to notify")
    parser.add_argument("--users", type=int, default=2500, help="on each of them")


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    begin = time.monotonic()
    print(f"{machine()}, load average {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{options.rounds} rounds, median (least-greatest)", flush=True)
    for part, measure in PARTS.items():
        if options.only in (None, part):
            with TemporaryDirectory(prefix="bench-") as name:
                measure(Path(name), options)
    print(f"\n{time.monotonic() - begin:.0f} s in all", flush=True)
