"""
Tests of L{diarkis_tw.modules.dm}.
"""

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.constants import ErrorCode, NodeState, Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.modules import dm as module
from diarkis_tw.modules.dm import DeliverDirect, Delivered, DirectMessages
from diarkis_tw.schema import dm as schema
from diarkis_tw.schema.command import AnyCommand, as_value
from diarkis_tw.schema.dm import DmCommand
from diarkis_tw.wire.value import decode_value, encode_value
from tests.core.fakes import CoreTestCase, FakeConnection


class DmCase(CoreTestCase):
    """
    Alice and Bob on a node with direct messages.
    """

    def setUp(self) -> None:
        super().setUp()
        self.dm = DirectMessages(self.core.users, self.core.mesh, self.core.registry)
        self.dm.expose_commands()
        self.core.start()
        self.alice, self.at_alice = self.core.connect("alice")
        self.bob, self.at_bob = self.core.connect("bob")

    def ask(
        self, client: FakeConnection, command: AnyCommand, request: msgspec.Struct
    ) -> tuple[Status, int, str]:
        """
        Status, code and sentence of the answer, which must come at once.
        """
        before = len(client.answers())
        client.command(encode_value(as_value(request)), 9, ver=1, cmd=command.cmd)
        [(_, status, payload)] = client.answers()[before:]
        error = decode_value(payload) if status is not Status.OK else {"code": 0, "message": ""}
        return status, int(str(error["code"])), str(error["message"])

    def news(self, client: FakeConnection) -> list[tuple[int, dict[str, object]]]:
        """
        Number and value of every push since this was last asked.
        """
        found = [(push.cmd, decode_value(push.payload)) for push in client.pushes()]
        client.sent.clear()
        return found


class SendTests(DmCase):
    """
    ver 1 cmd 701.
    """

    def test_delivered(self) -> None:
        """
        A message reaches the user it is for, with the name of the sender.
        """
        for message in (b"hello", {"text": "hello", "raw": b"\x00"}):
            status, _, _ = self.ask(
                self.at_alice, schema.SEND, schema.Direct(to="bob", message=message)
            )
            self.assertEqual(status, Status.OK)
            self.assertEqual(
                self.news(self.at_bob), [(DmCommand.SEND, {"from": "alice", "message": message})]
            )

    def test_not_here(self) -> None:
        """
        The sender learns that the other one is not here.
        """
        answer = self.ask(self.at_alice, schema.SEND, schema.Direct(to="zoe", message=b""))
        self.assertEqual(answer, (Status.BAD, ErrorCode.DM, "user zoe is not here"))

    def test_away(self) -> None:
        """
        A message waits for somebody who is away within the grace.
        """
        self.at_bob.drop()
        self.ask(self.at_alice, schema.SEND, schema.Direct(to="bob", message=b"later"))
        again = self.core.connection(self.bob)
        self.assertEqual(
            self.news(again), [(DmCommand.SEND, {"from": "alice", "message": b"later"})]
        )

    def test_reliability(self) -> None:
        """
        A message goes on as it came: reliably or not.
        """
        payload = encode_value({"to": "bob", "message": b""})
        for reliable in (True, False):
            self.at_bob.reliable.clear()
            self.at_alice.command(payload, ver=1, cmd=DmCommand.SEND, reliable=reliable)
            self.assertEqual(self.at_bob.reliable, [reliable])

    def test_full(self) -> None:
        """
        A receiver who cannot take it is said to be the reason.
        """
        self.at_bob.accepts = False
        status, code, message = self.ask(
            self.at_alice, schema.SEND, schema.Direct(to="bob", message=b"")
        )
        self.assertEqual((status, code), (Status.BAD, ErrorCode.DM))
        self.assertIn("cannot take", message)

    def test_garbage(self) -> None:
        """
        A payload of another shape is answered BAD.
        """
        for payload in (b"", b"\xc1", encode_value({"to": 1, "message": b""}), b"\x91" * 3000):
            self.at_alice.sent.clear()
            self.at_alice.command(payload, 9, ver=1, cmd=DmCommand.SEND)
            [(_, status, code, _)] = self.at_alice.errors()
            self.assertEqual((status, code), (Status.BAD, ErrorCode.INVALID_PARAMETERS))

    def test_server(self) -> None:
        """
        The server itself can send, as nobody.
        """
        self.successResultOf(Deferred.fromCoroutine(self.dm.send("bob", {"n": 1})))
        self.assertEqual(
            self.news(self.at_bob), [(DmCommand.SEND, {"from": "", "message": {"n": 1}})]
        )
        self.failureResultOf(Deferred.fromCoroutine(self.dm.send("zoe", b"")), CommandError)


