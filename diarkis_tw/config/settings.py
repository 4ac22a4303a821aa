"""
The settings of a node: one struct a section, with the Go doc's JSON keys as
C{name} of the fields, and L{Settings}, all of them together.

Milliseconds exist only as JSON keys; what is used elsewhere is in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

import msgspec

from diarkis_tw.config.fields import (
    CONNECTION_TTL_DEFAULT,
    MAX_RCV_SIZE_DEFAULT,
    Address,
    AllowAnonymous,
    AllowDebugCommands,
    AllowedOrigins,
    AllowOrigin,
    AppDir,
    AppModule,
    ConnectionTtl,
    ConnectorToken,
    EnableEncryption,
    EnableP2P,
    EndpointRefresh,
    ForwardSecrecy,
    HandleRudpInterval,
    HealthTtl,
    LogFormat,
    LogLevel,
    MaxCommandRate,
    MaxMessageSize,
    MaxRcvSize,
    MaxRetry,
    MeshApp,
    MeshCredentials,
    MeshEngine,
    MeshKey,
    MeshOtherKey,
    MeshServers,
    MeshTlsCa,
    Nic,
    NoDelay,
    NodeType,
    Port,
    PublicAddressUrl,
    RcvWorkers,
    ReconnectGrace,
    Redundancy,
    ResponseTimeout,
    RetryInterval,
    SendUdpInterval,
    ShutdownTimeout,
    TlsCertificate,
    TlsPrivateKey,
    UseFixedPort,
)
from diarkis_tw.config.section import Section
from diarkis_tw.units import Seconds, seconds

SWEEP_INTERVAL_MIN: Final = 10
"""Milliseconds; a smaller C{handleRUDPInterval} counts as this."""

UDP_BUFFERING_MIN: Final = 10
"""Milliseconds; a smaller C{sendUDPInterval} means no buffering."""


class UdpSettings(Section, frozen=True, kw_only=True):
    """
    Section C{UDP}: the UDP and reliable UDP server.
    """

    about: ClassVar[str] = (
        "The UDP and reliable UDP server. It is the one for games where every millisecond counts."
    )

    enable_p2p: EnableP2P = msgspec.field(default=True, name="enableP2P")
    address: Address = ""
    nic: Nic = ""
    port: Port = 7000
    connection_ttl: ConnectionTtl = msgspec.field(
        default=CONNECTION_TTL_DEFAULT, name="connectionTTL"
    )
    send_udp_interval: SendUdpInterval = msgspec.field(default=0, name="sendUDPInterval")
    handle_rudp_interval: HandleRudpInterval = msgspec.field(default=100, name="handleRUDPInterval")
    rcv_workers: RcvWorkers = msgspec.field(default=1, name="rcvWorkers")
    retry_interval: RetryInterval = msgspec.field(default=1000, name="retryInterval")
    max_retry: MaxRetry = msgspec.field(default=10, name="maxRetry")
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    redundancy: Redundancy = True
    forward_secrecy: ForwardSecrecy = msgspec.field(default="offered", name="forwardSecrecy")
    max_message_size: MaxMessageSize = msgspec.field(default=64 * 1024, name="maxMessageSize")

    @property
    def sweep_interval(self) -> Seconds:
        """
        C{handleRUDPInterval} as it counts.
        """
        return seconds(max(self.handle_rudp_interval, SWEEP_INTERVAL_MIN))

    @property
    def flush_interval(self) -> Seconds:
        """
        C{sendUDPInterval} as it counts: 0 = send in the same reactor turn.
        """
        buffered = self.send_udp_interval >= UDP_BUFFERING_MIN
        return seconds(self.send_udp_interval) if buffered else 0.0


class TcpSettings(Section, frozen=True, kw_only=True):
    """
    Section C{TCP}.
    """

    about: ClassVar[str] = (
        "The TCP server. It is the one for turn-based games, and for networks that let "
        "no UDP through."
    )

    connection_ttl: ConnectionTtl = msgspec.field(
        default=CONNECTION_TTL_DEFAULT, name="connectionTTL"
    )
    address: Address = ""
    nic: Nic = ""
    port: Port = 7200
    max_rcv_size: MaxRcvSize = msgspec.field(default=MAX_RCV_SIZE_DEFAULT, name="maxRcvSize")
    no_delay: NoDelay = msgspec.field(default=False, name="noDelay")
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    tls_certificate: TlsCertificate = msgspec.field(default="", name="tlsCertificate")
    tls_private_key: TlsPrivateKey = msgspec.field(default="", name="tlsPrivateKey")


class WsSettings(Section, frozen=True, kw_only=True):
    """
    Section C{WS}: the WebSocket server.
    """

    about: ClassVar[str] = "The WebSocket server, for browsers and Node."

    connection_ttl: ConnectionTtl = msgspec.field(
        default=CONNECTION_TTL_DEFAULT, name="connectionTTL"
    )
    address: Address = ""
    nic: Nic = ""
    port: Port = 7300
    max_rcv_size: MaxRcvSize = msgspec.field(default=MAX_RCV_SIZE_DEFAULT, name="maxRcvSize")
    no_delay: NoDelay = msgspec.field(default=False, name="noDelay")
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    allowed_origins: AllowedOrigins = msgspec.field(default=(), name="allowedOrigins")
    tls_certificate: TlsCertificate = msgspec.field(default="", name="tlsCertificate")
    tls_private_key: TlsPrivateKey = msgspec.field(default="", name="tlsPrivateKey")


class HttpSettings(Section, frozen=True, kw_only=True):
    """
    Section C{HTTP}: the endpoint API, where players get address and keys, and
    the application's routes.
    """

    about: ClassVar[str] = (
        "The endpoint API, where players get the address of a server, a session and "
        "keys, and the application's own routes. On an address that other machines can "
        "reach it needs `DIARKIS_CLIENT_KEY`, or `allowAnonymous`."
    )

    address: Address = ""
    nic: Nic = ""
    port: Port = 7000
    use_fixed_port: UseFixedPort = msgspec.field(default=False, name="useFixedPort")
    timeout: ResponseTimeout = 5
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    allow_origin: AllowOrigin = msgspec.field(default="", name="allowOrigin")
    allow_anonymous: AllowAnonymous = msgspec.field(default=False, name="allowAnonymous")
    tls_certificate: TlsCertificate = msgspec.field(default="", name="tlsCertificate")
    tls_private_key: TlsPrivateKey = msgspec.field(default="", name="tlsPrivateKey")


class ConnectorSettings(Section, frozen=True, kw_only=True):
    """
    Section C{CONNECTOR}: the side door for an external dedicated server.
    """

    about: ClassVar[str] = (
        "The side door, on 127.0.0.1 only, for an external dedicated server, which players talk "
        "to directly. `docs/connector.md` has its API."
    )

    connection_ttl: HealthTtl = msgspec.field(default=CONNECTION_TTL_DEFAULT, name="connectionTTL")
    port: Port = 9000
    token: ConnectorToken = ""


class NodeSettings(Section, frozen=True, kw_only=True):
    """
    Section C{node}: the process as a whole.
    """

    about: ClassVar[str] = "The process as a whole."

    type: NodeType = ""
    shutdown_timeout: ShutdownTimeout = msgspec.field(default=10, name="shutdownTimeout")
    reconnect_grace: ReconnectGrace = msgspec.field(default=10, name="reconnectGrace")
    max_command_rate: MaxCommandRate = msgspec.field(default=1000, name="maxCommandRate")
    allow_debug_commands: AllowDebugCommands = msgspec.field(
        default=False, name="allowDebugCommands"
    )
    public_address_url: PublicAddressUrl = msgspec.field(default="", name="publicAddressUrl")
    endpoint_refresh: EndpointRefresh = msgspec.field(default=0, name="endpointRefresh")


class MeshSettings(Section, frozen=True, kw_only=True):
    """
    Section C{mesh}: the nodes this one works together with, over NATS.
    """

    about: ClassVar[str] = "The nodes that this one works together with, over NATS."

    engine: MeshEngine = "local"
    servers: MeshServers = ()
    app: MeshApp = "diarkis"
    key: MeshKey = ""
    other_key: MeshOtherKey = msgspec.field(default="", name="otherKey")
    credentials: MeshCredentials = ""
    tls_ca: MeshTlsCa = msgspec.field(default="", name="tlsCa")

    @property
    def keys(self) -> tuple[str, ...]:
        """
        The secrets that are accepted, the one that is used first.
        """
        return tuple(key for key in (self.key, self.other_key) if key)


class LogSettings(Section, frozen=True, kw_only=True):
    """
    Section C{log}.
    """

    about: ClassVar[str] = "What is written to the log, and how. Options of `twistd` win over it."

    level: LogLevel = "info"
    format: LogFormat = "text"


class AppSettings(Section, frozen=True, kw_only=True):
    """
    Section C{app}: the application that this node runs.
    """

    about: ClassVar[str] = "Your application: the commands that this node runs."

    module: AppModule = ""
    dir: AppDir = "."


SECTIONS: Final[Mapping[str, type[Section]]] = {
    "UDP": UdpSettings,
    "TCP": TcpSettings,
    "WS": WsSettings,
    "HTTP": HttpSettings,
    "CONNECTOR": ConnectorSettings,
    "node": NodeSettings,
    "mesh": MeshSettings,
    "log": LogSettings,
    "app": AppSettings,
}
"""The sections by their names in a file; the attribute is the name in lower case."""

SERVERS: Final = ("UDP", "TCP", "WS", "HTTP", "CONNECTOR")
"""The sections that start a server; the others have all defaults if left out."""

TransportSettings: TypeAlias = UdpSettings | TcpSettings | WsSettings
"""Sections whose address clients connect to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Everything a node is told before it starts. A server whose section is None
    does not exist.

    @ivar public_host: host name or IP address that clients connect to
        (C{DIARKIS_CLOUD_ENV}); None = the one that is bound.
    @ivar cloud: the cloud to ask for it instead, such as C{AWS}.
    @ivar metadata_base: where clouds are asked instead of at their own addresses,
        C{scheme://host:port} (C{DIARKIS_METADATA_BASE}); for tests and labs.
    @ivar client_key: what clients present to the endpoint API
        (C{DIARKIS_CLIENT_KEY}); None = nothing.
    """

    udp: UdpSettings | None = None
    tcp: TcpSettings | None = None
    ws: WsSettings | None = None
    http: HttpSettings | None = None
    connector: ConnectorSettings | None = None
    node: NodeSettings = field(default_factory=NodeSettings)
    mesh: MeshSettings = field(default_factory=MeshSettings)
    log: LogSettings = field(default_factory=LogSettings)
    app: AppSettings = field(default_factory=AppSettings)
    public_host: str | None = None
    cloud: str | None = None
    metadata_base: str | None = None
    client_key: str | None = field(default=None, repr=False)

    def transports(self) -> dict[str, TransportSettings]:
        """
        The sections that clients connect to, by name.
        """
        sections = {"UDP": self.udp, "TCP": self.tcp, "WS": self.ws}
        return {name: section for name, section in sections.items() if section is not None}

    def encryption(self) -> bool:
        """
        Whether clients must encrypt: not if a section says so.
        """
        return all(section.enable_encryption for section in self.transports().values())
