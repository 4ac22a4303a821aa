"""
Tests of L{diarkis_tw.rudp.cookie}.
"""

import hashlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.cookie import Cookies
from tests.strategies import cookies, nonces, payloads, sized, u16

HOST = "192.0.2.1"
SID = b"s" * 16
NONCE = b"n" * 16

clocks = st.integers(0, 2**40)
hosts = st.ip_addresses().map(str)


class CookieTests(SynchronousTestCase):
    """
    L{Cookies}.
    """

    def setUp(self) -> None:
        """
        The cookies of a process.
        """
        self.cookies = Cookies(b"k" * 32)

    @given(clocks, st.integers(0, 5000), hosts, u16, sized(16), nonces)
    @example(2**32 - 1, 1, HOST, 1, SID, NONCE)
    @example(2**32 - 5000, 5000, HOST, 1, SID, NONCE)
    @example(2**32, 0, HOST, 1, SID, NONCE)
    def test_roundTrip(
        self, now: int, age: int, host: str, port: int, sid: bytes, nonce: bytes
    ) -> None:
        """
        A cookie is good for its client, and its age is known, the clock's turn
        included.
        """
        cookie = self.cookies.make(now, host, port, sid, nonce)
        self.assertEqual(len(cookie), 20)
        self.assertEqual(self.cookies.check(cookie, now + age, host, port, sid, nonce), age)

    @given(clocks, hosts, u16, sized(16), nonces)
    def test_layout(self, now: int, host: str, port: int, sid: bytes, nonce: bytes) -> None:
        """
        It is the documented one.
        """
        time = (now % 2**32).to_bytes(4)
        data = time + host.encode() + port.to_bytes(2) + sid + nonce
        self.assertEqual(
            self.cookies.make(now, host, port, sid, nonce),
            time + hashlib.blake2s(data, digest_size=16, key=b"k" * 32).digest(),
        )

    def test_ageOffByOne(self) -> None:
        """
        It is good for 5 s and no longer, and not before it was made.
        """
        for made in (0, 7, 2**32 - 3000, 2**32 - 1, 2**32, 3 * 2**32 + 5):
            cookie = self.cookies.make(made, HOST, 1, SID, NONCE)
            for age, expected in (
                (-1, None),
                (0, 0),
                (4999, 4999),
                (5000, 5000),
                (5001, None),
                (2**31, None),
                (2**32 - 1, None),
            ):
                self.assertEqual(
                    self.cookies.check(cookie, made + age, HOST, 1, SID, NONCE), expected
                )

    def test_otherClientChecks(self) -> None:
        """
        It is worth nothing from another address or port, for another sid or nonce,
        or to another process.
        """
        cookie = self.cookies.make(1000, HOST, 1234, SID, NONCE)
        for host, port, sid, nonce in (
            ("192.0.2.2", 1234, SID, NONCE),
            ("192.0.2.11", 1234, SID, NONCE),
            (HOST, 1235, SID, NONCE),
            (HOST, 1234, NONCE, NONCE),
            (HOST, 1234, SID, SID),
            (HOST, 1234, NONCE, SID),
        ):
            self.assertIsNone(self.cookies.check(cookie, 1000, host, port, sid, nonce))
        self.assertIsNone(Cookies(b"l" * 32).check(cookie, 1000, HOST, 1234, SID, NONCE))
        self.assertEqual(self.cookies.check(cookie, 1000, HOST, 1234, SID, NONCE), 0)

    @given(st.integers(0, 159))
    def test_forgeryChecks(self, bit: int) -> None:
        """
        One wrong bit, also one that makes it younger, and it is worth nothing.
        """
        cookie = bytearray(self.cookies.make(1000, HOST, 1, SID, NONCE))
        cookie[bit >> 3] ^= 1 << (bit & 7)
        self.assertIsNone(self.cookies.check(bytes(cookie), 1500, HOST, 1, SID, NONCE))

    @given(payloads | cookies, st.integers(0, 5000))
    def test_anyBytesRaise(self, cookie: bytes, now: int) -> None:
        """
        Any bytes are worth nothing, also when the clock has just begun and they
        begin with zeros.
        """
        self.assertIsNone(self.cookies.check(cookie, now, HOST, 1, SID, NONCE))
        self.assertIsNone(self.cookies.check(bytes(4) + cookie, now, HOST, 1, SID, NONCE))

    def test_keyUnchecked(self) -> None:
        """
        A key of another size is the caller's fault.
        """
        for size in (0, 16, 31, 33):
            self.assertRaises(LocalProtocolError, Cookies, bytes(size))
