"""
The client against the real server, both in memory.
"""

from diarkis_tw.client import (
    ClientState,
    EndpointError,
    NodeState,
    ResponseError,
    connect,
)
from diarkis_tw.config.settings import NodeSettings, Settings
from diarkis_tw.constants import CloseCode, ServerType
from tests.client.real_server import URL, AnyStream, RealServerCase


class RealServerTests(AnyStream, RealServerCase):
    """
    TCP.
    """

    port = 7200
    too_large = 257
    kept = b"kept too"

    def listen(self):
        self.server.setup_as_tcp_server({"port": self.port, "maxRcvSize": 256})

    def test_custom_type(self):
        """A custom node type is asked for by its word; the answer tells its transport."""
        self.stop()
        self.start(Settings(node=NodeSettings(type="Arena")))
        connecting = connect(URL, "zoe", type="Arena", reactor=self.reactor)
        self.reactor.advance(1)
        client = self.successResultOf(connecting)
        self.assertEqual(client.endpoint.server_type, ServerType.TCP)
        asking = client.request(2, 10, b"hello")
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(asking), b"hello")

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

    def test_restarted(self):
        """A server that was restarted does not know the session."""
        client = self.connect()
        self.stop()
        self.start()
        self.reactor.advance(3)
        self.assertEqual(client.state, ClientState.CLOSED)

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
