"""
Tests of L{diarkis_tw.transports.ws}: messages of an open connection, and what a
hostile client can send.
"""

from hypothesis import given
from hypothesis import strategies as st

from diarkis_tw.config.settings import WsSettings
from diarkis_tw.constants import Builtin, CloseCode, Status
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import User, UserState
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.wire.handshake import REASON_MAX_BYTES
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.record import RecordType
from tests.raw_client import Close
from tests.transports.case import ECHO, SLOW
from tests.transports.ws_case import ANSWER, ASK, WsCase
from tests.transports.ws_client import (
    BINARY,
    CONTINUATION,
    TEXT,
    frame,
)


class JsonTests(WsCase):
    """
    Commands over JSON.
    """

    def test_bytes(self) -> None:
        """
        A handler of handle_command gets bytes as they are and a value as MessagePack;
        its bytes come back as base64.
        """
        client = self.opened()
        client.text(ASK)
        self.assertEqual(client.texts(), [ANSWER])
        client.request(ECHO, {"a": 1})
        client.request(ECHO)
        self.assertEqual(self.echoed, [b"abc", b"\x81\xa1a\x01", b""])
        self.assertNotIn("payload", client.texts()[1])  # type: ignore[arg-type]

    def test_builtins(self) -> None:
        """
        Keep-alive and ping speak JSON, and an error is an object.
        """
        user = self.user()
        client = self.opened(user)
        client.request(Builtin.KEEP_ALIVE, {"time": 5, "rtt": 17}, ver=0)
        client.request(Builtin.PING, {"x": [1]}, ver=0)
        client.request(Builtin.KEEP_ALIVE, {"time": -1}, ver=0)
        client.request(99)
        answers = client.texts()
        common = {"ver": 0, "cmd": 1, "id": 1}
        self.assertEqual(
            answers[0], {**common, "status": Status.OK, "payload": {"time": 5, "state": 1}}
        )
        self.assertEqual(answers[1]["payload"], {"x": [1]})  # type: ignore[index]
        for answer, code in ((answers[2], 1001), (answers[3], 1004)):
            self.assertEqual(answer["status"], Status.BAD)  # type: ignore[index]
            self.assertEqual(answer["payload"]["code"], code)  # type: ignore[index]
        self.assertEqual(user.latency, 17)

    def test_nodeState(self) -> None:
        """
        Clients are told as JSON that the node goes OFFLINE, and those of the binary
        subprotocol as a byte.
        """
        client = self.opened()
        other = self.binary(self.user("bob"))
        other.request(ECHO)
        other.raw.received.clear()
        self.server.offline()
        self.assertEqual(client.texts(), [])
        client.turn()
        push = {"ver": 0, "cmd": 6, "push": True, "payload": {"state": 2}}
        self.assertEqual(client.texts(), [push])
        other.turn()
        self.assertEqual(other.raw.received, [Push(0, 6, b"\x02")])

    def test_framedOnce(self) -> None:
        """
        One push to many is written as JSON and framed once; those who receive it in
        binary get MessagePack.
        """
        users = [self.user(f"u{n}") for n in range(3)]
        clients = [self.opened(user) for user in users]
        bob = self.user("bob")
        other = self.binary(bob)
        other.request(ECHO)
        push = Encoded(2, 50, {"a": 1})
        self.assertIsNone(push.frame)
        self.assertTrue(users[0].send(push, True))
        first = push.frame
        for user in (*users[1:], bob):
            self.assertTrue(user.send(push, True))
        self.assertIsNotNone(first)
        self.assertIs(push.frame, first)
        for client in clients:
            client.turn()
            self.assertEqual(
                client.texts(), [{"ver": 2, "cmd": 50, "push": True, "payload": {"a": 1}}]
            )
        other.turn()
        self.assertEqual(other.raw.received[-1], Push(2, 50, b"\x81\xa1a\x01"))

    def test_frameSizes(self) -> None:
        """
        Messages of every length of the length itself arrive whole.
        """
        user = self.user()
        client = self.opened(user)
        other_user = self.user("bob")
        other = self.binary(other_user)
        other.request(ECHO)
        for size in (0, 1, 60, 70, 125, 126, 65_400, 65_535, 65_536, 300_000):
            user.server_push(2, 50, {"a": "x" * size})
            other_user.server_push(2, 50, b"x" * size)
            client.turn()
            other.turn()
            ((push),) = client.texts()
            self.assertEqual(push["payload"], {"a": "x" * size})  # type: ignore[index]
            self.assertEqual(other.raw.received[-1], Push(2, 50, b"x" * size))

    def test_waitsWhileAway(self) -> None:
        """
        What was sent while a user was away comes when it is back, whatever it comes by.
        """
        user = self.user()
        client = self.opened(user)
        client.socket.cut()
        client.turn()
        user.server_push(2, 50, {"a": 1})
        back, nonce = self.greeted()
        back.text(back.auth(user.keys, nonce))
        ready, push = back.texts()
        self.assertEqual(list(ready), ["ready"])  # type: ignore[call-overload]
        self.assertEqual(push["payload"], {"a": 1})  # type: ignore[index]

    def test_unsendable(self) -> None:
        """
        A value that JSON cannot say is the application's fault, and nobody else's.
        """
        client = self.opened()
        self.at_echo = lambda: (_ for _ in ()).throw(ValueError("x"))
        client.text(ASK)
        self.assertEqual(client.texts()[0]["payload"]["code"], 9999)  # type: ignore[index]
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.at_echo = lambda: None
        client.text(ASK)
        self.assertEqual(client.texts(), [ANSWER])

    def test_fin(self) -> None:
        """
        fin ends the session for good.
        """
        user = self.user()
        client = self.opened(user)
        client.request(Builtin.FIN, ver=0)
        self.assertTold(client, CloseCode.NORMAL)
        self.assertState(user, UserState.GONE)
        self.assertEqual(self.left, ["alice"])

    def test_order(self) -> None:
        """
        Commands behind one that takes its time wait for it, and none is lost or
        repeated when reading stops in the middle of a chunk.
        """
        user = self.user()
        client = self.opened(user)
        client.request(SLOW)
        client.send(*(frame(TEXT, ASK) for _ in range(300)))
        self.assertEqual(client.texts(), [])
        self.assertFalse(client.socket.reading)
        self.slow[b""].callback(b"slow")
        client.turn()
        answers = client.texts()
        self.assertEqual(len(answers), 301)
        self.assertEqual(answers[1:], [ANSWER] * 300)
        self.assertTrue(client.socket.reading)

    def test_rate(self) -> None:
        """
        Commands above the rate wait unread.
        """
        self.serve(rate=10)
        client = self.opened()
        client.send(*(frame(TEXT, ASK) for _ in range(300)))
        self.assertLess(len(client.texts()), 260)
        self.assertFalse(client.socket.reading)
        self.advance(1)
        client.turn()
        self.assertGreaterEqual(len(client.texts()), 5)


