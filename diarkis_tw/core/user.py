"""
A player known to this node.

States, and what moves a user from one to the next::

    PENDING     the endpoint API made it         -> CONNECTED first authentic packet
                                                 -> GONE      30 s passed, or a newer one
    CONNECTED   has a live connection            -> AWAY      connection lost
                                                 -> GONE      fin, kick, fault, replaced
    AWAY        keeps data, rooms and waiting    -> CONNECTED same sid again
                messages for C{reconnectGrace}   -> GONE      grace over
    GONE        the sid is dead (UNKNOWN)

L{diarkis_tw.core.users} makes these moves.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar, cast, overload

import msgspec

from diarkis_tw.constants import CloseCode, ServerType, Status
from diarkis_tw.core.background import call_safely
from diarkis_tw.core.connection import Connection
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.inbox import Inbox
from diarkis_tw.core.request import Request
from diarkis_tw.errors import UserDataError
from diarkis_tw.units import Seconds
from diarkis_tw.wire.keys import SessionKeys

if TYPE_CHECKING:
    from diarkis_tw.core.users import Users

_T = TypeVar("_T")
_D = TypeVar("_D")
_REQUIRED: Final = object()
_KEPT: Final = (bytes, bytearray, memoryview)
"""Types that stay what they are: as JSON they would be made of base64 text."""

WAITING_LIMIT: Final = 256
"""Reliable messages kept for a user who is away."""

WAITING_BYTES: Final = 512 * 1024
"""Their size together: half of what a fresh connection takes at once."""


class UserState(Enum):
    """
    See the module's table.
    """

    PENDING = "PENDING"
    CONNECTED = "CONNECTED"
    AWAY = "AWAY"
    GONE = "GONE"


class User:
    """
    A player: identity, data, and the way to send to it. Go: C{user.User}.

    @ivar uid: the game's id of the player.
    @ivar data: whatever the application keeps of the player; set at first by
        the POST to the endpoint API.
    @ivar latency: last round trip that the client measured, in milliseconds;
        L{None} before the first.
    @ivar arrived: when the session began, by the time of the mesh; 0 before.
    @ivar connection: the live connection, L{None} while there is none.
    """

    __slots__ = (
        "__weakref__",
        "_users",
        "_waiting",
        "_waiting_bytes",
        "arrived",
        "connection",
        "data",
        "expires_at",
        "inbox",
        "keys",
        "latency",
        "server_type",
        "state",
        "uid",
    )

    def __init__(
        self,
        users: Users,
        uid: str,
        keys: SessionKeys,
        server_type: str,
        data: dict[str, object],
        expires_at: Seconds,
    ) -> None:
        self._users = users
        self.uid = uid
        self.keys = keys
        self.server_type = server_type
        self.data = data
        self.state = UserState.PENDING
        self.expires_at = expires_at
        self.arrived = 0
        self.connection: Connection | None = None
        self.latency: int | None = None
        self.inbox = Inbox(self, users.dispatcher)
        self._waiting: deque[Encoded] | None = None
        self._waiting_bytes = 0

    def __repr__(self) -> str:
        return f"<User {self.uid} {self.state.value}>"

    @property
    def sid(self) -> str:
        """
        The session id, as 32 hex digits.
        """
        return self.keys.sid.hex()

    @property
    def request(self) -> Request | None:
        """
        The command whose handlers are running; L{None} outside of handlers.
        """
        return self.inbox.running

    @property
    def address(self) -> str | None:
        """
        The client's C{ip:port}; L{None} while there is no connection.
        """
        return None if self.connection is None else self.connection.address

    @property
    def transport(self) -> ServerType | None:
        """
        The kind of the live connection; L{None} while there is none.
        """
        return None if self.connection is None else self.connection.type

    @overload
    def get(self, key: str, kind: type[_T]) -> _T: ...
    @overload
    def get(self, key: str, kind: type[_T], default: _D) -> _T | _D: ...
    def get(self, key: str, kind: type[_T], default: object = _REQUIRED) -> object:
        """
        Look up C{data[key]} as a value of a certain type. The data may come from
        the POST to the endpoint API, so what is in it is checked, not believed.
        Go: C{userData.GetAsString} and its like.

        @param kind: such as C{int}, C{str}, C{list[str]} or a C{msgspec.Struct}. A
            whole number is a C{float}, too, and 3.0 is an C{int}; true is neither.
        @param default: returned if there is nothing under that key.
        @return: the very object if it is a C{kind}, else a conversion, which is a
            copy.
        @raise UserDataError: there is nothing and no default, or it is of another
            type.
        """
        if key not in self.data:
            if default is not _REQUIRED:
                return default
            raise UserDataError(f"the data of user {self.uid} has no {key!r}")
        return _as(kind, self.data[key], f"{key!r} of user {self.uid}")

    def set(self, key: str, value: object) -> None:
        """
        Set C{data[key]}. Go: C{userData.Set}.

        @param value: anything; what is no JSON cannot be shown by the debug
            commands.
        @raise UserDataError: the key is no text.
        """
        if not isinstance(key, str):
            raise UserDataError(f"a key of a user's data is text, not {key!r}")
        self.data[key] = value

    def delete(self, key: str) -> bool:
        """
        Remove C{data[key]}. Go: C{userData.Delete}.

        @return: False if there was nothing.
        """
        return self.data.pop(key, _REQUIRED) is not _REQUIRED

    def server_respond(
        self,
        payload: Body,
        ver: int,
        cmd: int,
        status: Status = Status.OK,
        reliable: bool = True,
    ) -> bool:
        """
        Answer a command. Go: C{userData.ServerRespond}.

        The first answer to the running command carries its request id.

        @return: False if the message was dropped or refused.
        @raise LocalProtocolError: a number out of range, or a value that
            cannot be encoded.
        """
        request = self.inbox.running
        if request is None or request.answered or request.ver != ver or request.cmd != cmd:
            return self.send(Encoded(ver, cmd, payload, Status(status)), reliable)
        sent = self.send(Encoded(ver, cmd, payload, Status(status), request.id), reliable)
        request.answered = True
        return sent

    def server_push(self, ver: int, cmd: int, payload: Body = b"", reliable: bool = True) -> bool:
        """
        Send a message that answers nothing. Go: C{userData.ServerPush}.

        @return: False if the message was dropped or refused.
        @raise LocalProtocolError: as for L{server_respond}.
        """
        return self.send(Encoded(ver, cmd, payload), reliable)

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        """
        Send a prepared message; while the user is away a reliable one waits.

        @return: False if the message was dropped or refused.
        """
        connection = self.connection
        if connection is not None:
            return connection.send(encoded, reliable)
        if self.state is not UserState.AWAY or not reliable:
            return False
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        size = len(encoded.binary)
        if len(waiting) >= WAITING_LIMIT or self._waiting_bytes + size > WAITING_BYTES:
            return False
        self._waiting_bytes += size
        waiting.append(encoded)
        return True

    def disconnect(self) -> None:
        """
        Kick the user: the session ends at once. Go: C{userData.Disconnect}.
        """
        self.remove(CloseCode.KICKED)

    def leave(self) -> None:
        """
        The user said goodbye.
        """
        self.remove(CloseCode.NORMAL)

    def remove(self, code: CloseCode) -> None:
        """
        End the session for good.
        """
        self._users.remove(self, code)

    def flush_waiting(self) -> None:
        """
        Send what waited while the user was away.
        """
        waiting, self._waiting = self._waiting, None
        self._waiting_bytes = 0
        while waiting and self.connection is not None:
            # UDP may refuse what another transport would have taken.
            call_safely("a waiting message", self.connection.send, waiting.popleft(), True)

    def forget(self) -> None:
        """
        Drop everything that a session that is gone needs no more.
        """
        self._waiting = None
        self.inbox.cancel()


def _as(kind: type[_T], value: object, what: str) -> _T:
    truth_as_number = isinstance(value, bool) and kind in (int, float)
    if isinstance(kind, type) and isinstance(value, kind) and not truth_as_number:
        return value
    if kind is int and isinstance(value, float) and value.is_integer():
        return cast(_T, int(value))
    try:
        return msgspec.convert(value, kind, builtin_types=_KEPT)
    except (msgspec.ValidationError, TypeError, RecursionError) as error:
        raise UserDataError(
            f"{what} is of type {type(value).__name__}, not {_name(kind)}: {error}"
        ) from None


def _name(kind: object) -> str:
    return kind.__name__ if type(kind) is type else str(kind)
