"""
Tests of L{diarkis_tw.modules.notify}: handlers, and before, during and after the node's life.
"""

from typing import Any

from diarkis_tw.core.fan_out import PERIOD, SLICE_USERS
from diarkis_tw.core.user import User
from diarkis_tw.errors import NotificationError, RegistrationError
from diarkis_tw.modules import notify
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notify import Notifier
from tests.core.fakes import CoreTestCase, GameFault
from tests.modules.notify_case import NotifyTestCase, messages


class HandlerTests(NotifyTestCase):
    """
    Who gets it decides the handler of its name.
    """

    def test_decides(self) -> None:
        """
        It is asked for each user, and true means that the user gets it.
        """
        asked: list[tuple[str, str]] = []

        def handler(user: User, notification: Notification) -> bool:
            asked.append((user.uid, notification.id))
            return user.uid != "bob"

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob", "carol")]
        self.notify(name="news")
        self.assertEqual([messages(client) for client in clients], [[b"n1"], [], [b"n1"]])
        self.assertEqual(asked, [("alice", "n1"), ("bob", "n1"), ("carol", "n1")])

    def test_late(self) -> None:
        """
        It is asked for those who connect later, and once for each.
        """
        asked: list[str] = []

        def handler(user: User, notification: Notification) -> bool:
            asked.append(user.uid)
            return False

        self.notifier.set_handler("news", handler)
        self.notify(name="news", ttl=60)
        user, client = self.core.connect()
        client.drop()
        self.assertEqual(messages(self.core.connection(user)), [])
        self.assertEqual(asked, ["alice"])

    def test_other_names(self) -> None:
        """
        It is not asked about other names, nor about none.
        """
        self.notifier.set_handler("news", lambda user, notification: False)
        client = self.core.connect()[1]
        self.notify("n1", name="other")
        self.notify("n2")
        self.assertEqual(messages(client), [b"n1", b"n2"])

    def test_last_counts(self) -> None:
        """
        A second handler of a name takes the first one's place.
        """
        self.notifier.set_handler("news", lambda user, notification: False)
        self.notifier.set_handler("news", lambda user, notification: True)
        client = self.core.connect()[1]
        self.notify(name="news")
        self.assertEqual(messages(client), [b"n1"])

    def test_failure(self) -> None:
        """
        If it fails for a user, that user gets nothing, the others do, and the log
        tells it once per notification.
        """

        def handler(user: User, notification: Notification) -> bool:
            if user.uid != "carol":
                raise GameFault
            return True

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob", "carol")]
        self.notify("n1", name="news")
        self.assertEqual(len(self.logged(GameFault)), 1)
        self.assertEqual([messages(client) for client in clients], [[], [], [b"n1"]])
        self.notify("n2", name="news")
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_not_an_answer(self) -> None:
        """
        Anything but True and False is a failure: what a handler forgot to return
        must not count as an answer.
        """
        wrong: Any = lambda user, notification: None  # noqa: E731
        self.notifier.set_handler("news", wrong)
        client = self.core.connect()[1]
        self.notify(name="news")
        [error] = self.logged(TypeError)
        self.assertIn("True or False, not None", str(error))
        self.assertEqual(messages(client), [])

    def test_notifies(self) -> None:
        """
        It may send another notification, which everybody gets.
        """

        def handler(user: User, notification: Notification) -> bool:
            self.notify("n2")
            return True

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob")]
        self.notify("n1", name="news")
        self.core.clock.advance(PERIOD)
        self.assertEqual([messages(client) for client in clients], [[b"n1", b"n2"]] * 2)

    def test_disconnects(self) -> None:
        """
        It may end the user's session, of which nothing stays then.
        """

        def handler(user: User, notification: Notification) -> bool:
            user.disconnect()
            return True

        self.notifier.set_handler("news", handler)
        self.core.connect()
        self.notify(name="news")
        self.assertEqual(self.notifier._settled, {})


