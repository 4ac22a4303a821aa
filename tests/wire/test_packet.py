"""
Tests of L{diarkis_tw.wire.packet}.
"""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.wire.packet import restore_number
from tests.strategies import u16


def nearest(truncated: int, expected: int) -> int:
    """
    The nearest number by trying all that are near; of two the larger.
    """
    window = 2**16
    turn = expected // window
    candidates = [(turn + i) * window + truncated for i in (-1, 0, 1) if turn + i >= 0]
    return min(candidates, key=lambda number: (abs(number - expected), -number))


class RestoreNumberTests(SynchronousTestCase):
    """
    L{restore_number}.
    """

    @given(u16, st.integers(0, 2**28))
    @example(0, 0)
    @example(0xFFFF, 0)
    @example(0x8000, 0)
    @example(0, 0x8000)
    @example(0xFFFF, 0x10000)
    @example(0xFFFF, 0x7FFE)
    @example(0xFFFF, 0x7FFF)
    def test_notTheNearest(self, truncated: int, expected: int) -> None:
        """
        It is the number that a search finds.
        """
        self.assertEqual(restore_number(truncated, expected), nearest(truncated, expected))

    def test_notTheNearestAtTurns(self) -> None:
        """
        So it is half a turn and a whole one away, give or take one, wherever the
        number expected stands in its own turn.
        """
        edges = (0, 1, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF)
        for turn in (0, 1, 2, 4095):
            for low in edges:
                expected = turn * 2**16 + low
                for truncated in edges:
                    self.assertEqual(
                        restore_number(truncated, expected),
                        nearest(truncated, expected),
                        (truncated, expected),
                    )

    @given(st.integers(0, 2**28), st.integers(-0x7FFF, 0x8000))
    def test_numberLost(self, expected: int, distance: int) -> None:
        """
        A packet less than half a turn late, or up to half a turn early, gets its
        number back.
        """
        number = max(0, expected + distance)
        if number <= expected + 0x8000:
            self.assertEqual(restore_number(number & 0xFFFF, expected), number)

    def test_countLost(self) -> None:
        """
        Counted through three turns, with each fifth packet lost, every number that
        comes is restored.
        """
        largest = -1
        for number in range(3 * 2**16):
            if number % 5:
                self.assertEqual(restore_number(number & 0xFFFF, largest + 1), number)
                largest = number

    def test_published(self) -> None:
        """
        The example of RFC 9000, A.3.
        """
        self.assertEqual(restore_number(0x9B32, 0xA82F30EA + 1), 0xA82F9B32)
