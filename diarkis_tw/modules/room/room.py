"""
One room.

Rules:

  - Members are users of this node, at most C{max_members}; a user is in one
    room at a time. One who is away keeps its seat within its grace.
  - The owner is the one who made the room; when it leaves, who has been in the
    room for longest is the next.
  - A seat may be reserved for a user id; it is then nobody else's.
  - The last member gone, the room is discarded: at once, or with
    C{allow_empty} after C{ttl} seconds.
  - A message is encoded once for all who get it. With an C{interval} messages
    are held back and leave together, in order, each as a push of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, LocalProtocolError
from diarkis_tw.modules.room.properties import RoomProperties
from diarkis_tw.schema.command import as_value
from diarkis_tw.schema.room import (
    CHAT_MAX,
    INTERVAL_MIN,
    ChatLine,
    MemberJoined,
    MemberLeft,
    OwnerChanged,
    Properties,
    RoomCommand,
)
from diarkis_tw.units import Seconds

if TYPE_CHECKING:
    from diarkis_tw.modules.room.rooms import Rooms

HELD_MAX: Final = 4096
"""Messages held back within one interval."""

HELD_MAX_BYTES: Final = 256 * 1024
"""Their size. Who reads slowly has room for 1 MiB, and they come all at once."""

CHAT_LINES: Final = 100
"""Lines that the log of the chat keeps."""

RESERVED_MAX: Final = 1000
"""Seats reserved in one room: as many as there can be."""

VER: Final = 1
"""Command version of the pushes of this module."""


class Room:
    """
    A room. Make one with L{Rooms.create<diarkis_tw.modules.room.rooms.Rooms.create>}.

    @ivar id: names the room and the node that it lives on.
    @ivar owner: whose it is; None = nobody's.
    @ivar max_members: 2..1000.
    @ivar ttl: seconds for which it stays when empty, with C{allow_empty}.
    @ivar interval: seconds for which messages are gathered; 0 = not at all.
    @ivar created_at: Unix time in seconds.
    @ivar type: what others find it by; empty = not to be found.
    @ivar properties: shared values; change them with L{update} and L{increment}.
    @ivar empty_since: when the last member left; None while there are any.
    @ivar alive: False once it is discarded.
    @ivar ticking: on_tick callbacks that are not done with the last tick.
    @ivar unsent: messages that could not be written for some member.
    """

    log = Logger()

    __slots__ = (
        "_chat",
        "_flushing",
        "_held",
        "_held_bytes",
        "_members",
        "_receivers",
        "_reserved",
        "_rooms",
        "alive",
        "allow_empty",
        "created_at",
        "creator",
        "empty_since",
        "id",
        "interval",
        "max_members",
        "owner",
        "pending",
        "properties",
        "ticking",
        "ttl",
        "type",
        "unsent",
    )

    def __init__(
        self,
        rooms: Rooms,
        id: str,
        *,
        creator: str,
        max_members: int,
        allow_empty: bool,
        ttl: int,
        interval: int,
        created_at: int,
        now: Seconds,
    ) -> None:
        self._rooms = rooms
        self.id = id
        self.creator = creator
        self.owner: User | None = None
        self.max_members = max_members
        self.allow_empty = allow_empty
        self.ttl = ttl
        self.interval: Seconds = interval / 1000 if interval >= INTERVAL_MIN else 0.0
        self.created_at = created_at
        self.type = ""
        self.properties = RoomProperties()
        self.empty_since: Seconds | None = now
        self.alive = True
        self.unsent = 0
        self.pending = 0
        self.ticking: tuple[Callable[..., object], ...] = ()
        self._members: dict[str, User] = {}
        self._receivers: tuple[User, ...] = ()
        self._reserved: dict[str, None] = {}
        self._chat: deque[ChatLine] | None = None
        self._held: list[tuple[Encoded, bool, tuple[User, ...] | None]] = []
        self._held_bytes = 0
        self._flushing = False

    def __repr__(self) -> str:
        return f"<Room {self.id} {len(self._members)}/{self.max_members}>"

    # Members

    @property
    def members(self) -> tuple[User, ...]:
        """
        In the order of joining.
        """
        return self._receivers

    @property
    def member_ids(self) -> list[str]:
        """
        User ids in the order of joining.
        """
        return list(self._members)

    @property
    def reserved(self) -> list[str]:
        """
        User ids that seats are kept for.
        """
        return list(self._reserved)

    def __contains__(self, user: User) -> bool:
        return self._members.get(user.uid) is user

    def is_reserved_for(self, uid: str) -> bool:
        """
        Whether a seat is kept for that user.
        """
        return uid in self._reserved

    def has_seat_for(self, uid: str) -> bool:
        """
        Whether that user could come in, as far as seats go.
        """
        taken = len(self._members) + self.pending + len(self._reserved)
        return taken - (uid in self._reserved) < self.max_members

    def leave(self, user: User, message: Body = b"") -> None:
        """
        Take a member out; the others are told. Go: C{room.Leave}.

        @param message: what the others get with the news.
        @raise CommandError: the user is not in this room.
        """
        if user not in self:
            raise CommandError(ErrorCode.NOT_IN_ROOM, "you are not in this room")
        self._rooms.leave(user, message)

    def reserve(self, uids: Iterable[str]) -> None:
        """
        Keep seats, all or none, until they are taken, cancelled, or the room is
        gone. Go: C{room.Reserve}.

        @raise CommandError: there are not as many free seats.
        """
        wanted = [uid for uid in dict.fromkeys(uids) if uid not in self._members]
        new = [uid for uid in wanted if uid not in self._reserved]
        taken = len(self._members) + self.pending + len(self._reserved)
        if taken + len(new) > self.max_members:
            free = max(self.max_members - taken, 0)
            raise CommandError(
                ErrorCode.RESERVE, f"{len(new)} seat(s) asked for, {free} free in this room"
            )
        self._reserved.update(dict.fromkeys(new))
        self._rooms.seats_changed(self)

    def cancel_reservation(self, uids: Iterable[str]) -> None:
        """
        Keep those seats no longer. Go: C{room.CancelReservation}.
        """
        for uid in uids:
            self._reserved.pop(uid, None)
        self._rooms.seats_changed(self)

    def delete(self) -> None:
        """
        Discard the room, members or not. Go: C{room.DeleteRoom}.
        """
        self._rooms.discard(self)

    # Messages

    def broadcast(self, ver: int, cmd: int, body: Body = b"", *, reliable: bool = True) -> None:
        """
        Push to all members. Go: C{room.Broadcast}, C{room.Announce}.

        @param ver: version of the push, the game's own.
        @param cmd: number of the push.
        @param reliable: over UDP, whether it has to arrive.
        @raise LocalProtocolError: it cannot be sent at all.
        """
        self.send(Encoded(ver, cmd, body), reliable)

    def relay(
        self, sender: User, ver: int, cmd: int, body: Body = b"", *, reliable: bool = True
    ) -> None:
        """
        Push to all members but the sender, at once. Go: C{room.Relay}.
        """
        self.push(Encoded(ver, cmd, body), reliable, self._receivers, sender)

    def message(
        self,
        members: Iterable[User],
        ver: int,
        cmd: int,
        body: Body = b"",
        *,
        reliable: bool = True,
    ) -> None:
        """
        Push to some members; who is not in the room gets nothing.
        Go: C{room.Message}.
        """
        self.send(
            Encoded(ver, cmd, body), reliable, tuple(user for user in members if user in self)
        )

    def find_members(self, uids: Iterable[str]) -> tuple[User, ...]:
        """
        Those of C{uids} who are members, each once.
        """
        members = self._members
        return tuple(members[uid] for uid in dict.fromkeys(uids) if uid in members)

    def send(
        self,
        encoded: Encoded,
        reliable: bool,
        to: tuple[User, ...] | None = None,
    ) -> None:
        """
        Send a prepared push, now or at the end of the interval.

        @param to: members; None = all of them at the time it is sent.
        """
        if not self.interval:
            self.push(encoded, reliable, self._receivers if to is None else to)
            return
        try:
            size = len(encoded.binary)
        except LocalProtocolError:
            size = 0  # it is counted when it is sent
        if len(self._held) >= HELD_MAX or self._held_bytes + size > HELD_MAX_BYTES:
            self._flush()
        self._held_bytes += size
        self._held.append((encoded, reliable, to))
        if not self._flushing:
            self._flushing = True
            self._rooms.clock.callLater(self.interval, self._flush_in_time)

    def push(
        self,
        encoded: Encoded,
        reliable: bool,
        to: tuple[User, ...],
        but: User | None = None,
    ) -> None:
        """
        Send a prepared push at once.

        @param but: who does not get it.
        """
        for user in to:
            if user is not but:
                try:
                    user.send(encoded, reliable)
                except LocalProtocolError:
                    # Too large for the transport of this member, or not to be encoded at all.
                    self._unsendable(encoded, user)

    def _unsendable(self, encoded: Encoded, user: User) -> None:
        if not self.unsent:
            self.log.failure(
                "{room}: push ver {ver} cmd {cmd} cannot be sent to {uid}; others are counted",
                room=self.id,
                ver=encoded.ver,
                cmd=encoded.cmd,
                uid=user.uid,
            )
        self.unsent += 1

    def _flush_in_time(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._held_bytes = 0
        for encoded, reliable, to in held:
            still_here = None if to is None else tuple(user for user in to if user in self)
            self.push(encoded, reliable, self._receivers if still_here is None else still_here)

    # Properties

    def update(self, changes: Mapping[str, object], by: User | None = None) -> None:
        """
        Set properties, all of them or none; None removes one. All members are
        told. Go: C{room.SetProperty}, C{room.UpdateProperties}.

        @param by: who changed them, for the hook.
        @raise CommandError: too many, too large, or a value that cannot be sent.
        """
        if not changes:
            return
        self.properties.update(changes)
        self._changed(dict(changes), by)

    def increment(self, key: str, by: int = 1, user: User | None = None) -> int:
        """
        Add to a property that is a whole number; a missing one counts as 0.
        Go: C{room.IncrProperty}.

        @param by: what to add.
        @param user: who did it, for the hook.
        @return: the sum.
        @raise CommandError: it is no whole number, or the sum has over 64 bits.
        """
        total = self.properties.increment(key, by)
        self._changed({key: total}, user)
        return total

    def _changed(self, changes: dict[str, object], by: User | None) -> None:
        push = Encoded(
            VER, RoomCommand.PROPERTIES_CHANGED, as_value(Properties(properties=changes))
        )
        self.send(push, True)
        self._rooms.property_updated(self, changes, by)

    # Chat

    def chat(self, sender: User, text: str) -> None:
        """
        Add a line to the log and tell all members. Go: C{room.SyncChatMessage}.

        @raise CommandError: too long, or the application refuses it.
        """
        if not 1 <= len(text) <= CHAT_MAX:
            raise CommandError(
                ErrorCode.INVALID_PARAMETERS, f"a chat message has 1 to {CHAT_MAX} characters"
            )
        if self._chat is None:
            self._chat = deque(maxlen=CHAT_LINES)
        line = ChatLine(sender=sender.uid, text=text, time=self._rooms.unix_time())
        self._chat.append(line)
        self.send(Encoded(VER, RoomCommand.CHAT, as_value(line)), True)

    def chat_log(self) -> list[ChatLine]:
        """
        The latest lines, oldest first. Go: C{room.GetChatHistory}.
        """
        return list(self._chat or ())

    # For Rooms

    def hold_seats(self, number: int) -> None:
        """
        Hold seats for users whose join is being decided.

        @param number: how many more; negative = fewer.
        """
        self.pending += number
        self._rooms.seats_changed(self)

    def add(self, user: User, message: Body = b"") -> None:
        """
        Let a user in, whatever the seats; the others are told.
        """
        # What was said before is not for whoever comes in now.
        self._flush()
        self._reserved.pop(user.uid, None)
        others = self._receivers
        self._members[user.uid] = user
        self._receivers = tuple(self._members.values())
        self.empty_since = None
        if self.owner is None:
            self.owner = user
        self._rooms.seats_changed(self)
        if others:
            news = MemberJoined(uid=user.uid, members=len(self._members), message=_plain(message))
            self.send(Encoded(VER, RoomCommand.JOIN, as_value(news)), True, others)

    def remove(self, user: User, message: Body, now: Seconds) -> User | None:
        """
        Let a member go; the others are told.

        @return: the new owner, if that changed.
        """
        del self._members[user.uid]
        self._receivers = tuple(self._members.values())
        self._rooms.seats_changed(self)
        heir: User | None = None
        if not self._members:
            self.empty_since = now
            self._flush()
        else:
            news = MemberLeft(uid=user.uid, members=len(self._members), message=_plain(message))
            self.send(Encoded(VER, RoomCommand.LEAVE, as_value(news)), True)
        if self.owner is user:
            self.owner = heir = self._receivers[0] if self._receivers else None
            if heir is not None:
                change = OwnerChanged(owner_id=heir.uid)
                self.send(Encoded(VER, RoomCommand.OWNER_CHANGED, as_value(change)), True)
        return heir

    def close(self) -> tuple[User, ...]:
        """
        The room is gone.

        @return: who was in it.
        """
        self._flush()
        members = self._receivers
        self.alive = False
        self._members = {}
        self._receivers = ()
        self.owner = None
        return members


def _plain(body: Body) -> bytes | dict[str, object]:
    return dict(body) if isinstance(body, Mapping) else bytes(body)
