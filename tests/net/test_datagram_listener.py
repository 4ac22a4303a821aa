"""
Tests of L{diarkis_tw.net.datagram_listener}.
"""

import socket
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from diarkis_tw.errors import ConfigError, StartError
from diarkis_tw.net.datagram_listener import RECEIVE_SIZE, DatagramListener
from tests.transports.udp_client import FakeUdpPort, UdpReactor


class FakeServer(DatagramProtocol):
    """
    A server with connections, or without.

    @ivar closed: fires when they have ended.
    """

    noisy = False

    def __init__(self) -> None:
        self.closed: Deferred[None] = succeed(None)
        self.got: Deferred[bytes] = Deferred()

    def when_closed(self) -> Deferred[None]:
        return self.closed

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.got.callback(datagram)


class PickyReactor(UdpReactor):
    """
    One on which some ports are in use.
    """

    def __init__(self, in_use: range) -> None:
        super().__init__()
        self.in_use = in_use
        self.asked: list[tuple[int, str, int]] = []

    def listenUDP(self, port, protocol, interface="", maxPacketSize=8192):  # type: ignore[no-untyped-def]
        self.asked.append((port, interface, maxPacketSize))
        if port in self.in_use:
            raise CannotListenError(interface, port, OSError(98, "in use"))
        return super().listenUDP(port, protocol, interface, maxPacketSize)


class ListenerTests(SynchronousTestCase):
    """
    Without sockets.
    """

    def listener(
        self, server: FakeServer, port: int = 7000, in_use: range = range(0), **where: str
    ) -> DatagramListener:
        """
        A listener that is not bound yet.
        """
        self.reactor = PickyReactor(in_use)
        address, nic = where.get("address", ""), where.get("nic", "")
        return DatagramListener(cast(IReactorTime, self.reactor), server, "UDP", address, nic, port)

    def bound(self) -> FakeUdpPort:
        """
        The port that was bound.
        """
        [port] = self.reactor.udpPorts
        return port

    def test_bind(self) -> None:
        """
        Port and host are known after binding, loopback by default, and datagrams of any legal
        size are read whole.
        """
        listener = self.listener(FakeServer())
        self.assertEqual((listener.host, listener.port), ("", 0))
        listener.bind()
        self.assertEqual((listener.host, listener.port), ("127.0.0.1", 7000))
        self.assertEqual(self.reactor.asked, [(7000, "127.0.0.1", RECEIVE_SIZE)])
        self.assertGreater(RECEIVE_SIZE, 1201)

    def test_upward(self) -> None:
        """
        While ports are in use the next one is tried.
        """
        listener = self.listener(FakeServer(), in_use=range(7000, 7003))
        listener.bind()
        self.assertEqual(listener.port, 7003)

    def test_noneFree(self) -> None:
        """
        Without a free port it cannot start.
        """
        listener = self.listener(FakeServer(), in_use=range(65536))
        self.assertRaises(StartError, listener.bind)

    def test_noSuchInterface(self) -> None:
        """
        An interface that does not exist is an error of the configuration.
        """
        listener = self.listener(FakeServer(), nic="nonesuch0")
        self.assertIn("UDP", str(self.assertRaises(ConfigError, listener.bind)))

    def test_close(self) -> None:
        """
        The port closes once the connections have ended, and only then.
        """
        server = FakeServer()
        server.closed = Deferred()
        listener = self.listener(server)
        listener.bind()
        closing = listener.close()
        self.assertNoResult(closing)
        self.assertTrue(self.bound().listening)
        server.closed.callback(None)
        self.successResultOf(closing)
        self.assertFalse(self.bound().listening)

    def test_abort(self) -> None:
        """
        Aborted, it closes at once; connections that end later change nothing.
        """
        server = FakeServer()
        server.closed = Deferred()
        listener = self.listener(server)
        listener.bind()
        closing = listener.close()
        listener.abort()
        self.assertFalse(self.bound().listening)
        listener.abort()
        server.closed.callback(None)
        self.successResultOf(closing)

    def test_closeUnbound(self) -> None:
        """
        Closing and aborting what was never bound is harmless.
        """
        listener = self.listener(FakeServer())
        self.successResultOf(listener.close())
        listener.abort()


class RealListenerTests(TestCase):
    """
    On real sockets.
    """

    @inlineCallbacks
    def test_roundTrip(self):  # type: ignore[no-untyped-def]
        """
        A bound port receives, and is free again once it is closed.
        """
        server = FakeServer()
        listener = DatagramListener(cast(IReactorTime, reactor), server, "UDP", "127.0.0.1", "", 0)
        listener.bind()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", ("127.0.0.1", listener.port))
            datagram = yield server.got
        self.assertEqual(datagram, b"hello")
        yield listener.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", listener.port))

    @inlineCallbacks
    def test_inUse(self):  # type: ignore[no-untyped-def]
        """
        Beside a port in use the next free one is bound.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            listener = DatagramListener(
                cast(IReactorTime, reactor), FakeServer(), "UDP", "127.0.0.1", "", port
            )
            listener.bind()
            self.assertIn(listener.port, range(port + 1, port + 100))
            yield listener.close()
