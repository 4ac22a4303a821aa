"""
Mesh commands: what the application's nodes say to each other.

Rules:

  - A command is a number from C{COMMAND_MIN} on and a message: a C{msgspec.Struct},
    a mapping with text as keys, or bytes; at most C{MESSAGE_MAX} bytes as MessagePack.
  - A node has one handler a command. What it returns is the answer to a request,
    and nothing at all to a message that is only sent.
  - Who asks learns that a handler failed, and the log of its own node why.
  - What cannot be read, and what nobody handles, is counted.
"""

from asyncio import CancelledError as AsyncioCancelled
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, overload

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.core.background import FAULTS, as_deferred
from diarkis_tw.core.callables import describe_callable, parameter_count
from diarkis_tw.errors import LocalProtocolError, MeshError, RegistrationError
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT, REQUEST_TIMEOUT_MOST, Mesh, NodeInfo
from diarkis_tw.units import Seconds

COMMAND_MIN: Final = 10_001
"""First one of applications; the engine's own mesh commands are 0 to 10000."""

COMMAND_MAX: Final = 0xFFFF

MESSAGE_MAX: Final = 500 * 1024
"""Largest message and answer, in bytes: what surrounds them makes it a frame of the
mesh (C{mesh.envelope.FRAME_MAX}), which a NATS server takes as it comes."""

MeshMessage: TypeAlias = msgspec.Struct | Mapping[str, object] | bytes
"""What a message and an answer may be."""

M = TypeVar("M")
R = TypeVar("R")

MeshHandler: TypeAlias = Callable[[M], MeshMessage | Awaitable[MeshMessage | None] | None]
"""Gets a message, and returns the answer to a request."""


class MeshCommand(msgspec.Struct, frozen=True):
    """
    A command on its way.

    @ivar body: the message as MessagePack.
    @ivar asked: whether an answer is waited for.
    """

    cmd: int
    body: bytes
    asked: bool

    def __repr__(self) -> str:
        return f"MeshCommand({self.cmd}, {len(self.body)} bytes)"


class MeshAnswer(msgspec.Struct, frozen=True):
    """
    Its answer.

    @ivar body: MessagePack; empty for none.
    """

    body: bytes

    def __repr__(self) -> str:
        return f"MeshAnswer({len(self.body)} bytes)"


_NOTHING: Final = MeshAnswer(b"")


class _Entry(msgspec.Struct, frozen=True):
    """
    What handles a command.
    """

    handler: Callable[[Any], object]
    decoder: "msgspec.msgpack.Decoder[Any]"
    where: str