class HookTests(DmCase):
    """
    What the application has a say in.
    """

    def send(self, message: bytes = b"secret") -> tuple[Status, int, str]:
        return self.ask(self.at_alice, schema.SEND, schema.Direct(to="bob", message=message))

    def test_rewrite(self) -> None:
        """
        A rewritten message is what arrives; None keeps it from leaving, silently.
        """

        def rewrite(sender: User, uid: str, message: object) -> object:
            assert isinstance(message, bytes)
            if message == b"swallow":
                return None
            if message == b"later":
                return succeed(b"came later")
            return b"%s to %s: %s" % (sender.uid.encode(), uid.encode(), message)

        self.dm.set_on_message(rewrite)
        for message in (b"swallow", b"later", b"hi"):
            self.assertEqual(self.send(message)[0], Status.OK)
        arrived = [value["message"] for _, value in self.news(self.at_bob)]
        self.assertEqual(arrived, [b"came later", b"alice to bob: hi"])

    def test_refuse(self) -> None:
        """
        The receiver's side may refuse, with a sentence of its own.
        """

        def receive(receiver: User, sender: str, message: object) -> bool:
            if message == b"rude":
                raise CommandError(1, "mind your words")
            return message == b"fine"

        self.dm.set_on_receive_message(receive)
        self.assertEqual(self.send(b"rude"), (Status.BAD, ErrorCode.DM, "mind your words"))
        self.assertEqual(self.send(b"other")[0], Status.BAD)
        self.assertEqual(self.send(b"fine")[0], Status.OK)
        self.assertEqual(len(self.news(self.at_bob)), 1)


class PeerTests(DmCase):
    """
    Hearing that somebody leaves.
    """

    def connect(self, to: str = "bob") -> tuple[Status, int, str]:
        return self.ask(self.at_alice, schema.CONNECT, schema.Peer(to=to))

    def test_left(self) -> None:
        """
        Who has connected hears when the other one leaves, either way round, once.
        """
        self.assertEqual(self.connect()[0], Status.OK)
        self.assertEqual(self.news(self.at_bob), [(DmCommand.CONNECT, {"from": "alice"})])
        self.bob.disconnect()
        self.assertEqual(self.news(self.at_alice), [(DmCommand.DISCONNECT, {"from": "bob"})])
        bob, at_bob = self.core.connect("bob")
        self.connect()
        at_bob.sent.clear()
        self.alice.disconnect()
        self.assertEqual(self.news(at_bob), [(DmCommand.DISCONNECT, {"from": "alice"})])
        bob.disconnect()
        self.assertEqual(self.dm._peers, {})

    def test_disconnect(self) -> None:
        """
        Who disconnects says so to the other one, and neither hears more.
        """
        self.connect()
        self.at_bob.sent.clear()
        self.ask(self.at_alice, schema.DISCONNECT, schema.Peer(to="bob"))
        self.assertEqual(self.news(self.at_bob), [(DmCommand.DISCONNECT, {"from": "alice"})])
        self.bob.disconnect()
        self.assertEqual(self.news(self.at_alice), [])

    def test_refused(self) -> None:
        """
        Connecting with nobody, oneself, or too many is refused and leaves nothing.
        """
        self.assertEqual(self.connect("zoe")[1], ErrorCode.DM)
        self.assertEqual(self.connect("alice")[1], ErrorCode.DM)
        self.assertEqual(self.dm._peers, {})
        for number in range(module.PEERS_MAX):
            self.core.connect(f"u{number}")
            self.assertEqual(self.connect(f"u{number}")[0], Status.OK)
        self.assertEqual(self.connect("bob")[1], ErrorCode.DM)


class OtherNodeMesh(LocalMesh):
    """
    A mesh with another node, where only carol is.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.asked: list[DeliverDirect] = []

    def nodes(self) -> list[NodeInfo]:
        return [NodeInfo("local", NodeState.ONLINE), NodeInfo("other", NodeState.ONLINE)]

    def request(self, node_address, message, reply, timeout=5.0):  # type: ignore[no-untyped-def,override]
        self.asked.append(message)
        return succeed(Delivered(found=message.to == "carol"))


class OtherNodeTests(CoreTestCase):
    """
    A receiver on another node.
    """

    def test_request(self) -> None:
        """
        Who is not here is looked for on the other nodes.
        """
        mesh = OtherNodeMesh(self.core.clock)
        dm = DirectMessages(self.core.users, mesh, self.core.registry)
        self.core.start()
        self.successResultOf(Deferred.fromCoroutine(dm.send("carol", b"hi")))
        self.assertEqual([message.to for message in mesh.asked], ["carol"])
        self.failureResultOf(Deferred.fromCoroutine(dm.send("zoe", b"hi")), CommandError)
