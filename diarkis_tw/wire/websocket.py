"""
What both WebSocket subprotocols (RFC 6455) agree on, and the records of the binary
one::

    ======  =====  ==================================================
    record  bytes
    ======  =====  ==================================================
    type    1      L{RecordType}; it alone is the header
    body    rest   as on TCP
    ======  =====  ==================================================

Each binary message is one record: WebSocket says how long it is. The header is
what HELLO's HMAC, the seal of ACCEPT's terms and every seal cover.

A connection ends with the close status 4000 + close code; a client's own 1000
means NORMAL.
"""

from struct import Struct
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.handshake import cut_reason
from diarkis_tw.wire.record import RecordType

JSON_SUBPROTOCOL: Final = "diarkis.v1.json"
"""Text messages; also what a client gets that asks for none."""

BINARY_SUBPROTOCOL: Final = "diarkis.v1.bin"
"""Records, sealed."""

STATUS_NORMAL: Final = 1000
"""RFC 6455, 7.4.1."""

FRAME_TEXT: Final = 0x81
"""First byte of an unfragmented text message; RFC 6455, 5.2, as those below."""

FRAME_BINARY: Final = 0x82
FRAME_CLOSE: Final = 0x88
FRAME_PONG: Final = 0x8A

CLOSE_REASON_MAX_BYTES: Final = 123
"""RFC 6455, 5.5: a control frame has 125, and two say the status."""

_STATUS_BASE: Final = 4000
"""RFC 6455, 7.4.2: the first number for private use."""

_MASKED: Final = 0x80
_MASK_SIZE: Final = 4
_MEDIUM_SIZE: Final = 126
"""RFC 6455, 5.2: from here on a length takes two bytes more, and this in the first."""

_MEDIUM_MASKED: Final = _MASKED | _MEDIUM_SIZE
_SHORT_HEADER_SIZE: Final = 2 + _MASK_SIZE
_MEDIUM_HEADER_SIZE: Final = 4 + _MASK_SIZE

_MEDIUM: Final = Struct(">BBH").pack
_LONG: Final = Struct(">BBQ").pack
_STATUS: Final = Struct(">H").pack

_CLOSE_CODE: Final = {_STATUS_BASE + code: code for code in CloseCode}


def ws_header(type: RecordType) -> bytes:
    """
    Write a header.

    @param type: of the record.
    @return: 1 byte.
    """
    return bytes((type,))


def split_ws_record(message: bytes) -> tuple[int, bytes, bytes]:
    """
    Take a binary message apart.

    @param message: as received.
    @return: type, header (1 byte) and body.

    @raise RemoteProtocolError: it is empty.
    """
    if not message:
        raise RemoteProtocolError("an empty record")
    return message[0], message[:1], message[1:]


def close_status(code: CloseCode) -> int:
    """
    Write a close code as WebSocket's close status.

    @param code: why.
    @return: 4000 and up.
    """
    return _STATUS_BASE + code


def status_close_code(status: int | None) -> CloseCode | None:
    """
    Read a peer's close status.

    @param status: of its close frame, L{None} if there was none.
    @return: why; INTERNAL for a private number that is not known here; L{None}
        if nobody has said why, so that the connection counts as lost.
    """
    if status is None:
        return None
    if status == STATUS_NORMAL:
        return CloseCode.NORMAL
    if status < _STATUS_BASE:
        return None
    return _CLOSE_CODE.get(status, CloseCode.INTERNAL)


def server_frame(first: int, payload: bytes) -> bytes:
    """
    Write a frame of a server, which is not masked (RFC 6455, 5.2).

    @param first: its first byte, one of those above.
    @param payload: the whole message, or what a control frame carries.
    @return: 2 to 10 bytes more.
    """
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size <= 0xFFFF:
        return _MEDIUM(first, 126, size) + payload
    return _LONG(first, 127, size) + payload


def whole_message(data: bytes, first: int, limit: int) -> bytes | None:
    """
    Read a client's message if C{data} is nothing but that, in one frame: the way in
    which nearly all of them come. Whatever else C{data} is, right or wrong, needs
    somebody who knows the whole of RFC 6455.

    @param data: as received, all of it.
    @param first: the first byte that it must have, FRAME_TEXT or FRAME_BINARY.
    @param limit: greatest legal length of the message, in bytes.
    @return: the message, unmasked; a text may still be no UTF-8.
    """
    size = len(data) - _SHORT_HEADER_SIZE
    if size >= _MEDIUM_SIZE:
        size = len(data) - _MEDIUM_HEADER_SIZE
        legal = size >= _MEDIUM_SIZE and data[1] == _MEDIUM_MASKED
        legal = legal and int.from_bytes(data[2:4]) == size
    else:
        legal = size >= 0 and data[1] == _MASKED | size
    if not legal or data[0] != first or size > limit:
        return None
    start = len(data) - size
    mask = data[start - _MASK_SIZE : start] * (size // _MASK_SIZE + 1)
    masked = int.from_bytes(data[start:], "little") ^ int.from_bytes(mask[:size], "little")
    return masked.to_bytes(size, "little")


def close_frame(status: int | None, reason: str = "") -> bytes:
    """
    Write a server's close frame.

    @param status: L{None} = none.
    @param reason: for people, cut to what fits; none without a status.
    @return: the frame.
    """
    payload = (
        b"" if status is None else _STATUS(status) + cut_reason(reason, CLOSE_REASON_MAX_BYTES)
    )
    return server_frame(FRAME_CLOSE, payload)
