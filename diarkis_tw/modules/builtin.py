"""
Registering built-in commands by their schema.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import msgspec

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, RemoteProtocolError
from diarkis_tw.schema.command import Command, as_value

RequestShape = TypeVar("RequestShape", bound=msgspec.Struct)
AnswerShape = TypeVar("AnswerShape", bound=msgspec.Struct)
PayloadT = TypeVar("PayloadT")

Handler: TypeAlias = Callable[[RequestShape, User], AnswerShape | Awaitable[AnswerShape] | None]
"""Gets the request; returns the answer, now or later, or None for an empty one."""


def handle_builtin(
    registry: CommandRegistry,
    command: Command[RequestShape, AnswerShape],
    handler: Handler[RequestShape, AnswerShape],
) -> None:
    """
    Let C{handler} answer C{command}, whether it came as MessagePack or as JSON; a
    payload of another shape is answered BAD 1001 without it.
    """
    registry.handle_builtin(command.ver, command.cmd, _step(command.decode, handler))
    registry.handle_ws_builtin(command.ver, command.cmd, _step(command.read, handler))


def _step(
    read: Callable[[PayloadT], RequestShape], handler: Handler[RequestShape, AnswerShape]
) -> Callable[[int, int, PayloadT, User], object]:
    def handle(ver: int, cmd: int, payload: PayloadT, user: User) -> object:
        try:
            request = read(payload)
        except RemoteProtocolError as error:
            raise CommandError(ErrorCode.INVALID_PARAMETERS, str(error)) from None
        answer = handler(request, user)
        if answer is None:
            return None
        return _answer_later(answer) if isinstance(answer, Awaitable) else as_value(answer)

    return handle


async def _answer_later(work: Awaitable[msgspec.Struct]) -> dict[str, object]:
    return as_value(await work)
