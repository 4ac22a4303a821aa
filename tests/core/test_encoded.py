"""
Tests of L{diarkis_tw.core.encoded}.
"""

from collections import UserDict

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import Builtin, Status
from diarkis_tw.core.encoded import MESSAGE_MAX_BYTES, BuiltinPush, Encoded
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.json_message import encode_json_push, encode_json_response
from diarkis_tw.wire.message import PUSH_HEADER_SIZE, encode_push, encode_response
from diarkis_tw.wire.value import encode_value


class EncodedTests(SynchronousTestCase):
    """
    Messages on their way to many.
    """

    def test_push(self) -> None:
        """
        Without a status it is a push.
        """
        self.assertEqual(Encoded(2, 10, b"hello").binary, encode_push(2, 10, b"hello"))

    def test_response(self) -> None:
        """
        With a status it is a response to a request.
        """
        self.assertEqual(
            Encoded(2, 10, b"hello", Status.BAD, 7).binary,
            encode_response(2, 10, Status.BAD, 7, b"hello"),
        )

    def test_mapping(self) -> None:
        """
        A mapping of any class travels as MessagePack.
        """
        value = UserDict({"hp": 3})
        self.assertEqual(Encoded(2, 10, value).binary, encode_push(2, 10, encode_value({"hp": 3})))

    def test_once(self) -> None:
        """
        A value is encoded once, however many receive it.
        """
        asked = 0

        class Counting(UserDict[str, object]):
            def __getitem__(self, key: str) -> object:
                nonlocal asked
                asked += 1
                return super().__getitem__(key)

        encoded = Encoded(2, 10, Counting(hp=3))
        self.assertIs(encoded.binary, encoded.binary)
        self.assertEqual(asked, 1)

    def test_wrong(self) -> None:
        """
        What cannot be sent is its author's fault.
        """
        for wrong in (Encoded(256, 10, b""), Encoded(2, 65536, b""), Encoded(2, 10, {"a": self})):
            self.assertRaises(LocalProtocolError, getattr, wrong, "binary")

    def test_size(self) -> None:
        """
        A message of the greatest size can be sent, one byte more cannot.
        """
        payload = bytes(MESSAGE_MAX_BYTES - PUSH_HEADER_SIZE)
        self.assertEqual(len(Encoded(2, 10, payload).binary), MESSAGE_MAX_BYTES)
        self.assertRaises(LocalProtocolError, getattr, Encoded(2, 10, payload + b"!"), "binary")


class JsonTests(SynchronousTestCase):
    """
    The same messages as JSON.
    """

    def test_forms(self) -> None:
        """
        A push and a response, with bytes and with a value of any class of mapping.
        """
        value = UserDict({"hp": 3})
        self.assertEqual(Encoded(2, 10, value).json, encode_json_push(2, 10, {"hp": 3}))
        self.assertEqual(Encoded(2, 10, b"hello").json, encode_json_push(2, 10, b"hello"))
        self.assertEqual(
            Encoded(2, 10, b"hello", Status.BAD, 7).json,
            encode_json_response(2, 10, Status.BAD, 7, b"hello"),
        )

    def test_once(self) -> None:
        """
        The text is made once, and by itself: neither encoding needs the other.
        """
        encoded = Encoded(2, 10, {"hp": 3})
        self.assertIs(encoded.json, encoded.json)
        self.assertIs(Encoded(2, 10, {"hp": 2**64}).frame, None)
        self.assertIn(b"18446744073709551616", Encoded(2, 10, {"hp": 2**64}).json)

    def test_builtin(self) -> None:
        """
        A push of the server has a form of its own in each encoding.
        """
        push = BuiltinPush(Builtin.NODE_STATE, b"\x02", {"state": 2})
        self.assertEqual(push.binary, encode_push(0, 6, b"\x02"))
        self.assertEqual(push.json, encode_json_push(0, 6, {"state": 2}))

    def test_wrong(self) -> None:
        """
        What cannot be sent is its author's fault, a text that is too long too.
        """
        for wrong in (
            Encoded(256, 10, b""),
            Encoded(2, 65536, b""),
            Encoded(2, 10, {"a": self}),
            Encoded(2, 10, {"a": float("nan")}),
            Encoded(2, 10, bytes(MESSAGE_MAX_BYTES * 3 // 4)),
        ):
            self.assertRaises(LocalProtocolError, getattr, wrong, "json")
