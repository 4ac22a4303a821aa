"""
The UDP server: datagrams of C{docs/protocol.md}, section "UDP", on a Twisted
DatagramProtocol.

Rules:

  - The cheapest check comes first, nothing is logged a packet, and no
    exception leaves the receive loop: what is bad is counted. Should this
    program itself be at fault, that connection ends and the others go on.
  - What a reactor turn leaves to be sent goes out coalesced: after each batch of
    datagrams that was read, or by a delayed call. With C{sendUDPInterval} at
    10 ms or more it goes out at that period.
  - One sweep each C{handleRUDPInterval} for what may be late, and one timer
    at the earliest deadline for what may not.
  - Datagrams go out through the socket itself: the transport would check the
    address anew each time. A full buffer and a datagram that is too large
    count as loss.
  - A closed connection's packets are answered with its last datagram for
    C{TOMBSTONE_LIFE}, twice a second at most; packets of unknown connections
    with RESET, rate limited. Neither answer is larger than what it answers.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from diarkis_tw.config.settings import UdpSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.background import FAULTS, background
from diarkis_tw.core.users import Users
from diarkis_tw.net.datagram_listener import RECEIVE_SIZE
from diarkis_tw.net.datagram_reading import Arrived, DatagramReader
from diarkis_tw.net.datagram_socket import tune
from diarkis_tw.net.deadlines import Deadlines
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import STATE_CLOSED, STATE_OPEN, Connection
from diarkis_tw.rudp.reset_token import RESETS_PER_NODE, RESETS_PER_SOURCE
from diarkis_tw.rudp.token_bucket import SourceBuckets
from diarkis_tw.transports.udp_connection import LEAVING, UdpConnection
from diarkis_tw.transports.udp_handshake import MTU, PENDING_LIFE, Opened, UdpHandshake
from diarkis_tw.transports.udp_path import Address
from diarkis_tw.units import MICROSECONDS_PER_SECOND, microseconds
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.datagram import HELLO_BYTE, client_datagram_kind
from diarkis_tw.wire.packet import CLIENT_DATA_MIN, DATA_BYTE
from diarkis_tw.wire.reset import RESET_RANDOM_MAX, RESET_RANDOM_MIN, encode_reset

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""What the kernel may hold while the reactor is busy, if it allows that much."""

REASSEMBLY_MOST: Final = 64 * 1024 * 1024
"""Bytes of incomplete messages of all connections together."""

TOMBSTONE_LIFE: Final = 3 * MICROSECONDS_PER_SECOND
TOMBSTONE_INTERVAL: Final = MICROSECONDS_PER_SECOND // 2
"""Time between two answers of a tombstone."""


@dataclass(slots=True)
class Tombstone:
    """
    A connection that was closed a moment ago.
    """

    datagram: bytes
    until: int
    answered_at: int = -TOMBSTONE_INTERVAL


