"""
Tests of L{diarkis_tw.mesh.nats} and L{diarkis_tw.mesh.peers}: who is there.
"""

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.constants import NodeState
from diarkis_tw.mesh.envelope import MESH_VERSION
from diarkis_tw.mesh.interface import Mesh, NodeInfo, PublicEndpoint
from diarkis_tw.mesh.nats_link import STOP_TIMEOUT
from diarkis_tw.mesh.system import Beat
from tests.mesh.fake_broker import FakeBroker
from tests.mesh.nats_case import Answer, Ask, HandlerFault, NatsMeshTestCase, Other


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
        publish, link.publish = link.publish, lambda *frame: False  # type: ignore[method-assign]
        self.broker.advance(5)
        self.assertEqual(self.a.seen(), {self.c.address})
        link.publish = publish  # type: ignore[method-assign]
        self.broker.advance(1.2)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(len(self.b.stale), 1)

    def test_requests_of_a_life_that_is_over(self) -> None:
        """
        Whoever asked before a node joined anew need not wait for the answer, which is for
        the incarnation that is over.
        """
        self.c.mesh.handle(Other, lambda other: Deferred())
        asked = self.b.mesh.request(self.c.address, Other(), Answer, 60)
        link = self.b.link
        publish, link.publish = link.publish, lambda *frame: False  # type: ignore[method-assign]
        self.broker.advance(5)
        self.assertNoResult(asked)
        link.publish = publish  # type: ignore[method-assign]
        self.broker.advance(1.2)
        self.assertIn("joins anew", self.failed(asked))

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

    def test_fault_in_the_heartbeat(self) -> None:
        """
        Should this program fail where it says that it lives, that is in the log.
        """

        def publish(subject: str, frame: bytes, can_wait: bool = False) -> bool:
            raise HandlerFault

        self.a.link.publish = publish  # type: ignore[method-assign]
        self.broker.advance(1.5)
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

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
