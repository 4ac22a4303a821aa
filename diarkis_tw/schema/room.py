"""
Rooms: the commands of version 1 and the pushes with the same numbers::

    cmd  request -> answer                          push to members
    10   Increment -> Incremented                   (130)
    11   Nothing -> MemberIds
    13   Nothing -> MemberCount
    14                                              OwnerChanged
    18   Say -> Nothing        (relay)              Said, but to the sender
    23   SayTo -> Nothing      (relay to)           Said, but to the sender
    100  Create -> Joined
    101  Join -> Joined                             MemberJoined, to the others
    102  Leave -> Nothing                           MemberLeft
    103  Say -> Nothing        (broadcast)          Said
    104  SayTo -> Nothing      (message)            Said
    105  Create -> Joined      (random create)
    106  RandomJoin -> Joined  (random join)        MemberJoined (101)
    107  Properties -> Nothing (update)             (130)
    108  PropertyKeys -> Properties (get)
    109  Nothing -> Owner
    115  Register -> Nothing
    116  Find -> Found
    117  Reserve -> Nothing
    118  Reserve -> Nothing    (cancel)
    125  Chat -> Nothing                            ChatLine
    126  Nothing -> ChatLog
    130                                             Properties, those that changed

JSON and MessagePack names are in camelCase.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from diarkis_tw.schema.command import Body, Command, Nothing

MEMBERS_MIN: Final = 2
MEMBERS_MAX: Final = 1000

TTL_MIN: Final = 10
"""Seconds; how long an empty room stays, at least."""

TTL_MAX: Final = 3600
"""Seconds; the most that a client may ask for."""

INTERVAL_MIN: Final = 100
"""Milliseconds; a smaller merging interval counts as none."""

INTERVAL_MAX: Final = 10_000
"""Milliseconds."""

TYPE_MAX: Final = 64
"""Characters of a room's type."""

KEY_MAX: Final = 64
"""Characters of a property's name."""

FIND_MAX: Final = 100
"""Rooms in one answer to Find."""

CHAT_MAX: Final = 500
"""Characters of a chat message."""

UIDS_MAX: Final = 1000
"""User ids in one request."""

Uid = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Uids = Annotated[list[Uid], msgspec.Meta(max_length=UIDS_MAX)]
RoomId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
RoomType = Annotated[str, msgspec.Meta(max_length=TYPE_MAX)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_MAX)]
MaxMembers = Annotated[int, msgspec.Meta(ge=MEMBERS_MIN, le=MEMBERS_MAX)]
Ttl = Annotated[int, msgspec.Meta(ge=TTL_MIN, le=TTL_MAX)]
Interval = Annotated[int, msgspec.Meta(ge=0, le=INTERVAL_MAX)]
ChatText = Annotated[str, msgspec.Meta(min_length=1, max_length=CHAT_MAX)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=FIND_MAX)]


class RoomCommand(IntEnum):
    """
    Their numbers; those of the engine.
    """

    INCREMENT = 10
    MEMBER_IDS = 11
    MEMBER_COUNT = 13
    OWNER_CHANGED = 14
    RELAY = 18
    RELAY_TO = 23
    CREATE = 100
    JOIN = 101
    LEAVE = 102
    BROADCAST = 103
    MESSAGE = 104
    RANDOM_CREATE = 105
    RANDOM_JOIN = 106
    UPDATE_PROPERTIES = 107
    GET_PROPERTIES = 108
    OWNER = 109
    REGISTER = 115
    FIND = 116
    RESERVE = 117
    CANCEL_RESERVATION = 118
    CHAT = 125
    CHAT_LOG = 126
    PROPERTIES_CHANGED = 130


