"""
A player whose network gives it a new address again and again, over real
sockets.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase

from diarkis_tw.client import connect_to, parse_endpoint
from diarkis_tw.client.endpoint import http_client
from diarkis_tw.server import Server, User

LOSS = 0.1
MOVE_EVERY = 1.1
"""Seconds; the server allows one move a second."""

SECONDS = 4.5
RATE = 30


class Outside(DatagramProtocol):
    """
    One port of the NAT towards the server.
    """

    def __init__(self, nat: "Nat") -> None:
        self.nat = nat

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.nat.to_client(self, datagram)


class Nat(DatagramProtocol):
    """
    Forwards between one client and the server, loses some of it, and changes
    the port that the server sees.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.random = random.Random(1)
        self.client: tuple[str, int] | None = None
        self.ports: list[IListeningPort] = []
        self.outside: Outside | None = None

    def move(self) -> None:
        """
        Take another port; what still comes to the old one is lost.
        """
        self.outside = Outside(self)
        self.ports.append(reactor.listenUDP(0, self.outside, "127.0.0.1"))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.client = addr
        if self.random.random() >= LOSS:
            self.outside.transport.write(datagram, self.server)

    def to_client(self, outside: Outside, datagram: bytes) -> None:
        """
        What the server sends, if it sends it to the present port.
        """
        if outside is self.outside and self.random.random() >= LOSS and self.client is not None:
            self.transport.write(datagram, self.client)

    @contextmanager
    def running(self) -> Iterator[int]:
        """
        Forward, and move again and again; gives the port for the client.
        """
        inside = reactor.listenUDP(0, self, "127.0.0.1")
        self.ports.append(inside)
        moving = LoopingCall(self.move)
        moving.start(MOVE_EVERY)
        try:
            yield inside.getHost().port
        finally:
            moving.stop()
            for port in self.ports:
                port.stopListening()


class RebindingTests(TestCase):
    """
    A client whose port changes every second, under loss.
    """

    timeout = 30

    async def test_nothing_reliable_is_lost(self) -> None:
        """
        Every reliable message arrives once and in order, both ways, on one session.
        """
        sent: list[bytes] = []
        heard: list[bytes] = []
        pushed: list[bytes] = []
        addresses: set[str | None] = set()
        events: list[str] = []

        def hear(ver: int, cmd: int, payload: bytes, user: User) -> None:
            heard.append(payload)
            addresses.add(user.address)
            user.server_push(2, 11, payload)

        server = Server(reactor)
        server.setup_as_udp_server({"port": 0})
        server.setup_as_http_server({"port": 0})
        server.handle_command(2, 10, hear)
        service = server.service()
        service.startService()
        self.addCleanup(service.stopService)

        host, port = server.bound_addresses()["HTTP"]
        url = f"http://{host}:{port}/endpoint/type/UDP/user/mobile"
        answer = await http_client(reactor).get(url)
        endpoint = parse_endpoint(await answer.content())
        nat = Nat(server.bound_addresses()["UDP"])
        with nat.running() as inside:
            client = await connect_to(replace(endpoint, port=inside), "mobile", reactor=reactor)
            client.on_push(2, 11, pushed.append)
            client.on_reconnecting(lambda: events.append("reconnecting"))
            client.on_disconnected(lambda code: events.append(code.name))

            def speak() -> None:
                message = b"%d" % len(sent)
                if client.send(2, 10, message):
                    sent.append(message)

            speaking = LoopingCall(speak)
            speaking.start(1 / RATE)
            await deferLater(reactor, SECONDS)
            speaking.stop()
            await self.until(lambda: len(pushed) >= len(sent))
            await client.close()
        self.assertGreater(len(sent), RATE * (SECONDS - 1))
        self.assertEqual(heard, sent)
        self.assertEqual(pushed, sent)
        self.assertGreaterEqual(len(addresses), 4)
        self.assertEqual(events, ["NORMAL"])

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait for the other side, a bounded time.
        """
        for _ in range(200):
            if condition():
                return
            await deferLater(reactor, 0.02)
