"""
Tests of L{diarkis_tw.wire.cipher}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.cipher import AeadCache, Cipher, open_accept, seal_accept
from tests.strategies import payloads, sized

HEADER = b"\x10\x00\x00\x15"


def key(number: int) -> bytes:
    """
    One of many distinct keys.
    """
    return number.to_bytes(16)


class CipherTests(SynchronousTestCase):
    """
    Sealing and opening.
    """

    @given(sized(16), sized(12), st.integers(0, 2**28), payloads, payloads, st.booleans())
    def test_roundTrip(
        self, key: bytes, iv: bytes, number: int, header: bytes, plain: bytes, encrypted: bool
    ) -> None:
        """
        What was sealed opens, and is 16 bytes longer.
        """
        cipher = Cipher(key, iv, encrypted, AeadCache())
        sealed = cipher.seal(number, header, plain)
        self.assertEqual(len(sealed), len(plain) + 16)
        self.assertEqual(cipher.open(number, header, sealed), plain)
        self.assertEqual(sealed.startswith(plain), not encrypted or not plain)

    @given(st.booleans(), st.binary(max_size=80), st.data())
    def test_forgeryOpens(self, encrypted: bool, plain: bytes, data: st.DataObject) -> None:
        """
        One wrong bit anywhere in header or body, another number or another key, and
        nothing opens.
        """
        cache = AeadCache()
        cipher = Cipher(key(1), bytes(12), encrypted, cache)
        sealed = cipher.seal(7, HEADER, plain)
        whole = bytearray(HEADER + sealed)
        bit = data.draw(st.integers(0, len(whole) * 8 - 1))
        whole[bit >> 3] ^= 1 << (bit & 7)
        self.assertIsNone(cipher.open(7, bytes(whole[:4]), bytes(whole[4:])))
        self.assertIsNone(cipher.open(8, HEADER, sealed))
        self.assertIsNone(Cipher(key(2), bytes(12), encrypted, cache).open(7, HEADER, sealed))
        if plain:  # of nothing, both modes make the same tag
            other = Cipher(key(1), bytes(12), not encrypted, cache)
            self.assertIsNone(other.open(7, HEADER, sealed))

    @given(st.booleans(), payloads, payloads)
    def test_anyBytesRaise(self, encrypted: bool, header: bytes, sealed: bytes) -> None:
        """
        Bytes of any length that nobody sealed do not open, and raise nothing.
        """
        self.assertIsNone(Cipher(key(1), bytes(12), encrypted, AeadCache()).open(0, header, sealed))

    @given(st.integers(1, 4), payloads)
    def test_boundaryMoves(self, moved: int, plain: bytes) -> None:
        """
        Bytes moved from header to body do not open, although both together are the
        same. (With integrity only they would: there the header's fixed size decides.)
        """
        cipher = Cipher(key(1), bytes(12), True, AeadCache())
        whole = HEADER + cipher.seal(0, HEADER, plain)
        self.assertIsNone(cipher.open(0, whole[: 4 - moved], whole[4 - moved :]))

    def test_numbersRepeatNonces(self) -> None:
        """
        Numbers up to the limits of streams and datagrams give nonces of their own:
        the number is XORed into the iv's end.
        """
        cipher = Cipher(key(1), b"\xff" * 12, True, AeadCache())
        other = Cipher(key(1), bytes(12), True, AeadCache())
        plain = bytes(20)
        for number in (0, 1, 255, 256, 2**16, 2**23 - 1, 2**28 - 4096):
            # iv ff.. with number n is the nonce of iv 00.. with all bits of n turned.
            self.assertEqual(
                cipher.seal(number, b"", plain), other.seal(2**96 - 1 - number, b"", plain)
            )
        sealed = {cipher.seal(number, b"", plain) for number in range(300)}
        self.assertEqual(len(sealed), 300)

    def test_sizesUnchecked(self) -> None:
        """
        A key or iv of another size is refused when the cipher is made.
        """
        for size in (0, 15, 17, 32):
            self.assertRaises(LocalProtocolError, Cipher, bytes(size), bytes(12), True, AeadCache())
        for size in (0, 11, 13, 16):
            self.assertRaises(LocalProtocolError, Cipher, bytes(16), bytes(size), True, AeadCache())

    def test_discardBreaksCipher(self) -> None:
        """
        A cipher goes on working after its key was dropped from the cache.
        """
        cache = AeadCache(2)
        cipher = Cipher(key(1), bytes(12), True, cache)
        sealed = cipher.seal(0, HEADER, b"x")
        cache.discard(key(1))
        self.assertEqual(cipher.open(0, HEADER, sealed), b"x")


class AcceptSealTests(SynchronousTestCase):
    """
    The seal of ACCEPT's terms.
    """

    @given(sized(16), payloads, payloads)
    def test_roundTrip(self, key: bytes, associated: bytes, plain: bytes) -> None:
        """
        What was sealed opens with the same key and data only.
        """
        sealed = seal_accept(key, associated, plain)
        self.assertEqual(open_accept(key, associated, sealed), plain)
        self.assertIsNone(open_accept(key, associated + b"x", sealed))
        self.assertIsNone(open_accept(bytes(b ^ 1 for b in key), associated, sealed))

    @given(payloads, payloads)
    def test_anyBytesRaise(self, associated: bytes, sealed: bytes) -> None:
        """
        Bytes of any length that nobody sealed do not open, and raise nothing.
        """
        self.assertIsNone(open_accept(bytes(16), associated, sealed))


class AeadCacheTests(SynchronousTestCase):
    """
    The bounded cache.
    """

    def test_objectMadeAgain(self) -> None:
        """
        A key in use keeps its object.
        """
        cache = AeadCache()
        first = cache.get(key(1))
        self.assertIs(cache.get(key(1)), first)
        self.assertEqual(len(cache), 1)

    def test_usedObjectDropped(self) -> None:
        """
        A rotation drops what was not used since the one before, and keeps the rest.
        """
        cache = AeadCache()
        used, unused = cache.get(key(1)), cache.get(key(2))
        cache.rotate()
        self.assertIs(cache.get(key(1)), used)
        cache.rotate()
        self.assertEqual(len(cache), 1)
        self.assertIs(cache.get(key(1)), used)
        self.assertIsNot(cache.get(key(2)), unused)

    def test_boundExceeded(self) -> None:
        """
        However many keys come, no more than the capacity are kept, and the last
        half of them is.
        """
        for capacity in (2, 3, 8, 9):
            cache = AeadCache(capacity)
            objects = []
            for number in range(5 * capacity):
                objects.append(cache.get(key(number)))
                self.assertLessEqual(len(cache), capacity)
            kept = capacity // 2
            for number in range(5 * capacity - kept, 5 * capacity):
                self.assertIs(cache.get(key(number)), objects[number])

    def test_activeObjectDropped(self) -> None:
        """
        A key used between all others survives any number of them.
        """
        cache = AeadCache(8)
        active = cache.get(key(0))
        for number in range(1, 100):
            cache.get(key(number))
            self.assertIs(cache.get(key(0)), active)

    def test_discardedKept(self) -> None:
        """
        A discarded key is gone from both generations; an unknown one is no error.
        """
        cache = AeadCache()
        cache.get(key(1))
        cache.rotate()
        cache.get(key(2))
        cache.discard(key(1))
        cache.discard(key(2))
        cache.discard(key(3))
        self.assertEqual(len(cache), 0)
