"""
How a client finds out that its server was restarted. No clock, no socket: times
come in, in microseconds, and datagrams go out.

A server that does not know a connection says RESET, with the token that it gave
to the client. After a restart its tokens are others: what comes then is only a
datagram that nobody can read::

    ========  ====================================================================
    trusting  nothing unreadable came since the last authentic packet
    doubting  something did: PING each time-out
    probing   2 s later and still nothing authentic: besides, a HELLO a second, and
              one for the first COOKIE
    ========  ====================================================================

  - Only what could be a RESET raises doubt: of its size, and no exact copy of an
    earlier datagram, because networks deliver twice.
  - Any authentic packet ends doubt and probe.
  - All probes of a connection have the same nonce and ephemeral key. So an answer
    that was long on its way is still one, and whoever makes a client probe again
    and again learns nothing new.
"""

from collections.abc import Callable
from typing import Final

from diarkis_tw.client.udp_handshake import Accepted, UdpHandshake
from diarkis_tw.constants import CloseCode
from diarkis_tw.units import MICROSECONDS_PER_SECOND
from diarkis_tw.wire.reset import RESET_SIZE_MAX, RESET_SIZE_MIN

DOUBT: Final = 2 * MICROSECONDS_PER_SECOND

HELLO_INTERVAL: Final = MICROSECONDS_PER_SECOND

EARLIER_MAX: Final = 256
"""Datagrams remembered to know a copy; one that comes later raises doubt, which a
server that lives ends within a round trip."""


class Probe:
    """
    The doubts about one connection.
    """

    def __init__(self, make_handshake: Callable[[], UdpHandshake]) -> None:
        """
        @param make_handshake: called with the first probe; most connections never
            have one.
        """
        self._make_handshake = make_handshake
        self._handshake: UdpHandshake | None = None
        self._earlier: dict[bytes, None] = {}
        self._probe_at: int | None = None
        self._probing = False
        self._ping_at = 0
        self._hello_at = 0

    def accepted(self, datagram: bytes) -> None:
        """
        An authentic packet came: the server lives.
        """
        self._is_new(datagram)
        self._probe_at = None
        self._probing = False

    def refused(self, datagram: bytes, now: int) -> None:
        """
        A datagram came that is neither authentic, nor old, nor this connection's
        RESET.
        """
        if self._is_new(datagram) and self._probe_at is None:
            self._probe_at = now + DOUBT
            # A flood must not be answered faster than one time-out after the other.
            self._ping_at = max(now, self._ping_at)

    def deadline(self) -> int | None:
        """
        When L{ping_due} or L{tick} have something to do.
        """
        if self._probe_at is None:
            return None
        return min(self._ping_at, self._hello_at if self._probing else self._probe_at)

    def ping_due(self, now: int, timeout: int) -> bool:
        """
        Whether a PING is to be sent now.

        @param timeout: until the next one.
        """
        if self._probe_at is None or now < self._ping_at:
            return False
        self._ping_at = now + timeout
        return True

    def tick(self, now: int) -> bytes | None:
        """
        Write a HELLO if one is due.
        """
        if self._probe_at is None or now < self._probe_at:
            return None
        if self._handshake is None:
            self._handshake = self._make_handshake()
        if not self._probing:
            self._probing = True
            self._handshake.restart()
            self._hello_at = now
        if now < self._hello_at:
            return None
        self._hello_at = now + HELLO_INTERVAL
        return self._handshake.hello(now)

    def cookie(self, datagram: bytes, now: int) -> bytes | None:
        """
        Take a COOKIE.

        @return: the HELLO to answer with at once.
        """
        handshake = self._handshake if self._probing else None
        if handshake is not None and handshake.cookie(datagram, now):
            return handshake.hello(now)
        return None

    def accept(self, datagram: bytes, now: int) -> Accepted | None:
        """
        Take an ACCEPT.

        @return: the connection that takes the place of this one.

        @raise RemoteProtocolError: its terms are illegal.
        """
        if self._probing and self._handshake is not None:
            return self._handshake.accept(datagram, now)
        return None

    def terminate(self, datagram: bytes) -> CloseCode | None:
        """
        Take a TERMINATE. One is enough: who knows the nonce has read a HELLO that
        was sent because the server does not answer.

        @return: why the connection is over.
        """
        if self._probing and self._handshake is not None:
            return self._handshake.terminate(datagram)
        return None

    def _is_new(self, datagram: bytes) -> bool:
        earlier = self._earlier
        if not RESET_SIZE_MIN <= len(datagram) <= RESET_SIZE_MAX or datagram in earlier:
            return False
        earlier[datagram] = None
        if len(earlier) > EARLIER_MAX:
            del earlier[next(iter(earlier))]
        return True
