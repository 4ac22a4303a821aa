"""
Tests of L{diarkis_tw.http.endpoint}: what the state of the node, and its answer, make of it.
"""

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.config.settings import HttpSettings, NodeSettings
from diarkis_tw.core import users
from diarkis_tw.core.creation import CreateUser, UserCreation
from diarkis_tw.core.user import UserState
from diarkis_tw.errors import MeshError
from diarkis_tw.http.endpoint import PATIENCE
from tests.http.case import encode
from tests.http.endpoint_case import ALICE, EndpointCase


class NodeTests(EndpointCase):
    """
    Which node makes the user, and when none does.
    """

    def test_noNode(self) -> None:
        """
        A transport that no node serves is 503, not 404.
        """
        for kind in ("UDP", "WS"):
            answer = self.ask(f"/endpoint/type/{kind}/user/a")
            self.assertRefused(answer, 503, "no_node", kind)

    def test_states(self) -> None:
        """
        A node that is TAKEN or OFFLINE makes no user; ONLINE again, it does.
        """
        self.server.taken()
        self.assertRefused(self.ask(ALICE), 503, "no_node", "TAKEN")
        self.server.offline()
        self.assertRefused(self.ask(ALICE), 503, "no_node", "OFFLINE")
        self.server.online()
        self.made(self.ask(ALICE))
        self.assertEqual(self.sessions(), 1)

    def test_starting(self) -> None:
        """
        Before it is ready a node makes no user.
        """
        self.serve(start=False)
        ready: Deferred[None] = Deferred()
        self.server.on_ready(lambda: ready)
        self.start()
        self.assertRefused(self.ask(ALICE), 503, "no_node", "STARTING")
        ready.callback(None)
        self.made(self.ask(ALICE))

    def test_terminating(self) -> None:
        """
        A node on its way out makes no user.
        """
        self.made(self.ask(ALICE)).state = UserState.PENDING
        self.server.service().terminate()
        self.assertRefused(self.ask(ALICE), 503, "no_node")

    def test_customType(self) -> None:
        """
        A node with a type of its own is asked for by that word, exactly, and by nothing else.
        """
        self.serve(node=NodeSettings(type="Arena"))
        answer = self.ask("/endpoint/type/Arena/user/a")
        self.made(answer)
        self.assertEqual(answer.json()["serverType"], "Arena")
        self.assertEqual(answer.json()["transport"], "TCP")
        self.assertRefused(self.ask("/endpoint/type/arena/user/a"), 404, "unknown_type")
        self.assertRefused(self.ask(ALICE), 503, "no_node")

    def test_customTypeV1(self) -> None:
        """
        In the older form the key is the word asked for.
        """
        self.serve(node=NodeSettings(type="Arena"))
        answer = self.ask("/endpoint/type/Arena/user/a", headers={"ResponseVersion": "v1"})
        self.assertEqual(answer.json()["Arena"], "127.0.0.1:7200")
        self.assertEqual(answer.json()["transport"], "TCP")

    def test_tooManyPending(self) -> None:
        """
        A node full of unclaimed sessions answers 503 with a sentence.
        """
        self.patch_limit(3)
        for n in range(3):
            self.made(self.ask(f"/endpoint/type/TCP/user/{n}"))
        self.assertRefused(self.ask(ALICE), 503, "full", "again")
        self.made(self.ask("/endpoint/type/TCP/user/1"))

    def patch_limit(self, limit: int) -> None:
        """
        Lower the number of unclaimed sessions.
        """
        self.patch(users, "PENDING_LIMIT", limit)


class MeshTests(EndpointCase):
    """
    What comes back from the node that was asked.
    """

    def answer_with(self, result: object) -> None:
        """
        Have the node answer requests for users with something else.
        """
        mesh = self.server._mesh
        del mesh._handlers[CreateUser]

        def handle(request: CreateUser) -> msgspec.Struct:
            if isinstance(result, Exception):
                raise result
            return result  # type: ignore[return-value]

        mesh.handle(CreateUser, handle)

    def test_encryptionMismatch(self) -> None:
        """
        A node whose enableEncryption is another refuses, and the sentence says what to do.
        """
        mesh = self.server._mesh
        del mesh._handlers[CreateUser]
        UserCreation(mesh, self.server._node, self.server.users, False)
        answer = self.ask(ALICE)
        self.assertRefused(answer, 503, "encryption", "enableEncryption", "off", "on")
        self.assertEqual(self.sessions(), 0)

    def test_noAnswer(self) -> None:
        """
        A node that does not answer within the timeout is 503, and within 2 s
        whatever the timeout is.
        """
        for timeout, late in ((1, 1.0), (2, PATIENCE), (3600, PATIENCE)):
            self.serve(HttpSettings(timeout=timeout))
            silent: Deferred[object] = Deferred()
            self.answer_with(silent)
            connection = self.connect()
            connection.send(encode("GET", ALICE))
            self.reactor.advance(late - 0.05)
            self.assertEqual(connection.transport.value(), b"")
            self.reactor.advance(0.1)
            self.assertRefused(connection.answer(), 503, "no_answer", "again")
        self.assertLess(PATIENCE, 2)

    def test_unreachable(self) -> None:
        """
        A node that cannot be reached is 503.
        """
        self.answer_with(MeshError("gone"))
        self.assertRefused(self.ask(ALICE), 503, "no_answer")

    def test_failing(self) -> None:
        """
        A failure of the node itself is logged there and is 503 here, without details.
        """
        self.answer_with(ZeroDivisionError("secret details"))
        answer = self.ask(ALICE)
        self.assertRefused(answer, 503, "no_answer")
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_wrongAnswer(self) -> None:
        """
        An answer of another kind is 503.
        """
        self.answer_with(CreateUser("a", "TCP", {}, True))
        self.assertRefused(self.ask(ALICE), 503, "no_answer")

    def test_clientGone(self) -> None:
        """
        A client that hangs up before the answer harms nothing.
        """
        late: Deferred[object] = Deferred()
        self.answer_with(late)
        connection = self.connect()
        connection.send(encode("GET", ALICE))
        connection.transport.loseConnection()
        late.errback(MeshError("late"))
        self.assertEqual(connection.transport.value(), b"")
