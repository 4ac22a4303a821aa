"""
Tests of L{diarkis_tw.modules.mesh_commands}.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError, MeshError, RegistrationError
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT, REQUEST_TIMEOUT_MOST, Mesh
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.modules.mesh_commands import MESSAGE_MAX, MeshCommand, MeshCommands
from diarkis_tw.server import Server
from tests.mesh.fake_broker import FakeBroker, FakeNode

SCORE, OTHER = 10_001, 10_002


class Score(msgspec.Struct):
    """
    A message of an application.
    """

    name: str
    points: int = 0


class Rank(msgspec.Struct, frozen=True):
    """
    Its answer.
    """

    rank: int


class HandlerFault(Exception):
    """
    A bug of the application.
    """


class MeshCommandsCase(SynchronousTestCase):
    """
    Three nodes; each notes what comes to it as SCORE, and answers with a L{Rank}.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.nodes: list[FakeNode] = [self.broker.node() for _ in range(3)]
        self.got: dict[str, list[object]] = {}
        self.all = [self.commands(node.mesh) for node in self.nodes]
        self.a, self.b, self.c = self.all
        self.broker.join(*self.nodes)

    def commands(self, mesh: Mesh) -> MeshCommands:
        commands = MeshCommands(mesh)
        got = self.got.setdefault(mesh.node_address, [])

        def handler(score: Score) -> Rank:
            got.append(score)
            return Rank(score.points)

        commands.handle(SCORE, handler, Score)
        return commands

    def ask(self, to: MeshCommands, message: Any = b"", **how: Any) -> "Deferred[Any]":
        cmd = how.pop("cmd", OTHER)
        asked = self.a.request(to.node_address, cmd, message, **how)
        self.broker.settle()
        return asked

    def error(self, asked: "Deferred[Any]") -> str:
        return str(self.failureResultOf(asked, MeshError).value)


