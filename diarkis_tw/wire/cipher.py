"""
Sealing: AES-128-GCM (NIST SP 800-38D) over packets and records::

    ==========  ======================================================
    key         of the direction, 16 bytes
    nonce       iv XOR packet number, 12 bytes, number right-aligned
                (as RFC 9001 5.3)
    associated  the header
    tag         16 bytes, behind the ciphertext
    ==========  ======================================================

With encryption off, integrity stays: the associated data is header ||
plaintext, GCM's own plaintext is empty, and the wire carries plaintext || tag.
The terms in ACCEPT are always encrypted, under a key that seals nothing else,
with a nonce of zeros.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from diarkis_tw.wire.keys import AEAD_IV_SIZE, AEAD_KEY_SIZE
from diarkis_tw.wire.sizes import require_size

TAG_SIZE: Final = 16

STREAM_NUMBER_LIMIT: Final = 2**23 - 1
"""On TCP and WebSocket the packet number of the CLOSE that says REKEY."""

DATAGRAM_NUMBER_LIMIT: Final = 2**28 - 4096
"""On UDP a direction closes with REKEY at this packet number."""

_ACCEPT_NONCE: Final = bytes(12)


class AeadCache:
    """
    AESGCM objects of the connections in use, a bounded number of them: an object
    takes 2.5 KB, its key 16 bytes, and most connections are idle most of the
    time.

    Two generations: what is used moves to the recent one, and when that is full
    or L{rotate} is called, it becomes the older one and the older one is
    dropped. So no order of use has to be kept per call.

    @ivar recent: the recent generation by key; L{Cipher} looks here first.
    """

    __slots__ = ("_generation", "_older", "recent")

    def __init__(self, capacity: int = 4096) -> None:
        """
        @param capacity: objects kept at most, at least 2. A connection needs two.
        """
        self._generation = max(1, capacity // 2)
        self._older: dict[bytes, AESGCM] = {}
        self.recent: dict[bytes, AESGCM] = {}

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)

    def get(self, key: bytes) -> AESGCM:
        """
        Find or make the object of a key.

        @param key: 16 secret bytes.
        @return: the object; use it now, do not keep it.
        """
        aead = self.recent.get(key)
        if aead is None:
            aead = self._older.pop(key, None) or AESGCM(key)
            if len(self.recent) >= self._generation:
                self.rotate()
            self.recent[key] = aead
        return aead

    def discard(self, key: bytes) -> None:
        """
        Forget a key, because its connection ended.

        @param key: need not be known.
        """
        self.recent.pop(key, None)
        self._older.pop(key, None)

    def rotate(self) -> None:
        """
        Drop the objects that were not used since the last rotation.
        """
        self._older = self.recent
        self.recent = {}


class Cipher:
    """
    Seals or opens one direction of one connection. The caller counts: a packet
    number must never be sealed twice.
    """

    __slots__ = ("_cache", "_encrypted", "_iv", "_key")

    def __init__(self, key: bytes, iv: bytes, encrypted: bool, cache: AeadCache) -> None:
        """
        @param key: of the direction, 16 bytes.
        @param iv: of the direction, 12 bytes.
        @param encrypted: false = integrity only.
        @param cache: shared by the ciphers of the process.

        @raise LocalProtocolError: key or iv have another size.
        """
        require_size("key", key, AEAD_KEY_SIZE)
        require_size("iv", iv, AEAD_IV_SIZE)
        self._key = key
        self._iv = int.from_bytes(iv)
        self._encrypted = encrypted
        self._cache = cache

    def seal(self, number: int, header: bytes, plaintext: bytes) -> bytes:
        """
        Protect one packet.

        @param number: full packet number, 0 and up.
        @param header: authenticated, not part of the result.
        @param plaintext: what to protect.
        @return: 16 bytes more than C{plaintext}.
        """
        aead = self._cache.recent.get(self._key) or self._cache.get(self._key)
        nonce = (self._iv ^ number).to_bytes(12)
        if self._encrypted:
            return aead.encrypt(nonce, plaintext, header)
        return plaintext + aead.encrypt(nonce, b"", header + plaintext)

    def open(self, number: int, header: bytes, sealed: bytes) -> bytes | None:
        """
        Check and read one packet.

        @param number: full packet number, 0 and up.
        @param header: as received.
        @param sealed: as received; any bytes are safe.
        @return: the plaintext; L{None} if the packet is not the peer's.
        """
        aead = self._cache.recent.get(self._key) or self._cache.get(self._key)
        nonce = (self._iv ^ number).to_bytes(12)
        try:
            if self._encrypted:
                return aead.decrypt(nonce, sealed, header)
            plaintext = sealed[:-TAG_SIZE]
            aead.decrypt(nonce, sealed[-TAG_SIZE:], header + plaintext)
        except InvalidTag:
            return None
        return plaintext


def seal_accept(key: bytes, associated: bytes, plaintext: bytes) -> bytes:
    """
    Protect the terms in ACCEPT.

    @param key: L{diarkis_tw.wire.keys.accept_key}, used once.
    @param associated: all of ACCEPT before them.
    @param plaintext: the encoded terms.
    @return: 16 bytes more.
    """
    return AESGCM(key).encrypt(_ACCEPT_NONCE, plaintext, associated)


def open_accept(key: bytes, associated: bytes, sealed: bytes) -> bytes | None:
    """
    Check and read the terms in ACCEPT.

    @param key: L{diarkis_tw.wire.keys.accept_key}.
    @param associated: all of ACCEPT before them, as received.
    @param sealed: as received; any bytes are safe.
    @return: the encoded terms; L{None} if the server does not have the session's
        keys.
    """
    try:
        return AESGCM(key).decrypt(_ACCEPT_NONCE, sealed, associated)
    except InvalidTag:
        return None
