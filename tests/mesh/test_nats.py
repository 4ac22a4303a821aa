"""
Tests of L{diarkis_tw.mesh.nats} and L{diarkis_tw.mesh.peers}.
"""

from typing import ClassVar, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import NodeState
from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.calls import CALLS_LIMIT
from diarkis_tw.mesh.envelope import FRAME_MAX, MESH_VERSION, Envelope, Kind, Sealing
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT, Mesh, NodeInfo, PublicEndpoint
from diarkis_tw.mesh.nats_link import STOP_TIMEOUT
from diarkis_tw.mesh.system import Beat
from tests.mesh.fake_broker import FakeBroker, FakeNode


class Ask(msgspec.Struct, frozen=True):
    """
    A message.
    """

    text: str


class Answer(msgspec.Struct, frozen=True):
    """
    Its answer.
    """

    sealed: ClassVar[bool] = True
    text: str


class Other(msgspec.Struct, frozen=True):
    """
    A message that nobody handles.
    """


class HandlerFault(Exception):
    """
    A bug of a handler.
    """


class NatsMeshTestCase(SynchronousTestCase):
    """
    Three nodes that know each other.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.a, self.b, self.c = (self.broker.node() for _ in range(3))
        self.got: list[tuple[str, Ask]] = []
        for node in (self.a, self.b, self.c):
            self.listen(node)
        self.broker.join(self.a, self.b, self.c)

    def listen(self, node: FakeNode) -> None:
        def handler(ask: Ask) -> Answer:
            self.got.append((node.address, ask))
            return Answer(ask.text + " back")

        node.mesh.handle(Ask, handler)

    def ask(self, to: FakeNode, text: str = "hello") -> Deferred[Answer]:
        asked = self.a.mesh.request(to.address, Ask(text), Answer)
        self.broker.settle()
        return asked

    def failed(self, asked: Deferred[Answer]) -> str:
        return str(self.failureResultOf(asked, MeshError).value)

    def logged(self) -> list[str]:
        """
        The lines of the log from now on.
        """
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        return lines

    def all_see_all(self, *nodes: FakeNode) -> None:
        addresses = {node.address for node in nodes}
        for node in nodes:
            self.assertEqual(node.seen(), addresses - {node.address})


class MembershipTests(NatsMeshTestCase):
    """
    Who is there.
    """

    def test_is_a_mesh(self) -> None:
        """
        It is what the layers above depend on.
        """
        mesh: Mesh = self.a.mesh
        self.assertEqual(mesh.node_address, self.a.address)
        self.assertEqual(len({node.address for node in self.broker.nodes}), 3)

    def test_join(self) -> None:
        """
        Nodes that join know each other at once, and those who come later too.
        """
        self.all_see_all(self.a, self.b, self.c)
        late = self.broker.node()
        self.assertEqual(list(late.mesh.nodes()), [])
        self.broker.join(late)
        self.all_see_all(self.a, self.b, self.c, late)

    def test_leave(self) -> None:
        """
        A node that leaves is forgotten at once, and has forgotten the others.
        """
        self.b.mesh.leave()
        self.b.mesh.leave()
        self.broker.settle()
        self.all_see_all(self.a, self.c)
        self.assertEqual(list(self.b.mesh.nodes()), [])
        self.assertEqual(self.b.clock.getDelayedCalls(), [])
        self.broker.advance(10)
        self.all_see_all(self.a, self.c)

    def test_leaving_is_waited_for(self) -> None:
        """
        Leaving is done when the link has said the last words, or was given up.
        """
        self.b.link.ended = Deferred()
        left = self.b.mesh.leave()
        self.assertNoResult(left)
        self.b.link.ended.callback(None)
        self.assertIsNone(self.successResultOf(left))
        self.c.link.ended = Deferred()
        left = self.c.mesh.leave()
        self.c.clock.advance(STOP_TIMEOUT)
        self.assertIsNone(self.successResultOf(left))
        self.assertEqual(self.c.clock.getDelayedCalls(), [])

    def test_killed(self) -> None:
        """
        A node that falls silent is gone after 3 s and before 3.5 s.
        """
        self.broker.advance(2)
        self.b.killed = True
        self.broker.advance(2)
        self.all_see_all(self.a, self.b, self.c)
        self.broker.advance(1.5)
        self.all_see_all(self.a, self.c)

    def test_stays(self) -> None:
        """
        Nobody who lives is given up.
        """
        self.broker.advance(60)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual([node.stale for node in self.broker.nodes], [[], [], []])

    def test_lost_heartbeats(self) -> None:
        """
        Two lost heartbeats do not matter.
        """
        self.broker.advance(2.1)
        self.b.frozen = True
        self.broker.advance(2.5)
        self.b.frozen = False
        self.broker.advance(10)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(self.b.stale, [])

    def test_updated(self) -> None:
        """
        What changes is known to all within a tenth of a second if it is said, else
        within a second; many changes make one message.
        """
        self.broker.advance(0.5)
        before = len(self.broker.frames)
        self.b.ccu, self.b.state = 7, NodeState.TAKEN
        for _ in range(100):
            self.b.mesh.updated()
        self.broker.advance(0.1)
        self.assertEqual(len(self.broker.frames), before + 1)
        self.assertIn(self.b.info(), list(self.a.mesh.nodes()))
        self.b.ccu = 8
        self.broker.advance(1)
        self.assertIn(self.b.info(), list(self.a.mesh.nodes()))

    def test_on_join(self) -> None:
        """
        A node hears of each that comes, in each of its lives once, when it can be
        asked. A failing callback is no harm.
        """
        came: list[str] = []
        answers: list[Deferred[Answer]] = []

        def callback(address: str) -> None:
            came.append(address)
            answers.append(self.a.mesh.request(address, Ask("hello"), Answer))
            raise HandlerFault

        self.a.mesh.on_join(callback)
        self.broker.advance(5)
        self.assertEqual(came, [])
        late = self.broker.node()
        self.listen(late)
        self.broker.join(late)
        self.assertEqual(came, [late.address])
        self.b.frozen = True
        self.broker.advance(5)
        self.b.frozen = False
        self.broker.advance(5)
        self.assertEqual(came, [late.address, self.b.address])
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), Answer("hello back"))
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 2)

    def test_reading_costs_no_traffic(self) -> None:
        """
        Asking who is there sends nothing.
        """
        before = len(self.broker.frames)
        for _ in range(10):
            list(self.a.mesh.nodes())
        self.assertEqual(len(self.broker.frames), before)

    def test_frozen(self) -> None:
        """
        A node that stood still for 5 s is gone meanwhile; on coming back it learns
        so and joins anew, and gives nobody up itself.
        """
        self.broker.advance(2)
        self.b.frozen = True
        self.broker.advance(5)
        self.all_see_all(self.a, self.c)
        self.b.frozen = False
        self.broker.advance(0.1)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(len(self.b.stale), 1)
        self.assertEqual(self.a.stale, [])
        self.broker.advance(10)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(len(self.b.stale), 1)
        self.assertEqual(self.successResultOf(self.ask(self.b)), Answer("hello back"))

    def test_given_up_by_others(self) -> None:
        """
        A node that only could not be heard is told that it was given up, and joins
        anew.
        """
        link = self.b.link
        publish, link.publish = link.publish, lambda subject, frame: False  # type: ignore[method-assign]
        self.broker.advance(5)
        self.assertEqual(self.a.seen(), {self.c.address})
        link.publish = publish  # type: ignore[method-assign]
        self.broker.advance(1.2)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(len(self.b.stale), 1)

    def test_gave_each_other_up(self) -> None:
        """
        Two halves that gave each other up learn so from each other and are one again.
        """
        self.b.link.cut = True
        self.broker.advance(5)
        self.assertEqual((self.a.seen(), self.b.seen()), ({self.c.address}, set()))
        self.b.link.cut = False
        self.broker.advance(2.2)
        self.all_see_all(self.a, self.b, self.c)
        stale = [len(node.stale) for node in self.broker.nodes]
        self.broker.advance(10)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual([len(node.stale) for node in self.broker.nodes], stale)

    def test_time(self) -> None:
        """
        What happens after something was heard is later than it, and nothing has the
        time of something else.
        """
        for sender, hearer in ((self.a, self.b), (self.b, self.c), (self.c, self.a)):
            sender.clock.advance(100)
            before = sender.mesh.time()
            sender.mesh.broadcast(Ask("now"))
            self.broker.settle()
            self.assertGreater(hearer.mesh.time(), before)

    def test_missed(self) -> None:
        """
        Who did not get what was said to all is told with the next heartbeat, once; who
        got it is not.
        """
        missed: list[tuple[str, int]] = []
        self.broker.advance(2)
        self.b.mesh.on_missed(lambda address, since: missed.append((address, since)))
        self.c.mesh.on_missed(lambda address, since: self.fail("it got all"))
        self.broker.advance(2)
        self.a.mesh.broadcast(Ask("heard"))
        self.broker.advance(2)
        before = self.a.mesh.time()
        self.a.mesh.broadcast(Ask("lost"))
        self.b.link.inbox.clear()
        self.broker.advance(3)
        [(address, since)] = missed
        self.assertEqual(address, self.a.address)
        self.assertTrue(before - 1_100_000 < since < before)

    def test_failing_callbacks(self) -> None:
        """
        A callback that fails is logged, and the next one is called.
        """

        def fault(*ignored: object) -> None:
            raise HandlerFault

        missed: list[str] = []
        self.b.mesh.on_missed(fault)
        self.b.mesh.on_missed(lambda address, since: missed.append(address))
        self.broker.join(self.broker.node())
        self.broker.advance(1.1)
        self.assertEqual(missed.count(self.broker.nodes[-1].address), 1)
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), len(missed))

    def test_broker_away(self) -> None:
        """
        While the broker is away nobody is given up, requests fail at once, and when
        it is back all is as before.
        """
        self.assertTrue(self.a.mesh.is_ready)
        self.broker.set_up(False)
        self.assertFalse(self.a.mesh.is_ready)
        self.broker.advance(60)
        self.all_see_all(self.a, self.b, self.c)
        self.assertIn("no NATS server", self.failed(self.ask(self.b)))
        self.a.mesh.broadcast(Ask("lost"))
        self.broker.set_up(True)
        self.broker.advance(10)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual([node.stale for node in self.broker.nodes], [[], [], []])
        self.assertEqual(self.successResultOf(self.ask(self.b)), Answer("hello back"))

    def test_dies_with_the_broker(self) -> None:
        """
        A node that does not come back with the broker is given up.
        """
        self.broker.set_up(False)
        self.b.killed = True
        self.broker.advance(10)
        self.broker.set_up(True)
        self.broker.advance(3)
        self.assertIn(self.b.address, self.a.seen())
        self.broker.advance(0.5)
        self.all_see_all(self.a, self.c)

    def test_broker_comes_later(self) -> None:
        """
        Nodes that start without the broker find each other when it comes.
        """
        broker = FakeBroker()
        broker.is_up = False
        nodes = [broker.node() for _ in range(2)]
        broker.join(*nodes)
        broker.advance(10)
        self.assertEqual(nodes[0].seen(), set())
        broker.set_up(True)
        broker.settle()
        self.all_see_all(*nodes)

    def test_others_do_not_mix(self) -> None:
        """
        Nodes of another application, or with another key, see none of these.
        """
        self.broker.join(other := self.broker.node(app="other"))
        self.broker.join(stranger := self.broker.node(secrets=("guess",)))
        self.broker.advance(5)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual((other.seen(), stranger.seen()), (set(), set()))
        self.assertGreater(self.a.mesh.strangers, 0)

    def test_another_key_is_said(self) -> None:
        """
        The log of a node with another key says so, and that of those whom it looks for,
        once a minute however much comes, and nothing when nothing does.
        """
        logged = self.logged()
        self.broker.join(stranger := self.broker.node(secrets=("guess",)))
        self.broker.advance(10)
        said = [line for line in logged if "with another mesh.key" in line]
        self.assertEqual(len(said), 4)
        self.assertIn('mesh.app "game"; ', said[0])
        stranger.killed = True
        for node in (self.a, self.b, self.c):
            node.mesh.leave()
        self.broker.advance(1)
        logged.clear()
        self.broker.join(*(self.broker.node() for _ in range(2)))
        self.broker.advance(120)
        self.assertEqual([line for line in logged if "mesh.key" in line], [])

    def test_versions_do_not_mix(self) -> None:
        """
        The version of what nodes say to each other is in the subjects, and a frame of
        another one is a stranger's.
        """
        for subject in self.a.link.subjects:
            self.assertEqual(subject.split(".")[:3], ["diarkis", str(MESH_VERSION), "game"])
        _, frame = self.broker.frames[-1]
        self.broker.publish(self.a.link.subjects[0], bytes((MESH_VERSION + 1,)) + frame[1:])
        self.broker.settle()
        self.assertEqual(self.a.mesh.strangers, 1)

    def test_older_and_newer_nodes(self) -> None:
        """
        Nodes whose descriptions have fields more or less understand each other.
        """

        class Newer(NodeInfo, frozen=True):
            news: int = 1

        encoded = msgspec.msgpack.encode(Beat(Newer("a", NodeState.ONLINE), 7))
        self.assertEqual(msgspec.msgpack.decode(encoded, type=Beat).info.address, "a")
        older = msgspec.msgpack.encode({"info": {"state": "ONLINE", "address": "a"}})
        self.assertEqual(
            msgspec.msgpack.decode(older, type=Beat), Beat(NodeInfo("a", NodeState.ONLINE))
        )

    def test_log_of_a_new_node(self) -> None:
        """
        The log says of a node that joins what it is.
        """
        logged = self.logged()
        late = self.broker.node()
        endpoints = {"UDP": PublicEndpoint("10.0.0.1", 7100, "UDP")}
        late.about = {"roles": ("HTTP", "UDP"), "version": "1.2", "endpoints": endpoints}
        self.broker.join(late)
        wanted = f"mesh: node {late.address} is there: HTTP UDP at 10.0.0.1:7100, version 1.2"
        self.assertEqual(logged.count(wanted), 3)
        self.assertEqual(logged.count(f"mesh: this is node {late.address}"), 1)
        self.assertIn(late.info(), list(self.a.mesh.nodes()))


class MessageTests(NatsMeshTestCase):
    """
    What nodes say to each other.
    """

    def test_send(self) -> None:
        """
        A message reaches its node, or this one, and nobody else.
        """
        self.assertTrue(self.a.mesh.send(self.b.address, Ask("there")))
        self.assertTrue(self.a.mesh.send(self.a.address, Ask("here")))
        self.broker.settle()
        self.assertEqual(self.got, [(self.a.address, Ask("here")), (self.b.address, Ask("there"))])

    def test_send_to_nobody(self) -> None:
        """
        A message to an unknown node, or without a broker, is dropped.
        """
        self.assertFalse(self.a.mesh.send("nobody", Ask("x")))
        self.assertEqual(self.a.mesh.dropped, 1)
        self.broker.is_up = False
        self.assertFalse(self.a.mesh.send(self.b.address, Ask("x")))

    def test_looking_sends_nothing(self) -> None:
        """
        However often one looks at the other nodes, no frame is sent.
        """
        before = len(self.broker.frames)
        for _ in range(1000):
            self.assertEqual(len(list(self.a.mesh.nodes())), 3)
        self.assertEqual(len(self.broker.frames), before)

    def test_broadcast(self) -> None:
        """
        A broadcast reaches every other node once.
        """
        self.a.mesh.broadcast(Ask("all"))
        self.broker.settle()
        self.assertEqual(
            sorted(self.got), sorted((n.address, Ask("all")) for n in (self.b, self.c))
        )

    def test_request(self) -> None:
        """
        A request is answered, from another node as from this one.
        """
        for node in (self.b, self.a):
            self.assertEqual(self.successResultOf(self.ask(node)), Answer("hello back"))

    def test_later(self) -> None:
        """
        A handler may answer later, here as a coroutine.
        """
        work: Deferred[str] = Deferred()

        async def handler(ask: Other) -> Answer:
            return Answer(await work)

        self.b.mesh.handle(Other, handler)
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertNoResult(asked)
        work.callback("late")
        self.broker.settle()
        self.assertEqual(self.successResultOf(asked), Answer("late"))

    def test_timeout(self) -> None:
        """
        A request without an answer fails in time; an answer after it is dropped.
        """
        work: Deferred[Answer] = Deferred()
        self.b.mesh.handle(Other, lambda other: work)
        asked = self.a.mesh.request(self.b.address, Other(), Answer, 0.899994)
        self.broker.advance(1)
        self.assertEqual(self.failed(asked), f"Other: no answer from {self.b.address} in 0.9 s")
        work.callback(Answer("late"))
        self.broker.settle()
        self.assertEqual(self.a.mesh.unhandled, 1)
        self.assertEqual(len(self.a.mesh._calls._waiting), 0)

    def test_node_goes(self) -> None:
        """
        Requests to a node that leaves or dies fail as soon as that is known.
        """
        self.b.mesh.handle(Other, lambda other: Deferred[Answer]())
        asked = self.a.mesh.request(self.b.address, Other(), Answer, 60)
        self.b.killed = True
        self.broker.advance(3.5)
        self.assertIn("is gone", self.failed(asked))
        self.assertEqual(self.failed(self.ask(self.b)), f"no node {self.b.address}")

    def test_connection_lost(self) -> None:
        """
        Nor when the broker goes, which takes the answers with it.
        """
        self.b.frozen = True
        asked = self.ask(self.b)
        self.broker.set_up(False)
        self.assertIn("lost", self.failed(asked))

    def test_leaving_as_a_node_is_gone(self) -> None:
        """
        Whoever leaves the mesh because a request has failed ends all others as well, once
        each.
        """
        self.b.killed = True
        first, second = self.ask(self.b), self.ask(self.b)
        first.addErrback(lambda failure: self.a.mesh.leave())
        self.broker.advance(4)
        self.assertIn("leaving", self.failed(second))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_own_end(self) -> None:
        """
        Requests under way fail when this node leaves.
        """
        asked = self.a.mesh.request(self.b.address, Ask("x"), Answer)
        self.a.mesh.leave()
        self.assertIn("leaving", self.failed(asked))

    def test_no_handler(self) -> None:
        """
        A request that nobody handles fails by name; a message is counted.
        """
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertIn("does not handle Other", self.failed(asked))
        self.a.mesh.broadcast(Other())
        self.broker.settle()
        self.assertEqual((self.b.mesh.unhandled, self.c.mesh.unhandled), (2, 1))

    def test_failing_handler(self) -> None:
        """
        A failing handler is logged where it fails; the asker learns no details, but
        the sentence of a MeshError.
        """
        errors: list[Exception] = [MeshError("not today"), HandlerFault("secret")]

        def handler(other: Other) -> Answer:
            raise errors.pop()

        self.b.mesh.handle(Other, handler)
        texts = []
        for _ in range(2):
            asked = self.a.mesh.request(self.b.address, Other(), Answer)
            self.broker.settle()
            texts.append(self.failed(asked))
        self.assertEqual(texts, [f"Other: {self.b.address} failed to handle it", "not today"])
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_wrong_answer(self) -> None:
        """
        An answer of another class, or none, is an error.
        """
        answers: list[Other | None] = [None, Other()]
        self.b.mesh.handle(Other, lambda other: answers.pop())
        for text in ("answered with Other, not Answer", "Other was answered with NoneType"):
            asked = self.a.mesh.request(self.b.address, Other(), Answer)
            self.broker.settle()
            self.assertEqual(self.failed(asked), text)

    def test_too_large(self) -> None:
        """
        What is too large is the caller's error.
        """
        large = Ask("x" * FRAME_MAX)
        self.assertIn("is the most", self.failed(self.ask(self.b, large.text)))
        self.assertRaises(MeshError, self.a.mesh.send, self.b.address, large)
        self.assertRaises(MeshError, self.a.mesh.broadcast, large)

    def test_too_large_an_answer(self) -> None:
        """
        An answer that is too large is a failure, not silence.
        """
        self.b.mesh.handle(Other, lambda other: Answer("x" * FRAME_MAX))
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertIn("is the most", self.failed(asked))

    def test_calls_are_bounded(self) -> None:
        """
        So many requests wait and no more.
        """
        self.a.mesh._calls._waiting = dict.fromkeys(range(-CALLS_LIMIT, 0))  # type: ignore[arg-type]
        self.assertIn("wait for answers already", self.failed(self.ask(self.b)))
        self.a.mesh._calls._waiting = {}

    def test_second_handler(self) -> None:
        """
        A class of messages has one handler.
        """
        self.assertRaises(MeshError, self.a.mesh.handle, Ask, lambda ask: Answer(""))


class HostileTests(NatsMeshTestCase):
    """
    Somebody else on the broker.
    """

    def test_repeated(self) -> None:
        """
        Whatever was said is taken once, however often it is repeated.
        """
        self.a.mesh.broadcast(Ask("all"))
        self.a.mesh.send(self.b.address, Ask("one"))
        self.broker.settle()
        self.assertEqual(len(self.got), 3)
        frames = list(self.broker.frames)
        for subject, frame in frames * 3:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(len(self.got), 3)
        self.assertGreater(self.b.mesh.repeated, 0)
        self.all_see_all(self.a, self.b, self.c)

    def test_sent_elsewhere(self) -> None:
        """
        A frame for one node is nothing to another one, nor to all.
        """
        self.a.mesh.send(self.b.address, Ask("one"))
        subject, frame = self.broker.frames[-1]
        self.broker.settle()
        self.assertEqual(len(self.got), 1)
        self.broker.publish(subject.replace(self.b.address, self.c.address), frame)
        self.broker.publish(self.c.link.subjects[0], frame)
        self.broker.settle()
        self.assertEqual(len(self.got), 1)
        self.assertGreaterEqual(self.c.mesh.misdirected, 2)

    def test_repeated_to_a_new_node(self) -> None:
        """
        What a node said that has died since means nothing to a node that came later.
        """
        self.b.mesh.broadcast(Ask("old"))
        self.broker.advance(2)
        old = list(self.broker.frames)
        self.b.killed = True
        self.broker.advance(5)
        self.listen(late := self.broker.node())
        self.broker.join(late)
        self.got.clear()
        for subject, frame in old:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(self.got, [])
        self.assertNotIn(self.b.address, late.seen())
        self.all_see_all(self.a, self.c, late)

    def test_repeating_makes_nobody_talk(self) -> None:
        """
        A flood of repeated frames is not answered by a flood.
        """
        self.broker.advance(2)
        old = [frame for frame in self.broker.frames if frame[0] == self.a.link.subjects[0]]
        self.b.killed = True
        self.broker.advance(5)
        self.broker.join(self.broker.node())
        before = len(self.broker.frames)
        for subject, frame in old * 100:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertLess(len(self.broker.frames) - before, len(old) * 100 + 20)

    def test_garbage(self) -> None:
        """
        Garbage and forged frames are counted and change nothing.
        """
        forged = Sealing("game", ["guess"], self.broker.random_bytes)
        leave = Envelope(
            self.b.address, 2**62, 1, "", 0, Kind.MESSAGE, 0, "mesh.Leave", False, b"\x80"
        )
        for subject in self.a.link.subjects:
            for frame in (b"", b"x", bytes(100), b"\x01" * 1000, forged.frame(leave)):
                self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(self.a.mesh.strangers, 10)
        self.all_see_all(self.a, self.b, self.c)

    def test_malformed_member(self) -> None:
        """
        A member that sends nonsense gets failures, and nothing else happens.
        """
        mesh = self.a.mesh
        peer = mesh._peers.find(self.b.address)
        assert peer is not None
        for topic in ("Ask", "mesh.Beat", "mesh.Hello", "nothing"):
            for kind in Kind:
                mesh._post_body(
                    self.b.address, peer.incarnation, kind, 1, topic, False, b"\xc1nonsense"
                )
        mesh._post_body("", 0, Kind.REQUEST, 1, "Ask", False, b"\x81\xa4text\xa1x")
        self.broker.settle()
        self.assertEqual(self.b.mesh.malformed, 6)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(self.successResultOf(self.ask(self.b)), Answer("hello back"))

    def test_somebody_elses_answer(self) -> None:
        """
        Only who was asked can answer.
        """
        self.b.mesh.handle(Other, lambda other: Deferred[Answer]())
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        (number,) = self.a.mesh._calls._waiting
        peer = self.c.mesh._peers.find(self.a.address)
        assert peer is not None
        self.c.mesh._post(self.a.address, peer.incarnation, Kind.ANSWER, number, Answer("mine"))
        self.broker.settle()
        self.assertNoResult(asked)
        self.broker.advance(REQUEST_TIMEOUT + 0.1)
        self.failed(asked)
