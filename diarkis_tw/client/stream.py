"""
What the client's transports over a stream have in common: connecting, time-outs, a
network that takes nothing, and the end.

States::

    ===========  =================================================================
    IDLE         until connect
    CONNECTING   the socket connects, and what lies below the protocol begins
    GREETING     the server is shown the session's keys, and accepts or refuses
    OPEN         messages go both ways
    CLOSED       nothing is read, sent or reported any more
    ===========  =================================================================

Rules:

  - CONNECTING and GREETING together last L{HANDSHAKE_TIMEOUT} at most.
  - What is said, and what the server may say when, is a L{Dialect}'s affair. A
    server that breaks its rules is told so, and reported as if it had ended the
    connection with that code.
  - Closing waits until everything is sent, L{FLUSH_TIMEOUT} at most.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IProtocolFactory,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.tls import ClientTls, tls_fault
from diarkis_tw.client.transport import TransportEvents
from diarkis_tw.constants import CloseCode
from diarkis_tw.units import Seconds
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.message import Push, Request, Response

HANDSHAKE_TIMEOUT: Final[Seconds] = 5.0
"""A server waits as long for the client's part of it."""

FLUSH_TIMEOUT: Final[Seconds] = 2.0
"""How long the last bytes may take to leave before the socket is just closed."""

RECEIVE_MAX_BYTES: Final = 1024 * 1024
"""Longest body of a message from the server; sixteen times the longest payload that
a server sends by default, and what a hostile one can make the client hold."""

WS_MESSAGE_MAX_BYTES: Final = RECEIVE_MAX_BYTES + 64
"""Longest WebSocket message in either direction: what a server takes at most, with
header and tag."""

UNSENT_MAX_BYTES: Final = 1024 * 1024
"""Once more bytes wait for a network that does not take them, all messages are
refused. Beyond Twisted's own buffer mark of 64 KiB, from which unreliable ones are
dropped."""


@dataclass(frozen=True, slots=True)
class Ending:
    """
    The server says that it is over.

    @ivar code: why.
    @ivar reason: for people.
    """

    code: CloseCode
    reason: str


Heard: TypeAlias = Terms | Response | Push | Ending | bytes
"""What something from the server means: it accepts, says something, ends it, or waits
for these bytes as an answer."""


class Dialect(Protocol):
    """
    How one connection speaks.
    """

    @property
    def is_text(self) -> bool:
        """
        See L{diarkis_tw.client.transport.Transport.is_text}.
        """

    def begin(self, endpoint: Endpoint) -> bytes:
        """
        Begin; called once, first.

        @param endpoint: has the session's keys.
        @return: the client's first words, empty if the server speaks first.
        """

    def encode(self, request: Request) -> bytes:
        """
        Write a request; every one that is written must be sent.

        @param request: what to say.
        @return: the bytes.

        @raise LocalProtocolError: it cannot be written.
        """

    def end(self, code: CloseCode, reason: str) -> bytes:
        """
        Write the client's last words after the server has accepted.

        @param code: why.
        @param reason: for people.
        @return: the bytes, empty if there are none.
        """

    def is_used_up(self) -> bool:
        """
        Look up whether nothing more may be said with these keys but the last words.
        """


class Socket(Protocol):
    """
    What carries the words.
    """

    def say(self, words: bytes) -> None:
        """
        Send what a dialect wrote.
        """

    def finish(self, code: CloseCode, reason: str) -> None:
        """
        End once everything is sent.

        @param code: why.
        @param reason: for people.
        """

    def abort(self) -> None:
        """
        End now.
        """


