"""
Who may connect: the server's half of a handshake, blind to transports.

The checks, in this order, and the code of a refusal::

    version             VERSION
    sid and HMAC        UNKNOWN for both, so that nobody can probe for sids
    encryption flag     ENCRYPTION
    no ephemeral key    FORWARD_SECRECY, where it is required
    node state          TAKEN, SERVER_OFFLINE: for users who are new
    all-zero secret     PROTOCOL

Of JSON WebSocket, whose messages are not sealed, only sid and proof and the node
state are looked at.

See C{docs/protocol.md}, "Session and keys".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode
from diarkis_tw.core.node import Node
from diarkis_tw.core.user import User, UserState
from diarkis_tw.core.users import Users
from diarkis_tw.units import Seconds, milliseconds
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import Hello, Terms, encode_accept, verify_hello
from diarkis_tw.wire.json_message import JsonAuth, verify_auth
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    NONCE_SIZE,
    ConnectionKeys,
    HandshakeContext,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)

KEEP_ALIVE_MOST: Final[Seconds] = 5.0
"""Longest keep-alive interval; a third of connectionTTL if that is less."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    A client that may come in.

    @ivar accept: the body of ACCEPT.
    """

    user: User
    keys: ConnectionKeys
    accept: bytes


@dataclass(frozen=True, slots=True)
class Agreement:
    """
    What a handshake agreed on, before it is written as an ACCEPT.
    """

    user: User
    keys: ConnectionKeys
    server_nonce: bytes
    server_ephemeral: bytes
    accept_key: bytes


class Admission:
    """
    Decides about HELLOs.
    """

    def __init__(
        self, node: Node, users: Users, encryption: bool, random_bytes: Callable[[int], bytes]
    ) -> None:
        """
        @param encryption: C{enableEncryption} of this node.
        """
        self._node = node
        self._users = users
        self._encryption = encryption
        self._random_bytes = random_bytes

    def admit(
        self,
        transport: TransportId,
        hello: Hello,
        header: bytes,
        body: bytes,
        accept_header: bytes,
        ttl: Seconds,
    ) -> Admitted | CloseCode:
        """
        Check a stream's HELLO, make the connection's keys and its ACCEPT.

        @param header: the record header of the HELLO, which its HMAC covers.
        @param accept_header: the record header that ACCEPT will have.
        @param ttl: connectionTTL, told to the client.
        @return: the refusal's code if the client may not come in.
        """
        agreed = self.agree(transport, hello, lambda key: verify_hello(header, body, key))
        if isinstance(agreed, CloseCode):
            return agreed
        terms = Terms(
            cid=bytes(8),
            reset_token=bytes(16),
            retry_interval=0,
            ack_delay=0,
            mtu=0,
            window=0,
            connection_ttl=int(ttl),
            keep_alive=keep_alive_interval(ttl),
            max_retry=0,
        )
        accept = encode_accept(
            accept_header, agreed.server_nonce, agreed.server_ephemeral, terms, agreed.accept_key
        )
        return Admitted(agreed.user, agreed.keys, accept)

    def agree(
        self,
        transport: TransportId,
        hello: Hello,
        verify: Callable[[bytes], bool],
        *,
        ephemeral_required: bool = False,
    ) -> Agreement | CloseCode:
        """
        Check a HELLO and make the connection's keys.

        @param verify: whether the HELLO's HMAC is right under a key.
        @param ephemeral_required: refuse clients that offer no forward secrecy.
        @return: the refusal's code if the client may not come in.
        """
        if hello.version != PROTOCOL_VERSION:
            return CloseCode.VERSION
        user = self._recognise(hello.sid, verify)
        if user is None:
            return CloseCode.UNKNOWN
        if bool(hello.flags & FLAG_ENCRYPTED) != self._encryption:
            return CloseCode.ENCRYPTION
        if ephemeral_required and not hello.flags & FLAG_EPHEMERAL:
            return CloseCode.FORWARD_SECRECY
        refusal = self._refusal(user)
        if refusal is not None:
            return refusal
        server_nonce = self.nonce()
        shared = b""
        client_ephemeral = server_ephemeral = NO_EPHEMERAL
        if hello.flags & FLAG_EPHEMERAL:
            private = self._random_bytes(32)
            client_ephemeral = hello.client_ephemeral
            server_ephemeral = public_key(private)
            agreed = shared_secret(private, client_ephemeral)
            if agreed is None:
                return CloseCode.PROTOCOL
            shared = agreed
        context = HandshakeContext(
            hello.version,
            hello.flags,
            transport,
            hello.client_nonce,
            server_nonce,
            client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(user.keys.master(), shared)
        return Agreement(
            user,
            connection_keys(secret, context),
            server_nonce,
            server_ephemeral,
            accept_key(secret, context),
        )

    def admit_json(self, auth: JsonAuth, server_nonce: bytes) -> User | CloseCode:
        """
        Check an auth of JSON WebSocket.

        @param server_nonce: of the hello that it answers.
        @return: the refusal's code if the client may not come in.
        """
        user = self._recognise(auth.sid, lambda key: verify_auth(auth, server_nonce, key))
        if user is None:
            return CloseCode.UNKNOWN
        refusal = self._refusal(user)
        return user if refusal is None else refusal

    def nonce(self) -> bytes:
        """
        A fresh server nonce.
        """
        return self._random_bytes(NONCE_SIZE)

    def _recognise(self, sid: bytes, verify: Callable[[bytes], bool]) -> User | None:
        user = self._users.find_sid(sid)
        return None if user is None or not verify(user.keys.hello_key()) else user

    def _refusal(self, user: User) -> CloseCode | None:
        return self._node.refusal() if user.state is UserState.PENDING else None


def keep_alive_interval(ttl: Seconds) -> int:
    """
    How often a client speaks at least, in milliseconds.
    """
    return milliseconds(min(ttl / 3, KEEP_ALIVE_MOST))
