"""
Messages as a person types and reads them, one line each::

    =============  ================================================================
    typed          payload
    =============  ================================================================
    hello          UTF-8
    hex:00ff       bytes
    json:{"a": 1}  the object: a value, which travels as the transport writes it
    {"a": 1}       the same if the transport speaks JSON, else UTF-8
    =============  ================================================================

What is printed is safe for a terminal: nothing in it moves the cursor.
"""

import json

from diarkis_tw.client import (
    LocalProtocolError,
    Payload,
    Push,
    RemoteProtocolError,
    Response,
    ResponseError,
    Status,
    Value,
    value_of,
)
from diarkis_tw.constants import Builtin
from diarkis_tw.wire.value import decode_error, encode_value


def parse_payload(text: str, speaks_json: bool = False) -> Payload:
    """
    Read a payload as typed.

    @param text: see the table above.
    @param speaks_json: so does the transport.
    @return: what to send.

    @raise LocalProtocolError: what follows the prefix is not what it says.
    """
    kind, _, rest = text.partition(":")
    if kind == "hex":
        try:
            return bytes.fromhex(rest)
        except ValueError:
            raise LocalProtocolError(f"{text!r} is not hexadecimal after hex:") from None
    if kind == "json":
        return _parse_object(rest)
    if speaks_json and text.startswith("{"):
        try:
            return _parse_object(text)
        except LocalProtocolError:
            pass
    # What a terminal delivers that is no UTF-8 stands in the text as surrogates.
    return text.encode("utf-8", "surrogateescape")


def _parse_object(text: str) -> Value:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{text!r} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise LocalProtocolError("after json: there must be an object, {...}")
    encode_value(value)  # said now, not when the connection is there
    return value


def parse_command(
    ver: str, cmd: str, payload: str, speaks_json: bool = False
) -> tuple[int, int, Payload]:
    """
    Read a command as typed.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param payload: see L{parse_payload}.
    @param speaks_json: see L{parse_payload}.
    @return: the three, to be sent.

    @raise LocalProtocolError: one of them is wrong.
    """
    return (
        _number("VER", ver, 255),
        _number("CMD", cmd, 65535),
        parse_payload(payload, speaks_json),
    )


def _number(name: str, text: str, greatest: int) -> int:
    if text.isascii() and text.isdigit() and int(text[:9]) <= greatest:
        return int(text[:9])
    raise LocalProtocolError(f"{name} must be a number from 0 to {greatest}, not {text!r}")


def show_payload(payload: Payload) -> str:
    """
    Write a payload: legible text in quotes, a value as JSON, else C{hex:}.

    @param payload: any bytes, or any value.
    @return: one line.
    """
    quoted = _as_text(payload) if isinstance(payload, bytes) else None
    if quoted is not None:
        return quoted
    try:
        return _as_json(value_of(payload))
    except (RemoteProtocolError, TypeError, ValueError, RecursionError):
        return "hex:" + payload.hex() if isinstance(payload, bytes) else quote(str(payload))


def show_value(value: object) -> str:
    """
    Write what a value has in it, as JSON.

    @param value: of a payload.
    @return: one line.
    """
    try:
        return _as_json(value)
    except (TypeError, ValueError, RecursionError):
        return "(cannot be shown)"


def _as_json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_other)
    return printable(text)


def _as_text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    if all(char.isprintable() or char in "\n\r\t" for char in text):
        return quote(text)
    return None


def quote(text: str) -> str:
    """
    Write a text in double quotes, with what cannot be printed escaped as in JSON.

    @param text: any text.
    @return: one line.
    """
    return printable(json.dumps(text, ensure_ascii=False))


def printable(text: str) -> str:
    """
    Write a text without quotes, with what cannot be printed escaped as in JSON.

    @param text: any text.
    @return: one line.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _other(value: object) -> str:
    return f"hex:{value.hex()}" if isinstance(value, bytes) else str(value)


def show_response(response: Response) -> str:
    """
    Write a response.

    @param response: as it came.
    @return: one line.
    """
    if response.status is not Status.OK:
        code, message = decode_error(response.payload)
        if code or message:
            error = ResponseError(response.status, code, message)
            return show_error(response.ver, response.cmd, error)
    return (
        f"response ver={response.ver} cmd={response.cmd} status={response.status.name} "
        f"payload={show_payload(response.payload)}"
    )


def show_error(ver: int, cmd: int, error: ResponseError) -> str:
    """
    Write a response with status BAD or ERR.

    @param ver: of the command.
    @param cmd: of the command.
    @param error: what its request failed with.
    @return: one line.
    """
    return (
        f"response ver={ver} cmd={cmd} status={error.status.name} "
        f"code={error.code} message={quote(error.message)}"
    )


def show_push(push: Push) -> str:
    """
    Write a push.

    @param push: as it came.
    @return: one line.
    """
    if push.ver == 0 and push.cmd == Builtin.NOTIFICATION:
        return f"notification payload={show_payload(push.payload)}"
    return f"push ver={push.ver} cmd={push.cmd} payload={show_payload(push.payload)}"