class RequestTests(MeshCommandsCase):
    """
    Requests.
    """

    def test_struct(self) -> None:
        """
        The handler gets the struct, and who asks gets the one that it returns; from
        another node and from this one alike.
        """
        for to in (self.b, self.a):
            asked = self.ask(to, Score("ann", 7), cmd=SCORE, reply=Rank)
            self.assertEqual(self.successResultOf(asked), Rank(7))
            self.assertEqual(self.got[to.node_address], [Score("ann", 7)])

    def test_kinds(self) -> None:
        """
        Messages and answers are bytes, mappings or nothing as well.
        """
        for kind, message in (
            (bytes, b"\xff\x00"),
            (bytes, b""),
            (dict, {"name": "ann", "list": [1, {"b": b"x"}]}),
            (dict, {}),
        ):
            to = self.commands(self.join())
            got: list[object] = []

            def handler(message: Any, got: list[object] = got) -> Any:
                got.append(message)
                return message

            to.handle(OTHER, handler, kind)
            self.assertEqual(self.successResultOf(self.ask(to, message, reply=kind)), message)
            self.assertEqual(got, [message])
            self.assertIsNone(self.successResultOf(self.ask(to, message)))

    def join(self) -> Mesh:
        node = self.broker.node()
        self.broker.join(node)
        return node.mesh

    def test_a_copy(self) -> None:
        """
        On its own node a handler gets a copy as well, as from another one.
        """
        score = Score("ann", 7)
        self.a.send(self.a.node_address, SCORE, score)
        score.points = 8
        self.assertEqual(self.got[self.a.node_address], [Score("ann", 7)])

    def test_asynchronous(self) -> None:
        """
        A handler may be async, or return a Deferred.
        """

        async def coroutine(message: bytes) -> bytes:
            return await succeed(message + b"!")

        self.b.handle(OTHER, coroutine, bytes)
        asked = self.ask(self.b, b"hello", reply=bytes)
        self.assertEqual(self.successResultOf(asked), b"hello!")
        later: Deferred[bytes] = Deferred()
        self.c.handle(OTHER, lambda message: later, bytes)
        asked = self.ask(self.c, reply=bytes)
        self.assertNoResult(asked)
        later.callback(b"done")
        self.broker.settle()
        self.assertEqual(self.successResultOf(asked), b"done")

    def test_no_node(self) -> None:
        """
        An address that is none is an error that says so.
        """
        asked = self.a.request("nowhere", SCORE, Score("ann"), reply=Rank)
        self.assertEqual(self.error(asked), "mesh command 10001: no node nowhere")

    def test_no_handler(self) -> None:
        """
        So is a node without a handler for the command.
        """
        for to in (self.b, self.a):
            self.assertEqual(
                self.error(self.ask(to)),
                f"mesh command 10002: node {to.node_address} has no handler for it",
            )
            self.assertEqual(to.unhandled, 0)

    def test_other_type(self) -> None:
        """
        What is not what the handler takes does not reach it.
        """
        for wrong in (b"", b"\xc1", {"name": 7}, {}, Rank(1)):
            self.assertEqual(
                self.error(self.ask(self.b, wrong, cmd=SCORE)),
                f"mesh command 10001: node {self.b.node_address} takes another type of message",
            )
        self.assertEqual(self.got[self.b.node_address], [])

    def test_other_answer(self) -> None:
        """
        An answer that is not what was asked for is an error; so is none.
        """
        asked = self.ask(self.b, Score("ann"), cmd=SCORE, reply=Score)
        self.assertIn("answered with something else, not Score", self.error(asked))
        self.b.handle(OTHER, lambda message: None, bytes)
        asked = self.ask(self.b, reply=Rank)
        self.assertIn("answered with nothing, not Rank", self.error(asked))

    def test_failure(self) -> None:
        """
        A handler that fails is in the log of its node; who asks learns nothing but
        that.
        """

        def fail(message: bytes) -> bytes:
            raise HandlerFault("the password is swordfish")

        async def fail_later(message: bytes) -> bytes:
            raise MeshError("the password is swordfish")

        self.a.handle(OTHER, fail, bytes)
        self.b.handle(OTHER, fail, bytes)
        self.c.handle(OTHER, fail_later, bytes)
        for to, error in ((self.a, HandlerFault), (self.b, HandlerFault), (self.c, MeshError)):
            self.assertEqual(
                self.error(self.ask(to)),
                f"mesh command 10002: its handler on node {to.node_address} failed",
            )
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_exits(self) -> None:
        """
        C{sys.exit} in a handler is a failure like any.
        """

        def leave(message: bytes) -> None:
            raise SystemExit(1)

        self.b.handle(OTHER, leave, bytes)
        self.assertIn("failed", self.error(self.ask(self.b)))
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_no_answer_of_its_kind(self) -> None:
        """
        A handler that returns what is no message, or too much, has failed.
        """
        wrong: Any
        for cmd, wrong in enumerate((7, "text", {"a": object()}, b"x" * MESSAGE_MAX), OTHER):
            self.b.handle(cmd, lambda message, wrong=wrong: wrong, bytes)
            self.assertIn("failed", self.error(self.ask(self.b, cmd=cmd, reply=bytes)))
            self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_late(self) -> None:
        """
        After the time-out the answer is given up, 5 s unless said otherwise.
        """
        self.b.handle(OTHER, lambda message: Deferred(), bytes)
        for how, timeout in (({}, REQUEST_TIMEOUT), ({"timeout": 0.5}, 0.5)):
            asked = self.ask(self.b, **how)
            self.broker.advance(timeout - 0.1)
            self.assertNoResult(asked)
            self.broker.advance(0.15)
            self.assertEqual(
                self.error(asked),
                f"mesh command 10002: no answer from {self.b.node_address} in {timeout:g} s",
            )

    def test_long(self) -> None:
        """
        Who asks for long gets an answer that takes long.
        """
        later: Deferred[bytes] = Deferred()
        self.b.handle(OTHER, lambda message: later, bytes)
        asked = self.ask(self.b, reply=bytes, timeout=REQUEST_TIMEOUT_MOST)
        self.broker.advance(REQUEST_TIMEOUT_MOST - 1)
        later.callback(b"done")
        self.broker.settle()
        self.assertEqual(self.successResultOf(asked), b"done")

    def test_cancelled(self) -> None:
        """
        A handler that takes longer than anybody waits is cancelled, silently.
        """
        cancelled: list[object] = []
        for to in (self.a, self.b):
            later: Deferred[bytes] = Deferred(cancelled.append)

            async def handler(message: bytes, later: "Deferred[bytes]" = later) -> bytes:
                return await later

            to.handle(OTHER, handler, bytes)
            asked = self.ask(to)
            self.broker.advance(REQUEST_TIMEOUT + 0.1)
            self.assertIn("no answer", self.error(asked))
        self.broker.advance(REQUEST_TIMEOUT_MOST)
        self.assertEqual(len(cancelled), 2)

    def test_gone(self) -> None:
        """
        A node that leaves fails what it was asked.
        """
        self.b.handle(OTHER, lambda message: Deferred(), bytes)
        asked = self.ask(self.b)
        self.nodes[1].mesh.leave()
        self.broker.settle()
        self.assertIn(f"node {self.b.node_address} is gone", self.error(asked))

    def test_size(self) -> None:
        """
        The largest message and the largest answer arrive, one byte more is refused
        before anything is sent.
        """
        frame = len(msgspec.msgpack.encode(b"x" * 100_000)) - 100_000
        largest = b"x" * (MESSAGE_MAX - frame)
        self.b.handle(OTHER, lambda message: message, bytes)
        self.assertEqual(self.successResultOf(self.ask(self.b, largest, reply=bytes)), largest)
        sent = len(self.broker.frames)
        for call in (
            lambda: self.a.request(self.b.node_address, OTHER, largest + b"x"),
            lambda: self.a.send(self.b.node_address, OTHER, largest + b"x"),
            lambda: self.a.broadcast(OTHER, largest + b"x"),
        ):
            error = self.assertRaises(LocalProtocolError, call)
            self.assertIn(f"it has {MESSAGE_MAX + 1} bytes; {MESSAGE_MAX} is the most", str(error))
        self.assertEqual(len(self.broker.frames), sent)

    def test_not_allowed(self) -> None:
        """
        What cannot be asked is refused at once.
        """
        address = self.b.node_address
        wrong: list[tuple[Callable[[Any], object], Any, str]] = [
            (lambda cmd: self.a.request(address, cmd), 10_000, "10001 to 65535"),
            (lambda cmd: self.a.request(address, cmd), 65_536, "10001 to 65535"),
            (lambda cmd: self.a.send(address, cmd), True, "10001 to 65535"),
            (lambda cmd: self.a.broadcast(cmd), "10001", "10001 to 65535"),
            (lambda to: self.a.send(to, OTHER), None, "a node address is text"),
            (lambda message: self.a.broadcast(OTHER, message), "text", "not str"),
            (lambda message: self.a.broadcast(OTHER, message), None, "not NoneType"),
            (lambda message: self.a.broadcast(OTHER, message), {"a": object()}, "encoded"),
            (lambda reply: self.a.request(address, OTHER, reply=reply), str, "reply is a"),
            (lambda reply: self.a.request(address, OTHER, reply=reply), b"", "reply is a"),
        ]
        for timeout in (0, -1, REQUEST_TIMEOUT_MOST + 1, float("nan"), "5", None, True):
            wrong.append((lambda t: self.a.request(address, OTHER, timeout=t), timeout, "timeout"))
        for call, value, text in wrong:
            error = self.assertRaises(LocalProtocolError, call, value)
            self.assertIn(text, str(error))


