"""
One notification to the users of several nodes: how soon all have it.

As L{bench.notification}, but one node is asked to notify, and all of them have
users. Nodes, NATS server and load share all cores.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.endpoint import EndpointApi
from bench.figures import row, spread
from bench.idle import allow_open_files
from bench.mesh_node import mesh_node, until_known
from bench.nats_broker import NatsBroker
from bench.notification import Audience, TcpUser
from bench.notified_app import CONTROL, SEND_EVERYWHERE
from diarkis_tw.wire.cipher import AeadCache

QUIET: Final = 1.0
"""Seconds before each notification."""


def measure(folder: Path, options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    count = options.nodes * options.users
    names = [f"node{number}" for number in range(options.nodes)]
    allow_open_files(count)
    with ExitStack() as stack:
        broker = stack.enter_context(NatsBroker(folder, None))
        processes = {
            name: stack.enter_context(
                mesh_node(folder, name, None, broker.url, "bench.notified_app")
            )
            for name in names
        }
        for process in processes.values():
            until_known(process, names)
        ciphers = AeadCache(2 * count + 4)
        users: list[TcpUser] = []
        for name, process in processes.items():
            with EndpointApi(process.addresses["HTTP"]) as api:
                uids = [f"{name}-user{number}" for number in range(options.users)]
                users.extend(TcpUser(api.log_in(name, uid), ciphers) for uid in uids)
        with EndpointApi(processes[names[0]].addresses["HTTP"]) as api:
            control = TcpUser(api.log_in(names[0], CONTROL), ciphers)
        audience = Audience(control, users)
        stack.callback(audience.close)
        received, sent = [], []
        for _ in range(options.rounds):
            audience.wait(QUIET)
            took, measured = audience.notify(SEND_EVERYWHERE)
            received.append(took * 1e3)
            sent.append(measured.took * 1e3)
            if measured.sent != options.users:
                raise RuntimeError(f"the first node has sent to {measured.sent}")
    print(f"\nNotification: {options.nodes} nodes, {options.users} users on TCP each\n")
    print(row("", "ms"))
    print(row("---", "---"))
    print(row("the first node has sent to its users", spread(sent, 0)))
    print(row("received by all users of all nodes", spread(received, 0)), flush=True)
