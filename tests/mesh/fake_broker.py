"""
A broker in memory, and nodes with clocks of their own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.task import Clock

from diarkis_tw.constants import NodeState
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.mesh.nats import NatsMesh


class FakeLink:
    """
    A L{diarkis_tw.mesh.nats_link.Link}.

    @ivar cut: nothing gets through, either way, and nobody is told.
    """

    def __init__(self, broker: "FakeBroker") -> None:
        self.broker = broker
        self.subjects: Sequence[str] = ()
        self.inbox: deque[bytes] = deque()
        self.stopped = False
        self.cut = False

    @property
    def is_up(self) -> bool:
        return self.broker.is_up and bool(self.subjects) and not self.stopped

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

    def publish(self, subject: str, frame: bytes) -> bool:
        if self.is_up and not self.cut:
            self.broker.publish(subject, frame, self)
        return self.is_up

    def stop(self) -> None:
        self.stopped = True


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

    @property
    def address(self) -> str:
        return self.mesh.node_address

    def info(self) -> NodeInfo:
        return NodeInfo(self.address, self.state, ccu=self.ccu)

    def seen(self) -> set[str]:
        """
        The other nodes, as this one sees them.
        """
        return {node.address for node in self.mesh.nodes()} - {self.address}


class FakeBroker:
    """
    Carries frames, and keeps them all.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.nodes: list[FakeNode] = []
        self.frames: list[tuple[str, bytes]] = []
        self._random = 0
        self._now = 1_790_000_000.0

    def node(self, app: str = "game", secrets: Sequence[str] = ("key",)) -> FakeNode:
        clock = Clock()
        clock.advance(self._now)
        link = FakeLink(self)
        mesh = NatsMesh(clock, link, app, secrets, random_bytes=self.random_bytes)
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
        for node in self.nodes:
            if subject not in node.link.subjects or node.link is sender:
                continue
            if not node.killed and not node.link.cut:
                node.link.inbox.append(frame)

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

    def set_up(self, is_up: bool) -> None:
        self.is_up = is_up
        for node in self.nodes:
            if node.link.subjects and not node.link.stopped:
                node.link.changed(is_up)
        self.settle()
