"""
Tests of L{diarkis_tw.modules.session}: C{enableP2P} and the public address in the
answer to a keep-alive.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import Settings
from diarkis_tw.constants import Builtin, ServerType
from diarkis_tw.modules.session import SessionCommands
from diarkis_tw.server.server import Server
from diarkis_tw.wire.keep_alive import decode_keep_alive_response, encode_keep_alive_request
from tests.core.fakes import CoreTestCase, FakeConnection
from tests.transports.udp_client import UdpCase, UdpReactor


def ask(client: FakeConnection) -> str:
    """
    Send a keep-alive.

    @return: the address in the answer.
    """
    client.command(encode_keep_alive_request(1, None), ver=0, cmd=Builtin.KEEP_ALIVE)
    return decode_keep_alive_response(client.answers()[-1][2])[2]


class AddressTests(CoreTestCase):
    """
    The command by itself.
    """

    def served(self, p2p: bool, kind: ServerType) -> FakeConnection:
        """
        A user connected by one kind of transport.
        """
        SessionCommands(self.core.registry, self.core.node, lambda: p2p)
        _, client = self.serve()

        class Other(FakeConnection):
            """
            A connection of another kind.
            """

            type = kind

        client.__class__ = Other
        return client

    def test_enabled(self) -> None:
        """
        With enableP2P a UDP client learns its public address.
        """
        self.assertEqual(ask(self.served(True, ServerType.UDP)), "192.0.2.1:40000")

    def test_disabled(self) -> None:
        """
        Without enableP2P it does not.
        """
        self.assertEqual(ask(self.served(False, ServerType.UDP)), "")

    def test_streams(self) -> None:
        """
        Clients of other transports do not, whatever the UDP section says.
        """
        self.assertEqual(ask(self.served(True, ServerType.TCP)), "")

    def test_webSocket(self) -> None:
        """
        Nor do those of WebSocket.
        """
        self.assertEqual(ask(self.served(True, ServerType.WS)), "")


class UdpAddressTests(UdpCase):
    """
    The command in a whole server.
    """

    def address(self) -> str:
        """
        What a keep-alive over UDP says of the client's address.
        """
        client = self.opened()
        payload = encode_keep_alive_request(1, None)
        client.command(0, Builtin.KEEP_ALIVE, payload, 0, reliable=False)
        client.turn()
        self.assertEqual(client.reliable, [False])
        return decode_keep_alive_response(client.payloads()[-1])[2]

    def test_default(self) -> None:
        """
        It is told by default, as the client's address looks from here.
        """
        self.assertEqual(self.address(), "192.0.2.1:40000")

    def test_disabled(self) -> None:
        """
        It is not told with enableP2P false.
        """
        self.serve({"enableP2P": False})
        self.assertEqual(self.address(), "")

    def test_moved(self) -> None:
        """
        A client that moved learns its new address.
        """
        client = self.opened()
        client.address = ("198.51.100.3", 4)
        for _ in range(2):
            client.rudp.ping()
            client.turn()
            self.settle(0.1)
        payload = encode_keep_alive_request(1, None)
        client.command(0, Builtin.KEEP_ALIVE, payload, 0, reliable=False)
        client.turn()
        address = decode_keep_alive_response(client.payloads()[-1])[2]
        self.assertEqual(address, "198.51.100.3:4")


class IsP2PEnabledTests(SynchronousTestCase):
    """
    L{Server.is_p2p_enabled}.
    """

    def test_kinds(self) -> None:
        """
        True for a UDP server that has it enabled, else false.
        """
        server = Server(UdpReactor(), Settings())
        self.assertFalse(server.is_p2p_enabled())
        self.assertFalse(server.is_udp())
        server.setup_as_tcp_server({})
        self.assertFalse(server.is_p2p_enabled())
        server.setup_as_udp_server({})
        self.assertTrue(server.is_p2p_enabled())
        self.assertTrue(server.is_udp())
        other = Server(UdpReactor(), Settings())
        other.setup_as_udp_server({"enableP2P": False})
        self.assertFalse(other.is_p2p_enabled())
