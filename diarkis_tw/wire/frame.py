"""
Frames: what a sealed UDP packet holds::

    =========  ==============  ==================================================
    type       frame           layout after the type byte
    =========  ==============  ==================================================
    0x00       PADDING
    0x01       PING
    0x02       ACK             largest u16, delay u8 (ms), n u8 (0..32), n bytes:
                               bit i (byte i >> 3, mask 1 << (i & 7)) = packet
                               largest - 1 - i was received
    0x03       CLOSE           code u8, UTF-8 reason to the end of the packet
    0x04       PATH_CHALLENGE  8 bytes
    0x05       PATH_RESPONSE   8 bytes
    0x20       MESSAGE         unreliable; the message, to the end of the packet
    0x21       MESSAGE         unreliable; length u16, message
    0x40-0x7F  RELIABLE        0x40 + 0x20 (length present, else to the end) +
                               0x10 (first fragment) + 0x08 (last fragment) +
                               channel 0..7; seq u16, [length u16], data
    =========  ==============  ==================================================

Frames take effect in the order they stand in, those before a bad one too.
Frames of fixed content need no function here: PADDING and PING are their type
byte, and PATH_CHALLENGE, PATH_RESPONSE, CLOSE
(L{diarkis_tw.wire.handshake.encode_close}) and MESSAGE it and their bytes.
"""

from struct import Struct, error
from typing import Final, TypeAlias

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError

PADDING: Final = 0x00
PING: Final = 0x01
ACK: Final = 0x02
CLOSE: Final = 0x03
PATH_CHALLENGE: Final = 0x04
PATH_RESPONSE: Final = 0x05
MESSAGE: Final = 0x20
MESSAGE_WITH_LENGTH: Final = 0x21
RELIABLE: Final = 0x40
HAS_LENGTH: Final = 0x20
FIRST: Final = 0x10
LAST: Final = 0x08
CHANNEL_MASK: Final = 0x07
WHOLE: Final = RELIABLE | FIRST | LAST
"""A reliable message that is one frame, to the end of its packet; and its channel."""

CHANNELS: Final = 8
ACK_BYTES_MAX: Final = 32
"""An ACK covers the largest packet and up to 256 before it."""

ACK_SIZE: Final = 5
"""Bytes of an ACK without its bitmap."""

PATH_SIZE: Final = 8
"""Bytes in a PATH_CHALLENGE and in the PATH_RESPONSE that repeats them."""

RELIABLE_OVERHEAD: Final = 5
"""Bytes of a RELIABLE frame with length before its data."""

MESSAGE_OVERHEAD: Final = 3
"""Bytes of a MESSAGE frame with length before its message."""

Frame: TypeAlias = tuple[int, int, int, bytes]
"""
A parsed frame: its type byte, two numbers and bytes, of which it uses what it
needs, with 0 and no bytes for the rest: PING C{(PING, 0, 0, b"")}, ACK C{(ACK,
largest, delay, bitmap)}, CLOSE C{(CLOSE, 0, 0, body)}, both PATH frames C{(type,
0, 0, data)}, both forms of MESSAGE C{(MESSAGE, 0, 0, message)}, and RELIABLE
C{(type, seq, 0, data)}. PADDING is none.
"""

_NO_LENGTH_MASK: Final = 0xE0
"""The bits that say RELIABLE without length; below them are flags and channel."""
_pack_ack: Final = Struct(">BHBB").pack
_pack_u16: Final = Struct(">BH").pack
pack_reliable: Final = _pack_u16
"""The header of a RELIABLE frame without length: type byte, low 16 bits of the seq."""
_pack_u16_u16: Final = Struct(">BHH").pack
unpack_ack: Final = Struct(">HBB").unpack_from
"""Largest, delay and size of the bitmap, which stand behind the type of an ACK."""
_unpack_u16: Final = Struct(">H").unpack_from