class _State(Enum):
    IDLE = "idle"
    CONNECTING = "connecting"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class StreamTransport(ABC):
    """
    The common part of a L{diarkis_tw.client.transport.Transport} over a stream.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        dialect: Dialect,
        tls: ClientTls | None = None,
    ) -> None:
        """
        @param reactor: makes the connection.
        @param clock: measures time-outs; in life the same object.
        @param dialect: how this connection speaks.
        @param tls: whom to trust if the endpoint wants TLS; L{None} = the system's
            authorities.
        """
        self._tls = tls or ClientTls()
        self._reactor = reactor
        self._clock = clock
        self._dialect = dialect
        self._state = _State.IDLE
        self._congested = False
        self._unsent = 0
        self._timer: IDelayedCall | None = None
        self._connector: IConnector | None = None
        self._socket: Socket | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def is_text(self) -> bool:
        """
        See L{diarkis_tw.client.transport.Transport.is_text}.
        """
        return self._dialect.is_text

    def connect(self, endpoint: Endpoint, events: TransportEvents) -> None:
        """
        See L{diarkis_tw.client.transport.Transport.connect}.
        """
        self._endpoint = endpoint
        self._events = events
        self._state = _State.CONNECTING
        self._timer = self._clock.callLater(HANDSHAKE_TIMEOUT, self._handshake_timed_out)
        factory: IProtocolFactory = self._make_factory(endpoint)
        if endpoint.tls:
            factory = self._tls.wrap(factory, endpoint.host, self._clock)
        self._connector = self._reactor.connectTCP(
            endpoint.host, endpoint.port, cast(ClientFactory, factory), timeout=HANDSHAKE_TIMEOUT
        )

    @abstractmethod
    def _make_factory(self, endpoint: Endpoint) -> ClientFactory:
        """
        Make the factory of the protocol that is this transport's socket.
        """

    def send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        """
        See L{diarkis_tw.client.transport.Transport.send}.
        """
        if self._state is not _State.OPEN or self._socket is None:
            return False
        if self._congested and (not reliable or self._unsent > UNSENT_MAX_BYTES):
            return False
        words = self._dialect.encode(request)
        if self._congested:
            self._unsent += len(words)
        self._socket.say(words)
        if self._dialect.is_used_up():
            self.leave(CloseCode.REKEY, "the packet numbers are used up")
        return True

    def timeout(self) -> Seconds | None:
        """
        See L{diarkis_tw.client.transport.Transport.timeout}.
        """
        return None

    def drained(self) -> Deferred[None]:
        """
        See L{diarkis_tw.client.transport.Transport.drained}.
        """
        return succeed(None)

    def close(self, code: CloseCode) -> Deferred[None]:
        """
        See L{diarkis_tw.client.transport.Transport.close}.
        """
        if self._state is not _State.CLOSED:
            self._shut(code, "")
        gone: Deferred[None] = Deferred()
        if self._socket is None:
            gone.callback(None)
        else:
            self._waiting.append(gone)
        return gone

    # What the socket tells

    def is_closed(self) -> bool:
        """
        Look up whether nothing is to be read any more.
        """
        return self._state is _State.CLOSED

    def is_congested(self) -> bool:
        """
        Look up whether the network does not take what is written.
        """
        return self._congested

    def connected(self, socket: Socket) -> None:
        """
        The socket is connected.

        @param socket: it.
        """
        self._socket = socket

    def greet(self) -> None:
        """
        The socket is ready for what a dialect says.
        """
        if self._state is not _State.CONNECTING:
            return
        self._state = _State.GREETING
        self._say(self._dialect.begin(self._endpoint))

    def heard(self, heard: Heard) -> None:
        """
        The server said something.

        @param heard: what the dialect makes of it.
        """
        if isinstance(heard, Response | Push):
            self._events.message_received(heard)
        elif isinstance(heard, Terms):
            self._state = _State.OPEN
            self._stop_timer()
            self._events.connected(heard)
        elif isinstance(heard, Ending):
            self.ended(heard.code, heard.reason)
        else:
            self._say(heard)

    def leave(self, code: CloseCode, reason: str) -> None:
        """
        End from this side, and report it as if the server had.

        @param code: why.
        @param reason: for people.
        """
        if self._state is not _State.CLOSED:
            self._shut(code, reason)
            self._events.closed(code, reason)

    def ended(self, code: CloseCode | None, reason: str) -> None:
        """
        It is over, and the server need not be told why.

        @param code: why; L{None} if it was lost without a word.
        @param reason: for people.
        """
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._finish(CloseCode.NORMAL, "")
            self._events.closed(code, reason)

    def lost(self, code: CloseCode | None, reason: str) -> None:
        """
        The socket is gone, or never was.

        @param code: why, if somebody said so.
        @param reason: for people.
        """
        self._socket = None
        self._connector = None
        self._stop_timer()
        self.ended(code, reason)
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(None)

    def tls_fault(self, reason: Failure) -> str | None:
        """
        Say what is wrong with the server's TLS, if that is why the socket is gone. Of
        an OPEN connection it is not: such a server was right once, and the connection
        counts as lost.

        @param reason: of C{connectionLost}.
        @return: a sentence.
        """
        return None if self._state is _State.OPEN else tls_fault(reason.value)

    def socket_lost(self, reason: Failure) -> None:
        """
        The socket is gone, and nobody has said why before.

        @param reason: of C{connectionLost}.
        """
        fault = self.tls_fault(reason)
        if fault is not None:
            # Trying again would not mend it.
            self.lost(CloseCode.PROTOCOL, fault)
        elif reason.check(ConnectionDone):
            self.lost(None, "the server closed the connection")
        else:
            self.lost(None, f"connection lost: {reason.getErrorMessage()}")

    def connecting_failed(self, reason: Failure) -> None:
        """
        There will be no socket.

        @param reason: why.
        """
        if reason.check(ConnectionRefusedError):
            self.lost(None, "connection refused")
        else:
            self.lost(None, f"cannot connect: {reason.getErrorMessage()}")

    def congested(self, value: bool) -> None:
        """
        The write buffer rose above its mark, or is empty again.

        @param value: which of the two.
        """
        # Twisted says so again with each write; only a change starts the count anew.
        if value is not self._congested:
            self._congested = value
            self._unsent = 0

    # Inside

    def _say(self, words: bytes) -> None:
        if words and self._socket is not None:
            self._socket.say(words)

    def _handshake_timed_out(self) -> None:
        missing = "connection" if self._state is _State.CONNECTING else "answer to the greeting"
        self.ended(None, f"no {missing} within {HANDSHAKE_TIMEOUT:g} s")

    def _shut(self, code: CloseCode, reason: str) -> None:
        if self._state is _State.OPEN:
            self._say(self._dialect.end(code, reason))
        self._state = _State.CLOSED
        self._finish(code, reason)

    def _finish(self, code: CloseCode, reason: str) -> None:
        self._stop_timer()
        if self._socket is not None:
            self._socket.finish(code, reason)
            self._timer = self._clock.callLater(FLUSH_TIMEOUT, self._socket.abort)
        elif self._connector is not None:
            self._connector.disconnect()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


@implementer(IPushProducer)
class Congestion:
    """
    Listens to the write buffer's marks; nothing is really produced here.
    """

    def __init__(self, transport: StreamTransport) -> None:
        """
        @param transport: is told.
        """
        self._owner = transport

    def pauseProducing(self) -> None:
        """
        The buffer is full.
        """
        self._owner.congested(True)

    def resumeProducing(self) -> None:
        """
        The buffer is empty.
        """
        self._owner.congested(False)

    def stopProducing(self) -> None:
        """
        The connection is over, which its protocol is told too.
        """
