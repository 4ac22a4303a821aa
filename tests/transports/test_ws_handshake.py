"""
Tests of L{diarkis_tw.transports.ws}: from the connection to its first command.
"""

import random

from autobahn.twisted.websocket import WebSocketServerProtocol
from hypothesis import given
from hypothesis import strategies as st

from diarkis_tw.config.settings import WsSettings
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import HANDSHAKE_TIME, LINGER, Phase
from diarkis_tw.transports.stream_server import STRANGERS_PER_ADDRESS
from diarkis_tw.transports.ws import HEADER_BYTES, STRANGER_BYTES, WsConnection, WsServer
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.websocket import BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL
from tests.raw_client import Accept, RawWsClient, Terminate
from tests.transports.case import ECHO
from tests.transports.ws_case import BinaryClient, WsCase
from tests.transports.ws_client import (
    ACCEPT_KEY,
    BINARY,
    CLOSE,
    TEXT,
    WsClient,
    frame,
    upgrade,
)

STRANGER = SessionKeys(b"?" * 16, b"k" * 16, b"i" * 16, b"m" * 16)


class UpgradeTests(WsCase):
    """
    The opening handshake.
    """

    def assertHttp(self, client: WsClient, status: int) -> None:
        """
        The server answered in HTTP with that status, says no more and closes.
        """
        client.turn()
        self.assertEqual(client.head.split(b" ")[1], b"%d" % status, client.head)
        self.assertIn(b"\r\nContent-Length: 0", client.head)
        self.assertEqual(client.frames, [])
        self.assertTrue(client.socket.shut)
        client.send(upgrade(), b"x" * 100_000)
        self.assertEqual(client.frames, [])
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(client.socket.ended)

    def test_answer(self) -> None:
        """
        The answer accepts the key and the subprotocol, no extension, and names no software.
        """
        client = self.client()
        client.send(upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
        lines = client.head.decode().split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
        self.assertEqual(
            {line.lower() for line in lines[1:]},
            {
                "upgrade: websocket",
                "connection: upgrade",
                f"sec-websocket-protocol: {JSON_SUBPROTOCOL}",
                f"sec-websocket-accept: {ACCEPT_KEY}".lower(),
            },
        )

    def test_subprotocols(self) -> None:
        """
        Of those offered the first one known is taken; JSON, unsaid, if none is offered;
        only unknown ones are refused.
        """
        for offered, taken in (
            (JSON_SUBPROTOCOL, JSON_SUBPROTOCOL),
            (BINARY_SUBPROTOCOL, BINARY_SUBPROTOCOL),
            (f"{BINARY_SUBPROTOCOL}, {JSON_SUBPROTOCOL}", BINARY_SUBPROTOCOL),
            (f"mqtt, {JSON_SUBPROTOCOL}", JSON_SUBPROTOCOL),
            (None, None),
        ):
            client = self.upgraded(offered)
            said = [line for line in client.head.split(b"\r\n") if b"Protocol:" in line]
            self.assertEqual(said, [f"Sec-WebSocket-Protocol: {taken}".encode()] if taken else [])
            greeted = [opcode for opcode, _ in client.frames] == [TEXT]
            self.assertIs(greeted, taken != BINARY_SUBPROTOCOL)
        for offered in ("mqtt", "diarkis.v2.json", JSON_SUBPROTOCOL.upper()):
            client = self.client()
            client.send(upgrade(offered))
            self.assertHttp(client, 400)

    def test_badRequests(self) -> None:
        """
        What is no WebSocket handshake is answered in HTTP, and closed.
        """
        for request, status in (
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
            (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 505),
            (b"\r\n\r\n", 400),
            (b"GET\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (upgrade(Host=None), 400),
            (upgrade(Host="x:y"), 400),
            (upgrade(Upgrade="h2c"), 400),
            (upgrade(Connection="close"), 400),
            (upgrade(Connection=None), 400),
            (upgrade(Sec_WebSocket_Version=None), 400),
            (upgrade(Sec_WebSocket_Version="8"), 400),
            (upgrade(Sec_WebSocket_Version="14"), 400),
            (upgrade(Sec_WebSocket_Version="x"), 400),
            (upgrade(Sec_WebSocket_Key=None), 400),
            (upgrade(Sec_WebSocket_Key="short"), 400),
            (upgrade(Sec_WebSocket_Key="!" * 22 + "=="), 400),
            (upgrade(Origin="nonsense"), 400),
            (upgrade(Origin="http://[::1"), 400),
            (upgrade(Sec_WebSocket_Protocol="a, a"), 400),
        ):
            client = self.client()
            client.send(request)
            self.assertHttp(client, status)

    def test_otherVersionRefused(self) -> None:
        """
        A client of another version of WebSocket is told the right one.
        """
        client = self.client()
        client.send(upgrade(Sec_WebSocket_Version="8"))
        self.assertIn(b"\r\nSec-WebSocket-Version: 13", client.head)

    @given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 20))
    def test_anyBytesRaise(self, data: bytes, at: int, size: int) -> None:
        """
        Any bytes, by themselves or inside a good handshake, are refused or wait for
        more; nothing escapes and nothing is logged.
        """
        good = upgrade()
        for request in (data + b"\r\n\r\n", good[:at] + data + good[at + size :]):
            client = self.client(host=f"10.{self._clients >> 8}.{self._clients & 255}.1")
            client.send(request)
            self.assertIn(client.head[:9], (b"", b"HTTP/1.1 "))
            client.socket.cut()
            client.turn()

    def test_slowUpgrade(self) -> None:
        """
        The handshake may come in single bytes, and a frame right behind it.
        """
        client = self.client()
        for byte in upgrade(BINARY_SUBPROTOCOL) + frame(
            BINARY, RawWsClient(self.user().keys).hello()
        ):
            client.send(bytes((byte,)))
        ((opcode, payload),) = client.frames
        self.assertEqual((opcode, payload[0]), (BINARY, 3))

    def test_oneChunk(self) -> None:
        """
        Handshake, HELLO and more may come as one chunk.
        """
        user = self.user()
        raw = RawWsClient(user.keys)
        client = self.client()
        client.send(upgrade(BINARY_SUBPROTOCOL) + frame(BINARY, raw.hello()))
        other = BinaryClient(client, raw)
        other.turn()
        self.assertIsInstance(raw.received[0], Accept)
        other.send(raw.request(2, ECHO, b"a"), raw.request(2, ECHO, b"b"))
        self.assertEqual([found.payload for found in raw.received[1:]], [b"a", b"b"])  # type: ignore[union-attr]

    def test_endlessHeader(self) -> None:
        """
        A handshake that does not end is refused once it is too long, however it is cut.
        """
        for size in (HEADER_BYTES + 100, 100):
            client = self.client()
            sent = b"GET / HTTP/1.1\r\n"
            while not client.head and len(sent) < 2 * HEADER_BYTES:
                client.send(sent[-size:])
                sent += b"X: %s\r\n" % (b"y" * (size - 5))
            self.assertLessEqual(len(sent), HEADER_BYTES + 2 * size)
            self.assertHttp(client, 431)

    def test_cookies(self) -> None:
        """
        A browser with many cookies gets in.
        """
        client = self.client()
        client.send(upgrade(Cookie="c=" + "x" * 6000))
        self.assertTrue(client.head.startswith(b"HTTP/1.1 101 "))

    def test_headersForgotten(self) -> None:
        """
        What the client said in its handshake is not kept.
        """
        client = self.client()
        client.send(upgrade(Cookie="c=" + "secret" * 100))
        for value in vars(client.connection).values():
            self.assertNotIn("secret", repr(value))

    def test_options(self) -> None:
        """
        Each option that Autobahn has is decided here, not copied to each connection.
        """
        self.assertEqual(
            [
                name
                for name in WebSocketServerProtocol.CONFIG_ATTRS
                if not hasattr(WsConnection, name)
            ],
            [],
        )
        kept = vars(self.client().connection).keys()
        self.assertEqual(kept & set(WebSocketServerProtocol.CONFIG_ATTRS), set())

    def test_randomNumbersUndisturbed(self) -> None:
        """
        Making a server does not seed the random numbers of the process.
        """
        state = random.getstate()
        WsServer(WsSettings(), *(None,) * 3, self.reactor)  # type: ignore[arg-type]
        self.assertEqual(random.getstate(), state)


