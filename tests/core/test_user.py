"""
Tests of L{diarkis_tw.core.user}: what a user's messages become.
"""

from diarkis_tw.constants import Status
from diarkis_tw.core.user import WAITING_BYTES, WAITING_LIMIT, UserState
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.message import Push
from tests.core.fakes import CoreNode, CoreTestCase


class SendTests(CoreTestCase):
    """
    Messages to a user.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.user, self.client = self.core.connect()

    def test_push(self) -> None:
        """
        A push is sent as it is, reliably unless said otherwise.
        """
        self.assertTrue(self.user.server_push(2, 11, b"one"))
        self.assertTrue(self.user.server_push(2, 11, {"hp": 3}, reliable=False))
        self.assertEqual(self.client.sent, [Push(2, 11, b"one"), Push(2, 11, b"\x81\xa2hp\x03")])
        self.assertEqual(self.client.reliable, [True, False])

    def test_refused(self) -> None:
        """
        What the connection does not take is False.
        """
        self.client.accepts = False
        self.assertFalse(self.user.server_push(2, 11, b"one"))
        self.assertFalse(self.user.server_respond(b"one", 2, 10))

    def test_wrong(self) -> None:
        """
        A message that cannot be written is its author's fault.
        """
        self.assertRaises(LocalProtocolError, self.user.server_push, 2, 65536)
        self.assertRaises(LocalProtocolError, self.user.server_push, 2, 11, {"a": object()})

    def test_gone(self) -> None:
        """
        Messages to a user who has left go nowhere.
        """
        self.user.disconnect()
        self.assertFalse(self.user.server_push(2, 11, b"one"))
        self.assertEqual(self.client.sent, [])
        self.assertEqual((self.user.address, self.user.transport), (None, None))

    def test_repr(self) -> None:
        """
        The log shows uid and state, no secrets.
        """
        self.assertEqual(repr(self.user), "<User alice CONNECTED>")


class AwayTests(CoreTestCase):
    """
    A user between two connections.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.user, self.client = self.core.connect()
        self.user.data["gold"] = 5
        self.client.drop()

    def test_away(self) -> None:
        """
        Without its connection the user stays, with data, and counts.
        """
        self.assertIs(self.user.state, UserState.AWAY)
        self.assertIsNone(self.user.connection)
        self.assertIs(self.core.users.find_uid("alice"), self.user)
        self.assertIs(self.core.users.find_sid(self.user.keys.sid), self.user)
        self.assertEqual((self.core.users.ccu(), self.core.left), (1, []))

    def test_resumed(self) -> None:
        """
        The same session goes on over another connection.
        """
        again = self.core.connection(self.user)
        self.assertIs(self.user.state, UserState.CONNECTED)
        self.assertIs(self.user.connection, again)
        self.assertEqual(self.user.data, {"gold": 5})
        self.core.pass_time(20, again)
        self.assertIs(self.user.state, UserState.CONNECTED)
        self.assertEqual((again.closed, self.core.left), ([], []))

    def test_reliable_waits(self) -> None:
        """
        Reliable messages wait, and are sent in order when the user is back; once.
        """
        self.assertTrue(self.user.server_push(2, 11, b"one"))
        self.assertTrue(self.user.server_respond(b"two", 2, 10, Status.BAD))
        again = self.core.connection(self.user)
        self.user.server_push(2, 11, b"three")
        self.assertEqual([m.payload for m in again.sent], [b"one", b"two", b"three"])
        self.assertEqual(again.reliable, [True] * 3)
        again.drop()
        self.assertEqual(self.core.connection(self.user).sent, [])

    def test_unreliable_does_not(self) -> None:
        """
        An unreliable message is of no use later.
        """
        self.assertFalse(self.user.server_push(2, 11, b"position", reliable=False))
        self.assertEqual(self.core.connection(self.user).sent, [])

    def test_so_many_wait(self) -> None:
        """
        So many messages wait; the next is refused, and those that wait are kept.
        """
        for number in range(WAITING_LIMIT):
            self.assertTrue(self.user.server_push(2, 11, b"%d" % number))
        self.assertFalse(self.user.server_push(2, 11, b"more"))
        self.assertEqual(WAITING_LIMIT, 256)
        again = self.core.connection(self.user)
        self.assertEqual([m.payload for m in again.sent], [b"%d" % n for n in range(256)])
        again.drop()
        self.assertTrue(self.user.server_push(2, 11, b"more"))

    def test_so_many_bytes_wait(self) -> None:
        """
        Large messages wait up to a size together, so that all of them fit a connection.
        """
        half = bytes(WAITING_BYTES // 2)
        self.assertTrue(self.user.server_push(2, 11, half[:-4]))
        self.assertFalse(self.user.server_push(2, 11, half))
        self.assertTrue(self.user.server_push(2, 11, half[:-4]))
        self.assertFalse(self.user.server_push(2, 11, b""))
        again = self.core.connection(self.user)
        self.assertEqual(len(again.sent), 2)
        again.drop()
        self.assertTrue(self.user.server_push(2, 11, half))

    def test_wrong_message(self) -> None:
        """
        A message that cannot be written is refused at once, not when the user is back.
        """
        self.assertRaises(LocalProtocolError, self.user.server_push, 2, 11, {"a": object()})
        self.assertEqual(self.core.connection(self.user).sent, [])

    def test_grace_ends(self) -> None:
        """
        At the end of its grace the user is gone and its sid dead.
        """
        self.user.server_push(2, 11, b"one")
        self.core.pass_time(9.5)
        self.assertIs(self.user.state, UserState.AWAY)
        self.core.pass_time(1.5)
        self.assertIs(self.user.state, UserState.GONE)
        self.assertIsNone(self.core.users.find_sid(self.user.keys.sid))
        self.assertEqual((self.core.users.ccu(), self.core.left), (0, ["alice"]))
        self.assertFalse(self.user.server_push(2, 11, b"two"))

    def test_each_loss_has_its_grace(self) -> None:
        """
        A user who was away before has the whole grace again.
        """
        self.core.pass_time(9)
        again = self.core.connection(self.user)
        again.drop()
        self.core.pass_time(9)
        self.assertIs(self.user.state, UserState.AWAY)
        self.core.pass_time(2)
        self.assertEqual(self.core.left, ["alice"])


class NoGraceTests(CoreTestCase):
    """
    C{reconnectGrace} 0.
    """

    def test_gone_at_once(self) -> None:
        """
        A lost connection is the end of its user.
        """
        self.core = CoreNode(grace=0)
        self.core.start()
        user, client = self.core.connect()
        client.drop()
        self.assertIs(user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])
