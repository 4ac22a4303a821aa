"""
Handshake and ending of a connection on a stream: bodies of HELLO, ACCEPT,
TERMINATE and CLOSE. The header before them is the transport's: 4 bytes on TCP,
the type byte alone on binary WebSocket::

    ================  =====  ==============================================
    HELLO             bytes  client to server
    ================  =====  ==============================================
    version           1      of the protocol
    flags             1      bit 0 encrypted, bit 1 ephemeral key present;
                             the others are sent as 0 and ignored
    sid               16
    client nonce      16     fresh
    client ephemeral  32     zeros when absent
    hmac              16     HMAC-SHA256(hello key, header || the 66 bytes
                             before), cut to its first 16 bytes
    ================  =====  ==============================================

    ================  =====  ==============================================
    ACCEPT            bytes  server to client
    ================  =====  ==============================================
    server nonce      16     fresh
    server ephemeral  32     zeros when absent
    sealed terms      56     40 and a tag; associated data: header || the 48
                             bytes before
    ================  =====  ==============================================

    ================  =====  ==============================================
    terms             bytes
    ================  =====  ==============================================
    cid               8      datagrams: names the connection
    reset token       16     datagrams: proves a RESET
    retry interval    2      datagrams: milliseconds
    ack delay         2      datagrams: milliseconds
    mtu               2      datagrams: bytes
    window            2      datagrams: frames
    connection ttl    2      seconds of silence until it is given up
    keep alive        2      milliseconds between keep-alives
    max retry         2      datagrams
    reserved          2      zero, ignored
    ================  =====  ==============================================

The fields for datagrams are zero and ignored on streams::

    ================  =====  ==============================================
    TERMINATE         bytes  server to client, not sealed
    ================  =====  ==============================================
    client nonce      16     HELLO's; zeros if none was read
    code              1      L{CloseCode}
    ================  =====  ==============================================

    ================  =====  ==============================================
    CLOSE             bytes  either direction, sealed
    ================  =====  ==============================================
    code              1      L{CloseCode}
    reason            0-200  UTF-8, for people
    ================  =====  ==============================================
"""

import hmac
from dataclasses import dataclass, field
from struct import Struct, error
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.cipher import TAG_SIZE, open_accept, seal_accept
from diarkis_tw.wire.keys import EPHEMERAL_SIZE, NONCE_SIZE, SID_SIZE
from diarkis_tw.wire.sizes import require_size

HELLO_BODY_SIZE: Final = 82
ACCEPT_BODY_SIZE: Final = 104
TERMINATE_BODY_SIZE: Final = 17
TERMS_SIZE: Final = 40
CID_SIZE: Final = 8
RESET_TOKEN_SIZE: Final = 16
HMAC_SIZE: Final = 16

NO_NONCE: Final = bytes(NONCE_SIZE)
"""TERMINATE's nonce when no HELLO was read."""

REASON_MAX_BYTES: Final = 200
"""A CLOSE reason is for people; more than a sentence has no place in a packet."""

_HELLO: Final = Struct(">BB16s16s32s")
_TERMS: Final = Struct(">8s16s8H")
_CLOSE_CODE: Final = {int(code): code for code in CloseCode}


@dataclass(frozen=True, slots=True)
class Hello:
    """
    What a client opens a connection with.

    @ivar version: of the protocol, a byte.
    @ivar flags: a byte, see L{diarkis_tw.wire.keys.FLAG_ENCRYPTED} and
        L{diarkis_tw.wire.keys.FLAG_EPHEMERAL}.
    @ivar sid: 16 bytes.
    @ivar client_nonce: 16 bytes.
    @ivar client_ephemeral: 32 bytes, zeros when absent.
    """

    version: int
    flags: int
    sid: bytes = field(repr=False)
    client_nonce: bytes
    client_ephemeral: bytes


