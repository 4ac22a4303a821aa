"""
The users of this node, by sid and by uid.

Rules:

  - At most one PENDING user a uid, the newest; at most C{PENDING_LIMIT} on the
    node. One that is not confirmed within C{PENDING_LIFE} seconds is forgotten.
  - A new session of a uid changes nothing until its connection is confirmed;
    then the old one is removed with REPLACED, here and on other nodes:
    L{diarkis_tw.core.elsewhere}.
  - A node that stood still, or was given up by others, forgets who is PENDING.
  - A second connection of one sid takes over; the first gets REPLACED.
  - C{on_disconnect} callbacks run exactly once for each user that was ever
    connected, when it is GONE.
  - C{on_connect} callbacks run whenever a connection is confirmed.
  - One sweep a second looks after time-outs of users, whatever the transport:
    silence, a queue or a connection that stays full, an unfinished handler.
  - A user whose command is unfinished for its connectionTTL is GONE, not AWAY,
    whatever arrives meanwhile. Many commands that each end in time are no
    reason, though one is unfinished whenever the sweep looks.
"""

from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from diarkis_tw.constants import NODE_STATE_BYTE, Builtin, CloseCode, NodeState
from diarkis_tw.core.background import background, call_safely
from diarkis_tw.core.connection import Connection
from diarkis_tw.core.dispatch import Dispatcher
from diarkis_tw.core.elsewhere import Elsewhere
from diarkis_tw.core.encoded import BuiltinPush
from diarkis_tw.core.fan_out import FanOut
from diarkis_tw.core.inbox import FULL_PATIENCE
from diarkis_tw.core.user import User, UserState
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.units import Seconds
from diarkis_tw.wire.keys import SessionKeys

PENDING_LIMIT: Final = 20_000
"""Users that the endpoint API made and who have not come yet: about 20 MB."""

PENDING_LIFE: Final[Seconds] = 30.0
"""How long a player may take from the endpoint answer to the first packet."""

SWEEP: Final[Seconds] = 1.0
"""Period of the sweep, and so how late a time-out may be noticed."""

WATCHDOG_FRACTION: Final = 0.5
"""Part of connectionTTL after which the log names a handler that has not finished."""

RESUMABLE: Final = frozenset({CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.MOVED})
"""Ends of a connection, besides plain loss, after which the user is AWAY, not GONE. A
client that was sent elsewhere may find the same node there, on another transport."""


class TooManyPending(Exception):
    """
    C{PENDING_LIMIT} users wait to connect.
    """


