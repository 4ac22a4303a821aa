"""
Tests of L{diarkis_tw.rudp.congestion}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.rtt import RoundTrip

MTU = 1200
ROUND_TRIP = 100_000
FLOOR = 13_107
"""128 KiB/s times the round trip."""


class CongestionTestCase(SynchronousTestCase):
    """
    A path of 100 ms.
    """

    def setUp(self) -> None:
        self.round_trip = RoundTrip(1_000_000, 20_000)
        self.round_trip.sample(ROUND_TRIP)
        self.congestion = Congestion(MTU, self.round_trip)

    def inflate(self) -> None:
        """
        Let a queue build up in the network.
        """
        self.round_trip.smoothed = 140_000

    def lose(self, count: int, of: int) -> None:
        """
        Let so many of so many packets be lost, evenly, all sent after the last loss was seen.
        """
        for number in range(of):
            if number * count % of < count:
                self.congestion.lost(1, 0)
            else:
                self.congestion.acked(MTU)


class WindowTests(CongestionTestCase):
    """
    L{Congestion.window}.
    """

    def test_first(self) -> None:
        """
        It begins with 32 packets.
        """
        self.assertEqual(self.congestion.window, 32 * MTU)

    def test_slowStart(self) -> None:
        """
        It grows by what arrives while it is the limit, to 256 packets.
        """
        self.congestion.limited = True
        self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 33 * MTU)
        for _ in range(1000):
            self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 256 * MTU)

    def test_notTheLimit(self) -> None:
        """
        It does not grow while the application sends less than it allows.
        """
        for _ in range(100):
            self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 32 * MTU)

    def test_inflated(self) -> None:
        """
        It does not grow while the round trip is inflated, and then by a packet a round trip.
        """
        self.congestion.limited = True
        self.inflate()
        self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 32 * MTU)
        self.round_trip.smoothed = ROUND_TRIP
        for _ in range(32):
            self.congestion.acked(MTU)
        self.assertEqual(round(self.congestion.window / MTU, 1), 33.0)

    def test_isolatedLoss(self) -> None:
        """
        Loss without a queue leaves it as it is, as on a radio link.
        """
        self.lose(200, of=1000)
        self.assertEqual(self.congestion.window, 32 * MTU)

    def test_lossWithQueue(self) -> None:
        """
        Loss with an inflated round trip takes 30 % off.
        """
        self.inflate()
        self.congestion.lost(1, 2)
        self.assertEqual(self.congestion.window, 32 * MTU * 7 // 10)

    def test_heavyLoss(self) -> None:
        """
        Smoothed loss above 25 % takes 30 % off, whatever the round trip.
        """
        self.lose(240, of=1000)
        self.assertEqual(self.congestion.window, 32 * MTU)
        while self.congestion.loss <= 0.25:
            self.congestion.lost(0, 0)
        self.assertEqual(self.congestion.window, 32 * MTU * 7 // 10)

    def test_oncePerRoundTrip(self) -> None:
        """
        Packets that were sent before a reduction cause no other one.
        """
        self.inflate()
        self.congestion.lost(1, 1000)
        for sent_at in (2, 500, 1000):
            self.congestion.lost(sent_at, 1000)
        self.assertEqual(self.congestion.window, 32 * MTU * 7 // 10)
        self.congestion.lost(1001, 2000)
        self.assertEqual(self.congestion.window, 32 * MTU * 7 // 10 * 7 // 10)

    def test_floor(self) -> None:
        """
        It never falls below 128 KiB/s times the round trip.
        """
        while self.congestion.loss <= 0.5:
            self.congestion.lost(0, 0)
        for number in range(100):
            self.congestion.lost(2 * number + 1, 2 * number + 2)
        self.assertEqual(self.congestion.window, FLOOR)

    def test_floorOfShortPath(self) -> None:
        """
        On a short path the floor is 8 packets.
        """
        self.round_trip.smoothed = 1_000
        while self.congestion.loss <= 0.5:
            self.congestion.lost(0, 0)
        for number in range(100):
            self.congestion.lost(2 * number + 1, 2 * number + 2)
        self.assertEqual(self.congestion.window, 8 * MTU)

    def test_floorOfLongPath(self) -> None:
        """
        On a long path the window rises to the floor as soon as it is the limit, even
        if the round trip is inflated; 256 packets stay the most.
        """
        self.congestion.limited = True
        self.round_trip.smoothed = 1_000_000
        self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 128 * 1024)
        self.round_trip.smoothed = 60_000_000
        self.congestion.acked(MTU)
        self.assertEqual(self.congestion.window, 256 * MTU)

    def test_reset(self) -> None:
        """
        Another path begins with 32 packets and a full burst.
        """
        self.inflate()
        self.congestion.lost(1, 2)
        self.congestion.sent(100 * MTU)
        self.congestion.reset()
        self.assertEqual(self.congestion.window, 32 * MTU)
        self.assertEqual(self.congestion.allowed_at(5), 5)


class PacingTests(CongestionTestCase):
    """
    L{Congestion.allowed_at}.
    """

    def burst(self, now: int) -> int:
        """
        How many full packets leave at one instant.
        """
        count = 0
        while self.congestion.allowed_at(now) <= now:
            self.congestion.sent(MTU)
            count += 1
        return count

    def test_burst(self) -> None:
        """
        16 packets leave at once; the next has to wait, however often it asks.
        """
        self.assertEqual(self.burst(1_000_000), 16)
        self.assertEqual(self.burst(1_000_000), 0)

    def test_rate(self) -> None:
        """
        Beyond the burst, 1.25 windows leave in a round trip.
        """
        now = 1_000_000
        sent = self.burst(now)
        while now < 1_000_000 + ROUND_TRIP:
            now = self.congestion.allowed_at(now)
            sent += self.burst(now)
        self.assertIn(sent - 16, (39, 40, 41))

    def test_waitIsExact(self) -> None:
        """
        At the instant that it names the packet may leave, so that no timer spins.
        """
        now = 1_000_000
        for _ in range(200):
            self.burst(now)
            now = self.congestion.allowed_at(now)
            self.assertEqual(self.congestion.allowed_at(now), now)

    def test_pause(self) -> None:
        """
        A pause earns one burst, however long it was.
        """
        self.burst(1_000_000)
        self.assertLessEqual(self.burst(60_000_000), 17)

    def test_clockSetBack(self) -> None:
        """
        A clock that is set back does not stop the sender for as long.
        """
        self.burst(3_600_000_000)
        self.burst(1_000_000)
        self.assertEqual(self.burst(2_000_000), 16)

    def test_unknownRoundTrip(self) -> None:
        """
        Without a round trip there is nothing to spread over.
        """
        self.round_trip.reset()
        self.congestion.sent(1000 * MTU)
        self.assertEqual(self.congestion.allowed_at(7), 7)
