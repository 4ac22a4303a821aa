"""
The client's end of a UDP connection: a L{diarkis_tw.rudp.connection.Connection} on
a socket of its own.

States and rules::

    =========  ===================================================================
    IDLE       until connect
    LOOKING    the server's name is looked up
    GREETING   HELLO goes out until ACCEPT or a believed TERMINATE comes
    OPEN       messages go both ways
    ENDING     CLOSE is repeated until the server's comes; nobody is told anything
    CLOSED     nothing is read, sent or reported any more
    =========  ===================================================================

  - LOOKING and GREETING together last L{HANDSHAKE_TIMEOUT} at most, ENDING
    L{LINGER}.
  - What the system does not send is lost, as anything may be.
  - What one reactor turn leaves to be sent goes out at its end, coalesced. One timer
    is armed for the earliest deadline; it may go off early, never late.
  - After ACCEPT a PING confirms the connection, repeated until a packet comes back.
  - A RESET ends the connection with UNKNOWN; L{diarkis_tw.client.udp_probe} says how
    the restart of a server shows, and L{TransportEvents.reconnected} what of it.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, cast

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IReactorUDP,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.name_lookup import look_up
from diarkis_tw.client.transport import TransportEvents
from diarkis_tw.client.udp_handshake import Accepted, Greeting, UdpHandshake
from diarkis_tw.client.udp_probe import Probe
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.net.datagram_socket import tune
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.units import MICROSECONDS_PER_SECOND, Seconds, microseconds
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.datagram import (
    ACCEPT_BYTE,
    COOKIE_BYTE,
    JUNK,
    MTU_MAX,
    TERMINATE_BYTE,
    server_datagram_kind,
)
from diarkis_tw.wire.message import Request, decode_server_message
from diarkis_tw.wire.packet import DATA_BYTE
from diarkis_tw.wire.reset import matches_reset

HANDSHAKE_TIMEOUT: Final[Seconds] = 5.0
"""For the whole of it; a cookie lives as long."""

LINGER: Final[Seconds] = 2.0
"""How long a CLOSE may wait for the server's, however slow it has promised to be."""

MESSAGE_MAX_BYTES: Final = 512 * 1024
"""Longest payload of a message: what a server can be configured to at most."""

REASSEMBLY_MAX_BYTES: Final = 8 * 1024 * 1024
"""Incomplete messages of the server: one of the longest and a window of packets for
each channel. A hostile server can make the client hold as much."""

BUFFER_BYTES: Final = 1024 * 1024
"""Asked of the system for each direction: some 800 of the largest datagrams, while
the reactor is busy."""

DATAGRAM_MAX_BYTES: Final = 2048
"""Bytes of a datagram that are looked at: more than any legal one has."""


class _State(Enum):
    IDLE = "idle"
    LOOKING = "looking"
    GREETING = "greeting"
    OPEN = "open"
    ENDING = "ending"
    CLOSED = "closed"


