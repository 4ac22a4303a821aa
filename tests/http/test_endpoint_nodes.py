"""
Tests of L{diarkis_tw.http.endpoint} and L{diarkis_tw.http.node_choice}: which of many
nodes takes a player, and what if it does not.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.core.creation import CreateUser, CreateUserReply, UserMade, UserRefused
from diarkis_tw.errors import RegistrationError
from diarkis_tw.http import node_choice
from diarkis_tw.http.endpoint import PATIENCE, EndpointResource
from diarkis_tw.http.json_resource import JsonResource, Root
from diarkis_tw.http.node_choice import RECENT, NodeChoice
from diarkis_tw.http.seldom import PERIOD
from diarkis_tw.http.site import JsonSite
from diarkis_tw.mesh.interface import NodeInfo, PublicEndpoint
from diarkis_tw.mesh.peers import HEARTBEAT
from diarkis_tw.server import Server
from tests.http.case import Answer, HttpConnection, encode
from tests.mesh.fake_broker import FakeBroker, FakeNode

STEP = 0.05


class SelectorFault(Exception):
    """
    A bug of a selector.
    """


class GameNode:
    """
    A node of type TCP.

    @ivar asked: uids for which it was asked to make a session.
    @ivar answer: what it answers with; L{None} = nothing.
    """

    def __init__(self, broker: FakeBroker, port: int, ccu: int = 0) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], object] = self.made
        self.port = port
        self.ccu = ccu
        self.state = NodeState.ONLINE
        self.encryption = True
        self.external = False
        self.node = broker.node()
        self.node.mesh.handle(CreateUser, self.create)
        self.node.mesh.join(self.info)

    @property
    def address(self) -> str:
        return self.node.address

    def info(self) -> NodeInfo:
        endpoint = PublicEndpoint("192.0.2.1", self.port, "TCP", external=self.external)
        return NodeInfo(self.address, self.state, {"TCP": endpoint}, self.ccu, self.encryption)

    def made(self) -> CreateUserReply:
        return CreateUserReply(UserMade(b"s" * 16, b"k" * 16, b"i" * 16, b"m" * 16, 30))

    def refuse(self, reason: Any, message: str) -> None:
        self.answer = lambda: CreateUserReply(UserRefused(reason, message))

    def be_silent(self) -> None:
        self.answer = Deferred

    def create(self, request: CreateUser) -> msgspec.Struct:
        self.asked.append(request.uid)
        return self.answer()  # type: ignore[return-value]


class ManyNodesCase(SynchronousTestCase):
    """
    An HTTP node, and three game nodes with 10, 20 and 30 users.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.front: FakeNode = self.broker.node()
        self.choice = NodeChoice(self.front.mesh, self.front.clock)
        self.broker.join(self.front)
        self.low, self.middle, self.high = (self.node(ccu) for ccu in (10, 20, 30))
        self.serve()
        self.broker.advance(1)

    def node(self, ccu: int) -> GameNode:
        found = GameNode(self.broker, 7000 + ccu, ccu)
        self.broker.settle()
        return found

    def serve(self, timeout: int = 5) -> None:
        api = EndpointResource(
            self.front.mesh,
            self.choice,
            HttpSettings(timeout=timeout),
            None,
            self.front.clock,
        )
        self.site = JsonSite(Root({b"endpoint": api}, JsonResource()), self.front.clock)

    def begin(self, uid: str = "alice") -> HttpConnection:
        connection = HttpConnection(self.site)
        connection.send(encode("GET", f"/endpoint/type/TCP/user/{uid}"))
        self.broker.settle()
        return connection

    def ask(self, uid: str = "alice") -> Answer:
        return self.begin(uid).answer()

    def port(self, uid: str = "alice") -> object:
        return self.ask(uid).json()["serverPort"]

    def wait(self, connection: HttpConnection) -> tuple[float, Answer]:
        """
        The answer, and how many seconds later it comes.
        """
        for waited in range(100):
            if connection.transport.value():
                return waited * STEP, connection.answer()
            self.broker.advance(STEP)
        raise AssertionError("no answer")

    def assertNear(self, waited: float, expected: float) -> None:
        self.assertLess(abs(waited - expected), 1.5 * STEP, waited)

    def assertRefused(self, answer: Answer, word: str, text: str) -> None:
        found = answer.json()
        self.assertEqual((answer.status, found["error"]), (503, word))
        self.assertIn(text, str(found["message"]))


