"""
What each key takes: an C{Annotated} type that says everything about it, with
type, range and a description in C{msgspec.Meta}.

What a JSON type cannot say is in C{Meta.extra}:

    - C{form}: the form of the text, a name in L{FORMS<diarkis_tw.config.forms.FORMS>};
    - C{quoted}: the number may come in quotes;
    - C{secret}: the value is never shown, neither in an error nor in a repr.

They stand here rather than in the structs that use them because pydoctor takes
each string in an annotation for one that names a type.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta

CONNECTION_TTL_DEFAULT: Final = 10
CONNECTION_TTL_MIN: Final = 10
CONNECTION_TTL_MAX: Final = 65_535
"""ACCEPT carries it as a u16 of seconds."""

MAX_RCV_SIZE_DEFAULT: Final = 8000
MAX_RCV_SIZE_MIN: Final = 256
"""Room for each built-in command, one that names a uid of 128 bytes included."""
MAX_RCV_SIZE_MAX: Final = 1024 * 1024
"""Every client may make the server buffer one whole message of this size."""

# Several sections

EnableEncryption = Annotated[
    bool,
    Meta(description="Encrypt packets; must be the same in all sections."),
]
Address = Annotated[
    str,
    Meta(
        description="IP address to bind; wins over nic. With neither: 127.0.0.1.",
        extra={"form": "address"},
    ),
]
Nic = Annotated[
    str,
    Meta(description="Network interface whose IPv4 address to bind, such as eth0."),
]
Port = Annotated[
    int,
    Meta(
        ge=0,
        le=65_535,
        description="First port to try, upward up to 100 in all while in use; 0 = any free one.",
        extra={"quoted": True},
    ),
]
ConnectionTtl = Annotated[
    int,
    Meta(
        ge=CONNECTION_TTL_MIN,
        le=CONNECTION_TTL_MAX,
        description="Seconds without a sign of life after which a connection ends.",
    ),
]
MaxRcvSize = Annotated[
    int,
    Meta(
        ge=MAX_RCV_SIZE_MIN,
        le=MAX_RCV_SIZE_MAX,
        description="Largest payload accepted from a client, in bytes.",
    ),
]
NoDelay = Annotated[
    bool,
    Meta(description="Switch off Nagle's algorithm, which holds back small messages."),
]
TlsCertificate = Annotated[
    str,
    Meta(
        description="PEM file of the TLS certificate and its chain, relative to this file.",
        extra={"form": "path"},
    ),
]
TlsPrivateKey = Annotated[
    str,
    Meta(
        description="PEM file of the TLS private key, relative to this file.",
        extra={"form": "path"},
    ),
]

# UDP

EnableP2P = Annotated[
    bool, Meta(description="Tell clients their public address, for peer-to-peer.")
]
SendUdpInterval = Annotated[
    int,
    Meta(
        ge=0,
        le=1000,
        description="Milliseconds between flushes of outgoing packets; below 10 = at once.",
    ),
]
HandleRudpInterval = Annotated[
    int,
    Meta(
        ge=0,
        le=1000,
        description="Milliseconds between sweeps over the connections; below 10 counts as 10.",
    ),
]
RcvWorkers = Annotated[
    int, Meta(ge=1, description="Worker processes; at most one for each CPU core.")
]
RetryInterval = Annotated[
    int,
    Meta(
        ge=10,
        le=60_000,
        description="Milliseconds: the first retransmission and the longest back-off.",
    ),
]
MaxRetry = Annotated[
    int,
    Meta(
        ge=1,
        le=1000,
        description="Times retryInterval of silence after which a connection is given up.",
    ),
]
Redundancy = Annotated[
    bool, Meta(description="Send small reliable messages twice while packets get lost.")
]
ForwardSecrecy = Annotated[
    Literal["offered", "required"],
    Meta(description="required: refuse clients that do not offer forward secrecy."),
]
MaxMessageSize = Annotated[
    int,
    Meta(
        ge=MAX_RCV_SIZE_DEFAULT,
        le=512 * 1024,  # half of what a connection may have queued
        description="Largest reliable payload in bytes, put together from packets.",
    ),
]

# WS

AllowedOrigins = Annotated[
    tuple[str, ...],
    Meta(
        description="Origins whose web pages may connect; empty = any.",
        extra={"form": "origin"},
    ),
]

# HTTP

UseFixedPort = Annotated[bool, Meta(description="Take this port only, search no other one.")]
ResponseTimeout = Annotated[int, Meta(ge=1, le=3600, description="Seconds a response may take.")]
AllowOrigin = Annotated[
    str,
    Meta(
        description="Origin whose web pages may read answers, * = any, empty = none.",
        extra={"form": "origin or *"},
    ),
]
AllowAnonymous = Annotated[
    bool,
    Meta(description="Serve other machines also without DIARKIS_CLIENT_KEY being set."),
]

# CONNECTOR

HealthTtl = Annotated[
    int,
    Meta(
        ge=10,
        le=65_535,
        description="Seconds without a health report after which the server counts as gone.",
    ),
]
ConnectorToken = Annotated[
    str,
    Meta(
        description="What the external server must present; empty = nothing.",
        extra={"secret": True},
    ),
]

# node

NodeType = Annotated[
    str,
    Meta(
        description="Server type that clients ask for instead of UDP, TCP or WS.",
        extra={"form": "server type"},
    ),
]
ShutdownTimeout = Annotated[
    int,
    Meta(
        ge=0,
        le=86_400,
        description="Seconds a stopping node waits for its users to leave.",
    ),
]
ReconnectGrace = Annotated[
    int,
    Meta(ge=0, le=3600, description="Seconds a user whose connection broke stays; 0 = none."),
]
MaxCommandRate = Annotated[
    int,
    Meta(ge=0, le=1_000_000, description="Commands per second and user; 0 = no limit."),
]
PublicAddressUrl = Annotated[
    str,
    Meta(
        description="URL that answers with the public address of this machine as text.",
        extra={"form": "url"},
    ),
]
EndpointRefresh = Annotated[
    int,
    Meta(
        ge=0,
        le=86_400,
        description="Seconds between look-ups of the public address; 0 = at start only.",
    ),
]

# mesh

MeshServers = Annotated[
    tuple[str, ...],
    Meta(
        description="NATS servers, each nats://host:port; empty = a node on its own.",
        extra={"form": "nats"},
    ),
]
MeshName = Annotated[
    str,
    Meta(
        min_length=1,
        description="Nodes of the same name find each other; one per game and stage.",
        extra={"form": "mesh name"},
    ),
]
MeshKey = Annotated[
    str,
    Meta(
        description="Secret that all nodes share; needed unless all servers are on loopback.",
        extra={"secret": True},
    ),
]

# log

LogLevel = Annotated[
    Literal["debug", "info", "warn", "error", "critical"],
    Meta(description="Least important level that is still written."),
]
LogFormat = Annotated[
    Literal["text", "json"], Meta(description="text for people, json for log collectors.")
]

# app

AppModule = Annotated[
    str, Meta(description="Module with setup(server), or the dotted name of a callable.")
]
AppDir = Annotated[
    str,
    Meta(
        description="Folder where the module is looked for, relative to this file.",
        extra={"form": "path"},
    ),
]
