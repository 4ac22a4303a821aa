"""
Tests of L{diarkis_tw.core.dispatch.Turn}: handlers that say themselves when they
are done.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from diarkis_tw.constants import Status
from diarkis_tw.core.dispatch import CallerError
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from tests.core.fakes import CoreTestCase, FakeConnection, GameFault

Next = Callable[..., None]

OK = Status.OK
INTERNAL = (7, Status.ERR, 9999, "internal error")


class TurnTestCase(CoreTestCase):
    """
    One handler that keeps its next_, and one after it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.turns: list[Next] = []
        self.after: list[bytes] = []
        self.events = self.log_events()

    def keep(self, ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
        self.turns.append(next_)

    def then(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        self.after.append(payload)

    def warnings(self) -> list[str]:
        """
        The formats of what was logged as a warning.
        """
        return [
            str(event["log_format"]) for event in self.events if event["log_level"].name == "warn"
        ]


class NextTests(TurnTestCase):
    """
    The second form of handlers.
    """

    def test_later(self) -> None:
        """
        The chain goes on when next_ is called, however much later.
        """
        _, client = self.serve(self.keep, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.sent), ([], []))
        self.turns[0]()
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))

    def test_at_once(self) -> None:
        """
        next_ may be called before the handler returns.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_()

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))

    def test_answer_and_wait(self) -> None:
        """
        A returned answer goes out at once; the chain still waits for next_.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> bytes:
            self.turns.append(next_)
            return b"hello"

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.answers()), ([], [(7, OK, b"hello")]))
        self.turns[0]()
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"hello")]))

    def test_error(self) -> None:
        """
        next_(CommandError) is BAD and ends the chain.
        """
        _, client = self.serve(self.keep, self.then)
        client.command(id=7)
        self.turns[0](CommandError(5, "no"))
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])
        self.assertEqual(self.after, [])

    def test_error_at_once(self) -> None:
        """
        So it is before the handler returns.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_(CommandError(5, "no"))

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])
        self.assertEqual(self.after, [])

    def test_other_error(self) -> None:
        """
        next_ with any other exception is ERR 9999, logged.
        """
        _, client = self.serve(self.keep)
        client.command(id=7)
        self.turns[0](GameFault("secret"))
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_failure(self) -> None:
        """
        next_ may stand as an errback: a Failure counts as its exception.
        """
        _, client = self.serve(self.keep)
        client.command(id=7)
        self.turns[0](Failure(CommandError(5, "no")))
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])

    def test_not_an_exception(self) -> None:
        """
        next_ with something else is an error all the same.
        """
        _, client = self.serve(self.keep)
        client.command(id=7)
        self.turns[0]("out of arrows")
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertIn("out of arrows", str(self.logged(CallerError)[0]))

    def test_second_call(self) -> None:
        """
        A second call of next_ does nothing but a warning that names the handler.
        """
        _, client = self.serve(self.keep, self.then)
        client.command(b"one", id=7)
        self.turns[0]()
        self.turns[0]()
        self.turns[0](GameFault())
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))
        self.assertEqual(len(self.warnings()), 2)
        self.assertIn("TurnTestCase.keep", self.events[-1]["handler"])

    def test_second_call_before_return(self) -> None:
        """
        Of two calls inside the handler the first counts.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_()
            next_(GameFault())

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))
        self.assertEqual(len(self.warnings()), 1)

    def test_old_turn_does_not_end_a_new_one(self) -> None:
        """
        A second call while the same handler runs again leaves that run alone.
        """
        _, client = self.serve(self.keep)
        client.command(id=7)
        client.command(id=8)
        self.turns[0]()
        self.turns[0]()
        self.assertEqual([id for id, *_ in client.answers()], [7])
        self.turns[1]()
        self.assertEqual([id for id, *_ in client.answers()], [7, 8])

    def test_exception_before(self) -> None:
        """
        An exception before next_ counts as next_ with it; next_ then is a second call.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            self.turns.append(next_)
            raise CommandError(5, "no")

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        self.turns[0]()
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])
        self.assertEqual(self.after, [])
        self.assertEqual(len(self.warnings()), 1)

    def test_exception_after(self) -> None:
        """
        An exception after next_ is only logged; the chain goes on.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_()
            raise GameFault

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_exception_after_error(self) -> None:
        """
        An exception after next_(error) does not take that error's place.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_(CommandError(5, "no"))
            raise GameFault

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_unblocks(self) -> None:
        """
        An unfinished step is the user's turn until it ends.
        """
        user, client = self.serve(self.keep)
        self.core.clock.advance(3)
        client.command(id=7)
        assert user.inbox.turn is not None
        self.assertIn("TurnTestCase.keep", user.inbox.turn.where)
        self.assertEqual(user.inbox.blocked_since, 3)
        self.turns[0]()
        self.assertIsNone(user.inbox.turn)
        self.assertIsNone(user.inbox.blocked_since)
        self.assertIsNone(user.request)


class CoroutineTests(TurnTestCase):
    """
    Coroutines with next_, which end twice: by next_ and by returning.
    """

    def test_waits_for_next(self) -> None:
        """
        The chain waits for next_, not for the coroutine.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            self.turns.append(next_)

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual(self.after, [])
        self.turns[0]()
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))

    def test_exception_before(self) -> None:
        """
        A coroutine that fails before next_ counts as next_ with its exception.
        """
        work: Deferred[None] = Deferred()

        async def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            await work
            raise CommandError(5, "no")

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        work.callback(None)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])
        self.assertEqual(self.after, [])

    def test_exception_after(self) -> None:
        """
        A coroutine that fails after next_ is logged, and the chain has gone on.
        """
        work: Deferred[None] = Deferred()

        async def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
            next_()
            await work
            raise GameFault

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        work.callback(None)
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"")]))
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_answer_after_next(self) -> None:
        """
        What a coroutine returns after next_ is sent as what a function returns is.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> bytes:
            next_()
            return b"hello"

        _, client = self.serve(handler, self.then)
        client.command(b"one", id=7)
        self.assertEqual((self.after, client.answers()), ([b"one"], [(7, OK, b"hello")]))


class CancelTests(TurnTestCase):
    """
    Steps whose user leaves.
    """

    def leave(self, user: User, client: FakeConnection) -> None:
        client.command(id=7)
        user.disconnect()

    def test_next_of_one_who_left(self) -> None:
        """
        next_ for a user who has left does nothing, and is no mistake.
        """
        user, client = self.serve(self.keep, self.then)
        self.leave(user, client)
        self.turns[0]()
        self.turns[0](GameFault())
        self.assertEqual((self.after, client.sent, self.warnings()), ([], [], []))

    def test_deferred(self) -> None:
        """
        A Deferred that is waited for is cancelled.
        """
        cancelled: list[Deferred[bytes]] = []
        work: Deferred[bytes] = Deferred(cancelled.append)
        user, client = self.serve(lambda ver, cmd, payload, user: work, self.then)
        self.leave(user, client)
        self.assertEqual(cancelled, [work])
        self.assertEqual((self.after, client.sent), ([], []))

    def test_coroutine(self) -> None:
        """
        A coroutine is cancelled where it waits, and can clean up.
        """
        cleaned: list[str] = []

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            try:
                await Deferred[None]()
            finally:
                cleaned.append(user.uid)

        user, client = self.serve(handler, self.then)
        self.leave(user, client)
        self.assertEqual(cleaned, ["alice"])
        self.assertEqual((self.after, client.sent), ([], []))

    def test_coroutine_that_goes_on(self) -> None:
        """
        One that does not mind being cancelled can end as it likes.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            try:
                await Deferred[None]()
            except BaseException:
                return b"late"
            return b""

        user, client = self.serve(handler, self.then)
        self.leave(user, client)
        self.assertEqual((self.after, client.sent), ([], []))

    def test_canceller_that_fails(self) -> None:
        """
        A canceller with a bug is logged and keeps nobody from leaving.
        """

        def canceller(work: Deferred[bytes]) -> None:
            raise GameFault

        user, client = self.serve(lambda ver, cmd, payload, user: Deferred(canceller))
        self.leave(user, client)
        self.assertEqual(self.core.left, ["alice"])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_disconnect_by_the_handler(self) -> None:
        """
        A coroutine that disconnects its own user still runs to its end.
        """
        works: list[Deferred[None]] = [Deferred(), Deferred()]
        ended: list[str] = []

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            await works[0]
            user.disconnect()
            await works[1]
            ended.append(user.uid)

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        for work in works:
            work.callback(None)
        self.assertEqual((ended, self.core.left), (["alice"], ["alice"]))
        self.assertEqual((self.after, client.sent), ([], []))

    def test_disconnect_at_once_by_the_handler(self) -> None:
        """
        So it is when the handler disconnects before it first waits.
        """
        work: Deferred[None] = Deferred()
        ended: list[str] = []

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            user.disconnect()
            await work
            ended.append(user.uid)

        _, client = self.serve(handler, self.then)
        client.command(id=7)
        work.callback(None)
        self.assertEqual((ended, self.core.left), (["alice"], ["alice"]))
        self.assertEqual(client.sent, [])

    def test_disconnect_by_a_function(self) -> None:
        """
        A function that disconnects its own user ends in peace; its answer is lost.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            user.disconnect()
            return b"bye"

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertFalse(client.command(id=8))
        self.assertEqual((client.sent, self.core.left), ([], ["alice"]))
