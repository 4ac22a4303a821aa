"""
Talking to the modules of the server by their schema, over any transport.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from diarkis_tw.client.handlers import Handler
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.schema.command import Body, Command, Nothing, as_shape, as_value
from diarkis_tw.units import Seconds
from diarkis_tw.wire.value import Payload

PATIENCE: Final[Seconds] = 10.0
"""How long to wait for an answer: the server's hooks may take some of it."""

RequestShape = TypeVar("RequestShape", bound=msgspec.Struct)
AnswerShape = TypeVar("AnswerShape", bound=msgspec.Struct)
Shape = TypeVar("Shape", bound=msgspec.Struct)


class Talking(Protocol):
    """
    What is needed of a L{diarkis_tw.client.client.Client}; see there.
    """

    def request(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        timeout: Seconds = 5.0,
        reliable: bool = True,
    ) -> Deferred[Payload]:
        """
        Run a command and wait for its answer.
        """

    def send(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        reliable: bool = True,
        channel: int = 0,
    ) -> bool:
        """
        Run a command without waiting.
        """

    def on_push(self, ver: int, cmd: int, handler: Handler[[Payload]]) -> None:
        """
        Listen to one kind of push.
        """


class BuiltinClient:
    """
    The client of one module.
    """

    def __init__(self, client: Talking) -> None:
        """
        @param client: asks and hears.
        """
        self._client = client

    def _ask(
        self, command: Command[RequestShape, AnswerShape], request: RequestShape
    ) -> Deferred[AnswerShape]:
        try:
            value = _to_send(request)
        except LocalProtocolError as error:
            return fail(error)
        asking = self._client.request(command.ver, command.cmd, value, PATIENCE)
        return asking.addCallback(as_shape, command.answer)

    def _say(
        self, command: Command[RequestShape, Nothing], request: RequestShape, reliable: bool
    ) -> Deferred[None]:
        if reliable:
            return self._ask(command, request).addCallback(_nothing)
        try:
            self._client.send(command.ver, command.cmd, _to_send(request), reliable=False)
        except LocalProtocolError as error:
            return fail(error)
        return succeed(None)

    def _on(self, cmd: int, shape: type[Shape], tell: Callable[[Shape], object]) -> None:
        self._client.on_push(1, cmd, lambda payload: tell(as_shape(payload, shape)))


def body_of(message: Payload) -> Body:
    """
    A message of the application, as the structs take it.
    """
    return dict(message) if isinstance(message, Mapping) else bytes(message)


def _nothing(answer: Nothing) -> None:
    return None


def _to_send(request: msgspec.Struct) -> dict[str, object]:
    try:
        return as_value(request)
    except RecursionError:
        raise LocalProtocolError("the value is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"the value cannot be sent: {error}") from error
