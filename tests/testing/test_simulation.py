"""
Tests of L{diarkis_tw.testing.simulation} and L{diarkis_tw.testing.traffic}.
"""

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.connection import State
from diarkis_tw.testing import simulation as simulation_module
from diarkis_tw.testing.simulation import (
    MILLISECOND,
    SECOND,
    Link,
    LinkModel,
    Pair,
    Simulation,
)
from diarkis_tw.testing.traffic import Traffic


class TimeTests(SynchronousTestCase):
    """
    L{Simulation}.
    """

    def setUp(self) -> None:
        self.simulation = Simulation(1)
        self.calls: list[tuple[int, str]] = []

    def call(self, time: int, name: str) -> None:
        """
        Schedule an entry in C{calls}.
        """
        self.simulation.at(time, lambda: self.calls.append((self.simulation.now, name)))

    def test_order(self) -> None:
        """
        Events come by time, and those of one instant in the order of scheduling.
        """
        for time, name in ((5, "c"), (3, "a"), (3, "b"), (9, "d")):
            self.call(time, name)
        self.simulation.run(8)
        self.assertEqual(self.calls, [(3, "a"), (3, "b"), (5, "c")])
        self.assertEqual(self.simulation.now, 8)
        self.simulation.run(9)
        self.assertEqual(self.calls[3:], [(9, "d")])

    def test_past(self) -> None:
        """
        What should have been before comes now.
        """
        self.simulation.run(10)
        self.call(3, "late")
        self.simulation.run(20)
        self.assertEqual(self.calls, [(10, "late")])

    def test_stop(self) -> None:
        """
        A run ends early when it is told to.
        """
        for time in (1, 2, 3):
            self.call(time, "")
        self.simulation.run(10, lambda: len(self.calls) == 2)
        self.assertEqual((len(self.calls), self.simulation.now), (2, 2))

    def test_spinning(self) -> None:
        """
        Events that repeat without time passing are found.
        """
        self.patch(simulation_module, "EVENTS_MOST", 1_000)

        def again() -> None:
            self.simulation.at(self.simulation.now, again)

        again()
        self.assertRaises(AssertionError, self.simulation.run, 10)


