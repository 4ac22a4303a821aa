"""
The header of a UDP DATA packet, and the packet numbers that it cuts to 16 bits::

    ======  ====  =====================================
    c2s     size
    ======  ====  =====================================
    0       1     0x80
    1       8     cid, as in ACCEPT
    9       2     pn: low 16 bits of the packet number
    11            sealed frames, then the tag (16)
    ======  ====  =====================================

    ======  ====  =====================================
    s2c     size
    ======  ====  =====================================
    0       1     0x80
    1       2     pn: low 16 bits of the packet number
    3             sealed frames, then the tag (16)
    ======  ====  =====================================

What stands before the sealed frames is their associated data. A packet number
counts from 0 for each direction and never repeats.
"""

from typing import Final

from diarkis_tw.wire.cipher import TAG_SIZE

DATA_BYTE: Final = 0x80
CLIENT_HEADER_SIZE: Final = 11
SERVER_HEADER_SIZE: Final = 3

CLIENT_DATA_MIN: Final = 44
"""A client pads to this, so that a RESET can be smaller than what caused it."""

SERVER_DATA_MIN: Final = SERVER_HEADER_SIZE + TAG_SIZE
"""A packet without frames."""

_WINDOW: Final = 1 << 16
_HALF: Final = _WINDOW >> 1


def restore_number(truncated: int, expected: int) -> int:
    """
    The number nearest to C{expected} whose low 16 bits are C{truncated}; the
    larger one if two are as near. RFC 9000, appendix A.3.

    @param truncated: 0..65535.
    @param expected: for a received packet, the number after the largest
        authenticated one; 0 and up.
    @return: 0 and up.
    """
    candidate = (expected & ~0xFFFF) | truncated
    if candidate <= expected - _HALF:
        return candidate + _WINDOW
    if candidate > expected + _HALF and candidate >= _WINDOW:
        return candidate - _WINDOW
    return candidate
