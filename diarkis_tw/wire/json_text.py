"""
JSON as the text subprotocol of WebSocket has it: RFC 8259, and stricter::

    ===================  ====================================================
    refused              because
    ===================  ====================================================
    the same key twice   readers differ in which one counts
    NaN, Infinity        not JSON
    lone surrogates      not Unicode
    depth above 16       no game needs it; the message itself counts as 1
    ===================  ====================================================

A body is bytes or a value::

    ==============================  =========================================
    body                            JSON
    ==============================  =========================================
    value                           an object
    bytes                           C{{"base64": "..."}}, RFC 4648 with padding
    no bytes                        absent
    bytes inside a value            a base64 string
    ==============================  =========================================

An object whose only key is C{base64} always is bytes.
"""

import json
import math
from binascii import Error, a2b_base64
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.value import Payload

DEPTH_MAX: Final = 16
"""Objects and arrays inside each other, the message itself included."""

BYTES_KEY: Final = "base64"


def _as_dict(value: object) -> dict[object, object]:
    """
    Make msgspec take every mapping, not dicts alone.
    """
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent")


_encode: Final = msgspec.json.Encoder(enc_hook=_as_dict).encode


def encode_json(message: dict[str, object]) -> bytes:
    """
    Write a message: one that L{check_text} lets pass, or a value that one user has
    sent as MessagePack could cost another one its connection.

    @param message: with all that is in it.
    @return: UTF-8.

    @raise LocalProtocolError: something in it cannot be written; the text says
        what.
    """
    try:
        text = _encode(message)
    except RecursionError:
        raise LocalProtocolError("the value is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as exc:
        raise LocalProtocolError(f"the value cannot be sent: {exc}") from exc
    # msgspec 0.22 writes both as null.
    if b"null" in text and _has_non_finite(message.values()):
        raise LocalProtocolError("the value cannot be sent: JSON has no NaN and no Infinity")
    # The message and its payload alone hold no surprise.
    if text.count(b"{") + text.count(b"[") > 2 and not _has_plain_keys(message, DEPTH_MAX):
        try:
            refuse_duplicates(text)
        except RemoteProtocolError:
            raise LocalProtocolError("the value cannot be sent: it has a key twice") from None
    return text


def _has_plain_keys(item: object, depth: int) -> bool:
    """
    Whether all keys in C{item} are text: 1 and C{"1"} are the same one in JSON.

    @param depth: levels that C{item} may have.
    @raise LocalProtocolError: it has more.
    """
    inner: Iterable[object]
    plain = True
    if type(item) is dict or isinstance(item, Mapping):  # an ABC takes its time
        inner = item.values()
        plain = all(isinstance(key, str) for key in item)
    elif isinstance(item, list | tuple | set | frozenset):
        inner = item
    else:
        return True
    if depth == 0:
        raise LocalProtocolError(
            f"the value cannot be sent: it is nested more than {DEPTH_MAX} deep"
        )
    for value in inner:
        kind = type(value)
        if kind is str or kind is int or kind is float:
            continue
        plain &= _has_plain_keys(value, depth - 1)
    return plain


def body_to_json(body: Payload) -> object:
    """
    Give a body the form that L{encode_json} writes.

    @param body: a value or bytes, not empty ones: they are left out of a message.
    @return: something to put in a message.

    @raise LocalProtocolError: an object that means bytes, but is not base64; or
        neither a value nor bytes.
    """
    if isinstance(body, bytes):
        return {BYTES_KEY: body}
    if type(body) is dict or isinstance(body, Mapping):  # an ABC takes its time
        if len(body) == 1 and BYTES_KEY in body and isinstance(body[BYTES_KEY], str):
            _require_base64(body[BYTES_KEY])
        return body
    if isinstance(body, bytearray | memoryview):
        return {BYTES_KEY: bytes(body)}
    raise LocalProtocolError(f"a body is bytes or a mapping, not {type(body).__name__}")


def body_from_json(payload: dict[str, object] | msgspec.UnsetType) -> Payload:
    """
    Read a body.

    @param payload: as decoded; unset = there is none.
    @return: bytes or a value.

    @raise RemoteProtocolError: its only key is C{base64}, but it is none.
    """
    if payload is msgspec.UNSET:
        return b""
    if len(payload) == 1 and BYTES_KEY in payload:
        try:
            return a2b_base64(payload[BYTES_KEY], strict_mode=True)  # type: ignore[arg-type]
        except (Error, TypeError, ValueError):
            raise RemoteProtocolError("bytes that are not base64") from None
    return payload


def check_text(text: bytes, fields: int, payload: dict[str, object] | msgspec.UnsetType) -> None:
    """
    Refuse what msgspec lets pass: the same key twice, and depth.

    Each member of an object has one colon, so if the text has as many colons as
    there are members left after decoding, none was written twice. Colons in
    strings make more of them; only then the text is read again.

    @param text: as received and decoded.
    @param fields: members of the message itself.
    @param payload: the one of them that has members of its own.

    @raise RemoteProtocolError: either was found.
    """
    if payload is not msgspec.UNSET:
        nested = text.count(b"{") + text.count(b"[") > 2
        fields += _count_members(payload, DEPTH_MAX - 1) if nested else len(payload)
    if fields != text.count(b":"):
        refuse_duplicates(text)


def refuse_duplicates(text: bytes) -> None:
    """
    Look for a key that an object has twice, thoroughly.

    @param text: JSON that msgspec has decoded.

    @raise RemoteProtocolError: there is one.
    """
    try:
        _find_duplicates(text.decode())
    except (ValueError, RecursionError):
        raise RemoteProtocolError("an object has a key twice, or is nested too deeply") from None


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")


_find_duplicates: Final = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_int=str, parse_float=str
).decode


def _count_members(item: object, depth: int) -> int:
    """
    Members of all objects in C{item}, which has C{depth} levels at most.
    """
    if depth == 0:
        raise RemoteProtocolError(f"nested more than {DEPTH_MAX} deep")
    inner: Iterable[object]
    if type(item) is dict:
        members = len(item)
        inner = item.values()
    else:
        members = 0
        inner = item  # type: ignore[assignment]  # a list
    for value in inner:
        if type(value) is dict or type(value) is list:
            members += _count_members(value, depth - 1)
    return members


def _has_non_finite(values: Iterable[object]) -> bool:
    for value in values:
        if isinstance(value, float):
            if not math.isfinite(value):
                return True
        elif isinstance(value, Mapping):
            if _has_non_finite(value.values()):
                return True
        elif isinstance(value, list | tuple | set | frozenset) and _has_non_finite(value):
            return True
    return False


def _require_base64(text: str) -> None:
    try:
        a2b_base64(text, strict_mode=True)
    except (Error, ValueError):
        raise LocalProtocolError(
            f"a value whose only key is {BYTES_KEY!r} means bytes, and this is not base64"
        ) from None
