"""
Tests of L{diarkis_tw.net.deadlines}.
"""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.net.deadlines import STALE_MOST, Deadlines
from diarkis_tw.units import microseconds

START = 1000.0
TICK = 1 / 64
"""Exact in binary and in microseconds."""


class DeadlinesTests(SynchronousTestCase):
    """
    Deadlines of letters, in ticks from the start.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.called: list[tuple[str, int]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, self.due)
        self.again: dict[str, int] = {}

    def due(self, item: str) -> None:
        """
        Note it, and set what the test wants next.
        """
        now = round((self.clock.seconds() - START) / TICK)
        self.called.append((item, now))
        if item in self.again:
            self.set(item, self.again.pop(item))

    def set(self, item: str, at: int) -> None:
        """
        Set a deadline.
        """
        self.deadlines.set(item, microseconds(START + at * TICK))

    def advance(self, ticks: int) -> None:
        """
        Let time pass, tick by tick.
        """
        self.clock.pump([TICK] * ticks)

    def test_order(self) -> None:
        """
        Each item is called back at its deadline, whatever the order of setting.
        """
        for item, at in (("c", 30), ("a", 10), ("b", 20)):
            self.set(item, at)
        self.advance(40)
        self.assertEqual(self.called, [("a", 10), ("b", 20), ("c", 30)])

    def test_oneTimer(self) -> None:
        """
        There is one timer, however many items wait, and none when nobody does.
        """
        for n in range(100):
            self.set(f"{n}", 100 - n)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.advance(200)
        self.assertEqual(len(self.called), 100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_earlier(self) -> None:
        """
        An earlier deadline wins, a later one changes nothing.
        """
        self.set("a", 20)
        self.set("a", 10)
        self.set("a", 30)
        self.advance(50)
        self.assertEqual(self.called, [("a", 10)])

    def test_past(self) -> None:
        """
        A deadline that is over is called back at once, not inside C{set}.
        """
        self.set("a", -5)
        self.assertEqual(self.called, [])
        self.clock.advance(0)
        self.assertEqual(self.called, [("a", 0)])

    def test_forget(self) -> None:
        """
        A forgotten item is not called back, and may be set again.
        """
        self.set("a", 10)
        self.set("b", 10)
        self.deadlines.forget("a")
        self.deadlines.forget("nobody")
        self.advance(15)
        self.set("a", 20)
        self.advance(10)
        self.assertEqual(self.called, [("b", 10), ("a", 20)])

    def test_forgetAndSetLater(self) -> None:
        """
        A deadline from before an item was forgotten counts no more.
        """
        self.set("a", 10)
        self.deadlines.forget("a")
        self.set("a", 20)
        self.advance(30)
        self.assertEqual(self.called, [("a", 20)])

    def test_setInside(self) -> None:
        """
        A callback may set the next deadline, also one that is over.
        """
        self.again["a"] = 15
        self.set("a", 10)
        self.advance(20)
        self.again["b"] = 5
        self.set("b", 25)
        self.advance(10)
        self.assertEqual(self.called, [("a", 10), ("a", 15), ("b", 25), ("b", 25)])

    def test_late(self) -> None:
        """
        What the reactor was too late for is called back in one go.
        """
        for n in range(5):
            self.set(f"{n}", n)
        self.clock.advance(10 * TICK)
        self.assertEqual([item for item, _ in self.called], ["0", "1", "2", "3", "4"])

    def test_stop(self) -> None:
        """
        After the end nothing is called back and no timer is left.
        """
        self.set("a", 10)
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(20)
        self.assertEqual(self.called, [])

    def test_memory(self) -> None:
        """
        An item with a far deadline that is called back over and over does not pile up.
        """
        for n in range(5000):
            self.set("a", n + 10_000)
            self.set("a", n + 1)
            self.advance(1)
        self.assertEqual(len(self.called), 5000)
        self.assertLessEqual(len(self.deadlines._heap), STALE_MOST + 3)

    def test_memoryOfTheForgotten(self) -> None:
        """
        Items that were forgotten do not pile up either.
        """
        for n in range(5000):
            self.set(f"{n}", 10_000)
            self.deadlines.forget(f"{n}")
        self.assertLessEqual(len(self.deadlines._heap), STALE_MOST + 3)

    @given(st.floats(0, 1e9), st.integers(1, 10_000_000), st.integers(0, 1000))
    def test_exact(self, start: float, delay: int, seed: int) -> None:
        """
        At any time of the clock a deadline is called back once, never early by what counts,
        and never repeated at one instant.
        """
        clock = Clock()
        clock.advance(start)
        called: list[int] = []
        deadlines: Deadlines[int] = Deadlines(
            clock, lambda item: called.append(microseconds(clock.seconds()))
        )
        deadline = microseconds(clock.seconds()) + delay
        deadlines.set(1, deadline)
        random = Random(seed)
        while microseconds(clock.seconds()) < deadline:
            clock.advance(random.uniform(0, delay / 2e6) + 1e-6)
        clock.advance(1e-6)
        self.assertEqual(len(called), 1)
        self.assertGreaterEqual(called[0], deadline)
