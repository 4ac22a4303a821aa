"""
Tests of L{diarkis_tw.rudp.reset_token}.
"""

import hashlib

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.reset_token import reset_token
from tests.strategies import cids, sized


class ResetTokenTests(SynchronousTestCase):
    """
    L{reset_token}.
    """

    @given(sized(32), cids)
    def test_differsFromHmac(self, key: bytes, cid: bytes) -> None:
        """
        It is HMAC-SHA256 as RFC 2104 writes it, cut to 16 bytes.
        """
        block = key.ljust(64, b"\x00")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + cid).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
        self.assertEqual(reset_token(key, cid), outer[:16])

    def test_tokensEqual(self) -> None:
        """
        Each connection has its own, and so has each process.
        """
        tokens = {reset_token(bytes((k,)) * 32, bytes((c,)) * 8) for k in (1, 2) for c in range(50)}
        self.assertEqual(len(tokens), 100)

    def test_sizesUnchecked(self) -> None:
        """
        A key or cid of another size is the caller's fault.
        """
        for size in (0, 16, 31, 33):
            self.assertRaises(LocalProtocolError, reset_token, bytes(size), bytes(8))
        for size in (0, 7, 9):
            self.assertRaises(LocalProtocolError, reset_token, bytes(32), bytes(size))
