"""
Every way to leave a whole server, over both transports: on_disconnect exactly once.
"""

from collections.abc import Callable

from diarkis_tw.client import Client, ResponseError
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.user import User, UserState
from diarkis_tw.errors import CommandError
from diarkis_tw.wire.message import Request
from tests.server.whole import HANG, WholeCase

TTL = 30
"""connectionTTL here: longer than the patience with what is full, so that the two differ."""

Way = Callable[["LeavingTests", Client], None]


def fin(case: "LeavingTests", client: Client) -> None:
    client.close()


def kick(case: "LeavingTests", client: Client) -> None:
    case.user(client).disconnect()


def kick_while_away(case: "LeavingTests", client: Client) -> None:
    case.silence()
    case.reactor.advance(TTL + 2)
    case.assertIs(case.user(client).state, UserState.AWAY)
    case.user(client).disconnect()


def silence(case: "LeavingTests", client: Client) -> None:
    case.silence()
    case.reactor.advance(TTL + 2)
    case.assertEqual(case.left, [])
    case.reactor.advance(11)


def lose_socket(case: "LeavingTests", client: Client) -> None:
    user = case.user(client)
    case.silence()
    for link in case.links():
        link.cut()
    case.reactor.advance(9)
    case.assertIs(user.state, UserState.AWAY)
    case.assertEqual(case.left, [])
    case.reactor.advance(3)


def hang(case: "LeavingTests", client: Client) -> None:
    # Its keep-alives unanswered, the client gives up a little before the server does.
    client.send(2, HANG)
    case.reactor.advance(TTL + 12)


def overflow(case: "LeavingTests", client: Client) -> None:
    for _ in range(300):
        client.send(2, HANG)
    case.reactor.advance(12)


def read_nothing(case: "LeavingTests", client: Client) -> None:
    user = case.user(client)
    case.silence()
    while user.server_push(2, 20, bytes(60_000)):
        pass
    case.reactor.advance(12)


def flood(case: "LeavingTests", client: Client) -> None:
    for _ in range(13 * 20):
        for _ in range(60):
            client.send(2, 99)
        case.reactor.advance(0.05)


class Cut(Request):
    """
    A message shorter than its header.
    """

    def encode(self) -> bytes:
        return b"\2"


def break_protocol(case: "LeavingTests", client: Client) -> None:
    if case.kind is ServerType.WS:
        case.links()[-1].client.write(b"\xff" * 100)
        return
    transport = client._transport
    assert transport is not None
    transport.send(Cut(2, 10, 0, b""), True)


def send_too_much(case: "LeavingTests", client: Client) -> None:
    client.send(2, 10, bytes(100_000))


def replace(case: "LeavingTests", client: Client) -> None:
    case.client(client.uid)


def stop(case: "LeavingTests", client: Client) -> None:
    case.stop()


def drain(case: "LeavingTests", client: Client) -> None:
    case.service.terminate(5)
    case.reactor.advance(4)
    case.assertEqual(case.left, [])
    case.reactor.advance(2)
    case.assertEqual(case.ended, [0])


WAYS: dict[Way, CloseCode | None] = {
    fin: CloseCode.NORMAL,
    kick: CloseCode.KICKED,
    kick_while_away: None,
    silence: None,
    hang: CloseCode.TIMEOUT,
    overflow: CloseCode.OVERFLOW,
    read_nothing: None,
    flood: CloseCode.RATE,
    break_protocol: CloseCode.PROTOCOL,
    send_too_much: CloseCode.TOO_LARGE,
    replace: CloseCode.REPLACED,
    stop: CloseCode.SERVER_OFFLINE,
    drain: CloseCode.SERVER_OFFLINE,
}
"""Every way, and what the client is told; None = the network lets nothing through."""


