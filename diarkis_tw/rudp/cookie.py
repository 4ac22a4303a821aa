"""
Cookies: a client proves that it receives at the address it sends from, before
the server keeps anything about it (as RFC 9000, 8.1, and netcode's challenge)::

    ======  =====================================================
    bytes   cookie
    ======  =====================================================
    4       the server's clock, milliseconds mod 2^32, big endian
    16      BLAKE2s-128 (RFC 7693), keyed with the cookie key, of
            those 4 bytes || the client's IP as text || its port
            u16 || sid 16 || client nonce 16
    ======  =====================================================

All but the IP are of fixed size, so no two clients give the same input. The
client reads none of it. Its time is also the start of a round trip, which gives
the server its first sample.
"""

from hashlib import blake2s
from hmac import compare_digest
from struct import Struct
from typing import Final

from diarkis_tw.wire.sizes import require_size

COOKIE_KEY_SIZE: Final = 32

COOKIE_LIFE: Final = 5_000
"""
How old a cookie may be, in milliseconds: as long as a client tries to connect.
Later it would let what was recorded be played again.
"""

_DIGEST_SIZE: Final = 16
_TIME_SIZE: Final = 4
_CLOCK_MASK: Final = 0xFFFFFFFF
_pack_time: Final = Struct(">I").pack
_pack_rest: Final = Struct(">H16s16s").pack


class Cookies:
    """
    Makes and checks the cookies of one process.
    """

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        """
        @param key: 32 secret bytes, random for each process.

        @raise LocalProtocolError: it has another size.
        """
        require_size("cookie key", key, COOKIE_KEY_SIZE)
        # A copy of this costs half of what keying anew does.
        self._keyed = blake2s(key=key, digest_size=_DIGEST_SIZE)

    def make(self, now_ms: int, host: str, port: int, sid: bytes, client_nonce: bytes) -> bytes:
        """
        Make the cookie for a client.

        @param now_ms: the server's monotonic clock, milliseconds.
        @param host: the client's IP address.
        @param port: the client's port.
        @param sid: HELLO's, 16 bytes.
        @param client_nonce: HELLO's, 16 bytes.
        @return: 20 bytes.
        """
        time = _pack_time(now_ms & _CLOCK_MASK)
        return time + self._digest(time, host, port, sid, client_nonce)

    def check(
        self, cookie: bytes, now_ms: int, host: str, port: int, sid: bytes, client_nonce: bytes
    ) -> int | None:
        """
        Tell whether a cookie was made for this client a short while ago. The
        digest is compared in constant time.

        @param cookie: HELLO's; any bytes are safe.
        @param now_ms: the server's monotonic clock, milliseconds.
        @param host: the client's IP address.
        @param port: the client's port.
        @param sid: HELLO's, 16 bytes.
        @param client_nonce: HELLO's, 16 bytes.
        @return: the cookie's age in milliseconds, 0 to L{COOKIE_LIFE}; L{None} if
            it is worth nothing.
        """
        time = cookie[:_TIME_SIZE]
        age = (now_ms - int.from_bytes(time)) & _CLOCK_MASK
        if age > COOKIE_LIFE:
            return None
        if compare_digest(cookie[_TIME_SIZE:], self._digest(time, host, port, sid, client_nonce)):
            return age
        return None

    def _digest(self, time: bytes, host: str, port: int, sid: bytes, client_nonce: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(time + host.encode() + _pack_rest(port, sid, client_nonce))
        return digest.digest()
