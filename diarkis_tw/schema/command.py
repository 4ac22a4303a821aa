"""
A built-in command: its number and the shapes of what goes there and back.

Payloads are maps, on binary transports as MessagePack, on WebSocket text as
JSON; the structs here are both. Unknown keys are ignored, so that a newer peer
may say more.
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeGuard, TypeVar, cast

import msgspec
from msgspec.inspect import IntType, StructType, type_info

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError

Body: TypeAlias = bytes | dict[str, object]
"""What an application sends through a module: bytes, or a value."""

RequestShape = TypeVar("RequestShape", bound=msgspec.Struct)
AnswerShape = TypeVar("AnswerShape", bound=msgspec.Struct)
Shape = TypeVar("Shape", bound=msgspec.Struct)


class Nothing(msgspec.Struct, frozen=True):
    """
    A payload without content. An empty payload stands for it too.
    """


class Command(Generic[RequestShape, AnswerShape]):
    """
    One command of version 1.

    @ivar cmd: its number.
    @ivar request: what the client sends.
    @ivar answer: what the server answers with status OK.
    """

    ver: Final = 1

    def __init__(self, cmd: int, request: type[RequestShape], answer: type[AnswerShape]) -> None:
        self.cmd = cmd
        self.request = request
        self.answer = answer
        self._decode = msgspec.msgpack.Decoder(request, ext_hook=_refuse_extension).decode
        self._whole = [
            field.encode_name
            for field in cast(StructType, type_info(request)).fields
            if isinstance(field.type, IntType)
        ]

    def decode(self, payload: bytes) -> RequestShape:
        """
        Read a request.

        @raise RemoteProtocolError: it has another shape; the text says where.
        """
        try:
            return self._decode(payload or _EMPTY_MAP)
        except RecursionError:
            raise RemoteProtocolError("the payload is nested too deeply") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise RemoteProtocolError(f"not a payload of this command: {error}") from None

    def read(self, value: Mapping[str, object]) -> RequestShape:
        """
        Read a request that came as JSON, in which bytes are base64, and C{4.0} may be a
        whole number, since some languages have no others.

        @raise RemoteProtocolError: as for L{decode}.
        """
        whole = {key: int(number) for key in self._whole if _is_whole(number := value.get(key))}
        return as_shape({**value, **whole} if whole else value, self.request)


_EMPTY_MAP: Final = b"\x80"

WHOLE_MAX: Final = 2.0**53
"""Beyond it a float does not say which whole number is meant."""


def _is_whole(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and value.is_integer() and abs(value) <= WHOLE_MAX


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise ValueError(f"extension type {code}")


def as_value(shape: msgspec.Struct) -> dict[str, object]:
    """
    A struct as the value that travels.
    """
    return cast("dict[str, object]", msgspec.to_builtins(shape, builtin_types=(bytes,)))


def as_shape(value: Mapping[str, object] | bytes, shape: type[Shape]) -> Shape:
    """
    The struct behind a payload, whichever transport brought it.

    @raise RemoteProtocolError: it has another shape.
    """
    try:
        if isinstance(value, bytes):
            return msgspec.msgpack.decode(
                value or _EMPTY_MAP, type=shape, ext_hook=_refuse_extension
            )
        return msgspec.convert(value, shape)
    except RecursionError:
        raise RemoteProtocolError("the payload is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise RemoteProtocolError(f"not a {shape.__name__}: {error}") from None


def encoded_size(value: object) -> int:
    """
    How many bytes a value takes as MessagePack.

    @raise LocalProtocolError: something in it cannot be sent.
    """
    try:
        return len(msgspec.msgpack.encode(value))
    except RecursionError:
        raise LocalProtocolError("the value is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"the value cannot be sent: {error}") from error


AnyCommand: TypeAlias = Command[Any, Any]