class MessageTests(MeshCommandsCase):
    """
    Messages without answers.
    """

    def test_send(self) -> None:
        """
        One node gets it.
        """
        self.a.send(self.b.node_address, SCORE, Score("ann", 7))
        self.broker.settle()
        self.assertEqual(self.got[self.b.node_address], [Score("ann", 7)])
        self.assertEqual(self.got[self.a.node_address] + self.got[self.c.node_address], [])

    def test_send_nowhere(self) -> None:
        """
        To nobody is no error.
        """
        self.a.send("nowhere", SCORE, Score("ann"))

    def test_broadcast(self) -> None:
        """
        All other nodes get it, this one does not.
        """
        self.a.broadcast(SCORE, Score("ann", 7))
        self.broker.settle()
        for to in (self.b, self.c):
            self.assertEqual(self.got[to.node_address], [Score("ann", 7)])
        self.assertEqual(self.got[self.a.node_address], [])

    def test_counted(self) -> None:
        """
        What nobody handles and what cannot be read is counted, not logged.
        """
        self.a.send(self.b.node_address, OTHER)
        self.a.send(self.b.node_address, SCORE, {"name": 7})
        self.a.broadcast(SCORE, b"")
        self.broker.settle()
        self.assertEqual((self.b.unhandled, self.b.malformed), (1, 2))
        self.assertEqual((self.c.unhandled, self.c.malformed), (0, 1))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_failure(self) -> None:
        """
        A handler that fails is in the log of its node, and the next message comes to it.
        """

        def fail(message: bytes) -> None:
            raise HandlerFault

        self.b.handle(OTHER, fail, bytes)
        for _ in range(2):
            self.a.send(self.b.node_address, OTHER)
            self.broker.settle()
            self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_answer(self) -> None:
        """
        What a handler returns when nobody asked does not matter.
        """
        self.b.handle(OTHER, lambda message: 7, bytes)  # type: ignore[arg-type,return-value]
        self.a.send(self.b.node_address, OTHER)
        self.broker.settle()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_strangers(self) -> None:
        """
        A command with another number from a node of another make is no harm.
        """
        for cmd in (-1, 0, 70_000):
            self.nodes[0].mesh.broadcast(MeshCommand(cmd, b"", False))
        self.broker.settle()
        self.assertEqual(self.b.unhandled, 3)


