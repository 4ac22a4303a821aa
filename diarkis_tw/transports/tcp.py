"""
The TCP server: records of C{docs/protocol.md}, section "TCP", on a Twisted
Protocol and Factory.

A connection's phases::

    HELLO        nothing but one HELLO is legal; at most HANDSHAKE_TIME
                 -> ACCEPTED  admitted, ACCEPT sent
                 -> CLOSED    TERMINATE with the reason of the refusal
    ACCEPTED     keys agreed, no authentic record yet, same time limit
                 -> OPEN      first authentic record: the user's connection now
    OPEN         commands and messages
    CLOSED       CLOSE or TERMINATE written, the write side shut; what still
                 comes is thrown away until the peer closes or LINGER is over,
                 because closing with unread bytes would reset the connection
                 and the peer would not read why

What is sent waits in C{_waiting} while the socket's buffer is full, so that
C{queued} is exact. At C{HOLD_BYTES} the client's commands are left unread, at
C{QUEUE_BYTES} messages are refused; a client that stays there is closed by the
sweep of users.

The first answer to a command that came alone goes to the socket at once, if
nothing waits there. Through the reactor's write queue it would cost two more
system calls and another pass of the reactor, a quarter of an echo's CPU. What
follows in the same turn, and what others send, is gathered there as usual.
"""

from collections import deque
from enum import Enum
from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.internet.tcp import Server
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.config.settings import TcpSettings
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.background import background
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.inbox import Inbox
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.net.stream_transport import StreamTransport
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT, TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    HELLO_BODY_SIZE,
    NO_NONCE,
    REASON_MAX_BYTES,
    TERMINATE_BODY_SIZE,
    decode_close,
    decode_hello,
    encode_close,
    encode_terminate,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, decode_request
from diarkis_tw.wire.record import RecordReader, RecordType, record_header

HANDSHAKE_TIME: Final[Seconds] = 5.0
"""From the connection to its first authentic record."""

LINGER: Final[Seconds] = 2.0
"""How long a closed connection waits for the peer to read and close."""

SWEEP: Final[Seconds] = 1.0
"""Period in which these two times are looked at."""

STRANGERS_PER_ADDRESS: Final = 64
"""Connections of one IP address that were never OPEN, those that linger after a
refusal among them: above a household or an office after a restart, below what
one host could use to crowd out the rest."""

STRANGERS: Final = 1024
"""Connections in all that were never OPEN."""

HOLD_BYTES: Final = 256 * 1024
"""Unsent bytes at which a client's commands are left unread: it asks for more
than it takes."""

QUEUE_BYTES: Final = 1024 * 1024
"""Unsent bytes at which messages are refused."""

