"""
Two real ends on bad networks, in virtual time: what was promised arrives.
"""

import random

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.testing.simulation import MILLISECOND, SECOND, LinkModel, Pair, Simulation
from diarkis_tw.testing.traffic import Traffic, describe

BAD = LinkModel(
    delay=50 * MILLISECOND,
    jitter=10 * MILLISECOND,
    loss=0.30,
    duplication=0.10,
    reordering=0.05,
)

SWEEP = 100 * MILLISECOND


class DeliveryTestCase(SynchronousTestCase):
    """
    A client and a server.
    """

    def mixed(
        self,
        seed: int,
        count: int,
        model: LinkModel = BAD,
        limits: Limits | None = None,
        encrypted: bool = True,
        within: int = 600 * SECOND,
    ) -> Pair:
        """
        Send messages of all sorts both ways and see that each arrives as it should.
        """
        simulation = Simulation(seed)
        pair = Pair(simulation, model, model, limits or Limits(), encrypted)
        streams = [
            Traffic(simulation, pair.client, pair.server, count, seed),
            Traffic(simulation, pair.server, pair.client, count, seed + 1),
        ]
        simulation.run(
            within,
            lambda: not pair.is_open() or all(stream.is_done() for stream in streams),
        )
        self.pair = pair
        for end in (pair.client, pair.server):
            self.assertIs(end.connection.state, State.OPEN, describe(end.connection))
        self.assertTrue(
            all(stream.is_done() for stream in streams), describe(pair.client.connection)
        )
        return pair


class MixedTests(DeliveryTestCase):
    """
    25,000 messages each way at 30 % loss, 10 % duplication, 5 % reordering.
    """

    def test_seed1(self) -> None:
        """
        Each arrives once, in order, byte for byte, without a close.
        """
        self.mixed(1, 25_000)

    def test_seed2(self) -> None:
        """
        Also with other numbers.
        """
        self.mixed(2, 25_000)

    def test_seed3(self) -> None:
        """
        Also with other numbers.
        """
        self.mixed(3, 25_000)

    def test_seed4(self) -> None:
        """
        Also with other numbers.
        """
        self.mixed(4, 25_000)


class NetworkTests(DeliveryTestCase):
    """
    Other networks, with fewer messages.
    """

    def test_integrityOnly(self) -> None:
        """
        Without encryption all arrives too, on a link that turns bits.
        """
        model = LinkModel(delay=30 * MILLISECOND, loss=0.05, corruption=0.10)
        pair = self.mixed(5, 1_500, model, encrypted=False)
        self.assertGreater(pair.server.connection.forged, 50)

    def test_corruption(self) -> None:
        """
        A link that turns bits is one that loses.
        """
        pair = self.mixed(6, 1_500, LinkModel(delay=30 * MILLISECOND, corruption=0.20))
        self.assertGreater(pair.server.connection.forged, 100)

    def test_bursts(self) -> None:
        """
        Bursts of loss are survived.
        """
        self.mixed(7, 1_500, LinkModel(delay=30 * MILLISECOND, burst=0.03, burst_length=12))

    def test_bandwidth(self) -> None:
        """
        A narrow link with a short queue.
        """
        model = LinkModel(delay=30 * MILLISECOND, bandwidth=150_000, queue=60 * MILLISECOND)
        self.mixed(8, 1_500, model)

    def test_strongReordering(self) -> None:
        """
        A link that holds every third datagram back for up to 200 ms.
        """
        model = LinkModel(
            delay=20 * MILLISECOND,
            reordering=0.33,
            reordering_delay=200 * MILLISECOND,
            duplication=0.2,
        )
        pair = self.mixed(9, 1_500, model)
        self.assertGreater(pair.client.connection._sent.spurious, 10)

    def test_noDelay(self) -> None:
        """
        Two ends in one machine.
        """
        pair = self.mixed(10, 1_500, LinkModel())
        self.assertEqual(pair.client.connection.retransmitted, 0)

    def test_satellite(self) -> None:
        """
        A round trip of 1.2 s, longer than retryInterval.
        """
        self.mixed(11, 800, LinkModel(delay=600 * MILLISECOND, jitter=50 * MILLISECOND, loss=0.1))

    def test_smallWindow(self) -> None:
        """
        The smallest window and MTU.
        """
        self.mixed(12, 800, limits=Limits(window=16, mtu=576))

    def test_withoutRedundancy(self) -> None:
        """
        Without redundant copies.
        """
        self.mixed(13, 1_000, limits=Limits(redundancy=False))


