"""
The key schedule: from the keys of a session to the keys of one connection.

Extract and Expand are HKDF with SHA-256 (RFC 5869); labels are ASCII without a
terminator::

    master  = Extract(salt = encryption iv, ikm = encryption key || mac key)
    hello   = Expand(master, "diarkis_tw/1 hello", 32)
    secret  = Extract(salt = master, ikm = shared)
    accept  = Expand(secret, "diarkis_tw/1 accept" || context, 16)
    keys    = Expand(secret, "diarkis_tw/1 connection" || context, 56)

C{shared} is the X25519 result, or zero bytes long without forward secrecy::

    ===================  =====  ==========================================
    context              bytes
    ===================  =====  ==========================================
    version              1      as in HELLO
    flags                1      HELLO's byte as sent
    transport            1      L{TransportId}
    client nonce         16     fresh per connection
    server nonce         16     fresh per connection
    client ephemeral     32     zeros when absent
    server ephemeral     32     zeros when absent
    ===================  =====  ==========================================

    ===================  =====
    keys                 bytes
    ===================  =====
    client to server key 16
    client to server iv  12
    server to client key 16
    server to client iv  12
    ===================  =====

Both nonces take part, so that a reconnect has keys of its own and can never
repeat a (key, nonce) pair.
"""

import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.sizes import require_size

SID_SIZE: Final = 16
SESSION_KEY_SIZE: Final = 16
NONCE_SIZE: Final = 16
EPHEMERAL_SIZE: Final = 32
AEAD_KEY_SIZE: Final = 16
AEAD_IV_SIZE: Final = 12
HELLO_KEY_SIZE: Final = 32

FLAG_ENCRYPTED: Final = 1
"""HELLO's bit 0: the client believes that encryption is on."""
FLAG_EPHEMERAL: Final = 2
"""HELLO's bit 1: the client offers forward secrecy."""

NO_EPHEMERAL: Final = bytes(EPHEMERAL_SIZE)
"""Stands where an ephemeral key is absent."""

_HELLO_LABEL: Final = b"diarkis_tw/1 hello"
_ACCEPT_LABEL: Final = b"diarkis_tw/1 accept"
_CONNECTION_LABEL: Final = b"diarkis_tw/1 connection"


class TransportId(IntEnum):
    """
    The transport's byte in the context; it keeps keys of one transport from
    being those of another.
    """

    UDP = 1
    TCP = 2
    WS = 3
    """WebSocket, binary subprotocol."""


def _extract(salt: bytes, key_material: bytes) -> bytes:
    return hmac.digest(salt, key_material, "sha256")


