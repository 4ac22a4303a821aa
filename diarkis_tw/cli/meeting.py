"""
Rooms and direct messages as a person types and reads them, a line each::

    ======================  ========================================================
    typed                   does
    ======================  ========================================================
    room create [TYPE]      make a room; with a type others find it
    room join ID            join it
    room random TYPE        join any room of a type, or make one
    room find TYPE          list those with a free seat
    room say TEXT           tell all members
    room members            who is in it
    room set KEY VALUE      set a property; VALUE is JSON, or text; null removes it
    room get                all properties
    room leave              leave it
    dm UID TEXT             tell one user
    ======================  ========================================================

TEXT is a payload, as L{diarkis_tw.cli.message_text} has it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from diarkis_tw.cli.message_text import parse_payload, printable, show_payload, show_value
from diarkis_tw.client import Client, Joined, LocalProtocolError, Payload, Push, RemoteProtocolError
from diarkis_tw.schema import dm, room
from diarkis_tw.schema.command import as_shape

HELP: Final = """\
room random TYPE    join any room of a type, or make one: the quickest way to meet
room create [TYPE]  make a room; with a type others find it
room find TYPE      list rooms of a type with a free seat
room join ID        join one of them
room say TEXT       tell all members; TEXT is a PAYLOAD
room members        who is in the room
room set KEY VALUE  set a property of the room; VALUE is JSON or text, null removes it
room get            the room's properties
room leave          leave the room
dm UID TEXT         tell one user"""

WORDS: Final = ("create", "find", "get", "join", "leave", "members", "random", "say", "set")


async def carry_out(client: Client, text: str, speaks_json: bool) -> str | None:
    """
    Do what a line about rooms or direct messages says.

    @param client: connected.
    @param text: begins with C{room} or C{dm}.
    @param speaks_json: see L{parse_payload}.
    @return: what to show; L{None} if a push will show it.

    @raise DiarkisError: it cannot be done.
    """
    match text.split(maxsplit=2):
        case ["dm", uid, message]:
            body = parse_payload(message, speaks_json)
            await client.dm.send(uid, body)
            return f"to {printable(uid)}: {_show_body(body)}"
        case ["room", "create"]:
            return _show_joined(await client.room.create())
        case ["room", "create", type]:
            return _show_joined(await client.room.create(type=type))
        case ["room", "join", id]:
            return _show_joined(await client.room.join(id))
        case ["room", "random", type]:
            return _show_joined(await client.room.random_join(type))
        case ["room", "find", type]:
            rooms = await client.room.find(type)
            lines = [f"{each.room_id} ({each.members} of {each.max_members})" for each in rooms]
            return "\n".join(map(printable, lines)) or f"no room of type {printable(type)}"
        case ["room", "say", message]:
            await client.room.broadcast(parse_payload(message, speaks_json))
            return None
        case ["room", "members"]:
            uids = await client.room.member_ids()
            return f"{_count(len(uids))}: {_listed(uids)}"
        case ["room", "set", assignment] if len(assignment.split(maxsplit=1)) == 2:
            key, value = assignment.split(maxsplit=1)
            await client.room.update_properties({key: _parse_value(value)})
            return None
        case ["room", "get"]:
            return _show_properties(await client.room.get_properties()) or "no properties"
        case ["room", "leave"]:
            await client.room.leave()
            return "you have left the room"
        case ["dm", *_]:
            raise LocalProtocolError("dm needs a user's id and a text: dm bob hello")
        case ["room", word, *_] if word in WORDS:
            raise LocalProtocolError(f"room {word} is not typed like that. Type help for help")
    raise LocalProtocolError(f"after room there is one of: {', '.join(WORDS)}")


def _parse_value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# What comes

Show: TypeAlias = Callable[[Payload], str]


def show_news(push: Push) -> str | None:
    """
    Write a push of a room, or a direct message.

    @param push: as it came.
    @return: a line; L{None} if it is neither.
    """
    show = _NEWS.get(push.cmd) if push.ver == 1 else None
    if show is None:
        return None
    try:
        return show(push.payload)
    except RemoteProtocolError:
        return None


def _said(payload: Payload) -> str:
    said = as_shape(payload, room.Said)
    return f"{printable(said.sender)}: {_show_body(said.message)}"


def _joined(payload: Payload) -> str:
    news = as_shape(payload, room.MemberJoined)
    return _member("joined", news.uid, news.members, news.message)


def _left(payload: Payload) -> str:
    news = as_shape(payload, room.MemberLeft)
    return _member("left", news.uid, news.members, news.message)


def _member(did: str, uid: str, members: int, message: Payload) -> str:
    line = f"{printable(uid)} {did} the room ({_count(members)})"
    return f"{line}: {_show_body(message)}" if message else line


def _owner(payload: Payload) -> str:
    return f"the room is {printable(as_shape(payload, room.OwnerChanged).owner_id)}'s now"


def _properties(payload: Payload) -> str:
    return _show_properties(as_shape(payload, room.Properties).properties)


def _chat(payload: Payload) -> str:
    line = as_shape(payload, room.ChatLine)
    return f"{printable(line.sender)} (chat): {printable(line.text)}"


def _direct(payload: Payload) -> str:
    said = as_shape(payload, dm.DirectMessage)
    return f"{printable(said.sender) or 'the server'} (to you): {_show_body(said.message)}"


def _connected(payload: Payload) -> str:
    return f"{printable(as_shape(payload, dm.PeerNews).sender)} wants to hear when you leave"


def _disconnected(payload: Payload) -> str:
    return f"{printable(as_shape(payload, dm.PeerNews).sender)} has left, or hears no more of you"


_NEWS: Final[Mapping[int, Show]] = {
    room.RoomCommand.BROADCAST: _said,
    room.RoomCommand.MESSAGE: _said,
    room.RoomCommand.RELAY: _said,
    room.RoomCommand.RELAY_TO: _said,
    room.RoomCommand.JOIN: _joined,
    room.RoomCommand.LEAVE: _left,
    room.RoomCommand.OWNER_CHANGED: _owner,
    room.RoomCommand.PROPERTIES_CHANGED: _properties,
    room.RoomCommand.CHAT: _chat,
    dm.DmCommand.SEND: _direct,
    dm.DmCommand.CONNECT: _connected,
    dm.DmCommand.DISCONNECT: _disconnected,
}


def _show_joined(joined: Joined) -> str:
    line = f"you are in room {printable(joined.room_id)} with "
    others = joined.member_ids[:-1]
    line += _listed(others) if others else "nobody else yet"
    properties = _show_properties(joined.properties)
    return f"{line}\n{properties}" if properties else line


def _show_properties(properties: Mapping[str, object]) -> str:
    return "\n".join(
        f"{printable(key)} is gone" if value is None else f"{printable(key)} = {show_value(value)}"
        for key, value in properties.items()
    )


def _show_body(message: Payload) -> str:
    if isinstance(message, bytes):
        try:
            return printable(message.decode())
        except UnicodeDecodeError:
            pass
    return show_payload(message)


def _count(members: int) -> str:
    return f"{members} member" if members == 1 else f"{members} members"


def _listed(uids: list[str]) -> str:
    return ", ".join(map(printable, uids))
