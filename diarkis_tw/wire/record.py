"""
Records: how messages are cut out of the TCP stream::

    ======  =====  ==================================================
    record  bytes
    ======  =====  ==================================================
    type    1      L{RecordType}
    length  3      of the body alone, big endian
    body    above  for DATA and CLOSE sealed, the tag included
    ======  =====  ==================================================

The four bytes before the body are the header, which HELLO's HMAC and every seal
of the record cover.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.cipher import TAG_SIZE as TAG_SIZE  # for those who compute a limit

RECORD_HEADER_SIZE: Final = 4
BODY_LENGTH_MAX: Final = 2**24 - 1
"""The greatest length that three bytes can say."""

_HEADER: Final = Struct(">I")
_pack_header: Final = _HEADER.pack
_unpack_header: Final = _HEADER.unpack_from


class RecordType(IntEnum):
    """
    First byte of a record, on TCP and on binary WebSocket.
    """

    HELLO = 0x01
    ACCEPT = 0x03
    TERMINATE = 0x04
    DATA = 0x10
    """One sealed message."""
    CLOSE = 0x11
    """A sealed code and reason; nothing follows it."""


def record_header(type: int, length: int) -> bytes:
    """
    Write a header.

    @param type: one byte, see L{RecordType}.
    @param length: of the body in bytes, the tag included.
    @return: 4 bytes.

    @raise LocalProtocolError: the length does not fit 24 bits, or the type one
        byte.
    """
    if not (0 <= length <= BODY_LENGTH_MAX and 0 <= type <= 255):
        raise LocalProtocolError(f"record type {type} of {length} bytes cannot be written")
    return _pack_header(type << 24 | length)


class RecordReader:
    """
    Cuts a byte stream into records, however its chunks are cut.

    After each L{feed}, call L{next} until it returns L{None}: then no more than
    an incomplete record stays behind, which is less than L{limit} and a header.

    A chunk that comes while nothing is held is read in place. What is left of it
    goes into a bytearray, which grows and shrinks in amortised constant time
    per byte, so a stream that dribbles in byte by byte costs linear time too.

    @ivar limit: greatest legal length of a body at present, in bytes; whoever
        reads changes it when the handshake is over.
    """

    __slots__ = ("_buffer", "_end", "_offset", "limit")

    def __init__(self, limit: int) -> None:
        """
        @param limit: greatest legal length of a body, in bytes.
        """
        self.limit = limit
        self._buffer: bytes | bytearray = b""
        # What is held is buffer[offset:end]; end is the buffer's length.
        self._offset = 0
        self._end = 0

    @property
    def pending(self) -> int:
        """
        Bytes held that were not yet returned as records.
        """
        return self._end - self._offset

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes of the stream.

        @param data: of any length.
        """
        if self._offset == self._end:
            self._buffer = data
            self._end = len(data)
        else:
            buffer = self._buffer
            if not isinstance(buffer, bytearray):
                self._buffer = buffer = bytearray(buffer[self._offset :])
            else:
                del buffer[: self._offset]
            buffer += data
            self._end = len(buffer)
        self._offset = 0

    def peek_header(self) -> bytes | None:
        """
        Look at the header in front, so that a stranger can be refused before the
        body has come.

        @return: 4 bytes, or L{None} while fewer are held.
        """
        start = self._offset
        if self._end - start < RECORD_HEADER_SIZE:
            return None
        return bytes(self._buffer[start : start + RECORD_HEADER_SIZE])

    def next(self) -> tuple[int, bytes, bytes] | None:
        """
        Take the record in front.

        @return: type, header (4 bytes) and body; L{None} while it is incomplete.

        @raise RemoteProtocolError: the header announces a body above L{limit}
            (TOO_LARGE). The stream is then worth nothing more.
        """
        start = self._offset
        body = start + 4
        if body > self._end:
            return None
        buffer = self._buffer
        word: int = _unpack_header(buffer, start)[0]
        length = word & 0xFFFFFF
        if length > self.limit:
            raise RemoteProtocolError(
                f"record of {length} bytes, {self.limit} allowed", CloseCode.TOO_LARGE
            )
        end = body + length
        if end > self._end:
            return None
        self._offset = end
        if buffer.__class__ is bytes:
            return word >> 24, buffer[start:body], buffer[body:end]
        return word >> 24, bytes(buffer[start:body]), bytes(buffer[body:end])
