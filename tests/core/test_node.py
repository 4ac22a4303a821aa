"""
Tests of L{diarkis_tw.core.node}.
"""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode, NodeState
from diarkis_tw.core.node import Node


class NodeTests(SynchronousTestCase):
    """
    The states of a node.
    """

    def setUp(self) -> None:
        self.node = Node()
        self.seen: list[NodeState] = []
        self.node.observe(self.seen.append)

    def enter(self, *moves: Callable[[Node], None]) -> NodeState:
        for move in moves:
            move(self.node)
        return self.node.state

    def test_starting(self) -> None:
        """
        A new node is STARTING and refuses new users with SERVER_OFFLINE.
        """
        self.assertIs(self.node.state, NodeState.STARTING)
        self.assertIs(self.node.refusal(), CloseCode.SERVER_OFFLINE)

    def test_ready(self) -> None:
        """
        A node that is ready is ONLINE and takes new users.
        """
        self.assertIs(self.enter(Node.ready), NodeState.ONLINE)
        self.assertIsNone(self.node.refusal())

    def test_moves(self) -> None:
        """
        The application moves between the three states as it likes.
        """
        for move, state, refusal in (
            (Node.taken, NodeState.TAKEN, CloseCode.TAKEN),
            (Node.offline, NodeState.OFFLINE, CloseCode.SERVER_OFFLINE),
            (Node.online, NodeState.ONLINE, None),
        ):
            self.assertIs(self.enter(Node.ready, move), state)
            self.assertIs(self.node.refusal(), refusal)

    def test_asked_before_ready(self) -> None:
        """
        A state asked for before the node is ready is the one it starts in.
        """
        self.assertIs(self.enter(Node.online, Node.taken), NodeState.STARTING)
        self.assertIs(self.node.refusal(), CloseCode.SERVER_OFFLINE)
        self.assertIs(self.enter(Node.ready), NodeState.TAKEN)

    def test_observers(self) -> None:
        """
        Observers hear each new state, once.
        """
        other: list[NodeState] = []
        self.node.observe(other.append)
        self.enter(Node.taken, Node.ready, Node.taken, Node.online, Node.online, Node.offline)
        self.assertEqual(self.seen, [NodeState.TAKEN, NodeState.ONLINE, NodeState.OFFLINE])
        self.assertEqual(other, self.seen)

    def test_terminate(self) -> None:
        """
        After termination began the node stays OFFLINE.
        """
        self.assertFalse(self.node.terminating)
        self.enter(Node.ready, Node.terminate)
        self.assertTrue(self.node.terminating)
        self.assertIs(
            self.enter(Node.online, Node.taken, Node.ready, Node.terminate), NodeState.OFFLINE
        )
        self.assertEqual(self.seen, [NodeState.ONLINE, NodeState.OFFLINE])

    def test_terminate_before_ready(self) -> None:
        """
        A node told to end while it starts never comes ONLINE.
        """
        self.assertIs(self.enter(Node.terminate, Node.ready), NodeState.OFFLINE)

    def test_offline_is_not_termination(self) -> None:
        """
        An OFFLINE node can come back.
        """
        self.enter(Node.ready, Node.offline)
        self.assertFalse(self.node.terminating)
        self.assertIs(self.enter(Node.online), NodeState.ONLINE)