def encode_hello(header: bytes, hello: Hello, hello_key: bytes) -> bytes:
    """
    Write HELLO's body.

    @param header: of the record, which the HMAC covers.
    @param hello: what to say.
    @param hello_key: L{diarkis_tw.wire.keys.SessionKeys.hello_key}.
    @return: 82 bytes.

    @raise LocalProtocolError: a field does not fit.
    """
    require_size("sid", hello.sid, SID_SIZE)
    require_size("client nonce", hello.client_nonce, NONCE_SIZE)
    require_size("client ephemeral", hello.client_ephemeral, EPHEMERAL_SIZE)
    try:
        fields = _HELLO.pack(
            hello.version, hello.flags, hello.sid, hello.client_nonce, hello.client_ephemeral
        )
    except error:
        raise LocalProtocolError(f"version {hello.version}, flags {hello.flags}") from None
    return fields + hello_hmac(hello_key, header + fields)


def decode_hello(body: bytes) -> Hello:
    """
    Read HELLO's body; nothing in it is proven until L{verify_hello}.

    @param body: as received.
    @return: what the client says.

    @raise RemoteProtocolError: it is not 82 bytes.
    """
    if len(body) != HELLO_BODY_SIZE:
        raise RemoteProtocolError(f"HELLO of {len(body)} bytes")
    return Hello(*_HELLO.unpack_from(body))


def verify_hello(header: bytes, body: bytes, hello_key: bytes) -> bool:
    """
    Check in constant time that the client has the session's keys.

    @param header: of the record, as received.
    @param body: as received.
    @param hello_key: of the session that the HELLO names.
    @return: whether the HMAC is right.
    """
    return hmac.compare_digest(hello_hmac(hello_key, header + body[:-HMAC_SIZE]), body[-HMAC_SIZE:])


