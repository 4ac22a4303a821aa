"""
Tests of L{diarkis_tw.wire.datagram_handshake}.
"""

import struct
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.cipher import seal_accept
from diarkis_tw.wire.datagram import client_datagram_kind, server_datagram_kind
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    cookie_fields,
    decode_accept,
    decode_cookie,
    decode_hello,
    decode_terminate,
    encode_accept,
    encode_cookie,
    encode_hello,
    encode_terminate,
    open_accept_terms,
    verify_hello,
)
from diarkis_tw.wire.handshake import Hello, Terms
from tests.strategies import cids, close_codes, cookies, ephemerals, nonces, payloads, sized, u8

KEY = b"k" * 16
NONCE = b"n" * 16
HELLO = Hello(1, 1, b"s" * 16, NONCE, bytes(32))
TERMS = Terms(bytes(8), bytes(16), 1000, 20, 1200, 256, 10, 3333, 10)

numbers = st.integers(1, 0xFFFF)
hellos = st.builds(Hello, u8, u8, sized(16), nonces, ephemerals)
terms = st.builds(
    Terms,
    cids,
    sized(16),
    numbers,
    st.integers(0, 0xFFFF),
    st.integers(576, 1200),
    st.integers(16, 256),
    numbers,
    numbers,
    numbers,
)


def turned(datagram: bytes, bit: int) -> bytes:
    """
    The same bytes with one bit turned.
    """
    copy = bytearray(datagram)
    copy[bit >> 3] ^= 1 << (bit & 7)
    return bytes(copy)


def check_decoder(
    case: SynchronousTestCase,
    decode: Callable[[bytes], object],
    datagram: bytes,
    first: int,
    size: int,
) -> None:
    """
    Any bytes of that size are read if they begin with that byte, all others
    refused.
    """
    if len(datagram) == size:
        decode(bytes((first,)) + datagram[1:])
    if len(datagram) != size or datagram[0] != first:
        case.assertRaises(RemoteProtocolError, decode, datagram)


def check_sizes(
    case: SynchronousTestCase, decode: Callable[[bytes], object], datagram: bytes
) -> None:
    """
    A byte less, a byte more, nothing and another first byte are refused.
    """
    decode(datagram)
    other = bytes((datagram[0] ^ 1,)) + datagram[1:]
    for bad in (b"", datagram[:1], datagram[:-1], datagram + b"\x00", other):
        case.assertRaises(RemoteProtocolError, decode, bad)


class HelloTests(SynchronousTestCase):
    """
    HELLO.
    """

    @given(hellos, cookies, ephemerals)
    def test_roundTrip(self, hello: Hello, cookie: bytes, key: bytes) -> None:
        """
        What was written is taken for HELLO, read, and verifies.
        """
        datagram = encode_hello(hello, cookie, key)
        self.assertEqual(client_datagram_kind(datagram, 1200), 1)
        self.assertEqual(cookie_fields(datagram), (hello.sid, hello.client_nonce, cookie))
        self.assertEqual(decode_hello(datagram), hello)
        self.assertTrue(verify_hello(datagram, key))

    def test_layout(self) -> None:
        """
        Fields stand in the documented order, with zeros between them and the HMAC.
        """
        hello = Hello(7, 3, b"s" * 16, b"n" * 16, b"e" * 32)
        datagram = encode_hello(hello, b"c" * 20, KEY)
        fields = b"\x01\x07" + b"s" * 16 + b"n" * 16 + b"c" * 20 + b"\x03" + b"e" * 32
        self.assertEqual(datagram[:-16], fields.ljust(1184, b"\x00"))
        self.assertEqual(NO_COOKIE, bytes(20))

    @given(st.integers(0, 1200 * 8 - 1))
    def test_forgeryVerifies(self, bit: int) -> None:
        """
        One wrong bit anywhere, in what is ignored too, and it does not verify.
        """
        datagram = encode_hello(HELLO, NO_COOKIE, KEY)
        self.assertFalse(verify_hello(turned(datagram, bit), KEY))

    def test_fillingRefused(self) -> None:
        """
        Whatever stands between the fields and the HMAC is not read.
        """
        datagram = encode_hello(HELLO, NO_COOKIE, KEY)
        filled = datagram[:87] + b"x" * 1097 + datagram[-16:]
        self.assertEqual(decode_hello(filled), HELLO)

    def test_otherKeyVerifies(self) -> None:
        """
        Another session's key does not verify it.
        """
        self.assertFalse(verify_hello(encode_hello(HELLO, NO_COOKIE, KEY), KEY + b"k"))

    @given(payloads | sized(1200))
    def test_anyBytesRaise(self, datagram: bytes) -> None:
        """
        Any bytes are read or refused, and never verify.
        """
        self.assertFalse(verify_hello(datagram, KEY))
        if client_datagram_kind(datagram, 1200) == 1:
            decode_hello(datagram)
        else:
            self.assertRaises(RemoteProtocolError, decode_hello, datagram)

    def test_sizeOffByOne(self) -> None:
        """
        1200 bytes are read, 1199 and 1201 refused.
        """
        datagram = encode_hello(HELLO, NO_COOKIE, KEY)
        for bad in (b"", datagram[:-1], datagram + b"\x00", b"\x02" + datagram[1:]):
            self.assertRaises(RemoteProtocolError, decode_hello, bad)

    def test_badFieldsWritten(self) -> None:
        """
        Fields of another size or range are the caller's fault.
        """
        for bad in (
            replace(HELLO, version=256),
            replace(HELLO, flags=-1),
            replace(HELLO, sid=bytes(15)),
            replace(HELLO, client_nonce=bytes(17)),
            replace(HELLO, client_ephemeral=b""),
        ):
            self.assertRaises(LocalProtocolError, encode_hello, bad, NO_COOKIE, KEY)
        for size in (0, 19, 21):
            self.assertRaises(LocalProtocolError, encode_hello, HELLO, bytes(size), KEY)


