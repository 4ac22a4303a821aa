"""
Tests of L{diarkis_tw.wire.websocket}.
"""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import (
    FRAME_BINARY,
    FRAME_TEXT,
    close_status,
    split_ws_record,
    status_close_code,
    whole_message,
    ws_header,
)
from tests.strategies import payloads
from tests.transports.ws_client import BINARY, CONTINUATION, PING, TEXT, frame

LIMIT = 2**16


class RecordTests(SynchronousTestCase):
    """
    Binary messages.
    """

    @given(payloads)
    def test_roundTrip(self, body: bytes) -> None:
        """
        Header and body come out as they went in, for each type.
        """
        for kind in RecordType:
            header = ws_header(kind)
            self.assertEqual(split_ws_record(header + body), (kind, header, body))

    def test_empty(self) -> None:
        """
        An empty message has no type.
        """
        self.assertRaises(RemoteProtocolError, split_ws_record, b"")


class WholeMessageTests(SynchronousTestCase):
    """
    L{whole_message}.
    """

    @given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
    @example(b"", b"abcd")
    @example(bytes(125), b"abcd")
    @example(bytes(126), b"abcd")
    @example(bytes(127), b"abcd")
    @example(b"\xff" * 0xFFFF, b"\xff\xff\xff\xff")
    def test_whole(self, payload: bytes, mask: bytes) -> None:
        """
        A message in one frame is read, with any mask.
        """
        for first, opcode in ((FRAME_TEXT, TEXT), (FRAME_BINARY, BINARY)):
            whole = frame(opcode, payload, mask=mask)
            self.assertEqual(whole_message(whole, first, LIMIT), payload)

    @given(st.binary(max_size=40) | st.binary(max_size=140).map(b"\x81\x85".__add__))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Other bytes are not a message, whatever they are.
        """
        message = whole_message(data, FRAME_TEXT, LIMIT)
        if message is not None:
            self.assertEqual(frame(TEXT, message, mask=data[2:6]), data)

    def test_others(self) -> None:
        """
        What is more or less than one message, or is not as RFC 6455 has it, is left alone.
        """
        for payload in (b"", b"x" * 125, b"x" * 126, b"x" * 5000):
            whole = frame(TEXT, payload)
            for other in (
                whole[:-1],
                whole[:2],
                whole[:1],
                b"",
                whole + b"\x81",
                whole * 2,
                frame(TEXT, payload, fin=False),
                frame(TEXT, payload, rsv=1),
                frame(TEXT, payload, mask=None),
                frame(TEXT, payload, width=64),
                frame(BINARY, payload),
                frame(CONTINUATION, payload),
                frame(PING, payload),
            ):
                self.assertIsNone(whole_message(other, FRAME_TEXT, LIMIT))
        for size in (0, 1, 119, 120, 125):
            self.assertIsNone(whole_message(frame(TEXT, bytes(size), width=16), FRAME_TEXT, LIMIT))

    def test_limit(self) -> None:
        """
        A message above the limit is left alone, one at the limit is not.
        """
        for size in (100, 125, 126, 8000):
            self.assertEqual(whole_message(frame(TEXT, bytes(size)), FRAME_TEXT, size), bytes(size))
            self.assertIsNone(whole_message(frame(TEXT, bytes(size)), FRAME_TEXT, size - 1))


class StatusTests(SynchronousTestCase):
    """
    Close statuses.
    """

    def test_roundTrip(self) -> None:
        """
        Each close code has a status of its own, at 4000 and up.
        """
        for code in CloseCode:
            self.assertEqual(close_status(code), 4000 + code)
            self.assertIs(status_close_code(4000 + code), code)

    def test_others(self) -> None:
        """
        1000 is NORMAL, other statuses of RFC 6455 and none are no reason, unknown
        private ones are INTERNAL.
        """
        self.assertIs(status_close_code(1000), CloseCode.NORMAL)
        for status in (None, 1001, 1005, 1006, 1011, 3000, 3999):
            self.assertIsNone(status_close_code(status))
        for status in (4200, 4256, 4999, 65535):
            self.assertIs(status_close_code(status), CloseCode.INTERNAL)
