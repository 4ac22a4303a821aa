"""
What both ends have agreed on after the handshake of a conversation.
"""

from diarkis_tw.constants import PROTOCOL_VERSION
from diarkis_tw.wire import ephemeral
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.handshake import Hello
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    HandshakeContext,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from tests.vectors.inputs import (
    CLIENT_NONCE,
    CLIENT_PRIVATE,
    SERVER_NONCE,
    SERVER_PRIVATE,
    SESSION,
    Json,
    session_inputs,
)


class Agreed:
    """
    The outcome for one transport and one set of flags.

    @ivar hello: what the client said.
    @ivar server_ephemeral: the server's public key, or what stands in its place.
    @ivar accept_key: seals the server's answer.
    @ivar ciphers: by direction, C{c2s} and C{s2c}.
    """

    def __init__(self, transport: TransportId, flags: int) -> None:
        self._transport = transport
        self._offered = offered = bool(flags & FLAG_EPHEMERAL)
        client_ephemeral = ephemeral.public_key(CLIENT_PRIVATE) if offered else NO_EPHEMERAL
        server_ephemeral = ephemeral.public_key(SERVER_PRIVATE) if offered else NO_EPHEMERAL
        shared = ephemeral.shared_secret(CLIENT_PRIVATE, server_ephemeral) if offered else b""
        assert shared is not None
        context = HandshakeContext(
            PROTOCOL_VERSION,
            flags,
            transport,
            CLIENT_NONCE,
            SERVER_NONCE,
            client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(SESSION.master(), shared)
        keys = connection_keys(secret, context)
        cache = AeadCache()
        encrypted = bool(flags & FLAG_ENCRYPTED)
        self.hello = Hello(PROTOCOL_VERSION, flags, SESSION.sid, CLIENT_NONCE, client_ephemeral)
        self.server_ephemeral = server_ephemeral
        self.accept_key = accept_key(secret, context)
        self.ciphers = {
            "c2s": Cipher(keys.c2s_key, keys.c2s_iv, encrypted, cache),
            "s2c": Cipher(keys.s2c_key, keys.s2c_iv, encrypted, cache),
        }

    def inputs(self) -> Json:
        """
        All that it came from.
        """
        return {
            **session_inputs(),
            "version": PROTOCOL_VERSION,
            "flags": self.hello.flags,
            "transport": int(self._transport),
            "client_nonce": CLIENT_NONCE.hex(),
            "server_nonce": SERVER_NONCE.hex(),
            "client_private": CLIENT_PRIVATE.hex() if self._offered else None,
            "server_private": SERVER_PRIVATE.hex() if self._offered else None,
            "client_ephemeral": self.hello.client_ephemeral.hex(),
            "server_ephemeral": self.server_ephemeral.hex(),
        }