def _expand(pseudorandom_key: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(SHA256(), length, info).derive(pseudorandom_key)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """
    What the endpoint API hands to a client: the session id and three secrets.

    @ivar sid: names the session, 16 bytes.
    @ivar encryption_key: 16 secret bytes.
    @ivar encryption_iv: 16 secret bytes.
    @ivar encryption_mac_key: 16 secret bytes.
    """

    sid: bytes
    encryption_key: bytes = field(repr=False)
    encryption_iv: bytes = field(repr=False)
    encryption_mac_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        require_size("sid", self.sid, SID_SIZE)
        require_size("encryption key", self.encryption_key, SESSION_KEY_SIZE)
        require_size("encryption iv", self.encryption_iv, SESSION_KEY_SIZE)
        require_size("encryption mac key", self.encryption_mac_key, SESSION_KEY_SIZE)

    def __repr__(self) -> str:
        return f"<SessionKeys of {self.sid.hex()[:8]}>"

    @classmethod
    def from_hex(cls, sid: str, key: str, iv: str, mac: str) -> "SessionKeys":
        """
        Read the four strings of an endpoint answer.

        @param sid: 32 hex digits of either case, as all four.
        @param key: C{encryptionKey}.
        @param iv: C{encryptionIV}.
        @param mac: C{encryptionMacKey}.
        @return: the decoded keys.

        @raise LocalProtocolError: one of them is not 32 hex digits; its value is
            not shown.
        """
        return cls(
            _from_hex("sid", sid),
            _from_hex("encryptionKey", key),
            _from_hex("encryptionIV", iv),
            _from_hex("encryptionMacKey", mac),
        )

    def master(self) -> bytes:
        """
        Derive the secret from which everything of this session comes.

        @return: 32 secret bytes.
        """
        return _extract(self.encryption_iv, self.encryption_key + self.encryption_mac_key)

    def hello_key(self) -> bytes:
        """
        Derive the key that authenticates HELLO.

        @return: 32 secret bytes.
        """
        return _expand(self.master(), _HELLO_LABEL, HELLO_KEY_SIZE)


def _from_hex(name: str, text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    # The length is looked at too: fromhex() skips white space.
    if len(value) * 2 != len(text) or len(value) != SESSION_KEY_SIZE:
        raise LocalProtocolError(f"{name} must be {SESSION_KEY_SIZE * 2} hex digits") from None
    return value


@dataclass(frozen=True, slots=True)
class HandshakeContext:
    """
    All that both sides said in the handshake; it enters every key of the
    connection, so that nobody between them can change any of it.

    @ivar version: of the protocol, as in HELLO.
    @ivar flags: HELLO's byte as sent.
    @ivar transport: see L{TransportId}.
    @ivar client_nonce: 16 bytes.
    @ivar server_nonce: 16 bytes.
    @ivar client_ephemeral: 32 bytes, L{NO_EPHEMERAL} when absent.
    @ivar server_ephemeral: 32 bytes, L{NO_EPHEMERAL} when absent.
    """

    version: int
    flags: int
    transport: TransportId
    client_nonce: bytes
    server_nonce: bytes
    client_ephemeral: bytes = NO_EPHEMERAL
    server_ephemeral: bytes = NO_EPHEMERAL

    def __post_init__(self) -> None:
        if not (0 <= self.version <= 255 and 0 <= self.flags <= 255):
            raise LocalProtocolError("version and flags must be bytes")
        require_size("client nonce", self.client_nonce, NONCE_SIZE)
        require_size("server nonce", self.server_nonce, NONCE_SIZE)
        require_size("client ephemeral", self.client_ephemeral, EPHEMERAL_SIZE)
        require_size("server ephemeral", self.server_ephemeral, EPHEMERAL_SIZE)

    def encode(self) -> bytes:
        """
        Write the context as it enters the derivations.

        @return: 99 bytes, laid out as in the module's table.
        """
        return (
            bytes((self.version, self.flags, self.transport))
            + self.client_nonce
            + self.server_nonce
            + self.client_ephemeral
            + self.server_ephemeral
        )


@dataclass(frozen=True, slots=True)
class ConnectionKeys:
    """
    Keys and nonce bases of the two directions of one connection.

    @ivar c2s_key: client to server, 16 bytes.
    @ivar c2s_iv: client to server, 12 bytes.
    @ivar s2c_key: server to client, 16 bytes.
    @ivar s2c_iv: server to client, 12 bytes.
    """

    c2s_key: bytes = field(repr=False)
    c2s_iv: bytes = field(repr=False)
    s2c_key: bytes = field(repr=False)
    s2c_iv: bytes = field(repr=False)


def connection_secret(master: bytes, shared: bytes) -> bytes:
    """
    Mix the session's secret with the one agreed on just now.

    @param master: L{SessionKeys.master}.
    @param shared: the X25519 result; empty without forward secrecy.
    @return: 32 secret bytes.
    """
    return _extract(master, shared)


def accept_key(secret: bytes, context: HandshakeContext) -> bytes:
    """
    Derive the key that seals the terms in ACCEPT.

    @param secret: L{connection_secret}.
    @param context: of this handshake.
    @return: 16 secret bytes.
    """
    return _expand(secret, _ACCEPT_LABEL + context.encode(), AEAD_KEY_SIZE)


def connection_keys(secret: bytes, context: HandshakeContext) -> ConnectionKeys:
    """
    Derive the keys that seal everything after ACCEPT.

    @param secret: L{connection_secret}.
    @param context: of this handshake.
    @return: the keys of both directions.
    """
    okm = _expand(secret, _CONNECTION_LABEL + context.encode(), 56)
    return ConnectionKeys(okm[:16], okm[16:28], okm[28:44], okm[44:])
