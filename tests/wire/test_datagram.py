"""
Tests of L{diarkis_tw.wire.datagram}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.wire.datagram import client_datagram_kind, server_datagram_kind


def datagram(first: int, size: int) -> bytes:
    """
    A datagram of a size, which may be 0.
    """
    return bytes((first,)).ljust(size, b"x")[:size]


def runs(kinds: list[int]) -> list[tuple[int, int]]:
    """
    Where the kinds by size are not junk: first and last size of each run.
    """
    found: list[tuple[int, int]] = []
    for size, kind in enumerate(kinds):
        if kind:
            if found and found[-1][1] == size - 1:
                found[-1] = (found[-1][0], size)
            else:
                found.append((size, size))
    return found


class ClientKindTests(SynchronousTestCase):
    """
    What a server receives.
    """

    def test_sizeOffByOne(self) -> None:
        """
        HELLO has 1200 bytes, DATA 44 to the MTU, and no other first byte has any.
        """
        for mtu in (576, 1199, 1200):
            for first in range(256):
                expected = {0x01: [(1200, 1200)], 0x80: [(44, mtu)]}.get(first, [])
                found = [client_datagram_kind(datagram(first, size), mtu) for size in range(1300)]
                self.assertEqual(runs(found), expected, (first, mtu))

    def test_kindWrong(self) -> None:
        """
        The kind is the first byte.
        """
        self.assertEqual(client_datagram_kind(datagram(1, 1200), 1200), 0x01)
        self.assertEqual(client_datagram_kind(datagram(0x80, 1200), 1200), 0x80)

    @given(st.binary(max_size=100))
    def test_anyBytesRaise(self, data: bytes) -> None:
        """
        Any bytes are DATA or junk.
        """
        self.assertIn(client_datagram_kind(data, 1200), (0, 0x80))


class ServerKindTests(SynchronousTestCase):
    """
    What a client receives.
    """

    def test_sizeOffByOne(self) -> None:
        """
        COOKIE has 37 bytes, ACCEPT 113, TERMINATE 18, DATA 19 to the MTU, and no
        other first byte has any.
        """
        sizes = {0x02: [(37, 37)], 0x03: [(113, 113)], 0x04: [(18, 18)]}
        for mtu in (576, 1199, 1200):
            for first in range(256):
                expected = {**sizes, 0x80: [(19, mtu)]}.get(first, [])
                found = [server_datagram_kind(datagram(first, size), mtu) for size in range(1300)]
                self.assertEqual(runs(found), expected, (first, mtu))

    def test_kindWrong(self) -> None:
        """
        The kind is the first byte.
        """
        for first, size in ((2, 37), (3, 113), (4, 18), (0x80, 19), (0x80, 37), (0x80, 113)):
            self.assertEqual(server_datagram_kind(datagram(first, size), 1200), first)

    @given(st.binary(max_size=150))
    def test_anyBytesRaise(self, data: bytes) -> None:
        """
        Any bytes are of a kind or junk.
        """
        self.assertIn(server_datagram_kind(data, 1200), (0, 2, 3, 4, 0x80))
