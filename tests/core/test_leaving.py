"""
Tests of L{diarkis_tw.core.users}: every way to leave, and who is told.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.elsewhere import UserArrived
from diarkis_tw.core.inbox import QUEUE_LIMIT
from diarkis_tw.core.rate import BURST
from diarkis_tw.core.user import User, UserState
from diarkis_tw.core.users import RESUMABLE
from tests.core.fakes import CMD, TTL, VER, CoreNode, CoreTestCase, FakeConnection

Leave = Callable[[CoreNode, User, FakeConnection], None]


def fin(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.command(ver=0, cmd=Builtin.FIN)


def kick(core: CoreNode, user: User, client: FakeConnection) -> None:
    user.disconnect()


def kick_while_away(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.drop()
    user.disconnect()


def replace(core: CoreNode, user: User, client: FakeConnection) -> None:
    core.connect(user.uid)


def arrive_elsewhere(core: CoreNode, user: User, client: FakeConnection) -> None:
    arrived = UserArrived(user.uid, bytes(16), 2**62, "other")
    core.mesh.send(core.mesh.node_address, arrived)


def grace(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.drop()
    core.pass_time(11)


def silence(core: CoreNode, user: User, client: FakeConnection) -> None:
    core.pass_time(TTL + 1)
    core.pass_time(11)


def hang(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.command(b"wait")
    core.pass_time(TTL + 1, client)


def overflow(core: CoreNode, user: User, client: FakeConnection) -> None:
    for _ in range(1 + QUEUE_LIMIT):
        client.command(b"wait")
    core.pass_time(11, client)


def read_nothing(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.full_since = core.clock.seconds()
    core.pass_time(11, client)


def flood(core: CoreNode, user: User, client: FakeConnection) -> None:
    for _ in range(11 * 20):
        client.stream([(0, b"")] * (BURST + 100))
        core.clock.advance(0.05)


def fault(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.drop(CloseCode.PROTOCOL)


def close(core: CoreNode, user: User, client: FakeConnection) -> None:
    client.drop(CloseCode.NORMAL)


def stop(core: CoreNode, user: User, client: FakeConnection) -> None:
    core.users.stop()


WAYS: dict[Leave, CloseCode | None] = {
    fin: CloseCode.NORMAL,
    kick: CloseCode.KICKED,
    kick_while_away: None,
    replace: CloseCode.REPLACED,
    arrive_elsewhere: CloseCode.REPLACED,
    grace: None,
    silence: CloseCode.TIMEOUT,
    hang: CloseCode.TIMEOUT,
    overflow: CloseCode.OVERFLOW,
    read_nothing: CloseCode.OVERFLOW,
    flood: CloseCode.RATE,
    fault: CloseCode.PROTOCOL,
    close: CloseCode.NORMAL,
    stop: CloseCode.SERVER_OFFLINE,
}
"""Every way to leave, and what the client is told; None = it is not there to be told."""


class EveryWayTests(CoreTestCase):
    """
    Rules that hold however a user leaves.
    """

    def each(self) -> list[tuple[str, CoreNode, User, FakeConnection, CloseCode | None]]:
        """
        A node a way, from which its user has left.
        """
        ended = []
        for leave, code in WAYS.items():
            core = CoreNode(rate=1000.0)
            core.registry.handle(VER, CMD, self.handler)
            core.start()
            user, client = core.connect()
            leave(core, user, client)
            core.pass_time(30)
            ended.append((leave.__name__, core, user, client, code))
        return ended

    def handler(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None] | None:
        return Deferred() if payload == b"wait" else None

    def test_on_disconnect_once(self) -> None:
        """
        on_disconnect runs exactly once, for each that was connected.
        """
        for name, core, *_ in self.each():
            # The one who replaced it has fallen silent in the meantime.
            expected = ["alice"] * (2 if name == "replace" else 1)
            self.assertEqual(core.left, expected, name)

    def test_gone(self) -> None:
        """
        The user is gone, its sid dead, its work cancelled, and nobody is counted.
        """
        for name, core, user, _, _ in self.each():
            self.assertIs(user.state, UserState.GONE, name)
            self.assertIsNone(core.users.find_sid(user.keys.sid), name)
            self.assertIsNone(core.users.find_uid(user.uid), name)
            self.assertIsNone(user.connection, name)
            self.assertIsNone(user.inbox.turn, name)
            self.assertEqual((core.users.ccu(), list(core.users)), (0, []), name)
            self.successResultOf(core.users.when_empty())

    def test_told_once(self) -> None:
        """
        The client is told why, once, unless it is not there or has said it itself.
        """
        for name, _, _, client, code in self.each():
            own_words = name in ("fault", "close")
            self.assertEqual(client.closed, [] if code is None or own_words else [code], name)

    def test_stays_dead(self) -> None:
        """
        Neither a late end of the connection nor a second removal does anything more.
        """
        for name, core, user, client, _ in self.each():
            before = list(core.left)
            core.users.lost(user, client, None)
            user.disconnect()
            core.users.remove(user, CloseCode.TIMEOUT)
            self.assertFalse(core.users.confirm(user, client), name)
            self.assertEqual(core.left, before, name)


class LossTests(CoreTestCase):
    """
    How the end of a connection is taken.
    """

    def test_resumable(self) -> None:
        """
        Only plain loss, TIMEOUT, REKEY and MOVED leave the user away; all else is its end.
        """
        self.assertEqual(RESUMABLE, {CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.MOVED})
        for code in (None, *CloseCode):
            core = CoreNode()
            core.start()
            user, client = core.connect()
            client.drop(code)
            away = code is None or code in RESUMABLE
            self.assertIs(user.state, UserState.AWAY if away else UserState.GONE, code)
            self.assertEqual(core.left, [] if away else ["alice"], code)

    def test_no_callback_for_those_who_never_came(self) -> None:
        """
        A pending user who does not come is nobody's loss.
        """
        self.core.start()
        user = self.core.create()
        user.disconnect()
        self.assertIs(user.state, UserState.GONE)
        self.assertEqual(self.core.left, [])


class CallbackTests(CoreTestCase):
    """
    on_disconnect callbacks.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.user, self.client = self.core.connect()

    def test_arguments(self) -> None:
        """
        They get the sid as hex digits and the user, with its data still there.
        """
        seen: list[tuple[str, User, UserState]] = []
        self.core.users.on_disconnect(lambda sid, user: seen.append((sid, user, user.state)))
        self.user.disconnect()
        self.assertEqual(seen, [(self.user.keys.sid.hex(), self.user, UserState.GONE)])

    def test_failing(self) -> None:
        """
        One that fails is logged and keeps the others from nothing.
        """

        def broken(sid: str, user: User) -> None:
            raise ValueError

        self.core.users.on_disconnect(broken)
        self.core.users.on_disconnect(lambda sid, user: fail(KeyError()))
        self.core.users.on_disconnect(lambda sid, user: self.core.left.append("last"))
        self.user.disconnect()
        self.assertEqual(self.core.left, ["alice", "last"])
        self.assertEqual(len(self.logged(ValueError, KeyError)), 2)

    def test_removing_others(self) -> None:
        """
        A callback may send others away.
        """
        bob, _ = self.core.connect("bob")
        self.core.users.on_disconnect(lambda sid, user: bob.disconnect())
        self.user.disconnect()
        self.assertEqual(self.core.left, ["alice", "bob"])

    def test_same_uid_comes_back(self) -> None:
        """
        A uid that left can come back with a new session.
        """
        self.user.disconnect()
        again, _ = self.core.connect()
        self.assertNotEqual(again.keys.sid, self.user.keys.sid)
        self.assertIs(self.core.users.find_uid("alice"), again)
