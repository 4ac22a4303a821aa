"""
Answers that go to the socket at once, and what is gathered until the end of the
turn. Here the server's end is Twisted's own transport on a pair of sockets.
"""

import contextlib
import socket
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.main import CONNECTION_LOST

from diarkis_tw.wire.message import Push, Response
from tests.raw_client import Close, RawClient
from tests.transports.case import ECHO, SHOUT, SLOW, TcpCase


class TcpPromptTests(TcpCase):
    """
    One client who is connected.
    """

    def setUp(self) -> None:
        super().setUp()
        self.raw = RawClient(self.user().keys, encrypted=True, ephemeral=True, seed=1)
        self.socket, theirs = socket.socketpair()
        for end in (self.socket, theirs):
            end.setblocking(False)
            self.addCleanup(end.close)
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000))
        assert protocol is not None
        port = cast(Any, SimpleNamespace(_realPortNumber=7200))
        address = ("127.0.0.1", 40_000)
        self.transport = tcp.Server(theirs, protocol, address, port, 1, cast(Any, self.reactor))
        protocol.makeConnection(self.transport)
        self.send(self.raw.hello())
        self.turn()
        self.send(self.raw.request(0, 3, b"confirm"))
        self.turn()
        self.raw.received.clear()

    def test_at_once(self) -> None:
        """
        The answer to a command that came alone is on the socket when it has been read.
        """
        self.send(self.raw.request(2, ECHO, b"hello"))
        self.assertEqual(self.payloads(), [b"hello"])
        self.assertFalse(self.waiting())

    def test_several(self) -> None:
        """
        Answers to commands that came together are gathered, and come in order.
        """
        self.send(b"".join(self.raw.request(2, ECHO, b"%d" % n) for n in range(3)))
        self.assertEqual(self.payloads(), [])
        self.turn()
        self.assertEqual(self.payloads(), [b"0", b"1", b"2"])

    def test_pushes(self) -> None:
        """
        What a handler pushes is gathered, and its answer goes behind it.
        """
        (user,) = self.server.users

        def push() -> None:
            for number in range(3):
                user.server_push(2, 13, b"%d" % number)

        self.at_echo = push
        self.send(self.raw.request(2, ECHO, b"last"))
        self.assertEqual(self.payloads(), [])
        self.turn()
        self.assertEqual(self.payloads(), [b"0", b"1", b"2", b"last"])

    def test_two_answers(self) -> None:
        """
        Of two answers the first goes at once.
        """
        (user,) = self.server.users
        self.at_echo = lambda: self.assertTrue(user.server_respond(b"early", 2, ECHO))
        self.send(self.raw.request(2, ECHO, b"late"))
        self.assertEqual(self.payloads(), [b"early"])
        self.turn()
        self.assertEqual(self.payloads(), [b"early", b"late"])

    def test_closing(self) -> None:
        """
        What is gathered comes before CLOSE.
        """
        (user,) = self.server.users
        user.server_push(2, 13, b"first")
        user.disconnect()
        self.turn()
        self.assertEqual(self.payloads(), [b"first"])
        self.assertIsInstance(self.raw.received[-1], Close)

    def test_later(self) -> None:
        """
        What a handler answers later is gathered.
        """
        self.send(self.raw.request(2, SLOW, b"s"))
        self.slow[b"s"].callback(b"done")
        self.assertEqual(self.payloads(), [])
        self.turn()
        self.assertEqual(self.payloads(), [b"done"])

    def test_behind_waiting(self) -> None:
        """
        A prompt answer does not overtake what waits for the end of the turn.
        """
        (user,) = self.server.users
        user.server_push(2, 13, b"first")
        self.send(self.raw.request(2, ECHO, b"second"))
        self.assertEqual(self.payloads(), [])
        self.turn()
        self.assertEqual(self.payloads(), [b"first", b"second"])

    def test_full_socket(self) -> None:
        """
        An answer that the socket takes a part of, and those behind it, arrive whole and in order.
        """
        size = 1_000_000
        self.send(self.raw.request(2, SHOUT, b"big " + size.to_bytes(4)))
        self.assertTrue(self.waiting())
        self.send(self.raw.request(2, ECHO, b"small"))
        while self.waiting():
            self.receive()
            self.turn()
        self.turn()
        first, second = self.payloads()
        self.assertEqual((len(first), first[:4], second), (size, b"big ", b"small"))

    def test_broken_socket(self) -> None:
        """
        A socket that is found broken while answering is left to the reactor, which drops it.
        """
        request = self.raw.request(2, ECHO, b"hello")
        self.socket.send(request)
        self.socket.close()
        self.assertIsNone(self.transport.doRead())
        self.assertTrue(self.waiting())
        self.assertIs(self.transport.doWrite(), CONNECTION_LOST)

    def send(self, data: bytes) -> None:
        """
        Send to the server, which reads it.
        """
        self.socket.sendall(data)
        self.transport.doRead()

    def turn(self) -> None:
        """
        Let the server write what it gathered, as far as the socket takes it.
        """
        self.reactor.advance(0)
        if self.waiting():
            self.transport.doWrite()
        self.receive()

    def waiting(self) -> bool:
        """
        Whether the server wants to write.
        """
        return self.transport in self.reactor.writers

    def receive(self) -> None:
        """
        Read what is on the socket.
        """
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(2**20):
                self.raw.feed(data)

    def payloads(self) -> list[bytes]:
        """
        Payloads of what came so far.
        """
        self.receive()
        return [found.payload for found in self.raw.received if isinstance(found, Response | Push)]
