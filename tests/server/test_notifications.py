"""
Notifications of a whole server, seen by real clients.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import Client, ServerType, connect
from diarkis_tw.errors import NotificationError, RegistrationError
from diarkis_tw.server import Notification, Server, User
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor


class ServerCase(SynchronousTestCase):
    """
    A server that has not started, on a reactor in memory.
    """

    def setUp(self) -> None:
        self.reactor = LoopbackUdpReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.setup_as_udp_server({"port": 7000})
        self.server.setup_as_http_server({"port": 8000})
        self.got: dict[str, list[bytes]] = {}

    def start(self) -> None:
        """
        Start; the server ends with the test, and leaves nothing behind.
        """
        service = self.server.service()
        service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopping = self.server.service().stopService()
        self.reactor.advance(5)
        if stopping is not None:
            self.successResultOf(stopping)

    def connect(self, uid: str, type: ServerType = ServerType.TCP) -> Client:
        """
        Connect a client that notes its notifications.
        """
        connecting: Deferred[Client] = connect(
            "http://127.0.0.1:8000", uid, type=type, reactor=self.reactor
        )
        connecting.addCallback(self.listen)
        self.reactor.advance(1)
        return self.successResultOf(connecting)

    def listen(self, client: Client) -> Client:
        client.on_notification(self.got.setdefault(client.uid, []).append)
        return client


class NotificationTests(ServerCase):
    """
    The Go doc's functions.
    """

    def test_everybody(self) -> None:
        """
        Clients on all transports get it, those who connect before its ttl ends too.
        """
        self.server.enable_notifications()
        self.start()
        self.connect("alice")
        self.connect("bob", ServerType.UDP)
        self.server.notify(Notification(id="n1", message=b"hello", ttl=60), local=False)
        self.reactor.advance(1)
        self.assertEqual(self.got, {"alice": [b"hello"], "bob": [b"hello"]})
        self.connect("carol")
        self.connect("dave", ServerType.UDP)
        self.assertEqual((self.got["carol"], self.got["dave"]), ([b"hello"], [b"hello"]))
        self.server.delete_notification("n1")
        self.connect("erin")
        self.assertEqual(self.got["erin"], [])

    def test_handler(self) -> None:
        """
        set_on_notification decides by user and notification.
        """
        self.server.enable_notifications()

        def is_wanted(user: User, notification: Notification) -> bool:
            return user.uid == notification.message.decode()

        self.server.set_on_notification("direct", is_wanted)
        self.start()
        self.connect("alice")
        self.connect("bob")
        self.server.notify(Notification(id="n1", name="direct", message=b"bob"), local=True)
        self.reactor.advance(1)
        self.assertEqual(self.got, {"alice": [], "bob": [b"bob"]})

    def test_service(self) -> None:
        """
        A service begins and ends with the node.
        """
        asked: list[float] = []

        async def load() -> Notification | None:
            asked.append(self.reactor.seconds())
            return Notification(id=f"n{len(asked)}", message=b"%d" % len(asked))

        self.server.enable_notifications()
        self.server.notification_service("count", load, 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.start()
        self.connect("alice")
        self.reactor.advance(3.5)
        self.assertEqual(self.got["alice"], [b"1", b"2"])
        self.stop()
        self.reactor.advance(10)
        self.assertEqual(asked, [2, 4])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_on_ready(self) -> None:
        """
        An application may send when the node is ready: for the users to come.
        """
        self.server.enable_notifications()
        self.server.on_ready(
            lambda: self.server.notify(
                Notification(id="n1", message=b"welcome", ttl=60), local=True
            )
        )
        self.start()
        self.connect("alice")
        self.assertEqual(self.got["alice"], [b"welcome"])

    def test_too_early(self) -> None:
        """
        Not enabled, or not started: an error that says what to do.
        """
        notification = Notification(id="n1")
        error = self.assertRaises(NotificationError, self.server.notify, notification, local=True)
        self.assertIn("enable_notifications()", str(error))
        self.assertRaises(RegistrationError, self.server.notification_service, "s", lambda: None, 5)
        self.server.enable_notifications()
        error = self.assertRaises(NotificationError, self.server.notify, notification, local=True)
        self.assertIn("not started", str(error))

    def test_too_late(self) -> None:
        """
        Enabling after the start is refused.
        """
        self.start()
        error = self.assertRaises(RegistrationError, self.server.enable_notifications)
        self.assertIn("too late", str(error))
