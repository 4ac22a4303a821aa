"""
Tests of L{diarkis_tw.transports.ws}: messages and frames of an open connection, and
what a hostile client can send.
"""

import txaio
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher

from diarkis_tw.config.settings import WsSettings
from diarkis_tw.constants import Builtin, CloseCode, Status
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import User, UserState
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.transports.ws import CONTROL_FRAMES, CONTROL_PERIOD, FRAGMENTS
from diarkis_tw.wire.handshake import REASON_MAX_BYTES
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.record import RecordType
from tests.raw_client import Close
from tests.transports.case import ECHO, SLOW
from tests.transports.ws_case import WsCase
from tests.transports.ws_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WsClient,
    frame,
)

ASK = b'{"ver":2,"cmd":10,"payload":{"base64":"YWJj"},"id":7}'
ANSWER = {"ver": 2, "cmd": 10, "status": 1, "payload": {"base64": "YWJj"}, "id": 7}


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


class FrameTests(WsCase):
    """
    Frames as RFC 6455 has them, and as it has them not.
    """

    def test_fragments(self) -> None:
        """
        A message may come in fragments of any size, with pings between them, and in
        chunks of any size.
        """
        client = self.opened()
        for size in (1, 7, 30):
            parts = [ASK[start : start + size] for start in range(0, len(ASK), size)]
            stream = b"".join(
                frame(CONTINUATION if n else TEXT, part, fin=n == len(parts) - 1)
                + (frame(PING, b"%d" % n) if n < 3 else b"")
                for n, part in enumerate(parts)
            )
            for start in range(0, len(stream), 5):
                client.send(stream[start : start + 5])
            pongs = [payload for opcode, payload in client.frames if opcode == PONG]
            self.assertEqual(pongs, [b"%d" % n for n in range(min(3, len(parts)))])
            self.assertEqual(client.texts(), [ANSWER])
            client.frames.clear()
            self.advance(CONTROL_PERIOD)

    def test_emptyFragments(self) -> None:
        """
        Empty fragments are legal, but not for ever.
        """
        client = self.opened()
        client.send(
            frame(TEXT, b"", fin=False),
            *[frame(CONTINUATION, b"", fin=False)] * (FRAGMENTS - 2),
            frame(CONTINUATION, ASK),
        )
        self.assertEqual(client.texts(), [ANSWER])
        client.send(frame(TEXT, b"", fin=False), *[frame(CONTINUATION, b"", fin=False)] * FRAGMENTS)
        self.assertTold(client, CloseCode.PROTOCOL)

    def test_looksLikeOne(self) -> None:
        """
        Bytes that look like a message, but belong to a frame that began before them, are
        no message.
        """
        alike = frame(TEXT, ASK)
        client = self.opened()
        client.send(frame(PING, b"", length=len(alike), mask=bytes(4)))
        client.send(alike)
        self.assertEqual(client.frames, [(PONG, alike)])
        client.send(frame(TEXT, b"", length=len(alike), mask=bytes(4)))
        client.send(alike)
        self.assertClosing(client, 1007)
        client = self.opened()
        client.send(frame(TEXT, b"", fin=False))
        client.send(alike)
        self.assertClosing(client, 1002)
        client = self.opened()
        client.send(b"\x81")
        client.send(alike)
        self.assertIsNotNone(client.closed_with())
        self.assertEqual(self.echoed, [])

    def test_violations(self) -> None:
        """
        What RFC 6455 forbids is answered with 1002, and ends the session.
        """
        inside = frame(TEXT, b"{", fin=False)
        for n, stream in enumerate(
            (
                frame(TEXT, ASK, mask=None),
                frame(PING, b"", mask=None),
                frame(TEXT, ASK, rsv=1),
                frame(TEXT, ASK, rsv=4),
                frame(PING, b"", rsv=2),
                frame(3, b""),
                frame(7, b""),
                frame(11, b""),
                frame(15, b""),
                frame(CONTINUATION, ASK),
                inside + frame(TEXT, ASK),
                inside + frame(BINARY, ASK),
                frame(PING, b"x", fin=False),
                frame(PONG, b"x", fin=False),
                frame(CLOSE, b"\x03\xe8", fin=False),
                frame(PING, bytes(126)),
                frame(PING, b"", length=2**40),
                frame(CLOSE, b"x"),
                frame(TEXT, ASK, width=16),
                frame(TEXT, ASK, width=64),
                frame(TEXT, b"", length=2**63 + 5, width=64),
            )
        ):
            user = self.user(f"u{n}")
            client = self.opened(user)
            client.send(stream)
            self.assertEqual(client.texts(), [], n)
            self.assertClosing(client, 1002)
            self.assertState(user, UserState.GONE)

    def test_notUtf8(self) -> None:
        """
        A text that is no UTF-8 is answered with 1007, one that is cut within a
        character in fragments is not.
        """
        for n, bad in enumerate(
            (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf")
        ):
            client = self.opened(self.user(f"u{n}"))
            client.send(frame(TEXT, ASK[:-1] + bad))
            self.assertEqual(client.texts(), [])
            self.assertClosing(client, 1007)
        client = self.opened()
        text = '{"ver":0,"cmd":3,"payload":{"a":"Zoë€😀"},"id":1}'.encode()
        for cut in range(33, 43):
            client.send(frame(TEXT, text[:cut], fin=False), frame(CONTINUATION, text[cut:]))
            (answer,) = client.texts()
            self.assertEqual(answer["payload"], {"a": "Zoë€😀"})  # type: ignore[index]

    def test_huge(self) -> None:
        """
        A frame that announces more than anybody may send is refused at its header.
        """
        for length in (8001, 2**31, 2**62):
            client = self.opened()
            client.send(frame(TEXT, b"", length=length))
            self.assertTold(client, CloseCode.TOO_LARGE)

    def test_pings(self) -> None:
        """
        A ping is answered with its own payload; a pong that nobody asked for is ignored.
        """
        client = self.opened()
        for payload in (b"", b"x", bytes(125)):
            client.send(frame(PING, payload), frame(PONG, payload))
            self.assertEqual(client.frames, [(PONG, payload)])
            client.frames.clear()

    def test_pingFlood(self) -> None:
        """
        More control frames than any client needs end the connection, from a stranger
        too; the same number in good time does not.
        """
        client = self.opened()
        for _ in range(5):
            client.send(*[frame(PING, b"x")] * CONTROL_FRAMES)
            self.assertIs(client.connection.phase, Phase.OPEN)
            self.advance(CONTROL_PERIOD)
            client.request(Builtin.PING, ver=0)
        client.send(*[frame(PONG)] * 10_000)
        self.assertTold(client, CloseCode.RATE)
        stranger, _ = self.greeted()
        stranger.send(*[frame(PING)] * 10_000)
        self.assertTold(stranger, CloseCode.RATE)

    def test_pingsAreNoLife(self) -> None:
        """
        Control frames do not keep a silent user alive.
        """
        user = self.user()
        client = self.opened(user)
        for _ in range(12):
            client.send(frame(PING))
            self.advance(1)
        client.turn()
        self.assertEqual(client.closed_with(), (4000 + CloseCode.TIMEOUT, "TIMEOUT"))
        self.assertState(user, UserState.AWAY)

    def test_closeFrames(self) -> None:
        """
        A client's close frame is answered with its status. Over JSON 1000 ends the
        session, as do the numbers of this protocol; with others and none the user may
        come back. Nothing is read behind it.
        """
        for n, (payload, status, state) in enumerate(
            (
                (b"\x03\xe8", 1000, UserState.GONE),
                (b"\x03\xe8bye", 1000, UserState.GONE),
                (b"\x0f\xa0", 4000, UserState.GONE),
                (b"\x03\xe9", 1001, UserState.AWAY),
                (b"\x0f\xa2", 4002, UserState.AWAY),
                (b"\x0b\xb8", 3000, UserState.AWAY),
                (b"", None, UserState.AWAY),
            )
        ):
            user = self.user(f"u{n}")
            client = self.opened(user)
            client.send(frame(CLOSE, payload), frame(TEXT, ASK))
            self.assertState(user, state)
            self.assertEqual(
                client.frames, [(CLOSE, b"" if status is None else status.to_bytes(2))]
            )
            self.assertEnding(client)
        self.assertEqual(self.echoed, [])

    def test_badCloseFrames(self) -> None:
        """
        A close status that must not be sent is answered with 1002, a reason that is no
        UTF-8 with 1007.
        """
        for n, status in enumerate((0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)):
            client = self.opened(self.user(f"u{n}"))
            client.send(frame(CLOSE, status.to_bytes(2)))
            self.assertClosing(client, 1002)
        client = self.opened()
        client.send(frame(CLOSE, b"\x03\xe8\xff"))
        self.assertClosing(client, 1007)

    def test_closeUnsealed(self) -> None:
        """
        Over the binary subprotocol a close frame without a CLOSE before it proves
        nothing: the user may come back.
        """
        user = self.user()
        client = self.binary(user)
        client.request(ECHO)
        client.ws.send(frame(CLOSE, b"\x03\xe8"))
        self.assertState(user, UserState.AWAY)
        self.assertEnding(client.ws)


class SilenceTests(WsCase):
    """
    What a client does is nobody's log entry.
    """

    def test_nothingLogged(self) -> None:
        """
        Whatever a client sends, from its handshake to its end, nothing is logged, not
        even where somebody wants to know all about Autobahn.
        """
        txaio.set_global_log_level("debug")
        self.addCleanup(txaio.set_global_log_level, "info")
        events: list[object] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)

        def spoil(client: WsClient, data: bytes) -> None:
            client.send(data)
            client.socket.cut()
            client.turn()

        spoil(self.client(), b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n")
        spoil(self.client(), b"\xff\x00" * 9000)
        spoil(self.upgraded(), frame(TEXT, b"x"))
        spoil(self.opened(), frame(TEXT, b"x"))
        spoil(self.opened(), frame(TEXT, ASK, rsv=7))
        spoil(self.opened(), frame(TEXT, b"", length=2**60))
        spoil(self.opened(), frame(CLOSE, b"\x00"))
        spoil(self.opened(), frame(TEXT, ASK) + frame(PING))
        self.assertEqual(events, [])


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