class UdpTransport:
    """
    A L{diarkis_tw.client.transport.Transport} over UDP.

    @ivar junk: datagrams that were nothing the state allows.
    @ivar unsent: datagrams that the system did not take.
    """

    is_text = False

    def __init__(
        self,
        reactor: IReactorUDP,
        clock: IReactorTime,
        random: Callable[[int], bytes],
        *,
        forward_secrecy: bool = True,
    ) -> None:
        """
        @param reactor: makes the socket, and looks up names.
        @param clock: measures everything; in life the same object.
        @param random: C{os.urandom}, or a test's.
        @param forward_secrecy: offer an X25519 exchange.
        """
        self.junk = 0
        self.unsent = 0
        self._reactor = reactor
        self._clock = clock
        self._random = random
        self._forward_secrecy = forward_secrecy
        self._state = _State.IDLE
        self._latest = 0
        self._refused = False
        self._wire: IUDPTransport | None = None
        self._mtu = MTU_MAX
        self._soon: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._timer_at = 0
        self._time_limit: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._waiting: list[Deferred[None]] = []

    def connect(self, endpoint: Endpoint, events: TransportEvents) -> None:
        """
        See L{diarkis_tw.client.transport.Transport.connect}.
        """
        self._endpoint = endpoint
        self._events = events
        self._state = _State.LOOKING
        self._time_limit = self._clock.callLater(HANDSHAKE_TIMEOUT, self._handshake_timed_out)
        look_up(self._reactor, endpoint.host, endpoint.port, self._looked_up)

    def send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        """
        See L{diarkis_tw.client.transport.Transport.send}.
        """
        if self._state is not _State.OPEN:
            return False
        sent = self._connection.send(request.encode(), reliable, channel, self._now())
        self._flush_soon()
        return sent

    def timeout(self) -> Seconds | None:
        """
        See L{diarkis_tw.client.transport.Transport.timeout}.
        """
        if self._state is not _State.OPEN:
            return None
        return self._connection.round_trip.timeout(0) / MICROSECONDS_PER_SECOND

    def drained(self) -> Deferred[None]:
        """
        See L{diarkis_tw.client.transport.Transport.drained}.
        """
        drained: Deferred[None] = Deferred()
        if self._state is _State.OPEN and self._connection.queued:
            self._drained.append(drained)
        else:
            drained.callback(None)
        return drained

    def close(self, code: CloseCode) -> Deferred[None]:
        """
        See L{diarkis_tw.client.transport.Transport.close}.
        """
        if self._state is _State.OPEN:
            self._close_connection(code, self._now())
        elif self._state is not _State.ENDING:
            self._shut()
        gone: Deferred[None] = Deferred()
        if self._wire is None:
            gone.callback(None)
        else:
            self._waiting.append(gone)
        return gone

    # What the protocol below tells

    def datagram_received(self, datagram: bytes) -> None:
        """
        Read what came.

        @param datagram: any bytes at all.
        """
        state = self._state
        kind = server_datagram_kind(datagram, self._mtu)
        if state is _State.GREETING and kind not in (JUNK, DATA_BYTE):
            self._greeting_answered(kind, datagram)
        elif state in (_State.OPEN, _State.ENDING) and kind == DATA_BYTE:
            self._data_received(datagram)
        elif state is _State.OPEN and kind != JUNK:
            self._probe_answered(kind, datagram)
        else:
            self.junk += 1

    def refused(self) -> None:
        """
        Nothing listens there, says somebody on the way. Anybody can say that, and a
        server that restarts listens again soon.
        """
        self._refused = True

    def stopped(self) -> None:
        """
        The socket is closed.
        """
        self._wire = None
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(None)

    # Greeting

    def _looked_up(self, host: str | None) -> None:
        if self._state is not _State.LOOKING:
            return
        if host is None:
            self._leave(None, f"there is no host of the name {self._endpoint.host}")
            return
        interface = "::" if isIPv6Address(host) else ""
        protocol = _Protocol(self)
        try:
            port = self._reactor.listenUDP(0, protocol, interface, DATAGRAM_MAX_BYTES)
            self._wire = cast(IUDPTransport, port)
            tune(port, BUFFER_BYTES)
            self._wire.connect(host, self._endpoint.port)
        except (CannotListenError, OSError) as error:
            self._leave(None, f"cannot connect: {error}")
            return
        self._state = _State.GREETING
        self._handshake = self._make_handshake()
        self._greeting = Greeting(self._handshake, self._now())
        self._turn(self._now())

    def _make_handshake(self) -> UdpHandshake:
        return UdpHandshake(self._endpoint, self._random, self._forward_secrecy)

    def _greeting_answered(self, kind: int, datagram: bytes) -> None:
        now = self._now()
        if kind == COOKIE_BYTE:
            self._greeting.cookie(datagram, now)
            self._turn(now)
        elif kind == TERMINATE_BYTE:
            code = self._greeting.terminate(datagram)
            if code is not None:
                self._leave(code, "the server refused the connection")
        elif kind == ACCEPT_BYTE:
            accepted = self._accept(self._handshake.accept, datagram, now)
            if accepted is not None:
                self._become_open(accepted, now)
                self._events.connected(accepted.terms)

    def _accept(
        self, accept: Callable[[bytes, int], Accepted | None], datagram: bytes, now: int
    ) -> Accepted | None:
        try:
            return accept(datagram, now)
        except RemoteProtocolError as error:
            self._leave(error.code, str(error))
            return None

    def _become_open(self, accepted: Accepted, now: int) -> None:
        terms = accepted.terms
        limits = Limits(
            mtu=terms.mtu,
            window=terms.window,
            retry_interval=terms.retry_interval * 1000,
            max_retry=terms.max_retry,
            ack_delay=terms.ack_delay * 1000,
            max_message_size=MESSAGE_MAX_BYTES,
        )
        opener, sealer = accepted.agreement.ciphers(self._endpoint.encryption, AeadCache(4))
        self._connection = Connection(
            limits,
            terms.cid,
            True,
            opener,
            sealer,
            ReassemblyBudget(REASSEMBLY_MAX_BYTES),
            now,
            accepted.round_trip,
        )
        self._connection.ping()
        self._mtu = terms.mtu
        self._reset_token = terms.reset_token
        self._probe = Probe(self._make_handshake)
        self._stop(self._time_limit)
        self._state = _State.OPEN
        self._flush_soon()

    # Open

    def _data_received(self, datagram: bytes) -> None:
        now = self._now()
        connection = self._connection
        if connection.receive(datagram, now):
            self._probe.accepted(datagram)
            delivered, connection.delivered = connection.delivered, []
            for message, _ in delivered:
                if self._state is not _State.OPEN:
                    break
                self._message_received(message, now)
            self._flush_soon()
        elif matches_reset(datagram, self._reset_token):
            self._leave(CloseCode.UNKNOWN, "the server does not know the connection any more")
        else:
            self._probe.refused(datagram, now)
            self._flush_soon()

    def _message_received(self, message: bytes, now: int) -> None:
        try:
            found = decode_server_message(message)
        except RemoteProtocolError as error:
            self._close_connection(error.code, now)
            self._events.closed(error.code, str(error))
        else:
            self._events.message_received(found)

    def _probe_answered(self, kind: int, datagram: bytes) -> None:
        now = self._now()
        if kind == COOKIE_BYTE:
            hello = self._probe.cookie(datagram, now)
            if hello is not None:
                self._write(hello)
        elif kind == TERMINATE_BYTE:
            code = self._probe.terminate(datagram)
            if code is not None:
                self._leave(code, "the server was restarted")
        elif kind == ACCEPT_BYTE:
            accepted = self._accept(self._probe.accept, datagram, now)
            if accepted is not None:
                discarded = self._connection.queued
                self._become_open(accepted, now)
                self._events.reconnected(accepted.terms, discarded)

    # Time

    def _now(self) -> int:
        # The system's clock may be set back.
        self._latest = max(self._latest, microseconds(self._clock.seconds()))
        return self._latest

    def _flush_soon(self) -> None:
        if self._soon is None and self._state is not _State.CLOSED:
            self._soon = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._soon = None
        self._turn(self._now())

    def _timer_fired(self) -> None:
        self._timer = None
        # What was computed from the deadline in seconds may be off by a microsecond.
        self._latest = max(self._latest, self._timer_at)
        self._turn(self._now())

    def _turn(self, now: int) -> None:
        """
        Do what is due, send what there is, and arm the timer.
        """
        if self._state is _State.GREETING:
            hello = self._greeting.tick(now)
            if hello is not None:
                self._write(hello)
            self._arm(self._greeting.deadline(), now)
        elif self._state in (_State.OPEN, _State.ENDING):
            self._turn_connection(now)

    def _turn_connection(self, now: int) -> None:
        connection, probe = self._connection, self._probe
        deadline = connection.deadline()
        if deadline is not None and deadline <= now:
            connection.tick(now)
        if self._state is _State.OPEN:
            if probe.ping_due(now, connection.round_trip.timeout(0)):
                connection.ping()
            hello = probe.tick(now)
            if hello is not None:
                self._write(hello)
        for datagram in connection.flush(now):
            self._write(datagram)
        if connection.state is not State.OPEN:
            self._connection_ended(now)
            return
        if self._drained and not connection.queued:
            drained, self._drained = self._drained, []
            for waiting in drained:
                waiting.callback(None)
        self._arm(connection.deadline(), now)
        self._arm(probe.deadline(), now)

    def _connection_ended(self, now: int) -> None:
        connection = self._connection
        is_news = self._state is _State.OPEN
        if connection.state is State.CLOSED:
            self._shut()
        else:
            self._linger()
            self._arm(connection.deadline(), now)
        if is_news:
            code = connection.code
            if code is CloseCode.TIMEOUT:
                reason = "the server acknowledges nothing any more"
            else:
                reason = connection.reason
            self._events.closed(code, reason)

    def _arm(self, deadline: int | None, now: int) -> None:
        if deadline is None or self._state is _State.CLOSED:
            return
        if self._timer is not None and self._timer.active():
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0, deadline - now) / MICROSECONDS_PER_SECOND
        self._timer = self._clock.callLater(delay, self._timer_fired)

    def _write(self, datagram: bytes) -> None:
        if self._wire is None:
            return
        try:
            self._wire.write(datagram, None)
        except (OSError, MessageLengthError):
            self.unsent += 1

    # Endings

    def _handshake_timed_out(self) -> None:
        if self._state is _State.LOOKING:
            what = f"did not find {self._endpoint.host}"
        else:
            what = "no answer to HELLO"
        why = " (nothing listens there)" if self._refused else ""
        self._leave(None, f"{what} within {HANDSHAKE_TIMEOUT:g} s{why}")

    def _leave(self, code: CloseCode | None, reason: str) -> None:
        is_news = self._state is not _State.ENDING
        self._shut()
        if is_news:
            self._events.closed(code, reason)

    def _close_connection(self, code: CloseCode, now: int) -> None:
        self._linger()
        self._connection.close(code, now)
        self._turn(now)

    def _linger(self) -> None:
        if self._state is not _State.ENDING:
            self._state = _State.ENDING
            self._time_limit = self._clock.callLater(LINGER, self._shut)

    def _shut(self) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._drained.clear()
        for call in (self._soon, self._timer, self._time_limit):
            self._stop(call)
        if self._wire is not None:
            self._wire.stopListening()

    @staticmethod
    def _stop(call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()


class _Protocol(DatagramProtocol):
    noisy = False

    def __init__(self, transport: UdpTransport) -> None:
        self._owner = transport

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        # From the server alone: the socket is connected.
        self._owner.datagram_received(datagram)

    def connectionRefused(self) -> None:
        self._owner.refused()

    def stopProtocol(self) -> None:
        self._owner.stopped()
