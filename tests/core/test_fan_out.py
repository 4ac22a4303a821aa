"""
Tests of L{diarkis_tw.core.fan_out}: everybody is served, nobody has to wait long.
"""

from diarkis_tw.core.fan_out import PERIOD, SLICE_TIME, SLICE_USERS, FanOut
from diarkis_tw.core.user import User
from tests.core.fakes import CoreTestCase, FakeConnection, GameFault


class FanOutTestCase(CoreTestCase):
    """
    A node with users, and a fan-out that notes whom it served.

    @ivar served: uids in order.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.served: list[str] = []
        self.fan_out = FanOut(self.core.clock, self.core.users, self.serve_one)

    def serve_one(self, user: User) -> None:
        self.served.append(user.uid)

    def connect(self, count: int) -> list[tuple[User, FakeConnection]]:
        return [self.core.connect(str(number)) for number in range(count)]

    def turn(self) -> int:
        """
        One period passes.

        @return: how many were served in it.
        """
        before = len(self.served)
        self.core.clock.advance(PERIOD)
        return len(self.served) - before


class SliceTests(FanOutTestCase):
    """
    How much is done at a time.
    """

    def test_few(self) -> None:
        """
        A few users are served at once, and nothing remains to be done.
        """
        self.connect(3)
        self.fan_out.start(at_once=True)
        self.assertEqual(self.served, ["0", "1", "2"])
        self.assertEqual(self.turn(), 0)

    def test_not_at_once(self) -> None:
        """
        Unless asked to begin at once it begins in the next turn of the reactor.
        """
        self.connect(3)
        self.fan_out.start()
        self.fan_out.start()
        self.assertEqual(self.served, [])
        self.core.clock.advance(0)
        self.assertEqual(len(self.served), 3)

    def test_nobody(self) -> None:
        """
        Without users nothing happens.
        """
        timers = len(self.core.clock.getDelayedCalls())
        self.fan_out.start(at_once=True)
        self.assertEqual(len(self.core.clock.getDelayedCalls()), timers)

    def test_slices(self) -> None:
        """
        Many are served so many a period, each once, in order.
        """
        self.connect(2 * SLICE_USERS + 5)
        self.fan_out.start(at_once=True)
        self.assertEqual(len(self.served), SLICE_USERS)
        self.core.clock.advance(PERIOD / 2)
        self.assertEqual(len(self.served), SLICE_USERS)
        self.core.clock.advance(PERIOD / 2)
        self.assertEqual(len(self.served), 2 * SLICE_USERS)
        self.assertEqual(self.turn(), 5)
        self.assertEqual(self.served, [str(number) for number in range(2 * SLICE_USERS + 5)])

    def test_slow(self) -> None:
        """
        Who takes long to be served ends the slice, however few it had.
        """
        self.connect(10)

        def serve(user: User) -> None:
            self.served.append(user.uid)
            self.core.clock.rightNow += SLICE_TIME / 2

        self.fan_out = FanOut(self.core.clock, self.core.users, serve)
        self.fan_out.start(at_once=True)
        self.assertEqual(len(self.served), 2)
        self.assertEqual(self.turn(), 2)

    def test_late(self) -> None:
        """
        A slice that took longer than a period is followed in the next turn of the
        reactor, not in the same.
        """
        self.connect(2)

        def serve(user: User) -> None:
            self.served.append(user.uid)
            self.core.clock.rightNow += 2 * PERIOD

        self.fan_out = FanOut(self.core.clock, self.core.users, serve)
        self.fan_out.start(at_once=True)
        self.assertEqual(len(self.served), 1)
        self.core.clock.advance(0)
        self.assertEqual(len(self.served), 2)


class RoundTests(FanOutTestCase):
    """
    Who is served, and how often.
    """

    def test_left_meanwhile(self) -> None:
        """
        Users who have left since the round began are skipped.
        """
        users = self.connect(SLICE_USERS + 3)
        self.fan_out.start(at_once=True)
        users[SLICE_USERS + 1][0].disconnect()
        self.turn()
        self.assertEqual(self.served[SLICE_USERS:], [str(SLICE_USERS), str(SLICE_USERS + 2)])

    def test_away(self) -> None:
        """
        Users who are away are served too.
        """
        [(_, client)] = self.connect(1)
        client.drop()
        self.fan_out.start(at_once=True)
        self.assertEqual(self.served, ["0"])

    def test_came_meanwhile(self) -> None:
        """
        Users who come during a round are not part of it.
        """
        self.connect(SLICE_USERS + 1)
        self.fan_out.start(at_once=True)
        self.core.connect("late")
        self.turn()
        self.assertEqual((len(self.served), "late" in self.served), (SLICE_USERS + 1, False))

    def test_start_again(self) -> None:
        """
        However often it is started during a round, one more round follows.
        """
        self.connect(SLICE_USERS + 1)
        for _ in range(5):
            self.fan_out.start(at_once=True)
        for _ in range(10):
            self.turn()
        self.assertEqual(len(self.served), 2 * (SLICE_USERS + 1))

    def test_start_while_serving(self) -> None:
        """
        Who is served may start another round; it begins a period later.
        """
        self.connect(2)
        again = [True]

        def serve(user: User) -> None:
            self.served.append(user.uid)
            if again and again.pop():
                self.fan_out.start(at_once=True)

        self.fan_out = FanOut(self.core.clock, self.core.users, serve)
        self.fan_out.start(at_once=True)
        self.assertEqual(self.served, ["0", "1"])
        self.turn()
        self.assertEqual(self.served, ["0", "1", "0", "1"])

    def test_stop(self) -> None:
        """
        Stopped, it serves nobody more, until it is started anew.
        """
        self.connect(SLICE_USERS + 1)
        self.fan_out.start(at_once=True)
        self.fan_out.start(at_once=True)
        self.fan_out.stop()
        self.assertEqual([self.turn() for _ in range(3)], [0, 0, 0])
        self.fan_out.start(at_once=True)
        self.assertEqual(len(self.served), 2 * SLICE_USERS)

    def test_failure(self) -> None:
        """
        A failure for one user is none for the others, and is logged once a round.
        """
        self.connect(4)

        def serve(user: User) -> None:
            self.served.append(user.uid)
            if user.uid in ("1", "2"):
                raise GameFault

        self.fan_out = FanOut(self.core.clock, self.core.users, serve)
        for _ in range(2):
            self.fan_out.start(at_once=True)
            self.assertEqual(len(self.logged(GameFault)), 1)
        self.assertEqual(self.served, 2 * ["0", "1", "2", "3"])