class TriesTests(ManyNodesCase):
    """
    From the best one to the next.
    """

    def test_best(self) -> None:
        """
        The node with the fewest users makes the session, the others hear nothing of it.
        """
        answer = self.ask().json()
        self.assertEqual((answer["serverPort"], answer["sid"]), (7010, b"s".hex() * 16))
        self.assertEqual(self.low.asked, ["alice"])
        self.assertEqual(self.middle.asked + self.high.asked, [])

    def test_refused(self) -> None:
        """
        If it refuses, whatever the reason, the next best is asked at once.
        """
        for reason in ("taken", "offline", "full", "encryption"):
            self.low.refuse(reason, "No.")
            self.assertEqual(self.port(), 7020)

    def test_silent(self) -> None:
        """
        If it does not answer in its share of the time, the next best is asked.
        """
        self.low.be_silent()
        waited, answer = self.wait(self.begin())
        self.assertEqual(answer.json()["serverPort"], 7020)
        self.assertNear(waited, PATIENCE / 3)

    def test_two_silent(self) -> None:
        """
        The last one has its share, too.
        """
        self.low.be_silent()
        self.middle.be_silent()
        late: Deferred[CreateUserReply] = Deferred()
        self.high.answer = lambda: late
        connection = self.begin()
        self.broker.advance(PATIENCE - 2 * STEP)
        late.callback(self.high.made())
        self.broker.settle()
        self.assertEqual(connection.answer().json()["serverPort"], 7030)

    def test_all_silent(self) -> None:
        """
        If nobody answers, the player hears so within 2 s, however long the timeout is,
        and each was asked once.
        """
        for timeout, most in ((3600, 2.0), (1, 1.0 + STEP)):
            self.serve(timeout)
            for node in (self.low, self.middle, self.high):
                node.be_silent()
                node.asked.clear()
            waited, answer = self.wait(self.begin())
            self.assertRefused(answer, "no_answer", "try again")
            self.assertLessEqual(waited, most)
            for node in (self.low, self.middle, self.high):
                self.assertEqual(node.asked, ["alice"])

    def test_only_one(self) -> None:
        """
        A node that is the only one has the whole time.
        """
        for node in (self.middle, self.high):
            node.node.mesh.leave()
        self.broker.settle()
        self.low.be_silent()
        waited, _ = self.wait(self.begin())
        self.assertNear(waited, PATIENCE)

    def test_at_most_three(self) -> None:
        """
        Of more than three no more than three are asked.
        """
        worse = self.node(40)
        for node in (self.low, self.middle, self.high):
            node.refuse("full", "Too many.")
        self.assertRefused(self.ask(), "full", "Too many.")
        self.assertEqual(worse.asked, [])

    def test_reason(self) -> None:
        """
        What the last one says is the reason that the player gets.
        """
        self.low.be_silent()
        self.middle.refuse("taken", "Taken.")
        self.high.refuse("full", "Full.")
        self.assertRefused(self.wait(self.begin())[1], "full", "Full.")

    def test_gone(self) -> None:
        """
        A node that is gone is tried for its share of the time, until it is known
        to be gone.
        """
        self.low.node.killed = True
        waited, answer = self.wait(self.begin())
        self.assertEqual(answer.json()["serverPort"], 7020)
        self.assertNear(waited, PATIENCE / 3)
        self.broker.advance(4)
        self.assertEqual(self.port(), 7020)

    def test_broker_away(self) -> None:
        """
        Without a broker the answer comes at once, and the log is not filled.
        """
        self.broker.set_up(False)
        lines: list[LogEvent] = []
        observer: ILogObserver = lines.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(20):
            self.assertRefused(self.ask(), "mesh_away", "no NATS server")
        [line] = [line for line in lines if "could not be made" in str(line["log_format"])]
        self.assertEqual(line["reason"], "CreateUser: no NATS server is reached")

    def test_states(self) -> None:
        """
        Only nodes that are ONLINE are asked.
        """
        for node, state in ((self.low, NodeState.TAKEN), (self.middle, NodeState.OFFLINE)):
            node.state = state
            node.node.mesh.updated()
        self.broker.advance(0.1)
        self.assertEqual(self.port(), 7030)
        self.high.state = NodeState.TAKEN
        self.broker.advance(HEARTBEAT)
        self.assertRefused(self.ask(), "no_node", "OFFLINE, TAKEN")

    def test_encryption(self) -> None:
        """
        A node whose enableEncryption is another is asked only if there are no others.
        """
        self.low.encryption = False
        self.broker.advance(HEARTBEAT)
        self.assertEqual(self.port(), 7020)
        self.middle.encryption = self.high.encryption = False
        self.broker.advance(HEARTBEAT)
        self.assertEqual(self.port(), 7010)

    def test_external(self) -> None:
        """
        The place of an external server is told without asking anybody, and its node's
        enableEncryption does not matter.
        """
        self.low.external, self.low.encryption = True, False
        self.broker.advance(HEARTBEAT)
        answer = self.ask().json()
        self.assertEqual((answer["serverPort"], answer["protocol"]), (7010, 0))
        self.assertEqual(self.low.asked, [])


class BurstTests(ManyNodesCase):
    """
    Many players between two heartbeats.
    """

    def ports(self, count: int) -> Counter[object]:
        return Counter(self.port(f"player{number}") for number in range(count))

    def test_spread(self) -> None:
        """
        They do not all go to the node that had the fewest users a second ago.
        """
        self.assertEqual(self.ports(60), {7010: 30, 7020: 20, 7030: 10})

    def test_forgotten(self) -> None:
        """
        What a node says counts again once it must know of them.
        """
        self.assertEqual(self.ports(30), {7010: 20, 7020: 10})
        self.broker.advance(RECENT + STEP)
        self.assertEqual(self.ports(5), {7010: 5})
        self.broker.advance(RECENT + STEP)
        self.port()
        self.assertEqual(self.choice._count, {self.low.address: 1})

    def test_bounded(self) -> None:
        """
        So many are counted, and no more.
        """
        self.patch(node_choice, "RECENT_MOST", 10)
        self.ports(50)
        self.assertEqual(len(self.choice._recent), 10)
        self.assertEqual(self.choice._count.total(), 10)


