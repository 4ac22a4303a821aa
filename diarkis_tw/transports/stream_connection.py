"""
What connections over a byte stream have in common: TCP and both kinds of WebSocket.

A connection's phases::

    HELLO        nothing but the client's part of the handshake is legal; at most
                 HANDSHAKE_TIME
                 -> ACCEPTED  admitted, ACCEPT sent
                 -> OPEN      admitted by a proof that needs no confirmation (JSON)
                 -> CLOSED    told the reason of the refusal
    ACCEPTED     keys agreed, no authentic record yet, same time limit
                 -> OPEN      first authentic record: the user's connection now
    OPEN         commands and messages
    CLOSED       last words written, the write side shut; what still comes is
                 thrown away until the peer closes or LINGER is over, because
                 closing with unread bytes would reset the connection and the
                 peer would not read why

What is sent waits in C{_waiting} while the socket's buffer is full, so that
C{queued} is exact. At C{HOLD_BYTES} the client's commands are left unread, at
C{QUEUE_BYTES} messages are refused; a client that stays there is closed by the
sweep of users.

What is sent in one turn of the reactor is gathered, see
L{diarkis_tw.net.gathered}. But the first answer to a command that came alone
goes to the socket at once, if nothing waits there: it has nothing to wait for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.admission import Admitted
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.inbox import Inbox
from diarkis_tw.core.user import User
from diarkis_tw.net.gathered import GatheredTransport
from diarkis_tw.net.stream_transport import StreamTransport
from diarkis_tw.units import Seconds
from diarkis_tw.wire.handshake import NO_NONCE, decode_hello
from diarkis_tw.wire.keys import TransportId

if TYPE_CHECKING:
    from diarkis_tw.transports.stream_server import StreamServer

HANDSHAKE_TIME: Final[Seconds] = 5.0
"""From the connection until it is OPEN."""

LINGER: Final[Seconds] = 2.0
"""How long a closed connection waits for the peer to read and close."""

HOLD_BYTES: Final = 256 * 1024
"""Unsent bytes at which a client's commands are left unread: it asks for more
than it takes."""

QUEUE_BYTES: Final = 1024 * 1024
"""Unsent bytes at which messages are refused."""


class Phase(Enum):
    """
    See the module's table.
    """

    HELLO = "HELLO"
    ACCEPTED = "ACCEPTED"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


# For what runs with each record: in Python 3.11 looking a member up in its class takes 80 ns.
HELLO, ACCEPTED, OPEN, CLOSED = Phase


class StreamConnection(Protocol, ABC):
    """
    One client; together with a subclass a L{diarkis_tw.core.connection.Connection}
    once it is OPEN.

    @ivar host: the client's IP address; C{address} has the port too.
    @ivar nonce: the client's, zeros before its HELLO.
    """

    type: ServerType
    nonce = NO_NONCE
    full_since: Seconds | None = None
    _socket: StreamTransport
    _user: User
    _inbox: Inbox
    _held_by_user = False
    _waiting: deque[bytes] | None = None

    def __init__(self, server: StreamServer, host: str, address: str) -> None:
        self._server = server
        self.host = host
        self.address = address
        self.ttl: Seconds = server.settings.connection_ttl
        self.heard = False
        self.last_heard: Seconds = 0.0
        self.deadline: Seconds = server.clock.seconds() + HANDSHAKE_TIME
        self.phase = HELLO
        self.queued = 0
        self._reading = True
        self._gathered: GatheredTransport | None = None
        self._prompt = False
        self._stuffed = False
        self._keys: tuple[bytes, ...] = ()

    # What subclasses do

    @abstractmethod
    def _read(self) -> None:
        """
        Act on what has come, as long as C{_reading} is true.
        """

    @abstractmethod
    def _close_words(self, code: CloseCode) -> bytes:
        """
        What a client reads when an OPEN connection ends.
        """

    @abstractmethod
    def _terminate_words(self, code: CloseCode) -> bytes:
        """
        What it reads when the server refuses it or cannot go on.
        """

    @abstractmethod
    def send(self, encoded: Encoded, reliable: bool) -> bool:
        """
        See L{diarkis_tw.core.connection.Connection.send}.
        """

    # Twisted's side

    def connectionMade(self) -> None:
        self._socket = self._server.gathering.wrap(cast(StreamTransport, self.transport))
        if isinstance(self._socket, GatheredTransport):
            self._gathered = self._socket
        if self._server.settings.no_delay:
            self._socket.setTcpNoDelay(True)
        self._socket.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_open = self.phase is OPEN
        self.phase = CLOSED
        self._server.gone(self)
        if was_open:
            self._server.users.lost(self._user, self, None)
        for key in self._keys:
            self._server.ciphers.discard(key)
        self._keys = ()

    def pauseProducing(self) -> None:
        self._stuffed = True

    def resumeProducing(self) -> None:
        self._stuffed = False
        waiting = self._waiting
        while waiting and not self._stuffed:
            record = waiting.popleft()
            self.queued -= len(record)
            self._socket.write(record)
        if self.queued < QUEUE_BYTES:
            self.full_since = None
        if self.phase is not CLOSED:
            self._read_on()
        elif not waiting:
            self._shut()

    def stopProducing(self) -> None:
        """
        The transport is gone; connectionLost says so too.
        """

    # The user's side

    def close(self, code: CloseCode) -> None:
        """
        Say why and end; see L{diarkis_tw.core.connection.Connection.close}.
        """
        if self.phase is OPEN:
            self._end(self._close_words(code), code)
        else:
            self.terminate(code)

    def terminate(self, code: CloseCode) -> None:
        """
        Say TERMINATE, which nothing authenticates, and end.
        """
        if self.phase is CLOSED:
            return
        self._server.terminated += 1
        self._end(self._terminate_words(code), code)

    def abort(self) -> None:
        """
        Close the socket now, whatever was not sent.
        """
        self._socket.abortConnection()

    def resume_reading(self) -> None:
        """
        See L{diarkis_tw.core.connection.Connection.resume_reading}.
        """
        self._held_by_user = False
        self._read_on()

    # Coming in

    def admit_hello(
        self, transport: TransportId, header: bytes, body: bytes, accept_header: bytes
    ) -> Admitted | None:
        """
        Decide about a HELLO.

        @param accept_header: what ACCEPT will have.
        @return: L{None} if the client was refused, and told so.
        @raise RemoteProtocolError: it is none.
        """
        hello = decode_hello(body)
        self.nonce = hello.client_nonce
        admitted = self._server.admission.admit(
            transport, hello, header, body, accept_header, self.ttl
        )
        if isinstance(admitted, CloseCode):
            self.terminate(admitted)
            return None
        self.admit(admitted.user, admitted.keys.c2s_key, admitted.keys.s2c_key)
        return admitted

    def admit(self, user: User, *keys: bytes) -> None:
        """
        C{user} may come in; L{confirm} makes the connection its own.

        @param keys: of this connection, for L{diarkis_tw.wire.cipher.AeadCache}.
        """
        self._user = user
        self._inbox = user.inbox
        self._keys = keys
        self.phase = ACCEPTED

    def confirm(self) -> bool:
        """
        The client is authentic: this is the user's connection now.

        @return: whether it still is open after that.
        """
        self.phase = OPEN
        self._server.no_stranger(self)
        if self._server.users.confirm(self._user, self):
            return self._is_open()
        self.close(CloseCode.UNKNOWN)
        return False

    def _is_open(self) -> bool:
        return self.phase is OPEN

    # Reading

    def hold_for_user(self) -> None:
        """
        Read no further until L{resume_reading}.
        """
        self._held_by_user = True
        self._hold()

    def _hold(self) -> None:
        if self._reading:
            self._reading = False
            self._socket.pauseProducing()

    def _read_on(self) -> None:
        if self._reading or self._held_by_user or self.queued > HOLD_BYTES or self.phase is CLOSED:
            return
        self._reading = True
        self._read()
        if self._reading:
            self._socket.resumeProducing()

    # Writing

    def write(self, record: bytes, is_answer: bool = False) -> None:
        """
        Send bytes, soon or when the client has read what waits.

        @param is_answer: the first one to a command that came alone goes out now.
        """
        if self._stuffed:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(record)
            self.queued += len(record)
            if self.queued > HOLD_BYTES:
                self._hold()
        elif is_answer and self._prompt and self._gathered is not None:
            self._prompt = False
            self._gathered.write_now(record)
        else:
            self._socket.write(record)

    def _has_room(self, size: int) -> bool:
        """
        Whether the client has left room for C{size} bytes; counts if not.
        """
        if not self._stuffed or self.queued + size <= QUEUE_BYTES:
            return True
        self._server.refused += 1
        if self.full_since is None:
            self.full_since = self._server.clock.seconds()
        return False

    # Ending

    def _end(self, last_words: bytes, code: CloseCode | None) -> None:
        """
        Write C{last_words}, and nothing after them.

        @param code: why, for the user; L{None} = it counts as lost.
        """
        was_open = self.phase is OPEN
        self.phase = CLOSED
        self.deadline = self._server.clock.seconds() + LINGER
        self._server.linger(self)
        if self._waiting:
            self._waiting.append(last_words)
            self.queued += len(last_words)
        else:
            self._socket.write(last_words)
            self._shut()
        self._reading = False
        self._socket.resumeProducing()
        if was_open:
            self._server.users.lost(self._user, self, code)

    def _shut(self) -> None:
        self._socket.unregisterProducer()
        self._socket.loseWriteConnection()
