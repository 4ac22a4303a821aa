"""
The client over WebSocket against the real server, both in memory.
"""

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import (
    ClientState,
    Disconnected,
    NodeState,
    ResponseError,
    ServerType,
    SessionKeys,
    ask_endpoint,
    connect,
    connect_to,
    http_client,
    value_of,
)
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import CommandError, Server
from diarkis_tw.testing.loopback import LoopbackReactor

URL = "http://127.0.0.1:7000"


class BothKinds:
    """
    What does not depend on the subprotocol.
    """

    def setUp(self):
        self.reactor = LoopbackReactor()
        self.users = {}
        self.slow = Deferred()
        self.start()
        self.addCleanup(self.stop)
        self.events = []

    def start(self):
        self.server = Server(self.reactor)
        self.server.setup_as_websocket_server({"port": 7300, "maxRcvSize": 512})
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.setup_as_http_server({"port": 7000})
        self.server.handle_command(2, 10, self.echo)
        self.server.handle_command(2, 11, self.refuse)
        self.server.handle_command(2, 12, lambda ver, cmd, payload, user: self.slow)
        self.server.handle_command(2, 13, lambda ver, cmd, payload, user: {"n": 1, "l": [None]})
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(40)
        self.successResultOf(stopping)

    def echo(self, ver, cmd, payload, user):
        self.users[user.uid] = user
        return payload

    def refuse(self, ver, cmd, payload, user):
        raise CommandError(5, "no")

    def connect(self, uid="alice", **options):
        options = {"type": ServerType.WS, "binary": self.is_binary, **options}
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

    def endpoint(self, uid="alice"):
        asking = Deferred.fromCoroutine(
            ask_endpoint(http_client(self.reactor), self.reactor, URL, uid, ServerType.WS)
        )
        return self.answer(asking, 1)

    def refused(self, connecting):
        self.reactor.advance(10)
        return self.failureResultOf(connecting, Disconnected).value

    def test_commands(self):
        """Commands are answered, byte by byte too, and leaving leaves nothing."""
        for chunk_size in (2**16, 1):
            self.reactor.chunk_size = chunk_size
            client = self.connect()
            self.assertEqual(self.answer(client.request(2, 10, b"\xff" * 200)), b"\xff" * 200)
            sent = {"a": [1, "b"]}
            self.assertEqual(value_of(self.answer(client.request(2, 10, sent))), sent)
            answer = value_of(self.answer(client.request(2, 13)))
            self.assertEqual(answer, {"n": 1, "l": [None]})
            error = client.request(2, 11)
            self.reactor.pump()
            error = self.failureResultOf(error, ResponseError).value
            self.assertEqual((error.code, error.message), (5, "no"))
            unknown = client.request(2, 99)
            self.reactor.pump()
            self.assertEqual(self.failureResultOf(unknown, ResponseError).value.code, 1004)
            self.answer(client.close())
        self.assertEqual(self.events, [CloseCode.NORMAL] * 2)
        self.assertEqual(self.server.users.ccu(), 0)

    def test_pushes(self):
        """Pushes are bytes or values, as the server sent them."""
        client = self.connect()
        got = []
        client.on_push(2, 20, got.append)
        self.answer(client.request(2, 10, b""))
        self.users["alice"].server_push(2, 20, b"\xff")
        self.users["alice"].server_push(2, 20, {"x": 1.5})
        self.reactor.pump()
        self.assertEqual((got[0], value_of(got[1])), (b"\xff", {"x": 1.5}))

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
        listening = self.reactor.ports.pop(7300)
        self.reactor.links[-1].cut()
        self.reactor.advance(1)
        self.users["alice"].server_push(2, 20, b"kept")
        self.slow.callback({"kept": "too"})
        self.reactor.advance(1)
        self.assertEqual(pushes, [])
        self.reactor.ports[7300] = listening
        self.assertEqual(value_of(self.answer(slow, 3)), {"kept": "too"})
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
        listening = self.reactor.ports.pop(7300)
        self.reactor.links[-1].cut()
        self.reactor.advance(15)
        self.reactor.ports[7300] = listening
        self.reactor.advance(3)
        self.assertEqual(self.events, ["reconnecting", CloseCode.UNKNOWN])

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
        asking = client.request(2, 10, b"x" * 600)
        self.reactor.advance(1)
        self.assertEqual(self.failureResultOf(asking, Disconnected).value.code, CloseCode.TOO_LARGE)

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

    def test_refused_by_state(self):
        """A node that takes no new users any more says so at the handshake."""
        endpoint = self.endpoint()
        self.server.taken()
        connecting = connect_to(endpoint, reactor=self.reactor, binary=self.is_binary)
        self.assertEqual(self.refused(connecting).code, CloseCode.TAKEN)

    def test_wrong_keys(self):
        """Who has a sid and not its keys is not let in, nor told that it exists."""
        endpoint = self.endpoint()
        keys = SessionKeys(endpoint.keys.sid, bytes(16), bytes(16), bytes(16))
        connecting = connect_to(
            replace(endpoint, keys=keys), reactor=self.reactor, binary=self.is_binary
        )
        self.assertEqual(self.refused(connecting).code, CloseCode.UNKNOWN)

    def test_moved_from_tcp(self):
        """A client that the server sends from TCP to WebSocket goes on as the same user."""
        client = self.connect(type=ServerType.TCP)
        self.answer(client.request(2, 10, b""))
        user = self.users["alice"]
        listening = self.reactor.ports[7300].getHost()
        user.server_push(0, 2, {"endpoint": f"127.0.0.1:{listening.port}", "type": "WS"})
        self.reactor.advance(1)
        self.assertEqual(client.endpoint.server_type, ServerType.WS)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(self.answer(client.request(2, 10, b"x")), b"x")
        self.assertIs(self.users["alice"], user)
        self.assertIs(user.transport, ServerType.WS)


class JsonTests(BothKinds, SynchronousTestCase):
    """
    JSON texts.
    """

    is_binary = False

    def test_mapping(self):
        """A value arrives as a map, at handlers of maps and at the client."""
        self.stop()
        reactor = self.reactor = LoopbackReactor()
        server = self.server = Server(reactor)
        server.setup_as_websocket_server({"port": 7300})
        server.setup_as_http_server({"port": 7000})
        seen = []

        def handler(ver, cmd, payload, user):
            seen.append(payload)
            return {"got": payload["a"]}

        server.handle_ws_command(2.0, 30.0, handler)
        self.service = server.service()
        self.service.startService()
        reactor.pump()
        client = self.connect()
        self.assertEqual(self.answer(client.request(2, 30, {"a": [1]})), {"got": [1]})
        self.assertEqual(seen, [{"a": [1]}])


class BinaryTests(BothKinds, SynchronousTestCase):
    """
    Sealed records.
    """

    is_binary = True

    def test_without_forward_secrecy(self):
        """Without forward secrecy it works all the same."""
        client = self.connect(forward_secrecy=False)
        self.assertEqual(self.answer(client.request(2, 10, b"x")), b"x")
