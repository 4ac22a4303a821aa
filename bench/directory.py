"""
How a direct message finds its user: two ways, on a real NATS server.

  - C{directory}: all nodes hear of each player who connects (they must anyway, to let
    go of an older session) and remember where; a message goes to that node.
  - C{subject}: the node of a player listens to a subject of its uid, to which messages
    go, and also the news that it has connected elsewhere.

How it is measured:

  - All nodes are in this process, each with a link and a thread of its own; the
    server is pinned to another core. CPU is that of the process, both threads of all
    its nodes, and that of the server.
  - What one node more costs is the difference between few and many nodes.
  - Messages are asked one after another; frames have the same size and the same MAC
    both ways.
"""

import argparse
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import msgspec
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from twisted.internet import task
from twisted.internet.defer import Deferred

from bench.figures import machine, percentile, spread
from bench.nats_broker import NatsBroker
from bench.process import cores, pinned
from diarkis_tw.constants import NodeState
from diarkis_tw.core.elsewhere import UserArrived
from diarkis_tw.mesh.envelope import Envelope, Kind, Sealing
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.mesh.nats import NatsMesh
from diarkis_tw.mesh.nats_link import Broker, NatsLink
from diarkis_tw.modules.dm import DeliverDirect, Delivered

KEY: Final = "a key for the benchmark, long enough"
APP: Final = "bench"
FEW: Final = 1
MANY: Final = 5
"""Other nodes that hear of who connects."""

BURST: Final = 100
"""Players who connect at once; the next ones when all nodes have heard of these."""

MESSAGE: Final = bytes(64)


class DirectoryNode:
    """
    A node that remembers where players are.
    """

    def __init__(self, reactor: Any, url: str) -> None:
        self.link = NatsLink(reactor, Broker((url,)))
        self.mesh = NatsMesh(reactor, self.link, APP, [KEY])
        self.known: dict[str, str] = {}
        self.mesh.handle(UserArrived, self._arrived)
        self.mesh.handle(DeliverDirect, lambda message: Delivered(found=True))

    def start(self) -> None:
        """
        Join.
        """
        self.mesh.join(lambda: NodeInfo(self.mesh.node_address, NodeState.ONLINE))

    def connect(self, uid: str) -> None:
        """
        A player comes.
        """
        here = self.mesh.node_address
        self.mesh.broadcast(UserArrived(uid, bytes(16), self.mesh.time(), here))

    def _arrived(self, arrived: UserArrived) -> None:
        self.known[arrived.uid] = arrived.node


class SubjectLink(NatsLink):
    """
    A link that listens to more subjects as it goes: a frame C{+} or C{-} is not sent,
    but begins or ends listening, and C{?} waits until the server has taken that.

    @ivar taken: the last subject that was waited for.
    """

    taken = ""
    _listening: dict[str, Subscription]

    async def _write(self, client: Client, ended: Any) -> None:
        self._listening = {}
        assert self._wake is not None
        while True:
            self._wake.clear()
            self._out.woken = False
            while not ended.is_set() and (item := self._out.take()) is not None:
                subject, frame, _ = item
                if frame == b"+":
                    self._listening[subject] = await client.subscribe(subject, cb=self._take)
                elif frame == b"?":
                    await client.flush()
                    self.taken = subject
                elif frame == b"-":
                    await self._listening.pop(subject).unsubscribe()
                else:
                    await client.publish(subject, frame)
            if ended.is_set() or self._stopping:
                return
            await self._wake.wait()


