"""
A broker in memory, and nodes with clocks of their own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from diarkis_tw.constants import NodeState
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.mesh.nats import NatsMesh


class FakeLink:
    """
    A L{diarkis_tw.mesh.nats_link.Link}.

    @ivar ended: what C{stop} returns.
    @ivar away: it alone does not reach the broker.
    @ivar cut: it does, but no other node is reached from there.
    """

    def __init__(self, broker: "FakeBroker") -> None:
        self.broker = broker
        self.subjects: Sequence[str] = ()
        self.inbox: deque[bytes] = deque()
        self.stopped = False
        self.ended = succeed(None)
        self.away = False
        self.cut = False

    @property
    def is_up(self) -> bool:
        return self.broker.is_up and bool(self.subjects) and not self.stopped and not self.away

    def start(
        self,
        subjects: Sequence[str],
        received: Callable[[bytes], None],
        changed: Callable[[bool], None],
    ) -> None:
        self.subjects = subjects
        self.received = received
        self.changed = changed
        if self.broker.is_up:
            changed(True)

    def publish(self, subject: str, frame: bytes, can_wait: bool = False) -> bool:
        if self.is_up and not self.cut:
            self.broker.publish(subject, frame, self)
        return self.is_up

    def look(self) -> None:
        """
        Nothing waits here.
        """

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return self.ended


@dataclass(eq=False)
class FakeNode:
    """
    A node of the tests.
    """

    mesh: NatsMesh
    link: FakeLink
    clock: Clock
    ccu: int = 0
    state: NodeState = NodeState.ONLINE
    frozen: bool = False
    killed: bool = False
    missed: float = 0.0
    stale: list[None] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.mesh.node_address

    def info(self) -> NodeInfo:
        return NodeInfo(self.address, self.state, ccu=self.ccu, **self.about)

    def seen(self) -> set[str]:
        """
        The other nodes, as this one sees them.
        """
        return {node.address for node in self.mesh.nodes()} - {self.address}


class FakeBroker:
    """
    Carries frames, and keeps them all.

    @ivar day: what machines say is the time of day when a node is made.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.nodes: list[FakeNode] = []
        self.frames: list[tuple[str, bytes]] = []
        self._random = 0
        self._now = 1_790_000_000.0
        self.day = 0.0

    def node(
        self, app: str = "game", secrets: Sequence[str] = ("key",), ahead: float = 0.0
    ) -> FakeNode:
        """
        @param ahead: of the other clocks, in seconds.
        """
        clock = Clock()
        clock.advance(self._now + ahead)
        link = FakeLink(self)
        mesh = NatsMesh(
            *(clock, link, app, secrets),
            random_bytes=self.random_bytes,
            time_of_day=lambda: self.day,
        )
        node = FakeNode(mesh, link, clock)
        mesh.on_stale(lambda: node.stale.append(None))
        self.nodes.append(node)
        return node

    def join(self, *nodes: FakeNode) -> None:
        for node in nodes:
            node.mesh.join(node.info)
        self.settle()

    def random_bytes(self, size: int) -> bytes:
        self._random += 1
        return self._random.to_bytes(size, "big")

    def publish(self, subject: str, frame: bytes, sender: FakeLink | None = None) -> None:
        self.frames.append((subject, frame))
        if sender is not None and sender.cut:
            return
        for node in self.nodes:
            link = node.link
            if link is sender or link.cut or link.away or node.killed:
                continue
            if subject in link.subjects:
                link.inbox.append(frame)

    def settle(self) -> None:
        """
        Deliver all, and what comes of it.
        """
        busy = True
        while busy:
            busy = False
            for node in self.nodes:
                while node.link.inbox and not node.frozen and not node.link.stopped:
                    busy = True
                    node.link.received(node.link.inbox.popleft())

    def advance(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self._now += step
            for node in self.nodes:
                if node.killed:
                    continue
                node.missed += step
                if not node.frozen:
                    node.clock.advance(node.missed)
                    node.missed = 0.0
            self.settle()

    def set_away(self, node: FakeNode, away: bool) -> None:
        """
        One node loses its connection, or has it again.
        """
        node.link.away = away
        node.link.changed(not away)
        self.settle()

    def set_up(self, is_up: bool) -> None:
        self.is_up = is_up
        for node in self.nodes:
            if node.link.subjects and not node.link.stopped:
                node.link.changed(is_up)
        self.settle()
