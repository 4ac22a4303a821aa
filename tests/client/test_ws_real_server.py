"""
The client over WebSocket against the real server, both in memory.
"""

from dataclasses import replace

from twisted.internet.defer import Deferred

from diarkis_tw.client import (
    Disconnected,
    ResponseError,
    ServerType,
    SessionKeys,
    ask_endpoint,
    connect_to,
    http_client,
    value_of,
)
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback import LoopbackReactor
from tests.client.real_server import URL, AnyStream, RealServerCase


class BothKinds(AnyStream):
    """
    What does not depend on the subprotocol.
    """

    type = ServerType.WS
    port = 7300
    too_large = 600
    kept = {"kept": "too"}
    read = staticmethod(value_of)

    def listen(self):
        self.server.setup_as_websocket_server({"port": self.port, "maxRcvSize": 512})
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.handle_command(2, 13, lambda ver, cmd, payload, user: {"n": 1, "l": [None]})

    def connect(self, uid="alice", **options):
        return super().connect(uid, **{"binary": self.is_binary, **options})

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


class JsonTests(BothKinds, RealServerCase):
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


class BinaryTests(BothKinds, RealServerCase):
    """
    Sealed records.
    """

    is_binary = True

    def test_without_forward_secrecy(self):
        """Without forward secrecy it works all the same."""
        client = self.connect(forward_secrecy=False)
        self.assertEqual(self.answer(client.request(2, 10, b"x")), b"x")
