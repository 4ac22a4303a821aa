"""
What the tests of the TCP server share: a whole server on a clock, without
sockets, and clients of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import TypeVar, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import NodeSettings, Settings, TcpSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import User, UserState
from diarkis_tw.server.server import Server
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.transports.tcp import TcpConnection, TcpServer
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.message import Push, Response
from tests.raw_client import Accept, Close, RawClient, Received, Terminate
from tests.transports.fake_socket import FakeSocket

ECHO, SLOW, SHOUT = 10, 11, 12
"""Commands of version 2: answer; answer when C{case.slow} fires; answer with so many bytes."""

_R = TypeVar("_R")


class TcpClient:
    """
    A client and the server's end of its connection.

    @ivar raw: the client's keys and what it received.
    @ivar socket: the server's end.
    @ivar connection: what the server made of it.
    """

    def __init__(self, case: "TcpCase", raw: RawClient, host: str, port: int) -> None:
        self.raw = raw
        self.socket = FakeSocket()
        self._case = case
        built = case.factory.buildProtocol(IPv4Address("TCP", host, port))
        assert built is not None, "turned away"
        self.connection: TcpConnection = built
        self.socket.protocol = built
        built.makeConnection(self.socket)

    @property
    def received(self) -> list[Received]:
        """
        Everything that came from the server.
        """
        return self.raw.received

    def turn(self) -> None:
        """
        Let everything come to rest.
        """
        while self.socket.turn():
            pass
        data = bytes(self.socket.taken)
        self.socket.taken.clear()
        self.raw.feed(data)

    def send(self, *data: bytes) -> None:
        """
        Send bytes and let everything come to rest.
        """
        self.socket.arrive(b"".join(data))
        self.turn()

    def request(self, cmd: int, payload: bytes = b"", request_id: int = 1) -> None:
        """
        Send a command of version 2.
        """
        self.send(self.raw.request(2, cmd, payload, request_id))

    def of(self, kind: type[_R]) -> list[_R]:
        """
        What came of one kind.
        """
        return [found for found in self.received if isinstance(found, kind)]

    def payloads(self) -> list[bytes]:
        """
        Payloads of all responses and pushes.
        """
        return [found.payload for found in self.received if isinstance(found, Response | Push)]

    def alive(self) -> bool:
        """
        Whether the connection answers a command.
        """
        self.turn()
        before = len(self.payloads())
        self.request(ECHO, b"are you there?")
        return self.payloads()[before:] == [b"are you there?"]


class ServerCase(SynchronousTestCase, ABC):
    """
    A running server, real from the transport's protocol up.

    @ivar slow: what the command SLOW waits for, by its payload.
    @ivar echoed: payloads that the command ECHO got.
    @ivar at_echo: what the handler of ECHO does besides.
    @ivar left: uids of users whom on_disconnect was called for.
    """

    kind = "TCP"

    def setUp(self) -> None:
        self.serve()

    @abstractmethod
    def serve(self) -> None:
        """
        Start a server.
        """

    def register(self) -> None:
        """
        Register more commands.
        """

    def start_server(self, settings: Settings) -> None:
        """
        Start a server with the commands above.
        """
        self.reactor = MemoryReactorClock()
        self.server = Server(self.reactor, settings, random_bytes=Random(1).randbytes)
        self.slow: dict[bytes, Deferred[bytes]] = {}
        self.echoed: list[bytes] = []
        self.at_echo: Callable[[], None] = lambda: None
        self.left: list[str] = []
        self.server.handle_command(2, ECHO, self._echo)
        self.server.handle_command(2, SLOW, self._slow)
        self.server.handle_command(2, SHOUT, self._shout)
        self.server.on_disconnect(lambda sid, user: self.left.append(user.uid))
        self.register()
        self.server.service().startService()
        self._clients = 0

    def _echo(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        self.echoed.append(payload)
        self.at_echo()
        return payload

    def _slow(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[bytes]:
        return self.slow.setdefault(payload, Deferred())

    def _shout(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        return payload[:4].ljust(int.from_bytes(payload[4:]), b".")

    def user(self, uid: str = "alice") -> User:
        """
        Have a user made, as the endpoint API does.
        """
        return self.server.users.create(uid, self.kind, {})

    def advance(self, seconds: float) -> None:
        """
        Let time pass, timers running at their instants.
        """
        steps, rest = divmod(seconds, 0.5)
        self.reactor.pump([0.5] * int(steps) + [rest])

    def assertState(self, user: User, state: UserState) -> None:
        """
        The user is PENDING, CONNECTED, AWAY or GONE.
        """
        self.assertIs(user.state, state)


class TcpCase(ServerCase):
    """
    A TCP server.
    """

    def serve(self, tcp: TcpSettings | None = None, *, grace: int = 10, rate: int = 0) -> None:
        """
        Start a server.

        @param rate: maxCommandRate.
        """
        node = NodeSettings(reconnect_grace=grace, max_command_rate=rate)
        self.start_server(Settings(tcp=tcp or TcpSettings(), node=node))
        self.factory = cast(TcpServer, self.reactor.tcpServers[0][1])
        self.factory.doStart()

    def client(
        self,
        user: User | None = None,
        *,
        keys: SessionKeys | None = None,
        host: str = "127.0.0.1",
        encrypted: bool = True,
        ephemeral: bool = True,
    ) -> TcpClient:
        """
        Connect; nothing is said yet.
        """
        if keys is None:
            keys = (user or self.user()).keys
        self._clients += 1
        raw = RawClient(keys, encrypted=encrypted, ephemeral=ephemeral, seed=self._clients)
        return TcpClient(self, raw, host, 40_000 + self._clients)

    def accepted(self, user: User | None = None, **how: bool) -> TcpClient:
        """
        Connect and shake hands.
        """
        client = self.client(user, **how)  # type: ignore[arg-type]
        client.send(client.raw.hello())
        (accept,) = client.received
        assert isinstance(accept, Accept)
        client.received.clear()
        return client

    def opened(self, user: User | None = None, **how: bool) -> TcpClient:
        """
        Connect and confirm.
        """
        client = self.accepted(user, **how)
        client.send(client.raw.request(0, 3, b"confirm"))
        assert client.payloads() == [b"confirm"]
        client.received.clear()
        return client

    def assertRefused(self, client: TcpClient, code: CloseCode) -> None:
        """
        The client got TERMINATE, nothing after it, and the connection is closed.
        """
        client.turn()
        found = client.received[-1]
        assert isinstance(found, Terminate), client.received
        self.assertIs(found.code, code)
        self.assertClosing(client)

    def assertClosed(self, client: TcpClient, code: CloseCode) -> None:
        """
        The client got CLOSE, nothing after it, and the connection is closed.
        """
        client.turn()
        self.assertEqual(client.received[-1], Close(code, ""))
        self.assertClosing(client)

    def assertClosing(self, client: TcpClient) -> None:
        """
        The server says no more, throws away what comes, and sees the peer close.
        """
        self.assertIs(client.connection.phase, Phase.CLOSED)
        self.assertTrue(client.socket.shut)
        count = len(client.received)
        client.send(b"\x10\x00\x00\x10" + bytes(16))
        self.assertEqual(len(client.received), count)
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(client.socket.ended)
        self.assertFalse(client.socket.aborted)
