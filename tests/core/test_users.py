"""
Tests of L{diarkis_tw.core.users}: who is known, and who replaces whom.
"""

import msgspec

from diarkis_tw.constants import CloseCode, NodeState
from diarkis_tw.core.elsewhere import UserArrived
from diarkis_tw.core.fan_out import PERIOD, SLICE_USERS
from diarkis_tw.core.user import User, UserState
from diarkis_tw.core.users import PENDING_LIFE, PENDING_LIMIT, TooManyPending
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.wire.message import Push
from tests.core.fakes import CoreNode, CoreTestCase, FakeConnection, GameFault


class UsersTestCase(CoreTestCase):
    """
    A started node without users.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.users = self.core.users

    def known(self, user: User) -> bool:
        return self.users.find_sid(user.keys.sid) is user


class PendingTests(UsersTestCase):
    """
    Users whom the endpoint API made and who have not come yet.
    """

    def test_create(self) -> None:
        """
        A new user has keys of its own, is found by sid, and is not there yet.
        """
        user = self.users.create("alice", "TCP", {"level": 3})
        self.assertEqual((user.uid, user.server_type, user.data), ("alice", "TCP", {"level": 3}))
        self.assertIs(user.state, UserState.PENDING)
        self.assertTrue(self.known(user))
        self.assertIsNone(self.users.find_uid("alice"))
        self.assertEqual((self.users.ccu(), list(self.users)), (0, []))
        keys = user.keys
        secrets = {keys.sid, keys.encryption_key, keys.encryption_iv, keys.encryption_mac_key}
        self.assertEqual(len(secrets), 4)
        self.assertEqual(user.sid, keys.sid.hex())

    def test_newest_wins(self) -> None:
        """
        A second request for a uid makes the first sid unknown, without a farewell.
        """
        older = self.core.create()
        newer = self.core.create()
        self.assertIs(older.state, UserState.GONE)
        self.assertFalse(self.known(older))
        self.assertTrue(self.known(newer))
        self.assertEqual(self.core.left, [])

    def test_superseded_cannot_connect(self) -> None:
        """
        A connection that was under way for the older one is refused with UNKNOWN.
        """
        older = self.core.create()
        self.core.create()
        client = self.core.connection(older)
        self.assertEqual(client.closed, [CloseCode.UNKNOWN])
        self.assertEqual(self.users.ccu(), 0)

    def test_expires(self) -> None:
        """
        One who does not come in time is forgotten, and nobody is told.
        """
        user = self.core.create()
        self.core.pass_time(PENDING_LIFE - 0.5)
        self.assertTrue(self.known(user))
        self.core.pass_time(1)
        self.assertFalse(self.known(user))
        self.assertIs(user.state, UserState.GONE)
        self.assertEqual(self.core.left, [])

    def test_expiry_counts_from_the_newest(self) -> None:
        """
        A second request for a uid has its own time.
        """
        self.core.create()
        other = self.core.create("bob")
        self.core.pass_time(PENDING_LIFE - 1)
        newer = self.core.create()
        self.core.pass_time(2)
        self.assertTrue(self.known(newer))
        self.assertFalse(self.known(other))

    def test_limit(self) -> None:
        """
        There are so many pending users and no more; coming makes room, and a uid
        that is pending already takes none.
        """
        first = self.core.create("0")
        for number in range(1, PENDING_LIMIT):
            self.core.create(str(number))
        self.assertRaises(TooManyPending, self.core.create, "one more")
        self.core.create("1")
        self.assertRaises(TooManyPending, self.core.create, "one more")
        self.core.connection(first)
        self.core.create("one more")
        self.assertRaises(TooManyPending, self.core.create, "another")
        self.core.pass_time(PENDING_LIFE + 1)
        self.core.create("another")

    def test_nothing_can_be_sent(self) -> None:
        """
        Messages to a user who has not come go nowhere.
        """
        user = self.core.create()
        self.assertFalse(user.server_push(2, 11, b"hello"))
        self.assertEqual(self.core.connection(user).sent, [])


class ConfirmTests(UsersTestCase):
    """
    The first authentic packet.
    """

    def test_connected(self) -> None:
        """
        The user is there, found by sid and uid, with its connection.
        """
        user, client = self.core.connect()
        self.assertIs(user.state, UserState.CONNECTED)
        self.assertIs(user.connection, client)
        self.assertIs(self.users.find_uid("alice"), user)
        self.assertTrue(self.known(user))
        self.assertEqual((self.users.ccu(), list(self.users)), (1, [user]))
        self.assertEqual((user.address, user.transport), (client.address, client.type))

    def test_does_not_expire(self) -> None:
        """
        Who came in time is no longer pending.
        """
        user, client = self.core.connect()
        self.core.pass_time(PENDING_LIFE + 2, client)
        self.assertIs(user.state, UserState.CONNECTED)

    def test_time_counts_from_here(self) -> None:
        """
        The connection counts as heard from when it was confirmed.
        """
        self.core.pass_time(25)
        self.assertEqual(self.core.connect()[1].last_heard, 25)

    def test_of_one_who_is_gone(self) -> None:
        """
        A session that died during the handshake is not revived.
        """
        user, _ = self.core.connect()
        user.disconnect()
        self.assertFalse(self.users.confirm(user, FakeConnection(self.users, user)))
        self.assertIsNone(self.users.find_uid("alice"))


class ReplacedTests(UsersTestCase):
    """
    A newer connection of the same player.
    """

    def test_request_changes_nothing(self) -> None:
        """
        A new endpoint request leaves the connected user alone, also when it expires.
        """
        user, client = self.core.connect()
        self.core.create()
        self.core.pass_time(PENDING_LIFE + 2, client)
        self.assertIs(self.users.find_uid("alice"), user)
        self.assertEqual(client.closed, [])

    def test_same_uid(self) -> None:
        """
        Once the new session is confirmed the old one gets REPLACED, once.
        """
        older, first = self.core.connect()
        newer, second = self.core.connect()
        self.assertEqual((first.closed, second.closed), ([CloseCode.REPLACED], []))
        self.assertIs(older.state, UserState.GONE)
        self.assertFalse(self.known(older))
        self.assertIs(self.users.find_uid("alice"), newer)
        self.assertEqual((self.users.ccu(), self.core.left), (1, ["alice"]))

    def test_same_uid_while_away(self) -> None:
        """
        A user who is away is replaced too.
        """
        older, first = self.core.connect()
        first.drop()
        newer, _ = self.core.connect()
        self.assertIs(older.state, UserState.GONE)
        self.assertIs(self.users.find_uid("alice"), newer)
        self.assertEqual(self.core.left, ["alice"])
        self.core.pass_time(9)
        self.assertEqual(self.core.left, ["alice"])

    def test_same_sid(self) -> None:
        """
        A second connection of one session takes over; the first gets REPLACED, once,
        and nobody leaves.
        """
        user, first = self.core.connect()
        second = self.core.connection(user)
        self.assertEqual((first.closed, second.closed), ([CloseCode.REPLACED], []))
        self.assertIs(user.connection, second)
        self.assertIs(user.state, UserState.CONNECTED)
        self.assertEqual((self.users.ccu(), self.core.left), (1, []))

    def test_end_of_the_first_is_no_news(self) -> None:
        """
        What becomes of the first connection afterwards does not matter.
        """
        user, first = self.core.connect()
        second = self.core.connection(user)
        self.users.lost(user, first, CloseCode.PROTOCOL)
        self.assertIs(user.connection, second)
        self.assertEqual(self.core.left, [])

    def test_old_user_left_before_the_new_is_there(self) -> None:
        """
        on_disconnect of the old session runs before the uid has the new one.
        """
        found: list[User | None] = []
        self.core.connect()
        self.users.on_disconnect(lambda sid, user: found.append(self.users.find_uid("alice")))
        newer, _ = self.core.connect()
        self.assertEqual(found, [None])
        self.assertIs(self.users.find_uid("alice"), newer)


class RecordingMesh(LocalMesh):
    """
    A mesh that remembers what it should tell the others.
    """

    def __init__(self, core: CoreNode) -> None:
        super().__init__(core.clock)
        self.told: list[msgspec.Struct] = []

    def broadcast(self, message: msgspec.Struct) -> None:
        self.told.append(message)


class ElsewhereTests(CoreTestCase):
    """
    The same player on two nodes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mesh = RecordingMesh(self.core)
        self.core.users = type(self.core.users)(
            self.core.clock, self.mesh, self.core.dispatcher, self.core.random_bytes, 10.0
        )
        self.core.users.on_disconnect(lambda sid, user: self.core.left.append(user.uid))
        self.core.start()

    def test_tells_the_others(self) -> None:
        """
        Other nodes are told of each new session when it is confirmed, not again when
        it is resumed.
        """
        user = self.core.create()
        self.assertEqual(self.mesh.told, [])
        client = self.core.connection(user)
        client.drop()
        self.core.connection(user)
        [told] = self.mesh.told
        self.assertEqual(told, UserArrived("alice", user.keys.sid, user.arrived, "local"))

    def arrive_elsewhere(self, uid: str, sid: bytes) -> None:
        self.mesh.send(self.mesh.node_address, UserArrived(uid, sid, 2**62, "other"))

    def test_let_go(self) -> None:
        """
        A user who has connected to another node is REPLACED here.
        """
        user, client = self.core.connect()
        self.arrive_elsewhere("alice", bytes(16))
        self.assertEqual(client.closed, [CloseCode.REPLACED])
        self.assertIs(user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_own_echo(self) -> None:
        """
        The session itself, and other uids, are no reason.
        """
        user, client = self.core.connect()
        self.arrive_elsewhere("alice", user.keys.sid)
        self.arrive_elsewhere("bob", bytes(16))
        self.assertEqual(client.closed, [])

    def test_pending_stays(self) -> None:
        """
        One who is about to come here is newer than the arrival elsewhere.
        """
        user = self.core.create()
        self.arrive_elsewhere("alice", bytes(16))
        self.assertIs(user.state, UserState.PENDING)


class EmptyTests(UsersTestCase):
    """
    Waiting until nobody is left.
    """

    def test_nobody(self) -> None:
        """
        A node without users is empty; pending ones do not count.
        """
        self.core.create()
        self.assertIsNone(self.successResultOf(self.users.when_empty()))

    def test_last_leaves(self) -> None:
        """
        All who wait hear when the last user has left, on_disconnect included.
        """
        alice, _ = self.core.connect("alice")
        bob, _ = self.core.connect("bob")
        first, second = self.users.when_empty(), self.users.when_empty()
        left: list[str] = []
        first.addCallback(lambda ignored: left.extend(self.core.left))
        alice.disconnect()
        self.assertNoResult(first)
        bob.disconnect()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(left, ["alice", "bob"])

    def test_replacing_is_not_leaving(self) -> None:
        """
        A user whose new session takes over from the old one has not left in between.
        """
        self.core.connect("alice")
        empty = self.users.when_empty()
        again, _ = self.core.connect("alice")
        self.assertNoResult(empty)
        again.disconnect()
        self.successResultOf(empty)

    def test_away_counts(self) -> None:
        """
        A user who is away is still here until its grace is over.
        """
        _, client = self.core.connect()
        client.drop()
        empty = self.users.when_empty()
        self.core.pass_time(9)
        self.assertNoResult(empty)
        self.core.pass_time(2)
        self.successResultOf(empty)

    def test_cancelled(self) -> None:
        """
        Who gives up waiting is not called.
        """
        user, _ = self.core.connect()
        empty = self.users.when_empty()
        empty.addErrback(lambda failure: "given up")
        empty.cancel()
        self.assertEqual(self.successResultOf(empty), "given up")
        user.disconnect()


class OnConnectTests(UsersTestCase):
    """
    The on_connect callbacks.
    """

    def setUp(self) -> None:
        super().setUp()
        self.came: list[tuple[str, bool, int]] = []
        self.users.on_connect(self.connected)

    def connected(self, user: User) -> None:
        client = user.connection
        assert isinstance(client, FakeConnection)
        self.came.append((user.uid, user.state is UserState.CONNECTED, len(client.sent)))

    def test_new(self) -> None:
        """
        They run when a session is confirmed, not before, with the connection usable.
        """
        user = self.core.create()
        self.assertEqual(self.came, [])
        self.core.connection(user)
        self.assertEqual(self.came, [("alice", True, 0)])

    def test_resumed(self) -> None:
        """
        They run when a session is resumed, after what waited was sent.
        """
        user, client = self.core.connect()
        client.drop()
        user.server_push(2, 11, b"waits")
        self.core.connection(user)
        self.assertEqual(self.came[1:], [("alice", True, 1)])

    def test_taken_over(self) -> None:
        """
        They run for a second connection of a session.
        """
        user, _ = self.core.connect()
        self.core.connection(user)
        self.assertEqual(len(self.came), 2)

    def test_refused(self) -> None:
        """
        They do not run for a session that is gone.
        """
        user, _ = self.core.connect()
        user.disconnect()
        self.core.connection(user)
        self.assertEqual(len(self.came), 1)

    def test_failure(self) -> None:
        """
        One that fails is logged; the user comes in and the next one runs.
        """

        def connected(user: User) -> None:
            raise GameFault

        self.users.on_connect(connected)
        self.users.on_connect(self.connected)
        user, _ = self.core.connect()
        self.assertIs(user.state, UserState.CONNECTED)
        self.assertEqual(len(self.came), 2)
        self.assertEqual(len(self.logged(GameFault)), 1)


class TellStateTests(UsersTestCase):
    """
    The node state push.
    """

    def test_offline(self) -> None:
        """
        All users are told at once that the node is OFFLINE, reliably; one who is away
        when it comes back.
        """
        _, client = self.core.connect("alice")
        away, lost = self.core.connect("bob")
        lost.drop()
        self.core.create("carol")
        self.users.tell_state(NodeState.OFFLINE)
        push = Push(0, 6, b"\x02")
        self.assertEqual((client.sent, client.reliable), ([push], [True]))
        self.assertEqual(self.core.connection(away).sent, [push])

    def test_many(self) -> None:
        """
        Many users are told in slices; the encoded push is the same for all.
        """
        clients = [self.core.connect(str(number))[1] for number in range(SLICE_USERS + 2)]
        self.users.tell_state(NodeState.OFFLINE)
        self.assertEqual([len(client.sent) for client in clients], [1] * SLICE_USERS + [0, 0])
        self.core.clock.advance(PERIOD)
        self.assertEqual([len(client.sent) for client in clients], [1] * (SLICE_USERS + 2))

    def test_no_longer(self) -> None:
        """
        Once the node is ONLINE again nobody more is told that it is OFFLINE.
        """
        clients = [self.core.connect(str(number))[1] for number in range(SLICE_USERS + 2)]
        self.users.tell_state(NodeState.OFFLINE)
        self.users.tell_state(NodeState.ONLINE)
        self.core.clock.advance(PERIOD)
        self.assertEqual(clients[-1].sent, [])

    def test_stopped(self) -> None:
        """
        Ending all sessions ends the telling.
        """
        for number in range(SLICE_USERS + 2):
            self.core.connect(str(number))
        self.users.tell_state(NodeState.OFFLINE)
        self.users.stop()
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_other_states(self) -> None:
        """
        Other states are told with the keep-alive only.
        """
        _, client = self.core.connect()
        for state in (NodeState.ONLINE, NodeState.TAKEN, NodeState.STARTING):
            self.users.tell_state(state)
        self.assertEqual(client.sent, [])