class LifeTests(CoreTestCase):
    """
    What may be called when, and with what.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.notifier = Notifier(self.core.clock, self.core.users, self.core.mesh)

    def load(self) -> Notification:
        return Notification("loaded", message=b"loaded")

    def test_not_enabled(self) -> None:
        """
        Before enable_notifications everything is an error that says so.
        """
        self.notifier.start()
        for error in (
            self.assertRaises(NotificationError, self.notifier.notify, self.load(), True),
            self.assertRaises(NotificationError, self.notifier.delete, "n1"),
            self.assertRaises(RegistrationError, self.notifier.add_service, "s", self.load, 5),
            self.assertRaises(RegistrationError, self.notifier.set_handler, "s", lambda u, n: True),
        ):
            self.assertIn("enable_notifications", str(error))

    def test_not_started(self) -> None:
        """
        Before the start, and after the end, nothing can be sent or deleted.
        """
        self.notifier.enable()
        for _ in range(2):
            for call in (lambda: self.notifier.notify(self.load(), True), self.delete):
                error = self.assertRaises(NotificationError, call)
                self.assertIn("has not started, or has stopped", str(error))
            self.notifier.start()
            self.notifier.stop()

    def delete(self) -> None:
        self.notifier.delete("n1")

    def test_too_late(self) -> None:
        """
        Enabling and adding services are refused after the start.
        """
        self.notifier.start()
        self.assertRaises(RegistrationError, self.notifier.enable)
        self.notifier.stop()
        self.notifier.enable()
        self.notifier.start()
        error = self.assertRaises(RegistrationError, self.notifier.add_service, "s", self.load, 5)
        self.assertIn("too late", str(error))

    def test_enable_twice(self) -> None:
        """
        Enabling twice is no more than enabling once.
        """
        self.notifier.enable()
        self.notifier.enable()
        self.notifier.start()
        self.notifier.enable()
        self.notifier.notify(Notification("n1", message=b"n1", ttl=60), True)
        self.assertEqual(messages(self.core.connect()[1]), [b"n1"])

    def test_not_a_notification(self) -> None:
        """
        Whatever is not a notification is refused.
        """
        self.notifier.enable()
        self.notifier.start()
        wrong: Any
        for wrong in (None, "n1", {"id": "n1"}, Notification):
            error = self.assertRaises(NotificationError, self.notifier.notify, wrong, True)
            self.assertIn("takes a Notification, not", str(error))

    def test_service(self) -> None:
        """
        A service sends to the users of this node, from the start to the end.
        """
        self.notifier.enable()
        self.notifier.add_service("s", self.load, 5)
        client = self.core.connect()[1]
        self.core.pass_time(6, client)
        self.assertEqual(messages(client), [])
        self.notifier.start()
        self.core.pass_time(11, client)
        self.assertEqual(messages(client), [b"loaded"])
        self.notifier.stop()
        self.core.users.stop()
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_stop_while_under_way(self) -> None:
        """
        Stopping ends what is under way.
        """
        self.notifier.enable()
        self.notifier.start()
        for number in range(SLICE_USERS + 1):
            self.core.connect(str(number))
        self.notifier.notify(self.load(), True)
        self.notifier.stop()
        self.core.users.stop()
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_bad_service(self) -> None:
        """
        A service needs a name of its own, a loader, and an interval in seconds.
        """
        self.notifier.enable()
        self.notifier.add_service("s", self.load, notify.INTERVAL_MIN)
        wrong: Any
        for wrong in (0, -1, 0.01, float("nan"), float("inf"), "5", None, True):
            error = self.assertRaises(
                RegistrationError, self.notifier.add_service, "t", self.load, wrong
            )
            self.assertIn("0.1 or more", str(error))
        for name, wrong, text in (
            ("s", self.load, "one of that name"),
            (None, self.load, "str, not NoneType"),
            ("t", None, "cannot be called"),
            ("t", lambda user: None, "must take 0 parameters"),
        ):
            error = self.assertRaises(RegistrationError, self.notifier.add_service, name, wrong, 5)
            self.assertIn(text, str(error))

    def test_bad_handler(self) -> None:
        """
        A handler needs a name, and answers at once.
        """
        self.notifier.enable()

        async def handler(user: User, notification: Notification) -> bool:
            return True

        wrong: Any
        for name, wrong, text in (
            (b"news", lambda user, notification: True, "str, not bytes"),
            ("news", True, "cannot be called"),
            ("news", lambda user: True, "test_notify_handlers.py"),
            ("news", lambda: True, "user and notification"),
            ("news", handler, "not be async"),
        ):
            error = self.assertRaises(RegistrationError, self.notifier.set_handler, name, wrong)
            self.assertIn(text, str(error))