class CookieTests(SynchronousTestCase):
    """
    COOKIE.
    """

    @given(nonces, cookies)
    def test_roundTrip(self, nonce: bytes, cookie: bytes) -> None:
        """
        What was written is taken for COOKIE and read.
        """
        datagram = encode_cookie(nonce, cookie)
        self.assertEqual(datagram, b"\x02" + nonce + cookie)
        self.assertEqual(server_datagram_kind(datagram, 1200), 2)
        self.assertEqual(decode_cookie(datagram), (nonce, cookie))

    @given(payloads | sized(37))
    def test_anyBytesRaise(self, datagram: bytes) -> None:
        """
        Any bytes are read or refused.
        """
        check_decoder(self, decode_cookie, datagram, 2, 37)

    def test_sizeOffByOne(self) -> None:
        """
        37 bytes are read, 36 and 38 refused; fields of another size are the
        caller's fault.
        """
        check_sizes(self, decode_cookie, encode_cookie(NONCE, NO_COOKIE))
        for nonce, cookie in ((15, 20), (17, 20), (16, 19), (16, 21)):
            self.assertRaises(LocalProtocolError, encode_cookie, bytes(nonce), bytes(cookie))


class AcceptTests(SynchronousTestCase):
    """
    ACCEPT.
    """

    def accept(self, terms: Terms) -> bytes:
        """
        An ACCEPT with terms that the encoder may refuse.
        """
        header = b"\x03" + NONCE[:8] + bytes(48)
        data = struct.pack(
            ">8s16s8H",
            *(terms.cid, terms.reset_token, terms.retry_interval, terms.ack_delay, terms.mtu),
            *(terms.window, terms.connection_ttl, terms.keep_alive, terms.max_retry, 0),
        )
        return header + seal_accept(KEY, header, data)

    @given(nonces, nonces, ephemerals, terms, sized(16))
    def test_roundTrip(
        self, nonce: bytes, server_nonce: bytes, ephemeral: bytes, terms: Terms, key: bytes
    ) -> None:
        """
        What was written is taken for ACCEPT, read, and opens.
        """
        datagram = encode_accept(nonce, server_nonce, ephemeral, terms, key)
        self.assertEqual(server_datagram_kind(datagram, 1200), 3)
        self.assertEqual(datagram[:57], b"\x03" + nonce[:8] + server_nonce + ephemeral)
        self.assertEqual(decode_accept(datagram), (nonce[:8], server_nonce, ephemeral))
        self.assertEqual(open_accept_terms(datagram, key), terms)

    @given(st.integers(0, 113 * 8 - 1))
    def test_forgeryOpens(self, bit: int) -> None:
        """
        One wrong bit anywhere, and it does not open.
        """
        datagram = encode_accept(NONCE, bytes(16), bytes(32), TERMS, KEY)
        self.assertIsNone(open_accept_terms(turned(datagram, bit), KEY))
        self.assertIsNone(open_accept_terms(datagram, b"l" * 16))

    @given(payloads | sized(113))
    def test_anyBytesRaise(self, datagram: bytes) -> None:
        """
        Any bytes are read or refused, and never open.
        """
        self.assertIsNone(open_accept_terms(datagram, KEY))
        check_decoder(self, decode_accept, datagram, 3, 113)

    @given(sized(40) | st.binary(max_size=60))
    def test_anyTermsRaise(self, data: bytes) -> None:
        """
        Anything that the server sealed is legal terms, or L{RemoteProtocolError}.
        """
        header = b"\x03" + bytes(56)
        try:
            found = open_accept_terms(header + seal_accept(KEY, header, data), KEY)
        except RemoteProtocolError:
            return
        assert found is not None
        self.assertEqual(encode_accept(bytes(16), bytes(16), bytes(32), found, KEY)[:57], header)

    def test_termsOffByOne(self) -> None:
        """
        An MTU of 576 to 1200, a window of 16 to 256 and times above 0 are read;
        with others both sides refuse.
        """
        self.assertEqual(open_accept_terms(self.accept(TERMS), KEY), TERMS)
        for legal in (
            *(replace(TERMS, mtu=mtu) for mtu in (576, 577, 1199, 1200)),
            *(replace(TERMS, window=window) for window in (16, 17, 255, 256)),
            *(replace(TERMS, retry_interval=interval) for interval in (1, 65535)),
            *(replace(TERMS, max_retry=count) for count in (1, 65535)),
            *(replace(TERMS, ack_delay=delay) for delay in (0, 65535)),
        ):
            datagram = encode_accept(NONCE, bytes(16), bytes(32), legal, KEY)
            self.assertEqual(datagram, self.accept(legal))
            self.assertEqual(open_accept_terms(datagram, KEY), legal)
        for bad in (
            *(replace(TERMS, mtu=mtu) for mtu in (0, 575, 1201, 65535)),
            *(replace(TERMS, window=window) for window in (0, 15, 257, 65535)),
            replace(TERMS, retry_interval=0),
            replace(TERMS, max_retry=0),
            replace(TERMS, connection_ttl=0),
            replace(TERMS, keep_alive=0),
        ):
            self.assertRaises(
                LocalProtocolError, encode_accept, NONCE, bytes(16), bytes(32), bad, KEY
            )
            self.assertRaises(RemoteProtocolError, open_accept_terms, self.accept(bad), KEY)

    def test_sizeOffByOne(self) -> None:
        """
        113 bytes are read, 112 and 114 refused; fields of another size are the
        caller's fault.
        """
        check_sizes(self, decode_accept, encode_accept(NONCE, bytes(16), bytes(32), TERMS, KEY))
        for client, server, ephemeral in ((8, 16, 32), (17, 16, 32), (16, 15, 32), (16, 16, 31)):
            self.assertRaises(
                LocalProtocolError,
                encode_accept,
                *(bytes(client), bytes(server), bytes(ephemeral)),
                *(TERMS, KEY),
            )


