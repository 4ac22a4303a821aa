"""
Tests of L{diarkis_tw.modules.notification_service}: loaders are asked for ever.
"""

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from diarkis_tw.errors import NotificationError
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_service import NotificationLoader, NotificationService
from tests.core.fakes import CoreTestCase, GameFault

INTERVAL = 5.0


class ServiceTests(CoreTestCase):
    """
    One service.

    @ivar asked: how often the loader was called.
    @ivar sent: what was sent.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.asked = 0
        self.sent: list[Notification] = []

    def start(self, loader: NotificationLoader) -> NotificationService:
        """
        Start a service.
        """

        def counted() -> Notification | Awaitable[Notification | None] | None:
            self.asked += 1
            return loader()

        service = NotificationService("news", counted, INTERVAL, self.clock, self.sent.append)
        service.start()
        return service

    def next(self) -> Notification:
        """
        What a loader finds.
        """
        return Notification(f"n{self.asked}")

    def test_sync(self) -> None:
        """
        A function is called each interval, first one interval after the start, and
        what it returns is sent.
        """
        self.start(self.next)
        self.clock.advance(INTERVAL - 0.1)
        self.assertEqual(self.asked, 0)
        self.clock.advance(0.1)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.sent, [Notification("n1"), Notification("n2")])

    def test_nothing(self) -> None:
        """
        None is nothing to send.
        """
        self.start(lambda: None)
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual((self.asked, self.sent), (3, []))

    def test_deferred(self) -> None:
        """
        What a Deferred fires with is sent, be it None.
        """
        self.start(lambda: succeed(self.next() if self.asked == 2 else None))
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.sent, [Notification("n2")])

    def test_async(self) -> None:
        """
        A coroutine is waited for.
        """
        loaded: Deferred[str] = Deferred()

        async def load() -> Notification:
            return Notification(await loaded)

        self.start(load)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.sent, [])
        loaded.callback("found")
        self.assertEqual(self.sent, [Notification("found")])

    def test_never_overlap(self) -> None:
        """
        While one call is not done there is no other, however long it takes; then
        the interval goes on.
        """
        loading: Deferred[Notification | None] = Deferred()
        self.start(lambda: loading)
        self.clock.pump([INTERVAL] * 10)
        self.assertEqual(self.asked, 1)
        loading.callback(None)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.asked, 2)

    def test_failures(self) -> None:
        """
        A loader that fails, in whatever way, is logged and asked again.
        """

        def load() -> Notification | Awaitable[Notification | None] | None:
            if self.asked == 1:
                raise GameFault
            if self.asked == 2:
                failing: Deferred[Notification | None] = Deferred()
                self.clock.callLater(1, failing.errback, GameFault())
                return failing
            return self.next()

        self.start(load)
        self.clock.pump([INTERVAL, INTERVAL, 1, INTERVAL])
        self.assertEqual(len(self.logged(GameFault)), 2)
        self.assertEqual(self.sent, [Notification("n3")])

    def test_not_a_notification(self) -> None:
        """
        Anything else than a notification is an error that names the type.
        """
        wrong: Any = {"id": "n1"}
        self.start(lambda: wrong)
        self.clock.advance(INTERVAL)
        [error] = self.logged(NotificationError)
        self.assertIn("not dict", str(error))

    def test_cannot_be_sent(self) -> None:
        """
        A failure to send is logged, and the loader asked again.
        """

        def send(notification: Notification) -> None:
            raise NotificationError("too many")

        service = NotificationService("news", lambda: Notification("x"), 1.0, self.clock, send)
        service.start()
        self.clock.pump([1, 1])
        self.assertEqual(len(self.logged(NotificationError)), 2)

    def test_log_names_it(self) -> None:
        """
        The log says which service it was.
        """
        events = self.log_events()

        def load() -> None:
            raise GameFault

        self.start(load)
        self.clock.advance(INTERVAL)
        self.logged(GameFault)
        self.assertEqual(
            [event["description"] for event in events if "log_failure" in event],
            ["notification service news"],
        )

    def test_stop(self) -> None:
        """
        Stopped, it asks no more.
        """
        service = self.start(self.next)
        self.clock.advance(INTERVAL)
        service.stop()
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.asked, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_loading(self) -> None:
        """
        Stopped while it loads, it gives that up, sends nothing and logs nothing.
        """
        cancelled: list[Deferred[Notification | None]] = []
        loading: Deferred[Notification | None] = Deferred(cancelled.append)
        service = self.start(lambda: loading)
        self.clock.advance(INTERVAL)
        service.stop()
        self.assertEqual(cancelled, [loading])
        self.assertEqual(self.sent, [])
        self.assertEqual(self.logged(CancelledError), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_start(self) -> None:
        """
        Stopping what has not started is harmless.
        """
        NotificationService("news", self.next, 1.0, self.clock, self.sent.append).stop()
