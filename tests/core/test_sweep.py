"""
Tests of L{diarkis_tw.core.users}: the sweep, which looks after time-outs.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.inbox import FULL_PATIENCE
from diarkis_tw.core.user import User, UserState
from tests.core.fakes import STEP, TTL, CoreTestCase


class SweepTestCase(CoreTestCase):
    """
    A user with a handler that waits.
    """

    def setUp(self) -> None:
        super().setUp()
        self.works: list[Deferred[None]] = []
        self.events = self.log_events()
        self.user, self.client = self.serve(self.slow)

    def slow(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None]:
        work: Deferred[None] = Deferred()
        self.works.append(work)
        return work

    def warned(self) -> list[str]:
        """
        The handlers that the watchdog named.
        """
        return [str(e["handler"]) for e in self.events if e["log_level"].name == "warn"]


class SilenceTests(SweepTestCase):
    """
    connectionTTL.
    """

    def test_silence(self) -> None:
        """
        A connection that is silent for its TTL is closed with TIMEOUT; its user is away.
        """
        self.core.pass_time(TTL - STEP)
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(1)
        self.assertEqual(self.client.closed, [CloseCode.TIMEOUT])
        self.assertIs(self.user.state, UserState.AWAY)

    def test_heard(self) -> None:
        """
        Whatever is heard from the client starts the time anew.
        """
        for _ in range(5):
            self.core.pass_time(TTL - 2)
            self.client.heard = True
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(TTL + 2)
        self.assertEqual(self.client.closed, [CloseCode.TIMEOUT])

    def test_each_its_own(self) -> None:
        """
        The TTL is the connection's own.
        """
        _, patient = self.core.connect("bob", ttl=30)
        self.core.pass_time(TTL + 1)
        self.assertEqual((len(self.client.closed), patient.closed), (1, []))
        self.core.pass_time(20)
        self.assertEqual(patient.closed, [CloseCode.TIMEOUT])

    def test_then_grace(self) -> None:
        """
        One who fell silent has its grace after the TTL.
        """
        self.core.pass_time(TTL + 9)
        self.assertEqual(self.core.left, [])
        self.core.pass_time(2)
        self.assertEqual(self.core.left, ["alice"])

    def test_many_leave_in_one_sweep(self) -> None:
        """
        One sweep ends as many as are due.
        """
        clients = [self.core.connect(str(number))[1] for number in range(50)]
        self.core.pass_time(TTL + 1)
        self.assertEqual([len(client.closed) for client in clients], [1] * 50)

    def test_removed_by_another(self) -> None:
        """
        One whom an on_disconnect callback sends away within a sweep is due no more.
        """
        bob, other = self.core.connect("bob")
        self.core.users.on_disconnect(lambda sid, user: bob.disconnect())
        for user in (self.user, bob):
            user.inbox.full_since = self.core.clock.seconds()
        self.core.pass_time(FULL_PATIENCE + 1)
        self.assertEqual(self.client.closed + other.closed, [CloseCode.OVERFLOW, CloseCode.KICKED])
        self.assertEqual(self.core.left, ["alice", "bob"])

    def test_stop(self) -> None:
        """
        Stopping ends all sessions with SERVER_OFFLINE, and the sweep.
        """
        pending = self.core.create("bob")
        away, lost = self.core.connect("carol")
        lost.drop()
        self.core.users.stop()
        self.assertEqual(self.client.closed, [CloseCode.SERVER_OFFLINE])
        self.assertEqual(sorted(self.core.left), ["alice", "carol"])
        for user in (pending, away, self.user):
            self.assertIs(user.state, UserState.GONE)
        self.assertEqual(self.core.clock.getDelayedCalls(), [])
        self.core.users.stop()


class BlockedTests(SweepTestCase):
    """
    A user whose handler has not finished.
    """

    def test_packets_do_not_help(self) -> None:
        """
        Behind a handler that never finishes a user times out however much it sends,
        and is gone, not away.
        """
        self.client.command()
        self.core.pass_time(TTL + 1, self.client)
        self.assertEqual(self.client.closed, [CloseCode.TIMEOUT])
        self.assertIs(self.user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_time_counts_from_the_block(self) -> None:
        """
        What was heard before the handler began still counts.
        """
        self.core.pass_time(20, self.client)
        self.client.command()
        self.core.pass_time(TTL - 1.5, self.client)
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(2.5, self.client)
        self.assertEqual(self.client.closed, [CloseCode.TIMEOUT])

    def test_finished_in_time(self) -> None:
        """
        Once the handler has finished, packets count again.
        """
        self.client.command()
        self.core.pass_time(TTL - 2, self.client)
        self.works[0].callback(None)
        self.core.pass_time(TTL * 2, self.client)
        self.assertEqual(self.client.closed, [])

    def test_always_busy(self) -> None:
        """
        A user with one command after the other, each of which ends soon, stays.
        """
        self.client.command()
        for _ in range(round(TTL * 3)):
            self.client.command()
            self.core.pass_time(1, self.client)
            self.assertEqual(self.client.closed, [])
            self.works[-1].callback(None)
        self.assertEqual((self.client.closed, self.warned()), ([], []))

    def test_silent_behind_busy(self) -> None:
        """
        A client that is silent times out though its commands still run.
        """
        for _ in range(40):
            self.client.command()
        for _ in range(round(TTL - 1)):
            self.core.pass_time(1)
            self.works[-1].callback(None)
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(3)
        self.assertEqual(self.client.closed, [CloseCode.TIMEOUT])
        self.assertIs(self.user.state, UserState.AWAY)

    def test_lost_while_blocked(self) -> None:
        """
        A user whose connection is lost behind a handler is away like others.
        """
        self.client.command()
        self.client.drop()
        self.core.pass_time(9)
        self.assertIs(self.user.state, UserState.AWAY)
        self.core.pass_time(2)
        self.assertTrue(self.works[0].called)
        self.assertEqual(self.core.left, ["alice"])


class WatchdogTests(SweepTestCase):
    """
    The log's word on handlers that do not finish.
    """

    def test_names_the_handler_once(self) -> None:
        """
        After half the TTL the log names the handler's function, file and line, once.
        """
        self.client.command()
        self.core.pass_time(TTL / 2 - 1, self.client)
        self.assertEqual(self.warned(), [])
        self.core.pass_time(TTL / 2, self.client)
        [handler] = self.warned()
        self.assertRegex(handler, r"^SweepTestCase\.slow \(.*test_sweep\.py:\d+\)$")
        [event] = [event for event in self.events if event["log_level"].name == "warn"]
        self.assertEqual(event["uid"], "alice")

    def test_quiet_about_short_ones(self) -> None:
        """
        A handler that ends before says nothing.
        """
        self.client.command()
        self.core.pass_time(TTL / 2 - 1)
        self.works[0].callback(None)
        self.core.pass_time(TTL, self.client)
        self.assertEqual(self.warned(), [])

    def test_each_command_anew(self) -> None:
        """
        Another command that hangs is named again.
        """
        self.client.command()
        self.client.command()
        self.core.pass_time(TTL - 2, self.client)
        self.works[0].callback(None)
        self.core.pass_time(TTL - 2, self.client)
        self.assertEqual(len(self.warned()), 2)


class FullConnectionTests(SweepTestCase):
    """
    A client that does not read.
    """

    def test_overflow(self) -> None:
        """
        A connection that stays full is OVERFLOW, though the client sends.
        """
        self.client.full_since = self.core.clock.seconds()
        self.core.pass_time(FULL_PATIENCE - 1, self.client)
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(2, self.client)
        self.assertEqual(self.client.closed, [CloseCode.OVERFLOW])
        self.assertIs(self.user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_read_on(self) -> None:
        """
        One that has read on in time is not.
        """
        self.client.full_since = self.core.clock.seconds()
        self.core.pass_time(FULL_PATIENCE - 1, self.client)
        self.client.full_since = None
        self.core.pass_time(FULL_PATIENCE, self.client)
        self.assertEqual(self.client.closed, [])
