"""
X25519 (RFC 7748) for forward secrecy: who learns a session's keys later still
cannot read what was said before.

Private keys are arguments, because this package has no randomness of its own.
They are 32 random bytes and serve one handshake only.
"""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from diarkis_tw.wire.keys import EPHEMERAL_SIZE
from diarkis_tw.wire.sizes import require_size


def public_key(private: bytes) -> bytes:
    """
    Compute the key to send.

    @param private: 32 random bytes.
    @return: 32 bytes.

    @raise LocalProtocolError: C{private} has another size.
    """
    require_size("private key", private, EPHEMERAL_SIZE)
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def shared_secret(private: bytes, peer_public: bytes) -> bytes | None:
    """
    Compute what both sides then know, and nobody else.

    @param private: 32 random bytes, one's own.
    @param peer_public: 32 bytes as received; any value is safe.
    @return: 32 secret bytes; L{None} if the peer's key forces an all-zero result
        (RFC 7748 6.1), which has to be refused.

    @raise LocalProtocolError: an argument has another size.
    """
    require_size("private key", private, EPHEMERAL_SIZE)
    require_size("public key", peer_public, EPHEMERAL_SIZE)
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(peer_public)
        )
    except ValueError:
        # cryptography's word for the all-zero result.
        return None
