"""
What the mesh costs a node: those who play on it, and its core when nobody does.

How it is measured:

  - Players' echoes come at a fixed rate, about half of what the node can do. A
    node without a mesh takes turns with one in a mesh; that one is measured
    without messages and with them. The node has one core, all others share the
    other one, if there is one.
  - Messages are private ones: so many a second for a player here, and as many from
    here to a simulated node. While there are to be none, as many go from the
    simulated nodes to nobody: load and NATS server have the same work always.
  - The CPU of nodes with nothing to do is read of all at the same time: of one
    without a mesh, of one alone in its mesh, and of one that hears the crowd.
"""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.contest import Contestant, Phase
from bench.figures import row, spread
from bench.mesh_app import ADDRESS, TALK
from bench.mesh_crowd import CrowdProcess
from bench.mesh_node import mesh_node, playing, until_known
from bench.nats_broker import NatsBroker
from bench.process import cores, pinned
from bench.tcp import players as echoing

LEAST: Final = 0.8
"""Part of the messages that must come, or the run fails."""

REST: Final = 0.1
"""Seconds for what is still under way."""

LONGER: Final = 2
"""The CPU of nodes that do nothing is read over so many times the length of a phase."""

AIM: Final = 2.5
"""Percent of a core that the crowd may cost."""


def players(folder: Path, options: argparse.Namespace) -> None:
    """
    Measure what the mesh costs those who play, and print.
    """
    core, load_core = cores()
    with pinned(load_core), ExitStack() as stack:
        broker = stack.enter_context(NatsBroker(folder, None))
        alone = stack.enter_context(mesh_node(folder, "alone", core))
        node = stack.enter_context(mesh_node(folder, "node", core, broker.url))
        crowd = stack.enter_context(CrowdProcess(broker.url, 1))
        contestants = []
        for name, process in (("alone", alone), ("node", node)):
            load = echoing(process, options.clients, name)
            stack.callback(load.close)
            contestants.append(Contestant(name, process, load))
        player = stack.enter_context(playing(node, "node", "player"))
        until_known(node, crowd.types)
        address = str(player.ask(ADDRESS)["address"])
        kinds = {
            "no mesh": (contestants[0], False),
            "NATS, no messages": (contestants[1], False),
            f"NATS, {options.traffic:g} messages/s each way": (contestants[1], True),
        }
        found: dict[str, list[Phase]] = {kind: [] for kind in kinds}
        for turn in range(options.rounds):
            for index in range(len(kinds)):
                kind = list(kinds)[(turn + index) % len(kinds)]
                contestant, talking = kinds[kind]
                if talking:
                    crowd.talk(options.traffic, player.sid, address)
                    player.ask(TALK, to=crowd.address, sid=player.sid, rate=options.traffic)
                else:
                    crowd.talk(options.traffic)
                begin = time.monotonic()
                found[kind].append(contestant.fixed_rate(options.seconds, options.rate))
                took = time.monotonic() - begin
                crowd.talk(0)
                player.send_ask(TALK, to="", sid=player.sid, rate=0)
                came = len(list(player.pushes(REST)))
                player.answer()
                if talking and came < LEAST * took * options.traffic:
                    raise RuntimeError(f"{came} messages in {took:.1f} s")
    _report_players(found, options)


def _report_players(found: dict[str, list[Phase]], options: argparse.Namespace) -> None:
    print(f"\nPlayers: {options.clients} over TCP, {options.rate} echoes a second in all\n")
    print(row("node", "p50 ms", "p99 ms", "busy", "CPU us/echo"))
    print(row(*["---"] * 5))
    for kind, phases in found.items():
        print(
            row(
                kind,
                spread([phase.half for phase in phases], 2),
                spread([phase.most for phase in phases], 2),
                spread([phase.busy for phase in phases], 0) + " %",
                spread([phase.cpu for phase in phases]),
            )
        )
    base, *others = found
    for kind in others:
        above = [mine.most - bare.most for mine, bare in zip(found[kind], found[base], strict=True)]
        print(row(f"{kind}: above {base}", "", spread(above, 2), "", ""))
    print(flush=True)


def crowd(folder: Path, options: argparse.Namespace) -> None:
    """
    Measure the CPU of nodes that do nothing, and print.
    """
    core, load_core = cores()
    with pinned(load_core), ExitStack() as stack:
        broker = stack.enter_context(NatsBroker(folder, None))
        node = stack.enter_context(mesh_node(folder, "node", core, broker.url))
        peerless = mesh_node(folder, "peerless", core, broker.url, mesh="empty")
        processes = {
            "no mesh": stack.enter_context(mesh_node(folder, "alone", core)),
            "NATS, no other node": stack.enter_context(peerless),
            f"NATS, {options.crowd} other nodes": node,
        }
        known = stack.enter_context(CrowdProcess(broker.url, options.crowd))
        until_known(node, known.types)
        used: dict[str, list[float]] = {kind: [] for kind in processes}
        for _ in range(options.rounds):
            before = {kind: process.cpu_time() for kind, process in processes.items()}
            begin = time.monotonic()
            time.sleep(LONGER * options.seconds)
            for kind, process in processes.items():
                took = time.monotonic() - begin
                used[kind].append((process.cpu_time() - before[kind]) / took * 100)
    each = LONGER * options.seconds
    print(f"\nCrowd: nodes with nothing to do, {options.rounds} times {each:g} s\n")
    print(row("node", "% of a core"))
    print(row("---", "---"))
    for kind, shares in used.items():
        print(row(kind, spread(shares, 2)))
    _, peerless_used, crowd_used = used.values()
    above = [mine - bare for mine, bare in zip(crowd_used, peerless_used, strict=True)]
    print(row("the crowd alone", spread(above, 2)))
    print(f"\nAim: {AIM} %", flush=True)
