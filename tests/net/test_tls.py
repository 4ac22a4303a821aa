"""
Tests of L{diarkis_tw.net.tls}, with real OpenSSL, in memory.
"""

from pathlib import Path
from typing import Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client.tls import ClientTls
from diarkis_tw.net.tls import CLOSE_TIME, HANDSHAKE_TIME, ServerTls, ServerTlsFactory
from diarkis_tw.testing.certificates import Authority
from diarkis_tw.testing.loopback import LoopbackReactor
from tests.stream_peer import Peer, PeerFactory


class ListenerTests(SynchronousTestCase):
    """
    The TLS transport below any protocol, HTTP's for instance.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        authority = Authority()
        self.tls = ServerTls("HTTP", *authority.issue("a.example").write(folder))
        self.client_tls = ClientTls(authority.write(folder))
        self.reactor = LoopbackReactor()
        self.above = PeerFactory()
        self.factory = ServerTlsFactory(self.tls, self.above, self.reactor)
        self.reactor.listenTCP(7000, self.factory)

    def connect(self) -> Peer:
        """
        Connect and shake hands.
        """
        made = PeerFactory()
        factory = self.client_tls.wrap(made, "a.example", self.reactor)
        self.reactor.connectTCP("a.example", 7000, factory)
        self.reactor.pump()
        return made.peer

    def test_closesAlone(self) -> None:
        """
        A connection that the server closes ends in time, though the client does not answer.
        """
        self.connect()
        self.reactor.advance(HANDSHAKE_TIME + 1)
        self.reactor.links[-1].stall()
        cast(Any, self.above.peer.transport).loseConnection()
        self.reactor.advance(CLOSE_TIME - 0.1)
        self.assertIsNone(self.above.peer.lost)
        self.reactor.advance(0.2)
        assert self.above.peer.lost is not None
        self.above.peer.lost.trap(ConnectionAborted, ConnectionLost)

    def test_handshake(self) -> None:
        """
        Whatever the protocol above thinks of it, the handshake has a limit.
        """
        self.reactor.connectTCP("a.example", 7000, PeerFactory())
        self.reactor.advance(HANDSHAKE_TIME - 0.1)
        self.assertIsNone(self.above.peer.lost)
        self.reactor.advance(0.2)
        self.assertIsNotNone(self.above.peer.lost)

    def test_closesTogether(self) -> None:
        """
        With an answer it ends at once, and no timer is left.
        """
        peer = self.connect()
        cast(Any, self.above.peer.transport).write(b"good bye")
        cast(Any, self.above.peer.transport).loseConnection()
        self.reactor.pump()
        self.assertEqual(peer.data, b"good bye")
        self.assertIsNotNone(self.above.peer.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_halfClose(self) -> None:
        """
        Shutting the sending side sends what waits in TLS first, and goes on reading.
        """
        peer = self.connect()
        transport = cast(Any, self.above.peer.transport)
        self.reactor.links[-1].client.pauseProducing()
        transport.write(b"good bye")
        transport.loseWriteConnection()
        cast(Any, peer.transport).write(b"wait")
        self.reactor.pump()
        self.assertEqual(self.above.peer.data, b"wait")
        self.reactor.links[-1].client.resumeProducing()
        self.reactor.pump()
        self.assertEqual(peer.data, b"good bye")
        assert peer.lost is not None
        peer.lost.trap(ConnectionDone)

    def test_idle(self) -> None:
        """
        A connection that is not closed stays, whatever it does not say.
        """
        peer = self.connect()
        self.reactor.advance(3600)
        self.assertIsNone(peer.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_closeInHandshake(self) -> None:
        """
        A connection closed before its handshake is done is cut off.
        """
        protocol = self.factory.buildProtocol(None)
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.write(b"lost anyway")
        protocol.loseConnection()
        self.assertTrue(transport.disconnected)

    def test_newPair(self) -> None:
        """
        A new certificate is for new connections; the others go on.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        old = self.connect()
        above = self.above.peer
        other = Authority("another")
        self.tls.load(*other.issue("a.example").write(folder))
        refused = self.connect()
        assert refused.lost is not None
        self.client_tls = ClientTls(other.write(folder))
        self.assertIsNone(self.connect().lost)
        cast(Any, old.transport).write(b"still here")
        self.reactor.pump()
        self.assertIsNone(old.lost)
        self.assertIsNotNone(above)
