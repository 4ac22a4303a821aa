"""
The client against the real server, both in memory: what the transports have in common.
"""

from abc import ABC, abstractmethod

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import ClientState, Disconnected, NodeState, ServerType, connect
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import CommandError, Server
from diarkis_tw.testing.loopback import LoopbackReactor

URL = "http://127.0.0.1:7000"


class RealServerCase(SynchronousTestCase, ABC):
    """
    Starts a server, and connects clients over one transport.

    @cvar type: the transport.
    @cvar make_reactor: makes the network.
    @cvar wait: seconds that connecting may take.
    @ivar users: by uid, those who have sent command 10, which echoes.
    @ivar heard: the payloads of it.
    @ivar slow: what command 12 answers with.
    @ivar events: what clients reported.
    @ivar left: uids of users who did.
    """

    type = ServerType.TCP
    make_reactor = LoopbackReactor
    wait = 1

    def setUp(self):
        self.reactor = self.make_reactor()
        self.users = {}
        self.heard = []
        self.slow = Deferred()
        self.events = []
        self.left = []
        self.start()
        self.addCleanup(self.stop)

    def start(self, settings=None, **options):
        """
        Start a server.

        @param settings: of all of it.
        @param options: for L{listen}.
        """
        self.server = Server(self.reactor, settings)
        self.server.setup_as_http_server({"port": 7000})
        self.listen(**options)
        self.server.handle_command(2, 10, self.echo)
        self.server.handle_command(2, 11, self.refuse)
        self.server.handle_command(2, 12, lambda ver, cmd, payload, user: self.slow)
        self.server.on_disconnect(lambda sid, user: self.left.append(user.uid))
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()

    @abstractmethod
    def listen(self, **options):
        """
        Set the transport up.
        """

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(40)
        self.successResultOf(stopping)

    def echo(self, ver, cmd, payload, user):
        self.users[user.uid] = user
        self.heard.append(payload)
        return payload

    def refuse(self, ver, cmd, payload, user):
        raise CommandError(5, "no")

    def connect(self, uid="alice", wait=None, **options):
        """
        Have a client connect.

        @param options: for L{diarkis_tw.client.connect}.
        """
        options = {"type": self.type, **options}
        connecting = connect(URL, uid, reactor=self.reactor, **options)
        self.reactor.advance(wait or self.wait)
        client = self.successResultOf(connecting)
        client.on_reconnecting(lambda: self.events.append("reconnecting"))
        client.on_reconnected(lambda: self.events.append("reconnected"))
        client.on_disconnected(self.events.append)
        return client

    def answer(self, asking, seconds=0.0):
        """
        What comes of it.
        """
        self.reactor.advance(seconds)
        return self.successResultOf(asking)


class AnyTransport:
    """
    What does not depend on the transport.
    """

    def test_stays(self):
        """A client that has nothing to say stays, by keep-alive alone."""
        client = self.connect()
        self.reactor.advance(300)
        self.assertEqual((client.state, self.events), (ClientState.CONNECTED, []))
        self.assertEqual(client.node_state, NodeState.ONLINE)
        self.assertIsNotNone(client.round_trip)

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

    def test_server_stops(self):
        """A server that stops tells that it is OFFLINE, then ends the client with the code."""
        client = self.connect()
        states = []
        client.on_node_state(states.append)
        self.stop()
        self.assertEqual(states, [NodeState.OFFLINE])
        self.assertEqual(self.events, [CloseCode.SERVER_OFFLINE])


class AnyStream(AnyTransport):
    """
    What does not depend on the kind of stream.

    @cvar port: where the server listens.
    @cvar too_large: bytes of a payload above its limit.
    @cvar kept: what a handler answers with while the client is away.
    @cvar read: makes that of the answer.
    """

    read = staticmethod(bytes)

    def test_kept_across_reconnect(self):
        """Pushes and answers that the server kept arrive after a reconnect."""
        client = self.connect()
        pushes = []
        client.on_push(2, 20, pushes.append)
        self.answer(client.request(2, 10, b""))
        slow = client.request(2, 12, timeout=60)
        self.reactor.pump()
        listening = self.reactor.ports.pop(self.port)
        self.reactor.links[-1].cut()
        self.reactor.advance(1)
        self.users["alice"].server_push(2, 20, b"kept")
        self.slow.callback(self.kept)
        self.reactor.advance(1)
        self.assertEqual(pushes, [])
        self.reactor.ports[self.port] = listening
        self.assertEqual(self.read(self.answer(slow, 3)), self.kept)
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
        listening = self.reactor.ports.pop(self.port)
        self.reactor.links[-1].cut()
        self.reactor.advance(15)
        self.reactor.ports[self.port] = listening
        self.reactor.advance(3)
        self.assertEqual(self.events, ["reconnecting", CloseCode.UNKNOWN])

    def test_too_large(self):
        """A payload above the server's limit ends the client with the code."""
        client = self.connect()
        asking = client.request(2, 10, b"x" * self.too_large)
        self.reactor.advance(1)
        self.assertEqual(self.failureResultOf(asking, Disconnected).value.code, CloseCode.TOO_LARGE)
