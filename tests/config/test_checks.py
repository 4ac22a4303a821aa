"""
Tests of L{diarkis_tw.config.checks}.
"""

from collections.abc import Mapping

from diarkis_tw.config.checks import BUILT, check_debug_commands, check_settings
from diarkis_tw.config.settings import (
    ConnectorSettings,
    HttpSettings,
    MeshSettings,
    NodeSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from tests.config.case import ConfigCase

ALL_BUILT = dict.fromkeys(BUILT, True)


class ChecksCase(ConfigCase):
    """
    A test of rules between keys.
    """

    def good(self, settings: Settings, built: Mapping[str, bool] = ALL_BUILT) -> None:
        check_settings(settings, "f.json", built=built, cores=2)

    def bad(self, settings: Settings, *parts: str, built: Mapping[str, bool] = ALL_BUILT) -> None:
        self.refused(
            lambda: check_settings(settings, "f.json", built=built, cores=2), "f.json: ", *parts
        )


class BuiltTests(ChecksCase):
    """
    What does not exist yet is refused.
    """

    uses = (
        (Settings(udp=UdpSettings()), "UDP", "the section UDP"),
        (Settings(tcp=TcpSettings()), "TCP", "the section TCP"),
        (Settings(ws=WsSettings()), "WS", "the section WS"),
        (Settings(connector=ConnectorSettings()), "CONNECTOR", "the section CONNECTOR"),
        *(
            (Settings(tcp=TcpSettings(tls_certificate="c", tls_private_key="k")), "TLS", use)
            for use in ("TCP.tlsCertificate",)
        ),
        (
            Settings(ws=WsSettings(tls_certificate="c", tls_private_key="k")),
            "TLS",
            "WS.tlsCertificate",
        ),
        (
            Settings(http=HttpSettings(tls_certificate="c", tls_private_key="k")),
            "TLS",
            "HTTP.tlsCertificate",
        ),
        (Settings(udp=UdpSettings(rcv_workers=2)), "worker processes", "UDP.rcvWorkers"),
        (
            Settings(
                http=HttpSettings(),
                mesh=MeshSettings(engine="nats", servers=("nats://127.0.0.1",)),
            ),
            "mesh",
            "the section mesh",
        ),
        (Settings(http=HttpSettings(), mesh=MeshSettings(app="x")), "mesh", "the section mesh"),
        (Settings(http=HttpSettings(), mesh=MeshSettings(key="x")), "mesh", "the section mesh"),
        (
            Settings(http=HttpSettings(), node=NodeSettings(public_address_url="http://x")),
            "public address look-up",
            "node.publicAddressUrl",
        ),
        (
            Settings(http=HttpSettings(), node=NodeSettings(endpoint_refresh=60)),
            "public address look-up",
            "node.endpointRefresh",
        ),
        (Settings(http=HttpSettings(), cloud="AWS"), "cloud", "DIARKIS_CLOUD_ENV=AWS"),
    )

    def test_refused_until_built(self) -> None:
        """
        A setting that needs something not built is refused by name, and taken
        as soon as the table says that it is built.
        """
        for settings, feature, use in self.uses:
            with self.subTest(use):
                self.good(settings)
                self.bad(
                    settings,
                    f"{use} is not built yet",
                    "Remove it",
                    built={**ALL_BUILT, feature: False},
                )

    def test_one_key_of_tls(self) -> None:
        """
        A private key alone needs TLS, too.
        """
        settings = Settings(http=HttpSettings(tls_private_key="k"))
        self.bad(settings, "HTTP.tlsPrivateKey is not built", built={**ALL_BUILT, "TLS": False})

    def test_every_feature_is_asked_for(self) -> None:
        """
        No row of the table is without effect, but for HTTP, which exists.
        """
        self.assertEqual({feature for _, feature, _ in self.uses}, set(BUILT) - {"HTTP"})

    def test_tcp_and_http_are_built(self) -> None:
        """
        TCP and HTTP are served.
        """
        check_settings(Settings(tcp=TcpSettings(), http=HttpSettings()))


class RuleTests(ChecksCase):
    """
    Rules between keys.
    """

    def mesh(self, **values: object) -> Settings:
        return Settings(tcp=TcpSettings(), mesh=MeshSettings(engine="nats", **values))

    def test_mesh_on_loopback(self) -> None:
        """
        Where all NATS servers are on loopback, no key is needed.
        """
        for server in ("nats://127.0.0.1:4222", "tls://localhost", "nats://[::1]:4222"):
            self.good(self.mesh(servers=(server,)))

    def test_mesh_needs_a_key(self) -> None:
        """
        One server elsewhere, and a key is needed, a long one.
        """
        for server in ("nats://10.0.0.1:4222", "tls://nats.example", "nats://"):
            servers = ("nats://127.0.0.1", server)
            self.bad(self.mesh(servers=servers), "mesh.servers", "mesh.key", "openssl rand")
            self.good(self.mesh(servers=servers, key="k" * 16))
            self.good(self.mesh(servers=servers, key="k" * 16, other_key="o" * 16))
            self.bad(self.mesh(servers=servers, key="k" * 15), "mesh.key must have at least 16")
            short = self.mesh(servers=servers, key="k" * 16, other_key="o")
            self.bad(short, "mesh.otherKey must have at least 16")
            self.bad(self.mesh(servers=servers, other_key="o" * 16), "there is no mesh.key")

    def test_mesh_without_servers(self) -> None:
        """
        NATS needs servers, and servers need NATS.
        """
        self.bad(self.mesh(), "needs mesh.servers")
        local = MeshSettings(servers=("nats://127.0.0.1",))
        self.bad(Settings(tcp=TcpSettings(), mesh=local), 'mesh.engine is "local"')

    def test_nothing_to_serve(self) -> None:
        """
        Settings that start no server are refused.
        """
        self.bad(Settings(), "no section starts a server", "TCP")

    def test_encryption_differs(self) -> None:
        """
        enableEncryption must be the same in all sections that have it.
        """
        off = {"enable_encryption": False}
        for settings in (
            Settings(tcp=TcpSettings(**off), http=HttpSettings()),
            Settings(tcp=TcpSettings(), udp=UdpSettings(**off)),
            Settings(ws=WsSettings(**off), http=HttpSettings()),
        ):
            self.bad(settings, "enableEncryption must be the same", "false in", "true in")

    def test_encryption_equal(self) -> None:
        """
        All sections may switch encryption off together.
        """
        self.good(
            Settings(
                tcp=TcpSettings(enable_encryption=False),
                http=HttpSettings(enable_encryption=False),
                connector=ConnectorSettings(),
            )
        )

    def test_half_of_tls(self) -> None:
        """
        A certificate needs its private key and the reverse.
        """
        self.bad(Settings(tcp=TcpSettings(tls_certificate="c")), "only TCP.tlsCertificate is set")
        self.bad(Settings(ws=WsSettings(tls_private_key="k")), "only WS.tlsPrivateKey is set")

    def test_workers(self) -> None:
        """
        There may be as many workers as CPU cores, not one more.
        """
        self.good(Settings(udp=UdpSettings(rcv_workers=2)))
        self.bad(Settings(udp=UdpSettings(rcv_workers=3)), "UDP.rcvWorkers", "2", "not 3")

    def test_node_type(self) -> None:
        """
        A type of one's own needs exactly one server behind it.
        """
        node = NodeSettings(type="DGS")
        for settings in (
            Settings(node=node, tcp=TcpSettings(), http=HttpSettings()),
            Settings(node=node, udp=UdpSettings()),
            Settings(node=node, connector=ConnectorSettings()),
        ):
            self.good(settings)
        self.bad(
            Settings(node=node, tcp=TcpSettings(), udp=UdpSettings()),
            'node.type "DGS"',
            "exactly one",
            "UDP, TCP",
        )
        self.bad(Settings(node=node, tcp=TcpSettings(), connector=ConnectorSettings()), "exactly")
        self.bad(Settings(node=node, http=HttpSettings()), "exactly one", "there is none")

    def test_node_type_of_a_transport(self) -> None:
        """
        The words that mean a transport are no type of one's own.
        """
        for word in ("UDP", "tcp", "Ws", "HTTP"):
            self.bad(Settings(node=NodeSettings(type=word), tcp=TcpSettings()), f'not "{word}"')

    def test_wildcard_without_public_host(self) -> None:
        """
        A transport on all interfaces needs to be told what clients connect to.
        """
        for address in ("0.0.0.0", "::"):
            for name, settings in (
                ("UDP", Settings(udp=UdpSettings(address=address))),
                ("TCP", Settings(tcp=TcpSettings(address=address))),
                ("WS", Settings(ws=WsSettings(address=address))),
            ):
                self.bad(settings, f'{name}.address "{address}"', "DIARKIS_CLOUD_ENV=<host>")

    def test_wildcard_with_public_host(self) -> None:
        """
        With a public host, or a cloud to ask for it, a wildcard is fine.
        """
        tcp = TcpSettings(address="0.0.0.0")
        self.good(Settings(tcp=tcp, public_host="game.example"))
        self.good(Settings(tcp=tcp, cloud="AWS"))
        node = NodeSettings(public_address_url="https://a.example/ip")
        self.good(Settings(tcp=tcp, node=node))
        check_settings(Settings(tcp=tcp), host_known=True)

    def test_anonymous(self) -> None:
        """
        The endpoint API is not open to other machines without a client key,
        unless the file says that it shall be.
        """
        for http in (
            HttpSettings(address="0.0.0.0"),
            HttpSettings(address="::"),
            HttpSettings(address="10.0.0.1"),
            HttpSettings(nic="eth0"),
        ):
            self.bad(
                Settings(http=http),
                "HTTP.nic" if http.nic else f'HTTP.address "{http.address}"',
                "DIARKIS_CLIENT_KEY",
                "allowAnonymous",
            )
            self.good(Settings(http=http, client_key="k"))
        self.good(Settings(http=HttpSettings(address="0.0.0.0", allow_anonymous=True)))

    def test_anonymous_on_loopback(self) -> None:
        """
        On loopback no client key is needed; an address wins over a nic.
        """
        for http in (
            HttpSettings(),
            HttpSettings(address="127.0.0.1", nic="eth0"),
            HttpSettings(address="::1"),
            HttpSettings(address="localhost"),
        ):
            self.good(Settings(http=http))

    def test_fixed_port_of_another(self) -> None:
        """
        HTTP with a fixed port that another section has before it cannot start.
        """
        fixed = HttpSettings(port=7000, use_fixed_port=True)
        everywhere = HttpSettings(
            port=7000, use_fixed_port=True, address="0.0.0.0", allow_anonymous=True
        )
        on_nic = HttpSettings(port=7000, use_fixed_port=True, nic="eth0", allow_anonymous=True)
        for name, settings in (
            ("TCP", Settings(http=fixed, tcp=TcpSettings(port=7000))),
            ("TCP", Settings(http=fixed, tcp=TcpSettings(port=7000, address="localhost"))),
            ("WS", Settings(http=fixed, ws=WsSettings(port=7000, address="127.0.0.1"))),
            (
                "WS",
                Settings(http=fixed, public_host="a", ws=WsSettings(port=7000, address="0.0.0.0")),
            ),
            ("CONNECTOR", Settings(http=everywhere, connector=ConnectorSettings(port=7000))),
            ("TCP", Settings(http=on_nic, tcp=TcpSettings(port=7000, nic="eth0"))),
        ):
            with self.subTest(name):
                self.bad(settings, f"{name}.port and HTTP.port are both 7000", "useFixedPort")

    def test_fixed_port_of_its_own(self) -> None:
        """
        What may start is let through: other ports and addresses, any port, ports of UDP,
        an interface whose address nobody knows yet, and a search for the next port.
        """
        fixed = HttpSettings(port=7000, use_fixed_port=True)
        for settings in (
            Settings(http=fixed, tcp=TcpSettings(), ws=WsSettings(), connector=ConnectorSettings()),
            Settings(http=fixed, udp=UdpSettings(port=7000)),
            Settings(http=fixed, tcp=TcpSettings(port=7000, address="127.0.0.2")),
            Settings(http=fixed, tcp=TcpSettings(port=7000, address="::1")),
            Settings(http=fixed, tcp=TcpSettings(port=7000, nic="eth0")),
            Settings(http=HttpSettings(port=7000), tcp=TcpSettings(port=7000)),
            Settings(http=HttpSettings(port=0, use_fixed_port=True), tcp=TcpSettings(port=0)),
            Settings(tcp=TcpSettings(port=7000), ws=WsSettings(port=7000)),
        ):
            self.good(settings)


class DebugCommandTests(ConfigCase):
    """
    Where exposed debug commands may be.
    """

    def test_loopback(self) -> None:
        """
        On loopback, which is the default, they may be exposed.
        """
        for tcp in (TcpSettings(), TcpSettings(address="127.0.0.1"), TcpSettings(address="::1")):
            check_debug_commands(Settings(tcp=tcp, udp=UdpSettings()))

    def test_elsewhere(self) -> None:
        """
        Where other machines could use them they may not, and the sentence says what to do.
        """
        for settings, place in (
            (Settings(tcp=TcpSettings(address="10.0.0.1")), "TCP.address"),
            (Settings(tcp=TcpSettings(), udp=UdpSettings(address="0.0.0.0")), "UDP.address"),
            (Settings(ws=WsSettings(nic="eth0")), "WS.nic"),
        ):
            self.refused(
                lambda settings=settings: check_debug_commands(settings),
                place,
                "expose_debug_commands()",
                "node.allowDebugCommands",
            )

    def test_allowed(self) -> None:
        """
        Unless C{allowDebugCommands} says so.
        """
        node = NodeSettings(allow_debug_commands=True)
        check_debug_commands(Settings(tcp=TcpSettings(address="10.0.0.1"), node=node))

    def test_http(self) -> None:
        """
        The HTTP server has no debug commands, so its address does not matter.
        """
        check_debug_commands(Settings(http=HttpSettings(address="10.0.0.1")))
