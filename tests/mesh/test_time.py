"""
Tests of L{diarkis_tw.mesh.time} and L{diarkis_tw.mesh.missed}.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.mesh import missed
from diarkis_tw.mesh.missed import Missed
from diarkis_tw.mesh.time import MeshTime


class MeshTimeTests(SynchronousTestCase):
    """
    One time for all nodes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.time = MeshTime(self.clock, 1000)

    def test_rises(self) -> None:
        """
        It rises with each reading, and with the clock.
        """
        readings = [self.time.now() for _ in range(3)]
        self.assertEqual(readings, [1_000_000_000, 1_000_000_001, 1_000_000_002])
        self.clock.advance(1)
        self.assertEqual(self.time.now(), 1_001_000_000)

    def test_clock_set_back(self) -> None:
        """
        It rises even if the clock is set back.
        """
        before = self.time.now()
        self.clock.rightNow -= 500
        self.assertEqual(self.time.now(), before + 1)

    def test_heard(self) -> None:
        """
        Who hears of a later time goes on from there, at the speed of the clock; an
        earlier one is nothing.
        """
        self.time.heard(5_000_000_000)
        self.time.heard(4_000_000_000)
        self.assertEqual(self.time.now(), 5_000_000_001)
        self.clock.advance(2)
        self.assertEqual(self.time.now(), 5_002_000_000)

    def test_begins_as_the_day(self) -> None:
        """
        It begins as the time of day and goes on by the clock, whatever that counts.
        """
        time = MeshTime(self.clock, 7000)
        self.assertEqual(time.now(), 7_000_000_000)
        self.clock.advance(1)
        self.assertEqual(time.now(), 7_001_000_000)


class MissedTests(SynchronousTestCase):
    """
    What did not arrive.
    """

    def setUp(self) -> None:
        self.missed = Missed()

    def test_counts(self) -> None:
        """
        Who took as many as were said missed nothing; who took fewer did, once, since
        the last time all was well.
        """
        self.assertEqual(self.missed.told("a", 7, 100), 0)
        self.missed.took("a")
        self.missed.took("b")
        self.assertIsNone(self.missed.told("a", 8, 110))
        self.missed.took("a")
        self.assertEqual(self.missed.told("a", 10, 120), 110)
        self.assertIsNone(self.missed.told("a", 10, 130))
        self.missed.took("a")
        self.assertEqual(self.missed.told("a", 10, 140), 130)

    def test_bounded(self) -> None:
        """
        So many nodes are counted and no more; a forgotten one is a new one.
        """
        for number in range(missed.SPEAKERS_MAX + 1):
            self.assertEqual(self.missed.told(f"node{number}", 1, 1), 0)
        self.assertEqual(len(self.missed._speakers), missed.SPEAKERS_MAX)
        self.assertIsNone(self.missed.told("node1", 1, 2))
        self.assertEqual(self.missed.told("node0", 1, 2), 0)