class BlackHoleTests(DeliveryTestCase):
    """
    Times in which nothing comes through in either direction.
    """

    def cut(self, start: int, duration: int) -> tuple[Pair, list[bytes], list[bytes]]:
        """
        Send 30 messages a second both ways over a link with a hole.

        @return: the ends, what was sent up and what arrived there.
        """
        self.arrived_at: list[int] = []
        simulation = Simulation(1)
        model = LinkModel(
            delay=50 * MILLISECOND, loss=0.02, black_holes=((start, start + duration),)
        )
        pair = Pair(simulation, model, model)
        sent: list[bytes] = []
        arrived: list[bytes] = []

        def on_message(message: bytes, reliable: bool) -> None:
            arrived.append(message)
            self.arrived_at.append(simulation.now)

        pair.server.on_message = on_message
        stop = start + duration + 5 * SECOND

        def pump() -> None:
            message = simulation.now.to_bytes(8)
            if simulation.now < stop:
                if pair.client.send(message):
                    sent.append(message)
                pair.server.send(message)
                simulation.at(simulation.now + 33_333, pump)

        simulation.at(0, pump)
        simulation.run(stop + 10 * SECOND)
        return pair, sent, arrived

    def test_survived(self) -> None:
        """
        Holes of 1, 3 and 8 s are survived, and everything arrives.
        """
        for duration in (1, 3, 8):
            pair, sent, arrived = self.cut(5 * SECOND, duration * SECOND)
            self.assertTrue(pair.is_open(), duration)
            self.assertEqual(arrived, sent)
            self.assertGreater(len(sent), 300)

    def test_tooLong(self) -> None:
        """
        A hole of 12 s ends both sides with TIMEOUT, within a sweep of maxRetry x retryInterval
        after the last that was heard; each is closed once.
        """
        pair, _, _ = self.cut(5 * SECOND, 12 * SECOND)
        for end in (pair.client, pair.server):
            self.assertEqual(end.connection.code, CloseCode.TIMEOUT)
            self.assertEqual([code for _, code in end.endings], [CloseCode.TIMEOUT])
            ended_at, _ = end.endings[0]
            heard_at = end.connection.heard_at
            self.assertLess(abs(heard_at - 5 * SECOND), 200 * MILLISECOND)
            self.assertTrue(0 <= ended_at - heard_at - 10 * SECOND <= SWEEP)

    def test_quickAfterwards(self) -> None:
        """
        After a hole of 8 s traffic flows again within retryInterval and a round trip or two.
        """
        self.cut(5 * SECOND, 8 * SECOND)
        first = next(time for time in self.arrived_at if time > 5 * SECOND + 100 * MILLISECOND)
        self.assertTrue(13 * SECOND < first < 14_300 * MILLISECOND, first)

    def test_oneWay(self) -> None:
        """
        If only one direction is dead, the side that is not heard learns of the end from the CLOSE.
        """
        simulation = Simulation(2)
        open_model = LinkModel(delay=50 * MILLISECOND)
        dead = LinkModel(delay=50 * MILLISECOND, black_holes=((SECOND, 100 * SECOND),))
        pair = Pair(simulation, dead, open_model)

        def pump() -> None:
            pair.server.send(b"x")
            if simulation.now < 2 * SECOND:
                simulation.at(simulation.now + 100 * MILLISECOND, pump)

        simulation.at(0, pump)
        simulation.run(30 * SECOND)
        self.assertEqual(pair.server.connection.code, CloseCode.TIMEOUT)
        self.assertEqual(pair.client.connection.code, CloseCode.TIMEOUT)


