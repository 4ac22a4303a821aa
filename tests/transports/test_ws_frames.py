"""
Tests of L{diarkis_tw.transports.ws}: frames of an open connection, and what a hostile
client can make of them.
"""

import txaio
from twisted.logger import globalLogPublisher

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.transports.ws import CONTROL_FRAMES, CONTROL_PERIOD, FRAGMENTS
from tests.transports.case import ECHO
from tests.transports.ws_case import ANSWER, ASK, WsCase
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