class _Shape(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    pass


class Create(_Shape, frozen=True):
    """
    Make a room and join it.

    @ivar allow_empty: the room outlives its last member by C{ttl} seconds.
    @ivar interval: milliseconds for which messages are gathered.
    @ivar type: what others find it by; empty = not to be found.
    """

    max_members: MaxMembers = 8
    allow_empty: bool = False
    ttl: Ttl = TTL_MIN
    interval: Interval = 0
    type: RoomType = ""
    properties: dict[Key, object] = {}


class Join(_Shape, frozen=True):
    """
    Join a room by its id.

    @ivar message: what the other members get with the news.
    """

    room_id: RoomId
    message: Body = b""


class RandomJoin(Create, frozen=True):
    """
    Join any room of C{type} with a free seat; if there is none, make one as
    L{Create} does.

    @ivar message: what the other members get with the news.
    """

    message: Body = b""


class Joined(_Shape, frozen=True):
    """
    A room, as somebody who has just come in sees it.

    @ivar created_at: Unix time in seconds.
    @ivar created: the room was made by this command.
    """

    room_id: str
    member_ids: list[str]
    owner_id: str
    max_members: int
    created_at: int
    properties: dict[str, object] = {}
    created: bool = False


class Leave(_Shape, frozen=True):
    """
    Leave the room.

    @ivar message: what the others get with the news.
    """

    message: Body = b""


class Say(_Shape, frozen=True):
    """
    A message to all members.
    """

    message: Body


class SayTo(_Shape, frozen=True):
    """
    A message to some members; who is not in the room gets nothing.
    """

    member_ids: Uids
    message: Body


class Said(msgspec.Struct, frozen=True):
    """
    Somebody said something.

    @ivar sender: the user id; C{from} on the wire.
    """

    sender: str = msgspec.field(name="from")
    message: Body


class MemberJoined(_Shape, frozen=True):
    """
    Somebody has come in.
    """

    uid: str
    members: int
    message: Body = b""


class MemberLeft(_Shape, frozen=True):
    """
    Somebody has left, or was lost.
    """

    uid: str
    members: int
    message: Body = b""


class OwnerChanged(_Shape, frozen=True):
    """
    The room belongs to somebody else.
    """

    owner_id: str


class Properties(_Shape, frozen=True):
    """
    Properties by name; None removes one.
    """

    properties: dict[Key, object]


class PropertyKeys(_Shape, frozen=True):
    """
    Which properties to get; none named = all.
    """

    keys: Annotated[list[Key], msgspec.Meta(max_length=UIDS_MAX)] = []


class Increment(_Shape, frozen=True):
    """
    Add to a whole number; a missing one counts as 0.
    """

    key: Key
    by: int = 1


class Incremented(_Shape, frozen=True):
    """
    The sum.
    """

    key: str
    value: int


class MemberIds(_Shape, frozen=True):
    """
    User ids in the order of joining.
    """

    member_ids: list[str]


class MemberCount(_Shape, frozen=True):
    """
    How many are in the room.
    """

    members: int
    max_members: int


class Owner(_Shape, frozen=True):
    """
    Whose room it is; empty = nobody's.
    """

    owner_id: str


class Register(_Shape, frozen=True):
    """
    Let others find this room; an empty type hides it.
    """

    type: RoomType


class Find(_Shape, frozen=True):
    """
    Ask for rooms of a type that have a free seat.
    """

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=TYPE_MAX)]
    limit: Limit = 20


class RoomSummary(_Shape, frozen=True):
    """
    A room, as somebody outside sees it.
    """

    room_id: str
    members: int
    max_members: int


class Found(_Shape, frozen=True):
    """
    Rooms, in no order that means anything.
    """

    rooms: list[RoomSummary]


class Reserve(_Shape, frozen=True):
    """
    Keep seats for these users, or no longer.
    """

    uids: Uids


class Chat(_Shape, frozen=True):
    """
    A line of text for everybody, kept in the room's log.
    """

    text: ChatText


class ChatLine(msgspec.Struct, frozen=True):
    """
    A line of the chat.

    @ivar sender: the user id; C{from} on the wire.
    @ivar time: Unix time in seconds.
    """

    sender: str = msgspec.field(name="from")
    text: str
    time: int


class ChatLog(_Shape, frozen=True):
    """
    The latest lines, oldest first.
    """

    lines: list[ChatLine]


INCREMENT: Final = Command(RoomCommand.INCREMENT, Increment, Incremented)
MEMBER_IDS: Final = Command(RoomCommand.MEMBER_IDS, Nothing, MemberIds)
MEMBER_COUNT: Final = Command(RoomCommand.MEMBER_COUNT, Nothing, MemberCount)
RELAY: Final = Command(RoomCommand.RELAY, Say, Nothing)
RELAY_TO: Final = Command(RoomCommand.RELAY_TO, SayTo, Nothing)
CREATE: Final = Command(RoomCommand.CREATE, Create, Joined)
JOIN: Final = Command(RoomCommand.JOIN, Join, Joined)
LEAVE: Final = Command(RoomCommand.LEAVE, Leave, Nothing)
BROADCAST: Final = Command(RoomCommand.BROADCAST, Say, Nothing)
MESSAGE: Final = Command(RoomCommand.MESSAGE, SayTo, Nothing)
RANDOM_CREATE: Final = Command(RoomCommand.RANDOM_CREATE, Create, Joined)
RANDOM_JOIN: Final = Command(RoomCommand.RANDOM_JOIN, RandomJoin, Joined)
UPDATE_PROPERTIES: Final = Command(RoomCommand.UPDATE_PROPERTIES, Properties, Nothing)
GET_PROPERTIES: Final = Command(RoomCommand.GET_PROPERTIES, PropertyKeys, Properties)
OWNER: Final = Command(RoomCommand.OWNER, Nothing, Owner)
REGISTER: Final = Command(RoomCommand.REGISTER, Register, Nothing)
FIND: Final = Command(RoomCommand.FIND, Find, Found)
RESERVE: Final = Command(RoomCommand.RESERVE, Reserve, Nothing)
CANCEL_RESERVATION: Final = Command(RoomCommand.CANCEL_RESERVATION, Reserve, Nothing)
CHAT: Final = Command(RoomCommand.CHAT, Chat, Nothing)
CHAT_LOG: Final = Command(RoomCommand.CHAT_LOG, Nothing, ChatLog)