class LinkTests(SynchronousTestCase):
    """
    L{Link}.
    """

    def carry(
        self, model: LinkModel, count: int = 2_000, gap: int = MILLISECOND, size: int = 100
    ) -> list[tuple[int, bytes]]:
        """
        Send numbered datagrams at a steady pace.

        @return: when each arrived and what.
        """
        simulation = Simulation(7)
        self.link = Link(simulation, model)
        arrived: list[tuple[int, bytes]] = []
        self.link.receiver = lambda datagram: arrived.append((simulation.now, datagram))
        for number in range(count):
            datagram = number.to_bytes(4) + bytes(size - 4)
            simulation.at(number * gap, lambda datagram=datagram: self.link.send(datagram))
        simulation.run(count * gap + 60 * SECOND)
        return arrived

    def numbers(self, model: LinkModel, count: int = 2_000) -> list[int]:
        """
        The numbers that arrived, in their order.
        """
        return [int.from_bytes(datagram[:4]) for _, datagram in self.carry(model, count)]

    def test_delay(self) -> None:
        """
        Each datagram arrives after the delay; how many and how much is counted.
        """
        arrived = self.carry(LinkModel(delay=30 * MILLISECOND), 5)
        self.assertEqual([time for time, _ in arrived], [(30 + n) * MILLISECOND for n in range(5)])
        self.assertEqual((self.link.datagrams, self.link.size), (5, 500))

    def test_jitter(self) -> None:
        """
        Jitter adds up to its value and keeps the order.
        """
        arrived = self.carry(LinkModel(delay=30 * MILLISECOND, jitter=10 * MILLISECOND))
        numbers = [int.from_bytes(datagram[:4]) for _, datagram in arrived]
        self.assertEqual(numbers, list(range(2_000)))
        delays = [
            time - number * MILLISECOND for (time, _), number in zip(arrived, numbers, strict=True)
        ]
        self.assertTrue(30_000 <= min(delays) < 33_000)
        self.assertTrue(38_000 < max(delays) <= 40_000)

    def test_loss(self) -> None:
        """
        The share that is lost is the one asked for, evenly spread.
        """
        numbers = self.numbers(LinkModel(loss=0.3))
        self.assertTrue(0.27 < 1 - len(numbers) / 2_000 < 0.33)
        pairs = sum(a + 1 == b for a, b in pairwise(numbers))
        self.assertTrue(0.65 < pairs / len(numbers) < 0.75)

    def test_burst(self) -> None:
        """
        Loss in bursts comes in runs of the length asked for on average.
        """
        numbers = self.numbers(LinkModel(burst=0.02, burst_length=10), 10_000)
        gaps = [b - a - 1 for a, b in pairwise(numbers) if b > a + 1]
        self.assertTrue(7 < sum(gaps) / len(gaps) < 13, sum(gaps) / len(gaps))

    def test_duplication(self) -> None:
        """
        The share asked for arrives twice.
        """
        numbers = self.numbers(LinkModel(duplication=0.1))
        self.assertEqual(len(set(numbers)), 2_000)
        self.assertTrue(150 < len(numbers) - 2_000 < 250)

    def test_reordering(self) -> None:
        """
        The share asked for is held back, the others keep their order.
        """
        numbers = self.numbers(LinkModel(reordering=0.05, reordering_delay=20 * MILLISECOND))
        late = [a for a, b in zip(numbers, sorted(numbers), strict=True) if a != b]
        self.assertEqual(sorted(numbers), list(range(2_000)))
        self.assertGreater(len(late), 100)
        overtaken = sum(max(numbers[:i], default=-1) > n for i, n in enumerate(numbers))
        self.assertTrue(50 < overtaken < 150, overtaken)

    def test_corruption(self) -> None:
        """
        The share asked for arrives with one bit turned.
        """
        arrived = self.carry(LinkModel(corruption=0.1))
        wrong = 0
        for number, (_, datagram) in enumerate(arrived):
            turned = int.from_bytes(datagram) ^ int.from_bytes(number.to_bytes(4) + bytes(96))
            self.assertLessEqual(turned.bit_count(), 1)
            wrong += turned.bit_count()
        self.assertTrue(150 < wrong < 250, wrong)

    def test_bandwidth(self) -> None:
        """
        A narrow link delivers at its rate, and drops what would wait too long.
        """
        model = LinkModel(bandwidth=50_000, queue=100 * MILLISECOND)
        arrived = self.carry(model, 1_000)  # 100,000 bytes per second
        times = [time for time, _ in arrived]
        self.assertEqual({b - a for a, b in pairwise(times)}, {2 * MILLISECOND})
        self.assertTrue(500 <= len(arrived) <= 560, len(arrived))
        waited = [time - int.from_bytes(d[:4]) * MILLISECOND for time, d in arrived]
        self.assertTrue(100 * MILLISECOND < max(waited) <= 103 * MILLISECOND)

    def test_blackHoles(self) -> None:
        """
        Nothing that is sent in a hole arrives.
        """
        model = LinkModel(black_holes=((SECOND, 1_500 * MILLISECOND),))
        self.assertEqual(self.numbers(model), [*range(1_000), *range(1_500, 2_000)])