class Users:
    """
    Directory of the users of one node.

    @ivar dispatcher: runs their commands.
    @ivar elsewhere: what is known of users of other nodes.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        mesh: Mesh,
        dispatcher: Dispatcher,
        random_bytes: Callable[[int], bytes],
        reconnect_grace: Seconds,
    ) -> None:
        """
        @param reconnect_grace: how long a user stays after losing its
            connection; 0 = not at all.
        """
        self.dispatcher = dispatcher
        self._clock = clock
        self._mesh = mesh
        self._random_bytes = random_bytes
        self._grace = reconnect_grace
        self._by_sid: dict[bytes, User] = {}
        self._by_uid: dict[str, User] = {}
        self._pending: dict[str, User] = {}
        self._connected: dict[bytes, User] = {}
        self._away: dict[bytes, User] = {}
        self._on_connect: list[Callable[[User], object]] = []
        self._on_disconnect: list[Callable[[str, User], object]] = []
        byte = NODE_STATE_BYTE[NodeState.OFFLINE]
        self._offline = BuiltinPush(Builtin.NODE_STATE, bytes((byte,)), {"state": byte})
        self._telling = FanOut(clock, self, lambda user: user.send(self._offline, True))
        self._empty: list[Deferred[None]] = []
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock
        self.elsewhere = Elsewhere(mesh, self)
        mesh.on_stale(self._forget_pending)

    def __iter__(self) -> Iterator[User]:
        """
        All users who are connected or away.
        """
        yield from list(self._by_uid.values())

    def latest(self) -> Iterator[User]:
        """
        The same, who has come last first. Nobody may come or leave meanwhile.
        """
        return reversed(self._by_uid.values())

    def ccu(self) -> int:
        """
        Concurrent users: connected, or away within their grace.
        Go: C{user.GetCCU}.
        """
        return len(self._by_uid)

    def find_sid(self, sid: bytes) -> User | None:
        """
        The user of a session, pending ones included.
        """
        return self._by_sid.get(sid)

    def limit_rate(self, rate: float) -> None:
        """
        Let each user send so many commands a second from now on; 0 = any number.
        """
        users = self._by_sid.values()
        self.dispatcher.limit.change(rate, [user.inbox for user in users])

    def find_uid(self, uid: str) -> User | None:
        """
        The user with that id who is connected or away.
        """
        return self._by_uid.get(uid)

    def on_connect(self, callback: Callable[[User], object]) -> None:
        """
        Call C{callback(user)} whenever a user has a connection: when a session
        begins and each time it is resumed. What waited has been sent by then.
        """
        self._on_connect.append(callback)

    def on_disconnect(self, callback: Callable[[str, User], object]) -> None:
        """
        Call C{callback(sid, user)} once for each user that leaves.
        Go: C{server.OnDisconnect}.
        """
        self._on_disconnect.append(callback)

    def start(self) -> None:
        """
        Start the sweep.
        """
        background("the sweep of users", self._sweeping.start(SWEEP, now=False))

    def stop(self) -> None:
        """
        Stop the sweep and end all sessions with SERVER_OFFLINE.
        """
        if self._sweeping.running:
            self._sweeping.stop()
        self._telling.stop()
        self.elsewhere.stop()
        for user in list(self._by_sid.values()):
            self.remove(user, CloseCode.SERVER_OFFLINE)

    def create(self, uid: str, server_type: str, data: dict[str, object]) -> User:
        """
        Make a session for a player who will connect within C{PENDING_LIFE}.

        @param server_type: what the player asked the endpoint API for.
        @raise TooManyPending: try later.
        """
        older = self._pending.pop(uid, None)
        if older is not None:
            self._by_sid.pop(older.keys.sid, None)
            older.state = UserState.GONE
            older.forget()
        elif len(self._pending) >= PENDING_LIMIT:
            raise TooManyPending
        keys = SessionKeys(*(self._random_bytes(16) for _ in range(4)))
        user = User(self, uid, keys, server_type, data, self._clock.seconds() + PENDING_LIFE)
        self._pending[uid] = self._by_sid[keys.sid] = user
        return user

    def confirm(self, user: User, connection: Connection) -> bool:
        """
        The first authentic packet of C{connection} came: it is the user's now.

        @return: False if the session died in the meantime; close with UNKNOWN.
        """
        if user.state is UserState.PENDING:
            self._mesh.check()
        if user.state is UserState.GONE:
            return False
        connection.last_heard = self._clock.seconds()
        before, user.connection = user.connection, connection
        if user.state is UserState.PENDING:
            self._pending.pop(user.uid, None)
            replaced = self._by_uid.get(user.uid)
            if replaced is not None:
                self._end(replaced, CloseCode.REPLACED)
            self._by_uid[user.uid] = user
            self.elsewhere.announce(user)
        elif before is not None:
            before.close(CloseCode.REPLACED)
        self._away.pop(user.keys.sid, None)
        self._connected[user.keys.sid] = user
        user.state = UserState.CONNECTED
        user.flush_waiting()
        for callback in self._on_connect:
            call_safely("an on_connect callback", callback, user)
        return True

    def lost(self, user: User, connection: Connection, code: CloseCode | None) -> None:
        """
        C{connection} has ended.

        @param code: why; L{None} if nobody said so (the socket was lost).
        """
        if user.connection is not connection:
            return
        if (code is None or code in RESUMABLE) and self._grace > 0:
            user.connection = None
            user.state = UserState.AWAY
            user.expires_at = self._clock.seconds() + self._grace
            self._connected.pop(user.keys.sid, None)
            self._away[user.keys.sid] = user
        else:
            self.remove(user, CloseCode.TIMEOUT if code is None else code)

    def remove(self, user: User, code: CloseCode) -> None:
        """
        End a session for good. Harmless on one that is gone.

        @param code: what the client is told.
        """
        if user.state is UserState.GONE:
            return
        self._end(user, code)
        if not self._by_uid:
            waiting, self._empty = self._empty, []
            for empty in waiting:
                empty.callback(None)

    def when_empty(self) -> Deferred[None]:
        """
        Fires once no user is connected or away.
        """
        if not self._by_uid:
            return succeed(None)
        empty: Deferred[None] = Deferred(self._empty.remove)
        self._empty.append(empty)
        return empty

    def tell_state(self, state: NodeState) -> None:
        """
        Tell all clients at once that the node is OFFLINE. Keep-alives say the
        other states.
        """
        if state is NodeState.OFFLINE:
            self._telling.start(at_once=True)
        else:
            self._telling.stop()

    def _end(self, user: User, code: CloseCode) -> None:
        was_pending = user.state is UserState.PENDING
        user.state = UserState.GONE
        sid = user.keys.sid
        self._by_sid.pop(sid, None)
        self._connected.pop(sid, None)
        self._away.pop(sid, None)
        if self._pending.get(user.uid) is user:
            del self._pending[user.uid]
        if self._by_uid.get(user.uid) is user:
            del self._by_uid[user.uid]
        connection, user.connection = user.connection, None
        if connection is not None:
            connection.close(code)
        user.forget()
        if not was_pending:
            for callback in self._on_disconnect:
                call_safely("an on_disconnect callback", callback, user.sid, user)

    def _forget_pending(self) -> None:
        for user in list(self._pending.values()):
            self.remove(user, CloseCode.UNKNOWN)

    def _sweep(self) -> None:
        self.elsewhere.ask()
        now = self._clock.seconds()
        for waiting in (self._pending, self._away):
            for user in list(waiting.values()):
                if user.expires_at > now:
                    break
                self.remove(user, CloseCode.TIMEOUT)
        for user in list(self._connected.values()):
            connection = user.connection
            if connection is None:
                continue
            inbox = user.inbox
            if connection.heard:
                connection.heard = False
                connection.last_heard = now
            for since in (inbox.full_since, connection.full_since):
                if since is not None and now - since >= FULL_PATIENCE:
                    self.remove(user, CloseCode.OVERFLOW)
            blocked_since = inbox.blocked_since
            if blocked_since is not None:
                self._watch(user, now, connection.ttl)
                if now - blocked_since >= connection.ttl:
                    self.remove(user, CloseCode.TIMEOUT)
            if now - connection.last_heard >= connection.ttl:
                connection.close(CloseCode.TIMEOUT)

    def _watch(self, user: User, now: Seconds, ttl: Seconds) -> None:
        inbox = user.inbox
        if inbox.watched or inbox.turn is None or inbox.blocked_since is None:
            return
        blocked = now - inbox.blocked_since
        if blocked < ttl * WATCHDOG_FRACTION:
            return
        inbox.watched = True
        self.log.warn(
            "{handler} has not finished for {blocked:.0f} s and blocks {uid}: "
            "a handler with next_ must call it, an awaitable must end",
            handler=inbox.turn.where,
            blocked=blocked,
            uid=user.uid,
        )