def hello_hmac(hello_key: bytes, data: bytes) -> bytes:
    """
    Compute what stands at the end of a HELLO, on every transport.

    @param hello_key: L{diarkis_tw.wire.keys.SessionKeys.hello_key}.
    @param data: all of the HELLO before it.
    @return: 16 bytes.
    """
    return hmac.digest(hello_key, data, "sha256")[:HMAC_SIZE]


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What the server grants with ACCEPT. On a stream only C{connection_ttl} and
    C{keep_alive} mean something; the others are zero.

    @ivar cid: 8 bytes.
    @ivar reset_token: 16 secret bytes.
    @ivar retry_interval: milliseconds.
    @ivar ack_delay: milliseconds.
    @ivar mtu: bytes.
    @ivar window: frames.
    @ivar connection_ttl: seconds, at least 1.
    @ivar keep_alive: milliseconds, at least 1.
    @ivar max_retry: a count.
    """

    cid: bytes
    reset_token: bytes = field(repr=False)
    retry_interval: int
    ack_delay: int
    mtu: int
    window: int
    connection_ttl: int
    keep_alive: int
    max_retry: int

    def encode(self) -> bytes:
        """
        Write the terms, to be sealed.

        @return: 40 bytes.

        @raise LocalProtocolError: a field does not fit.
        """
        require_size("cid", self.cid, CID_SIZE)
        require_size("reset token", self.reset_token, RESET_TOKEN_SIZE)
        if not (self.connection_ttl and self.keep_alive):
            raise LocalProtocolError("connection ttl and keep alive must not be 0")
        try:
            return _TERMS.pack(
                self.cid,
                self.reset_token,
                self.retry_interval,
                self.ack_delay,
                self.mtu,
                self.window,
                self.connection_ttl,
                self.keep_alive,
                self.max_retry,
                0,
            )
        except error:
            raise LocalProtocolError(f"{self} does not fit its fields") from None

    @classmethod
    def decode(cls, data: bytes) -> "Terms":
        """
        Read the terms.

        @param data: as opened.
        @return: the terms.

        @raise RemoteProtocolError: it is not 40 bytes, or a period is 0, which
            would keep a client's timer busy for ever.
        """
        if len(data) != TERMS_SIZE:
            raise RemoteProtocolError(f"terms of {len(data)} bytes")
        terms = cls(*_TERMS.unpack(data)[:-1])
        if not (terms.connection_ttl and terms.keep_alive):
            raise RemoteProtocolError("terms with a period of 0")
        return terms


def encode_accept(
    header: bytes, server_nonce: bytes, server_ephemeral: bytes, terms: Terms, key: bytes
) -> bytes:
    """
    Write ACCEPT's body.

    @param header: of the record, which the seal covers.
    @param server_nonce: 16 bytes.
    @param server_ephemeral: 32 bytes, zeros when absent.
    @param terms: what is granted.
    @param key: L{diarkis_tw.wire.keys.accept_key}.
    @return: 104 bytes.

    @raise LocalProtocolError: a field does not fit.
    """
    require_size("server nonce", server_nonce, NONCE_SIZE)
    require_size("server ephemeral", server_ephemeral, EPHEMERAL_SIZE)
    fields = server_nonce + server_ephemeral
    return fields + seal_accept(key, header + fields, terms.encode())


def decode_accept(body: bytes) -> tuple[bytes, bytes, bytes]:
    """
    Take ACCEPT's body apart, to derive the key that opens it.

    @param body: as received.
    @return: server nonce (16 bytes), server ephemeral (32, zeros when absent) and
        the sealed terms.

    @raise RemoteProtocolError: it is not 104 bytes.
    """
    if len(body) != ACCEPT_BODY_SIZE:
        raise RemoteProtocolError(f"ACCEPT of {len(body)} bytes")
    return body[:16], body[16:48], body[48:]


def open_accept_terms(header: bytes, body: bytes, key: bytes) -> Terms | None:
    """
    Check and read the terms in ACCEPT.

    @param header: of the record, as received.
    @param body: as received.
    @param key: L{diarkis_tw.wire.keys.accept_key}.
    @return: the terms; L{None} if the server does not have the session's keys, or
        the terms are illegal: either way this connection is not to be used.
    """
    cut = -(TERMS_SIZE + TAG_SIZE)
    data = open_accept(key, header + body[:cut], body[cut:])
    if data is None:
        return None
    try:
        return Terms.decode(data)
    except RemoteProtocolError:
        return None


def encode_terminate(client_nonce: bytes, code: CloseCode) -> bytes:
    """
    Write TERMINATE's body.

    @param client_nonce: HELLO's, L{NO_NONCE} if none was read.
    @param code: why.
    @return: 17 bytes.

    @raise LocalProtocolError: the nonce is not 16 bytes.
    """
    require_size("client nonce", client_nonce, NONCE_SIZE)
    return client_nonce + bytes((code,))


def decode_terminate(body: bytes) -> tuple[bytes, CloseCode]:
    """
    Read TERMINATE's body.

    @param body: as received.
    @return: the client nonce, and why; INTERNAL if the code is not known here.

    @raise RemoteProtocolError: it is not 17 bytes.
    """
    if len(body) != TERMINATE_BODY_SIZE:
        raise RemoteProtocolError(f"TERMINATE of {len(body)} bytes")
    return body[:16], _CLOSE_CODE.get(body[16], CloseCode.INTERNAL)


def encode_close(code: CloseCode, reason: str) -> bytes:
    """
    Write CLOSE's plaintext.

    @param code: why.
    @param reason: for people; cut to 200 bytes between characters.
    @return: at most 201 bytes.
    """
    return bytes((code,)) + cut_reason(reason)


def cut_reason(reason: str, limit: int = REASON_MAX_BYTES) -> bytes:
    """
    Write a reason, as far as it fits.

    @param reason: for people; lone surrogates are replaced.
    @param limit: in bytes.
    @return: UTF-8, cut between characters.
    """
    text = reason.encode("utf-8", "replace")
    if len(text) > limit:
        text = text[:limit].decode("utf-8", "ignore").encode()
    return text


def decode_close(body: bytes) -> tuple[CloseCode, str]:
    """
    Read CLOSE's plaintext.

    @param body: as opened.
    @return: why, INTERNAL if the code is not known here; and the reason for
        people, with what is not UTF-8 replaced, cut to 200 bytes.

    @raise RemoteProtocolError: it is empty.
    """
    if not body:
        raise RemoteProtocolError("CLOSE without a code")
    return (
        _CLOSE_CODE.get(body[0], CloseCode.INTERNAL),
        body[1 : 1 + REASON_MAX_BYTES].decode("utf-8", "replace"),
    )
