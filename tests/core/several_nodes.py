"""
Nodes with users, over a broker that loses what it is told to lose.
"""

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.core import elsewhere
from diarkis_tw.core.user import User
from tests.core.fakes import CoreNode, FakeConnection
from tests.mesh.fake_broker import FakeBroker, FakeNode

TTL: Final = 100_000.0
"""Nobody of these tests falls silent."""


class GameNode:
    """
    A node of the mesh with users.
    """

    def __init__(self, broker: FakeBroker, day: float, uptime: float = 0.0) -> None:
        """
        @param day: what its machine takes for the time of day.
        @param uptime: of its machine.
        """
        broker.day = day
        self.fake: FakeNode = broker.node(ahead=uptime)
        self.link = self.fake.link
        self.core = CoreNode(
            clock=self.fake.clock, mesh=self.fake.mesh, random_bytes=broker.random_bytes
        )
        self.users = self.core.users
        broker.join(self.fake)
        self.core.start()

    @property
    def elsewhere(self) -> elsewhere.Elsewhere:
        return self.users.elsewhere


class SeveralNodesCase(SynchronousTestCase):
    """
    Nodes whose clocks say something else each.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.a, self.b, self.c = (GameNode(self.broker, day) for day in (500, 5000, 0))
        self.broker.advance(2.5)

    def connect(self, node: GameNode, uid: str = "alice") -> tuple[User, FakeConnection]:
        """
        A player connects; the broker has time to tell.
        """
        made = node.core.connect(uid, TTL)
        self.broker.settle()
        return made

    def pass_time(self, seconds: float) -> None:
        self.broker.advance(seconds)

    def owners(self, uid: str = "alice") -> list[GameNode]:
        return [node for node in (self.a, self.b, self.c) if node.users.find_uid(uid) is not None]

    def freeze(self, node: GameNode, frozen: bool) -> None:
        node.fake.frozen = frozen
