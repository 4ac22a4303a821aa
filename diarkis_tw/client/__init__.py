"""
The Python client: for bots, tests and games in Python.
"""

from diarkis_tw.client.client import Client, ClientState
from diarkis_tw.client.connect import connect, connect_to
from diarkis_tw.client.dm import DirectMessageClient
from diarkis_tw.client.endpoint import (
    Endpoint,
    ExternalEndpoint,
    ask_endpoint,
    http_client,
    parse_endpoint,
)
from diarkis_tw.client.room import RoomClient
from diarkis_tw.constants import CloseCode, NodeState, ServerType, Status
from diarkis_tw.errors import (
    ConfigError,
    DiarkisError,
    Disconnected,
    EndpointError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    ResponseError,
)
from diarkis_tw.schema.room import (
    ChatLine,
    Joined,
    MemberCount,
    MemberJoined,
    MemberLeft,
    RoomSummary,
)
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.value import Payload, Value, value_of

__all__ = [
    "ChatLine",
    "Client",
    "ClientState",
    "CloseCode",
    "ConfigError",
    "DiarkisError",
    "DirectMessageClient",
    "Disconnected",
    "Endpoint",
    "EndpointError",
    "ExternalEndpoint",
    "Joined",
    "LocalProtocolError",
    "MemberCount",
    "MemberJoined",
    "MemberLeft",
    "NodeState",
    "Payload",
    "Push",
    "RemoteProtocolError",
    "RequestTimeout",
    "Response",
    "ResponseError",
    "RoomClient",
    "RoomSummary",
    "ServerType",
    "SessionKeys",
    "Status",
    "Value",
    "ask_endpoint",
    "connect",
    "connect_to",
    "http_client",
    "parse_endpoint",
    "value_of",
]
