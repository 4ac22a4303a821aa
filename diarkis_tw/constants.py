"""
Numbers and names that both ends of the wire and every layer agree on.

Limits of one mechanism live beside that mechanism, with their reasons; here is
only what several layers speak of.
"""

from enum import Enum, IntEnum, StrEnum
from typing import Final

PROTOCOL_VERSION: Final = 1
"""The version byte of every HELLO; another one is refused with VERSION."""

BUILTIN_VERSIONS: Final = (0, 1)
"""Command versions of the built-in commands; applications own 2 and up."""

NO_PROTOCOL: Final = 0
"""What the endpoint API says in place of that of an external server, which has a
protocol of its own."""

CONNECTOR_TYPE: Final = "CONNECTOR"
"""Server type of an external server, unless its node has a type of its own."""

UID_MAX_BYTES: Final = 128
"""Longest user id, in bytes of UTF-8."""


class Status(IntEnum):
    """
    Outcome of a command. Go: C{server.Ok}, C{server.Bad}, C{server.Err}.
    """

    OK = 1
    BAD = 4
    """The client's fault; the payload is C{{code, message}}."""
    ERR = 5
    """The server's fault; the payload is C{{code, message}}."""


class ServerType(StrEnum):
    """
    Kinds of realtime server. Go: C{server.UDPType}, C{server.TCPType},
    C{server.WSType}.
    """

    UDP = "UDP"
    TCP = "TCP"
    WS = "WS"


class NodeState(Enum):
    """
    What a node accepts: see L{diarkis_tw.core.node}.
    """

    STARTING = "STARTING"
    ONLINE = "ONLINE"
    TAKEN = "TAKEN"
    OFFLINE = "OFFLINE"


NODE_STATE_BYTE: Final = {
    NodeState.ONLINE: 1,
    NodeState.OFFLINE: 2,
    NodeState.TAKEN: 3,
}
"""How a state is written in the keep-alive answer and the node state push."""


class CloseCode(IntEnum):
    """
    Why a connection ended, as its CLOSE or TERMINATE says.
    """

    NORMAL = 0
    UNKNOWN = 1
    """The server has no such session: ask for a new endpoint."""
    TIMEOUT = 2
    PROTOCOL = 3
    TOO_LARGE = 4
    OVERFLOW = 5
    REPLACED = 6
    """A newer connection of the same user took over."""
    KICKED = 7
    SERVER_OFFLINE = 8
    REKEY = 9
    """The packet numbers of these keys are used up: connect again."""
    ENCRYPTION = 10
    RATE = 11
    HANDSHAKE = 12
    MOVED = 13
    VERSION = 14
    TAKEN = 15
    FORWARD_SECRECY = 16
    INTERNAL = 255


class ErrorCode(IntEnum):
    """
    C{code} of the error payloads that the server itself answers with.
    """

    INVALID_PARAMETERS = 1001
    UNKNOWN_COMMAND = 1004
    REFUSED = 1005
    """Not on this server, or not now."""
    ANSWER_TOO_LARGE = 1006
    NEW_ROOM = 2000
    NOT_IN_ROOM = 2001
    JOIN_ROOM = 2002
    ROOM_PROPERTY = 2006
    RESERVE = 2007
    ROOM_NOT_FOUND = 2009
    ROOM = 2011
    DM = 5000
    INTERNAL = 9999


class Builtin(IntEnum):
    """
    Built-in commands of version 0.
    """

    FIN = 0
    KEEP_ALIVE = 1
    RECONNECT = 2
    PING = 3
    NODE_STATE = 6
    NOTIFICATION = 400
    DEBUG_ONLINE = 900
    DEBUG_TAKEN = 901
    DEBUG_OFFLINE = 902
    DEBUG_TERMINATE = 903
    DEBUG_ROOMS = 904
    DEBUG_USERS = 905