class OriginTests(WsCase):
    """
    Pages of which origin may connect.
    """

    def status(self, **headers: str) -> int:
        """
        The answer to a handshake.
        """
        client = self.client()
        client.send(upgrade(**headers))
        return int(client.head.split(b" ")[1])

    def test_any(self) -> None:
        """
        Without a list every page may, and what is no page.
        """
        for origin in ("https://a.example", "http://b:8080", "null", "file://x"):
            self.assertEqual(self.status(Origin=origin), 101)
        self.assertEqual(self.status(), 101)

    def test_list(self) -> None:
        """
        With a list only its pages may, and what is no page; case and the port that
        goes without saying do not matter.
        """
        self.serve(
            WsSettings(
                allowed_origins=(
                    "https://a.example",
                    "http://B.example:8080",
                    "http://c:80",
                    "https://d:443",
                )
            )
        )
        for origin in (
            "https://a.example",
            "HTTPS://A.example",
            "http://b.example:8080",
            "http://c",
            "https://d",
        ):
            self.assertEqual(self.status(Origin=origin), 101, origin)
        self.assertEqual(self.status(), 101)
        for origin in (
            "http://a.example",
            "https://a.example:8443",
            "https://a.example.evil.example",
            "https://evil.example/https://a.example",
            "https://xa.example",
            "http://b.example",
            "https://c",
            "null",
        ):
            self.assertEqual(self.status(Origin=origin), 403, origin)


