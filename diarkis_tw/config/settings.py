"""
The settings of a node: one struct a section, with the Go doc's JSON keys as
C{name} of the fields, and L{Settings}, all of them together.

Milliseconds exist only as JSON keys; what is used elsewhere is in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from diarkis_tw.config.fields import (
    CONNECTION_TTL_DEFAULT,
    MAX_RCV_SIZE_DEFAULT,
    Address,
    ConnectionTtl,
    EnableEncryption,
    MaxRcvSize,
    Nic,
    NoDelay,
    Port,
    Section,
    TlsCertificate,
    TlsPrivateKey,
)
from diarkis_tw.units import Seconds, seconds

SWEEP_INTERVAL_MIN: Final = 10
"""Milliseconds; a smaller C{handleRUDPInterval} counts as this."""

UDP_BUFFERING_MIN: Final = 10
"""Milliseconds; a smaller C{sendUDPInterval} means no buffering."""


class UdpSettings(Section, frozen=True, kw_only=True):
    """
    Section C{UDP}: the UDP and reliable UDP server.
    """

    enable_p2p: Annotated[
        bool, Meta(description="Tell clients their public address, for peer-to-peer.")
    ] = msgspec.field(default=True, name="enableP2P")
    address: Address = ""
    nic: Nic = ""
    port: Port = 7000
    connection_ttl: ConnectionTtl = msgspec.field(
        default=CONNECTION_TTL_DEFAULT, name="connectionTTL"
    )
    send_udp_interval: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Milliseconds between flushes of outgoing packets; below 10 = at once.",
        ),
    ] = msgspec.field(default=0, name="sendUDPInterval")
    handle_rudp_interval: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Milliseconds between sweeps over the connections; below 10 counts as 10.",
        ),
    ] = msgspec.field(default=100, name="handleRUDPInterval")
    rcv_workers: Annotated[
        int, Meta(ge=1, description="Worker processes; at most one for each CPU core.")
    ] = msgspec.field(default=1, name="rcvWorkers")
    retry_interval: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="Milliseconds: the first retransmission and the longest back-off.",
        ),
    ] = msgspec.field(default=1000, name="retryInterval")
    max_retry: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Times retryInterval of silence after which a connection is given up.",
        ),
    ] = msgspec.field(default=10, name="maxRetry")
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    redundancy: Annotated[
        bool, Meta(description="Send small reliable messages twice while packets get lost.")
    ] = True
    forward_secrecy: Annotated[
        Literal["offered", "required"],
        Meta(description="required: refuse clients that do not offer forward secrecy."),
    ] = msgspec.field(default="offered", name="forwardSecrecy")
    max_message_size: Annotated[
        int,
        Meta(
            ge=MAX_RCV_SIZE_DEFAULT,
            le=512 * 1024,  # half of what a connection may have queued
            description="Largest reliable payload in bytes, put together from packets.",
        ),
    ] = msgspec.field(default=64 * 1024, name="maxMessageSize")

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

    connection_ttl: ConnectionTtl = msgspec.field(
        default=CONNECTION_TTL_DEFAULT, name="connectionTTL"
    )
    address: Address = ""
    nic: Nic = ""
    port: Port = 7300
    max_rcv_size: MaxRcvSize = msgspec.field(default=MAX_RCV_SIZE_DEFAULT, name="maxRcvSize")
    no_delay: NoDelay = msgspec.field(default=False, name="noDelay")
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose web pages may connect; empty = any.",
            extra={"form": "origin"},
        ),
    ] = msgspec.field(default=(), name="allowedOrigins")
    tls_certificate: TlsCertificate = msgspec.field(default="", name="tlsCertificate")
    tls_private_key: TlsPrivateKey = msgspec.field(default="", name="tlsPrivateKey")


class HttpSettings(Section, frozen=True, kw_only=True):
    """
    Section C{HTTP}: the endpoint API, where players get address and keys.
    """

    address: Address = ""
    nic: Nic = ""
    port: Port = 7000
    use_fixed_port: Annotated[
        bool, Meta(description="Take this port only, search no other one.")
    ] = msgspec.field(default=False, name="useFixedPort")
    timeout: Annotated[int, Meta(ge=1, le=3600, description="Seconds a response may take.")] = 5
    enable_encryption: EnableEncryption = msgspec.field(default=True, name="enableEncryption")
    allow_origin: Annotated[
        str,
        Meta(
            description="Origin whose web pages may read answers, * = any, empty = none.",
            extra={"form": "origin or *"},
        ),
    ] = msgspec.field(default="", name="allowOrigin")
    allow_anonymous: Annotated[
        bool,
        Meta(description="Serve other machines also without DIARKIS_CLIENT_KEY being set."),
    ] = msgspec.field(default=False, name="allowAnonymous")
    tls_certificate: TlsCertificate = msgspec.field(default="", name="tlsCertificate")
    tls_private_key: TlsPrivateKey = msgspec.field(default="", name="tlsPrivateKey")


class ConnectorSettings(Section, frozen=True, kw_only=True):
    """
    Section C{CONNECTOR}: the side door on 127.0.0.1 for an external dedicated
    server.
    """

    connection_ttl: Annotated[
        int,
        Meta(
            ge=10,
            le=65_535,
            description="Seconds without a health report after which the server counts as gone.",
        ),
    ] = msgspec.field(default=CONNECTION_TTL_DEFAULT, name="connectionTTL")
    port: Port = 9000
    token: Annotated[
        str,
        Meta(
            description="What the external server must present; empty = nothing.",
            extra={"secret": True},
        ),
    ] = ""


class NodeSettings(Section, frozen=True, kw_only=True):
    """
    Section C{node}: the process as a whole.
    """

    type: Annotated[
        str,
        Meta(
            description="Server type that clients ask for instead of UDP, TCP or WS.",
            extra={"form": "server type"},
        ),
    ] = ""
    shutdown_timeout: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds a stopping node waits for its users to leave.",
        ),
    ] = msgspec.field(default=10, name="shutdownTimeout")
    reconnect_grace: Annotated[
        int,
        Meta(ge=0, le=3600, description="Seconds a user whose connection broke stays; 0 = none."),
    ] = msgspec.field(default=10, name="reconnectGrace")
    max_command_rate: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Commands per second and user; 0 = no limit."),
    ] = msgspec.field(default=1000, name="maxCommandRate")
    public_address_url: Annotated[
        str,
        Meta(
            description="URL that answers with the public address of this machine as text.",
            extra={"form": "url"},
        ),
    ] = msgspec.field(default="", name="publicAddressUrl")
    endpoint_refresh: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds between look-ups of the public address; 0 = at start only.",
        ),
    ] = msgspec.field(default=0, name="endpointRefresh")


class MeshSettings(Section, frozen=True, kw_only=True):
    """
    Section C{mesh}: the nodes this one works together with, over NATS.
    """

    servers: Annotated[
        tuple[str, ...],
        Meta(
            description="NATS servers, each nats://host:port; empty = a node on its own.",
            extra={"form": "nats"},
        ),
    ] = ()
    name: Annotated[
        str,
        Meta(
            min_length=1,
            description="Nodes of the same name find each other; one per game and stage.",
            extra={"form": "mesh name"},
        ),
    ] = "diarkis"
    key: Annotated[
        str,
        Meta(
            description="Secret that all nodes share; needed unless all servers are on loopback.",
            extra={"secret": True},
        ),
    ] = ""


class LogSettings(Section, frozen=True, kw_only=True):
    """
    Section C{log}.
    """

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Meta(description="Least important level that is still written."),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Meta(description="text for people, json for log collectors.")
    ] = "text"


class AppSettings(Section, frozen=True, kw_only=True):
    """
    Section C{app}: the application that this node runs.
    """

    module: Annotated[
        str, Meta(description="Module with setup(server), or the dotted name of a callable.")
    ] = ""
    dir: Annotated[
        str,
        Meta(
            description="Folder where the module is looked for, relative to this file.",
            extra={"form": "path"},
        ),
    ] = "."


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
    client_key: str | None = field(default=None, repr=False)

    def transports(self) -> dict[str, TransportSettings]:
        """
        The sections that clients connect to, by name.
        """
        sections = {"UDP": self.udp, "TCP": self.tcp, "WS": self.ws}
        return {name: section for name, section in sections.items() if section is not None}