class SelectorTests(ManyNodesCase):
    """
    An application that chooses.
    """

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[tuple[str, list[int]]] = []

    def select(self, chooses: Callable[[Sequence[NodeInfo]], object]) -> None:
        def selector(server_type: str, nodes: list[NodeInfo]) -> Any:
            self.seen.append((server_type, sorted(node.ccu for node in nodes)))
            chosen = chooses(nodes)
            nodes.clear()
            return chosen

        self.choice.set_selector(selector)

    def busiest(self, nodes: Sequence[NodeInfo]) -> str:
        return max(nodes, key=lambda node: node.ccu).address

    def test_chooses(self) -> None:
        """
        It gets the type and the nodes of it that are ONLINE, and its choice counts.
        """
        self.middle.state = NodeState.TAKEN
        self.broker.advance(HEARTBEAT)
        self.select(self.busiest)
        self.assertEqual(self.port(), 7030)
        self.assertEqual(self.seen, [("TCP", [10, 30])])

    def test_again(self) -> None:
        """
        If its choice does not take the player, it is asked again with the others.
        """
        self.high.refuse("taken", "No.")
        self.middle.be_silent()
        self.select(self.busiest)
        self.assertEqual(self.wait(self.begin())[1].json()["serverPort"], 7010)
        self.assertEqual(self.seen, [("TCP", [10, 20, 30]), ("TCP", [10, 20]), ("TCP", [10])])

    def test_none(self) -> None:
        """
        None is 503, and nobody is asked; after a refusal, the refusal is the reason.
        """
        self.select(lambda nodes: None)
        self.assertRefused(self.ask(), "no_node", "No TCP server takes this player")
        self.assertEqual(self.low.asked + self.middle.asked + self.high.asked, [])
        self.high.refuse("full", "Full.")
        self.select(lambda nodes: self.high.address if len(nodes) == 3 else None)
        self.assertRefused(self.ask(), "full", "Full.")

    def test_no_candidates(self) -> None:
        """
        Without candidates it is not asked.
        """
        for node in (self.low, self.middle, self.high):
            node.state = NodeState.TAKEN
        self.broker.advance(HEARTBEAT)
        self.select(self.busiest)
        self.assertRefused(self.ask(), "no_node", "TAKEN")
        self.assertEqual(self.seen, [])

    def test_fails(self) -> None:
        """
        If it fails, the node with the fewest users is taken; the log says so once in
        a while, not for each player.
        """

        def fail(nodes: object) -> None:
            raise SelectorFault

        self.select(fail)
        for _ in range(5):
            self.assertEqual(self.port(), 7010)
        self.assertEqual(len(self.flushLoggedErrors(SelectorFault)), 1)
        self.broker.advance(PERIOD + STEP)
        self.assertEqual(self.port(), 7010)
        self.assertEqual(len(self.flushLoggedErrors(SelectorFault)), 1)

    def test_wrong_answer(self) -> None:
        """
        Neither does an answer that is none of them keep a player out.
        """
        for wrong in ("elsewhere", 7, self.low, True):
            self.select(lambda nodes, wrong=wrong: wrong)
            self.assertEqual(self.port(), 7010)

    def test_registration(self) -> None:
        """
        It is a function of two parameters that answers at once; the last one counts.
        """

        async def later(server_type: str, nodes: list[NodeInfo]) -> str | None:
            return None

        server = Server(self.front.clock)
        wrong: Any
        for wrong, text in (
            (None, "cannot be called"),
            (later, "not be async"),
            (lambda nodes: None, "test_endpoint_nodes.py"),
        ):
            error = self.assertRaises(RegistrationError, server.set_custom_node_selector, wrong)
            self.assertIn(text, str(error))
        server.set_custom_node_selector(lambda server_type, nodes: None)


class WholeServerTests(SynchronousTestCase):
    """
    C{server.set_custom_node_selector}.
    """

    def test_selector(self) -> None:
        """
        It chooses for the endpoint API of its server, where it sees this node too.
        """
        reactor = MemoryReactorClock()
        server = Server(reactor, random_bytes=Random(1).randbytes)
        server.setup_as_tcp_server()
        server.setup_as_http_server()
        seen: list[str] = []

        def selector(server_type: str, nodes: list[NodeInfo]) -> str | None:
            seen.extend(node.address for node in nodes)
            return None

        server.set_custom_node_selector(selector)
        server.service().startService()
        [site] = [found[1] for found in reactor.tcpServers if isinstance(found[1], JsonSite)]
        connection = HttpConnection(site)
        connection.send(encode("GET", "/endpoint/type/TCP/user/alice"))
        self.assertEqual(connection.answer().status, 503)
        self.assertEqual(seen, [server.node_address])
