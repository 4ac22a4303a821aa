"""
The room commands of clients: see L{diarkis_tw.schema.room}.

Whatever needs a room means the one that the user is in. Reserving, cancelling and
registering is the owner's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.builtin import handle_builtin
from diarkis_tw.modules.room.room import VER, Room
from diarkis_tw.schema import room as schema
from diarkis_tw.schema.command import Nothing

if TYPE_CHECKING:
    from diarkis_tw.modules.room.rooms import Rooms


class RoomCommands:
    """
    Answers the clients.
    """

    def __init__(self, rooms: Rooms, registry: CommandRegistry) -> None:
        self._rooms = rooms
        handle = partial(handle_builtin, registry)
        handle(schema.CREATE, self._create)
        handle(schema.RANDOM_CREATE, self._create)
        handle(schema.JOIN, self._join)
        handle(schema.RANDOM_JOIN, self._random_join)
        handle(schema.LEAVE, self._leave)
        handle(schema.BROADCAST, self._broadcast)
        handle(schema.MESSAGE, self._message)
        handle(schema.RELAY, self._relay)
        handle(schema.RELAY_TO, self._relay_to)
        handle(schema.UPDATE_PROPERTIES, self._update_properties)
        handle(schema.GET_PROPERTIES, self._get_properties)
        handle(schema.INCREMENT, self._increment)
        handle(schema.MEMBER_IDS, self._member_ids)
        handle(schema.MEMBER_COUNT, self._member_count)
        handle(schema.OWNER, self._owner)
        handle(schema.REGISTER, self._register)
        handle(schema.FIND, self._find)
        handle(schema.RESERVE, self._reserve)
        handle(schema.CANCEL_RESERVATION, self._cancel_reservation)
        handle(schema.CHAT, self._chat)
        handle(schema.CHAT_LOG, self._chat_log)

    def _room(self, user: User) -> Room:
        room = self._rooms.of(user)
        if room is None:
            raise CommandError(ErrorCode.NOT_IN_ROOM, "you are in no room; join or create one")
        return room

    def _own_room(self, user: User) -> Room:
        room = self._room(user)
        if room.owner is not user:
            raise CommandError(ErrorCode.ROOM, "only the owner of the room may do that")
        return room

    # Coming and going

    def _create(self, request: schema.Create, user: User) -> schema.Joined:
        room = self._rooms.create(
            user,
            max_members=request.max_members,
            allow_empty=request.allow_empty,
            ttl=request.ttl,
            interval=request.interval,
            type=request.type,
            properties=request.properties,
        )
        return _joined(room, created=True)

    async def _join(self, request: schema.Join, user: User) -> schema.Joined:
        return _joined(await self._rooms.join(request.room_id, user, request.message))

    async def _random_join(self, request: schema.RandomJoin, user: User) -> schema.Joined:
        if not request.type:
            raise CommandError(ErrorCode.INVALID_PARAMETERS, "a random join needs a type")
        room = await self._rooms.join_random(request.type, user, request.message)
        return self._create(request, user) if room is None else _joined(room)

    def _leave(self, request: schema.Leave, user: User) -> None:
        self._room(user).leave(user, request.message)

    # Messages

    def _broadcast(self, request: schema.Say, user: User) -> None:
        self._room(user).send(_said(schema.RoomCommand.BROADCAST, request, user), _reliable(user))

    def _message(self, request: schema.SayTo, user: User) -> None:
        room = self._room(user)
        to = room.find_members(request.member_ids)
        room.send(_said(schema.RoomCommand.MESSAGE, request, user), _reliable(user), to)

    def _relay(self, request: schema.Say, user: User) -> None:
        room = self._room(user)
        said = _said(schema.RoomCommand.RELAY, request, user)
        room.push(said, _reliable(user), room.members, user)

    def _relay_to(self, request: schema.SayTo, user: User) -> None:
        room = self._room(user)
        to = room.find_members(request.member_ids)
        room.push(_said(schema.RoomCommand.RELAY_TO, request, user), _reliable(user), to, user)

    async def _chat(self, request: schema.Chat, user: User) -> Nothing:
        room = self._room(user)
        await self._rooms.allow_chat(room, user, request.text)
        if user in room:
            room.chat(user, request.text)
        return Nothing()

    def _chat_log(self, request: Nothing, user: User) -> schema.ChatLog:
        return schema.ChatLog(lines=self._room(user).chat_log())

    # Properties

    def _update_properties(self, request: schema.Properties, user: User) -> None:
        self._room(user).update(request.properties, user)

    def _get_properties(self, request: schema.PropertyKeys, user: User) -> schema.Properties:
        return schema.Properties(properties=self._room(user).properties.select(request.keys))

    def _increment(self, request: schema.Increment, user: User) -> schema.Incremented:
        total = self._room(user).increment(request.key, request.by, user)
        return schema.Incremented(key=request.key, value=total)

    # Who and what

    def _member_ids(self, request: Nothing, user: User) -> schema.MemberIds:
        return schema.MemberIds(member_ids=self._room(user).member_ids)

    def _member_count(self, request: Nothing, user: User) -> schema.MemberCount:
        room = self._room(user)
        return schema.MemberCount(members=len(room.members), max_members=room.max_members)

    def _owner(self, request: Nothing, user: User) -> schema.Owner:
        owner = self._room(user).owner
        return schema.Owner(owner_id="" if owner is None else owner.uid)

    def _register(self, request: schema.Register, user: User) -> None:
        self._rooms.register(self._own_room(user), request.type)

    def _find(self, request: schema.Find, user: User) -> schema.Found:
        rooms = self._rooms.find(request.type, request.limit)
        return schema.Found(
            rooms=[
                schema.RoomSummary(
                    room_id=room.id, members=len(room.members), max_members=room.max_members
                )
                for room in rooms
            ]
        )

    def _reserve(self, request: schema.Reserve, user: User) -> None:
        self._own_room(user).reserve(request.uids)

    def _cancel_reservation(self, request: schema.Reserve, user: User) -> None:
        self._own_room(user).cancel_reservation(request.uids)


def _said(cmd: schema.RoomCommand, request: schema.Say | schema.SayTo, user: User) -> Encoded:
    return Encoded(VER, cmd, {"from": user.uid, "message": request.message})


def _reliable(user: User) -> bool:
    request = user.request
    return request is None or request.reliable


def _joined(room: Room, created: bool = False) -> schema.Joined:
    return schema.Joined(
        room_id=room.id,
        member_ids=room.member_ids,
        owner_id="" if room.owner is None else room.owner.uid,
        max_members=room.max_members,
        created_at=room.created_at,
        properties=room.properties.select(),
        created=created,
    )
