"""
What each key takes: an C{Annotated} type that says everything about it, with
type, range and a description in C{msgspec.Meta}. Errors, the JSON Schema and
docs/configuration.md are made from it.

What a JSON type cannot say is in C{Meta.extra}:

    - C{form}: the form of the text, a name in L{FORMS<diarkis_tw.config.forms.FORMS>};
    - C{quoted}: the number may come in quotes, its digits matching this pattern;
    - C{secret}: the value is never shown, neither in an error nor in a repr;
    - C{unit}: what a number counts;
    - C{change}: when to change the value, for the documentation;
    - C{go}: how this differs from the Go doc, for the documentation;
    - C{reload}: SIGHUP applies a new value without a restart;
    - C{needs}: the feature that another value than the default asks for, a name in
      L{BUILT<diarkis_tw.config.checks.BUILT>}.

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

PATH_MAX_LENGTH: Final = 1000
"""Characters of the path of a flat file; it is repeated in errors."""

PORT_DIGITS: Final = (
    "[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"  # 0 to 65535
)

# Several sections

EnableEncryption = Annotated[
    bool,
    Meta(
        description="Encrypt what travels between client and server; the same in all sections.",
        extra={
            "change": "Switch it off only to look at packets while debugging. Messages then stay "
            "authenticated, but whoever is on the way can read them.",
            "go": "Must be equal in all sections, not only in those of one server and HTTP.",
        },
    ),
]
Address = Annotated[
    str,
    Meta(
        description="Address to bind. It wins over `nic`; with neither it is `127.0.0.1`, which "
        "only this machine can reach.",
        extra={
            "form": "address",
            "change": "Set it to let other machines in: to an address of this machine, or to "
            "`0.0.0.0` for all of them.",
            "go": "If `address` and `nic` are both set, as in the sample of the Go doc, `address` "
            "wins and `nic` is not looked up.",
        },
    ),
]
Nic = Annotated[
    str,
    Meta(
        description="Network interface whose first IPv4 address to bind, such as `eth0`; its "
        "first IPv6 address if it has no other. Linux only.",
        extra={
            "change": "Set it instead of `address` where several machines share one file.",
            "go": "Not set by default, instead of `eth0`.",
        },
    ),
]
Port = Annotated[
    int,
    Meta(
        ge=0,
        le=65_535,
        description="Port to bind. While it is in use the next one up is tried, 100 in all; "
        "0 takes any free one.",
        extra={
            "quoted": PORT_DIGITS,
            "change": "Change it where another program owns the port, or a firewall lets others "
            "through.",
            "go": "A number is taken as well as a string. The search upward ends after 100 ports.",
        },
    ),
]
ConnectionTtl = Annotated[
    int,
    Meta(
        ge=CONNECTION_TTL_MIN,
        le=CONNECTION_TTL_MAX,
        description="How long a client may give no sign of life before its connection ends.",
        extra={
            "unit": "seconds",
            "change": "Raise it to forgive longer gaps in a player's network; a player who is "
            "really gone then stays in the game for as long.",
            "go": "The minimum of 10 holds in every section.",
        },
    ),
]
MaxRcvSize = Annotated[
    int,
    Meta(
        ge=MAX_RCV_SIZE_MIN,
        le=MAX_RCV_SIZE_MAX,
        description="Largest payload of one command from a client. A longer one closes its "
        "connection.",
        extra={
            "unit": "bytes",
            "change": "Raise it if your game sends longer ones. Each connection may make the "
            "server buffer this much.",
            "go": "Counts the payload alone, without header and encryption.",
        },
    ),
]
NoDelay = Annotated[
    bool,
    Meta(
        description="Send small messages at once instead of collecting them (Nagle's algorithm).",
        extra={
            "change": "Set it to true for a game, as the shipped files do: collecting costs tens "
            "of milliseconds.",
            "go": "The default is kept, but the shipped files and the embedded default set true.",
        },
    ),
]
TlsCertificate = Annotated[
    str,
    Meta(
        description="PEM file with the TLS certificate and its chain, relative to this file. "
        "With `tlsPrivateKey` it switches TLS on.",
        extra={
            "form": "path",
            "reload": True,
            "needs": "TLS",
            "change": "Set both on a public network, or where browsers demand it.",
        },
    ),
]
TlsPrivateKey = Annotated[
    str,
    Meta(
        description="PEM file with the private key of `tlsCertificate`, relative to this file.",
        extra={"form": "path", "reload": True, "needs": "TLS"},
    ),
]

# UDP

EnableP2P = Annotated[
    bool,
    Meta(
        description="Tell clients the public address that the server sees them at, which "
        "peer-to-peer connections need.",
        extra={"change": "Set it to false if your players' clients never talk to each other."},
    ),
]
SendUdpInterval = Annotated[
    int,
    Meta(
        ge=0,
        le=1000,
        description="How long outgoing messages are collected into packets; below 10 not at all.",
        extra={
            "unit": "milliseconds",
            "change": "Raise it to between 10 and 50 for fewer packets and less CPU load, at the "
            "price of that much latency.",
            "go": "Below 10 what one turn of the event loop produces still shares packets.",
        },
    ),
]
HandleRudpInterval = Annotated[
    int,
    Meta(
        ge=0,
        le=1000,
        description="Period of the sweep for what may be late, such as abandoned handshakes; "
        "below 10 counts as 10.",
        extra={
            "unit": "milliseconds",
            "change": "Leave it: retransmissions have a timer of their own.",
            "go": "The period of the sweep only. What is due sooner has a timer of its own.",
        },
    ),
]
RcvWorkers = Annotated[
    int,
    Meta(
        ge=1,
        description="Worker processes, each on a port of its own; at most one for each CPU core.",
        extra={
            "needs": "worker processes",
            "change": "Raise it when one core is too slow for your players.",
            "go": "1 by default, as the Go doc says in one place; in another it says one for each "
            "core. More than there are cores is an error.",
        },
    ),
]
RetryInterval = Annotated[
    int,
    Meta(
        ge=10,
        le=60_000,
        description="First wait before a retransmission, while nothing is known about a client's "
        "network, and longest wait between two.",
        extra={
            "unit": "milliseconds",
            "change": "Lower it to repair the first losses of a connection sooner.",
            "go": "Not a fixed interval: the wait adapts to the round-trip time of each client, "
            "and this is where it starts and ends.",
        },
    ),
]
MaxRetry = Annotated[
    int,
    Meta(
        ge=1,
        le=1000,
        description="`maxRetry` times `retryInterval` without an acknowledgement of what was sent "
        "ends a connection.",
        extra={
            "change": "Raise it for networks that go silent for longer than 10 s, the product of "
            "the defaults.",
            "go": "A time, not a count of attempts: ten attempts can fail within a second on a "
            "lossy network that still works.",
        },
    ),
]
Redundancy = Annotated[
    bool,
    Meta(
        description="Send small reliable messages twice while packets get lost, so that fewer "
        "have to wait for a retransmission.",
        extra={"change": "Set it to false where bandwidth is scarce."},
    ),
]
ForwardSecrecy = Annotated[
    Literal["offered", "required"],
    Meta(
        description="Fresh keys for each connection, useless to whoever learns a player's key "
        "later. `required` refuses clients that cannot do it.",
        extra={
            "change": "Set it to `required` if all your clients can, as the Python client does."
        },
    ),
]
MaxMessageSize = Annotated[
    int,
    Meta(
        ge=MAX_RCV_SIZE_DEFAULT,
        le=512 * 1024,  # half of what a connection may have queued
        description="Largest payload of one reliable message from a client, put together from "
        "many packets.",
        extra={
            "unit": "bytes",
            "change": "Raise it if your game sends longer ones. Each connection may make the "
            "server buffer this much.",
        },
    ),
]

# WS

AllowedOrigins = Annotated[
    tuple[str, ...],
    Meta(
        description="Origins of the web pages that may connect; empty = any.",
        extra={
            "form": "origin",
            "change": "List your own site, so that no other page uses your players' browsers.",
        },
    ),
]

# HTTP

UseFixedPort = Annotated[
    bool,
    Meta(
        description="Bind `port` or refuse to start, instead of trying the next ones.",
        extra={"change": "Set it to true where something else expects this very port."},
    ),
]
ResponseTimeout = Annotated[
    int,
    Meta(
        ge=1,
        le=3600,
        description="How long a route of the application may take to answer, and how long the "
        "endpoint API waits for nodes to take a player: there never above 1.8 seconds in all.",
        extra={"unit": "seconds"},
    ),
]
AllowOrigin = Annotated[
    str,
    Meta(
        description="Origin of the web pages that may read answers (CORS); `*` = any, empty = "
        "none.",
        extra={
            "form": "origin or *",
            "change": "Set it if a game in the browser asks the endpoint API itself.",
        },
    ),
]
AllowAnonymous = Annotated[
    bool,
    Meta(
        description="Serve other machines although `DIARKIS_CLIENT_KEY` is not set.",
        extra={
            "change": "Set it to true only if something in front of it, such as your back end, "
            "decides who may play.",
        },
    ),
]

# CONNECTOR

HealthTtl = Annotated[
    int,
    Meta(
        ge=10,
        le=65_535,
        description="How long the external server may report no health before it counts as gone "
        "and the node is OFFLINE.",
        extra={
            "unit": "seconds",
            "change": "Raise it where the server stands still now and then, as while it loads.",
        },
    ),
]
ConnectorToken = Annotated[
    str,
    Meta(
        description="What the external server must present, as `Authorization: Bearer <token>`; "
        "empty = nothing.",
        extra={
            "form": "token",
            "secret": True,
            "change": "Set it on a machine that others use as well.",
        },
    ),
]

# node

NodeType = Annotated[
    str,
    Meta(
        description="Server type that clients ask for instead of UDP, TCP, WS or CONNECTOR. "
        "`DIARKIS_NODE_TYPE` wins over it.",
        extra={
            "form": "server type",
            "change": "Set it where nodes differ in purpose, such as `Lobby` and `Match`.",
        },
    ),
]
ShutdownTimeout = Annotated[
    int,
    Meta(
        ge=0,
        le=86_400,
        description="How long a node that shall stop waits for its users to leave. "
        "`DIARKIS_SHUTDOWN_TIMEOUT` wins over it.",
        extra={
            "unit": "seconds",
            "change": "Raise it to the length of a match, so that an update ends none. Whatever "
            "supervises the process must wait longer.",
        },
    ),
]
ReconnectGrace = Annotated[
    int,
    Meta(
        ge=0,
        le=3600,
        description="How long a user whose connection broke keeps everything and can come back; "
        "0 = not at all.",
        extra={
            "unit": "seconds",
            "change": "Raise it for players on the move; lower it where a missing player holds "
            "up the others.",
        },
    ),
]
MaxCommandRate = Annotated[
    int,
    Meta(
        ge=0,
        le=1_000_000,
        description="How many commands a user may send in a second, 256 of them at once; "
        "0 = no limit. What exceeds it waits or, if unreliable, is dropped.",
        extra={
            "unit": "commands",
            "reload": True,
            "change": "Lower it to a few times what your client really sends.",
        },
    ),
]
PublicAddressUrl = Annotated[
    str,
    Meta(
        description="URL that answers with the public address of this machine as text. The node "
        "asks it at start and announces the answer, unless `DIARKIS_CLOUD_ENV` is set.",
        extra={
            "form": "url",
            "needs": "public address look-up",
            "change": "Set it where no cloud can be asked. The answer is the address of outgoing "
            "connections: make sure that incoming ones reach this machine by it.",
        },
    ),
]
EndpointRefresh = Annotated[
    int,
    Meta(
        ge=0,
        le=86_400,
        description="Period of looking up the public address again; 0 = at start only. A look-up "
        "that fails then is logged, and the address stays.",
        extra={
            "unit": "seconds",
            "needs": "public address look-up",
            "change": "Set it where addresses change while a machine runs, such as elastic IPs.",
        },
    ),
]
AllowDebugCommands = Annotated[
    bool,
    Meta(description="Allow exposed debug commands also where other machines can use them."),
]

# mesh

MeshEngine = Annotated[
    Literal["local", "nats"],
    Meta(
        description="`local` = this node is on its own; `nats` = it finds others over NATS, which "
        "needs `pip install diarkis-tw[mesh]`.",
    ),
]
MeshServers = Annotated[
    tuple[str, ...],
    Meta(
        description="NATS servers, each `nats://host:port`, or `tls://` for TLS; one that is there "
        "suffices.",
        # A URL may have the password of a NATS user in it.
        extra={"form": "nats", "secret": True},
    ),
]
MeshApp = Annotated[
    str,
    Meta(
        min_length=1,
        description="Nodes of the same word find each other; one per game and stage.",
        extra={"form": "mesh name"},
    ),
]
MeshKey = Annotated[
    str,
    Meta(
        description="Secret that all nodes share, 16 characters at least; needed unless all "
        "servers are on loopback.",
        extra={"secret": True},
    ),
]
MeshOtherKey = Annotated[
    str,
    Meta(
        description="A second secret that is accepted, and not used.",
        extra={
            "secret": True,
            "change": "Set it while you change `key`: first the new one here on all nodes, then "
            "exchange the two on all nodes, then remove the old one.",
        },
    ),
]
MeshCredentials = Annotated[
    str,
    Meta(
        description="File of the NATS user, `.creds`; empty = none, or as in the URL.",
        extra={"form": "path"},
    ),
]
MeshTlsCa = Annotated[
    str,
    Meta(
        description="PEM file of the authority that signed the servers' certificates; empty = the "
        "system's authorities.",
        extra={"form": "path"},
    ),
]

# log

LogLevel = Annotated[
    Literal["debug", "info", "warn", "error", "critical"],
    Meta(
        description="Least important level that is still written.",
        extra={"reload": True, "change": "Set it to `debug` while you look for a fault."},
    ),
]
LogFormat = Annotated[
    Literal["text", "json"],
    Meta(
        description="`text` for people, `json` (an object each line) for log collectors.",
    ),
]

# app

AppModule = Annotated[
    str,
    Meta(
        description="Your game: a module with `setup(server)`, or the dotted name of a callable. "
        "`--app` wins over it.",
        extra={"change": "Set it, so that the file says all that is to be started."},
    ),
]
AppDir = Annotated[
    str,
    Meta(
        description="Folder where the module is looked for, relative to this file; left out, it "
        "is the working directory. `--app-dir` wins over it.",
        extra={"form": "path"},
    ),
]
