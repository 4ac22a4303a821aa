"""
Tests of L{diarkis_tw.net.steady_time}.
"""

import time

from twisted.internet.base import ReactorBase
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.net.steady_time import count_steadily


class BareReactor(ReactorBase):
    """
    Twisted's timers, without anything that could be read.
    """

    def installWaker(self) -> None:
        """
        Nothing wakes it.
        """


class CountSteadilyTests(SynchronousTestCase):
    """
    Which time a reactor goes by.
    """

    def setUp(self) -> None:
        self.reactor = BareReactor()
        self.called: list[str] = []

    def test_timers(self) -> None:
        """
        What is scheduled, moved and run goes by the count that nobody sets.
        """
        count_steadily(self.reactor)
        self.assertIs(self.reactor.seconds, time.monotonic)
        self.reactor.callLater(0, self.called.append, "now")
        later = self.reactor.callLater(1, self.called.append, "later")
        later.reset(3600)
        self.assertApproximates(later.getTime(), time.monotonic() + 3600, 60)
        self.reactor.runUntilCurrent()
        self.assertEqual(self.called, ["now"])
        self.assertApproximates(self.reactor.timeout(), 3600, 60)

    def test_tooLate(self) -> None:
        """
        What somebody has scheduled before still comes when it shall.
        """
        self.reactor.callLater(3600, self.called.append, "later")
        count_steadily(self.reactor)
        self.assertApproximates(self.reactor.timeout(), 3600, 60)
