"""
The client's side of the UDP handshake. No clock, no socket: times come in, in
microseconds, and datagrams go out.

Rules:

  - Nonce and ephemeral key are drawn once; every repetition of HELLO has the same.
  - A COOKIE stands in every HELLO after it, until a later one takes its place.
  - An ACCEPT is the server's if it opens. One that does not, or has an ephemeral
    key that was not asked for, or none, or one that gives no secret, is dropped:
    the true one may still come.
  - Nothing authenticates a TERMINATE but the nonce.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode
from diarkis_tw.units import MICROSECONDS_PER_SECOND
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    decode_accept,
    decode_cookie,
    decode_terminate,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import Hello, Terms
from diarkis_tw.wire.keys import (
    EPHEMERAL_SIZE,
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

PAUSES: Final = tuple(MICROSECONDS_PER_SECOND * n // 4 for n in (1, 2, 4))
"""Between a HELLO and the next, the last one again and again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    What an ACCEPT gives.

    @ivar terms: what the server grants.
    @ivar keys: of both directions.
    @ivar round_trip: a first measurement, in microseconds, at least 1.
    """

    terms: Terms
    keys: ConnectionKeys
    round_trip: int


class UdpHandshake:
    """
    One offer to a server, and what may be answered to it.
    """

    def __init__(
        self, endpoint: Endpoint, random: Callable[[int], bytes], forward_secrecy: bool
    ) -> None:
        """
        @param endpoint: has the session's keys.
        @param random: C{os.urandom}, or a test's.
        @param forward_secrecy: offer an X25519 exchange.
        """
        keys = endpoint.keys
        self._master = keys.master()
        self._hello_key = keys.hello_key()
        self._private = random(EPHEMERAL_SIZE) if forward_secrecy else b""
        flags = FLAG_ENCRYPTED if endpoint.encryption else 0
        ephemeral = NO_EPHEMERAL
        if forward_secrecy:
            flags |= FLAG_EPHEMERAL
            ephemeral = public_key(self._private)
        self._hello = Hello(PROTOCOL_VERSION, flags, keys.sid, random(NONCE_SIZE), ephemeral)
        self.restart()

    def restart(self) -> None:
        """
        Ask for a cookie anew: an old one is worth nothing any more.
        """
        self._cookie = NO_COOKIE
        self._first_hello: int | None = None
        self._first_with_cookie: int | None = None
        self._cookie_took: int | None = None

    def hello(self, now: int) -> bytes:
        """
        Write the HELLO to be sent now.
        """
        if self._cookie == NO_COOKIE:
            if self._first_hello is None:
                self._first_hello = now
        elif self._first_with_cookie is None:
            self._first_with_cookie = now
        return encode_hello(self._hello, self._cookie, self._hello_key)

    def cookie(self, datagram: bytes, now: int) -> bool:
        """
        Take a COOKIE.

        @param datagram: of which first byte and size are COOKIE's.
        @return: whether it is the first, which is answered at once.
        """
        nonce, cookie = decode_cookie(datagram)
        if nonce != self._hello.client_nonce or self._first_hello is None:
            return False
        is_first = self._cookie == NO_COOKIE
        self._cookie = cookie
        if is_first:
            self._cookie_took = now - self._first_hello
        return is_first

    def accept(self, datagram: bytes, now: int) -> Accepted | None:
        """
        Take an ACCEPT.

        @param datagram: of which first byte and size are ACCEPT's.
        @return: L{None} if it is to be dropped.

        @raise RemoteProtocolError: it is the server's, but its terms are illegal.
        """
        hello = self._hello
        nonce_half, server_nonce, server_ephemeral = decode_accept(datagram)
        if nonce_half != hello.client_nonce[: len(nonce_half)]:
            return None
        if (server_ephemeral == NO_EPHEMERAL) != (hello.client_ephemeral == NO_EPHEMERAL):
            return None
        shared = shared_secret(self._private, server_ephemeral) if self._private else b""
        if shared is None:
            return None
        context = HandshakeContext(
            hello.version,
            hello.flags,
            TransportId.UDP,
            hello.client_nonce,
            server_nonce,
            hello.client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(self._master, shared)
        terms = open_accept_terms(datagram, accept_key(secret, context))
        if terms is None:
            return None
        return Accepted(terms, connection_keys(secret, context), self._round_trip(now))

    def terminate(self, datagram: bytes) -> CloseCode | None:
        """
        Take a TERMINATE.

        @param datagram: of which first byte and size are TERMINATE's.
        @return: its code; L{None} if it is for somebody else.
        """
        nonce, code = decode_terminate(datagram)
        return code if nonce == self._hello.client_nonce else None

    def _round_trip(self, now: int) -> int:
        # A HELLO that was lost makes its exchange look long; rarely both are hit. Taken
        # from the last HELLO it could be short, and everything would be sent twice.
        took = [] if self._cookie_took is None else [self._cookie_took]
        first = self._first_with_cookie
        if first is None:
            first = self._first_hello
        if first is not None:
            took.append(now - first)
        return max(1, min(took, default=1))


class Greeting:
    """
    When a client that connects sends HELLO, and what it believes.

    Rules:

      - HELLO at once, again after L{PAUSES}; the first COOKIE is answered at once
        and begins these anew.
      - A TERMINATE is believed once the same code was the answer to two HELLOs.
    """

    def __init__(self, handshake: UdpHandshake, now: int) -> None:
        """
        @param handshake: what is sent.
        @param now: when the first HELLO is due.
        """
        self._handshake = handshake
        self._due = now
        self._repeated = 0
        self._count = 0
        self._terminated: dict[CloseCode, int] = {}

    def deadline(self) -> int:
        """
        When L{tick} has something to send.
        """
        return self._due

    def tick(self, now: int) -> bytes | None:
        """
        Write a HELLO if one is due.
        """
        if now < self._due:
            return None
        self._due = now + PAUSES[min(self._repeated, len(PAUSES) - 1)]
        self._repeated += 1
        self._count += 1
        return self._handshake.hello(now)

    def cookie(self, datagram: bytes, now: int) -> None:
        """
        Take a COOKIE.
        """
        if self._handshake.cookie(datagram, now):
            self._repeated = 0
            self._due = now

    def terminate(self, datagram: bytes) -> CloseCode | None:
        """
        Take a TERMINATE.

        @return: its code if it is believed.
        """
        code = self._handshake.terminate(datagram)
        if code is None:
            return None
        before = self._terminated.setdefault(code, self._count)
        return code if before != self._count else None
