"""
Tests of L{diarkis_tw.core.creation}.
"""

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.core.creation import (
    CreateUser,
    CreateUserReply,
    UserCreation,
    UserMade,
    UserRefused,
)
from diarkis_tw.core.user import UserState
from diarkis_tw.core.users import PENDING_LIMIT
from diarkis_tw.wire.keys import SessionKeys
from tests.core.fakes import CoreTestCase


class CreationTests(CoreTestCase):
    """
    A user made over the mesh.
    """

    def setUp(self) -> None:
        super().setUp()
        UserCreation(self.core.mesh, self.core.node, self.core.users, encryption=True)

    def ask(self, uid: str = "alice", *, encryption: bool = True) -> UserMade | UserRefused:
        request = CreateUser(uid, "TCP", {"level": 3}, encryption)
        asked: Deferred[CreateUserReply] = self.core.mesh.request(
            self.core.mesh.node_address, request, CreateUserReply
        )
        return self.successResultOf(asked).outcome

    def made(self, outcome: UserMade | UserRefused) -> UserMade:
        assert isinstance(outcome, UserMade), outcome
        return outcome

    def refused(self, outcome: UserMade | UserRefused) -> tuple[str, str]:
        assert isinstance(outcome, UserRefused), outcome
        return outcome.reason, outcome.message

    def test_made(self) -> None:
        """
        The answer holds the keys of the user who is now pending, and its time.
        """
        self.core.start()
        made = self.made(self.ask())
        user = self.core.users.find_sid(made.sid)
        assert user is not None
        self.assertEqual(
            user.keys,
            SessionKeys(made.sid, made.encryption_key, made.encryption_iv, made.encryption_mac_key),
        )
        self.assertEqual(made.expires_in, 30)
        self.assertIs(user.state, UserState.PENDING)
        self.assertEqual((user.uid, user.server_type, user.data), ("alice", "TCP", {"level": 3}))

    def test_secrets_are_not_shown(self) -> None:
        """
        No log can show the keys by accident.
        """
        self.core.start()
        self.assertEqual(
            repr(CreateUserReply(self.ask())), "CreateUserReply(outcome=UserMade(...))"
        )

    def test_states(self) -> None:
        """
        A node that takes no new users says which way.
        """
        self.assertEqual(self.refused(self.ask())[0], "offline")
        self.core.start()
        self.core.node.taken()
        self.assertEqual(self.refused(self.ask())[0], "taken")
        self.core.node.offline()
        self.assertEqual(self.refused(self.ask())[0], "offline")
        self.core.node.online()
        self.made(self.ask())

    def test_full(self) -> None:
        """
        A node with too many pending users says so.
        """
        self.core.start()
        for number in range(PENDING_LIMIT):
            self.core.create(str(number))
        self.assertEqual(self.refused(self.ask())[0], "full")
        self.made(self.ask("0"))

    def test_encryption(self) -> None:
        """
        An HTTP server of the other kind is told what to set, whatever the state.
        """
        for step in (lambda: None, self.core.start, self.core.node.taken):
            step()
            reason, message = self.refused(self.ask(encryption=False))
            self.assertEqual(reason, "encryption")
            self.assertRegex(message, "on .* game server and off .* HTTP server")
        self.assertIsNone(self.core.users.find_uid("alice"))

    def test_travels(self) -> None:
        """
        Both outcomes survive the way between nodes.
        """
        self.core.start()
        for outcome in (self.ask(), self.ask(encryption=False)):
            reply = CreateUserReply(outcome)
            data = msgspec.msgpack.encode(reply)
            self.assertEqual(msgspec.msgpack.decode(data, type=CreateUserReply), reply)