class HostileJsonTests(WsCase):
    """
    JSON that nobody should send.
    """

    def test_badTexts(self) -> None:
        """
        A text that is no command ends its connection with PROTOCOL and its user's
        session; others do not notice.
        """
        bystander = self.opened(self.user("bystander"))
        deep = b'{"ver":2,"cmd":10,"payload":' + b'{"a":' * 900 + b"1" + b"}" * 901
        for n, text in enumerate(
            (
                b"",
                b"[]",
                b"x",
                b'{"ver":2}',
                b'{"ver":2,"ver":2,"cmd":10}',
                b'{"ver":2,"cmd":10,"payload":{"a":NaN}}',
                b'{"ver":2,"cmd":10,"payload":{"a":1,"a":1}}',
                b'{"ver":2,"cmd":10,"payload":{"base64":"*"}}',
                b'{"ver":2,"cmd":10,"payload":{"a":"\\ud800"}}',
                deep,
            )
        ):
            user = self.user(f"u{n}")
            client = self.opened(user)
            client.text(text)
            self.assertEqual(client.texts(), [])
            self.assertTold(client, CloseCode.PROTOCOL)
            self.assertState(user, UserState.GONE)
        bystander.text(ASK)
        self.assertEqual(bystander.texts(), [ANSWER])
        self.assertEqual(self.echoed, [b"abc"])

    def test_bigInteger(self) -> None:
        """
        An integer that MessagePack cannot say is BAD for a handler that would get it as
        that.
        """
        client = self.opened()
        client.text(b'{"ver":2,"cmd":10,"payload":{"a":%d},"id":7}' % 2**70)
        (answer,) = client.texts()
        self.assertEqual(answer["payload"]["code"], 1001)  # type: ignore[index]
        client.text(ASK)
        self.assertEqual(client.texts(), [ANSWER])

    def test_tooLarge(self) -> None:
        """
        A text of maxRcvSize bytes passes, one byte more is TOO_LARGE, before it has come.
        """
        self.serve(WsSettings(max_rcv_size=300))
        client = self.opened()
        text = ASK.ljust(300)
        client.text(text)
        self.assertEqual(client.texts(), [ANSWER])
        client.send(frame(TEXT, b"", length=301))
        self.assertTold(client, CloseCode.TOO_LARGE)

    def test_tooLargeInFragments(self) -> None:
        """
        The sum of a message's fragments counts.
        """
        self.serve(WsSettings(max_rcv_size=300))
        client = self.opened()
        client.send(frame(TEXT, bytes(150), fin=False), frame(CONTINUATION, bytes(150), fin=False))
        self.assertIs(client.connection.phase, Phase.OPEN)
        client.send(frame(CONTINUATION, b"x", fin=False))
        self.assertTold(client, CloseCode.TOO_LARGE)

    def test_binaryOnJson(self) -> None:
        """
        A binary message on the subprotocol of texts is PROTOCOL, before hello is
        answered too.
        """
        for client in (self.opened(), self.greeted()[0]):
            client.send(frame(BINARY, ASK))
            self.assertTold(client, CloseCode.PROTOCOL)

    @given(st.binary(max_size=100))
    def test_anyBytesRaise(self, data: bytes) -> None:
        """
        Any bytes as frames end that connection or wait for more; nothing escapes.
        """
        client = self.opened(self.user(f"u{self._clients}"))
        client.send(data)
        client.send(frame(TEXT, data))
        client.socket.cut()
        client.turn()
        self.assertTrue(client.socket.ended)


