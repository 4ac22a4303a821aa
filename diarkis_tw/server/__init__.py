"""
The public face for applications: what a game imports.
"""

from diarkis_tw.constants import CloseCode, NodeState, ServerType, Status
from diarkis_tw.core.encoded import Body
from diarkis_tw.core.request import Request
from diarkis_tw.core.user import User, UserState
from diarkis_tw.errors import (
    CloudError,
    CommandError,
    ConfigError,
    DiarkisError,
    HttpError,
    LocalProtocolError,
    MeshError,
    NotificationError,
    RegistrationError,
    RemoteProtocolError,
    StartError,
    UserDataError,
)
from diarkis_tw.http.node_choice import NodeSelector
from diarkis_tw.http.request import HttpRequest
from diarkis_tw.http.response import Response
from diarkis_tw.mesh.interface import NodeInfo, PublicEndpoint
from diarkis_tw.modules.debug import Respond, UserDataDump
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_service import NotificationLoader
from diarkis_tw.modules.notify import NotificationHandler
from diarkis_tw.modules.room.room import Room
from diarkis_tw.server.server import Server
from diarkis_tw.wire.value import decode_value, encode_value

__all__ = [
    "Body",
    "CloseCode",
    "CloudError",
    "CommandError",
    "ConfigError",
    "DiarkisError",
    "HttpError",
    "HttpRequest",
    "LocalProtocolError",
    "MeshError",
    "NodeInfo",
    "NodeSelector",
    "NodeState",
    "Notification",
    "NotificationError",
    "NotificationHandler",
    "NotificationLoader",
    "PublicEndpoint",
    "RegistrationError",
    "RemoteProtocolError",
    "Request",
    "Respond",
    "Response",
    "Room",
    "Server",
    "ServerType",
    "StartError",
    "Status",
    "User",
    "UserDataDump",
    "UserDataError",
    "UserState",
    "decode_value",
    "encode_value",
]
