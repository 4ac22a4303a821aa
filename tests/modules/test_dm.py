"""
Tests of L{diarkis_tw.modules.dm}.
"""

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.elsewhere import QUESTIONS_MAX, SEARCH_TIMEOUT, SEARCHES_MAX
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT
from diarkis_tw.modules import dm as module
from diarkis_tw.modules.dm import DirectMessages
from diarkis_tw.schema import dm as schema
from diarkis_tw.schema.command import AnyCommand, as_value
from diarkis_tw.schema.dm import DmCommand
from diarkis_tw.wire.value import decode_value, encode_value
from tests.core.fakes import CoreNode, CoreTestCase, FakeConnection
from tests.mesh.fake_broker import FakeBroker, FakeNode


class DmCase(CoreTestCase):
    """
    Alice and Bob on a node with direct messages.
    """

    def setUp(self) -> None:
        super().setUp()
        self.dm = DirectMessages(
            self.core.clock, self.core.users, self.core.mesh, self.core.registry
        )
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

    def test_not_to_be_sent(self) -> None:
        """
        What the receiver's transport cannot carry is refused with the reason.
        """
        sent = Deferred.fromCoroutine(self.dm.send("bob", {"n": 2**70}))
        failure = self.failureResultOf(sent, CommandError)
        self.assertIn("cannot be sent to user bob", str(failure.value))


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

    def test_never_decided(self) -> None:
        """
        A hook that never ends costs the message, not the sender.
        """
        hooks = (self.dm.set_on_message, self.dm.set_on_receive_message)
        for number, set_hook in enumerate(hooks):
            set_hook(lambda *args: Deferred())
            self.at_alice.command(
                encode_value({"to": "bob", "message": b""}), 9, ver=1, cmd=DmCommand.SEND
            )
            self.assertEqual(len(self.at_alice.answers()), number)
            self.core.clock.advance(module.HOOK_PATIENCE)
            self.assertEqual(self.at_alice.errors()[-1][1:3], (Status.BAD, ErrorCode.DM))
            set_hook(None)
        self.assertEqual(self.news(self.at_bob), [])


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

    def test_strangers(self) -> None:
        """
        Any number of others may connect with a user, who can still connect with whom it
        wants; when it leaves, those hear of it, and the latest of the others.
        """
        strangers = [self.core.connect(f"u{n}") for n in range(module.PEERS_MAX + 1)]
        self.assertEqual(self.connect()[0], Status.OK)
        for _, client in strangers:
            answer = self.ask(client, schema.CONNECT, schema.Peer(to="alice"))
            self.assertEqual(answer[0], Status.OK)
        clients = [self.at_bob, strangers[0][1], strangers[-1][1]]
        for client in clients:
            client.sent.clear()
        self.alice.disconnect()
        self.assertEqual([len(self.news(client)) for client in clients], [1, 0, 1])


