"""
Tests of L{diarkis_tw.core.inbox}.
"""

import sys
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.inbox import FULL_PATIENCE, QUEUE_LIMIT, RELEASE_AT
from diarkis_tw.core.user import User, UserState
from tests.core.fakes import CMD, VER, CoreTestCase, FakeConnection


class InboxTestCase(CoreTestCase):
    """
    A user whose commands wait where the test says so.

    @ivar ran: payloads of commands in the order in which they ended.
    @ivar works: what commands with payload C{b"wait"} wait for.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ran: list[bytes] = []
        self.works: list[Deferred[None]] = []
        self.user, self.client = self.serve(self.handler)

    def handler(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None] | None:
        if payload.startswith(b"wait"):
            work: Deferred[None] = Deferred()
            self.works.append(work)
            return work.addCallback(lambda ignored: self.ran.append(payload))
        self.ran.append(payload)
        return None

    def fill(self) -> None:
        """
        A command that waits, and as many behind it as the queue holds.
        """
        self.client.command(b"wait")
        for number in range(QUEUE_LIMIT):
            self.client.command(b"%d" % number)


class OrderTests(InboxTestCase):
    """
    One command at a time, in order of arrival.
    """

    def test_at_once(self) -> None:
        """
        A command that finds nothing before it runs at once.
        """
        self.assertTrue(self.client.command(b"one"))
        self.assertEqual(self.ran, [b"one"])

    def test_waits_its_turn(self) -> None:
        """
        Commands behind an unfinished one wait, and then run in order.
        """
        for payload in (b"wait", b"two", b"wait too", b"four", b"five"):
            self.assertTrue(self.client.command(payload))
        self.assertEqual(self.ran, [])
        self.works[0].callback(None)
        self.assertEqual(self.ran, [b"wait", b"two"])
        self.assertEqual(len(self.works), 2)
        self.works[1].callback(None)
        self.assertEqual(self.ran, [b"wait", b"two", b"wait too", b"four", b"five"])

    def test_keep_alive_waits_too(self) -> None:
        """
        Built-in commands keep the order as others do.
        """
        self.client.command(b"wait")
        self.client.command(id=9, ver=0, cmd=Builtin.PING)
        self.assertEqual(self.client.sent, [])
        self.works[0].callback(None)
        self.assertEqual([id for id, *_ in self.client.errors()], [9])

    def test_users_do_not_wait_for_each_other(self) -> None:
        """
        A handler that waits blocks its own user only.
        """
        _, other = self.core.connect("bob")
        self.client.command(b"wait")
        other.command(b"two")
        self.assertEqual(self.ran, [b"two"])

    def test_failures_keep_the_order(self) -> None:
        """
        A command that fails later lets the next one run.
        """
        self.client.command(b"wait", id=1)
        self.client.command(b"two", id=2)
        self.works[0].errback(ValueError())
        self.assertEqual(self.ran, [b"two"])
        self.assertEqual([id for id, *_ in self.client.answers()], [1, 2])
        self.assertEqual(len(self.logged(ValueError)), 1)

    def test_running(self) -> None:
        """
        user.request is the command that runs or waits, and None between.
        """
        self.client.command(b"wait", id=5)
        self.client.command(b"wait too", id=6)
        for id, work in ((5, 0), (6, 1)):
            request = self.user.request
            assert request is not None
            self.assertEqual((request.id, request.ver, request.cmd), (id, VER, CMD))
            self.works[work].callback(None)
        self.assertIsNone(self.user.request)

    def test_unfinished_again(self) -> None:
        """
        Each unfinished command is unfinished since its own beginning.
        """
        self.client.command(b"wait")
        self.client.command(b"wait too")
        self.core.clock.advance(4)
        self.assertEqual(self.user.inbox.blocked_since, 0)
        self.works[0].callback(None)
        self.assertEqual(self.user.inbox.blocked_since, 4)
        self.works[1].callback(None)
        self.assertIsNone(self.user.inbox.blocked_since)


class ReentryTests(CoreTestCase):
    """
    Commands that arrive while a handler is on the stack.
    """

    def test_waits_for_the_handler(self) -> None:
        """
        A command received inside a handler runs after it, not within.
        """
        seen: list[bytes] = []

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            seen.append(payload + b" begun")
            if payload == b"one":
                client.command(b"two")
                client.command(b"three")
            seen.append(payload + b" ended")

        _, client = self.serve(handler)
        client.command(b"one")
        self.assertEqual(
            seen,
            [b"%s %s" % (n, w) for n in (b"one", b"two", b"three") for w in (b"begun", b"ended")],
        )

    def test_no_recursion(self) -> None:
        """
        Each command may bring the next one, thousands of times, on a flat stack.
        """
        depths: list[int] = []

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            depths.append(len_of_stack())
            if len(depths) < 5000:
                client.command()

        _, client = self.serve(handler)
        client.command()
        self.assertEqual(len(depths), 5000)
        self.assertLess(max(depths) - min(depths), 20)

    def drained(self, handler: Callable[..., object]) -> None:
        """
        Commands read without end behind one that waits run on a flat stack.
        """
        depths: list[int] = []
        gate: Deferred[None] = Deferred()

        def first(ver: int, cmd: int, payload: bytes, user: User) -> Deferred[None] | None:
            depths.append(len_of_stack())
            return gate if payload == b"gate" else None

        _, client = self.serve(first, handler)
        client.stream([(0, b"gate"), *((number, b"") for number in range(1, 4000))])
        self.assertEqual(len(depths), 1)
        gate.callback(None)
        self.assertEqual([id for id, *_ in client.answers()], list(range(1, 4000)))
        self.assertLess(max(depths) - depths[1], 50)

    def test_thousands_at_once(self) -> None:
        """
        Thousands of plain commands behind one that waits do not recurse.
        """
        self.drained(lambda ver, cmd, payload, user: None)

    def test_thousands_of_coroutines(self) -> None:
        """
        Nor do thousands of coroutines that are done at once.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None: ...

        self.drained(handler)

    def test_thousands_of_deferreds(self) -> None:
        """
        Nor do thousands of Deferreds that have fired.
        """
        self.drained(lambda ver, cmd, payload, user: succeed(None))

    def test_thousands_of_next(self) -> None:
        """
        Nor do thousands of calls of next_.
        """
        self.drained(lambda ver, cmd, payload, user, next_: next_())


