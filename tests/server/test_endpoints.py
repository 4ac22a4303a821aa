"""
Tests of L{diarkis_tw.server.endpoints}, through L{diarkis_tw.server.Server}.
"""

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import HttpSettings, NodeSettings, Settings, TcpSettings
from diarkis_tw.constants import ServerType
from diarkis_tw.errors import ConfigError
from diarkis_tw.server import Server
from diarkis_tw.server.endpoints import host_port


class EndpointsTests(SynchronousTestCase):
    """
    What clients are told.
    """

    def serve(
        self,
        *,
        tcp: TcpSettings | None = None,
        public_host: str | None = None,
        start: bool = True,
    ) -> Server:
        """
        Make a server with TCP and HTTP.
        """
        settings = Settings(tcp=tcp or TcpSettings(), http=HttpSettings(), public_host=public_host)
        server = Server(MemoryReactorClock(), settings)
        if start:
            server.service().startService()
        return server

    def test_bound(self) -> None:
        """
        Without anything said it is what is bound.
        """
        server = self.serve(tcp=TcpSettings(address="127.0.0.5", port=7222))
        self.assertEqual(server.get_endpoint(), "127.0.0.5:7222")
        self.assertEqual(server.get_endpoint(ServerType.TCP), "127.0.0.5:7222")
        self.assertEqual(
            server.bound_addresses(), {"TCP": ("127.0.0.5", 7222), "HTTP": ("127.0.0.1", 7000)}
        )

    def test_publicHost(self) -> None:
        """
        C{DIARKIS_CLOUD_ENV} gives the host, the port is the bound one; what is bound stays.
        """
        server = self.serve(tcp=TcpSettings(address="0.0.0.0"), public_host="198.51.100.7")
        self.assertEqual(server.get_endpoint(), "198.51.100.7:7200")
        self.assertEqual(server.bound_addresses()["TCP"], ("0.0.0.0", 7200))

    def test_publicIPv6(self) -> None:
        """
        An IPv6 host has brackets in what is shown.
        """
        self.assertEqual(self.serve(public_host="2001:db8::1").get_endpoint(), "[2001:db8::1]:7200")
        self.assertEqual(host_port("::1", 5), "[::1]:5")

    def test_set(self) -> None:
        """
        C{set_public_endpoint} takes a host, a host with port, and IPv6 in both forms.
        """
        for address, expected in (
            ("game.example.com", "game.example.com:7200"),
            ("game.example.com:17200", "game.example.com:17200"),
            ("198.51.100.7", "198.51.100.7:7200"),
            ("2001:db8::1", "[2001:db8::1]:7200"),
            ("[2001:db8::1]", "[2001:db8::1]:7200"),
            ("[2001:db8::1]:17200", "[2001:db8::1]:17200"),
            ("host:1", "host:1"),
            ("host:65535", "host:65535"),
        ):
            server = self.serve()
            server.set_public_endpoint(address)
            self.assertEqual(server.get_endpoint(), expected)

    def test_setBeforeStart(self) -> None:
        """
        It may be set before anything is bound.
        """
        server = self.serve(start=False)
        server.set_public_endpoint("game.example.com:17200")
        server.service().startService()
        self.assertEqual(server.get_endpoint(), "game.example.com:17200")

    def test_setAgain(self) -> None:
        """
        The last one counts, for nodes of the mesh too.
        """
        server = self.serve()
        server.set_public_endpoint("a.example.com")
        server.set_public_endpoint("b.example.com")
        self.assertEqual(server.get_endpoint(), "b.example.com:7200")
        (node,) = server._mesh.nodes()
        self.assertEqual(node.endpoints["TCP"].host, "b.example.com")

    def test_hostAfterHostPort(self) -> None:
        """
        A C{host:port} of one kind stands when a host for all is set.
        """
        server = self.serve()
        server.set_public_endpoint("a.example.com:1", ServerType.TCP)
        server.set_public_endpoint("b.example.com")
        self.assertEqual(server.get_endpoint(), "a.example.com:1")

    def test_bad(self) -> None:
        """
        What is neither host nor C{host:port} is refused and changes nothing.
        """
        server = self.serve()
        for address in (
            "",
            ":7200",
            "host:",
            "host:0",
            "host:65536",
            "host:-1",
            "host:x",
            "host:1.5",
            "host:٣",
            "a b",
            "http://host:7200",
            "host/path",
            "[::1]:x",
            "[::1]7200",
            "[]:1",
            "[::1",
            "0.0.0.0",
            "[::]:7200",
            "host:" + "1" * 5000,
        ):
            self.assertRaises(ConfigError, server.set_public_endpoint, address)
        self.assertEqual(server.get_endpoint(), "127.0.0.1:7200")

    def test_otherKind(self) -> None:
        """
        A kind that the server is not cannot be given an address.
        """
        server = self.serve()
        error = self.assertRaises(ConfigError, server.set_public_endpoint, "host:1", ServerType.UDP)
        self.assertIn("UDP", str(error))

    def test_noKind(self) -> None:
        """
        A server without kinds has no endpoint.
        """
        server = Server(MemoryReactorClock())
        self.assertRaises(ConfigError, server.get_endpoint)
        self.assertRaises(ConfigError, server.get_endpoint, ServerType.TCP)
        self.assertRaises(ConfigError, server.set_public_endpoint, "host:1")

    def test_notBound(self) -> None:
        """
        Before the start there is no endpoint.
        """
        server = self.serve(start=False)
        error = self.assertRaises(ConfigError, server.get_endpoint)
        self.assertIn("not bound", str(error))

    def test_wildcard(self) -> None:
        """
        All interfaces are no address that clients could be told.
        """
        server = self.serve(tcp=TcpSettings(address="0.0.0.0"), public_host="h.example.com")
        server._endpoints.host = None
        error = self.assertRaises(ConfigError, server.get_endpoint)
        self.assertIn("DIARKIS_CLOUD_ENV", str(error))

    def test_customType(self) -> None:
        """
        A node's own type takes the place of its one transport.
        """
        settings = Settings(tcp=TcpSettings(), node=NodeSettings(type="Arena"))
        server = Server(MemoryReactorClock(), settings)
        server.service().startService()
        (node,) = server._mesh.nodes()
        self.assertEqual(list(node.endpoints), ["Arena"])
        self.assertEqual(node.endpoints["Arena"].transport, "TCP")
