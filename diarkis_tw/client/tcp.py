"""
The client's end of a TCP connection.

States::

    ===========  =================================================================
    IDLE         until connect
    CONNECTING   the socket connects
    GREETED      HELLO was sent; ACCEPT or TERMINATE may come, nothing else
    OPEN         sealed DATA and CLOSE may come, and TERMINATE
    CLOSED       nothing is read, sent or reported any more
    ===========  =================================================================

Rules:

  - CONNECTING and GREETED together last L{HANDSHAKE_TIMEOUT} at most.
  - Whoever does not prove the session's keys is refused: an ACCEPT that does not
    open, a record that does not, a record that may not come: PROTOCOL.
  - Packet numbers count DATA and CLOSE per direction. The last legal one is that
    of the CLOSE that says REKEY.
"""

import typing
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.offer import Offer
from diarkis_tw.client.transport import TransportEvents
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT, TAG_SIZE, AeadCache
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    HELLO_BODY_SIZE,
    NO_NONCE,
    decode_accept,
    decode_close,
    decode_terminate,
    encode_close,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import Request, decode_server_message
from diarkis_tw.wire.record import RecordReader, RecordType, record_header

HANDSHAKE_TIMEOUT: Final[Seconds] = 5.0
"""A server waits as long for a HELLO."""

FLUSH_TIMEOUT: Final[Seconds] = 2.0
"""How long the last bytes may take to leave before the socket is just closed."""

RECEIVE_MAX_BYTES: Final = 1024 * 1024
"""Longest body of a record from the server; sixteen times the longest payload that
a server sends by default, and what a hostile one can make the client hold."""

UNSENT_MAX_BYTES: Final = 1024 * 1024
"""Bytes that may wait for a network that does not take them. Beyond Twisted's own
buffer mark of 64 KiB, from which unreliable messages are dropped."""


class _State(Enum):
    IDLE = "idle"
    CONNECTING = "connecting"
    GREETED = "greeted"
    OPEN = "open"
    CLOSED = "closed"


class _Wire(typing.Protocol):
    """
    What is used of Twisted's TCP transport: two of its interfaces at once.
    """

    def write(self, data: bytes) -> None: ...

    def loseConnection(self) -> None: ...

    def abortConnection(self) -> None: ...

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...


