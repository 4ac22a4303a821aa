"""
Private messages from node to node, and looking at the registry, which sends none.

How it is measured:

  - The payload of a message says when C{send_pm} was called; the player who gets
    it looks at the same clock when its socket can be read. So a time has all in
    it: both nodes, their threads, the NATS server and the player's connection.
  - The same to a player of the sending node needs no mesh: what is above it is
    the mesh's.
  - Busy nodes compute in slices, as handlers do that hold the interpreter, and
    send from the midst of a slice.
  - Nodes, NATS server and players share all cores as the system likes it, which wakes
    a process sooner than on a core that it is bound to. All intervals between messages are random.
"""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.endpoint import EndpointApi
from bench.figures import percentile, row, spread
from bench.mesh_app import ADDRESS, BUSY, STAMP, TAKEN, TALK
from bench.mesh_node import Player, mesh_node, playing
from bench.nats_broker import NatsBroker
from bench.process import ServerProcess

COUNTED: Final = 2
"""Rounds of counting frames, which chance has no part in."""

REST: Final = 0.1
"""Seconds for what is still under way."""


class Pair:
    """
    Two nodes with a player each, who know each other.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.broker = stack.enter_context(NatsBroker(folder, None))
        self.processes: list[ServerProcess] = []
        self.players: list[Player] = []
        for name in ("one", "two"):
            node = mesh_node(folder, name, None, self.broker.url)
            self.processes.append(stack.enter_context(node))
        for process, name in zip(reversed(self.processes), ("one", "two"), strict=True):
            # By the other one's API, which shows that it knows this one.
            self.players.append(stack.enter_context(playing(process, name, f"player-{name}")))
        self.addresses = [str(player.ask(ADDRESS)["address"]) for player in self.players]


def messages(folder: Path, options: argparse.Namespace) -> None:
    """
    Measure how long private messages take, and print.
    """
    kinds = {
        "own node, idle": (0, 0.0),
        "other node, idle": (1, 0.0),
        f"other node, both {options.share * 100:.0f} % busy": (1, options.share),
    }
    times: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    busy: dict[str, list[float]] = {kind: [] for kind in kinds}
    with ExitStack() as stack:
        pair = Pair(folder, stack)
        for _ in range(options.rounds):
            for kind, (to, share) in kinds.items():
                found, cpu = _messages(pair, to, share, options)
                times[kind].append(found)
                busy[kind].append(cpu)
    print(
        f"\nPrivate messages, one way: {options.messages:g} a second; busy in slices of "
        f"{options.slice * 1e3:g} ms\n"
    )
    print(row("from a node to a player of", "p50 ms", "p99 ms", "greatest ms", "sender's CPU"))
    print(row(*["---"] * 5))
    for kind, rounds in times.items():
        print(
            row(
                kind,
                spread([percentile(found, 50) * 1e3 for found in rounds], 2),
                spread([percentile(found, 99) * 1e3 for found in rounds], 2),
                spread([found[-1] * 1e3 for found in rounds], 1),
                spread([cpu * 100 for cpu in busy[kind]], 0) + " %",
            )
        )
    print("\nAims: p50 0.5 ms idle, p99 10 ms busy", flush=True)


def _messages(
    pair: Pair, to: int, share: float, options: argparse.Namespace
) -> tuple[list[float], float]:
    """
    @return: sorted times in seconds, and the share of its core that the sender had.
    """
    sender, receiver = pair.players[0], pair.players[to]
    for player in pair.players:
        player.ask(BUSY, share=share, slice=options.slice)
    sid, address = receiver.sid, pair.addresses[to]
    process = pair.processes[0]
    cpu, begin = process.cpu_time(), time.perf_counter()
    sender.ask(TALK, to=address, sid=sid, rate=options.messages)
    found = _listen(receiver, options.seconds)
    cpu, took = process.cpu_time() - cpu, time.perf_counter() - begin
    sender.send_ask(TALK, to=address, sid=sid, rate=0)
    found += _listen(receiver, REST)
    sent = sender.answer()["sent"]
    if len(found) != sent:
        raise RuntimeError(f"{sent} messages were sent, {len(found)} came")
    return sorted(found), cpu / took


def _listen(player: Player, seconds: float) -> list[float]:
    return [came - STAMP.unpack_from(payload)[0] / 1e9 for came, payload in player.pushes(seconds)]


def registry(folder: Path, options: argparse.Namespace) -> None:
    """
    Count the frames that nodes send, while nobody and while everybody asks an
    endpoint API, and print.
    """
    quiet: list[float] = []
    asked: list[float] = []
    asks: list[float] = []
    with ExitStack() as stack:
        pair = Pair(folder, stack)
        for player in pair.players:
            player.ask(TAKEN, taken=True)
        api = stack.enter_context(EndpointApi(pair.processes[0].addresses["HTTP"]))
        while api.refusal("two", "nobody") != "no_node":
            time.sleep(0.05)
        for _ in range(COUNTED):
            for counts in (quiet, asked):
                count = 0
                before, end = pair.broker.frames(), time.monotonic() + options.seconds
                while (left := end - time.monotonic()) > 0:
                    if counts is quiet:
                        time.sleep(left)
                    elif api.refusal("two", f"nobody-{count}") != "no_node":
                        raise RuntimeError("a node that is TAKEN takes users")
                    else:
                        count += 1
                counts.append((pair.broker.frames() - before) / options.seconds)
            asks.append(count / options.seconds)
    print("\nRegistry: an endpoint API chooses among two nodes, which are TAKEN\n")
    print(row("", "choices/s", "frames/s on the mesh"))
    print(row(*["---"] * 3))
    print(row("nobody asks", "0", spread(quiet)))
    print(row("as many as it can answer", spread(asks, 0), spread(asked)))
    print("\nAim: no frame more than heartbeats, one a second of each node", flush=True)