class TranscriptTests(SynchronousTestCase):
    """
    The same seed gives the same run.
    """

    def transcript(self, seed: int, link_seed: int | None = None) -> tuple[str, int]:
        """
        Run some traffic over a bad link.
        """
        simulation = Simulation(seed if link_seed is None else link_seed)
        model = LinkModel(
            delay=20 * MILLISECOND,
            jitter=MILLISECOND,
            loss=0.2,
            burst=0.01,
            duplication=0.1,
            reordering=0.1,
            corruption=0.02,
            bandwidth=2_000_000,
        )
        pair = Pair(simulation, model, model)
        Traffic(simulation, pair.client, pair.server, 400, seed)
        Traffic(simulation, pair.server, pair.client, 400, seed + 1)
        simulation.run(8 * SECOND)
        return simulation.transcript(), pair.up_link.datagrams

    def test_same(self) -> None:
        """
        The same seed twice gives the same transcript.
        """
        first = self.transcript(11)
        self.assertEqual(self.transcript(11), first)
        self.assertGreater(first[1], 200)

    def test_other(self) -> None:
        """
        Another seed, of the network or of the traffic, gives another transcript.
        """
        first, _ = self.transcript(11)
        self.assertNotEqual(self.transcript(11, link_seed=12)[0], first)
        self.assertNotEqual(self.transcript(12, link_seed=11)[0], first)

    def test_content(self) -> None:
        """
        One byte that is other is another transcript.
        """
        hashes = set()
        for message in (b"a", b"b"):
            simulation = Simulation(1)
            pair = Pair(simulation, LinkModel(), LinkModel())
            pair.client.send(message)
            simulation.run(SECOND)
            hashes.add(simulation.transcript())
        self.assertEqual(len(hashes), 2)


class PairTests(SynchronousTestCase):
    """
    L{Pair} and its ends.
    """

    def setUp(self) -> None:
        self.simulation = Simulation(1)
        model = LinkModel(delay=50 * MILLISECOND)
        self.pair = Pair(self.simulation, model, model)

    def test_message(self) -> None:
        """
        A message takes one delay, its ACK another, and then nothing happens any more.
        """
        arrived: list[tuple[int, bytes, bool]] = []
        self.pair.server.on_message = lambda message, reliable: arrived.append(
            (self.simulation.now, message, reliable)
        )
        self.pair.client.send(b"r", channel=3)
        self.pair.client.send(b"u", reliable=False)
        self.simulation.run(60 * SECOND)
        self.assertEqual(sorted(arrived), [(50_000, b"r", True), (50_000, b"u", False)])
        self.assertEqual((self.pair.up_link.datagrams, self.pair.down_link.datagrams), (1, 1))
        self.assertTrue(self.pair.is_open())

    def test_endings(self) -> None:
        """
        Each end's close is noted once, with its time.
        """
        self.simulation.run(SECOND)
        self.pair.client.connection.close(CloseCode.KICKED, self.simulation.now)
        self.pair.client.flush_soon()
        self.simulation.run(60 * SECOND)
        self.assertEqual(self.pair.client.endings, [(SECOND, CloseCode.KICKED)])
        self.assertEqual(self.pair.server.endings, [(1_050_000, CloseCode.KICKED)])
        self.assertFalse(self.pair.is_open())
        self.assertIs(self.pair.client.connection.state, State.CLOSED)


class TrafficTests(SynchronousTestCase):
    """
    L{Traffic} finds what is wrong.
    """

    def setUp(self) -> None:
        self.simulation = Simulation(1)
        self.pair = Pair(self.simulation, LinkModel(), LinkModel())
        self.traffic = Traffic(self.simulation, self.pair.client, self.pair.server, 500, 1)

    def test_done(self) -> None:
        """
        It is done when all was sent and arrived.
        """
        self.simulation.run(SECOND)
        self.assertFalse(self.traffic.is_done())
        self.simulation.run(60 * SECOND)
        self.assertTrue(self.traffic.is_done())
        self.assertEqual((self.traffic.sent, self.traffic.arrived), (500, 500))

    def test_wrong(self) -> None:
        """
        A reliable message that is missing, comes twice or is another is an error, an unreliable
        one if it comes twice or is another.
        """
        messages: list[tuple[bytes, bool]] = []
        check = self.pair.server.on_message
        self.pair.server.on_message = lambda message, reliable: messages.append((message, reliable))
        self.simulation.run(60 * SECOND)
        first = next(message for message, reliable in messages if reliable and message[0] == 0)
        second = next(
            message for message, reliable in messages if message[0] == 0 and message[4] == 1
        )
        loose = next(message for message, reliable in messages if not reliable)
        self.assertRaises(AssertionError, check, second, True)
        self.assertRaises(AssertionError, check, first + b"x", True)
        self.assertRaises(AssertionError, check, first, False)
        check(first, True)
        self.assertRaises(AssertionError, check, first, True)
        check(loose, False)
        self.assertRaises(AssertionError, check, loose, False)