class JsonHandshakeTests(WsCase):
    """
    hello, auth, ready.
    """

    def test_ready(self) -> None:
        """
        Who proves to have the keys is told the terms and is in at once.
        """
        user = self.user()
        client, nonce = self.greeted()
        self.assertEqual(len(nonce), 16)
        client.text(client.auth(user.keys, nonce))
        self.assertEqual(client.texts(), [{"ready": {"connectionTTL": 10, "keepAlive": 3333}}])
        self.assertState(user, UserState.CONNECTED)
        self.assertIs(user.transport, ServerType.WS)
        assert user.address is not None
        self.assertTrue(user.address.startswith("127.0.0.1:40"))

    def test_nonces(self) -> None:
        """
        Each connection has a nonce of its own, and a proof made for another one is none.
        """
        user = self.user()
        first, nonce = self.greeted()
        second, other = self.greeted()
        self.assertNotEqual(nonce, other)
        second.text(second.auth(user.keys, nonce))
        self.assertEqual(
            second.texts(), [{"terminate": {"code": CloseCode.UNKNOWN, "reason": "UNKNOWN"}}]
        )
        self.assertTold(second, CloseCode.UNKNOWN)
        self.assertState(user, UserState.PENDING)
        first.text(first.auth(user.keys, nonce))
        self.assertState(user, UserState.CONNECTED)

    def test_strangersRefused(self) -> None:
        """
        An unknown sid and a wrong proof are refused alike, and by a session that is gone.
        """
        user = self.user()
        gone = self.user("gone")
        self.server.users.remove(gone, CloseCode.KICKED)
        for keys, changes in (
            (STRANGER, {}),
            (user.keys, {"proof": bytes(32)}),
            (user.keys, {"nonce": bytes(16)}),
            (user.keys, {"sid": STRANGER.sid}),
            (gone.keys, {}),
        ):
            client, nonce = self.greeted()
            client.text(client.auth(keys, nonce, **changes))
            self.assertEqual(len(client.texts()), 1)
            self.assertTold(client, CloseCode.UNKNOWN)

    def test_badAuths(self) -> None:
        """
        Anything but an auth is refused with PROTOCOL before anybody is in.
        """
        for text in (b"", b"{}", b"[]", b"x", b'{"ver": 2, "cmd": 10}', b'{"auth": {}}', b"null"):
            client, _ = self.greeted()
            client.text(text)
            (told,) = client.texts()
            self.assertEqual(told, {"terminate": {"code": 3, "reason": "PROTOCOL"}})
            self.assertTold(client, CloseCode.PROTOCOL)

    def test_longAuth(self) -> None:
        """
        A stranger's message is cut off before it is buffered.
        """
        client, _ = self.greeted()
        client.send(frame(TEXT, b"", length=STRANGER_BYTES + 1))
        self.assertEqual(client.texts(), [{"terminate": {"code": 4, "reason": "TOO_LARGE"}}])
        self.assertTold(client, CloseCode.TOO_LARGE)

    def test_taken(self) -> None:
        """
        A node that is TAKEN or OFFLINE refuses new users, and takes those who come back.
        """
        known = self.user("known")
        before = self.opened(known)
        before.socket.cut()
        before.turn()
        self.server.taken()
        client, nonce = self.greeted()
        client.text(client.auth(self.user("new").keys, nonce))
        self.assertTold(client, CloseCode.TAKEN)
        self.opened(known)
        self.assertState(known, UserState.CONNECTED)
        self.server.offline()
        client, nonce = self.greeted()
        client.text(client.auth(self.user("newer").keys, nonce))
        self.assertTold(client, CloseCode.SERVER_OFFLINE)

    def test_replaced(self) -> None:
        """
        A second connection of a user takes over; the first one is told.
        """
        user = self.user()
        first = self.opened(user)
        second = self.opened(user)
        self.assertTold(first, CloseCode.REPLACED)
        second.request(ECHO, {"a": 1})
        self.assertEqual(len(second.texts()), 1)
        self.assertEqual(self.left, [])

    def test_notEncrypted(self) -> None:
        """
        JSON is the same whether the node encrypts or not.
        """
        self.serve(WsSettings(enable_encryption=False))
        self.opened()