class BinaryTests(WsCase):
    """
    Records.
    """

    def test_commands(self) -> None:
        """
        Commands are answered, values come as MessagePack.
        """
        user = self.user()
        client = self.binary(user)
        client.send(*(client.raw.request(2, ECHO, b"%d" % n, n) for n in (1, 2, 3)))
        self.assertEqual(
            client.raw.received, [Response(2, ECHO, Status.OK, n, b"%d" % n) for n in (1, 2, 3)]
        )
        user.server_push(2, 50, {"a": 1})
        client.turn()
        self.assertEqual(client.raw.received[-1], Push(2, 50, b"\x81\xa1a\x01"))

    def test_keepAlive(self) -> None:
        """
        Built-in commands are those of TCP.
        """
        client = self.binary()
        client.send(client.raw.request(0, 1, bytes(8) + b"\xff\xff", 0))
        self.assertEqual(client.raw.received, [Response(0, 1, Status.OK, 0, bytes(8) + b"\x01")])

    def test_close(self) -> None:
        """
        A client's CLOSE NORMAL ends the session, and is answered with a close frame.
        """
        user = self.user()
        client = self.binary(user)
        client.request(ECHO)
        client.send(client.raw.close())
        self.assertClosing(client.ws, 1000)
        self.assertState(user, UserState.GONE)

    def test_closed(self) -> None:
        """
        The server's CLOSE is a sealed record, and the close frame repeats it.
        """
        user = self.user()
        client = self.binary(user)
        client.request(ECHO)
        user.disconnect()
        client.turn()
        self.assertEqual(client.raw.received[-1], Close(CloseCode.KICKED, ""))
        self.assertTold(client.ws, CloseCode.KICKED)

    def test_forgedOrRepeated(self) -> None:
        """
        A record that does not open, one seen before, one with another type and text end
        the connection with PROTOCOL.
        """
        for n in range(5):
            client = self.binary(self.user(f"u{n}"))
            client.request(ECHO, b"once")
            record = client.raw.request(2, ECHO, b"twice")
            bad = (
                (BINARY, record[:-1] + bytes((record[-1] ^ 1,))),
                (BINARY, b"\x11" + record[1:]),
                (BINARY, b"\x10"),
                (BINARY, b""),
                (TEXT, record[:1] * 20),
            )[n]
            client.ws.send(frame(*bad))
            client.turn()
            self.assertTold(client.ws, CloseCode.PROTOCOL)
        self.assertEqual(self.echoed, [b"once"] * 5)

    def test_unknownType(self) -> None:
        """
        A sealed record of a type that is none is PROTOCOL.
        """
        client = self.binary()
        client.send(client.raw.record(0x12, b""))
        client.turn()
        self.assertTold(client.ws, CloseCode.PROTOCOL)

    def test_limit(self) -> None:
        """
        The payload counts against maxRcvSize; a CLOSE with the longest reason passes in
        any case.
        """
        self.serve(WsSettings(max_rcv_size=300))
        user = self.user()
        client = self.binary(user)
        client.request(ECHO, bytes(300))
        self.assertEqual(self.echoed, [bytes(300)])
        client.ws.send(frame(BINARY, client.raw.request(2, ECHO, bytes(301))))
        client.turn()
        self.assertTold(client.ws, CloseCode.TOO_LARGE)
        self.serve(WsSettings(max_rcv_size=256))
        client = self.binary(user := self.user())
        client.request(ECHO)
        client.send(client.raw.record(RecordType.CLOSE, b"\x00" + b"x" * REASON_MAX_BYTES))
        self.assertState(user, UserState.GONE)


class WsCommandTests(WsCase):
    """
    Handlers of handle_ws_command.
    """

    def register(self) -> None:
        self.got: list[object] = []

        def handler(ver: float, cmd: float, payload: object, user: User) -> object:
            self.got.append((ver, cmd, payload))
            return payload

        self.server.handle_ws_command(2.0, 10.0, handler)

    def test_mapping(self) -> None:
        """
        They get what came as a mapping, bytes in their JSON form, and answer either;
        others get the handlers of handle_command.
        """
        client = self.opened()
        sent = ({"a": {"b": [1, None]}}, None, {"base64": "YQ=="}, {"a": 2**70})
        for payload in sent:
            client.request(ECHO, payload)
        self.assertEqual(self.got, [(2, 10, payload or {}) for payload in sent])
        answers = [answer.get("payload") for answer in client.texts()]  # type: ignore[attr-defined]
        self.assertEqual(answers, [payload or {} for payload in sent])
        self.assertEqual(self.echoed, [])
        other = self.binary(self.user("bob"))
        other.request(ECHO, b"raw")
        self.assertEqual(self.echoed, [b"raw"])
