"""
The server's side of the UDP handshake: no state before a cookie, little after.

Checks, cheapest first: size and first byte (the caller's), cookie, then those of
L{diarkis_tw.core.admission}. Without a valid cookie the answer is a COOKIE
whatever the HELLO says. With one, the connection is I{pending} until its first
authentic packet; a repeated HELLO gets the stored ACCEPT. That is stored for as
long as a cookie lives, so that a HELLO played again opens nothing new.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from diarkis_tw.config.settings import UdpSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.admission import Admission, Agreement, keep_alive_interval
from diarkis_tw.rudp.cookie import COOKIE_KEY_SIZE, Cookies
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.rudp.reset_token import RESET_KEY_SIZE, reset_token
from diarkis_tw.units import MICROSECONDS_PER_SECOND, milliseconds
from diarkis_tw.wire.datagram_handshake import (
    cookie_fields,
    decode_hello,
    encode_accept,
    encode_cookie,
    encode_terminate,
    verify_hello,
)
from diarkis_tw.wire.handshake import CID_SIZE, Hello, Terms
from diarkis_tw.wire.keys import TransportId

PENDING_MOST: Final = 1024
"""Connections that have a cookie and keys and no authentic packet yet."""

PENDING_LIFE: Final = 5 * MICROSECONDS_PER_SECOND

MTU: Final = 1200
ACK_DELAY_MOST: Final = 20
"""Milliseconds."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Opened:
    """
    A HELLO that opens a connection.

    @ivar round_trip: what the cookie's way measured, in microseconds.
    """

    agreement: Agreement
    cid: bytes
    accept: bytes
    round_trip: int


@dataclass(frozen=True, slots=True)
class Answered:
    """
    A handshake that may be repeated by its client.
    """

    hello: Hello
    accept: bytes
    until: int


class UdpHandshake:
    """
    Answers HELLOs.

    @ivar limits: what connections of this server agree on.
    """

    def __init__(
        self,
        settings: UdpSettings,
        admission: Admission,
        random_bytes: Callable[[int], bytes],
        pending: Mapping[bytes, object],
    ) -> None:
        """
        @param pending: what is pending at present, by sid.
        """
        self._admission = admission
        self._random_bytes = random_bytes
        self._cookies = Cookies(random_bytes(COOKIE_KEY_SIZE))
        self._reset_key = random_bytes(RESET_KEY_SIZE)
        self._pending = pending
        self._answered: dict[bytes, Answered] = {}
        self._ephemeral_required = settings.forward_secrecy == "required"
        self._settings = settings
        # what is buffered waits for the flush, acks too
        ack_delay = max(
            min(ACK_DELAY_MOST, milliseconds(settings.sweep_interval)),
            milliseconds(settings.flush_interval),
        )
        self.limits = Limits(
            mtu=MTU,
            window=256,
            retry_interval=settings.retry_interval * 1000,
            max_retry=settings.max_retry,
            ack_delay=ack_delay * 1000,
            max_message_size=settings.max_message_size,
            redundancy=settings.redundancy,
        )

    def answer(self, datagram: bytes, address: Address, now: int) -> bytes | Opened | None:
        """
        Answer a datagram of HELLO's size and first byte.

        @return: a datagram to send back, a connection to open, or nothing.
        """
        sid, client_nonce, cookie = cookie_fields(datagram)
        now_ms = now // 1000
        host, port = address
        age = self._cookies.check(cookie, now_ms, host, port, sid, client_nonce)
        if age is None:
            fresh = self._cookies.make(now_ms, host, port, sid, client_nonce)
            return encode_cookie(client_nonce, fresh)
        hello = decode_hello(datagram)
        before = self._answered.get(sid)
        if before is not None and before.hello.client_nonce == client_nonce:
            return before.accept if before.hello == hello else None
        if len(self._pending) >= PENDING_MOST and sid not in self._pending:
            return None
        agreement = self._admission.agree(
            TransportId.UDP,
            hello,
            lambda key: verify_hello(datagram, key),
            ephemeral_required=self._ephemeral_required,
        )
        if isinstance(agreement, CloseCode):
            return encode_terminate(client_nonce, agreement)
        cid = self._random_bytes(CID_SIZE)
        accept = encode_accept(
            client_nonce,
            agreement.server_nonce,
            agreement.server_ephemeral,
            self._terms(cid),
            agreement.accept_key,
        )
        self._answered.pop(sid, None)
        self._answered[sid] = Answered(hello, accept, now + PENDING_LIFE)
        return Opened(agreement, cid, accept, max(age, 1) * 1000)

    def reset_token(self, cid: bytes) -> bytes:
        """
        What proves a RESET of that connection.
        """
        return reset_token(self._reset_key, cid)

    def sweep(self, now: int) -> None:
        """
        Forget handshakes that are over.
        """
        for sid, answered in list(self._answered.items()):
            if answered.until > now:
                return
            del self._answered[sid]

    def _terms(self, cid: bytes) -> Terms:
        limits = self.limits
        return Terms(
            cid=cid,
            reset_token=self.reset_token(cid),
            retry_interval=limits.retry_interval // 1000,
            ack_delay=limits.ack_delay // 1000,
            mtu=limits.mtu,
            window=limits.window,
            connection_ttl=int(self._settings.connection_ttl),
            keep_alive=keep_alive_interval(self._settings.connection_ttl),
            max_retry=limits.max_retry,
        )
