"""
The TCP server's own part of an echo, without sockets: from one record given to
C{TcpConnection.dataReceived} to the answer's C{transport.write}.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from cProfile import Profile
from typing import cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.testing import MemoryReactorClock

from bench.session import PAYLOAD_SIZE, Session
from diarkis_tw import demo
from diarkis_tw.config.settings import NodeSettings, Settings, TcpSettings
from diarkis_tw.server import Server
from diarkis_tw.transports.tcp import TcpServer
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.record import RecordReader


class Wire:
    """
    The least that a L{TcpConnection} needs of its transport.

    @ivar written: what the server sent.
    """

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        There is no delay.
        """

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        The buffer is never full.
        """


class Player:
    """
    One connected user.

    @ivar session: the client's side.
    @ivar receive: the connection's C{dataReceived}.
    """

    def __init__(self, server: Server, factory: TcpServer, uid: str, ciphers: AeadCache) -> None:
        keys = server.users.create(uid, "TCP", {}).keys
        self.session = Session(keys, os.urandom(PAYLOAD_SIZE), ciphers)
        self._wire = Wire()
        connection = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        assert connection is not None
        connection.transport = cast(ITransport, self._wire)
        connection.connectionMade()
        self.receive: Callable[[bytes], None] = connection.dataReceived
        self.receive(self.session.hello())
        self.session.accept(self._answers()[0][2])
        self.receive(self.session.keep_alive())
        self.session.opened(*self._answers()[0][1:])

    def check(self, count: int) -> None:
        """
        Open the answers to C{count} requests.
        """
        answers = self._answers()
        if len(answers) != count:
            raise RuntimeError(f"{len(answers)} answers to {count} requests")
        for _, header, body in answers:
            self.session.check(header, body)

    def _answers(self) -> list[tuple[int, bytes, bytes]]:
        reader = RecordReader(1024)
        reader.feed(b"".join(self._wire.written))
        self._wire.written.clear()
        return list(iter(reader.next, None))


class EchoServer:
    """
    A server in this process.

    @ivar players: its users.
    """

    def __init__(self, players: int, setup: Callable[[Server], None] = demo.setup) -> None:
        """
        @param setup: registers what echoes.
        """
        reactor = MemoryReactorClock()
        settings = Settings(tcp=TcpSettings(), node=NodeSettings(max_command_rate=0))
        server = Server(cast(IReactorTime, reactor), settings)
        setup(server)
        server.service().startService()
        factory = cast(TcpServer, reactor.tcpServers[0][1])
        ciphers = AeadCache(2 * players + 2)
        self.players = [Player(server, factory, f"{n}", ciphers) for n in range(players)]

    def echoes(self, count: int, profile: Profile | None = None) -> float:
        """
        Run echoes, the players in turn, and check the answers.

        @param count: of each player.
        @return: microseconds of CPU for each.
        """
        players = self.players
        work = [(player.receive, player.session.echo()) for _ in range(count) for player in players]
        with profile or nullcontext():
            begin = time.thread_time_ns()
            for receive, record in work:
                receive(record)
            took = time.thread_time_ns() - begin
        for player in players:
            player.check(count)
        return took / len(work) / 1e3


def open_and_seal(count: int) -> float:
    """
    Measure what the library alone takes to open a record of that size and to
    seal one.

    @return: microseconds of CPU for both.
    """
    aead = AESGCM(bytes(16))
    nonce, header, plaintext = bytes(12), bytes(4), bytes(PAYLOAD_SIZE)
    sealed = aead.encrypt(nonce, plaintext, header)
    begin = time.thread_time_ns()
    for _ in range(count):
        aead.decrypt(nonce, sealed, header)
        aead.encrypt(nonce, plaintext, header)
    return (time.thread_time_ns() - begin) / count / 1e3
