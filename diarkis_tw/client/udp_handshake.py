"""
The client's side of the UDP handshake. No clock, no socket: times come in, in
microseconds, and datagrams go out.

Rules:

  - Every repetition of HELLO makes the same offer.
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
from diarkis_tw.client.offer import Agreement, Offer
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.units import MICROSECONDS_PER_SECOND
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    decode_accept,
    decode_cookie,
    decode_terminate,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keys import TransportId

PAUSES: Final = tuple(MICROSECONDS_PER_SECOND * n // 4 for n in (1, 2, 4))
"""Between a HELLO and the next, the last one again and again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    What an ACCEPT gives.

    @ivar terms: what the server grants.
    @ivar agreement: has the keys of both directions.
    @ivar round_trip: a first measurement, in microseconds, at least 1.
    """

    terms: Terms
    agreement: Agreement
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
        self._offer = Offer(endpoint, TransportId.UDP, random, forward_secrecy)
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
        return encode_hello(self._offer.hello, self._cookie, self._offer.hello_key)

    def cookie(self, datagram: bytes, now: int) -> bool:
        """
        Take a COOKIE.

        @param datagram: of which first byte and size are COOKIE's.
        @return: whether it is the first, which is answered at once.
        """
        nonce, cookie = decode_cookie(datagram)
        if nonce != self._offer.hello.client_nonce or self._first_hello is None:
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
        nonce_half, server_nonce, server_ephemeral = decode_accept(datagram)
        if nonce_half != self._offer.hello.client_nonce[: len(nonce_half)]:
            return None
        try:
            agreement = self._offer.answered(server_nonce, server_ephemeral)
        except RemoteProtocolError:
            return None
        terms = open_accept_terms(datagram, agreement.accept_key())
        if terms is None:
            return None
        return Accepted(terms, agreement, self._round_trip(now))

    def terminate(self, datagram: bytes) -> CloseCode | None:
        """
        Take a TERMINATE.

        @param datagram: of which first byte and size are TERMINATE's.
        @return: its code; L{None} if it is for somebody else.
        """
        nonce, code = decode_terminate(datagram)
        return code if nonce == self._offer.hello.client_nonce else None

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
