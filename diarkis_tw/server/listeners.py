"""
What listens for a node: the servers that its settings ask for, put together.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.config.hosts import DEFAULT_ADDRESS
from diarkis_tw.config.settings import (
    ConnectorSettings,
    HttpSettings,
    Settings,
    TcpSettings,
    WsSettings,
)
from diarkis_tw.connector.external import SWEEP as EXTERNAL_SWEEP
from diarkis_tw.connector.external import ExternalServer
from diarkis_tw.connector.listener import connector_listener
from diarkis_tw.constants import CONNECTOR_TYPE
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.node import Node
from diarkis_tw.core.users import Users
from diarkis_tw.http.endpoint import EndpointResource
from diarkis_tw.http.health import HealthResource
from diarkis_tw.http.json_resource import Root
from diarkis_tw.http.node_choice import NodeChoice
from diarkis_tw.http.route_resource import RouteResource
from diarkis_tw.http.routes import HttpRoutes
from diarkis_tw.http.site import JsonSite
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.net.datagram_listener import DatagramListener
from diarkis_tw.net.stream_listener import StreamListener
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.server.endpoints import Endpoints
from diarkis_tw.server.lifecycle import Lifecycle
from diarkis_tw.transports.stream_server import StreamServer
from diarkis_tw.transports.tcp import TcpServer
from diarkis_tw.transports.udp import UdpServer
from diarkis_tw.transports.ws import WsServer
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import AeadCache

AEAD_OBJECTS: Final = 16_384
"""AES-GCM objects kept for connections that are busy: two each, 2.5 KB an object."""

AEAD_IDLE: Final[Seconds] = 1.0
"""After once to twice this time unused an object is dropped: it costs 5 KB a user
to keep both between two keep-alives, and 2 us to make them again."""


class Listeners:
    """
    Those of one node.

    @ivar by_section: by the settings' section: TCP, HTTP and so on.
    @ivar tls: certificates and keys by section, of those that have TLS.
    @ivar endpoints: where clients reach them.
    @ivar external: the external server of a connector.
    @ivar node_choice: where the endpoint API sends players.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        node: Node,
        users: Users,
        mesh: Mesh,
        random_bytes: Callable[[int], bytes],
        public_host: str | None,
    ) -> None:
        self.by_section: dict[str, StreamListener | DatagramListener] = {}
        self.tls: dict[str, ServerTls] = {}
        self.endpoints = Endpoints(public_host, self.by_section)
        self.external: ExternalServer | None = None
        self.node_choice = NodeChoice(mesh, reactor)
        self._reactor = reactor
        self._node = node
        self._users = users
        self._mesh = mesh
        self._random_bytes = random_bytes

    def add(self, settings: Settings, routes: HttpRoutes, lifecycle: Lifecycle) -> None:
        """
        Make them; C{lifecycle} binds them and looks after them.

        @raise ConfigError: a certificate or key cannot be used.
        """
        self._add_transports(settings, lifecycle)
        if (connector := settings.connector) is not None:
            self._add_connector(connector, settings.node.type or CONNECTOR_TYPE, lifecycle)
        if (http := settings.http) is not None:
            self._add_http(http, settings.client_key, routes)
        lifecycle.listeners += self.by_section.values()

    def external_host(self) -> str:
        """
        The host of the external server that players are told.
        """
        return self.endpoints.host or DEFAULT_ADDRESS

    def _add_transports(self, settings: Settings, lifecycle: Lifecycle) -> None:
        reactor, users, random_bytes = self._reactor, self._users, self._random_bytes
        admission = Admission(self._node, users, settings.encryption(), random_bytes)
        ciphers = AeadCache(AEAD_OBJECTS)
        lifecycle.every(AEAD_IDLE, ciphers.rotate)
        if (tcp := settings.tcp) is not None:
            self._add_streams("TCP", tcp, TcpServer(tcp, users, admission, ciphers, reactor))
        if (ws := settings.ws) is not None:
            self._add_streams("WS", ws, WsServer(ws, users, admission, ciphers, reactor))
        if (udp := settings.udp) is not None:
            datagrams = UdpServer(udp, users, admission, ciphers, reactor, random_bytes)
            self.by_section["UDP"] = DatagramListener(
                reactor, datagrams, "UDP", udp.address, udp.nic, udp.port
            )

    def _add_streams(
        self, name: str, section: TcpSettings | WsSettings, server: StreamServer
    ) -> None:
        self.by_section[name] = StreamListener(
            self._reactor,
            server,
            name,
            section.address,
            section.nic,
            section.port,
            tls=self._make_tls(name, section),
            when_closed=server.when_closed,
            abort=server.abort_all,
        )

    def _add_http(self, http: HttpSettings, client_key: str | None, routes: HttpRoutes) -> None:
        api = EndpointResource(self._mesh, self.node_choice, http, client_key, self._reactor)
        health = HealthResource(self._node, self._mesh, http.allow_origin)
        own = RouteResource(routes, self._node, http, self._reactor)
        site = JsonSite(Root({b"endpoint": api, b"healthcheck": health}, own), self._reactor)
        self.by_section["HTTP"] = StreamListener(
            self._reactor,
            site,
            "HTTP",
            http.address,
            http.nic,
            http.port,
            fixed=http.use_fixed_port,
            tls=self._make_tls("HTTP", http),
            when_closed=site.when_closed,
            abort=site.abort_all,
        )

    def _add_connector(
        self, settings: ConnectorSettings, server_type: str, lifecycle: Lifecycle
    ) -> None:
        external = self.external = ExternalServer(
            self._reactor, self._node, self._mesh, server_type, settings.connection_ttl
        )
        lifecycle.occupied.append(external)
        lifecycle.every(EXTERNAL_SWEEP, external.sweep)
        self.by_section["CONNECTOR"] = connector_listener(
            self._reactor,
            settings,
            external,
            self._node,
            self.external_host,
            lifecycle.terminate,
        )

    def _make_tls(
        self, name: str, section: TcpSettings | WsSettings | HttpSettings
    ) -> ServerTls | None:
        if not section.tls_certificate:
            return None
        tls = self.tls[name] = ServerTls(name, section.tls_certificate, section.tls_private_key)
        return tls
