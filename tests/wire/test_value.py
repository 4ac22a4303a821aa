"""
Tests of L{diarkis_tw.wire.value}.
"""

from collections import OrderedDict
from types import MappingProxyType

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.value import (
    decode_error,
    decode_value,
    encode_error,
    encode_payload,
    encode_value,
    value_of,
)
from tests.strategies import payloads, values


class ValueTests(SynchronousTestCase):
    """
    Maps.
    """

    @given(values)
    def test_roundTrip(self, value: dict[str, object]) -> None:
        """
        What was written is read.
        """
        self.assertEqual(decode_value(encode_value(value)), value)

    @given(
        payloads
        | st.builds(lambda size, rest: bytes((0x80 | size,)) + rest, st.integers(0, 4), payloads)
    )
    def test_anyBytesRaise(self, data: bytes) -> None:
        """
        Any bytes give a map with string keys or L{RemoteProtocolError}.
        """
        try:
            found = decode_value(data)
        except RemoteProtocolError:
            return
        self.assertTrue(all(type(key) is str for key in found))

    def test_otherMappingsRefused(self) -> None:
        """
        Every kind of mapping is written, outside and inside, as a dict would be.
        """
        plain = encode_value({"a": {"b": 1}})
        for inner in (OrderedDict(b=1), MappingProxyType({"b": 1})):
            self.assertEqual(encode_value({"a": inner}), plain)
            self.assertEqual(encode_value(MappingProxyType({"a": inner})), plain)

    def test_unsendable(self) -> None:
        """
        What MessagePack cannot say is the caller's fault, and the text names it.
        """
        deep: dict[str, object] = {}
        for _ in range(100_000):
            deep = {"a": deep}
        loop: dict[str, object] = {}
        loop["a"] = loop
        for value, text in (
            ({"a": object()}, "object"),
            ({"a": [complex(1)]}, "complex"),
            ([1], "list"),
            ("text", "str"),
            (None, "NoneType"),
            ({"a": 2**64}, "64"),
            ({"a": "\ud800"}, "surrogate"),
            (deep, "nested"),
            (loop, "nested"),
        ):
            error = self.assertRaises(LocalProtocolError, encode_value, value)
            self.assertIn(text, str(error))

    def test_notAMap(self) -> None:
        """
        No bytes, another type than a map, keys that are no strings, half a map, bytes
        behind a map, and extension types are refused.
        """
        for data in (
            b"",
            b"\xc0",
            b"\x90",
            msgspec.msgpack.encode("text"),
            msgspec.msgpack.encode({1: 2}),
            msgspec.msgpack.encode({b"a": 2}),
            b"\x81\xa1a",
            b"\x81\xa1\xff\x01",
            b"\x80\x80",
            b"\xc1",
            b"\x81\xa1a\xd4\x05\x00",
            b"\x81\xa1a\xc7\x01\xff\x00",
        ):
            self.assertRaises(RemoteProtocolError, decode_value, data)

    def test_depthBomb(self) -> None:
        """
        Nesting as deep as a message allows is refused, not a crash.
        """
        for level in (b"\x91", b"\x81\xa1a"):
            bomb = b"\x81\xa1a" + level * (65_000 // len(level)) + b"\xc0"
            self.assertRaises(RemoteProtocolError, decode_value, bomb)

    def test_lengthBomb(self) -> None:
        """
        Sizes far beyond what follows them are refused, nested too.
        """
        for head in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"):
            self.assertRaises(RemoteProtocolError, decode_value, b"\x81\xa1a" + head)
        nested = b"\x81\xa1a" + b"\xdc\xff\xff" * 500 + bytes(60_000)
        self.assertRaises(RemoteProtocolError, decode_value, nested)


class ErrorTests(SynchronousTestCase):
    """
    Payloads of BAD and ERR.
    """

    @given(st.integers(0, 65535), st.text(max_size=50))
    def test_roundTrip(self, code: int, message: str) -> None:
        """
        What was written is read, as error and as any map.
        """
        payload = encode_error(code, message)
        self.assertEqual(decode_error(payload), (code, message))
        self.assertEqual(decode_value(payload), {"code": code, "message": message})

    @given(payloads)
    def test_anyBytesRaise(self, payload: bytes) -> None:
        """
        Any bytes give a code and a message.
        """
        code, message = decode_error(payload)
        self.assertEqual((type(code), type(message)), (int, str))

    def test_garbage(self) -> None:
        """
        What is no error payload reads as none; more fields than two do not matter.
        """
        others: tuple[object, ...] = (
            None,
            [],
            {},
            {"code": 1},
            {"message": "x"},
            {"code": "1", "message": "x"},
        )
        for value in others:
            self.assertEqual(decode_error(msgspec.msgpack.encode(value)), (0, ""))
        self.assertEqual(decode_error(b"\x91" * 60_000), (0, ""))
        self.assertEqual(decode_error(b"\x81\xa1a" + b"\x91" * 60_000), (0, ""))
        self.assertEqual(decode_error(b""), (0, ""))
        self.assertEqual(decode_error(b"\x82\xa4code\x01\xa7message\xa1\xff"), (0, ""))
        more = msgspec.msgpack.encode({"message": "x", "more": [1], "code": 7})
        self.assertEqual(decode_error(more), (7, "x"))

    def test_surrogates(self) -> None:
        """
        A text that is no Unicode is sent all the same.
        """
        self.assertEqual(decode_error(encode_error(1, "file \udcff")), (1, "file ?"))

    def test_rangeUnchecked(self) -> None:
        """
        A code beyond 64 bits is the caller's fault.
        """
        self.assertEqual(decode_error(encode_error(2**63 - 1, "")), (2**63 - 1, ""))
        self.assertRaises(LocalProtocolError, encode_error, 2**64, "")
        self.assertRaises(LocalProtocolError, encode_error, 2**64, "\udcff")

    def test_asValue(self) -> None:
        """
        A map that a transport of texts gave is read likewise, numbers as floats too.
        """
        for value, found in (
            ({"code": 7, "message": "no"}, (7, "no")),
            ({"code": 7.0, "message": "no", "more": 1}, (7, "no")),
            (MappingProxyType({"code": 7, "message": "no"}), (7, "no")),
            ({"code": 7.5, "message": "no"}, (0, "")),
            ({"code": float("inf"), "message": "no"}, (0, "")),
            ({"code": "7", "message": "no"}, (0, "")),
            ({"code": 7}, (0, "")),
            ({}, (0, "")),
        ):
            self.assertEqual(decode_error(value), found)


class PayloadTests(SynchronousTestCase):
    """
    Payloads that are bytes or values.
    """

    def test_valueOf(self) -> None:
        """
        A value is read from MessagePack, and from a map; nothing else is one.
        """
        self.assertEqual(value_of(encode_value({"a": 1})), {"a": 1})
        self.assertEqual(value_of({"a": 1}), {"a": 1})
        for payload in (b"", b"text", b"\x01"):
            self.assertRaises(RemoteProtocolError, value_of, payload)

    def test_encodePayload(self) -> None:
        """
        Bytes stay, a value becomes MessagePack.
        """
        self.assertEqual(encode_payload(b"\xff"), b"\xff")
        self.assertEqual(encode_payload({"a": 1}), encode_value({"a": 1}))
        self.assertRaises(LocalProtocolError, encode_payload, "text")