class WrapTests(DeliveryTestCase):
    """
    Numbers that need more than their 16 bits.
    """

    def test_seq(self) -> None:
        """
        70,000 reliable messages on one channel arrive in order, with loss and reordering.
        """
        simulation = Simulation(3)
        model = LinkModel(delay=5 * MILLISECOND, loss=0.02, duplication=0.02, reordering=0.02)
        pair = Pair(simulation, model, model)
        count = 70_000
        state = {"sent": 0, "arrived": 0}

        def arrived(message: bytes, reliable: bool) -> None:
            self.assertEqual(int.from_bytes(message), state["arrived"])
            state["arrived"] += 1

        def pump() -> None:
            while state["sent"] < count and pair.client.send(state["sent"].to_bytes(4)):
                state["sent"] += 1
            if state["sent"] < count:
                simulation.at(simulation.now + 5 * MILLISECOND, pump)

        pair.server.on_message = arrived
        simulation.at(0, pump)
        simulation.run(600 * SECOND, lambda: state["arrived"] == count)
        self.assertEqual(state["arrived"], count)
        self.assertTrue(pair.is_open())

    def test_packetNumber(self) -> None:
        """
        150,000 packets, more than two wraps, with loss, and reliable messages among them.
        """
        simulation = Simulation(4)
        model = LinkModel(delay=5 * MILLISECOND, loss=0.05, reordering=0.02)
        pair = Pair(simulation, model, model)
        choose = random.Random(4)
        sent: list[bytes] = []
        arrived: list[bytes] = []
        loose = [0]

        def on_message(message: bytes, reliable: bool) -> None:
            if reliable:
                arrived.append(message)
            else:
                loose[0] += 1

        def pump() -> None:
            pair.client.send(b"u", reliable=False)
            if choose.random() < 0.02:
                message = len(sent).to_bytes(4)
                self.assertTrue(pair.client.send(message))
                sent.append(message)
            if pair.client.connection._sent.next_number < 150_000:
                simulation.at(simulation.now + 500, pump)

        pair.server.on_message = on_message
        simulation.at(0, pump)
        simulation.run(100 * SECOND)
        self.assertGreater(pair.server.connection.largest, 149_000)
        self.assertEqual(arrived, sent)
        self.assertTrue(0.93 < loose[0] / 150_000 < 0.97)
        self.assertTrue(pair.is_open())


class RedundancyTests(DeliveryTestCase):
    """
    Whether copies pay.
    """

    def stream(self, model: LinkModel, redundancy: bool) -> tuple[Pair, list[int]]:
        """
        60 s of 30 messages a second of 64 bytes.

        @return: the ends, and how long each message took, sorted.
        """
        simulation = Simulation(5)
        pair = Pair(simulation, model, model, Limits(redundancy=redundancy))
        took: list[int] = []
        pair.server.on_message = lambda message, reliable: took.append(
            simulation.now - int.from_bytes(message[:8])
        )

        def pump() -> None:
            if simulation.now < 60 * SECOND:
                pair.client.send(simulation.now.to_bytes(8) + bytes(56))
                simulation.at(simulation.now + 33_333, pump)

        simulation.at(0, pump)
        simulation.run(70 * SECOND)
        self.assertEqual(len(took), 1_801)
        return pair, sorted(took)

    def test_randomLoss(self) -> None:
        """
        At 5 % of random loss the 95th percentile of latency is halved for less than twice the
        bytes.
        """
        model = LinkModel(delay=50 * MILLISECOND, jitter=10 * MILLISECOND, loss=0.05)
        without, slow = self.stream(model, redundancy=False)
        with_copies, quick = self.stream(model, redundancy=True)
        place = len(slow) * 95 // 100
        self.assertLess(quick[place], slow[place] // 2)
        self.assertLess(with_copies.up_link.size, 2 * without.up_link.size)
        self.assertLess(
            with_copies.client.connection.retransmitted,
            without.client.connection.retransmitted // 2,
        )

    def test_bursts(self) -> None:
        """
        In bursts, where copies are lost as well, they rest most of the time.
        """
        model = LinkModel(delay=50 * MILLISECOND, burst=0.01, burst_length=12)
        without, _ = self.stream(model, redundancy=False)
        with_copies, _ = self.stream(model, redundancy=True)
        self.assertLess(with_copies.up_link.size, without.up_link.size * 3 // 2)

    def test_noLoss(self) -> None:
        """
        Without loss there are none.
        """
        model = LinkModel(delay=50 * MILLISECOND)
        without, _ = self.stream(model, redundancy=False)
        with_copies, _ = self.stream(model, redundancy=True)
        self.assertEqual(with_copies.up_link.size, without.up_link.size)
