"""
Tests of L{diarkis_tw.wire.handshake}.
"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.cipher import seal_accept
from diarkis_tw.wire.handshake import (
    Hello,
    Terms,
    decode_accept,
    decode_close,
    decode_hello,
    decode_terminate,
    encode_accept,
    encode_close,
    encode_hello,
    encode_terminate,
    open_accept_terms,
    verify_hello,
)
from tests.strategies import close_codes, ephemerals, nonces, payloads, sized, u8, u16

TCP_HELLO = b"\x01\x00\x00\x52"
TCP_ACCEPT = b"\x03\x00\x00\x68"
KEY = b"k" * 16
TERMS = Terms(bytes(8), bytes(16), 1000, 25, 1200, 256, 10, 3333, 10)

periods = st.integers(1, 0xFFFF)
hellos = st.builds(Hello, u8, u8, sized(16), nonces, ephemerals)
terms = st.builds(Terms, sized(8), sized(16), u16, u16, u16, u16, periods, periods, u16)


class HelloTests(SynchronousTestCase):
    """
    HELLO.
    """

    @given(hellos, ephemerals, st.sampled_from((TCP_HELLO, b"\x01")))
    def test_roundTrip(self, hello: Hello, key: bytes, header: bytes) -> None:
        """
        What was written is read, and verifies, on TCP and on WebSocket.
        """
        body = encode_hello(header, hello, key)
        self.assertEqual(len(body), 82)
        self.assertEqual(decode_hello(body), hello)
        self.assertTrue(verify_hello(header, body, key))

    @given(hellos, st.integers(0, 86 * 8 - 1))
    def test_forgeryVerifies(self, hello: Hello, bit: int) -> None:
        """
        One wrong bit anywhere in header or body, and it does not verify.
        """
        whole = bytearray(TCP_HELLO + encode_hello(TCP_HELLO, hello, KEY))
        whole[bit >> 3] ^= 1 << (bit & 7)
        self.assertFalse(verify_hello(bytes(whole[:4]), bytes(whole[4:]), KEY))

    def test_otherKeyVerifies(self) -> None:
        """
        Another session's key does not verify it.
        """
        hello = Hello(1, 1, bytes(16), bytes(16), bytes(32))
        body = encode_hello(TCP_HELLO, hello, KEY)
        self.assertFalse(verify_hello(TCP_HELLO, body, KEY + b"k"))

    @given(st.binary(max_size=200))
    def test_anyBytesRaise(self, body: bytes) -> None:
        """
        Any bytes are read or refused, and never verify.
        """
        self.assertFalse(verify_hello(TCP_HELLO, body, KEY))
        if len(body) == 82:
            decode_hello(body)
        else:
            self.assertRaises(RemoteProtocolError, decode_hello, body)

    def test_sizeOffByOne(self) -> None:
        """
        A body of 82 bytes is read, of 81 and 83 refused.
        """
        decode_hello(bytes(82))
        for size in (0, 81, 83):
            self.assertRaises(RemoteProtocolError, decode_hello, bytes(size))

    def test_badFieldsWritten(self) -> None:
        """
        Fields of another size or range are the caller's fault.
        """
        hello = Hello(1, 1, bytes(16), bytes(16), bytes(32))
        for bad in (
            replace(hello, version=256),
            replace(hello, flags=-1),
            replace(hello, sid=bytes(15)),
            replace(hello, client_nonce=bytes(17)),
            replace(hello, client_ephemeral=b""),
        ):
            self.assertRaises(LocalProtocolError, encode_hello, TCP_HELLO, bad, KEY)

    def test_sidShown(self) -> None:
        """
        The representation does not show the sid.
        """
        self.assertNotIn("sid", repr(Hello(1, 1, b"secretsecretsecr", bytes(16), bytes(32))))


class TermsTests(SynchronousTestCase):
    """
    The terms in ACCEPT.
    """

    @given(terms)
    def test_roundTrip(self, terms: Terms) -> None:
        """
        What was written is read.
        """
        data = terms.encode()
        self.assertEqual(len(data), 40)
        self.assertEqual(Terms.decode(data), terms)

    def test_layout(self) -> None:
        """
        Fields stand in the documented order, the reserved one is zero.
        """
        data = Terms(b"c" * 8, b"r" * 16, 1, 2, 3, 4, 5, 6, 7).encode()
        self.assertEqual(
            data, b"c" * 8 + b"r" * 16 + bytes.fromhex("00010002000300040005000600070000")
        )

    def test_reservedRefused(self) -> None:
        """
        Whatever stands in the reserved field is ignored.
        """
        self.assertEqual(Terms.decode(TERMS.encode()[:-2] + b"\xff\xff"), TERMS)

    @given(st.binary(max_size=60) | sized(40))
    def test_anyBytesRaise(self, data: bytes) -> None:
        """
        Any bytes give terms with periods above zero, or L{RemoteProtocolError}.
        """
        try:
            found = Terms.decode(data)
        except RemoteProtocolError:
            return
        self.assertTrue(found.connection_ttl and found.keep_alive)

    def test_sizeOffByOne(self) -> None:
        """
        40 bytes are read, 39 and 41 refused.
        """
        data = TERMS.encode()
        for bad in (b"", data[:-1], data + b"\x00"):
            self.assertRaises(RemoteProtocolError, Terms.decode, bad)

    def test_zeroPeriods(self) -> None:
        """
        A period of zero is refused on both sides.
        """
        data = TERMS.encode()
        for start in (32, 34):
            bad = data[:start] + b"\x00\x00" + data[start + 2 :]
            self.assertRaises(RemoteProtocolError, Terms.decode, bad)
        for terms in (replace(TERMS, connection_ttl=0), replace(TERMS, keep_alive=0)):
            self.assertRaises(LocalProtocolError, terms.encode)

    def test_badFieldsWritten(self) -> None:
        """
        Fields of another size or range are the caller's fault.
        """
        for bad in (
            replace(TERMS, cid=b"c"),
            replace(TERMS, reset_token=bytes(17)),
            replace(TERMS, connection_ttl=65536),
            replace(TERMS, keep_alive=65536),
            replace(TERMS, mtu=-1),
        ):
            self.assertRaises(LocalProtocolError, bad.encode)

    def test_tokenShown(self) -> None:
        """
        The representation does not show the reset token.
        """
        self.assertNotIn("token", repr(TERMS))


class AcceptTests(SynchronousTestCase):
    """
    ACCEPT.
    """

    @given(nonces, ephemerals, terms, sized(16), st.sampled_from((TCP_ACCEPT, b"\x03")))
    def test_roundTrip(
        self, nonce: bytes, ephemeral: bytes, terms: Terms, key: bytes, header: bytes
    ) -> None:
        """
        What was written is read and opens, on TCP and on WebSocket.
        """
        body = encode_accept(header, nonce, ephemeral, terms, key)
        self.assertEqual(len(body), 104)
        self.assertEqual(decode_accept(body), (nonce, ephemeral, body[48:]))
        self.assertEqual(open_accept_terms(header, body, key), terms)

    @given(st.integers(0, 108 * 8 - 1))
    def test_forgeryOpens(self, bit: int) -> None:
        """
        One wrong bit anywhere in header or body, and it does not open.
        """
        whole = bytearray(TCP_ACCEPT + encode_accept(TCP_ACCEPT, bytes(16), bytes(32), TERMS, KEY))
        whole[bit >> 3] ^= 1 << (bit & 7)
        self.assertIsNone(open_accept_terms(bytes(whole[:4]), bytes(whole[4:]), KEY))

    @given(st.binary(max_size=200))
    def test_anyBytesRaise(self, body: bytes) -> None:
        """
        Any bytes are taken apart or refused, and never open.
        """
        self.assertIsNone(open_accept_terms(TCP_ACCEPT, body, KEY))
        if len(body) == 104:
            decode_accept(body)
        else:
            self.assertRaises(RemoteProtocolError, decode_accept, body)

    def test_sizeOffByOne(self) -> None:
        """
        A body of 104 bytes is taken apart, of 103 and 105 refused.
        """
        self.assertEqual(decode_accept(bytes(104)), (bytes(16), bytes(32), bytes(56)))
        for size in (0, 103, 105):
            self.assertRaises(RemoteProtocolError, decode_accept, bytes(size))

    def test_illegalTermsOpen(self) -> None:
        """
        Terms that are authentic and illegal are none.
        """
        fields = bytes(48)
        body = fields + seal_accept(KEY, TCP_ACCEPT + fields, bytes(40))
        self.assertIsNone(open_accept_terms(TCP_ACCEPT, body, KEY))

    def test_badFieldsWritten(self) -> None:
        """
        A nonce or ephemeral of another size is the caller's fault.
        """
        for nonce, ephemeral in ((bytes(15), bytes(32)), (bytes(16), b"")):
            self.assertRaises(
                LocalProtocolError, encode_accept, TCP_ACCEPT, nonce, ephemeral, TERMS, KEY
            )


class TerminateTests(SynchronousTestCase):
    """
    TERMINATE.
    """

    @given(nonces, close_codes)
    def test_roundTrip(self, nonce: bytes, code: CloseCode) -> None:
        """
        What was written is read.
        """
        self.assertEqual(decode_terminate(encode_terminate(nonce, code)), (nonce, code))

    @given(st.binary(max_size=40) | sized(17))
    def test_anyBytesRaise(self, body: bytes) -> None:
        """
        17 bytes are read, any others refused.
        """
        if len(body) == 17:
            nonce, code = decode_terminate(body)
            self.assertEqual(nonce, body[:16])
            self.assertIn(code, (body[16], CloseCode.INTERNAL))
        else:
            self.assertRaises(RemoteProtocolError, decode_terminate, body)

    def test_unknownCode(self) -> None:
        """
        A code not known here reads as INTERNAL.
        """
        for code in (17, 100, 254):
            self.assertEqual(decode_terminate(bytes((*bytes(16), code)))[1], CloseCode.INTERNAL)

    def test_badNonceWritten(self) -> None:
        """
        A nonce of another size is the caller's fault.
        """
        self.assertRaises(LocalProtocolError, encode_terminate, b"", CloseCode.NORMAL)


class CloseTests(SynchronousTestCase):
    """
    CLOSE.
    """

    @given(close_codes, st.text(max_size=50))
    def test_roundTrip(self, code: CloseCode, reason: str) -> None:
        """
        What was written is read.
        """
        self.assertEqual(decode_close(encode_close(code, reason)), (code, reason))

    @given(close_codes, st.text(st.characters(categories=["L", "S", "Cs"]), max_size=210))
    def test_reasonCutInside(self, code: CloseCode, reason: str) -> None:
        """
        At most 200 bytes of whole characters are sent, as many as fit, whatever text
        it is.
        """
        body = encode_close(code, reason)
        sent = body[1:].decode()
        sendable = reason.encode("utf-8", "replace").decode()
        self.assertLessEqual(len(body), 201)
        self.assertTrue(sendable.startswith(sent))
        rest = sendable[len(sent) :]
        self.assertTrue(not rest or len(body) + len(rest[0].encode()) > 201)

    def test_reasonOffByOne(self) -> None:
        """
        199 and 200 bytes are sent whole, of 201 the last is cut.
        """
        for size, sent in ((199, 199), (200, 200), (201, 200)):
            self.assertEqual(len(encode_close(CloseCode.NORMAL, "x" * size)), 1 + sent)
        self.assertEqual(encode_close(CloseCode.NORMAL, "x" * 199 + "é"), b"\0" + b"x" * 199)

    @given(payloads)
    def test_anyBytesRaise(self, body: bytes) -> None:
        """
        Any bytes but none give a code and a reason.
        """
        if body:
            code, reason = decode_close(body)
            self.assertIn(code, (body[0], CloseCode.INTERNAL))
            self.assertLessEqual(len(reason), 200)
        else:
            self.assertRaises(RemoteProtocolError, decode_close, body)

    def test_badReasonRefused(self) -> None:
        """
        What is not UTF-8 is replaced, a code not known here reads as INTERNAL, and a
        longer reason is cut.
        """
        self.assertEqual(decode_close(b"\x63a\xff"), (CloseCode.INTERNAL, "a\ufffd"))
        self.assertEqual(decode_close(b"\x07" + b"x" * 201), (CloseCode.KICKED, "x" * 200))
