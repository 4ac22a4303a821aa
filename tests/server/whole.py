"""
A whole server and real clients in memory, over either transport: what a test says
of the API must hold for both.
"""

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import (
    Client,
    Endpoint,
    ask_endpoint,
    connect,
    connect_to,
    http_client,
)
from diarkis_tw.config.settings import NodeSettings, Settings
from diarkis_tw.constants import CloseCode, NodeState, ServerType
from diarkis_tw.core.user import User
from diarkis_tw.server import Server
from diarkis_tw.testing.link import Link
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor

URL = "http://127.0.0.1:7000"
GAME_PORT = 7200
ECHO, HANG = 10, 11
"""Commands of version 2: answer with the payload; never finish."""


class WholeCase(SynchronousTestCase):
    """
    A server of one kind, with the endpoint API.

    @cvar kind: which; a subclass that changes it runs the same tests over it.
    @ivar left: sid and uid of each on_disconnect.
    @ivar ended: statuses the process was told to end with.
    """

    kind = ServerType.TCP

    def setUp(self) -> None:
        self.reactor = LoopbackUdpReactor()
        self.left: list[tuple[str, str]] = []
        self.ended: list[int] = []

    def prepare(
        self,
        keys: Mapping[str, object] | None = None,
        http: Mapping[str, object] | None = None,
        **node: object,
    ) -> Server:
        """
        Make a server that has not started.

        @param keys: of the game server's section.
        @param http: of the section HTTP.
        @param node: fields of the section node.
        """
        settings = Settings(node=NodeSettings(**node))  # type: ignore[arg-type]
        server = self.server = Server(self.reactor, settings)
        section = {"port": GAME_PORT, **(keys or {})}
        if self.kind is ServerType.TCP:
            server.setup_as_tcp_server(section)
        elif self.kind is ServerType.UDP:
            server.setup_as_udp_server(section)
        else:
            server.setup_as_websocket_server(section)
        server.setup_as_http_server({"port": 7000, **(http or {})})
        server.handle_command(2, ECHO, lambda ver, cmd, payload, user: payload)
        server.handle_command(2, HANG, lambda ver, cmd, payload, user: Deferred())
        server.on_disconnect(lambda sid, user: self.left.append((sid, user.uid)))
        self.service = server.service()
        self.service.stop_process = self.ended.append
        return server

    def start(self) -> None:
        """
        Start the server that was made.
        """
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)

    def serve(self, keys: Mapping[str, object] | None = None, **node: object) -> Server:
        """
        Make a server and start it.
        """
        server = self.prepare(keys, **node)  # type: ignore[arg-type]
        self.start()
        return server

    def stop(self) -> None:
        """
        Stop the server, and let its clients notice.
        """
        stopping = self.service.stopService()
        self.reactor.hops.clear()
        self.reactor.advance(60)
        if stopping is not None:
            self.successResultOf(stopping)

    def connecting(self, uid: str = "alice", **options: object) -> Deferred[Client]:
        """
        Begin to connect.
        """
        return connect(URL, uid, type=self.kind, reactor=self.reactor, **options)  # type: ignore[arg-type]

    def client(self, uid: str = "alice", **options: object) -> Client:
        """
        A client that has connected.
        """
        connecting = self.connecting(uid, **options)
        self.reactor.advance(1)
        return self.successResultOf(connecting)

    def endpoint(self, uid: str = "alice") -> Endpoint:
        """
        Ask the endpoint API, as a client does before it connects.
        """
        http = http_client(self.reactor)
        asking = Deferred.fromCoroutine(ask_endpoint(http, self.reactor, URL, uid, self.kind))
        self.reactor.advance(1)
        return self.successResultOf(asking)

    def entering(self, endpoint: Endpoint, **options: object) -> Deferred[Client]:
        """
        Connect to an endpoint that is known.
        """
        entering = connect_to(endpoint, reactor=self.reactor, **options)  # type: ignore[arg-type]
        self.reactor.advance(2)
        return entering

    def user(self, client: Client) -> User:
        """
        The server's side of a client.
        """
        user = self.server.users.find_sid(client.endpoint.keys.sid)
        assert user is not None
        return user

    def echo(self, client: Client, payload: bytes = b"hello") -> bytes:
        """
        Run a command.

        @return: the answer.
        """
        asking = client.request(2, ECHO, payload)
        self.reactor.advance(1)
        return self.successResultOf(asking)

    def watch(self, client: Client) -> tuple[list[NodeState], list[CloseCode]]:
        """
        The node states and the endings that a client hears of from now on.
        """
        states: list[NodeState] = []
        ends: list[CloseCode] = []
        client.on_node_state(states.append)
        client.on_disconnected(ends.append)
        return states, ends

    def links(self) -> list[Link]:
        """
        The TCP connections to the game server that are open, oldest first.
        """
        return [
            link
            for link in self.reactor.links
            if link.open and link.server.getHost().port == GAME_PORT
        ]

    def silence(self) -> None:
        """
        The network swallows everything from now on.
        """
        self.reactor.hops.append(lambda datagram: ())
        for link in self.links():
            link.stall()
