"""
What survives a cut: two ends that count, and what they may conclude.

Rules that a run checks:

  - What one end sends arrives in order, and never twice.
  - What is missing is the end of what was sent over one connection, and only of one
    that was cut: it was in flight, or sent before the loss was noticed.
  - What was sent while there was no connection belongs to the next one.
  - A request is answered with what it asked, or fails with L{RequestTimeout}; it
    does so only if it, or its answer, could be among what is missing, or if there
    was no connection in time. Then it never runs.
  - The user on the server stays the same, with its data, and nobody is told that it
    left.
"""

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from diarkis_tw.client import Client, ClientState, Endpoint, ask_endpoint, http_client
from diarkis_tw.client.transport import Transport
from diarkis_tw.constants import ServerType
from diarkis_tw.errors import RequestTimeout
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor

URL = "http://127.0.0.1:7000"
PORT = 7300
UID = "alice"
SIZES = (0, 0, 1, 20, 200, 1500)
"""Of what a message holds besides its number, in bytes."""


class Direction:
    """
    Numbered messages from one end to the other.

    @ivar lost: how many did not arrive, in all that was looked at.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._next = 0
        self._arrived: list[int] = []
        self._connections: list[list[int]] = [[]]
        self._kept: list[int] = []

    def number(self, is_connected: bool) -> int:
        """
        Count one more message.

        @param is_connected: as far as its sender knows.
        @return: its number.
        """
        self._next += 1
        (self._connections[-1] if is_connected else self._kept).append(self._next)
        return self._next

    def withdraw(self, number: int) -> bool:
        """
        Forget a message that was kept.

        @return: whether it was.
        """
        if number not in self._kept:
            return False
        self._kept.remove(number)
        return True

    def arrived(self, payload: bytes) -> None:
        """
        A message came.
        """
        self._arrived.append(int(payload.split()[0]))

    def resumed(self) -> None:
        """
        There is a new connection, over which what was kept has been sent.
        """
        self._connections.append(self._kept)
        self._kept = []

    def settle(self) -> str:
        """
        Look at everything so far, and forget it. Nothing is on its way.

        @return: which rule was broken, empty if none.
        """
        arrived, connections = self._arrived, self._connections
        self._arrived, self._connections = [], [[]]
        came = set(arrived)
        expected: list[int] = []
        for sent in connections:
            count = len(came.intersection(sent))
            expected += sent[:count]
            self.lost += len(sent) - count
        if arrived != expected:
            return f"{arrived} instead of {expected}, of {connections}"
        if not came.issuperset(connections[-1]):
            return f"{set(connections[-1]) - came} did not arrive though nothing was cut"
        return "kept for ever" if self._kept else ""


class CutRun:
    """
    A server, and one client that talks with it while its connection is cut.

    @ivar up: from the client.
    @ivar down: from the server.
    @ivar events: of the client.
    @ivar left: calls of C{on_disconnect}.
    @ivar answered: numbers of requests that were.
    @ivar given_up: numbers of requests that timed out.
    @ivar asked: numbers of all requests.
    @ivar doubtful: those whose connection was cut before they were answered.
    @ivar is_dark: nothing arrives, though nobody need have noticed yet.
    @ivar wrong: what no rule allows.
    """

    def __init__(self, seed: int, kind: ServerType, **settings: object) -> None:
        self.random = random.Random(seed)
        self.kind = kind
        self.reactor = LoopbackUdpReactor()
        self.up, self.down = Direction(), Direction()
        self.events: list[object] = []
        self.left: list[str] = []
        self.answered: set[int] = set()
        self.given_up: set[int] = set()
        self.asked: set[int] = set()
        self.doubtful: set[int] = set()
        self.is_dark = False
        self.wrong: list[object] = []
        self.server = Server(self.reactor)
        setup = {
            ServerType.TCP: self.server.setup_as_tcp_server,
            ServerType.WS: self.server.setup_as_websocket_server,
            ServerType.UDP: self.server.setup_as_udp_server,
        }
        setup[kind]({"port": PORT, **settings})
        self.server.setup_as_http_server({"port": 7000})
        self.server.handle_command(2, 10, self._heard)
        self.server.on_disconnect(lambda sid, user: self.left.append(user.uid))
        self.server.users.on_connect(lambda user: self.down.resumed())
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()

    def connect(self, make: Callable[[LoopbackUdpReactor, LoopbackUdpReactor], Transport]) -> None:
        """
        Let the client come.

        @param make: makes a transport for a reactor and a clock.
        """
        asking = ask_endpoint(http_client(self.reactor), self.reactor, URL, UID, self.kind)
        endpoints: list[Endpoint] = []
        Deferred.fromCoroutine(asking).addCallback(endpoints.append)
        self.reactor.advance(1)
        self.client = Client(
            endpoints[0],
            UID,
            clock=self.reactor,
            make_transport=lambda kind: make(self.reactor, self.reactor),
            jitter=self.random.random,
        )
        self.client.on_push(2, 20, self._pushed)
        self.client.on_reconnecting(self._lost)
        self.client.on_reconnected(self._resumed)
        self.client.on_disconnected(self.events.append)
        self.client.open()
        self.reactor.advance(1)
        found = self.server.users.find_uid(UID)
        assert found is not None
        self.user = found
        self.user.set("score", 7)

    def settle(self) -> None:
        """
        Check the rules, now that nothing is on its way.
        """
        for name, direction in (("up", self.up), ("down", self.down)):
            broken = direction.settle()
            if broken:
                self.wrong.append(f"{name}: {broken}")
        if self.client.state is not ClientState.CONNECTED:
            self.wrong.append(f"the client is {self.client.state}")
        if self.events != ["reconnecting", "reconnected"] * (len(self.events) // 2):
            self.wrong.append(f"the client reported {self.events}")
        self.events.clear()
        if self.server.users.find_uid(UID) is not self.user or self.user.data != {"score": 7}:
            self.wrong.append("the user did not stay")
        self.wrong += self.left

    def finish(self) -> None:
        """
        Let the requests end, check them, and let the client leave.
        """
        self.reactor.advance(31)
        if self.asked != self.answered | self.given_up or not self.given_up <= self.doubtful:
            unended = self.asked - self.answered - self.given_up
            self.wrong.append(f"no answer to {unended}, and to {self.given_up - self.doubtful}")
        self.settle()
        self.client.close()
        self.reactor.advance(5)
        if self.left != [UID] or self.server.users.ccu():
            self.wrong.append(f"left: {self.left}")

    def stop(self) -> None:
        """
        Stop the server.
        """
        self.service.stopService()
        self.reactor.advance(40)

    # Talking

    def talk(self) -> None:
        """
        Let each end say something, perhaps.
        """
        chance = self.random.random
        for _ in range(self.random.randrange(4)):
            if chance() < 0.5:
                self.push()
            elif chance() < 0.5:
                self.command()
            else:
                self.request()

    def push(self) -> None:
        """
        Say something from the server.
        """
        # Looked at before, because a connection may end while it is written to.
        number = self.down.number(self.user.connection is not None)
        if not self.user.server_push(2, 20, self._payload(number)):
            self.wrong.append(f"push {number} was refused")

    def command(self) -> None:
        """
        Say something from the client, with no answer wanted.
        """
        number = self.up.number(self.client.state is ClientState.CONNECTED)
        if not self.client.send(2, 10, self._payload(number)):
            self.wrong.append(f"command {number} was refused")

    def request(self) -> None:
        """
        Ask something.
        """
        number = self.up.number(self.client.state is ClientState.CONNECTED)
        self.asked.add(number)
        asking = self.client.request(2, 10, self._payload(number), self.random.choice((5, 30)))
        asking.addCallbacks(self._answered, self._failed, (number,), None, (number,))

    # What comes

    def _payload(self, number: int) -> bytes:
        return b"%d " % number + b"x" * self.random.choice(SIZES)

    def _heard(self, ver: int, cmd: int, payload: bytes, user: object) -> bytes | Deferred[bytes]:
        self.up.arrived(payload)
        if user is not self.user:
            self.wrong.append("another user")
        if self.random.random() < 0.2:
            # The next ones wait in the user's queue, across connections too.
            return deferLater(self.reactor, 0.03, lambda: payload)
        return payload

    def _pushed(self, payload: bytes) -> None:
        self.down.arrived(payload)

    def _answered(self, payload: bytes, number: int) -> None:
        self.answered.add(number)
        if int(payload.split()[0]) != number:
            self.wrong.append(f"request {number} got {payload[:10]!r}")

    def _failed(self, failure: Failure, number: int) -> None:
        if failure.check(RequestTimeout):
            self.given_up.add(number)
            if self.up.withdraw(number) or self.is_dark:
                self.doubtful.add(number)
        else:
            self.wrong.append(f"request {number}: {failure}")

    def _lost(self) -> None:
        self.events.append("reconnecting")
        self.doubtful |= self.asked - self.answered - self.given_up

    def _resumed(self) -> None:
        self.events.append("reconnected")
        self.up.resumed()
