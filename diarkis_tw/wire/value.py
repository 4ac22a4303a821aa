"""
Values: payloads that are maps, as MessagePack::

    ===============  ===========================================
    payload          bytes
    ===============  ===========================================
    value            one MessagePack map with string keys
    error            the map C{{"code": int, "message": str}}
    ===============  ===========================================

Error payloads go with statuses BAD and ERR.
"""

from collections.abc import Mapping
from typing import Final, NoReturn, TypeAlias

import msgspec

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError

Value: TypeAlias = Mapping[str, object]

Payload: TypeAlias = bytes | Value
"""What a message carries: bytes as they are, or a value, which the transport
writes in its own way."""


class _Error(msgspec.Struct):
    code: int | float
    """A float without a fraction is how some writers of JSON put an integer."""
    message: str


def _as_dict(value: object) -> dict[object, object]:
    """
    Make msgspec take every mapping, not dicts alone.
    """
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise ValueError(f"extension type {code}")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_as_dict).encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, object], ext_hook=_refuse_extension).decode
_decode_error: Final = msgspec.msgpack.Decoder(_Error).decode


def encode_value(value: Value) -> bytes:
    """
    Write a map.

    @param value: string keys; values are None, bool, int of 64 bits, float, str,
        bytes, and lists and mappings of these.
    @return: MessagePack.

    @raise LocalProtocolError: something in it cannot be written; the text names
        its type.
    """
    if not isinstance(value, Mapping):
        raise LocalProtocolError(f"a value must be a mapping, not {type(value).__name__}")
    try:
        return _encode(value)
    except RecursionError:
        raise LocalProtocolError("the value is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as exc:
        raise LocalProtocolError(f"the value cannot be sent: {exc}") from exc


def decode_value(data: bytes) -> dict[str, object]:
    """
    Read a map.

    @param data: as received; its memory use is in proportion to its size.
    @return: the map. A MessagePack timestamp in it becomes a datetime, any other
        extension type is refused.

    @raise RemoteProtocolError: it is no MessagePack, not a map with string keys,
        nested too deeply, or something follows it.
    """
    try:
        return _decode(data)
    except RecursionError:
        raise RemoteProtocolError("the payload is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as exc:
        raise RemoteProtocolError(f"the payload is not a map: {exc}") from None


def encode_payload(payload: Payload) -> bytes:
    """
    Write a payload for a binary transport.

    @param payload: bytes, or a value as L{encode_value} takes.
    @return: the bytes, or MessagePack.

    @raise LocalProtocolError: it is neither, or the value cannot be written.
    """
    return payload if isinstance(payload, bytes) else encode_value(payload)


def value_of(payload: Payload) -> Value:
    """
    Read a payload that is a value, over whichever transport it came::

        answer = value_of(await client.request(2, 10, {"text": "hello"}))

    @param payload: what a client received: MessagePack from a binary transport, a
        map from one of texts.
    @return: the map.

    @raise RemoteProtocolError: it is none.
    """
    return decode_value(payload) if isinstance(payload, bytes) else payload


def encode_error(code: int, message: str) -> bytes:
    """
    Write the payload of a BAD or ERR response.

    @param code: the server's or the application's number for it.
    @param message: a sentence for the client; lone surrogates are replaced, so
        that any error's text can be sent.
    @return: MessagePack.

    @raise LocalProtocolError: the code does not fit 64 bits.
    """
    try:
        return _encode({"code": code, "message": message})
    except UnicodeEncodeError:
        return encode_error(code, message.encode("utf-8", "replace").decode("utf-8"))
    except OverflowError:
        raise LocalProtocolError(f"error code {code} does not fit 64 bits") from None


def decode_error(payload: Payload) -> tuple[int, str]:
    """
    Read the payload of a BAD or ERR response, forgivingly: an application may
    have answered something else.

    @param payload: any bytes, or any value.
    @return: code and message; C{(0, "")} if there are none.
    """
    try:
        if isinstance(payload, bytes):
            found = _decode_error(payload)
        else:
            found = msgspec.convert(dict(payload), _Error)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0, ""
    code = found.code
    if isinstance(code, float) and not code.is_integer():
        return 0, ""
    return int(code), found.message
