"""
The debug commands, for tests and for looking at a node (version 0)::

    900    the node becomes ONLINE
    901    TAKEN
    902    OFFLINE
    903    terminate in good order, as on SIGTERM
    904    JSON of all rooms of the node
    905    JSON of all users of the node, a list of UserDataDump

Rules:

  - Off unless the application exposes them: every client that has been let in
    may use them then, unless a hook refuses. While off they are BAD 1005.
  - 900 to 903 answer nothing, as the Go doc says; a request with an id gets the
    empty OK that every request gets.
  - A callback of the application runs after the command has done its work, and
    its reply takes the place of the command's own. It gets the client's payload;
    a command without a callback takes none (BAD 1001).
  - A dump that no message can carry is BAD 1006 with the counts.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import msgspec

from diarkis_tw.constants import Builtin, ErrorCode
from diarkis_tw.core.node import Node
from diarkis_tw.core.registry import CommandRegistry, check_form
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.errors import CommandError, LocalProtocolError, RegistrationError
from diarkis_tw.wire.value import encode_value

COMMANDS: Final = tuple(range(Builtin.DEBUG_ONLINE, Builtin.DEBUG_USERS + 1))

NOTHING: Final = (b"", encode_value({}))
"""What counts as no payload: also an empty object of JSON WebSocket."""

CALLBACK_FORM: Final = "f(user, payload, respond)"


class Respond(Protocol):
    """
    What a callback ends with, once.
    """

    def __call__(self, error: Exception | None = None, reply: bytes | None = None) -> None:
        """
        Answer the client.

        @param error: as C{next_(error)}: a CommandError is BAD, any other ERR.
        @param reply: L{None} = what the command answers by itself.
        """


DebugCallback: TypeAlias = Callable[[User, bytes, Respond], object]


class UserDataDump(msgspec.Struct, frozen=True):
    """
    One user in the answer of command 905. Go: C{server.UserDataDump}.
    """

    id: str = msgspec.field(name="ID")
    sid: str = msgspec.field(name="SID")
    data: Mapping[str, object] = msgspec.field(name="Data")
    latency: int = msgspec.field(name="Latency")
    """Milliseconds; 0 before it was measured."""


class DebugCommands:
    """
    Commands 900 to 905.

    @ivar exposed: whether clients may use them.
    @ivar room_dump: what there is to say of each room of this node.
    """

    def __init__(
        self,
        registry: CommandRegistry,
        node: Node,
        users: Users,
        terminate: Callable[[], None],
    ) -> None:
        """
        @param terminate: ends the node in good order.
        """
        self.exposed = False
        self.room_dump: Callable[[], Sequence[Mapping[str, object]]] = lambda: ()
        self._registry = registry
        self._node = node
        self._users = users
        self._terminate = terminate
        self._callbacks: dict[int, DebugCallback] = {}
        for cmd in COMMANDS:
            registry.handle_builtin(0, cmd, self._run)

    def expose(self) -> None:
        """
        Let clients use them.

        @raise RegistrationError: the server has started.
        """
        self._registry.check_open("expose_debug_commands")
        self.exposed = True

    def set_callback(self, cmd: int, callback: DebugCallback) -> None:
        """
        Run C{callback(user, payload, respond)} after a command; it replaces an
        earlier one.

        @raise RegistrationError: no such command, another form of function, or
            the server has started.
        """
        if type(cmd) not in (int, Builtin) or cmd not in COMMANDS:
            raise RegistrationError(
                f"there is no debug command {cmd!r}: they are {COMMANDS[0]} to {COMMANDS[-1]}"
            )
        check_form(callback, (3,), CALLBACK_FORM)
        self._registry.check_open("set_debug_command_callback")
        self._callbacks[cmd] = callback

    def _run(
        self, ver: int, cmd: int, payload: bytes, user: User, next_: Callable[..., None]
    ) -> Awaitable[None] | None:
        if not self.exposed:
            raise CommandError(ErrorCode.REFUSED, "debug commands are not exposed on this server")
        callback = self._callbacks.get(cmd)
        if callback is None and payload not in NOTHING:
            raise CommandError(
                ErrorCode.INVALID_PARAMETERS,
                f"debug command {cmd} takes no payload, not {len(payload)} bytes",
            )
        dump = self._act(cmd)
        if callback is None:
            self._answer(user, cmd, dump)
            next_()
            return None
        told = False

        def respond(error: Exception | None = None, reply: bytes | None = None) -> None:
            nonlocal told
            if not told and error is None:
                try:
                    self._answer(user, cmd, dump if reply is None else _Answer(reply, "the reply"))
                except CommandError as too_large:
                    error = too_large
            told = True
            next_(error)

        result = callback(user, payload, respond)
        return _wait_only(result) if isinstance(result, Awaitable) else None

    def _act(self, cmd: int) -> "_Answer | None":
        node = self._node
        if cmd == Builtin.DEBUG_ROOMS:
            rooms = self.room_dump()
            return _Answer(msgspec.json.encode(rooms, enc_hook=repr), f"{len(rooms)} room(s)")
        if cmd == Builtin.DEBUG_USERS:
            users = [_encode(user) for user in self._users]
            return _Answer(msgspec.json.encode(users), f"{len(users)} user(s)")
        if cmd in (Builtin.DEBUG_ONLINE, Builtin.DEBUG_TAKEN) and node.terminating:
            raise CommandError(ErrorCode.REFUSED, "the node is terminating and stays OFFLINE")
        if cmd == Builtin.DEBUG_ONLINE:
            node.online()
        elif cmd == Builtin.DEBUG_TAKEN:
            node.taken()
        elif cmd == Builtin.DEBUG_OFFLINE:
            node.offline()
        elif not node.terminating:  # being told again would end the node at once
            self._terminate()
        return None

    def _answer(self, user: User, cmd: int, answer: "_Answer | None") -> None:
        if answer is None:
            return
        try:
            user.server_respond(answer.payload, 0, cmd)
        except LocalProtocolError as error:
            raise CommandError(
                ErrorCode.ANSWER_TOO_LARGE,
                f"{answer.what}, {len(answer.payload)} bytes, do not fit one message: {error}",
            ) from None


@dataclass(frozen=True, slots=True)
class _Answer:
    """
    What a command answers.

    @ivar what: what is in it, for an error's sentence.
    """

    payload: bytes
    what: str


async def _wait_only(result: Awaitable[object]) -> None:
    await result


def _encode(user: User) -> msgspec.Raw:
    latency = user.latency or 0
    try:
        dump = UserDataDump(user.uid, user.sid, user.data, latency)
        return msgspec.Raw(msgspec.json.encode(dump, enc_hook=repr))
    except Exception as error:  # the data is the application's, and may be anything
        shown = {"error": f"no JSON: {type(error).__name__}"}
        return msgspec.Raw(msgspec.json.encode(UserDataDump(user.uid, user.sid, shown, latency)))
