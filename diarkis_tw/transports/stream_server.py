"""
What the servers of such connections have in common: who may connect, and the sweep
after handshakes that take too long and connections that have said their last words.
"""

from abc import ABC, abstractmethod
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from diarkis_tw.config.settings import TcpSettings, WsSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.background import background
from diarkis_tw.core.users import Users
from diarkis_tw.net.gathered import Gathering
from diarkis_tw.transports.stream_connection import StreamConnection
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.keys import ConnectionKeys

SWEEP: Final[Seconds] = 1.0
"""Period in which HANDSHAKE_TIME and LINGER are looked at."""

STRANGERS_PER_ADDRESS: Final = 64
"""Connections of one IP address that were never OPEN, those that linger after a
refusal among them: above a household or an office after a restart, below what
one host could use to crowd out the rest."""

STRANGERS: Final = 1024
"""Connections in all that were never OPEN."""


class StreamServer(Factory, ABC):
    """
    Factory of L{StreamConnection}s.

    @ivar gathering: what they write in a turn.
    @ivar refused: messages not sent to clients that do not read.
    @ivar terminated: connections ended with TERMINATE.
    @ivar turned_away: connections above the cap on strangers.
    """

    noisy = False

    def __init__(
        self,
        settings: TcpSettings | WsSettings,
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
        self.gathering = Gathering(clock)
        self.refused = 0
        self.terminated = 0
        self.turned_away = 0
        self._connections: dict[StreamConnection, None] = {}
        self._strangers: dict[StreamConnection, None] = {}
        self._per_address: dict[str, int] = {}
        self._lingering: dict[StreamConnection, None] = {}
        self._closed: list[Deferred[None]] = []
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock

    @abstractmethod
    def connection(self, host: str, address: str) -> StreamConnection:
        """
        Make one.

        @param host: the client's IP address; C{address} has the port too.
        """

    def sealing(self, keys: ConnectionKeys) -> tuple[Cipher, Cipher]:
        """
        What opens and what seals the records of one connection.
        """
        encrypted = self.settings.enable_encryption
        return (
            Cipher(keys.c2s_key, keys.c2s_iv, encrypted, self.ciphers),
            Cipher(keys.s2c_key, keys.s2c_iv, encrypted, self.ciphers),
        )

    def startFactory(self) -> None:
        background("the sweep of connections", self._sweeping.start(SWEEP, now=False))

    def stopFactory(self) -> None:
        if self._sweeping.running:
            self._sweeping.stop()

    def buildProtocol(self, addr: IAddress | None) -> StreamConnection | None:
        host = getattr(addr, "host", "unknown")
        port = getattr(addr, "port", 0)
        count = self._per_address.get(host, 0)
        if count >= STRANGERS_PER_ADDRESS or len(self._strangers) >= STRANGERS:
            self.turned_away += 1
            return None
        connection = self.connection(host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        connection.factory = self
        self._connections[connection] = None
        self._strangers[connection] = None
        self._per_address[host] = count + 1
        return connection

    def no_stranger(self, connection: StreamConnection) -> None:
        """
        C{connection} is OPEN now, or its socket is closed.
        """
        if connection not in self._strangers:
            return
        del self._strangers[connection]
        count = self._per_address.pop(connection.host, 1) - 1
        if count > 0:
            self._per_address[connection.host] = count

    def linger(self, connection: StreamConnection) -> None:
        """
        C{connection} has said its last words.
        """
        self._lingering[connection] = None

    def gone(self, connection: StreamConnection) -> None:
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