HELLO_HEADER: Final = record_header(RecordType.HELLO, HELLO_BODY_SIZE)
ACCEPT_HEADER: Final = record_header(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
DATA: Final = int(RecordType.DATA)
DATA_BITS: Final = DATA << 24


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


class TcpConnection(Protocol):
    """
    One client; a L{diarkis_tw.core.connection.Connection} once it is OPEN.
    """

    type = ServerType.TCP
    _socket: StreamTransport
    _user: User
    _inbox: Inbox
    _opener: Cipher
    _sealer: Cipher

    def __init__(self, server: "TcpServer", host: str, address: str) -> None:
        """
        @param host: the client's IP address; C{address} has the port too.
        """
        self._server = server
        self.host = host
        self.address = address
        self.ttl: Seconds = server.settings.connection_ttl
        self.heard = False
        self.last_heard: Seconds = 0.0
        self.deadline: Seconds = server.clock.seconds() + HANDSHAKE_TIME
        self.phase = Phase.HELLO
        self.queued = 0
        self.full_since: Seconds | None = None
        self._reader = RecordReader(HELLO_BODY_SIZE)
        self._nonce = NO_NONCE
        self._received = 0
        self._sent = 0
        self._reading = True
        self._plain: Server | None = None
        self._prompt = False
        self._held_by_user = False
        self._stuffed = False
        self._waiting: deque[bytes] = deque()
        self._keys: tuple[bytes, ...] = ()

    # Twisted's side

    def connectionMade(self) -> None:
        self._socket = cast(StreamTransport, self.transport)
        if type(self.transport) is Server:  # not TLS, not a test's
            self._plain = self.transport
        if self._server.settings.no_delay:
            self._socket.setTcpNoDelay(True)
        self._socket.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self.phase is CLOSED:
            return
        self._reader.feed(data)
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.phase = CLOSED
        self._server.gone(self)
        if self._keys:
            self._users.lost(self._user, self, None)
            self._drop_keys()

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
        if self.phase is not Phase.CLOSED:
            self._read_on()
        elif not waiting:
            self._shut()

    def stopProducing(self) -> None:
        """
        The transport is gone; connectionLost says so too.
        """

    # The user's side

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        """
        See L{diarkis_tw.core.connection.Connection.send}.
        """
        message = encoded.binary
        if self.phase is not OPEN:
            return False
        size = len(message) + TAG_SIZE
        if self._stuffed and self.queued + size > QUEUE_BYTES:
            self._server.refused += 1
            if self.full_since is None:
                self.full_since = self._server.clock.seconds()
            return False
        number = self._sent
        if number >= STREAM_NUMBER_LIMIT:
            self.close(CloseCode.REKEY)
            return self._user.send(encoded, reliable)
        self._sent = number + 1
        header = (DATA_BITS | size).to_bytes(4)
        record = header + self._sealer.seal(number, header, message)
        if self._stuffed:
            self._waiting.append(record)
            self.queued += len(record)
            if self.queued > HOLD_BYTES:
                self._hold()
        elif self._prompt:
            self._write_now(record)
        else:
            self._socket.write(record)
        return True

    def close(self, code: CloseCode) -> None:
        """
        Say CLOSE and end; see L{diarkis_tw.core.connection.Connection.close}.
        """
        if self.phase is not Phase.OPEN:
            self.terminate(code)
            return
        number = min(self._sent, STREAM_NUMBER_LIMIT)
        body = encode_close(code, "")
        header = record_header(RecordType.CLOSE, len(body) + TAG_SIZE)
        self._end(header + self._sealer.seal(number, header, body), code)

    def terminate(self, code: CloseCode) -> None:
        """
        Say TERMINATE, which nothing authenticates, and end.
        """
        if self.phase is Phase.CLOSED:
            return
        self._server.terminated += 1
        header = record_header(RecordType.TERMINATE, TERMINATE_BODY_SIZE)
        self._end(header + encode_terminate(self._nonce, code), code)

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

    # Reading

    def _read(self) -> None:
        try:
            if self.phase is HELLO:
                self._read_hello()
            if self.phase is not HELLO:
                self._read_records()
        except RemoteProtocolError as error:
            self.terminate(error.code)

    def _read_hello(self) -> None:
        header = self._reader.peek_header()
        if header is None:
            return
        if header != HELLO_HEADER:
            self.terminate(CloseCode.UNKNOWN)
            return
        record = self._reader.next()
        if record is None:
            return
        hello = decode_hello(record[2])
        self._nonce = hello.client_nonce
        server = self._server
        admitted = server.admission.admit(
            TransportId.TCP, hello, header, record[2], ACCEPT_HEADER, self.ttl
        )
        if isinstance(admitted, CloseCode):
            self.terminate(admitted)
            return
        keys = admitted.keys
        encrypted = server.settings.enable_encryption
        self._user = admitted.user
        self._inbox = admitted.user.inbox
        self._opener = Cipher(keys.c2s_key, keys.c2s_iv, encrypted, server.ciphers)
        self._sealer = Cipher(keys.s2c_key, keys.s2c_iv, encrypted, server.ciphers)
        self._keys = (keys.c2s_key, keys.s2c_key)
        self._reader.limit = server.record_limit
        self.phase = ACCEPTED
        self._socket.write(ACCEPT_HEADER + admitted.accept)

    def _read_records(self) -> None:
        next_record = self._reader.next
        while self._reading:
            record = next_record()
            if record is None:
                return
            kind, header, body = record
            number = self._received
            opened = self._opener.open(number, header, body)
            if opened is None or number >= STREAM_NUMBER_LIMIT + (kind != DATA):
                raise RemoteProtocolError("a record that is not the client's")
            self._received = number + 1
            self.heard = True
            if self.phase is ACCEPTED and not self._confirm():
                return
            if kind == DATA:
                ver, cmd, request_id, payload = decode_request(opened)
                self._prompt = self._plain is not None and not self._reader.pending
                if not self._inbox.receive(ver, cmd, request_id, payload, True):
                    self._held_by_user = True
                    self._hold()
                self._prompt = False
            elif kind == RecordType.CLOSE:
                self._end(b"", decode_close(opened)[0])
            else:
                raise RemoteProtocolError(f"record type {kind}")

    def _write_now(self, record: bytes) -> None:
        self._prompt = False
        transport = self._plain
        sent = 0
        # twisted/internet/abstract.py, Twisted 26.10: both of FileDescriptor's buffers are empty.
        if transport is not None and not transport.dataBuffer and not transport._tempDataLen:
            try:
                sent = transport.socket.send(record)
            except OSError:
                sent = 0  # full, or broken: the reactor finds out which
        if sent < len(record):
            self._socket.write(record[sent:])

    def _confirm(self) -> bool:
        self.phase = OPEN
        self._server.no_stranger(self)
        if self._users.confirm(self._user, self):
            return self.phase is Phase.OPEN
        self.close(CloseCode.UNKNOWN)
        return False

    def _hold(self) -> None:
        if self._reading:
            self._reading = False
            self._socket.pauseProducing()

    def _read_on(self) -> None:
        if (
            self._reading
            or self._held_by_user
            or self.queued > HOLD_BYTES
            or self.phase is Phase.CLOSED
        ):
            return
        self._reading = True
        self._read()
        if self._reading:
            self._socket.resumeProducing()

    # Ending

    @property
    def _users(self) -> Users:
        return self._server.users

    def _end(self, last_words: bytes, code: CloseCode) -> None:
        was_open = self.phase is Phase.OPEN
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
            self._users.lost(self._user, self, code)

    def _shut(self) -> None:
        self._socket.unregisterProducer()
        self._socket.loseWriteConnection()

    def _drop_keys(self) -> None:
        for key in self._keys:
            self._server.ciphers.discard(key)
        self._keys = ()


class TcpServer(Factory):
    """
    Factory of L{TcpConnection}s, and their sweep.

    @ivar refused: messages not sent to clients that do not read.
    @ivar terminated: connections ended with TERMINATE.
    @ivar turned_away: connections above the cap on strangers.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        settings: TcpSettings,
        users: Users,
        admission: Admission,
        ciphers: AeadCache,
        clock: IReactorTime,
    ) -> None:
        """
        @param ciphers: shared by all connections of the node.
        """
        self.settings = settings
        self.users = users
        self.admission = admission
        self.ciphers = ciphers
        self.clock = clock
        self.record_limit = max(
            settings.max_rcv_size + REQUEST_HEADER_SIZE + TAG_SIZE, 1 + REASON_MAX_BYTES + TAG_SIZE
        )
        self.refused = 0
        self.terminated = 0
        self.turned_away = 0
        self._connections: dict[TcpConnection, None] = {}
        self._strangers: dict[TcpConnection, None] = {}
        self._per_address: dict[str, int] = {}
        self._lingering: dict[TcpConnection, None] = {}
        self._closed: list[Deferred[None]] = []
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock

    def startFactory(self) -> None:
        background("the sweep of TCP connections", self._sweeping.start(SWEEP, now=False))

    def stopFactory(self) -> None:
        if self._sweeping.running:
            self._sweeping.stop()

    def buildProtocol(self, addr: IAddress | None) -> TcpConnection | None:
        host = getattr(addr, "host", "unknown")
        port = getattr(addr, "port", 0)
        count = self._per_address.get(host, 0)
        if count >= STRANGERS_PER_ADDRESS or len(self._strangers) >= STRANGERS:
            self.turned_away += 1
            return None
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection = TcpConnection(self, host, shown)
        connection.factory = self
        self._connections[connection] = None
        self._strangers[connection] = None
        self._per_address[host] = count + 1
        return connection

    def no_stranger(self, connection: TcpConnection) -> None:
        """
        C{connection} is OPEN now, or its socket is closed.
        """
        if connection not in self._strangers:
            return
        del self._strangers[connection]
        count = self._per_address.pop(connection.host, 1) - 1
        if count > 0:
            self._per_address[connection.host] = count

    def linger(self, connection: TcpConnection) -> None:
        """
        C{connection} has said its last words.
        """
        self._lingering[connection] = None

    def gone(self, connection: TcpConnection) -> None:
        """
        The socket of C{connection} is closed.
        """
        self.no_stranger(connection)
        self._connections.pop(connection, None)
        self._lingering.pop(connection, None)
        if not self._connections:
            waiting, self._closed = self._closed, []
            for closed in waiting:
                closed.callback(None)

    def when_closed(self) -> Deferred[None]:
        """
        Fires once no connection is left.
        """
        if not self._connections:
            return succeed(None)
        closed: Deferred[None] = Deferred(self._closed.remove)
        self._closed.append(closed)
        return closed

    def abort_all(self) -> None:
        """
        Cut every connection, whatever it still has to say.
        """
        for connection in list(self._connections):
            connection.abort()

    def _sweep(self) -> None:
        now = self.clock.seconds()
        for stranger in list(self._strangers):
            if stranger.deadline <= now:
                stranger.terminate(CloseCode.HANDSHAKE)
        for lingering in list(self._lingering):
            if lingering.deadline > now:
                break
            lingering.abort()
