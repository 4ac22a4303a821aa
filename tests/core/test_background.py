"""
Tests of L{diarkis_tw.core.background}.
"""

import sys
from collections.abc import Awaitable, Generator

from twisted.internet.defer import Deferred, fail, succeed

from diarkis_tw.core.background import as_deferred, background, call_safely
from tests.core.fakes import CoreTestCase, GameFault


async def answer(work: Awaitable[object]) -> object:
    """
    A coroutine that waits.
    """
    return await work


class Ticket:
    """
    An awaitable that is neither a coroutine nor a Deferred.
    """

    def __await__(self) -> Generator[object, object, object]:
        return answer(succeed(b"ticket")).__await__()


class AsDeferredTests(CoreTestCase):
    """
    What can be waited for.
    """

    def test_plain(self) -> None:
        """
        Plain values cannot.
        """
        values: tuple[object, ...] = (None, b"", {}, 0, "text", answer)
        for value in values:
            self.assertIsNone(as_deferred(value))

    def test_deferred(self) -> None:
        """
        A Deferred is itself.
        """
        work: Deferred[object] = Deferred()
        self.assertIs(as_deferred(work), work)

    def test_awaitables(self) -> None:
        """
        Coroutines and other awaitables run and give their result.
        """
        for awaitable, result in ((answer(succeed(b"done")), b"done"), (Ticket(), b"ticket")):
            work = as_deferred(awaitable)
            assert work is not None
            self.assertEqual(self.successResultOf(work), result)


class BackgroundTests(CoreTestCase):
    """
    Work that nobody waits for.
    """

    def setUp(self) -> None:
        super().setUp()
        self.events = self.log_events()

    def test_success(self) -> None:
        """
        Work that ends well ends, and nothing is logged.
        """
        self.successResultOf(background("the harvest", answer(succeed(1))))
        self.assertEqual(self.events, [])

    def test_failure(self) -> None:
        """
        A failure is logged under the description, at once.
        """
        work: Deferred[object] = Deferred()
        done = background("the harvest", answer(work))
        self.assertNoResult(done)
        work.errback(GameFault("rain"))
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(len(self.logged(GameFault)), 1)
        self.assertEqual(self.events[0]["description"], "the harvest")

    def test_cancelled(self) -> None:
        """
        Cancelling is no failure.
        """
        work: Deferred[object] = Deferred()
        done = background("the harvest", answer(work))
        done.cancel()
        self.assertIsNone(self.successResultOf(done))
        self.assertTrue(work.called)
        self.assertEqual(self.events, [])


class CallSafelyTests(CoreTestCase):
    """
    Callbacks of the application.
    """

    def test_result(self) -> None:
        """
        What a callback returns is passed on; it gets its arguments.
        """
        self.assertEqual(call_safely("adding", lambda a, b: a + b, 1, 2), 3)

    def test_exception(self) -> None:
        """
        An exception is logged under the description and goes no further.
        """

        def callback() -> None:
            raise GameFault

        events = self.log_events()
        self.assertIsNone(call_safely("a callback", callback))
        self.assertEqual(len(self.logged(GameFault)), 1)
        self.assertEqual(events[0]["description"], "a callback")

    def test_exit(self) -> None:
        """
        One that calls sys.exit ends itself only.
        """
        self.assertIsNone(call_safely("a callback", sys.exit))
        self.assertEqual(len(self.logged(SystemExit)), 1)

    def test_coroutine(self) -> None:
        """
        A coroutine goes on in the background, and its failure is logged.
        """
        work: Deferred[object] = Deferred()
        self.assertIsNone(call_safely("a callback", answer, work))
        self.assertEqual(self.logged(GameFault), [])
        work.errback(GameFault())
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_deferred(self) -> None:
        """
        So does a Deferred.
        """
        self.assertIsNone(call_safely("a callback", fail, GameFault()))
        self.assertEqual(len(self.logged(GameFault)), 1)
