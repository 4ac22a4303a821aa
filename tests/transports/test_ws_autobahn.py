"""
The same frames for this server and for a plain Autobahn endpoint: both must find
the same fault.
"""

import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.transports.ws_case import WsCase
from tests.transports.ws_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    parse_frames,
    upgrade,
)

START = frame(TEXT, b"{", fin=False)

FAULTS = (
    frame(TEXT, b"x", mask=None),
    *(frame(TEXT, b"x", rsv=rsv) for rsv in range(1, 8)),
    *(frame(PING, b"x", rsv=rsv) for rsv in range(1, 8)),
    *(frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *(frame(opcode, b"", fin=False) for opcode in (CLOSE, PING, PONG)),
    *(frame(opcode, bytes(126)) for opcode in (CLOSE, PING, PONG)),
    *(frame(opcode, b"", length=2**16) for opcode in (CLOSE, PING, PONG)),
    frame(CONTINUATION, b"x"),
    frame(CONTINUATION, b"x", fin=False),
    START + frame(TEXT, b"x"),
    START + frame(BINARY, b"x"),
    frame(TEXT, b"x", width=16),
    frame(TEXT, b"x" * 125, width=64),
    frame(TEXT, b"x" * 200, width=64),
    frame(TEXT, b"", length=2**63, width=64),
    frame(CLOSE, b"x"),
    *(
        frame(CLOSE, status.to_bytes(2))
        for status in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    frame(CLOSE, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"),
    frame(CLOSE, b"\x03\xe8\xff"),
    frame(TEXT, b"\xff"),
    frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    frame(TEXT, b"\xc3"),
    frame(TEXT, b"\xf4\x90\x80\x80"),
    frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"\x28"),
    frame(TEXT, b"\xe2\x82", fin=False) + frame(PING) + frame(CONTINUATION, b""),
)


class LenientTransport(StringTransport):
    """
    One that, as a socket, may be told twice that there is no producer.
    """

    def unregisterProducer(self) -> None:
        self.producer = None


class PlainEndpointTests(WsCase):
    """
    A WebSocketServerProtocol as it comes, but for not dropping who errs.
    """

    def setUp(self) -> None:
        super().setUp()
        # Where Autobahn's timers run, of which this server has none.
        before = getattr(txaio.config, "loop", None)
        txaio.config.loop = self.clock = Clock()
        self.addCleanup(setattr, txaio.config, "loop", before)

    def plain_status(self, stream: bytes) -> int:
        """
        What a plain endpoint closes with.
        """
        factory = WebSocketServerFactory(reactor=self.clock)
        factory.setProtocolOptions(failByDrop=False)
        factory.protocol = WebSocketServerProtocol
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = LenientTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(upgrade(None))
        protocol.dataReceived(stream)
        _, _, data = transport.value().partition(b"\r\n\r\n")
        frames, rest = parse_frames(data)
        self.assertEqual(rest, b"")
        (payload,) = [payload for first, payload in frames if first == 0x88]
        return int.from_bytes(payload[:2])

    def test_sameStatus(self) -> None:
        """
        Each fault is answered with the status that Autobahn gives it, whether the bytes
        come at once or one by one.
        """
        for n, stream in enumerate(FAULTS):
            wanted = self.plain_status(stream)
            self.assertIn(wanted, (1002, 1007))
            for size in (len(stream), 1):
                client = self.opened(self.user(f"u{n}"))
                for start in range(0, len(stream), size):
                    client.send(stream[start : start + size])
                self.assertClosing(client, wanted)
