"""
Handshake and its refusal over UDP: the datagrams HELLO, COOKIE, ACCEPT and
TERMINATE. Their first bytes and sizes stand in L{diarkis_tw.wire.datagram}::

    ======  ====  ===============================================
    HELLO   size  client to server
    ======  ====  ===============================================
    0       1     0x01
    1       1     version of the protocol
    2       16    sid
    18      16    client nonce, fresh
    34      20    cookie, zeros at first
    54      1     flags: bit 0 encrypted, bit 1 ephemeral key
                  present; the others are sent as 0 and ignored
    55      32    client ephemeral, zeros when absent
    87      1097  zeros, ignored
    1184    16    HMAC-SHA256(hello key, the 1184 bytes before),
                  cut to its first 16 bytes
    ======  ====  ===============================================

    ======  ====  ===============================================
    COOKIE  size  server to client
    ======  ====  ===============================================
    0       1     0x02
    1       16    client nonce
    17      20    cookie, to be sent in a HELLO from this address
    ======  ====  ===============================================

    ======  ====  ===============================================
    ACCEPT  size  server to client
    ======  ====  ===============================================
    0       1     0x03
    1       8     client nonce, its first half
    9       16    server nonce, fresh
    25      32    server ephemeral, zeros when absent
    57      56    sealed terms and tag; associated data: the 57
                  bytes before
    ======  ====  ===============================================

    =========  ====  ============================================
    TERMINATE  size  server to client, proven by nothing
    =========  ====  ============================================
    0          1     0x04
    1          16    client nonce
    17         1     L{CloseCode}
    =========  ====  ============================================

Behind its first 9 bytes ACCEPT is that of streams, which L{diarkis_tw.wire.handshake}
lays out together with the terms; so is TERMINATE behind its first.
"""

import hmac
from struct import Struct, error
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire import handshake
from diarkis_tw.wire.cipher import open_accept
from diarkis_tw.wire.datagram import (
    ACCEPT_BYTE,
    ACCEPT_SIZE,
    COOKIE_BYTE,
    COOKIE_SIZE,
    HELLO_BYTE,
    HELLO_SIZE,
    MTU_MAX,
    MTU_MIN,
    TERMINATE_BYTE,
    TERMINATE_SIZE,
)
from diarkis_tw.wire.handshake import HMAC_SIZE, Hello, Terms, hello_hmac
from diarkis_tw.wire.keys import EPHEMERAL_SIZE, NONCE_SIZE, SID_SIZE
from diarkis_tw.wire.sizes import require_size

COOKIE_VALUE_SIZE: Final = 20
"""The cookie itself, in HELLO and in the datagram COOKIE."""

NO_COOKIE: Final = bytes(COOKIE_VALUE_SIZE)
"""Stands in a HELLO until the server has given a cookie."""

WINDOW_MIN: Final = 16
"""A smaller window could not hold what a quick link has in flight."""
WINDOW_MAX: Final = 256
"""What an ACK can cover."""

_HELLO: Final = Struct(">BB16s16s20sB32s1097x")
_HELLO_FIELDS: Final = Struct(">xB16s16s20xB32s")
_ASSOCIATED_SIZE: Final = 57
_ACCEPT_HEADER_SIZE: Final = 9
_ACCEPT: Final = bytes((ACCEPT_BYTE,))
_COOKIE: Final = bytes((COOKIE_BYTE,))
_TERMINATE: Final = bytes((TERMINATE_BYTE,))


def encode_hello(hello: Hello, cookie: bytes, hello_key: bytes) -> bytes:
    """
    Write HELLO.

    @param hello: what to say.
    @param cookie: the server's, L{NO_COOKIE} before it gave one.
    @param hello_key: L{diarkis_tw.wire.keys.SessionKeys.hello_key}.
    @return: 1200 bytes.

    @raise LocalProtocolError: a field does not fit.
    """
    require_size("sid", hello.sid, SID_SIZE)
    require_size("client nonce", hello.client_nonce, NONCE_SIZE)
    require_size("client ephemeral", hello.client_ephemeral, EPHEMERAL_SIZE)
    require_size("cookie", cookie, COOKIE_VALUE_SIZE)
    try:
        fields = _HELLO.pack(
            HELLO_BYTE,
            hello.version,
            hello.sid,
            hello.client_nonce,
            cookie,
            hello.flags,
            hello.client_ephemeral,
        )
    except error:
        raise LocalProtocolError(f"version {hello.version}, flags {hello.flags}") from None
    return fields + hello_hmac(hello_key, fields)


def cookie_fields(datagram: bytes) -> tuple[bytes, bytes, bytes]:
    """
    Take from a HELLO what its cookie is checked with, and nothing more: most of
    an attack ends there.

    @param datagram: of which first byte and size are HELLO's.
    @return: sid, client nonce (16 bytes each) and cookie (20).
    """
    return datagram[2:18], datagram[18:34], datagram[34:54]


def decode_hello(datagram: bytes) -> Hello:
    """
    Read HELLO; nothing in it is proven until L{verify_hello}.

    @param datagram: as received; any bytes are safe.
    @return: what the client says.

    @raise RemoteProtocolError: it has not HELLO's size and first byte.
    """
    _require_kind(datagram, HELLO_BYTE, HELLO_SIZE)
    version, sid, client_nonce, flags, client_ephemeral = _HELLO_FIELDS.unpack_from(datagram)
    return Hello(version, flags, sid, client_nonce, client_ephemeral)