class MeshCommands:
    """
    The other nodes, as the application sees them: C{server.mesh}.

    @ivar unhandled: messages without a handler here; requests are answered with an
        error instead.
    @ivar malformed: messages that are not what their handler takes; likewise.
    """

    log = Logger()

    def __init__(self, mesh: Mesh) -> None:
        self.unhandled = 0
        self.malformed = 0
        self._mesh = mesh
        self._entries: dict[int, _Entry] = {}
        self._frozen = False
        mesh.handle(MeshCommand, self._handle)

    # Who is there

    @property
    def node_address(self) -> str:
        """
        The address by which other nodes reach this one.
        """
        return self._mesh.node_address

    def nodes(self) -> list[NodeInfo]:
        """
        All living nodes, this one included, as they were heard last: at most a
        second ago. Asking costs no traffic.
        """
        return list(self._mesh.nodes())

    # Commands

    def handle(self, cmd: int, handler: MeshHandler[M], type: type[M]) -> None:
        """
        Have C{handler(message)} handle a command.

        It returns the answer to a request: a C{msgspec.Struct}, a mapping, bytes,
        or L{None} for an empty one; or an awaitable of these.

        @param cmd: 10001..65535.
        @param type: what the message is: a subclass of C{msgspec.Struct}, C{dict}
            or C{bytes}. Whatever is not one of these does not reach the handler.
        @raise RegistrationError: another number, a second handler, no function of
            one parameter, no such type, or the server has started.
        """
        what = f"mesh.handle {cmd!r}"
        if self._frozen:
            raise RegistrationError(f"{what}: too late, the server has started")
        if not _is_command(cmd):
            raise RegistrationError(
                f"{what}: commands of applications are {COMMAND_MIN} to {COMMAND_MAX}"
            )
        if cmd in self._entries:
            raise RegistrationError(f"{what}: it is handled by {self._entries[cmd].where} already")
        if not callable(handler) or parameter_count(handler) not in (1, None):
            raise RegistrationError(
                f"{what}: {describe_callable(handler)} must be a function of 1 parameter, "
                "the message"
            )
        decoder = _decoder(type)
        if decoder is None:
            raise RegistrationError(
                f"{what}: type is a subclass of msgspec.Struct, dict or bytes, not {type!r}"
            )
        self._entries[cmd] = _Entry(handler, decoder, describe_callable(handler))

    def freeze(self) -> None:
        """
        Take no more handlers.
        """
        self._frozen = True

    @overload
    def request(
        self,
        node_address: str,
        cmd: int,
        message: MeshMessage = b"",
        *,
        reply: type[R],
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> "Deferred[R]": ...

    @overload
    def request(
        self,
        node_address: str,
        cmd: int,
        message: MeshMessage = b"",
        *,
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> "Deferred[None]": ...

    def request(
        self,
        node_address: str,
        cmd: int,
        message: MeshMessage = b"",
        *,
        reply: type[object] | None = None,
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> "Deferred[Any]":
        """
        Send a command to one node, this one perhaps, and wait for the answer.

        @param node_address: one of L{nodes}.
        @param cmd: 10001..65535.
        @param reply: what the answer must be: a subclass of C{msgspec.Struct},
            C{dict} or C{bytes}; L{None} = whatever it is, it is not looked at.
        @param timeout: in seconds, above 0 and at most 60.
        @raise LocalProtocolError: one of these is no such thing, or the message is
            too large.
        @raise MeshError: (the Deferred fails) there is no such node, or no handler
            there; the handler failed; the answer is something else, or late.
        """
        what = _what("request", node_address, cmd)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise LocalProtocolError(f"{what}: timeout is seconds, not {timeout!r}")
        if not 0 < timeout <= REQUEST_TIMEOUT_MOST:
            raise LocalProtocolError(
                f"{what}: timeout is above 0 and at most {REQUEST_TIMEOUT_MOST:g} s, "
                f"not {timeout!r}"
            )
        decoder = None if reply is None else _decoder(reply)
        if reply is not None and decoder is None:
            raise LocalProtocolError(
                f"{what}: reply is a subclass of msgspec.Struct, dict or bytes, not {reply!r}"
            )
        command = MeshCommand(cmd, _encode(what, message), True)

        def read(answer: MeshAnswer) -> object:
            if decoder is None:
                return None
            try:
                return decoder.decode(answer.body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                found = "something else" if answer.body else "nothing"
                raise MeshError(
                    f"mesh command {cmd}: {node_address} answered with {found}, not "
                    f"{reply.__name__}"  # type: ignore[union-attr]
                ) from None

        def explain(failure: Failure) -> object:
            failure.trap(MeshError)
            reason = str(failure.value).removeprefix(f"{MeshCommand.__name__}: ")
            raise MeshError(f"mesh command {cmd}: {reason}")

        asked = self._mesh.request(node_address, command, MeshAnswer, timeout)
        return asked.addCallbacks(read, explain)

    def send(self, node_address: str, cmd: int, message: MeshMessage = b"") -> None:
        """
        Send a command to one node, without an answer. Nobody is told if there is no
        such node, or no handler there.

        @param node_address: one of L{nodes}.
        @param cmd: 10001..65535.
        @raise LocalProtocolError: one of these is no such thing, or the message is
            too large.
        """
        what = _what("send", node_address, cmd)
        self._mesh.send(node_address, MeshCommand(cmd, _encode(what, message), False))

    def broadcast(self, cmd: int, message: MeshMessage = b"") -> None:
        """
        Send a command to every I{other} node, without answers.

        @param cmd: 10001..65535.
        @raise LocalProtocolError: one of these is no such thing, or the message is
            too large.
        """
        what = _what("broadcast", "", cmd)
        self._mesh.broadcast(MeshCommand(cmd, _encode(what, message), False))

    # Inside

    async def _handle(self, command: MeshCommand) -> MeshAnswer:
        entry = self._entries.get(command.cmd)
        if entry is None:
            if command.asked:
                raise MeshError(f"node {self.node_address} has no handler for it")
            self.unhandled += 1
            return _NOTHING
        try:
            message = entry.decoder.decode(command.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            if command.asked:
                raise MeshError(f"node {self.node_address} takes another type of message") from None
            self.malformed += 1
            return _NOTHING
        try:
            answer = entry.handler(message)
            work = as_deferred(answer)
            if work is not None:
                answer = await work
            if answer is None or not command.asked:
                return _NOTHING
            return MeshAnswer(_encode("its answer", answer))
        except (CancelledError, AsyncioCancelled):
            raise  # it took too long, which the other end notices by itself
        except FAULTS:
            self.log.failure(
                "mesh command {cmd}: {where} failed", cmd=command.cmd, where=entry.where
            )
            if command.asked:
                raise MeshError(f"its handler on node {self.node_address} failed") from None
            return _NOTHING


def _is_command(cmd: object) -> bool:
    return type(cmd) is int and COMMAND_MIN <= cmd <= COMMAND_MAX


def _what(verb: str, node_address: object, cmd: object) -> str:
    what = f"mesh.{verb} {cmd!r}"
    if not _is_command(cmd):
        raise LocalProtocolError(
            f"{what}: commands of applications are {COMMAND_MIN} to {COMMAND_MAX}"
        )
    if not isinstance(node_address, str):
        raise LocalProtocolError(f"{what}: a node address is text, not {node_address!r}")
    return what


def _decoder(kind: object) -> "msgspec.msgpack.Decoder[Any] | None":
    """
    @return: L{None} if it is none of the types that messages have.
    """
    if kind is bytes:
        return msgspec.msgpack.Decoder(bytes)
    if kind is dict:
        return msgspec.msgpack.Decoder(dict[str, object])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        try:
            return msgspec.msgpack.Decoder(kind)
        except TypeError:
            return None
    return None


def _encode(what: str, message: object) -> bytes:
    if isinstance(message, Mapping):
        message = dict(message)
    elif isinstance(message, bytes | bytearray | memoryview):
        message = bytes(message)
    elif not isinstance(message, msgspec.Struct):
        raise LocalProtocolError(
            f"{what}: a message is a msgspec.Struct, a mapping or bytes, "
            f"not {type(message).__name__}"
        )
    try:
        body = msgspec.msgpack.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise LocalProtocolError(f"{what}: it cannot be encoded: {error}") from None
    if len(body) > MESSAGE_MAX:
        raise LocalProtocolError(f"{what}: it has {len(body)} bytes; {MESSAGE_MAX} is the most")
    return body
