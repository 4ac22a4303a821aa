"""
Tests of L{diarkis_tw.wire.reset}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.datagram import client_datagram_kind, server_datagram_kind
from diarkis_tw.wire.reset import encode_reset, matches_reset
from tests.strategies import payloads, sized

TOKEN = b"t" * 16

tokens = sized(16)


class ResetTests(SynchronousTestCase):
    """
    RESET.
    """

    @given(tokens, st.binary(min_size=5, max_size=26))
    def test_roundTrip(self, token: bytes, random: bytes) -> None:
        """
        What was written matches, looks like DATA to a client, and is no legal DATA
        to a server, so that no RESET causes one.
        """
        datagram = encode_reset(token, random)
        self.assertEqual(datagram, b"\x80" + random + token)
        self.assertTrue(matches_reset(datagram, token))
        self.assertEqual(server_datagram_kind(datagram, 576), 0x80)
        self.assertEqual(client_datagram_kind(datagram, 1200), 0)

    @given(tokens, st.binary(min_size=5, max_size=26), st.integers(0, 127))
    def test_forgeryMatches(self, token: bytes, random: bytes, bit: int) -> None:
        """
        One wrong bit in the token, and it does not match.
        """
        datagram = bytearray(encode_reset(token, random))
        datagram[-16 + (bit >> 3)] ^= 1 << (bit & 7)
        self.assertFalse(matches_reset(bytes(datagram), token))

    def test_sizeOffByOne(self) -> None:
        """
        It has 22 to 43 bytes, fewer than any DATA of a client.
        """
        self.assertEqual(len(encode_reset(TOKEN, bytes(5))), 22)
        self.assertEqual(len(encode_reset(TOKEN, bytes(26))), 43)
        for size in (0, 4, 27):
            self.assertRaises(LocalProtocolError, encode_reset, TOKEN, bytes(size))
        for size in (0, 15, 17):
            self.assertRaises(LocalProtocolError, encode_reset, bytes(size), bytes(5))

    @given(payloads, tokens)
    def test_anyBytesRaise(self, datagram: bytes, token: bytes) -> None:
        """
        Any bytes match a token or not.
        """
        expected = len(datagram) >= 19 and datagram.startswith(b"\x80") and datagram.endswith(token)
        self.assertEqual(matches_reset(datagram, token), expected)

    def test_longerRefused(self) -> None:
        """
        Any datagram that a client could take for DATA ends a connection by its last
        16 bytes, whatever its size; a shorter one and another first byte do not.
        """
        for size in (19, 21, 44, 1200):
            self.assertTrue(matches_reset(b"\x80" + bytes(size - 17) + TOKEN, TOKEN))
        for datagram in (TOKEN, b"\x80" + TOKEN, b"\x80\x00" + TOKEN, b"\x81" + bytes(20) + TOKEN):
            self.assertFalse(matches_reset(datagram, TOKEN))
