"""
The rooms of this node.

Rules:

  - The id of a room carries the address of its node: others know where it lives.
  - OFFLINE refuses new rooms; joining goes on. Before the node is ONLINE there are
    no users, but the application may make rooms for them.
  - Whoever leaves the node leaves its room; the others are told.
  - A join condition may be asynchronous. The seat is held meanwhile, for
    C{CONDITION_PATIENCE} at most; then the join is refused. A random join has that
    time for all the rooms that it tries.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from diarkis_tw.constants import ErrorCode, NodeState
from diarkis_tw.core.background import FAULTS
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.node import Node
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.user import User, UserState
from diarkis_tw.core.users import Users
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.room.commands import RoomCommands
from diarkis_tw.modules.room.hooks import RoomHooks
from diarkis_tw.modules.room.room import VER, Room
from diarkis_tw.schema.command import as_value
from diarkis_tw.schema.room import (
    INTERVAL_MAX,
    MEMBERS_MAX,
    MEMBERS_MIN,
    TTL_MIN,
    TYPE_MAX,
    MemberLeft,
    RoomCommand,
)
from diarkis_tw.units import Seconds

ROOMS_MAX: Final = 20_000
"""Rooms of one node; an empty one takes 2 KB, one full of properties 50 KB."""

ROOMS_PER_CREATOR: Final = 16
"""Living rooms that one user id has made: empty ones would else be a way to
fill the memory."""

CONDITION_PATIENCE: Final[Seconds] = 5.0
"""How long an asynchronous condition may take: half of the least connectionTTL,
because the user who waits is not heard."""

SWEEP: Final[Seconds] = 1.0
"""How late an empty room may be discarded."""

TICK: Final = 5
"""Sweeps from one tick of a room to the next."""

CANDIDATES: Final = 16
"""Rooms that a random join tries: some may refuse."""


class Rooms(RoomHooks):
    """
    All rooms of a node. Go: package C{room}.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        users: Users,
        node: Node,
        node_address: Callable[[], str],
        registry: CommandRegistry,
        random_bytes: Callable[[int], bytes],
        choose: Callable[[list[Room]], Room] = random.choice,
        time_of_day: Callable[[], Seconds] = time.time,
    ) -> None:
        """
        @param clock: drives everything here; it need not know the time of day.
        @param node_address: of this node; asked when a room is made.
        @param random_bytes: where ids come from.
        @param choose: picks a room for a random join.
        @param time_of_day: Unix time, for people to read.
        """
        super().__init__(clock)
        self.clock = clock
        self._users = users
        self._node = node
        self._node_address = node_address
        self._registry = registry
        self._random_bytes = random_bytes
        self._choose = choose
        self._time_of_day = time_of_day
        self._rooms: dict[str, Room] = {}
        self._room_of: dict[User, Room] = {}
        self._open: dict[str, dict[Room, None]] = {}
        self._by_creator: dict[str, int] = {}
        self._empty: dict[Room, None] = {}
        self._sweeps = 0
        users.on_disconnect(lambda sid, user: self.leave(user))

    def expose_commands(self) -> None:
        """
        Let clients use rooms. Go: C{room.ExposeCommands}.

        @raise RegistrationError: the server has started.
        """
        RoomCommands(self, self._registry)

    # Finding

    def __iter__(self) -> Iterator[Room]:
        yield from list(self._rooms.values())

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, room_id: str) -> Room | None:
        """
        The room with that id. Go: C{room.Exists}.
        """
        return self._rooms.get(room_id)

    def of(self, user: User) -> Room | None:
        """
        The room that a user is in. Go: C{room.GetRoomID}.
        """
        return self._room_of.get(user)

    def find(self, type: str, limit: int = 20) -> list[Room]:
        """
        Rooms of a type that have a free seat. Go: C{roomsupport.FindRoomsByType}.

        @param limit: how many at most.
        """
        return list(islice(self._open.get(type, ()), limit))

    # Making and ending

    def create(
        self,
        owner: User | None = None,
        *,
        max_members: int = 8,
        allow_empty: bool = False,
        ttl: int = TTL_MIN,
        interval: int = 0,
        type: str = "",
        properties: Mapping[str, object] | None = None,
    ) -> Room:
        """
        Make a room. Go: C{room.NewRoom}.

        @param owner: whose it is and who is in it at once; None = nobody's, which
            needs C{allow_empty}.
        @param max_members: 2..1000.
        @param allow_empty: it outlives its last member by C{ttl}.
        @param ttl: seconds, 10 or more.
        @param interval: milliseconds for which messages are gathered, below 100 =
            not at all, at most 10,000.
        @param type: what others find it by, 64 characters at most; empty = not to
            be found.
        @param properties: to begin with.
        @raise CommandError: the node is OFFLINE, the user is in a room already, a
            number is out of range, or there are too many rooms.
        """
        _check("max_members", max_members, MEMBERS_MIN, MEMBERS_MAX)
        _check("ttl", ttl, TTL_MIN, 2**31)
        _check("interval", interval, 0, INTERVAL_MAX)
        if self._node.state is NodeState.OFFLINE:
            raise _new("the server takes no new rooms: it is going away")
        creator = "" if owner is None else owner.uid
        if owner is None and not allow_empty:
            raise _new("a room that begins empty needs allow_empty, or it would be gone at once")
        if owner is not None:
            self._check_free(owner, ErrorCode.NEW_ROOM)
        if len(self._rooms) >= ROOMS_MAX:
            raise _new(f"the server has {ROOMS_MAX} rooms and takes no more")
        if creator and self._by_creator.get(creator, 0) >= ROOMS_PER_CREATOR:
            raise _new(f"you have made {ROOMS_PER_CREATOR} rooms that still exist")
        room = Room(
            self,
            f"{self._random_bytes(12).hex()}@{self._node_address()}",
            creator=creator,
            max_members=max_members,
            allow_empty=allow_empty,
            ttl=ttl,
            interval=interval,
            created_at=self.unix_time(),
            now=self.clock.seconds(),
        )
        if properties:
            room.properties.update(properties)
        self.register(room, type)
        self._rooms[room.id] = room
        if creator:
            self._by_creator[creator] = self._by_creator.get(creator, 0) + 1
        if owner is None:
            self._empty[room] = None
        else:
            self._enter(room, owner, b"")
        return room

    def register(self, room: Room, type: str) -> None:
        """
        Let others find a room by a type. Go: C{roomsupport.RegisterRoomByType}.

        @param type: 64 characters at most; empty = not to be found.
        """
        if len(type) > TYPE_MAX:
            raise CommandError(
                ErrorCode.INVALID_PARAMETERS,
                f"the type of a room has at most {TYPE_MAX} characters",
            )
        self._hide(room)
        room.type = type
        self.seats_changed(room)

    def discard(self, room: Room) -> None:
        """
        End a room. Members stay on the node; each is told by the push
        L{MemberLeft<diarkis_tw.schema.room.MemberLeft>} with its own uid.
        """
        if not room.alive:
            return
        del self._rooms[room.id]
        self._empty.pop(room, None)
        self._hide(room)
        if room.creator:
            count = self._by_creator.pop(room.creator) - 1
            if count:
                self._by_creator[room.creator] = count
        members = room.close()
        # All are out of it before the application hears of the first.
        for user in members:
            del self._room_of[user]
            news = MemberLeft(uid=user.uid, members=0)
            user.send(Encoded(VER, RoomCommand.LEAVE, as_value(news)), True)
        for user in members:
            self._callbacks.tell("on_leave", self._on_leave, room, user)
        self._callbacks.tell("on_discard", self._on_discard, room)

    # Coming and going

    async def join(self, room_id: str, user: User, message: Body = b"") -> Room:
        """
        Let a user into a room. Go: C{room.Join}.

        @param message: what the other members get with the news.
        @raise CommandError: there is no such room here or no free seat, the user
            is in a room already, or the join condition refuses.
        """
        room = self._rooms.get(room_id)
        if room is None:
            raise CommandError(ErrorCode.ROOM_NOT_FOUND, self._not_here(room_id))
        await self._join(room, user, message, CONDITION_PATIENCE)
        return room

    async def join_random(self, type: str, user: User, message: Body = b"") -> Room | None:
        """
        Let a user into any room of a type. Go: C{roomsupport.JoinRandomRoom}.

        @return: None if there is none with a free seat that lets the user in.
        """
        self._check_free(user, ErrorCode.JOIN_ROOM)
        candidates = list(self._open.get(type, ()))
        deadline = self.clock.seconds() + CONDITION_PATIENCE
        for _ in range(min(len(candidates), CANDIDATES)):
            patience = deadline - self.clock.seconds()
            if patience <= 0:
                break
            room = self._choose(candidates)
            candidates.remove(room)
            try:
                await self._join(room, user, message, patience)
            except CommandError:
                self._check_free(user, ErrorCode.JOIN_ROOM)
            except CancelledError:
                raise
            except FAULTS:
                # What is wrong with one room keeps nobody out of the others.
                self.log.failure("the join condition failed for {room}", room=room.id)
            else:
                return room
        return None

    def leave(self, user: User, message: Body = b"") -> None:
        """
        Take a user out of its room, if it is in one; the others are told.
        """
        room = self._room_of.pop(user, None)
        if room is None:
            return
        heir = room.remove(user, message, self.clock.seconds())
        self._callbacks.tell("on_leave", self._on_leave, room, user)
        if heir is not None:
            self._callbacks.tell("on_owner_change", self._on_owner_change, room, heir)
        if room.alive and not room.members:
            if room.allow_empty:
                self._empty[room] = None
            else:
                self.discard(room)

    async def _join(self, room: Room, user: User, message: Body, patience: Seconds) -> None:
        self._check_join(room, user)
        if self._condition is not None:
            # A seat that is reserved for the user is held already.
            seats = 0 if room.is_reserved_for(user.uid) else 1
            room.hold_seats(seats)
            try:
                answer = await self._callbacks.ask(
                    ErrorCode.JOIN_ROOM, patience, self._condition, room, user
                )
            finally:
                room.hold_seats(-seats)
            self._check_join(room, user)
            if not answer:
                raise CommandError(ErrorCode.JOIN_ROOM, "the room does not let you in")
        self._enter(room, user, message)

    def _not_here(self, room_id: str) -> str:
        _, at, address = room_id.partition("@")
        if at and address != self._node_address():
            return "there is no such room here: its id is that of another node's"
        return "there is no such room"

    def _check_join(self, room: Room, user: User) -> None:
        if not room.alive:
            raise CommandError(ErrorCode.ROOM_NOT_FOUND, "there is no such room any more")
        self._check_free(user, ErrorCode.JOIN_ROOM)
        if not room.has_seat_for(user.uid):
            raise CommandError(ErrorCode.JOIN_ROOM, "the room is full")

    def _enter(self, room: Room, user: User, message: Body) -> None:
        self._room_of[user] = room
        self._empty.pop(room, None)
        room.add(user, message)
        self._callbacks.tell("on_join", self._on_join, room, user)

    # For rooms, commands and the server

    def unix_time(self) -> int:
        """
        Unix time in seconds.
        """
        return int(self._time_of_day())

    def seats_changed(self, room: Room) -> None:
        """
        Whoever looks for a room of a type sees those with a free seat alone: of the
        others there may be thousands.
        """
        if room.type and room.alive and room.has_seat_for(""):
            self._open.setdefault(room.type, {})[room] = None
        else:
            self._hide(room)

    def property_updated(self, room: Room, changes: dict[str, object], user: User | None) -> None:
        """
        Properties of C{room} have changed.
        """
        self._callbacks.tell("on_property_update", self._on_property_update, room, changes, user)

    async def allow_chat(self, room: Room, user: User, text: str) -> None:
        """
        Ask the application about a line of chat.

        @raise CommandError: it refuses.
        """
        if self._chat_condition is None:
            return
        ask = self._callbacks.ask
        if not await ask(
            ErrorCode.ROOM, CONDITION_PATIENCE, self._chat_condition, room, user, text
        ):
            raise CommandError(ErrorCode.ROOM, "the message is refused")

    def dump(self) -> list[dict[str, object]]:
        """
        All rooms, for the debug command 904.
        """
        return [
            {
                "ID": room.id,
                "Type": room.type,
                "Owner": "" if room.owner is None else room.owner.uid,
                "MaxMembers": room.max_members,
                "Members": room.member_ids,
                "Reserved": room.reserved,
                "Properties": room.properties.select(),
            }
            for room in self
        ]

    def _check_free(self, user: User, code: ErrorCode) -> None:
        if user.state not in (UserState.CONNECTED, UserState.AWAY):
            # Nobody would ever take it out of a room.
            raise CommandError(code, f"user {user.uid} is not here")
        room = self._room_of.get(user)
        if room is not None:
            raise CommandError(code, f"you are in room {room.id} already; leave it first")

    def _hide(self, room: Room) -> None:
        peers = self._open.get(room.type)
        if peers is not None:
            peers.pop(room, None)
            if not peers:
                del self._open[room.type]

    def sweep(self) -> None:
        """
        Do what is due; called each C{SWEEP}.
        """
        now = self.clock.seconds()
        for room in list(self._empty):
            if room.empty_since is not None and now - room.empty_since >= room.ttl:
                self.discard(room)
        self._sweeps += 1
        if self._on_tick and self._sweeps % TICK == 0:
            for room in self:
                if room.alive:  # a tick may end others
                    self._callbacks.tick(self._on_tick, room)


def _check(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _new(f"{name} is a whole number from {least} to {most}, not {value!r}")


def _new(message: str) -> CommandError:
    return CommandError(ErrorCode.NEW_ROOM, message)