class TerminateTests(SynchronousTestCase):
    """
    TERMINATE.
    """

    @given(nonces, close_codes)
    def test_roundTrip(self, nonce: bytes, code: CloseCode) -> None:
        """
        What was written is taken for TERMINATE and read.
        """
        datagram = encode_terminate(nonce, code)
        self.assertEqual(datagram, b"\x04" + nonce + bytes((code,)))
        self.assertEqual(server_datagram_kind(datagram, 1200), 4)
        self.assertEqual(decode_terminate(datagram), (nonce, code))

    @given(payloads | sized(18))
    def test_anyBytesRaise(self, datagram: bytes) -> None:
        """
        Any bytes are read or refused.
        """
        check_decoder(self, decode_terminate, datagram, 4, 18)

    def test_unknownCode(self) -> None:
        """
        A code not known here reads as INTERNAL.
        """
        for code in (17, 254):
            datagram = b"\x04" + NONCE + bytes((code,))
            self.assertEqual(decode_terminate(datagram), (NONCE, CloseCode.INTERNAL))

    def test_sizeOffByOne(self) -> None:
        """
        18 bytes are read, 17 and 19 refused; a nonce of another size is the
        caller's fault.
        """
        check_sizes(self, decode_terminate, encode_terminate(NONCE, CloseCode.UNKNOWN))
        self.assertRaises(LocalProtocolError, encode_terminate, b"", CloseCode.NORMAL)
