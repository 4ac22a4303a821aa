"""
What a client proposes with HELLO, and what a server's ACCEPT makes of it: the
same on every transport that seals its messages.

Rules:

  - Nonce and ephemeral key are drawn once an offer; a connection that is made
    anew makes a new offer.
  - An offer of forward secrecy must be taken, and none comes without an offer: a
    key that is not asked for or missing is somebody else's work.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.constants import PROTOCOL_VERSION
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import Hello
from diarkis_tw.wire.keys import (
    EPHEMERAL_SIZE,
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    NONCE_SIZE,
    HandshakeContext,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """
    What both sides know once the server has answered, if it has the session's
    keys: that L{accept_key} opens its terms is the proof.
    """

    _secret: bytes = field(repr=False)
    _context: HandshakeContext

    def accept_key(self) -> bytes:
        """
        Derive what opens the terms in ACCEPT.
        """
        return accept_key(self._secret, self._context)

    def ciphers(self, encrypted: bool, cache: AeadCache) -> tuple[Cipher, Cipher]:
        """
        Derive what seals and opens the messages of the connection.

        @param encrypted: they are encrypted, not only authenticated.
        @param cache: keeps what is derived from the keys.
        @return: what opens the server's, and what seals the client's.
        """
        keys = connection_keys(self._secret, self._context)
        return (
            Cipher(keys.s2c_key, keys.s2c_iv, encrypted, cache),
            Cipher(keys.c2s_key, keys.c2s_iv, encrypted, cache),
        )


class Offer:
    """
    One proposal to a server.

    @ivar hello: what to say.
    @ivar hello_key: proves that this client has the session's keys.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: TransportId,
        random: Callable[[int], bytes],
        forward_secrecy: bool,
    ) -> None:
        """
        @param endpoint: has the session's keys.
        @param transport: which one it is for.
        @param random: C{os.urandom}, or a test's.
        @param forward_secrecy: offer an X25519 exchange.
        """
        keys = endpoint.keys
        self.hello_key = keys.hello_key()
        self._master = keys.master()
        self._transport = transport
        self._private = random(EPHEMERAL_SIZE) if forward_secrecy else b""
        flags = FLAG_ENCRYPTED if endpoint.encryption else 0
        ephemeral = NO_EPHEMERAL
        if forward_secrecy:
            flags |= FLAG_EPHEMERAL
            ephemeral = public_key(self._private)
        self.hello = Hello(PROTOCOL_VERSION, flags, keys.sid, random(NONCE_SIZE), ephemeral)

    def answered(self, server_nonce: bytes, server_ephemeral: bytes) -> Agreement:
        """
        Take what an ACCEPT says in clear.

        @param server_nonce: 16 bytes.
        @param server_ephemeral: 32 bytes, zeros when absent.
        @return: the agreement, which is not proven yet.

        @raise RemoteProtocolError: the ephemeral key is not an answer to the offer.
        """
        hello = self.hello
        if (server_ephemeral == NO_EPHEMERAL) != (hello.client_ephemeral == NO_EPHEMERAL):
            raise RemoteProtocolError("forward secrecy was not answered as offered")
        shared = shared_secret(self._private, server_ephemeral) if self._private else b""
        if shared is None:
            raise RemoteProtocolError("the server's ephemeral key gives no secret")
        context = HandshakeContext(
            hello.version,
            hello.flags,
            self._transport,
            hello.client_nonce,
            server_nonce,
            hello.client_ephemeral,
            server_ephemeral,
        )
        return Agreement(connection_secret(self._master, shared), context)