class UdpServer(DatagramProtocol):
    """
    All clients of one UDP port.

    @ivar retry_interval: the time-out on a path of which nothing is known.
    @ivar dirty: connections that may have something to send, see L{flush_soon}.
    @ivar prompted: while a command that came alone is dealt with, who was sent an
        unreliable message at once: it has nothing to wait for, and most commands
        have one for each. Further ones wait for the end of the turn, as everything
        does when this is L{None}.
    @ivar latest: what L{now} last said: at most a sweep ago.
    @ivar junk: datagrams that are nothing of this protocol.
    @ivar unsent: datagrams that the system did not take, which count as loss.
    @ivar resets: RESETs sent.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        settings: UdpSettings,
        users: Users,
        admission: Admission,
        ciphers: AeadCache,
        clock: IReactorTime,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """
        @param ciphers: shared by all connections of the node.
        """
        self.settings = settings
        self.users = users
        self.random_bytes = random_bytes
        self.latest = 0
        self.junk = 0
        self.unsent = 0
        self.resets = 0
        self._clock = clock
        self._ciphers = ciphers
        self._connections: dict[bytes, UdpConnection] = {}
        self._unconfirmed: dict[bytes, UdpConnection] = {}
        self._handshake = UdpHandshake(settings, admission, random_bytes, self._unconfirmed)
        self.retry_interval = self._handshake.limits.retry_interval
        self._budget = ReassemblyBudget(REASSEMBLY_MOST)
        self._tombstones: dict[bytes, Tombstone] = {}
        self._reset_buckets = SourceBuckets(RESETS_PER_SOURCE, RESETS_PER_NODE)
        self._leaving: dict[UdpConnection, None] = {}
        self._closed: list[Deferred[None]] = []
        self.dirty: dict[UdpConnection, None] = {}
        self.prompted: set[UdpConnection] | None = None
        self._flush_call: IDelayedCall | None = None
        self._each_turn = settings.flush_interval == 0
        self._reading = False
        self._deadlines: Deadlines[UdpConnection] = Deadlines(clock, self._due)
        self._sendto: Callable[[bytes, Address], object] = _nowhere
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock
        self._flushing = LoopingCall(self._flush)
        self._flushing.clock = clock

    # Twisted's side

    def startProtocol(self) -> None:
        transport = cast(IUDPTransport, self.transport)
        tune(transport, SOCKET_BUFFER)
        system_socket = getattr(transport, "socket", None)
        if system_socket is None:
            self._sendto = transport.write
        else:
            self._sendto = system_socket.sendto
            reader = DatagramReader(system_socket, RECEIVE_SIZE, self._take)
            transport.doRead = reader.read  # type: ignore[attr-defined]
        interval = self.settings.sweep_interval
        background("the sweep of UDP connections", self._sweeping.start(interval, now=False))
        if not self._each_turn:
            period = self.settings.flush_interval
            background("the flush of UDP connections", self._flushing.start(period, now=False))

    def stopProtocol(self) -> None:
        for connection in list(self._leaving):
            connection.leave_now()
        self._flush()
        self._sendto = _nowhere
        self._each_turn = False
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
        for loop in (self._sweeping, self._flushing):
            if loop.running:
                loop.stop()
        self._deadlines.stop()

    def datagramReceived(self, datagram: bytes, address: Address) -> None:
        # Of a port without a socket, see startProtocol.
        self._receive(((datagram, address),))

    # For connections

    def now(self) -> int:
        """
        The clock, in microseconds.
        """
        self.latest = now = microseconds(self._clock.seconds())
        return now

    def write(self, datagram: bytes, address: Address) -> None:
        """
        Send a datagram; if the system does not take it, it is lost.
        """
        try:
            self._sendto(datagram, address)
        except OSError:
            self.unsent += 1

    def flush_soon(self, connection: UdpConnection) -> None:
        """
        Send what C{connection} has to say at the end of this reactor turn.
        """
        self.dirty[connection] = None
        if self._flush_call is None and self._each_turn and not self._reading:
            self._flush_call = self._clock.callLater(0, self._flush_turn)

    def confirmed(self, connection: UdpConnection) -> None:
        """
        The first authentic packet of C{connection} came.
        """
        self._unconfirmed.pop(connection.sid, None)

    def forget(self, connection: UdpConnection) -> None:
        """
        C{connection} never became one.
        """
        if self._unconfirmed.get(connection.sid) is connection:
            del self._unconfirmed[connection.sid]
        self._drop(connection)

    def leaving(self, connection: UdpConnection) -> None:
        """
        C{connection} waits until C{until} for its reliable data.
        """
        self._leaving[connection] = None

    # For the listener

    def when_closed(self) -> Deferred[None]:
        """
        Fires once no connection is left. Those that are not confirmed are not
        waited for.
        """
        for connection in list(self._unconfirmed.values()):
            self.forget(connection)
        if not self._connections:
            return succeed(None)
        closed: Deferred[None] = Deferred(self._closed.remove)
        self._closed.append(closed)
        return closed

    # Inside

    def _take(self, arrived: Arrived) -> None:
        """
        Datagrams were read: deal with all of them, then send what that left.
        """
        # A delayed call for the answers would cost another turn of the reactor.
        self._reading = True
        if len(arrived) == 1 and self._each_turn:
            self.prompted = set()
        try:
            self._receive(arrived)
        finally:
            self._reading = False
            self.prompted = None
        if self._each_turn:
            self._flush()

    def _receive(self, arrived: Iterable[tuple[bytes, Address]]) -> None:
        now = self.now()
        find = self._connections.get
        for datagram, address in arrived:
            connection = find(datagram[1:9])
            try:
                if (
                    connection is not None
                    and CLIENT_DATA_MIN <= len(datagram) <= MTU
                    and datagram[0] == DATA_BYTE
                ):
                    connection.receive(datagram, address, now)
                else:
                    self._receive_other(datagram, address, now)
            except FAULTS:
                self._broken(connection)

    def _receive_other(self, datagram: bytes, address: Address, now: int) -> None:
        """
        A datagram came that is not of a live connection.
        """
        kind = client_datagram_kind(datagram, MTU)
        if kind == DATA_BYTE:
            self._unknown(datagram, address, now)
        elif kind == HELLO_BYTE:
            answer = self._handshake.answer(datagram, address, now)
            if type(answer) is bytes:
                self.write(answer, address)
            elif isinstance(answer, Opened):
                self._open(answer, address, now)
        else:
            self.junk += 1

    def _open(self, opened: Opened, address: Address, now: int) -> None:
        keys = opened.agreement.keys
        encrypted = self.settings.enable_encryption
        rudp = Connection(
            self._handshake.limits,
            opened.cid,
            False,
            Cipher(keys.c2s_key, keys.c2s_iv, encrypted, self._ciphers),
            Cipher(keys.s2c_key, keys.s2c_iv, encrypted, self._ciphers),
            self._budget,
            now,
            opened.round_trip,
        )
        connection = UdpConnection(
            self,
            opened.agreement.user,
            opened.cid,
            (keys.c2s_key, keys.s2c_key),
            rudp,
            address,
            self.settings.connection_ttl,
            now + PENDING_LIFE,
        )
        older = self._unconfirmed.pop(connection.sid, None)
        if older is not None:
            self._drop(older)
        self._unconfirmed[connection.sid] = connection
        self._connections[opened.cid] = connection
        self.write(opened.accept, address)

    def _unknown(self, datagram: bytes, address: Address, now: int) -> None:
        cid = datagram[1:9]
        tombstone = self._tombstones.get(cid)
        if tombstone is not None:
            is_time = now - tombstone.answered_at >= TOMBSTONE_INTERVAL
            if is_time and len(tombstone.datagram) <= len(datagram):
                tombstone.answered_at = now
                self.write(tombstone.datagram, address)
        elif self._reset_buckets.take(address[0], now):
            self.resets += 1
            some = self.random_bytes(RESET_RANDOM_MAX + 1)
            size = RESET_RANDOM_MIN + some[0] % (RESET_RANDOM_MAX - RESET_RANDOM_MIN + 1)
            self.write(encode_reset(self._handshake.reset_token(cid), some[1 : 1 + size]), address)

    def _flush_turn(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        dirty, self.dirty = self.dirty, {}
        now = self.now()
        for connection in dirty:
            try:
                self._flush_one(connection, now)
            except FAULTS:
                self._broken(connection)

    def _flush_one(self, connection: UdpConnection, now: int) -> None:
        rudp = connection.rudp
        datagrams = rudp.flush(now)
        if datagrams:
            address = connection.path.address
            for datagram in datagrams:
                try:
                    self._sendto(datagram, address)
                except OSError:
                    self.unsent += 1
        if rudp.state is STATE_OPEN:
            if connection.phase is LEAVING and not rudp.queued:
                connection.leave_now()
            elif not rudp.sender.may_be_due_before(self._deadlines.armed.get(connection), now):
                return
        else:
            connection.ended()
            if datagrams:
                connection.last_words = datagrams[-1]
            if rudp.state is STATE_CLOSED:
                self._bury(connection, now)
                return
        deadline = rudp.deadline()
        if deadline is not None:
            self._deadlines.set(connection, deadline)

    def _due(self, connection: UdpConnection) -> None:
        now = self.now()
        try:
            deadline = connection.rudp.deadline()
            if deadline is None:
                return
            if deadline <= now:
                connection.tick(now)
            else:
                # The one it was set for has been met.
                self._deadlines.set(connection, deadline)
        except FAULTS:
            self._broken(connection)

    def _broken(self, connection: UdpConnection | None) -> None:
        """
        Handle an exception that only a fault of this program can raise.

        @param connection: L{None} = what failed was not of a connection.
        """
        if connection is None:
            self.log.failure("a UDP datagram could not be dealt with")
            return
        self.log.failure("a UDP connection failed and is dropped")
        self._drop(connection)
        with suppress(Exception):
            # What it holds of the memory for incomplete messages goes back.
            connection.rudp.close(CloseCode.INTERNAL, self.latest)
        connection.broken()

    def _bury(self, connection: UdpConnection, now: int) -> None:
        if connection.last_words:
            self._tombstones[connection.cid] = Tombstone(
                connection.last_words, now + TOMBSTONE_LIFE
            )
        self._drop(connection)

    def _drop(self, connection: UdpConnection) -> None:
        self._connections.pop(connection.cid, None)
        self.dirty.pop(connection, None)
        self._deadlines.forget(connection)
        for key in connection.keys:
            self._ciphers.discard(key)
        if not self._connections:
            waiting, self._closed = self._closed, []
            for closed in waiting:
                closed.callback(None)

    def _sweep(self) -> None:
        now = self.now()
        self._handshake.sweep(now)
        for connection in list(self._unconfirmed.values()):
            if connection.until > now:
                break
            self.forget(connection)
        for cid, tombstone in list(self._tombstones.items()):
            if tombstone.until > now:
                break
            del self._tombstones[cid]
        for connection in list(self._leaving):
            if connection.until > now:
                break
            del self._leaving[connection]
            connection.leave_now()


def _nowhere(datagram: bytes, address: Address) -> None:
    raise OSError("the port is closed")
