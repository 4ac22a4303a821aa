"""
RESET: how a server that does not know a connection, because it was restarted or
has given it up, says so to the client that still uses it (as RFC 9000, 10.3)::

    ======  ======  ========================================
    offset  size
    ======  ======  ========================================
    0       1       0x80
    1       5-26    random, of random size
    6-27    16      the connection's reset token, at the end
    ======  ======  ========================================

That is 22 to 43 bytes, which look like DATA and are fewer than the DATA they
answer, which has 44 at least: nothing is amplified, and nothing answered for
ever.
"""

import hmac
from typing import Final

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.handshake import RESET_TOKEN_SIZE
from diarkis_tw.wire.packet import DATA_BYTE, SERVER_DATA_MIN
from diarkis_tw.wire.sizes import require_size

RESET_RANDOM_MIN: Final = 5
RESET_RANDOM_MAX: Final = 26
RESET_SIZE_MIN: Final = 1 + RESET_RANDOM_MIN + RESET_TOKEN_SIZE
RESET_SIZE_MAX: Final = 1 + RESET_RANDOM_MAX + RESET_TOKEN_SIZE

_DATA: Final = bytes((DATA_BYTE,))


def encode_reset(token: bytes, random: bytes) -> bytes:
    """
    Write RESET.

    @param token: of the connection id that is not known, 16 bytes.
    @param random: 5 to 26 fresh random bytes; their number is random too.
    @return: 22 to 43 bytes.

    @raise LocalProtocolError: an argument has another size.
    """
    require_size("reset token", token, RESET_TOKEN_SIZE)
    if not RESET_RANDOM_MIN <= len(random) <= RESET_RANDOM_MAX:
        raise LocalProtocolError(f"RESET with {len(random)} random bytes")
    return _DATA + random + token


def matches_reset(datagram: bytes, token: bytes) -> bool:
    """
    Tell in constant time whether a datagram that was not accepted as DATA ends
    this connection. Its size is not looked at further than DATA's would be: the
    token alone is the proof.

    @param datagram: as received; any bytes are safe.
    @param token: this connection's, 16 bytes.
    @return: whether the server has no such connection any more.
    """
    return (
        len(datagram) >= SERVER_DATA_MIN
        and datagram[0] == DATA_BYTE
        and hmac.compare_digest(datagram[-RESET_TOKEN_SIZE:], token)
    )
