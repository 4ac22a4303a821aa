"""
The core of a node on a clock that stands still, and clients without a network.
"""

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode, ServerType, Status
from diarkis_tw.core.dispatch import Dispatcher
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.node import Node
from diarkis_tw.core.rate import RateLimit
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.request import Request, TextRequest
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.units import Seconds
from diarkis_tw.wire.json_message import decode_json_server_message
from diarkis_tw.wire.message import Push, Response, decode_server_message
from diarkis_tw.wire.value import decode_error

VER = 2
CMD = 10
TTL: Seconds = 10.0
STEP: Seconds = 0.25
"""How finely time passes: below each period of the core, and exact in binary."""


class GameFault(Exception):
    """
    A bug of the application.
    """


def counted_bytes() -> Callable[[int], bytes]:
    """
    A source of at most 32 "random" bytes a call, the same in each run.
    """
    calls = 0

    def random_bytes(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return sha256(b"%d" % calls).digest()[:count]

    return random_bytes


class FakeConnection:
    """
    A L{diarkis_tw.core.connection.Connection} that remembers what was sent and
    behaves as a stream transport does.

    @ivar sent: messages in order, as a client reads them.
    @ivar reliable: for each of them, whether it was sent reliably.
    @ivar closed: the code it was closed with, if it was.
    @ivar resumed: how often C{resume_reading} was called.
    @ivar accepts: what C{send} returns.
    @ivar text: it speaks JSON.
    @ivar unread: commands that C{read} has yet to hand over.
    """

    def __init__(self, users: Users, user: User, ttl: Seconds = TTL) -> None:
        self.heard = False
        self.last_heard: Seconds = 0.0
        self.ttl = ttl
        self.full_since: Seconds | None = None
        self.sent: list[Response | Push] = []
        self.reliable: list[bool] = []
        self.closed: list[CloseCode] = []
        self.resumed = 0
        self.accepts = True
        self.text = False
        self.unread: deque[tuple[int, bytes]] = deque()
        self._users = users
        self._user = user
        self._held = False
        self._ended = False

    @property
    def type(self) -> ServerType:
        return ServerType.TCP

    @property
    def address(self) -> str:
        return "192.0.2.1:40000"

    @property
    def queued(self) -> int:
        return 0

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        if self.text:
            message = decode_json_server_message(encoded.json)
        else:
            message = decode_server_message(encoded.binary)
        if self.accepts:
            self.sent.append(message)
            self.reliable.append(reliable)
        return self.accepts

    def close(self, code: CloseCode) -> None:
        if not self._ended:
            self.closed.append(code)
            self.drop(code)

    def resume_reading(self) -> None:
        self.resumed += 1
        self._held = False
        self._read()

    def drop(self, code: CloseCode | None = None) -> None:
        """
        The connection ends; L{None} = the socket was lost.
        """
        if not self._ended:
            self._ended = True
            self._users.lost(self._user, self, code)

    def command(
        self,
        payload: Body = b"",
        id: int = 0,
        *,
        ver: int = VER,
        cmd: int = CMD,
        reliable: bool = True,
    ) -> bool:
        """
        The client sends a command.

        @return: whether it may be read on.
        """
        self.heard = True
        kind = TextRequest if self.text else Request
        return self._user.inbox.receive(ver, cmd, id, payload, reliable, kind)

    def stream(self, commands: Iterable[tuple[int, bytes]]) -> None:
        """
        The client sends commands (id and payload), as fast as it is read.
        """
        self.unread.extend(commands)
        self._read()

    def answers(self) -> list[tuple[int, Status, bytes]]:
        """
        Id, status and payload of every response.
        """
        return [
            (message.request_id, message.status, message.payload)
            for message in self.sent
            if isinstance(message, Response)
        ]

    def errors(self) -> list[tuple[int, Status, int, str]]:
        """
        Id, status, code and sentence of every response that is an error.
        """
        return [
            (id, status, *decode_error(payload))
            for id, status, payload in self.answers()
            if status is not Status.OK
        ]

    def pushes(self) -> list[Push]:
        """
        Every push.
        """
        return [message for message in self.sent if isinstance(message, Push)]

    def _read(self) -> None:
        while self.unread and not self._held and not self._ended:
            id, payload = self.unread.popleft()
            if not self.command(payload, id):
                self._held = True


class CoreNode:
    """
    The core of one node, wired as the server does it.

    @ivar left: the uids that C{on_disconnect} was told of, in order.
    """

    def __init__(
        self,
        *,
        grace: Seconds = 10.0,
        rate: float = 0.0,
        clock: Clock | None = None,
        mesh: Mesh | None = None,
        random_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.random_bytes = random_bytes or counted_bytes()
        self.registry = CommandRegistry()
        self.mesh: Mesh = mesh or LocalMesh(self.clock)
        self.node = Node()
        self.dispatcher = Dispatcher(self.registry, self.clock, RateLimit(self.clock, rate))
        self.users = Users(self.clock, self.mesh, self.dispatcher, self.random_bytes, grace)
        self.left: list[str] = []
        self.users.on_disconnect(lambda sid, user: self.left.append(user.uid))

    def start(self) -> None:
        """
        No more handlers; users may come.
        """
        self.registry.freeze()
        self.users.start()
        self.node.ready()

    def create(self, uid: str = "alice") -> User:
        """
        The endpoint API makes a user.
        """
        return self.users.create(uid, "TCP", {})

    def connection(self, user: User, ttl: Seconds = TTL) -> FakeConnection:
        """
        A connection of C{user} with its first authentic packet.
        """
        connection = FakeConnection(self.users, user, ttl)
        if not self.users.confirm(user, connection):
            connection.close(CloseCode.UNKNOWN)
        return connection

    def connect(self, uid: str = "alice", ttl: Seconds = TTL) -> tuple[User, FakeConnection]:
        """
        A new user who has come.
        """
        user = self.create(uid)
        return user, self.connection(user, ttl)

    def pass_time(self, duration: Seconds, *alive: FakeConnection) -> None:
        """
        Let time pass in small steps; C{alive} connections hear something in each.
        """
        for _ in range(round(duration / STEP)):
            for connection in alive:
                connection.heard = True
            self.clock.advance(STEP)


class CoreTestCase(SynchronousTestCase):
    """
    A test of the core of a node.
    """

    def setUp(self) -> None:
        self.core = CoreNode()

    def serve(
        self, *handlers: Callable[..., object], uid: str = "alice"
    ) -> tuple[User, FakeConnection]:
        """
        Start with these handlers of the one command there is, and one user.
        """
        for handler in handlers:
            self.core.registry.handle(VER, CMD, handler)
        self.core.start()
        return self.core.connect(uid)

    def log_events(self) -> list[LogEvent]:
        """
        A list to which everything that is logged from now on is added.
        """
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def logged(self, *errors: type[BaseException]) -> list[BaseException]:
        """
        The logged failures of these kinds, which then do not fail the test.
        """
        return [failure.value for failure in self.flushLoggedErrors(*errors)]
