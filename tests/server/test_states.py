"""
What each state of a node refuses and what it still allows, seen by real clients.
"""

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred

from diarkis_tw.client import Client, ClientState, Disconnected, Endpoint, EndpointError
from diarkis_tw.constants import CloseCode, NodeState, ServerType
from diarkis_tw.server import Server
from tests.server.whole import GAME_PORT, WholeCase

Enter = Callable[[Server], None]

REFUSING = (
    (Server.taken, NodeState.TAKEN, CloseCode.TAKEN),
    (Server.offline, NodeState.OFFLINE, CloseCode.SERVER_OFFLINE),
)
"""States in which nobody new comes in, and what who tries is told."""


class StateTests(WholeCase):
    """
    One client who is in, and others who want to.
    """

    def setUp(self) -> None:
        super().setUp()
        self.serve()

    def refused_by_api(self, *words: str) -> None:
        """
        Assert that the endpoint API gives bob no endpoint.
        """
        asking = self.connecting("bob")
        self.reactor.advance(1)
        error = self.failureResultOf(asking, EndpointError).value
        self.assertEqual((error.status, error.reason), (503, "no_node"))
        for word in words:
            self.assertIn(word, str(error))

    def refused_at_connecting(self, endpoint: Endpoint, code: CloseCode) -> None:
        """
        Assert that who has an endpoint already is refused with that code.
        """
        refusal = self.failureResultOf(self.entering(endpoint), Disconnected).value
        self.assertIs(refusal.code, code)

    def test_online(self) -> None:
        """
        ONLINE: everybody comes in.
        """
        self.client("bob")
        self.assertIs(self.server.state, NodeState.ONLINE)

    def test_refusing(self) -> None:
        """
        TAKEN and OFFLINE refuse new users at the endpoint API and again at connecting; who is in
        is served, and may come back after a loss. ONLINE takes them all again.
        """
        for enter, state, code in REFUSING:
            client = self.client()
            waiting = self.endpoint("carol")
            enter(self.server)
            self.assertIs(self.server.state, state)
            self.refused_by_api(state.value)
            self.refused_at_connecting(waiting, code)
            self.assertEqual(self.echo(client), b"hello")
            self.lose(client)
            self.assertEqual(self.echo(client), b"hello")
            self.assertEqual(self.left, [])
            self.server.online()
            carol = self.successResultOf(self.entering(waiting))
            self.assertEqual(self.echo(carol), b"hello")
            self.left_by(carol)
            self.left_by(client)
            self.left.clear()

    def lose(self, client: Client) -> None:
        """
        The client loses its connection, and comes back by itself.
        """
        events: list[str] = []
        client.on_reconnecting(lambda: events.append("lost"))
        client.on_reconnected(lambda: events.append("back"))
        self.silence()
        self.reactor.advance(12)
        self.reactor.hops.clear()
        self.reactor.advance(4)
        self.assertEqual(events, ["lost", "back"])

    def left_by(self, client: Client) -> None:
        """
        The client leaves.
        """
        closing = client.close()
        self.reactor.advance(1)
        self.successResultOf(closing)

    def test_clients_learn(self) -> None:
        """
        OFFLINE reaches every client at once, TAKEN and ONLINE with its next keep-alive.
        """
        watched = [self.watch(self.client(uid))[0] for uid in ("alice", "bob")]
        self.server.offline()
        self.reactor.pump()
        self.assertEqual(watched, [[NodeState.OFFLINE]] * 2)
        for enter, state in ((Server.taken, NodeState.TAKEN), (Server.online, NodeState.ONLINE)):
            enter(self.server)
            self.reactor.advance(5)
            self.assertEqual([states[-1] for states in watched], [state] * 2)

    def test_away(self) -> None:
        """
        Who is away when the node becomes OFFLINE is told on coming back.
        """
        client = self.client()
        states, _ = self.watch(client)
        self.silence()
        self.reactor.advance(12)
        self.server.offline()
        self.reactor.hops.clear()
        self.reactor.advance(4)
        self.assertIs(client.state, ClientState.CONNECTED)
        self.assertEqual(states, [NodeState.OFFLINE])

    def test_starting(self) -> None:
        """
        STARTING: the endpoint API answers 503.
        """
        self.stop()
        waiting: Deferred[None] = Deferred()
        self.prepare().on_ready(lambda: waiting)
        self.start()
        self.refused_by_api("STARTING")
        waiting.callback(None)
        self.client("bob")


