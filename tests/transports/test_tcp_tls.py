"""
Tests of the TCP server below TLS: L{diarkis_tw.net.tls} and
L{diarkis_tw.transports.tcp} together, with real OpenSSL, in memory.
"""

from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import Client, ClientState, Disconnected, connect
from diarkis_tw.client.tls import ClientTls
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import User
from diarkis_tw.net.tls import HANDSHAKE_TIME, ServerTlsFactory
from diarkis_tw.server import Server
from diarkis_tw.testing.certificates import Authority
from diarkis_tw.testing.loopback import LoopbackReactor
from diarkis_tw.transports.stream_connection import HOLD_BYTES, LINGER, Phase
from diarkis_tw.transports.stream_server import STRANGERS_PER_ADDRESS
from diarkis_tw.transports.tcp import TcpConnection, TcpServer
from tests.raw_client import Close, RawClient, Terminate
from tests.stream_peer import Peer, PeerFactory

ECHO, SHOUT = 10, 11


class TlsCase(SynchronousTestCase):
    """
    A running server whose TCP has TLS.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        authority = Authority()
        certificate, key = authority.issue("127.0.0.1").write(folder)
        self.ca = authority.write(folder)
        self.reactor = LoopbackReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_tcp_server(
            {"port": 7200, "noDelay": True, "tlsCertificate": certificate, "tlsPrivateKey": key}
        )
        self.server.setup_as_http_server({"port": 7000})
        self.server.handle_command(2, ECHO, lambda ver, cmd, payload, user: payload)
        self.server.handle_command(2, SHOUT, self._shout)
        service = self.server.service()
        service.startService()
        self.reactor.pump()
        self.addCleanup(self._stop, service.stopService)

    def _stop(self, stop: Any) -> None:
        stopping = stop()
        self.reactor.advance(10)
        self.successResultOf(stopping)

    def _shout(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        return b"." * int(payload)

    @property
    def factory(self) -> TcpServer:
        """
        What makes the server's connections.
        """
        wrapping = cast(ServerTlsFactory, self.reactor.ports[7200].factory)
        return cast(TcpServer, wrapping.wrappedFactory)

    def connection(self) -> TcpConnection:
        """
        The server's newest connection.
        """
        return list(self.factory._connections)[-1]

    def player(self, uid: str = "alice") -> Client:
        """
        A connected client.
        """
        connecting = connect("http://127.0.0.1:7000", uid, reactor=self.reactor, ca=self.ca)
        self.reactor.advance(1)
        return self.successResultOf(connecting)

    def answered(self, client: Client, payload: bytes = b"are you there?") -> bytes:
        """
        Ask for an echo.
        """
        asking = client.request(2, ECHO, payload)
        self.reactor.pump()
        return self.successResultOf(asking)

    def peer(self, *, tls: bool = True) -> Peer:
        """
        A connection that says nothing by itself.
        """
        made = PeerFactory()
        factory: Factory = made
        if tls:
            factory = ClientTls(self.ca).wrap(made, "127.0.0.1", self.reactor)
        self.reactor.connectTCP("127.0.0.1", 7200, cast(ClientFactory, factory))
        self.reactor.pump()
        return made.peer

    def send(self, peer: Peer, data: bytes) -> None:
        """
        Have a peer send.
        """
        cast(Any, peer.transport).write(data)
        self.reactor.pump()


class ServingTests(TlsCase):
    """
    What TLS changes nothing about.
    """

    def test_commands(self) -> None:
        """
        Commands are answered, small and large, however the bytes are cut.
        """
        for chunk_size in (2**16, 1):
            self.reactor.chunk_size = chunk_size
            client = self.player()
            self.assertTrue(client.endpoint.tls)
            for size in (0, 1, 8000):
                self.assertEqual(self.answered(client, b"x" * size), b"x" * size)
            closing = client.close()
            self.reactor.pump()
            self.successResultOf(closing)

    def test_noShortCut(self) -> None:
        """
        Nothing goes to the socket past TLS.
        """
        self.player()
        self.assertIsNone(self.connection()._gathered)
        self.assertIsInstance(self.connection().transport, TLSMemoryBIOProtocol)

    def test_stays(self) -> None:
        """
        A client that has nothing to say stays, by keep-alive alone.
        """
        client = self.player()
        self.reactor.advance(300)
        self.assertIs(client.state, ClientState.CONNECTED)
        self.assertIsNotNone(client.round_trip)
        self.assertEqual(self.answered(client, b"x"), b"x")

    def test_reconnects(self) -> None:
        """
        A connection that was cut is made again, with TLS.
        """
        client = self.player()
        self.reactor.links[-1].cut()
        self.reactor.advance(2)
        self.assertEqual(self.answered(client, b"x"), b"x")
        self.assertIsInstance(self.connection().transport, TLSMemoryBIOProtocol)

    def test_silent(self) -> None:
        """
        A network that swallows everything is noticed by both.
        """
        client = self.player()
        before = self.connection()
        self.reactor.links[-1].stall()
        self.reactor.advance(11)
        self.assertIs(before.phase, Phase.CLOSED)
        self.assertEqual(self.answered(client, b"x"), b"x")

    def test_slowReader(self) -> None:
        """
        What a client does not take waits, counted, and arrives when it does.
        """
        client = self.player()
        link = self.reactor.links[-1]
        link.client.pauseProducing()
        asking = [client.request(2, SHOUT, b"60000", timeout=60) for _ in range(20)]
        self.reactor.pump()
        self.assertGreater(self.connection().queued, HOLD_BYTES)
        link.client.resumeProducing()
        self.reactor.advance(1)
        for answer in asking:
            self.assertEqual(len(self.successResultOf(answer)), 60_000)
        self.assertEqual(self.connection().queued, 0)


class EndingTests(TlsCase):
    """
    Last words, and who closes.
    """

    def test_clientLeaves(self) -> None:
        """
        A client that leaves is gone on both sides at once.
        """
        client = self.player()
        closing = client.close()
        self.reactor.pump()
        self.successResultOf(closing)
        self.assertEqual(self.factory._connections, {})
        self.assertEqual(self.server.users.ccu(), 0)

    def test_lastWords(self) -> None:
        """
        The server's last words arrive before the connection ends, in order.
        """
        client = self.player()
        pushes: list[bytes] = []
        codes: list[CloseCode] = []
        client.on_push(2, 20, pushes.append)
        client.on_disconnected(codes.append)
        user = self.server.users.find_uid("alice")
        assert user is not None
        user.server_push(2, 20, b"x" * 50_000)
        self.server.users.remove(user, CloseCode.KICKED)
        self.reactor.pump()
        self.assertEqual(([len(push) for push in pushes], codes), ([50_000], [CloseCode.KICKED]))
        self.assertEqual(self.factory._connections, {})

    def test_lastWordsAfterMuch(self) -> None:
        """
        The same behind what a slow client has not read yet.
        """
        client = self.player()
        codes: list[CloseCode] = []
        client.on_disconnected(codes.append)
        got: list[bytes] = []
        client.on_push(2, 20, got.append)
        link = self.reactor.links[-1]
        link.client.pauseProducing()
        user = self.server.users.find_uid("alice")
        assert user is not None
        for _ in range(6):
            user.server_push(2, 20, b"x" * 60_000)
            self.reactor.pump()
        self.assertGreater(self.connection().queued, 0)
        self.server.users.remove(user, CloseCode.KICKED)
        link.client.resumeProducing()
        self.reactor.pump()
        self.assertEqual((len(got), codes), (6, [CloseCode.KICKED]))

    def test_refused(self) -> None:
        """
        A stranger's TERMINATE arrives, then TLS says that nothing more comes, then the end.
        """
        peer = self.peer()
        raw = RawClient(self.server.users.create("bob", "TCP", {}).keys)
        self.send(peer, b"GET / HTTP/1.1\r\n\r\n")
        raw.feed(bytes(peer.data))
        self.assertIsInstance(raw.received[-1], Terminate)
        assert peer.lost is not None
        peer.lost.trap(ConnectionDone)
        self.assertEqual(self.factory._connections, {})

    def test_readsAway(self) -> None:
        """
        After its last words the server still reads, so that the socket is not reset, and
        throws it away.
        """
        peer = self.peer()
        raw = RawClient(self.server.users.create("bob", "TCP", {}).keys)
        self.send(peer, raw.hello())
        raw.feed(bytes(peer.data))
        peer.data.clear()
        connection = self.connection()
        link = self.reactor.links[-1]
        link.client.pauseProducing()
        self.send(peer, raw.request(2, ECHO, b"x"))
        connection.close(CloseCode.KICKED)
        self.send(peer, raw.request(2, ECHO, b"y") * 100)
        link.client.resumeProducing()
        self.reactor.pump()
        raw.feed(bytes(peer.data))
        self.assertEqual(raw.received[-1], Close(CloseCode.KICKED, ""))
        assert peer.lost is not None
        peer.lost.trap(ConnectionDone)

    def test_neverCloses(self) -> None:
        """
        Who does not close too is cut off.
        """
        self.player()
        user = self.server.users.find_uid("alice")
        assert user is not None
        self.reactor.links[-1].stall()
        self.server.users.remove(user, CloseCode.KICKED)
        self.reactor.advance(LINGER + 1)
        self.assertEqual(self.factory._connections, {})

    def test_drained(self) -> None:
        """
        The end of the node is told to clients over TLS as well.
        """
        client = self.player()
        codes: list[CloseCode] = []
        client.on_disconnected(codes.append)
        stopping = cast("Deferred[None]", self.server.service().stopService())
        self.reactor.advance(2)
        self.successResultOf(stopping)
        self.assertEqual(codes, [CloseCode.SERVER_OFFLINE])


class StrangerTests(TlsCase):
    """
    Who never gets through the TLS handshake.
    """

    def test_silent(self) -> None:
        """
        A connection that says nothing is counted as a stranger and ends in time.
        """
        peer = self.peer(tls=False)
        self.assertEqual(len(self.factory._strangers), 1)
        self.reactor.advance(HANDSHAKE_TIME - 0.1)
        self.assertIsNone(peer.lost)
        self.reactor.advance(0.2)
        assert peer.lost is not None
        self.assertEqual((self.factory._strangers, self.factory._connections), ({}, {}))

    def test_dribbles(self) -> None:
        """
        Neither does a handshake byte by byte keep a connection alive.
        """
        peer = self.peer(tls=False)
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03":
            self.send(peer, bytes([byte]))
            self.reactor.advance(HANDSHAKE_TIME / 10)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.factory._connections, {})

    def test_afterHandshake(self) -> None:
        """
        With TLS done and nothing said it is the TCP server that ends it, with TERMINATE.
        """
        peer = self.peer()
        self.reactor.advance(HANDSHAKE_TIME + 1.1)
        self.assertIn(b"\x00" * 16, peer.data)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.factory._connections, {})

    def test_cap(self) -> None:
        """
        They are capped per address, and more are turned away without a fault in the log.
        """
        peers = [self.peer(tls=False) for _ in range(STRANGERS_PER_ADDRESS + 3)]
        self.assertEqual(self.factory.turned_away, 3)
        self.assertEqual(len(self.factory._connections), STRANGERS_PER_ADDRESS)
        self.assertEqual([peer.lost is not None for peer in peers[-4:]], [False, True, True, True])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.reactor.advance(HANDSHAKE_TIME + 1)
        self.player()

    def test_plainText(self) -> None:
        """
        Who speaks without TLS is cut off at once, and nobody else notices.
        """
        client = self.player()
        for greeting in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 200):
            peer = self.peer(tls=False)
            self.send(peer, greeting)
            self.assertIsNotNone(peer.lost, greeting)
        self.assertEqual(len(self.factory._connections), 1)
        self.assertEqual(self.answered(client, b"x"), b"x")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_plainClient(self) -> None:
        """
        So is a client that was told of no TLS; it learns that the connection was closed.
        """
        user = self.server.users.create("bob", "TCP", {})
        peer = self.peer(tls=False)
        self.send(peer, RawClient(user.keys).hello())
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.factory._strangers, {})

    def test_cutOff(self) -> None:
        """
        Nor is anything left of one that goes in the midst of the handshake.
        """
        peer = self.peer(tls=False)
        self.send(peer, b"\x16\x03\x01")
        self.reactor.links[-1].cut()
        self.reactor.advance(HANDSHAKE_TIME + 1)
        self.assertEqual(self.factory._connections, {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_wrongAuthority(self) -> None:
        """
        A client that trusts somebody else is gone at once, with a sentence and code PROTOCOL.
        """
        self.ca = Authority("another").write(Path(self.ca).parent, "other")
        connecting = connect("http://127.0.0.1:7000", "alice", reactor=self.reactor, ca=self.ca)
        self.reactor.advance(1)
        error = self.failureResultOf(connecting, Disconnected).value
        self.assertIs(error.code, CloseCode.PROTOCOL)
        self.assertIn(f"not come from an authority in {self.ca}", str(error))
        self.assertEqual(self.factory._connections, {})