class FullTests(InboxTestCase):
    """
    A queue with all the commands it holds.
    """

    def test_full(self) -> None:
        """
        The last command that fits says that reading must stop.
        """
        self.assertTrue(self.client.command(b"wait"))
        for number in range(QUEUE_LIMIT - 1):
            self.assertTrue(self.client.command(b"%d" % number))
        self.assertFalse(self.client.command(b"last"))
        self.assertEqual(self.user.inbox.full_since, 0)

    def test_nothing_reliable_is_lost(self) -> None:
        """
        What a transport had read already runs too, in its place.
        """
        self.fill()
        self.assertFalse(self.client.command(b"more"))
        self.works[0].callback(None)
        self.assertEqual(len(self.ran), QUEUE_LIMIT + 2)
        self.assertEqual(self.ran[-1], b"more")

    def test_unreliable_is_dropped(self) -> None:
        """
        An unreliable command finds a full queue: it is dropped and counted.
        """
        self.fill()
        self.client.command(b"position", reliable=False)
        self.assertEqual(self.core.dispatcher.dropped, 1)
        self.works[0].callback(None)
        self.assertEqual(len(self.ran), QUEUE_LIMIT + 1)
        self.assertNotIn(b"position", self.ran)

    def test_unreliable_takes_a_free_place(self) -> None:
        """
        While there is room an unreliable command waits like others.
        """
        self.client.command(b"wait")
        self.assertTrue(self.client.command(b"position", reliable=False))
        self.works[0].callback(None)
        self.assertEqual(self.ran, [b"wait", b"position"])

    def test_released(self) -> None:
        """
        Reading goes on, once, when the queue is down to half.
        """
        self.fill()
        self.assertEqual(self.client.resumed, 0)
        self.works[0].callback(None)
        self.assertEqual(self.client.resumed, 1)
        self.assertIsNone(self.user.inbox.full_since)
        self.assertTrue(self.client.command(b"more"))

    def test_released_at_half(self) -> None:
        """
        One command above half it is not yet released.
        """
        self.client.command(b"wait")
        for number in range(QUEUE_LIMIT):
            stops = number in (QUEUE_LIMIT - RELEASE_AT - 2, QUEUE_LIMIT - RELEASE_AT - 1)
            self.client.command(b"wait" if stops else b"")
        self.works[0].callback(None)
        self.assertEqual(self.client.resumed, 0)
        self.works[1].callback(None)
        self.assertEqual(self.client.resumed, 1)

    def test_stream_is_read_to_its_end(self) -> None:
        """
        A stream held at the full queue is read on, in order.
        """
        payloads = [b"wait", *(b"%d" % number for number in range(1000))]
        self.client.stream([(0, payload) for payload in payloads])
        self.assertEqual(len(self.client.unread), 1001 - 1 - QUEUE_LIMIT)
        self.works[0].callback(None)
        self.assertEqual(self.ran, payloads)

    def test_overflow(self) -> None:
        """
        A queue that stays full is OVERFLOW.
        """
        self.fill()
        self.core.pass_time(FULL_PATIENCE - 0.5)
        self.assertEqual(self.client.closed, [])
        self.core.pass_time(1.5)
        self.assertEqual(self.client.closed, [CloseCode.OVERFLOW])
        self.assertIs(self.user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_no_overflow_after_release(self) -> None:
        """
        A queue that was full for a while only is not.
        """
        self.fill()
        self.core.pass_time(FULL_PATIENCE - 1, self.client)
        self.works[0].callback(None)
        self.core.pass_time(FULL_PATIENCE, self.client)
        self.assertEqual(self.client.closed, [])


class FinTests(InboxTestCase):
    """
    fin, which passes by the queue.
    """

    def fin(self, client: FakeConnection) -> bool:
        return client.command(ver=0, cmd=Builtin.FIN)

    def test_fin(self) -> None:
        """
        fin is answered with CLOSE 0, and the user is gone for good.
        """
        self.assertFalse(self.fin(self.client))
        self.assertEqual(self.client.closed, [CloseCode.NORMAL])
        self.assertIs(self.user.state, UserState.GONE)
        self.assertEqual(self.core.left, ["alice"])

    def test_passes_a_blocked_queue(self) -> None:
        """
        A user can leave behind a handler that never finishes.
        """
        self.fill()
        self.fin(self.client)
        self.assertEqual(self.client.closed, [CloseCode.NORMAL])

    def test_inside_a_handler(self) -> None:
        """
        fin that arrives while a handler is on the stack counts at once.
        """
        seen: list[UserState] = []

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            self.fin(client)
            seen.append(user.state)

        self.core = type(self.core)()
        _, client = self.serve(handler)
        client.command()
        self.assertEqual(seen, [UserState.GONE])


class GoneTests(InboxTestCase):
    """
    The inbox of a user who has left.
    """

    def test_pending_work_is_cancelled(self) -> None:
        """
        What waited is dropped and what ran is cancelled.
        """
        self.client.command(b"wait", id=1)
        self.client.command(b"two", id=2)
        self.user.disconnect()
        self.assertTrue(self.works[0].called)
        self.assertEqual((self.ran, self.client.sent), ([], []))

    def test_takes_nothing(self) -> None:
        """
        Commands read after the end do not run.
        """
        self.user.disconnect()
        self.assertFalse(self.client.command(b"two"))
        self.assertEqual(self.ran, [])

    def test_takes_nothing_inside_a_handler(self) -> None:
        """
        Nor do those that are read while the handler that sent the user away still runs.
        """
        taken: list[bool] = []

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            user.disconnect()
            taken.append(client.command(b"two"))

        self.core = type(self.core)()
        _, client = self.serve(handler)
        client.command(b"one")
        self.assertEqual(taken, [False])

    def test_rest_of_the_queue(self) -> None:
        """
        A user kicked by one of its queued commands runs no further ones.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            self.handler(ver, cmd, payload, user)
            user.disconnect()

        self.core = type(self.core)()
        self.core.registry.handle(VER, 11, self.handler)
        _, client = self.serve(handler)
        client.command(b"wait", cmd=11)
        client.command(b"two")
        client.command(b"three")
        self.works[0].callback(None)
        self.assertEqual(self.ran, [b"wait", b"two"])

    def test_goes_on_while_away(self) -> None:
        """
        Losing the connection cancels nothing: commands that came still run.
        """
        self.client.command(b"wait", id=1)
        self.client.command(b"two", id=2)
        self.client.drop()
        self.works[0].callback(None)
        self.assertEqual(self.ran, [b"wait", b"two"])
        again = self.core.connection(self.user)
        self.assertEqual([id for id, *_ in again.answers()], [1, 2])

    def test_full_while_away(self) -> None:
        """
        A new connection of a user whose queue is full waits for its release.
        """
        self.fill()
        self.client.drop()
        again = self.core.connection(self.user)
        self.assertFalse(again.command(b"more"))
        self.works[0].callback(None)
        self.assertEqual((again.resumed, self.client.resumed), (1, 0))
        self.assertEqual(self.ran[-1], b"more")


def len_of_stack() -> int:
    """
    How many calls are on the stack.
    """
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        depth += 1
    return depth