class AskingAgainTests(WholeCase):
    """
    A node that becomes TAKEN between the endpoint API's answer and the connection.

    @ivar intercept: called whenever a client begins to connect to the game server.
    """

    def setUp(self) -> None:
        super().setUp()
        # A pause of next to nothing before the client asks again would come before reopen.
        self.addCleanup(random.setstate, random.getstate())
        random.seed(1)
        self.begun = 0
        self.intercept: Callable[[], None] = lambda: None
        listenUDP, connectTCP = self.reactor.listenUDP, self.reactor.connectTCP
        self.serve()

        def begin() -> None:
            self.begun += 1
            self.intercept()

        def connect_tcp(host: str, port: int, *rest: object, **more: object) -> object:
            if port == GAME_PORT:
                begin()
            return connectTCP(host, port, *rest, **more)  # type: ignore[arg-type]

        def listen_udp(*arguments: object, **more: object) -> object:
            begin()
            return listenUDP(*arguments, **more)  # type: ignore[arg-type]

        vars(self.reactor).update(connectTCP=connect_tcp, listenUDP=listen_udp)

    def test_gives_up(self) -> None:
        """
        The client asks the endpoint API again, which then says no.
        """
        self.intercept = self.server.taken
        asking = self.connecting()
        self.reactor.advance(5)
        self.assertEqual(self.failureResultOf(asking, EndpointError).value.status, 503)
        self.assertEqual(self.begun, 1)

    def test_comes_in(self) -> None:
        """
        If there is room again it comes in.
        """
        self.intercept = self.server.taken
        asking = self.connecting()
        self.reactor.callLater(0, self.reopen)
        self.reactor.advance(5)
        self.successResultOf(asking)
        self.assertEqual(self.begun, 2)

    def reopen(self) -> None:
        """
        Wait until the client was refused, and open the node again.
        """
        if self.begun and not self.reactor.attempts and not self.pending():
            self.intercept = lambda: None
            self.server.online()
        else:
            self.reactor.callLater(0.0001, self.reopen)

    def pending(self) -> bool:
        """
        Whether the connection that was begun is still there.
        """
        if self.kind is ServerType.TCP:
            return bool(self.links())
        return len(self.reactor.udp_ports) > 1

    def test_three_times(self) -> None:
        """
        Three times at most: then the refusal is the client's answer.
        """

        def taken_for_a_moment() -> None:
            self.server.taken()
            self.reactor.callLater(0.0001, self.watch_refusal)

        self.intercept = taken_for_a_moment
        asking = self.connecting()
        self.reactor.advance(9)
        refusal = self.failureResultOf(asking, Disconnected).value
        self.assertIs(refusal.code, CloseCode.TAKEN)
        self.assertEqual(self.begun, 4)

    def watch_refusal(self) -> None:
        """
        Open the node again once the client was refused.
        """
        if self.reactor.attempts or self.pending():
            self.reactor.callLater(0.0001, self.watch_refusal)
        else:
            self.server.online()


class UdpStateTests(StateTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP


class UdpAskingAgainTests(AskingAgainTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP


class WsStateTests(StateTests):
    """
    The same over WebSocket.
    """

    kind = ServerType.WS


class WsAskingAgainTests(AskingAgainTests):
    """
    The same over WebSocket.
    """

    kind = ServerType.WS