def parse_frames(packet: bytes) -> tuple[list[Frame], RemoteProtocolError | None]:
    """
    Cut the plaintext of a packet into frames.

    @param packet: any bytes are safe.
    @return: the frames before the first bad one, which stand, and what is wrong
        with that one; L{None} if nothing is.
    """
    frames: list[Frame] = []
    position = 0
    end = len(packet)
    while position < end:
        kind = packet[position]
        if kind >= RELIABLE:
            if kind > 0x7F or position + 3 > end:
                return frames, _bad(kind)
            seq = _unpack_u16(packet, position + 1)[0]
            if kind & HAS_LENGTH:
                if position + 5 > end:
                    return frames, _bad(kind)
                start = position + 5
                position = start + _unpack_u16(packet, position + 3)[0]
                if position > end:
                    return frames, _bad(kind)
                frames.append((kind, seq, 0, packet[start:position]))
            else:
                frames.append((kind, seq, 0, packet[position + 3 :]))
                position = end
        elif kind == ACK:
            start = position + ACK_SIZE
            if start > end:
                return frames, _bad(kind)
            largest, delay, count = unpack_ack(packet, position + 1)
            position = start + count
            if position > end or count > ACK_BYTES_MAX:
                return frames, _bad(kind)
            frames.append((ACK, largest, delay, packet[start:position]))
        elif kind == MESSAGE:
            frames.append((MESSAGE, 0, 0, packet[position + 1 :]))
            position = end
        elif kind == PADDING:
            # A client pads its small packets, so a run of them is the usual case.
            position = end - len(packet[position:].lstrip(b"\0"))
        elif kind == MESSAGE_WITH_LENGTH:
            start = position + 3
            if start > end:
                return frames, _bad(kind)
            position = start + _unpack_u16(packet, position + 1)[0]
            if position > end:
                return frames, _bad(kind)
            frames.append((MESSAGE, 0, 0, packet[start:position]))
        elif kind == PING:
            frames.append((PING, 0, 0, b""))
            position += 1
        elif kind in (PATH_CHALLENGE, PATH_RESPONSE):
            start = position + 1
            position = start + PATH_SIZE
            if position > end:
                return frames, _bad(kind)
            frames.append((kind, 0, 0, packet[start:position]))
        elif kind == CLOSE:
            if position + 2 > end:
                return frames, _bad(kind)
            frames.append((CLOSE, 0, 0, packet[position + 1 :]))
            position = end
        else:
            return frames, _bad(kind)
    return frames, None


def encode_ack(largest: int, delay: int, bits: int) -> bytes:
    """
    Write an ACK frame.

    @param largest: full number of the largest packet received; its low 16 bits
        are sent.
    @param delay: milliseconds since it came, 0 and up; capped at 255.
    @param bits: bit i = packet C{largest - 1 - i} was received; 256 bits at most.
    @return: 5 bytes, and of the bitmap as many as have a bit set in or behind them.

    @raise LocalProtocolError: a number is negative, or the bits are too many.
    """
    if delay > 255:
        delay = 255
    try:
        if not bits:
            return _pack_ack(ACK, largest & 0xFFFF, delay, 0)
        size = (bits.bit_length() + 7) >> 3
        if size <= ACK_BYTES_MAX:
            return _pack_ack(ACK, largest & 0xFFFF, delay, size) + bits.to_bytes(size, "little")
    except (error, OverflowError):
        pass
    raise LocalProtocolError(f"ACK with delay {delay} and {bits.bit_length()} bits")


def reliable_header(channel: int, seq: int, first: bool, last: bool) -> bytes:
    """
    Write what stands before the data of a RELIABLE frame that ends its packet.

    @param channel: 0..7.
    @param seq: full number of the frame; its low 16 bits are sent.
    @param first: the data begins a message.
    @param last: the data ends a message.
    @return: 3 bytes.

    @raise LocalProtocolError: there is no such channel.
    """
    if not 0 <= channel < CHANNELS:
        raise LocalProtocolError(f"channel {channel}")
    kind = RELIABLE | (FIRST if first else 0) | (LAST if last else 0) | channel
    return _pack_u16(kind, seq & 0xFFFF)


def with_length(frame: bytes) -> bytes:
    """
    Write the same RELIABLE or MESSAGE frame with a length, so that another can
    follow.

    @param frame: without a length.
    @return: 2 bytes more.

    @raise LocalProtocolError: it has a length already, is another frame, or is
        longer than a length can say.
    """
    try:
        kind = frame[0]
        if kind == MESSAGE:
            return _pack_u16(MESSAGE_WITH_LENGTH, len(frame) - 1) + frame[1:]
        if kind & _NO_LENGTH_MASK == RELIABLE:
            seq = _unpack_u16(frame, 1)[0]
            return _pack_u16_u16(kind | HAS_LENGTH, seq, len(frame) - 3) + frame[3:]
    except (error, IndexError):
        pass
    raise LocalProtocolError(
        f"no length fits a frame of {len(frame)} bytes that begins {frame[:1]!r}"
    )


def _bad(kind: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"frame type {kind:#04x} is unknown, malformed or goes past the end")
