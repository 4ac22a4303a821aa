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

Handler: TypeAlias = Callable[[RequestShape, User], AnswerShape | Awaitable[AnswerShape] | None]
"""Gets the request; returns the answer, now or later, or None for an empty one."""


def handle_builtin(
    registry: CommandRegistry,
    command: Command[RequestShape, AnswerShape],
    handler: Handler[RequestShape, AnswerShape],
) -> None:
    """
    Let C{handler} answer C{command}; a payload of another shape is answered BAD
    1001 without it.
    """
    decode = command.decode

    async def answer_later(work: Awaitable[AnswerShape]) -> dict[str, object]:
        return as_value(await work)

    def handle(ver: int, cmd: int, payload: bytes, user: User) -> object:
        try:
            request = decode(payload)
        except RemoteProtocolError as error:
            raise CommandError(ErrorCode.INVALID_PARAMETERS, str(error)) from None
        answer = handler(request, user)
        if answer is None:
            return None
        return answer_later(answer) if isinstance(answer, Awaitable) else as_value(answer)

    registry.handle_builtin(command.ver, command.cmd, handle)