def verify_hello(datagram: bytes, hello_key: bytes) -> bool:
    """
    Check in constant time that the client has the session's keys.

    @param datagram: as received; any bytes are safe.
    @param hello_key: of the session that the HELLO names.
    @return: whether the HMAC is right.
    """
    return hmac.compare_digest(hello_hmac(hello_key, datagram[:-HMAC_SIZE]), datagram[-HMAC_SIZE:])


def encode_cookie(client_nonce: bytes, cookie: bytes) -> bytes:
    """
    Write COOKIE.

    @param client_nonce: HELLO's.
    @param cookie: for this client.
    @return: 37 bytes.

    @raise LocalProtocolError: an argument has another size.
    """
    require_size("client nonce", client_nonce, NONCE_SIZE)
    require_size("cookie", cookie, COOKIE_VALUE_SIZE)
    return _COOKIE + client_nonce + cookie


def decode_cookie(datagram: bytes) -> tuple[bytes, bytes]:
    """
    Read COOKIE.

    @param datagram: as received; any bytes are safe.
    @return: client nonce and cookie.

    @raise RemoteProtocolError: it has not COOKIE's size and first byte.
    """
    _require_kind(datagram, COOKIE_BYTE, COOKIE_SIZE)
    return datagram[1:17], datagram[17:]


def encode_accept(
    client_nonce: bytes, server_nonce: bytes, server_ephemeral: bytes, terms: Terms, key: bytes
) -> bytes:
    """
    Write ACCEPT.

    @param client_nonce: HELLO's, all 16 bytes.
    @param server_nonce: 16 bytes.
    @param server_ephemeral: 32 bytes, zeros when absent.
    @param terms: what is granted.
    @param key: L{diarkis_tw.wire.keys.accept_key}.
    @return: 113 bytes.

    @raise LocalProtocolError: a field does not fit, or a client would refuse the
        terms.
    """
    require_size("client nonce", client_nonce, NONCE_SIZE)
    fault = _terms_fault(terms)
    if fault is not None:
        raise LocalProtocolError(fault)
    header = _ACCEPT + client_nonce[: _ACCEPT_HEADER_SIZE - 1]
    return header + handshake.encode_accept(header, server_nonce, server_ephemeral, terms, key)


def decode_accept(datagram: bytes) -> tuple[bytes, bytes, bytes]:
    """
    Take ACCEPT apart, to see whose it is and to derive the key that opens it.

    @param datagram: as received; any bytes are safe.
    @return: the first 8 bytes of the client nonce, server nonce (16) and server
        ephemeral (32, zeros when absent).

    @raise RemoteProtocolError: it has not ACCEPT's size and first byte.
    """
    _require_kind(datagram, ACCEPT_BYTE, ACCEPT_SIZE)
    return datagram[1:9], datagram[9:25], datagram[25:57]


def open_accept_terms(datagram: bytes, key: bytes) -> Terms | None:
    """
    Check and read the terms in ACCEPT.

    @param datagram: as received; any bytes are safe.
    @param key: L{diarkis_tw.wire.keys.accept_key}.
    @return: the terms; L{None} if they are not from the server, so that this
        datagram is to be dropped.

    @raise RemoteProtocolError: they are from the server, but illegal: this
        connection is not to be used.
    """
    data = open_accept(key, datagram[:_ASSOCIATED_SIZE], datagram[_ASSOCIATED_SIZE:])
    if data is None:
        return None
    terms = Terms.decode(data)
    fault = _terms_fault(terms)
    if fault is not None:
        raise RemoteProtocolError(fault)
    return terms


def _terms_fault(terms: Terms) -> str | None:
    """
    What is wrong with terms of UDP, beyond what is with those of a stream.
    """
    if not MTU_MIN <= terms.mtu <= MTU_MAX:
        return f"MTU of {terms.mtu}, {MTU_MIN} to {MTU_MAX} allowed"
    if not WINDOW_MIN <= terms.window <= WINDOW_MAX:
        return f"window of {terms.window}, {WINDOW_MIN} to {WINDOW_MAX} allowed"
    if not (terms.retry_interval and terms.max_retry):
        # With either of them 0 a connection would give up on its first packet.
        return "retry interval and max retry must not be 0"
    return None


def encode_terminate(client_nonce: bytes, code: CloseCode) -> bytes:
    """
    Write TERMINATE.

    @param client_nonce: HELLO's.
    @param code: why.
    @return: 18 bytes.

    @raise LocalProtocolError: the nonce is not 16 bytes.
    """
    return _TERMINATE + handshake.encode_terminate(client_nonce, code)


def decode_terminate(datagram: bytes) -> tuple[bytes, CloseCode]:
    """
    Read TERMINATE.

    @param datagram: as received; any bytes are safe.
    @return: the client nonce, and why; INTERNAL if the code is not known here.

    @raise RemoteProtocolError: it has not TERMINATE's size and first byte.
    """
    _require_kind(datagram, TERMINATE_BYTE, TERMINATE_SIZE)
    return handshake.decode_terminate(datagram[1:])


def _require_kind(datagram: bytes, kind: int, size: int) -> None:
    if len(datagram) != size or datagram[0] != kind:
        raise RemoteProtocolError(f"datagram of {len(datagram)} bytes, not {size} of type {kind}")