class BinaryHandshakeTests(WsCase):
    """
    HELLO and ACCEPT, as messages.
    """

    def test_accept(self) -> None:
        """
        HELLO is answered with ACCEPT; the first authentic record makes the connection
        the user's, with forward secrecy and without, encrypted and not.
        """
        for encrypted in (True, False):
            self.serve(WsSettings(enable_encryption=encrypted))
            for ephemeral in (True, False):
                user = self.user()
                client = self.binary(user, ephemeral=ephemeral, encrypted=encrypted)
                self.assertIsNone(user.connection)
                client.request(ECHO, b"hello")
                (answer,) = client.raw.received
                self.assertEqual(answer.payload, b"hello")  # type: ignore[union-attr]
                self.assertState(user, UserState.CONNECTED)
                self.assertIs(user.transport, ServerType.WS)

    def refused(self, message: bytes, code: CloseCode) -> None:
        """
        A first message is answered with TERMINATE and a close frame.
        """
        client = self.upgraded(BINARY_SUBPROTOCOL)
        client.send(frame(BINARY, message))
        (opcode, payload), _ = client.frames
        self.assertEqual((opcode, payload[0], payload[-1], len(payload)), (BINARY, 4, code, 18))
        self.assertTold(client, code)

    def test_strangersRefused(self) -> None:
        """
        Unknown sids, wrong HMACs and what is no HELLO are refused with UNKNOWN.
        """
        user = self.user()
        hello = RawWsClient(user.keys).hello()
        self.refused(RawWsClient(STRANGER).hello(), CloseCode.UNKNOWN)
        self.refused(hello[:-1] + bytes((hello[-1] ^ 1,)), CloseCode.UNKNOWN)
        self.refused(b"\x01\x00\x00\x52" + hello[1:], CloseCode.UNKNOWN)
        self.refused(hello[:-1], CloseCode.UNKNOWN)
        self.refused(b"\x10" + hello[1:], CloseCode.UNKNOWN)
        self.refused(b"\x01", CloseCode.UNKNOWN)
        self.refused(b"", CloseCode.PROTOCOL)
        self.refused(RawWsClient(user.keys).hello(version=2), CloseCode.VERSION)
        self.refused(RawWsClient(user.keys, encrypted=False).hello(), CloseCode.ENCRYPTION)
        self.assertState(user, UserState.PENDING)

    def test_nonceTold(self) -> None:
        """
        TERMINATE carries the nonce of the HELLO that it answers.
        """
        client = BinaryClient(self.upgraded(BINARY_SUBPROTOCOL), RawWsClient(STRANGER))
        client.send(client.raw.hello())
        self.assertEqual(client.raw.received, [Terminate(CloseCode.UNKNOWN, client.raw.nonce)])

    def test_forged(self) -> None:
        """
        A record that does not open ends a connection that nobody had confirmed, and the
        user is none the wiser.
        """
        user = self.user()
        client = self.binary(user)
        client.send(b"\x10" + bytes(40))
        self.assertTold(client.ws, CloseCode.PROTOCOL)
        self.assertState(user, UserState.PENDING)


class TimeTests(WsCase):
    """
    Clients that take their time.
    """

    def test_silence(self) -> None:
        """
        Who has not come in after 5 s is told so, in HTTP or as a close frame, and cut
        off if it does not go.
        """
        silent = self.client()
        halfway = self.client()
        halfway.send(upgrade()[:50])
        greeted, _ = self.greeted()
        unconfirmed = self.binary()
        inside = self.opened(self.user("inside"))
        self.advance(HANDSHAKE_TIME - 0.5)
        self.assertIs(silent.connection.phase, Phase.HELLO)
        self.advance(1.5)
        for client in (silent, halfway):
            client.turn()
            self.assertTrue(client.head.startswith(b"HTTP/1.1 408 "))
        greeted.turn()
        self.assertEqual(greeted.closed_with(), (4000 + CloseCode.HANDSHAKE, "HANDSHAKE"))
        unconfirmed.turn()
        self.assertEqual(unconfirmed.ws.closed_with(), (4000 + CloseCode.HANDSHAKE, "HANDSHAKE"))
        self.advance(LINGER + 1)
        for client in (silent, halfway, greeted, unconfirmed.ws):
            client.turn()
            self.assertTrue(client.socket.aborted)
        self.assertIs(inside.connection.phase, Phase.OPEN)

    def test_noTimersOfAutobahn(self) -> None:
        """
        The only timers are the sweeps, on the server's clock.
        """
        before = len(self.reactor.getDelayedCalls())
        client = self.opened()
        self.greeted()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)
        client.send(frame(CLOSE, b"\x03\xe8"))
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)

    def test_crowd(self) -> None:
        """
        One address cannot hold more than its share of connections that never came in;
        those that did come in do not count.
        """
        players = [self.opened(self.user(f"p{n}")) for n in range(5)]
        for _ in range(STRANGERS_PER_ADDRESS):
            self.client()
        self.assertRaises(AssertionError, self.client)
        self.assertEqual(self.factory.turned_away, 1)
        self.client(host="10.0.0.1")
        for player in players:
            player.request(ECHO, {})
            self.assertEqual(len(player.texts()), 1)
