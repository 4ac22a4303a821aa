"""
The client against the real server, both in memory.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import (
    ClientState,
    Disconnected,
    EndpointError,
    NodeState,
    ResponseError,
    connect,
)
from diarkis_tw.config.settings import NodeSettings, Settings
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.server import CommandError, Server
from diarkis_tw.testing.loopback import LoopbackReactor

URL = "http://127.0.0.1:7000"


class RealServerTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackReactor()
        self.users = {}
        self.slow = Deferred()
        self.start()
        self.addCleanup(self.stop)
        self.events = []

    def start(self, settings=None):
        self.server = Server(self.reactor, settings)
        self.server.setup_as_tcp_server({"port": 7200, "maxRcvSize": 256})
        self.server.setup_as_http_server({"port": 7000})
        self.server.handle_command(2, 10, self.echo)
        self.server.handle_command(2, 11, self.refuse)
        self.server.handle_command(2, 12, lambda ver, cmd, payload, user: self.slow)
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(40)
        self.successResultOf(stopping)

    def test_custom_type(self):
        """A custom node type is asked for by its word; the answer tells its transport."""
        self.stop()
        self.start(Settings(node=NodeSettings(type="Arena")))
        connecting = connect("http://127.0.0.1:7000", "zoe", type="Arena", reactor=self.reactor)
        self.reactor.advance(1)
        client = self.successResultOf(connecting)
        self.assertEqual(client.endpoint.server_type, ServerType.TCP)
        asking = client.request(2, 10, b"hello")
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(asking), b"hello")

    def echo(self, ver, cmd, payload, user):
        self.users[user.uid] = user
        return payload

    def refuse(self, ver, cmd, payload, user):
        raise CommandError(5, "no")

    def connect(self, uid="alice", **options):
        connecting = connect(URL, uid, reactor=self.reactor, **options)
        self.reactor.advance(1)
        client = self.successResultOf(connecting)
        client.on_reconnecting(lambda: self.events.append("reconnecting"))
        client.on_reconnected(lambda: self.events.append("reconnected"))
        client.on_disconnected(self.events.append)
        return client

    def answer(self, asking, seconds=0):
        self.reactor.advance(seconds)
        return self.successResultOf(asking)

    def test_commands(self):
        """Commands are answered, with and without forward secrecy, byte by byte too."""
        for chunk_size, forward_secrecy in ((2**16, True), (2**16, False), (1, True)):
            self.reactor.chunk_size = chunk_size
            client = self.connect(forward_secrecy=forward_secrecy)
            self.assertEqual(self.answer(client.request(2, 10, b"x" * 256)), b"x" * 256)
            error = client.request(2, 11)
            self.reactor.pump()
            self.assertEqual(self.failureResultOf(error, ResponseError).value.message, "no")
            self.answer(client.close())
        self.assertEqual(self.events, [CloseCode.NORMAL] * 3)

    def test_stays(self):
        """A client that has nothing to say stays, by keep-alive alone."""
        client = self.connect()
        self.reactor.advance(300)
        self.assertEqual((client.state, self.events), (ClientState.CONNECTED, []))
        self.assertEqual(client.node_state, NodeState.ONLINE)
        self.assertIsNotNone(client.round_trip)

    def test_kept_across_reconnect(self):
        """Pushes and answers that the server kept arrive after a reconnect."""
        client = self.connect()
        pushes = []
        client.on_push(2, 20, pushes.append)
        self.answer(client.request(2, 10, b""))
        slow = client.request(2, 12, timeout=60)
        self.reactor.pump()
        listening = self.reactor.ports.pop(7200)
        self.reactor.links[-1].cut()
        self.reactor.advance(1)
        self.users["alice"].server_push(2, 20, b"kept")
        self.slow.callback(b"kept too")
        self.reactor.advance(1)
        self.assertEqual(pushes, [])
        self.reactor.ports[7200] = listening
        self.assertEqual(self.answer(slow, 3), b"kept too")
        self.assertEqual(pushes, [b"kept"])
        self.assertEqual(self.events, ["reconnecting", "reconnected"])

    def test_swallowed(self):
        """A network that swallows everything is noticed, and left behind."""
        client = self.connect()
        self.reactor.links[-1].stall()
        self.reactor.advance(11)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(self.answer(client.request(2, 10, b"x")), b"x")

    def test_too_late(self):
        """After the server's grace the session is unknown, and the client ends."""
        self.connect()
        listening = self.reactor.ports.pop(7200)
        self.reactor.links[-1].cut()
        self.reactor.advance(15)
        self.reactor.ports[7200] = listening
        self.reactor.advance(3)
        self.assertEqual(self.events, ["reconnecting", CloseCode.UNKNOWN])

    def test_restarted(self):
        """A server that was restarted does not know the session."""
        client = self.connect()
        self.stop()
        self.start()
        self.reactor.advance(3)
        self.assertEqual(client.state, ClientState.CLOSED)

    def test_replaced(self):
        """A second connection of a uid ends the first, which does not come back."""
        self.connect()
        self.connect()
        self.reactor.advance(30)
        self.assertEqual(self.events, [CloseCode.REPLACED])

    def test_kicked(self):
        """A user whom the application disconnects is told, and does not come back."""
        client = self.connect()
        self.answer(client.request(2, 10, b""))
        self.users["alice"].disconnect()
        self.reactor.advance(30)
        self.assertEqual(self.events, [CloseCode.KICKED])

    def test_too_large(self):
        """A payload above the server's limit ends the client with the code."""
        client = self.connect()
        asking = client.request(2, 10, b"x" * 257)
        self.reactor.advance(1)
        self.assertEqual(self.failureResultOf(asking, Disconnected).value.code, CloseCode.TOO_LARGE)

    def test_taken(self):
        """A node that takes no new users says so to the endpoint API's client."""
        client = self.connect()
        states = []
        client.on_node_state(states.append)
        self.server.taken()
        connecting = connect(URL, "bob", reactor=self.reactor)
        self.reactor.advance(5)
        self.assertEqual(self.failureResultOf(connecting, EndpointError).value.status, 503)
        self.assertEqual(states, [NodeState.TAKEN])

    def test_server_stops(self):
        """A server that stops tells that it is OFFLINE, then ends the client with the code."""
        client = self.connect()
        states = []
        client.on_node_state(states.append)
        stopping = self.service.stopService()
        self.reactor.advance(40)
        self.successResultOf(stopping)
        self.assertEqual(states, [NodeState.OFFLINE])
        self.assertEqual(self.events, [CloseCode.SERVER_OFFLINE])
