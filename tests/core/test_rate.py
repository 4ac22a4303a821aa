"""
Tests of L{diarkis_tw.core.rate}.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.inbox import QUEUE_LIMIT
from diarkis_tw.core.rate import BURST, PATIENCE, TICK
from diarkis_tw.core.user import User, UserState
from tests.core.fakes import CoreNode, CoreTestCase

RATE = 1000.0


class RateTestCase(CoreTestCase):
    """
    A user under the default rate.

    @ivar ran: how many commands ran.
    """

    rate = RATE

    def setUp(self) -> None:
        self.core = CoreNode(rate=self.rate)
        self.ran = 0
        self.user, self.client = self.serve(self.handler)

    def handler(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None] | None:
        self.ran += 1
        return None

    def send(self, count: int, *, reliable: bool = True) -> list[bool]:
        return [self.client.command(reliable=reliable) for _ in range(count)]

    def flood(self, duration: float) -> None:
        """
        A stream that always has more to read.
        """
        for _ in range(round(duration / TICK)):
            self.client.stream([(0, b"")] * 100)
            self.core.clock.advance(TICK)


class BurstTests(RateTestCase):
    """
    What is allowed, and when it stops.
    """

    def test_burst(self) -> None:
        """
        A burst runs at once and says nothing.
        """
        self.assertEqual(self.send(BURST), [True] * BURST)
        self.assertEqual(self.ran, BURST)

    def test_above(self) -> None:
        """
        The next reliable command runs too, but then reading must stop.
        """
        self.send(BURST)
        self.assertEqual(self.send(1), [False])
        self.assertEqual(self.ran, BURST + 1)
        self.assertEqual(self.client.resumed, 0)

    def test_released(self) -> None:
        """
        Reading goes on once there is a token again.
        """
        self.send(BURST + 1)
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 1)
        self.assertEqual(self.send(1), [True])

    def test_debt(self) -> None:
        """
        Commands above the limit are paid for before reading goes on.
        """
        self.send(BURST + round(TICK * RATE) + 1)
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 0)
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 1)

    def test_refilled_in_time(self) -> None:
        """
        An empty bucket is filled with what was earned, at most a burst.
        """
        self.send(BURST)
        self.core.clock.advance(0.1)
        self.assertEqual(self.send(100), [True] * 100)
        self.core.clock.advance(100)
        self.assertEqual(self.send(BURST), [True] * BURST)
        self.assertEqual(self.send(1), [False])

    def test_resting_costs_nothing(self) -> None:
        """
        No timer runs for users below the limit.
        """
        self.core.users.stop()
        self.send(BURST)
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_timer_ends(self) -> None:
        """
        The timer ends when nobody waits.
        """
        before = len(self.core.clock.getDelayedCalls())
        self.send(BURST + 1)
        self.assertEqual(len(self.core.clock.getDelayedCalls()), before + 1)
        self.core.clock.advance(TICK)
        self.assertEqual(len(self.core.clock.getDelayedCalls()), before)

    def test_users_have_their_own(self) -> None:
        """
        One user's burst is not another's.
        """
        self.send(BURST + 1)
        _, other = self.core.connect("bob")
        self.assertTrue(other.command())

    def test_unreliable_is_dropped(self) -> None:
        """
        Above the limit an unreliable command is dropped and counted; the others wait
        for nothing.
        """
        self.send(BURST)
        self.assertEqual(self.send(3, reliable=False), [True] * 3)
        self.assertEqual((self.ran, self.core.dispatcher.dropped), (BURST, 3))
        self.core.clock.advance(TICK)
        self.assertEqual(self.send(1, reliable=False), [True])
        self.assertEqual(self.ran, BURST + 1)

    def test_fin_needs_no_token(self) -> None:
        """
        A user can leave at any rate.
        """
        self.send(BURST + 1)
        self.client.command(ver=0, cmd=Builtin.FIN)
        self.assertEqual(self.client.closed, [CloseCode.NORMAL])


class HeldTwiceTests(RateTestCase):
    """
    A user with a full queue and no token.
    """

    def handler(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None] | None:
        if payload == b"wait":
            self.work: Deferred[None] = Deferred()
            return self.work
        self.ran += 1
        return None

    def setUp(self) -> None:
        super().setUp()
        self.client.command(b"wait")
        self.assertEqual(self.send(QUEUE_LIMIT)[-1], False)

    def test_queue_first(self) -> None:
        """
        A queue that has room again does not release a user without a token.
        """
        self.work.callback(None)
        self.assertEqual((self.ran, self.client.resumed), (QUEUE_LIMIT, 0))
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 1)

    def test_token_first(self) -> None:
        """
        A token does not release a user whose queue is full.
        """
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 0)
        self.work.callback(None)
        self.assertEqual((self.ran, self.client.resumed), (QUEUE_LIMIT, 1))


class PatienceTests(RateTestCase):
    """
    Who is closed with RATE.
    """

    def test_flood(self) -> None:
        """
        A stream that always has more is read at the rate, and closed with RATE after
        the patience, not before.
        """
        self.flood(PATIENCE - 0.5)
        self.assertEqual(self.client.closed, [])
        self.assertLess(abs(self.ran - BURST - RATE * (PATIENCE - 0.5)), RATE * TICK * 2)
        self.flood(1)
        self.assertEqual(self.client.closed, [CloseCode.RATE])
        self.assertIs(self.user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_patience_after_a_rest(self) -> None:
        """
        A bucket that filled up again begins a new patience.
        """
        for _ in range(4):
            self.flood(PATIENCE / 2)
            self.client.unread.clear()
            self.core.pass_time(1)
        self.assertEqual(self.client.closed, [])

    def test_exactly_the_limit(self) -> None:
        """
        A user who sends exactly as much as allowed is never held and never closed.
        """
        for _ in range(60_000):
            if not self.client.command():
                self.fail("held")
            self.core.clock.advance(1 / RATE)
            self.client.heard = True
        self.assertEqual(self.client.closed, [])
        self.assertEqual(self.ran, 60_000)

    def test_exactly_the_limit_in_bursts(self) -> None:
        """
        Nor is one who sends as much in bursts.
        """
        for _ in range(60 * 8):
            self.assertTrue(all(self.send(125)))
            self.core.clock.advance(0.125)
        self.assertEqual(self.client.closed, [])

    def test_exactly_the_limit_after_a_burst(self) -> None:
        """
        A burst and then exactly as much as allowed is what is allowed.
        """
        self.assertTrue(all(self.send(BURST)))
        for _ in range(60_000):
            self.core.clock.advance(1 / RATE)
            self.client.heard = True
            if not self.client.command():
                self.fail("held")
        self.assertEqual(self.client.closed, [])

    def test_patience_begins_anew(self) -> None:
        """
        Who did not have to wait for a second has not pressed against the limit all the
        time, though the bucket never was full.
        """
        self.client.stream([(0, b"")] * (BURST + 10))
        for _ in range(round(1.5 * PATIENCE / 0.2)):
            self.core.clock.pump([0.05] * 4)
            self.client.heard = True
            self.client.stream([(0, b"")] * 199)
        self.assertIsNotNone(self.user.inbox.over_since)
        self.client.stream([(0, b"")] * BURST)
        self.core.clock.pump([TICK] * 10)
        self.assertEqual((self.client.closed, len(self.client.unread)), ([], 0))

    def test_unreliable_flood(self) -> None:
        """
        What is dropped closes nobody.
        """
        for _ in range(round(3 * PATIENCE / TICK)):
            self.send(200, reliable=False)
            self.core.clock.advance(TICK)
        self.assertEqual(self.client.closed, [])

    def test_gone_while_waiting(self) -> None:
        """
        A user who leaves while it waits for a token is forgotten.
        """
        self.send(BURST + 1000)
        self.user.disconnect()
        self.core.users.stop()
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 0)
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_resumed_while_waiting(self) -> None:
        """
        A new connection does not come with new tokens.
        """
        self.send(BURST + round(TICK * RATE))
        self.client.drop()
        again = self.core.connection(self.user)
        self.assertFalse(again.command())
        self.core.clock.advance(2 * TICK)
        self.assertEqual((again.resumed, self.client.resumed), (1, 0))


class NoLimitTests(RateTestCase):
    """
    C{maxCommandRate} 0.
    """

    rate = 0.0

    def test_off(self) -> None:
        """
        Nobody is held, dropped or closed.
        """
        self.assertTrue(all(self.send(20_000)))
        self.assertTrue(all(self.send(20_000, reliable=False)))
        self.assertEqual((self.ran, self.core.dispatcher.dropped), (40_000, 0))


class ChangeTests(RateTestCase):
    """
    Another rate, while users are there.
    """

    def test_off(self) -> None:
        """
        Without a limit whoever waits goes on, and nobody is held any more.
        """
        self.send(BURST + 1000)
        self.core.users.limit_rate(0)
        self.core.clock.advance(TICK)
        self.assertEqual(self.client.resumed, 1)
        self.assertEqual(self.send(10 * BURST), [True] * 10 * BURST)
        self.flood(2 * PATIENCE)
        self.assertEqual(self.client.closed, [])

    def test_on(self) -> None:
        """
        A limit holds for those who came when there was none.
        """
        self.core.users.limit_rate(0)
        self.send(BURST + 1)
        self.core.users.limit_rate(RATE)
        self.assertEqual(self.send(BURST + 1), [True] * BURST + [False])

    def test_lower(self) -> None:
        """
        A lower limit is what tokens are earned by from then on.
        """
        self.send(BURST)
        self.core.users.limit_rate(RATE / 100)
        self.core.clock.advance(1)
        self.assertEqual(self.send(11), [True] * 10 + [False])
