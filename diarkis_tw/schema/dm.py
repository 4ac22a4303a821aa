"""
Direct messages: the commands of version 1 and the pushes with the same numbers::

    cmd  request -> answer       push to the other user
    700  Peer -> Nothing         PeerNews: it wants no more news, or has left
    701  Direct -> Nothing       DirectMessage
    702  Peer -> Nothing         PeerNews: it wants to hear when you leave

JSON and MessagePack names are in camelCase.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from diarkis_tw.schema.command import Body, Command, Nothing

Uid = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class DmCommand(IntEnum):
    """
    Their numbers; those of the engine.
    """

    DISCONNECT = 700
    SEND = 701
    CONNECT = 702


class Peer(msgspec.Struct, frozen=True):
    """
    Another user.
    """

    to: Uid


class Direct(msgspec.Struct, frozen=True):
    """
    A message for another user.
    """

    to: Uid
    message: Body


class DirectMessage(msgspec.Struct, frozen=True):
    """
    A message of another user.

    @ivar sender: the user id, empty for the server; C{from} on the wire.
    """

    sender: str = msgspec.field(name="from")
    message: Body


class PeerNews(msgspec.Struct, frozen=True):
    """
    What another user did.

    @ivar sender: the user id; C{from} on the wire.
    """

    sender: str = msgspec.field(name="from")


DISCONNECT: Final = Command(DmCommand.DISCONNECT, Peer, Nothing)
SEND: Final = Command(DmCommand.SEND, Direct, Nothing)
CONNECT: Final = Command(DmCommand.CONNECT, Peer, Nothing)
