"""
Tests of L{diarkis_tw.wire.message}.
"""

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import Status
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.message import (
    PUSH_HEADER_SIZE,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    Push,
    Request,
    Response,
    decode_request,
    decode_server_message,
    encode_push,
    encode_request,
    encode_response,
)
from diarkis_tw.wire.value import encode_value
from tests.strategies import payloads, statuses, u8, u16


class RequestTests(SynchronousTestCase):
    """
    Requests.
    """

    @given(u8, u16, u16, payloads)
    def test_roundTrip(self, ver: int, cmd: int, request_id: int, payload: bytes) -> None:
        """
        What was written is read.
        """
        message = encode_request(ver, cmd, request_id, payload)
        self.assertEqual(len(message), REQUEST_HEADER_SIZE + len(payload))
        self.assertEqual(decode_request(message), (ver, cmd, request_id, payload))

    @given(payloads)
    def test_anyBytesRaise(self, message: bytes) -> None:
        """
        Any five bytes or more are a request, which is written the same; fewer are
        refused.
        """
        if len(message) < REQUEST_HEADER_SIZE:
            self.assertRaises(RemoteProtocolError, decode_request, message)
        else:
            self.assertEqual(encode_request(*decode_request(message)), message)

    def test_headerOffByOne(self) -> None:
        """
        Five bytes are a request without payload, four are none.
        """
        self.assertEqual(decode_request(b"\x02\x00\x0a\x00\x07"), (2, 10, 7, b""))
        self.assertRaises(RemoteProtocolError, decode_request, b"\x02\x00\x0a\x00")

    def test_rangeUnchecked(self) -> None:
        """
        Numbers at the ends of their ranges are written, those beyond refused.
        """
        encode_request(255, 65535, 65535, b"")
        for numbers in ((256, 0, 0), (-1, 0, 0), (0, 65536, 0), (0, -1, 0), (0, 0, 65536)):
            self.assertRaises(LocalProtocolError, encode_request, *numbers, b"")


class ClassesTests(SynchronousTestCase):
    """
    The classes that stand for messages on all transports.
    """

    def test_encode(self) -> None:
        """
        A request is written with its payload, a value as MessagePack.
        """
        self.assertEqual(Request(2, 10, 7, b"x").encode(), encode_request(2, 10, 7, b"x"))
        value = encode_value({"a": 1})
        self.assertEqual(Request(2, 10, 7, {"a": 1}).encode(), encode_request(2, 10, 7, value))
        self.assertRaises(LocalProtocolError, Request(2, 10, 7, {"a": object()}).encode)

    def test_value(self) -> None:
        """
        Responses and pushes read their value, MessagePack or map.
        """
        for payload in (encode_value({"a": 1}), {"a": 1}):
            self.assertEqual(Response(2, 10, Status.OK, 0, payload).value(), {"a": 1})
            self.assertEqual(Push(2, 10, payload).value(), {"a": 1})
        self.assertRaises(RemoteProtocolError, Push(2, 10, b"text").value)


class ServerMessageTests(SynchronousTestCase):
    """
    Responses and pushes.
    """

    @given(u8, u16, statuses, u16, payloads)
    def test_responseRoundTrip(
        self, ver: int, cmd: int, status: Status, request_id: int, payload: bytes
    ) -> None:
        """
        A response is read as it was written, its status as L{Status}.
        """
        message = encode_response(ver, cmd, status, request_id, payload)
        self.assertEqual(len(message), RESPONSE_HEADER_SIZE + len(payload))
        found = decode_server_message(message)
        self.assertEqual(found, Response(ver, cmd, status, request_id, payload))
        assert isinstance(found, Response)
        self.assertIs(found.status, status)

    @given(u8, u16, payloads)
    def test_pushRoundTrip(self, ver: int, cmd: int, payload: bytes) -> None:
        """
        A push is read as it was written.
        """
        message = encode_push(ver, cmd, payload)
        self.assertEqual(len(message), PUSH_HEADER_SIZE + len(payload))
        self.assertEqual(decode_server_message(message), Push(ver, cmd, payload))

    @given(payloads)
    def test_anyBytesRaise(self, message: bytes) -> None:
        """
        Any bytes are a message that is written the same, or refused.
        """
        try:
            found = decode_server_message(message)
        except RemoteProtocolError:
            return
        if isinstance(found, Push):
            again = encode_push(found.ver, found.cmd, found.payload)
        else:
            again = encode_response(
                found.ver, found.cmd, found.status, found.request_id, found.payload
            )
        self.assertEqual(again, message)

    def test_statusUnchecked(self) -> None:
        """
        Of all 256 statuses, 1, 4 and 5 are responses, 255 is a push, and the others
        are refused, in reading and in writing.
        """
        for status in range(256):
            message = bytes((2, 0, 10, status, 0, 7, 33))
            if status == 255:
                self.assertEqual(decode_server_message(message), Push(2, 10, b"\x00\x07!"))
            elif status in (1, 4, 5):
                self.assertEqual(
                    decode_server_message(message), Response(2, 10, Status(status), 7, b"!")
                )
                self.assertEqual(encode_response(2, 10, status, 7, b"!"), message)
                continue
            else:
                self.assertRaises(RemoteProtocolError, decode_server_message, message)
            self.assertRaises(LocalProtocolError, encode_response, 2, 10, status, 7, b"!")

    def test_headerOffByOne(self) -> None:
        """
        Six bytes are a response and four a push without payload; one less is none.
        """
        self.assertEqual(
            decode_server_message(b"\x02\x00\x0a\x01\x00\x07"), Response(2, 10, Status.OK, 7, b"")
        )
        self.assertEqual(decode_server_message(b"\x02\x00\x0b\xff"), Push(2, 11, b""))
        for short in (b"\x02\x00\x0a\x01\x00", b"\x02\x00\x0b"):
            self.assertRaises(RemoteProtocolError, decode_server_message, short)

    def test_rangeUnchecked(self) -> None:
        """
        Numbers at the ends of their ranges are written, those beyond refused.
        """
        encode_response(255, 65535, 5, 65535, b"")
        encode_push(255, 65535, b"")
        for numbers in ((256, 0, 1, 0), (0, 65536, 1, 0), (0, 0, 1, 65536), (0, 0, 1, -1)):
            self.assertRaises(LocalProtocolError, encode_response, *numbers, b"")
        for pair in ((256, 0), (-1, 0), (0, 65536), (0, -1)):
            self.assertRaises(LocalProtocolError, encode_push, *pair, b"")