class TcpTransport:
    """
    A L{diarkis_tw.client.transport.Transport} over TCP records.
    """

    is_text = False

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        random: Callable[[int], bytes],
        *,
        forward_secrecy: bool = True,
        number_limit: int = STREAM_NUMBER_LIMIT,
    ) -> None:
        """
        @param reactor: makes the connection.
        @param clock: measures time-outs; in life the same object.
        @param random: C{os.urandom}, or a test's.
        @param forward_secrecy: offer an X25519 exchange.
        @param number_limit: packet number of a CLOSE for REKEY.
        """
        self._reactor = reactor
        self._clock = clock
        self._random = random
        self._forward_secrecy = forward_secrecy
        self._number_limit = number_limit
        self._state = _State.IDLE
        self._reader = RecordReader(ACCEPT_BODY_SIZE)
        self._send_number = 0
        self._receive_number = 0
        self._congested = False
        self._unsent = 0
        self._timer: IDelayedCall | None = None
        self._connector: IConnector | None = None
        self._wire: _Wire | None = None
        self._waiting: list[Deferred[None]] = []

    def connect(self, endpoint: Endpoint, events: TransportEvents) -> None:
        """
        See L{diarkis_tw.client.transport.Transport.connect}.
        """
        self._endpoint = endpoint
        self._events = events
        self._state = _State.CONNECTING
        self._timer = self._clock.callLater(HANDSHAKE_TIMEOUT, self._handshake_timed_out)
        self._connector = self._reactor.connectTCP(
            endpoint.host, endpoint.port, _Factory(self), timeout=HANDSHAKE_TIMEOUT
        )

    def send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        """
        See L{diarkis_tw.client.transport.Transport.send}.
        """
        if self._state is not _State.OPEN:
            return False
        message = request.encode()
        if self._congested:
            if not reliable or self._unsent + len(message) > UNSENT_MAX_BYTES:
                return False
            self._unsent += len(message)
        self._send_sealed(RecordType.DATA, message)
        if self._send_number >= self._number_limit:
            self._end(CloseCode.REKEY, "the packet numbers are used up")
        return True

    def timeout(self) -> None:
        """
        See L{diarkis_tw.client.transport.Transport.timeout}.
        """

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
            if self._state is _State.OPEN:
                self._send_sealed(RecordType.CLOSE, encode_close(code, ""))
            self._shut()
        gone: Deferred[None] = Deferred()
        if self._wire is None:
            gone.callback(None)
        else:
            self._waiting.append(gone)
        return gone

    # What the protocol below tells

    def connection_made(self, wire: _Wire) -> None:
        """
        The socket is connected: greet.

        @param wire: it.
        """
        self._wire = wire
        wire.setTcpNoDelay(True)
        wire.registerProducer(_Congestion(self), True)
        self._state = _State.GREETED
        self._offer = Offer(self._endpoint, TransportId.TCP, self._random, self._forward_secrecy)
        header = record_header(RecordType.HELLO, HELLO_BODY_SIZE)
        wire.write(header + encode_hello(header, self._offer.hello, self._offer.hello_key))

    def bytes_received(self, data: bytes) -> None:
        """
        Read what came.

        @param data: any bytes at all.
        """
        if self._state is _State.CLOSED:
            return
        try:
            self._reader.feed(data)
            while (record := self._reader.next()) is not None:
                self._record_received(*record)
                if self._over():
                    return
        except RemoteProtocolError as error:
            self._end(error.code, str(error))

    def connection_lost(self, reason: str) -> None:
        """
        The socket is gone, or never was.

        @param reason: for people.
        """
        self._wire = None
        self._connector = None
        self._stop_timer()
        self._leave(None, reason)
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(None)

    def congested(self, value: bool) -> None:
        """
        The write buffer rose above its mark, or is empty again.

        @param value: which of the two.
        """
        # Twisted says so again with each write; only a change starts the count anew.
        if value is not self._congested:
            self._congested = value
            self._unsent = 0

    # Records

    def _record_received(self, type: int, header: bytes, body: bytes) -> None:
        if type == RecordType.TERMINATE:
            nonce, code = decode_terminate(body)
            if nonce not in (self._offer.hello.client_nonce, NO_NONCE):
                raise RemoteProtocolError("a TERMINATE for somebody else")
            self._leave(code, "the server terminated the connection")
        elif self._state is _State.GREETED:
            if type != RecordType.ACCEPT:
                raise RemoteProtocolError(f"record type {type} instead of ACCEPT")
            self._accepted(header, body)
        elif type == RecordType.DATA:
            message = self._open(header, body)
            if self._receive_number > self._number_limit:
                raise RemoteProtocolError("the server did not renew its keys in time")
            self._events.message_received(decode_server_message(message))
        elif type == RecordType.CLOSE:
            code, reason = decode_close(self._open(header, body))
            self._leave(code, reason)
        else:
            raise RemoteProtocolError(f"record type {type}")

    def _accepted(self, header: bytes, body: bytes) -> None:
        server_nonce, server_ephemeral, _ = decode_accept(body)
        agreement = self._offer.answered(server_nonce, server_ephemeral)
        terms = open_accept_terms(header, body, agreement.accept_key())
        if terms is None:
            raise RemoteProtocolError("the server does not have the keys of this session")
        self._opener, self._sealer = agreement.ciphers(self._endpoint.encryption, AeadCache(4))
        self._reader.limit = RECEIVE_MAX_BYTES
        self._state = _State.OPEN
        self._stop_timer()
        self._events.connected(terms)

    def _open(self, header: bytes, body: bytes) -> bytes:
        plaintext = self._opener.open(self._receive_number, header, body)
        if plaintext is None:
            raise RemoteProtocolError("a record is not the server's")
        self._receive_number += 1
        return plaintext

    def _send_sealed(self, type: RecordType, plaintext: bytes) -> None:
        header = record_header(type, len(plaintext) + TAG_SIZE)
        sealed = self._sealer.seal(self._send_number, header, plaintext)
        self._send_number += 1
        if self._wire is not None:
            self._wire.write(header + sealed)

    # Endings

    def _handshake_timed_out(self) -> None:
        missing = "connection" if self._state is _State.CONNECTING else "answer to HELLO"
        self._leave(None, f"no {missing} within {HANDSHAKE_TIMEOUT:g} s")

    def _end(self, code: CloseCode, reason: str) -> None:
        """
        End from this side, and report it as if the server had.
        """
        if self._state is _State.OPEN:
            self._send_sealed(RecordType.CLOSE, encode_close(code, reason))
        self._leave(code, reason)

    def _leave(self, code: CloseCode | None, reason: str) -> None:
        if self._state is not _State.CLOSED:
            self._shut()
            self._events.closed(code, reason)

    def _shut(self) -> None:
        self._state = _State.CLOSED
        self._stop_timer()
        if self._wire is not None:
            # A registered producer would keep loseConnection from finishing.
            self._wire.unregisterProducer()
            self._wire.loseConnection()
            self._timer = self._clock.callLater(FLUSH_TIMEOUT, self._wire.abortConnection)
        elif self._connector is not None:
            self._connector.disconnect()

    def _over(self) -> bool:
        return self._state is _State.CLOSED

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Protocol(Protocol):
    def __init__(self, transport: TcpTransport) -> None:
        self._owner = transport

    def connectionMade(self) -> None:
        self._owner.connection_made(cast(_Wire, self.transport))

    def dataReceived(self, data: bytes) -> None:
        self._owner.bytes_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ConnectionDone):
            self._owner.connection_lost("the server closed the connection")
        else:
            self._owner.connection_lost(f"connection lost: {reason.getErrorMessage()}")


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, transport: TcpTransport) -> None:
        self._owner = transport

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Protocol(self._owner)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if reason.check(ConnectionRefusedError):
            self._owner.connection_lost("connection refused")
        else:
            self._owner.connection_lost(f"cannot connect: {reason.getErrorMessage()}")


@implementer(IPushProducer)
class _Congestion:
    """
    Listens to the write buffer's marks; nothing is really produced here.
    """

    def __init__(self, transport: TcpTransport) -> None:
        self._owner = transport

    def pauseProducing(self) -> None:
        self._owner.congested(True)

    def resumeProducing(self) -> None:
        self._owner.congested(False)

    def stopProducing(self) -> None:
        """
        The connection is over, which its protocol is told too.
        """
