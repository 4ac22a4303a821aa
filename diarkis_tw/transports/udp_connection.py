"""
One client over UDP: a L{diarkis_tw.core.connection.Connection} around the
sans-IO L{diarkis_tw.rudp.connection.Connection}.

Phases::

    ACCEPTED    keys agreed; dropped if no authentic packet comes in time
    OPEN        from the first authentic packet: the user's connection now
    LEAVING     no longer the user's; what is reliable is still delivered, at
                most C{LEAVE_TIME}, then CLOSE
    CLOSED      CLOSE said or received; the server answers what still comes
                with the last datagram for a while
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import User
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.rudp.connection import STATE_OPEN, Connection
from diarkis_tw.transports.udp_path import TIMEOUTS, Address, Path
from diarkis_tw.units import MICROSECONDS_PER_SECOND, Seconds
from diarkis_tw.wire.frame import PATH_SIZE
from diarkis_tw.wire.message import decode_request

if TYPE_CHECKING:
    from diarkis_tw.transports.udp import UdpServer

LEAVE_TIME: Final = 2 * MICROSECONDS_PER_SECOND
"""How long a graceful end waits for reliable data to be acknowledged."""

GRACEFUL: Final = frozenset({CloseCode.NORMAL, CloseCode.KICKED, CloseCode.SERVER_OFFLINE})
"""Ends before which the client still gets what it was sent."""


class Phase(Enum):
    """
    See the module's table.
    """

    ACCEPTED = "ACCEPTED"
    OPEN = "OPEN"
    LEAVING = "LEAVING"
    CLOSED = "CLOSED"


# In Python 3.11 looking a member up in its Enum takes 80 ns.
ACCEPTED: Final = Phase.ACCEPTED
OPEN: Final = Phase.OPEN
LEAVING: Final = Phase.LEAVING
CLOSED: Final = Phase.CLOSED


class UdpConnection:
    """
    A client's connection.

    @ivar keys: of both directions, to be forgotten with it.
    @ivar rudp: the protocol.
    @ivar path: where the client is.
    @ivar until: when the present phase ends by itself, in microseconds.
    @ivar last_words: the datagram that said CLOSE.
    """

    __slots__ = (
        "_code",
        "_held",
        "_server",
        "_user",
        "cid",
        "heard",
        "keys",
        "last_heard",
        "last_words",
        "path",
        "phase",
        "rudp",
        "sid",
        "ttl",
        "until",
    )

    type = ServerType.UDP

    def __init__(
        self,
        server: UdpServer,
        user: User,
        cid: bytes,
        keys: tuple[bytes, bytes],
        rudp: Connection,
        address: Address,
        ttl: Seconds,
        until: int,
    ) -> None:
        self._server = server
        self._user = user
        self._held: list[tuple[bytes, bool]] | None = None
        self._code = CloseCode.NORMAL
        self.cid = cid
        self.sid = user.keys.sid
        self.keys = keys
        self.rudp = rudp
        self.path = Path(address)
        self.ttl = ttl
        self.until = until
        self.phase: Phase = ACCEPTED
        self.heard = False
        self.last_heard: Seconds = 0.0
        self.last_words = b""

    # The user's side

    @property
    def address(self) -> str:
        """
        See L{diarkis_tw.core.connection.Connection.address}.
        """
        host, port = self.path.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def queued(self) -> int:
        """
        See L{diarkis_tw.core.connection.Connection.queued}.
        """
        return self.rudp.queued

    @property
    def full_since(self) -> Seconds | None:
        """
        See L{diarkis_tw.core.connection.Connection}.
        """
        since = self.rudp.full_since
        return None if since is None else since / MICROSECONDS_PER_SECOND

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        """
        See L{diarkis_tw.core.connection.Connection.send}.

        @raise LocalProtocolError: too large; an unreliable message must fit one packet.
        """
        if self.phase is not OPEN:
            return False
        server = self._server
        prompted = server.prompted
        if prompted is not None and not reliable and self not in prompted:
            prompted.add(self)
            datagram = self.rudp.prompt(encoded.binary)
            if datagram is not None:
                server.write(datagram, self.path.address)
                return True
        if self not in server.dirty:
            server.flush_soon(self)
        return self.rudp.send(encoded.binary, reliable, 0, server.latest)

    def close(self, code: CloseCode) -> None:
        """
        See L{diarkis_tw.core.connection.Connection.close}.
        """
        if self.phase is ACCEPTED:
            self._server.forget(self)
        elif self.phase is OPEN:
            self._code = code
            if code in GRACEFUL and self.rudp.queued:
                self.phase = LEAVING
                self.until = self._server.now() + LEAVE_TIME
                self._server.leaving(self)
            else:
                self._say_close()
            self._server.flush_soon(self)
            self._server.users.lost(self._user, self, code)

    def resume_reading(self) -> None:
        """
        See L{diarkis_tw.core.connection.Connection.resume_reading}.
        """
        held, self._held = self._held, None
        self.rudp.paused = False
        if held:
            self._deliver(held)

    # The network's side

    def receive(self, datagram: bytes, address: Address, now: int) -> None:
        """
        A datagram of this connection came.
        """
        rudp, path = self.rudp, self.path
        if address == path.address and path.candidate is None:
            if not rudp.receive(datagram, now):
                return
        else:
            largest = rudp.largest
            if not rudp.receive(datagram, now):
                return
            self._follow(address, rudp.largest > largest, now)
        self.heard = True
        self._server.flush_soon(self)
        if self.phase is ACCEPTED:
            self.phase = OPEN
            self._server.confirmed(self)
            if not self._server.users.confirm(self._user, self):
                self.close(CloseCode.UNKNOWN)
        delivered = rudp.delivered
        if delivered:
            rudp.delivered = []
            if self.phase is OPEN:
                self._deliver(delivered)
        if rudp.state is not STATE_OPEN:
            self.ended()

    def tick(self, now: int) -> None:
        """
        A deadline of the protocol has come.
        """
        self.rudp.tick(now)
        if self.rudp.state is not STATE_OPEN:
            self.ended()
        self._server.flush_soon(self)

    def leave_now(self) -> None:
        """
        Enough waited for reliable data: say CLOSE, unless it is said.
        """
        if self.phase is LEAVING:
            self._say_close()
            self._server.flush_soon(self)

    def ended(self) -> None:
        """
        The protocol is closing or closed: the user has this connection no more.
        """
        was_open = self.phase is OPEN
        self.phase = CLOSED
        if was_open:
            self._server.users.lost(self._user, self, self.rudp.code)

    def broken(self) -> None:
        """
        The connection is dropped without a word.
        """
        self.phase = CLOSED
        self._server.users.lost(self._user, self, CloseCode.INTERNAL)

    def _deliver(self, messages: list[tuple[bytes, bool]]) -> None:
        if self._held is not None:
            self._hold(messages)
            return
        receive = self._user.inbox.receive
        for index, (message, reliable) in enumerate(messages):
            try:
                ver, cmd, request_id, payload = decode_request(message)
            except RemoteProtocolError as fault:
                self.close(fault.code)
                return
            if not receive(ver, cmd, request_id, payload, reliable):
                if self.phase is OPEN:
                    self.rudp.paused = True
                    self._held = []
                    self._hold(messages[index + 1 :])
                return

    def _hold(self, messages: list[tuple[bytes, bool]]) -> None:
        """
        Keep what is reliable until the user takes commands again. While paused
        the protocol takes nothing reliable, so this stays as little as it is.
        """
        assert self._held is not None
        reliable = [message for message in messages if message[1]]
        self._held += reliable
        self._server.users.dispatcher.dropped += len(messages) - len(reliable)

    def _follow(self, address: Address, is_newest: bool, now: int) -> None:
        path, rudp = self.path, self.rudp
        response, rudp.path_response = rudp.path_response, None
        if response is not None:
            other_host = path.answered(response, address, now)
            if other_host is not None:
                if other_host:
                    rudp.path_changed()
                return
        server = self._server
        patience = TIMEOUTS * max(rudp.round_trip.timeout(0), server.retry_interval)
        if path.heard(address, is_newest, now, patience) and rudp.state is STATE_OPEN:
            if not path.challenge:
                path.challenge = server.random_bytes(PATH_SIZE)
            server.write(rudp.challenge(path.challenge, now), address)

    def _say_close(self) -> None:
        self.rudp.close(self._code, self._server.now())
        self.ended()