class SubjectNode:
    """
    A node that listens to a subject for each of its players.
    """

    def __init__(self, reactor: Any, url: str, name: str) -> None:
        self.link = SubjectLink(reactor, Broker((url,)))
        self.heard = 0
        self._name = name
        self._sealing = Sealing(APP, [KEY], os.urandom)
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
            kind.__name__: msgspec.msgpack.Decoder(kind)
            for kind in (UserArrived, DeliverDirect, Delivered)
        }
        self._asked: dict[int, Deferred[None]] = {}
        self._counter = 0

    def start(self) -> None:
        """
        Connect.
        """
        self.link.start((f"to.{self._name}",), self._received, lambda is_up: None)

    def connect(self, uid: str) -> None:
        """
        A player comes: the node that has it hears so, and this one listens.
        """
        self._send(_subject(uid), Kind.MESSAGE, 0, UserArrived(uid, bytes(16), 1, self._name))
        self.link.publish(_subject(uid), b"+")

    def leave(self, uid: str) -> None:
        """
        A player leaves.
        """
        self.link.publish(_subject(uid), b"-")

    def ask(self, uid: str) -> Deferred[None]:
        """
        A direct message, and its answer.
        """
        answer = self._asked[self._counter + 1] = Deferred()
        message = DeliverDirect(701, "alice", uid, MESSAGE)
        self._send(_subject(uid), Kind.REQUEST, self._counter + 1, message)
        return answer

    def _send(self, subject: str, kind: Kind, call: int, message: msgspec.Struct) -> None:
        self._counter += 1
        body, sealed = self._sealing.encode(message)
        name = type(message).__name__
        envelope = Envelope(self._name, 1, self._counter, "", 0, kind, call, name, sealed, body, 1)
        self.link.publish(subject, self._sealing.frame(envelope))

    def _received(self, frame: bytes) -> None:
        envelope = self._sealing.open(frame)
        if envelope is None:
            raise RuntimeError("a stranger")
        self.heard += 1
        self._decoders[envelope.topic].decode(envelope.body)
        if envelope.kind is Kind.REQUEST:
            self._send(f"to.{envelope.sender}", Kind.ANSWER, envelope.call, Delivered(found=True))
        elif envelope.kind is Kind.ANSWER:
            self._asked.pop(envelope.call).callback(None)


