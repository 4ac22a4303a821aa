"""
What an application has a say in, or hears of, in rooms.
"""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.modules.room.callbacks import RoomCallbacks

CallbackT = TypeVar("CallbackT", bound=Callable[..., object])


class RoomHooks:
    """
    The hooks of L{Rooms<diarkis_tw.modules.room.rooms.Rooms>}. They are called with
    the room first; those that the application registers last are called last.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._callbacks = RoomCallbacks(clock)
        self._condition: Callable[..., object] | None = None
        self._chat_condition: Callable[..., object] | None = None
        self._on_join: list[Callable[..., object]] = []
        self._on_leave: list[Callable[..., object]] = []
        self._on_owner_change: list[Callable[..., object]] = []
        self._on_property_update: list[Callable[..., object]] = []
        self._on_discard: list[Callable[..., object]] = []
        self._on_tick: list[Callable[..., object]] = []

    def set_join_condition(self, condition: Callable[..., object] | None) -> None:
        """
        Ask C{condition(room, user)} before somebody joins; a false answer refuses,
        and so does a L{CommandError<diarkis_tw.errors.CommandError>}, which the
        client gets. It may be asynchronous. Go: C{room.SetJoinCondition}.
        """
        self._condition = condition

    def set_chat_condition(self, condition: Callable[..., object] | None) -> None:
        """
        Ask C{condition(room, user, text)} before a line of chat is sent; a false
        answer refuses it. Go: C{room.SetOnChatMessage}.
        """
        self._chat_condition = condition

    def on_join(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room, user)} after a user has come in.
        Go: C{room.SetOnJoinCompleteByID}.
        """
        self._on_join.append(callback)
        return callback

    def on_leave(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room, user)} after a user has left, however it left.
        Go: C{room.SetOnLeave}.
        """
        self._on_leave.append(callback)
        return callback

    def on_owner_change(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room, owner)} after a room has passed to another member.
        Go: C{room.SetOnRoomOwnerChange}.
        """
        self._on_owner_change.append(callback)
        return callback

    def on_property_update(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room, changes, user)} after properties have changed; the
        user is None if the server changed them.
        Go: C{room.SetOnRoomPropertyUpdate}.
        """
        self._on_property_update.append(callback)
        return callback

    def on_discard(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room)} after a room has ended. Go: C{room.SetOnRoomDiscard}.
        """
        self._on_discard.append(callback)
        return callback

    def on_tick(self, callback: CallbackT) -> CallbackT:
        """
        Call C{callback(room)} for each room every 5 seconds, but not while it is still
        at the last call for that room. Go: C{room.SetOnTick}.
        """
        self._on_tick.append(callback)
        return callback
