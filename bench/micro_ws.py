"""
The WebSocket server's own part of an echo, without sockets, and that of bare
Autobahn: from one frame given to C{dataReceived} to the answer's C{transport.write}.
And one push to many who speak JSON.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from cProfile import Profile
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

from bench.floor import autobahn
from bench.session import PAYLOAD_SIZE
from bench.web_socket import WebSocketSession, auth, frame, messages, upgrade
from bench.ws import FIRST_ID, RECORD_SIZE, VALUE, JsonSession
from diarkis_tw import demo
from diarkis_tw.config.settings import NodeSettings, Settings, WsSettings
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import User
from diarkis_tw.server import Server
from diarkis_tw.transports.ws import WsServer
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.json_message import encode_json_request
from diarkis_tw.wire.websocket import (
    BINARY_SUBPROTOCOL,
    FRAME_BINARY,
    FRAME_TEXT,
    JSON_SUBPROTOCOL,
    split_ws_record,
)


class Wire(StringTransport):
    """
    A transport that is always ready.

    @ivar written: what the server sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.write = self.written.append  # type: ignore[method-assign]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        There is no delay.
        """

    def take(self) -> list[bytes]:
        """
        The messages that were sent.
        """
        taken = b"".join(self.written).rpartition(b"\r\n\r\n")[2]
        self.written.clear()
        return list(messages(taken))


class WsPlayer:
    """
    One connection.

    @ivar receive: its C{dataReceived}.
    @ivar echo: makes the next request.
    """

    def __init__(self, protocol: Protocol, subprotocol: str | None) -> None:
        self.wire = Wire()
        self.receive: Callable[[bytes], None] = protocol.dataReceived
        protocol.makeConnection(self.wire)
        self.receive(upgrade(subprotocol))

    def echo(self) -> bytes:
        """
        Make the next request.
        """
        raise NotImplementedError

    def check(self, answers: list[bytes]) -> None:
        """
        Look at answers to what was sent.
        """
        raise NotImplementedError


class BarePlayer(WsPlayer):
    """
    A connection of bare Autobahn.
    """

    def __init__(self, protocol: Protocol, first: int, payload: bytes) -> None:
        super().__init__(protocol, None)
        self.wire.take()
        self._payload = payload
        self._request = frame(first, payload)

    def echo(self) -> bytes:
        return self._request

    def check(self, answers: list[bytes]) -> None:
        if any(answer != self._payload for answer in answers):
            raise RuntimeError("an echo is wrong")


class JsonPlayer(WsPlayer):
    """
    A user who speaks JSON.
    """

    def __init__(self, protocol: Protocol, user: User) -> None:
        super().__init__(protocol, JSON_SUBPROTOCOL)
        self.receive(auth(user.keys, *self.wire.take()))
        self.wire.take()
        self._session = JsonSession()
        self.echo = self._session.echo  # type: ignore[method-assign]

    def check(self, answers: list[bytes]) -> None:
        for answer in answers:
            self._session.check(answer)


class BinaryPlayer(WsPlayer):
    """
    A user with sealed records.
    """

    def __init__(self, protocol: Protocol, user: User, ciphers: AeadCache) -> None:
        super().__init__(protocol, BINARY_SUBPROTOCOL)
        session = self._session = WebSocketSession(user.keys, os.urandom(PAYLOAD_SIZE), ciphers)
        self.wire.take()
        self.receive(frame(FRAME_BINARY, session.hello()))
        session.accept(split_ws_record(*self.wire.take())[2])
        self.receive(frame(FRAME_BINARY, session.keep_alive()))
        session.opened(*split_ws_record(*self.wire.take())[1:])

    def echo(self) -> bytes:
        return frame(FRAME_BINARY, self._session.echo())

    def check(self, answers: list[bytes]) -> None:
        for answer in answers:
            self._session.check(*split_ws_record(answer)[1:])


class WsEchoServer:
    """
    A server in this process.

    @ivar players: who is connected.
    """

    players: Sequence[WsPlayer]

    def echoes(self, count: int, profile: Profile | None = None) -> float:
        """
        Run echoes, the players in turn, and check the answers.

        @param count: of each player.
        @return: microseconds of CPU for each.
        """
        players = self.players
        work = [(player.receive, player.echo()) for _ in range(count) for player in players]
        with profile or nullcontext():
            begin = time.thread_time_ns()
            for receive, request in work:
                receive(request)
            took = time.thread_time_ns() - begin
        for player in players:
            answers = player.wire.take()
            if len(answers) != count:
                raise RuntimeError(f"{len(answers)} answers to {count} requests")
            player.check(answers)
        return took / len(work) / 1e3


class BareServer(WsEchoServer):
    """
    Bare Autobahn, with messages of the same size.
    """

    def __init__(self, players: int, binary: bool) -> None:
        factory = autobahn()
        factory.setProtocolOptions(openHandshakeTimeout=0)
        first, payload = FRAME_TEXT, encode_json_request(2, 10, FIRST_ID, VALUE)
        if binary:
            first, payload = FRAME_BINARY, os.urandom(RECORD_SIZE)
        self.players = [
            BarePlayer(cast(Protocol, factory.buildProtocol(_address(n))), first, payload)
            for n in range(players)
        ]


class GameServer(WsEchoServer):
    """
    The real server with the demo.
    """

    def __init__(self, players: int, binary: bool) -> None:
        reactor = MemoryReactorClock()
        settings = Settings(ws=WsSettings(), node=NodeSettings(max_command_rate=0))
        server = Server(cast(IReactorTime, reactor), settings)
        demo.setup(server)
        server.service().startService()
        factory = cast(WsServer, reactor.tcpServers[0][1])
        ciphers = AeadCache(2 * players + 2)
        self._users = []
        self.players = []
        for n in range(players):
            user = server.users.create(f"{n}", "WS", {})
            protocol = cast(Protocol, factory.buildProtocol(_address(n)))
            self._users.append(user)
            if binary:
                self.players.append(BinaryPlayer(protocol, user, ciphers))
            else:
                self.players.append(JsonPlayer(protocol, user))

    def pushes(self, count: int, once: bool) -> float:
        """
        Send one push to all, C{count} times.

        @param once: it is encoded once for all, else for each of them.
        @return: microseconds of CPU for each receiver.
        """
        users = self._users
        begin = time.thread_time_ns()
        for _ in range(count):
            encoded = Encoded(2, 20, VALUE)
            for user in users:
                user.send(encoded if once else Encoded(2, 20, VALUE), True)
        took = time.thread_time_ns() - begin
        for player in self.players:
            if len(player.wire.take()) != count:
                raise RuntimeError("a push is missing")
        return took / count / len(users) / 1e3


def _address(number: int) -> IPv4Address:
    return IPv4Address("TCP", f"10.0.{number // 250}.{number % 250}", 1)