class HandleTests(MeshCommandsCase):
    """
    Registration.
    """

    def test_nodes(self) -> None:
        """
        C{nodes} are all that live, this one too, and asking costs no traffic.
        """
        sent = len(self.broker.frames)
        addresses = {commands.node_address for commands in self.all}
        self.assertEqual({node.address for node in self.a.nodes()}, addresses)
        self.assertEqual(len(self.broker.frames), sent)

    def test_bounds(self) -> None:
        """
        Commands of applications are 10001 to 65535.
        """
        for cmd in (10_003, 65_535):
            self.a.handle(cmd, lambda message: None, bytes)
        wrong: Any
        for wrong in (-1, 0, 10_000, 65_536, 10_001.0, "10001", None, True):
            error = self.assertRaises(
                RegistrationError, self.a.handle, wrong, lambda message: None, bytes
            )
            self.assertIn("10001 to 65535", str(error))

    def test_twice(self) -> None:
        """
        One handler a command; the error says where the first one is.
        """
        error = self.assertRaises(RegistrationError, self.a.handle, SCORE, print, bytes)
        self.assertIn("test_mesh_commands.py", str(error))

    def test_wrong(self) -> None:
        """
        A handler is a function of one parameter, a type one that messages have.
        """
        wrong: Any
        for wrong in (None, 7, lambda: None, lambda a, b: None):
            error = self.assertRaises(RegistrationError, self.a.handle, OTHER, wrong, bytes)
            self.assertIn("must be a function of 1 parameter", str(error))
        for wrong in (None, str, int, list, msgspec.Struct(), b"", dict[str, int], Clock):
            error = self.assertRaises(
                RegistrationError, self.a.handle, OTHER, lambda message: None, wrong
            )
            self.assertIn("type is a subclass of msgspec.Struct, dict or bytes", str(error))

    def test_too_late(self) -> None:
        """
        After the start it is refused.
        """
        self.a.freeze()
        error = self.assertRaises(
            RegistrationError, self.a.handle, OTHER, lambda message: None, bytes
        )
        self.assertIn("too late", str(error))


class OneProcessTests(SynchronousTestCase):
    """
    A server on its own.
    """

    def test_server(self) -> None:
        """
        It is the only node of its mesh, and what it asks itself it answers.
        """
        reactor = MemoryReactorClock()
        server = Server(reactor)
        server.setup_as_tcp_server()
        server.mesh.handle(SCORE, lambda score: Rank(score.points), Score)
        service = server.service()
        service.startService()
        self.assertEqual(server.mesh.node_address, server.node_address)
        self.assertEqual([node.address for node in server.mesh.nodes()], [server.node_address])
        asked = server.mesh.request(server.node_address, SCORE, Score("ann", 7), reply=Rank)
        self.assertEqual(self.successResultOf(asked), Rank(7))
        server.mesh.broadcast(SCORE, Score("ann", 7))
        self.assertRaises(RegistrationError, server.mesh.handle, OTHER, lambda message: None, bytes)
        service.stopService()
        reactor.advance(5)

    def test_nobody_else(self) -> None:
        """
        There are no other nodes.
        """
        commands = MeshCommands(LocalMesh(Clock()))
        asked = commands.request("elsewhere", SCORE)
        error = self.failureResultOf(asked, MeshError)
        self.assertEqual(str(error.value), "mesh command 10001: no node elsewhere")