class OtherNodesTests(SynchronousTestCase):
    """
    A receiver on another node.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.nodes = [self.node() for _ in range(3)]
        self.broker.advance(1.5)

    def node(self) -> tuple[CoreNode, DirectMessages, FakeNode]:
        fake = self.broker.node()
        core = CoreNode(clock=fake.clock, mesh=fake.mesh, random_bytes=self.broker.random_bytes)
        dm = DirectMessages(core.clock, core.users, core.mesh, core.registry)
        self.broker.join(fake)
        core.start()
        return core, dm, fake

    def connect(self, node: int, uid: str) -> FakeConnection:
        _, client = self.nodes[node][0].connect(uid, 1000.0)
        self.broker.settle()
        return client

    def send(self, uid: str, message: bytes = b"hi") -> Deferred[None]:
        sent = Deferred.fromCoroutine(self.nodes[0][1].send(uid, message))
        self.broker.settle()
        return sent

    def frames(self, uid: str) -> int:
        """
        How many frames sending to somebody takes; it must arrive.
        """
        before = len(self.broker.frames)
        self.successResultOf(self.send(uid))
        return len(self.broker.frames) - before

    def forget(self, uid: str) -> None:
        self.nodes[0][0].users.elsewhere.directory.forget(uid)

    def test_where_it_came_last(self) -> None:
        """
        The node to which a user has come last is asked, and no other.
        """
        for node in (1, 2, 1):
            client = self.connect(node, "carol")
            self.assertEqual(self.frames("carol"), 2)
            self.assertEqual(len(client.pushes()), 1)

    def test_not_known(self) -> None:
        """
        If nothing is known of it, all are asked at once where it is, which is kept.
        """
        client = self.connect(2, "carol")
        self.forget("carol")
        self.assertEqual(self.frames("carol"), 2 * 2 + 2)
        self.assertEqual(self.frames("carol"), 2)
        self.assertEqual(len(client.pushes()), 2)

    def test_not_there_any_more(self) -> None:
        """
        Who is not where it was thought to be is looked for, and found where it is.
        """
        client = self.connect(2, "carol")
        directory = self.nodes[0][0].users.elsewhere.directory
        directory.put("carol", self.nodes[1][2].address)
        self.assertEqual(self.frames("carol"), 2 + 2 * 2 + 2)
        self.assertEqual(len(client.pushes()), 1)
        directory.put("carol", "gone")
        self.assertEqual(self.frames("carol"), 2 * 2 + 2)

    def test_no_answer(self) -> None:
        """
        A message that a node has not answered for is refused, and arrives once at most.
        """
        client = self.connect(2, "carol")
        self.nodes[2][2].frozen = True
        sent = self.send("carol")
        for _ in range(8):
            self.broker.advance(REQUEST_TIMEOUT / 8 + 0.01)
        self.failureResultOf(sent, CommandError)
        self.assertEqual(self.nodes[0][1].unanswered, 1)
        self.nodes[2][2].frozen = False
        self.broker.advance(1)
        self.assertLessEqual(len(client.pushes()), 1)

    def test_nowhere(self) -> None:
        """
        Who is nowhere is refused, within a second even if a node does not answer, and
        is not remembered.
        """
        self.connect(1, "zoe")
        self.nodes[1][0].users.find_uid("zoe").disconnect()  # type: ignore[union-attr]
        failure = self.failureResultOf(self.send("zoe"), CommandError)
        self.assertIn("zoe is not here", str(failure.value))
        self.assertIsNone(self.nodes[0][0].users.elsewhere.directory.find("zoe"))
        self.nodes[1][2].killed = True
        sent = self.send("zoe")
        self.assertNoResult(sent)
        self.broker.advance(SEARCH_TIMEOUT + 0.1)
        self.failureResultOf(sent, CommandError)

    def test_somebody_does_not_answer(self) -> None:
        """
        Who is found is not kept waiting for nodes that do not answer.
        """
        client = self.connect(2, "carol")
        self.forget("carol")
        self.nodes[1][2].frozen = True
        self.successResultOf(self.send("carol"))
        self.assertEqual(len(client.pushes()), 1)
        self.broker.advance(SEARCH_TIMEOUT + 0.1)
        self.assertEqual(self.nodes[0][0].users.elsewhere._searches, 0)

    def test_searches_are_bounded(self) -> None:
        """
        So many users are searched for at a time; further messages are refused, and
        when there is an answer there is room again.
        """
        for _, _, fake in self.nodes[1:]:
            fake.frozen = True
        waiting = [self.send(f"user{number}") for number in range(SEARCHES_MAX)]
        failure = self.failureResultOf(self.send("carol"), CommandError)
        self.assertIn("searched for already", str(failure.value))
        self.broker.advance(SEARCH_TIMEOUT + 0.1)
        for sent in waiting:
            self.failureResultOf(sent, CommandError)
        self.assertNoResult(again := self.send("carol"))
        self.broker.advance(SEARCH_TIMEOUT + 0.1)
        self.failureResultOf(again, CommandError)

    def test_questions_are_bounded(self) -> None:
        """
        So many nodes are asked within a second, or a client who sends to uids that
        nobody has would keep all busy; the next second there are more, and who is known
        to be somewhere is not searched for.
        """
        client = self.connect(1, "carol")
        elsewhere = self.nodes[0][0].users.elsewhere
        elsewhere._second = self.nodes[0][2].mesh.time() // 1_000_000
        elsewhere._questions = QUESTIONS_MAX - 2
        self.assertIn("zoe is not here", str(self.failureResultOf(self.send("zoe")).value))
        self.broker.frames.clear()
        failure = self.failureResultOf(self.send("zoe"), CommandError)
        self.assertIn("within a second", str(failure.value))
        self.assertEqual(self.broker.frames, [])
        self.successResultOf(self.send("carol"))
        self.assertEqual(len(client.pushes()), 1)
        self.broker.advance(1)
        self.assertIn("zoe is not here", str(self.failureResultOf(self.send("zoe")).value))

    def test_sender_leaves(self) -> None:
        """
        A search for nobody any more counts no longer.
        """
        sent = self.send("zoe")
        self.failureResultOf(sent, CommandError)
        self.nodes[1][2].frozen = True
        sent = self.send("zoe")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertEqual(self.nodes[0][0].users.elsewhere._searches, 0)
        self.broker.advance(SEARCH_TIMEOUT + 0.1)
        self.assertEqual(self.nodes[0][0].users.elsewhere._searches, 0)

    def test_refusal(self) -> None:
        """
        A refusal on the other node is the sender's answer.
        """
        self.nodes[1][1].set_on_receive_message(lambda user, sender, message: False)
        self.connect(1, "carol")
        failure = self.failureResultOf(self.send("carol"), CommandError)
        self.assertIn("does not take", str(failure.value))
