"""
Tests of L{diarkis_tw.mesh.local}.
"""

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import NodeState
from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT, Mesh, NodeInfo
from diarkis_tw.mesh.local import LocalMesh


class Ask(msgspec.Struct, frozen=True):
    """
    A message.
    """

    text: str


class Answer(msgspec.Struct, frozen=True):
    """
    Its answer.
    """

    text: str


class Other(msgspec.Struct, frozen=True):
    """
    A message that nobody handles.
    """


class HandlerFault(Exception):
    """
    A bug of a handler.
    """


class LocalMeshTestCase(SynchronousTestCase):
    """
    A mesh of one node.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.local = LocalMesh(self.clock, "here")
        self.mesh: Mesh = self.local

    def ask(self, address: str = "here") -> Deferred[Answer]:
        return self.mesh.request(address, Ask("hello"), Answer)

    def failed(self, asked: Deferred[Answer]) -> str:
        return str(self.failureResultOf(asked, MeshError).value)


class MembershipTests(LocalMeshTestCase):
    """
    Who is in the mesh.
    """

    def test_address(self) -> None:
        """
        The node has the address it was given.
        """
        self.assertEqual(self.mesh.node_address, "here")

    def test_join_and_leave(self) -> None:
        """
        The node is in the mesh from joining to leaving.
        """
        info = NodeInfo("here", NodeState.ONLINE)
        self.assertEqual(list(self.mesh.nodes()), [])
        self.mesh.join(lambda: info)
        self.assertEqual(list(self.mesh.nodes()), [info])
        self.assertIsNone(self.successResultOf(self.mesh.leave()))
        self.assertEqual(list(self.mesh.nodes()), [])

    def test_alone(self) -> None:
        """
        Its time rises with each reading; it misses nothing and nobody gives it up,
        however long it stands still.
        """
        self.mesh.on_stale(lambda: self.fail("stale"))
        self.mesh.on_missed(lambda address, since: self.fail("missed"))
        self.mesh.join(lambda: NodeInfo("here", NodeState.ONLINE))
        before = self.mesh.time()
        self.assertGreater(self.mesh.time(), before)
        self.clock.advance(1000)
        self.mesh.check()
        self.assertGreaterEqual(self.mesh.time(), before + 999_999_000)

    def test_described_afresh(self) -> None:
        """
        What the node says of itself is asked each time.
        """
        counts = iter(range(3))
        self.mesh.join(lambda: NodeInfo("here", NodeState.ONLINE, ccu=next(counts)))
        self.mesh.updated()
        self.assertEqual([node.ccu for _ in range(3) for node in self.mesh.nodes()], [0, 1, 2])


class RequestTests(LocalMeshTestCase):
    """
    Messages with an answer.
    """

    def test_answer(self) -> None:
        """
        A handler gets the message and its result is the answer.
        """
        self.mesh.handle(Ask, lambda ask: Answer(ask.text + " back"))
        self.assertEqual(self.successResultOf(self.ask()), Answer("hello back"))

    def test_deferred(self) -> None:
        """
        A handler may answer later.
        """
        work: Deferred[Answer] = Deferred()
        self.mesh.handle(Ask, lambda ask: work)
        asked = self.ask()
        self.assertNoResult(asked)
        work.callback(Answer("late"))
        self.assertEqual(self.successResultOf(asked), Answer("late"))

    def test_coroutine(self) -> None:
        """
        A handler may be a coroutine.
        """
        work: Deferred[str] = Deferred()

        async def handler(ask: Ask) -> Answer:
            return Answer(await work)

        self.mesh.handle(Ask, handler)
        asked = self.ask()
        work.callback("late")
        self.assertEqual(self.successResultOf(asked), Answer("late"))

    def test_no_answer_in_time(self) -> None:
        """
        A handler that does not answer is given up, and cancelled.
        """
        work: Deferred[Answer] = Deferred()
        self.mesh.handle(Ask, lambda ask: work)
        asked = self.ask()
        self.clock.advance(REQUEST_TIMEOUT - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        self.assertEqual(self.failed(asked), "Ask: no answer from here in 5 s")
        self.assertTrue(work.called)

    def test_own_timeout(self) -> None:
        """
        A request may have a time-out of its own.
        """
        self.mesh.handle(Ask, lambda ask: Deferred[Answer]())
        asked = self.mesh.request("here", Ask("hello"), Answer, timeout=1)
        self.clock.advance(1)
        self.assertIn("in 1 s", self.failed(asked))

    def test_no_timer_is_left(self) -> None:
        """
        An answer ends the wait.
        """
        self.mesh.handle(Ask, lambda ask: Answer(""))
        self.ask()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unknown_node(self) -> None:
        """
        There is no other node.
        """
        self.mesh.handle(Ask, lambda ask: Answer(""))
        self.assertEqual(self.failed(self.ask("there")), "no node there")

    def test_no_handler(self) -> None:
        """
        A message that nobody handles fails by name.
        """
        self.assertEqual(self.failed(self.ask()), "here does not handle Ask")

    def test_failing_handler(self) -> None:
        """
        A failing handler is logged; the asker learns no details.
        """

        def handler(ask: Ask) -> Answer:
            raise HandlerFault("secret")

        self.mesh.handle(Ask, handler)
        self.assertEqual(self.failed(self.ask()), "Ask: here failed to handle it")
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_failing_later(self) -> None:
        """
        So it is with a Deferred that fails.
        """
        work: Deferred[Answer] = Deferred()
        self.mesh.handle(Ask, lambda ask: work)
        asked = self.ask()
        work.errback(HandlerFault("secret"))
        self.assertNotIn("secret", self.failed(asked))
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_refusing_handler(self) -> None:
        """
        A handler refuses with a MeshError, which the asker gets.
        """

        def handler(ask: Ask) -> Answer:
            raise MeshError("not today")

        self.mesh.handle(Ask, handler)
        self.assertEqual(self.failed(self.ask()), "not today")

    def test_wrong_answer(self) -> None:
        """
        An answer of another class, or none, is an error.
        """
        answers: list[Other | None] = [Other(), None]
        self.mesh.handle(Ask, lambda ask: answers.pop())
        self.assertEqual(self.failed(self.ask()), "Ask was answered with NoneType")
        self.assertEqual(self.failed(self.ask()), "Ask was answered with Other")

    def test_second_handler(self) -> None:
        """
        A class of messages has one handler.
        """
        self.mesh.handle(Ask, lambda ask: Answer("first"))
        error = self.assertRaises(MeshError, self.mesh.handle, Ask, lambda ask: Answer("second"))
        self.assertIn("Ask", str(error))
        self.assertEqual(self.successResultOf(self.ask()), Answer("first"))


class SendTests(LocalMeshTestCase):
    """
    Messages without an answer.
    """

    def setUp(self) -> None:
        super().setUp()
        self.got: list[Ask] = []

    def test_delivered(self) -> None:
        """
        The handler gets the message.
        """
        self.mesh.handle(Ask, self.got.append)
        self.assertTrue(self.mesh.send("here", Ask("hello")))
        self.assertEqual(self.got, [Ask("hello")])

    def test_unknown_node(self) -> None:
        """
        A message to an unknown node is dropped, which the sender is told.
        """
        self.mesh.handle(Ask, self.got.append)
        self.assertFalse(self.mesh.send("there", Ask("hello")))
        self.assertEqual(self.got, [])

    def test_no_handler(self) -> None:
        """
        A message that nobody handles is this node's own mistake, and logged.
        """
        self.mesh.send("here", Other())
        self.assertEqual(len(self.flushLoggedErrors(MeshError)), 1)

    def test_failing_handler(self) -> None:
        """
        A failing handler is logged and does not fail the sender.
        """

        async def handler(ask: Ask) -> Answer:
            raise HandlerFault

        self.mesh.handle(Ask, handler)
        self.mesh.send("here", Ask("hello"))
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_broadcast(self) -> None:
        """
        A broadcast reaches the other nodes only, of which there are none.
        """
        self.mesh.handle(Ask, self.got.append)
        self.mesh.broadcast(Ask("hello"))
        self.assertEqual(self.got, [])