class Measurement:
    """
    All of it.
    """

    def __init__(self, reactor: Any, broker: NatsBroker, options: argparse.Namespace) -> None:
        self._reactor = reactor
        self._broker = broker
        self._options = options
        self._uids = 0

    async def run(self) -> None:
        """
        Measure and print.
        """
        print("\n| | CPU of the nodes, us | of the server, us |")
        print("|---|---|---|")
        few, many = [], []
        for _ in range(self._options.rounds):
            few.append(await self._directory_connects(FEW))
            many.append(await self._directory_connects(MANY))
        self._row(f"a player connects, {FEW + 1} nodes with a directory", few)
        self._row(f"the same, {MANY + 1} nodes", many)
        more = [
            tuple((b - a) / (MANY - FEW) for a, b in zip(*pair, strict=True))
            for pair in zip(few, many, strict=True)
        ]
        self._row("of that, each node that hears", more)
        rounds = [await self._subject_connects() for _ in range(self._options.rounds)]
        self._row("a player connects and leaves, subject of its own, any number of nodes", rounds)
        print("\n| a message and its answer, ms | p50 | p99 |")
        print("|---|---|---|")
        for name, ask in (
            ("directory", self._directory_messages),
            ("directory that does not know, 5 others asked", self._misses),
            ("subject", self._subject_messages),
        ):
            p50, p99 = zip(*[await ask() for _ in range(self._options.rounds)], strict=True)
            print(f"| {name} | {spread(p50, 2)} | {spread(p99, 2)} |", flush=True)

    def _row(self, name: str, rounds: list[Any]) -> None:
        nodes, server = zip(*rounds, strict=True)
        print(f"| {name} | {spread(nodes)} | {spread(server)} |", flush=True)

    def _uid(self) -> str:
        self._uids += 1
        return f"player-{self._uids:08}"

    async def _until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 20
        while not condition():
            if time.monotonic() > limit:
                raise RuntimeError("it does not come")
            await task.deferLater(self._reactor, 0.001)

    @asynccontextmanager
    async def _directory(self, others: int) -> AsyncIterator[list[DirectoryNode]]:
        nodes = [DirectoryNode(self._reactor, self._broker.url) for _ in range(1 + others)]
        for node in nodes:
            node.start()
        await self._until(lambda: all(len(list(n.mesh.nodes())) == len(nodes) for n in nodes))
        yield nodes
        for node in nodes:
            await node.mesh.leave()

    @asynccontextmanager
    async def _subjects(self) -> AsyncIterator[list[SubjectNode]]:
        nodes = [SubjectNode(self._reactor, self._broker.url, name) for name in ("a", "b")]
        for node in nodes:
            node.start()
        await self._until(lambda: all(node.link.is_up for node in nodes))
        yield nodes
        for node in nodes:
            await node.link.stop()

    async def _cpu(self, work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
        here, there = time.process_time(), self._broker.cpu_time()
        await work()
        count = self._options.count
        return (
            (time.process_time() - here) / count * 1e6,
            (self._broker.cpu_time() - there) / count * 1e6,
        )

    async def _directory_connects(self, others: int) -> tuple[float, float]:
        async with self._directory(others) as (teller, *hearers):

            async def work() -> None:
                for _ in range(self._options.count // BURST):
                    for _ in range(BURST):
                        uid = self._uid()
                        teller.connect(uid)
                    await self._until(partial(_all_know, hearers, uid))

            return await self._cpu(work)

    async def _subject_connects(self) -> tuple[float, float]:
        async with self._subjects() as (node, prober):

            async def work() -> None:
                for _ in range(self._options.count // BURST):
                    uids = [self._uid() for _ in range(BURST)]
                    for uid in uids:
                        node.connect(uid)
                    await prober.ask(await self._heard_of(node, uids[-1]))
                    for uid in uids:
                        node.leave(uid)

            return await self._cpu(work)

    async def _heard_of(self, node: SubjectNode, uid: str) -> str:
        """
        Until the server has taken the last subscription.
        """
        subject = _subject(uid)
        node.link.publish(subject, b"?")
        await self._until(lambda: node.link.taken == subject)
        return uid

    async def _times(self, ask: Callable[[], Awaitable[object]]) -> tuple[float, float]:
        times = []
        for _ in range(self._options.messages):
            begin = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - begin) * 1000)
        times.sort()
        return percentile(times, 50), percentile(times, 99)

    async def _directory_messages(self) -> tuple[float, float]:
        async with self._directory(MANY) as (asker, other, *_):
            message = DeliverDirect(701, "alice", "bob", MESSAGE)
            address = other.mesh.node_address
            return await self._times(lambda: asker.mesh.request(address, message, Delivered))

    async def _misses(self) -> tuple[float, float]:
        async with self._directory(MANY) as (asker, *others):
            message = DeliverDirect(701, "alice", "bob", MESSAGE)
            addresses = [other.mesh.node_address for other in others]

            async def ask() -> None:
                asked = [asker.mesh.request(to, message, Delivered) for to in addresses]
                await asked[0]  # who has it; then the message itself
                await asker.mesh.request(addresses[0], message, Delivered)
                for answer in asked[1:]:
                    await answer

            return await self._times(ask)

    async def _subject_messages(self) -> tuple[float, float]:
        async with self._subjects() as (asker, other):
            other.connect("bob")
            await self._heard_of(other, "bob")
            return await self._times(lambda: asker.ask("bob"))


def _all_know(nodes: list[DirectoryNode], uid: str) -> bool:
    return all(uid in node.known for node in nodes)


def _subject(uid: str) -> str:
    return f"uid.{sha256(uid.encode()).hexdigest()[:32]}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=5000, help="players who connect, a round")
    parser.add_argument("--messages", type=int, default=500, help="a round")


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    from twisted.internet import reactor

    print(f"{machine()}, load average {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{options.rounds} rounds, median (least-greatest)", flush=True)
    broker_core, core = cores()
    failures: list[object] = []
    with (
        TemporaryDirectory(prefix="bench-") as name,
        NatsBroker(Path(name), broker_core) as broker,
        pinned(core),
    ):
        measured = Deferred.fromCoroutine(Measurement(reactor, broker, options).run())
        measured.addErrback(failures.append)
        measured.addBoth(lambda ignored: cast(Any, reactor).callLater(0, cast(Any, reactor).stop))
        cast(Any, reactor).run()
    if failures:
        raise RuntimeError(str(failures[0]))