class LeavingTests(WholeCase):
    """
    A server with a low command rate, and one client.
    """

    ways = WAYS | {lose_socket: None}

    def serve_slowly(self) -> None:
        """
        Serve, with a command rate that a test can exceed.
        """
        self.prepare({"connectionTTL": TTL}, max_command_rate=1000)
        self.seen: list[tuple[str, User, UserState]] = []
        self.server.on_disconnect(lambda sid, user: self.seen.append((sid, user, user.state)))
        self.start()

    def check(self, way: Way, code: CloseCode | None) -> None:
        """
        Leave in one way.
        """
        self.serve_slowly()
        client = self.client(reconnect_for=0)
        _, ends = self.watch(client)
        user = self.user(client)
        user.set("rank", 3)
        way(self, client)
        self.reactor.advance(2)
        name = way.__name__
        if code is not None:
            self.assertEqual(ends, [code], name)
        self.assertEqual(self.seen, [(client.endpoint.keys.sid.hex(), user, UserState.GONE)], name)
        self.assertEqual(self.left, [(user.sid, "alice")], name)
        self.assertEqual(user.get("rank", int), 3)
        self.stop()
        self.reactor.advance(60)
        # Who replaced it has left now, too, as somebody else.
        self.assertEqual([sid for sid, _ in self.left].count(user.sid), 1, name)
        self.assertEqual(self.server.users.ccu(), 0)

    def test_every_way(self) -> None:
        """
        on_disconnect runs once, with the sid and the user, whose data is still there; the client
        is told why, if it can be.
        """
        for way, code in self.ways.items():
            self.check(way, code)
            self.setUp()

    def test_coming_back(self) -> None:
        """
        Who comes back in time has not left.
        """
        self.serve_slowly()
        client = self.client()
        self.silence()
        self.reactor.advance(TTL + 5)
        self.reactor.hops.clear()
        self.reactor.advance(4)
        self.assertEqual(self.echo(client), b"hello")
        self.assertEqual(self.left, [])

    def test_never_came(self) -> None:
        """
        Who has an endpoint and does not come has not left either.
        """
        self.serve_slowly()
        self.endpoint()
        self.reactor.advance(40)
        self.assertEqual((self.left, len(self.server.users._by_sid)), ([], 0))


class UdpLeavingTests(LeavingTests):
    """
    The same over UDP, which has no socket to lose.
    """

    kind = ServerType.UDP
    ways = WAYS


class KeepAliveTests(WholeCase):
    """
    on_keep_alive.
    """

    def test_each(self) -> None:
        """
        It runs on every keep-alive of every client, which knows its latency from the second on.
        """
        heard: list[tuple[str, int | None]] = []
        self.prepare().on_keep_alive(lambda user: heard.append((user.uid, user.latency)))
        self.start()
        self.client()
        self.assertEqual(heard, [("alice", None)])
        self.reactor.advance(30)
        self.assertGreaterEqual(len(heard), 9)
        self.assertEqual({latency for _, latency in heard[1:]}, {0})

    def test_refused_by_hook(self) -> None:
        """
        A hook that refuses all commands of a user, keep-alives too, does not cost it the
        connection: the client knows that the server is there.
        """

        def nothing_goes(user: User) -> None:
            raise CommandError(3, "banned")

        self.prepare().hook_all_commands(nothing_goes)
        self.start()
        client = self.client()
        states, ends = self.watch(client)
        self.reactor.advance(60)
        asking = client.request(2, 10, b"hello")
        self.reactor.advance(1)
        self.assertEqual(self.failureResultOf(asking, ResponseError).value.message, "banned")
        self.assertEqual((states, ends, self.left), ([], [], []))

    def test_user(self) -> None:
        """
        The user's transport and address are those of its connection.
        """
        self.serve()
        user = self.user(self.client())
        self.assertIs(user.transport, self.kind)
        self.assertRegex(user.address or "", r"^127\.0\.0\.1:\d+$")


class UdpKeepAliveTests(KeepAliveTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP


class WsLeavingTests(LeavingTests):
    """
    The same over WebSocket. A frame that is none ends with a code of WebSocket itself.
    """

    kind = ServerType.WS
    ways = WAYS | {lose_socket: None, break_protocol: None}


class WsKeepAliveTests(KeepAliveTests):
    """
    The same over WebSocket.
    """

    kind = ServerType.WS
