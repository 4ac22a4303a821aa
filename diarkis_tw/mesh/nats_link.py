"""
The connection to NATS, in a thread of its own.

The NATS client needs asyncio, whose reactor costs the game path too much, so its
event loop runs beside the reactor. Between the two threads there is a bounded
queue each way, and at most one wake-up of the other thread is under way at a
time, however many frames there are.

Rules:

  - It connects for ever: one server after the other, with a pause that grows to
    C{PAUSE_MOST} after each full round of failures. One line in the log says that
    it is gone and why, one that it is back.
  - What finds no room is dropped and counted, never waited for: frames of nodes
    may be lost as datagrams may.
  - Without a connection nothing is queued: what a node says then is old when the
    connection comes back.
  - All callbacks run in the reactor's thread.
"""

import asyncio
import random
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.mesh.credentials import Credentials
from diarkis_tw.mesh.envelope import FRAME_MAX
from diarkis_tw.mesh.nats_client import DaemonThreads, StrictClient
from diarkis_tw.units import Seconds

QUEUE_FRAMES: Final = 16_384
"""Frames that wait, each way. A bound for a reactor that is busy with something else: 3 s
of the arrivals of 50 nodes with 100 players a second each, and 0.2 s of the fastest that
one connection brings (90,000 small frames a second, measured). To handle that many
small ones takes about 0.15 s."""

QUEUE_BYTES: Final = 16 * 1024 * 1024
"""Bytes that wait, each way: a bound of memory, and 32 of the largest frames."""

BATCH: Final = 64
"""Frames handled in one go before the reactor looks at players again: 0.6 ms of arrivals,
2 ms of messages of 10 KB (measured)."""

BATCH_BYTES: Final = 1024 * 1024
"""Bytes after which that is enough: 2 ms of large frames, whose MAC takes the time."""

PAUSE_FIRST: Final[Seconds] = 0.1
PAUSE_MOST: Final[Seconds] = 2.0
"""Longest pause between two rounds of attempts, half to once as long by chance, so
that nodes do not come back all at once."""

CONNECT_TIMEOUT: Final[Seconds] = 2.0
"""For one server."""

PING: Final[Seconds] = 2.0
"""Period in which the broker is asked for a sign of life; two may be unanswered."""

ROOM_TIMEOUT: Final[Seconds] = 1.0
"""How long a frame waits for room in the connection before it is looked whether that is
still there."""

CAN_WAIT: Final = "wait"
"""The reply subject of frames that can wait. Waking the reactor for one costs more than
handling it, and of fifty nodes fifty heartbeats come each second."""

STOP_TIMEOUT: Final[Seconds] = 2.0
"""How long the end may take, last frames included."""


@dataclass(frozen=True, slots=True)
class Broker:
    """
    How the broker is reached.

    @ivar servers: URLs, C{nats://} or C{tls://}.
    @ivar credentials: the NATS user; L{None} = none, or as in the URLs.
    @ivar tls: what TLS connections are made with; L{None} = the system's.
    """

    servers: Sequence[str] = field(repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


class Link(Protocol):
    """
    What a mesh needs of its connection.
    """

    @property
    def is_up(self) -> bool:
        """
        Whether there is a connection at present.
        """

    def start(
        self,
        subjects: Sequence[str],
        received: Callable[[bytes], None],
        changed: Callable[[bool], None],
    ) -> None:
        """
        Connect, and listen to C{subjects}.

        @param received: called with each frame.
        @param changed: called with whether there is a connection now.
        """

    def publish(self, subject: str, frame: bytes, can_wait: bool = False) -> bool:
        """
        Send a frame.

        @param can_wait: whoever gets it need not handle it before it looks, or before
            something comes that cannot wait.
        @return: False if it was dropped.
        """

    def look(self) -> None:
        """
        Handle what could wait.
        """

    def stop(self) -> "Deferred[None]":
        """
        Send what waits, and end.

        @return: fires when that is done, within C{STOP_TIMEOUT} if the system lets it.
        """


class NatsLink:
    """
    A L{Link} over NATS.

    @ivar dropped_out: frames that found no connection or no room.
    @ivar dropped_in: frames that came faster than the node handles them, or too
        large.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFromThreads, broker: Broker) -> None:
        self.dropped_out = 0
        self.dropped_in = 0
        self._reactor = reactor
        self._broker = broker
        self._up = False
        self._told_gone = False
        self._stopped = False
        self._ended: Deferred[None] = Deferred()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._out = _Queue()
        self._in = _Queue()
        # of the thread alone
        self._wake: asyncio.Event | None = None
        self._stopping = False

    @property
    def is_up(self) -> bool:
        return self._up

    # In the reactor's thread

    def start(
        self,
        subjects: Sequence[str],
        received: Callable[[bytes], None],
        changed: Callable[[bool], None],
    ) -> None:
        self._received = received
        self._changed = changed
        loop = self._loop = asyncio.new_event_loop()
        # A daemon, so that a broker that hangs does not hold the process.
        self._thread = threading.Thread(
            target=self._run, args=(loop, tuple(subjects)), name="mesh", daemon=True
        )
        self._thread.start()

    def publish(self, subject: str, frame: bytes, can_wait: bool = False) -> bool:
        if not self._up or not self._out.put(subject, frame, CAN_WAIT if can_wait else ""):
            self.dropped_out += 1
            return False
        if not self._out.woken:
            self._out.woken = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._wake_up)
        return True

    def look(self) -> None:
        if self._in and not self._in.woken:
            self._drain()

    def stop(self) -> Deferred[None]:
        """
        Send what waits, and end the thread, which nobody waits for meanwhile.
        """
        if not self._stopped:
            self._stopped = True
            self._up = False
            if self._loop is None:
                self._ended.callback(None)
            else:
                with suppress(RuntimeError):  # it has ended already
                    self._loop.call_soon_threadsafe(self._stop)
        done: Deferred[None] = Deferred()

        def tell(ignored: None) -> None:
            if not done.called:
                done.callback(None)

        self._ended.addCallback(tell)
        return done

    def _drain(self) -> None:
        """
        Handle what came.
        """
        self._in.woken = False
        size = 0
        for _ in range(BATCH):
            item = self._in.take()
            if item is None or self._stopped:
                return
            size += len(item[1])
            try:
                self._received(item[1])
            except Exception:
                self.log.failure("a message of another node failed")
            if size >= BATCH_BYTES:
                break
        if not self._in.woken:
            self._in.woken = True
            self._reactor.callFromThread(self._drain)

    def _connected(self, server: str) -> None:
        if self._stopped:
            return
        self.log.info("mesh: connected to {server}", server=server)
        self._up, self._told_gone = True, False
        self._changed(True)

    def _gone(self, reason: str) -> None:
        if self._stopped:
            return
        if not self._told_gone:
            self._told_gone = True
            self.log.warn(
                "mesh: no NATS server is reached ({reason}); trying again until one is. Players "
                "who are here stay, other nodes are out of reach.",
                reason=reason,
            )
        if self._up:
            self._up = False
            self._changed(False)

    def _died(self, failure: Failure) -> None:
        """
        The thread has ended by a fault of this program.
        """
        self.log.failure(
            "mesh: this node does not look for NATS servers any more; restart it. Players who are "
            "here stay, other nodes are out of reach.",
            failure,
        )
        if self._up:
            self._up = False
            self._changed(False)

    # In the thread

    def _run(self, loop: asyncio.AbstractEventLoop, subjects: tuple[str, ...]) -> None:
        asyncio.set_event_loop(loop)
        loop.set_default_executor(DaemonThreads())
        try:
            loop.run_until_complete(self._stay_connected(subjects))
        except Exception:
            self._reactor.callFromThread(self._died, Failure())
        finally:
            loop.close()
            self._reactor.callFromThread(self._ended.callback, None)

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def _stop(self) -> None:
        self._stopping = True
        self._wake_up()

    async def _stay_connected(self, subjects: tuple[str, ...]) -> None:
        self._wake = asyncio.Event()
        servers = random.sample(self._broker.servers, len(self._broker.servers))
        pause = PAUSE_FIRST
        while not self._stopping:
            reasons = []
            for server in servers:
                if self._stopping:
                    return
                connected = monotonic()
                reason = await self._connection(server, subjects)
                reasons.append(f"{_shown(server)}: {reason}")
                self._reactor.callFromThread(self._gone, "; ".join(reasons))
                if monotonic() - connected > CONNECT_TIMEOUT:
                    pause = PAUSE_FIRST
            try:
                self._wake.clear()
                # Not for cryptography.
                await asyncio.wait_for(self._wake.wait(), pause * random.uniform(0.5, 1))  # noqa: S311
            except TimeoutError:
                pause = min(2 * pause, PAUSE_MOST)

    async def _connection(self, server: str, subjects: tuple[str, ...]) -> str:
        """
        Have one connection for as long as it lasts.

        @return: why it has ended.
        """
        client = StrictClient(self._broker.tls is not None or server.startswith("tls:"))
        errors: list[Exception] = []
        ended = asyncio.Event()

        async def failed(error: Exception) -> None:
            del errors[:-1]
            errors.append(error)

        async def closed() -> None:
            ended.set()
            self._wake_up()

        options: dict[str, Any] = {}
        if self._broker.credentials is not None:
            options["user_jwt_cb"] = self._broker.credentials.jwt
            options["signature_cb"] = self._broker.credentials.sign
            # nats/aio/client.py, nats-py 2.16: it asks the two only if there is a user.
            options["user"] = "from the credentials"
        if self._broker.tls is not None:
            options["tls"] = self._broker.tls
        try:
            await asyncio.wait_for(
                client.connect(
                    server,
                    allow_reconnect=False,
                    connect_timeout=int(CONNECT_TIMEOUT),
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    ping_interval=int(PING),
                    flush_timeout=ROOM_TIMEOUT,
                    no_echo=True,
                    error_cb=failed,
                    closed_cb=closed,
                    **options,
                ),
                2 * CONNECT_TIMEOUT,
            )
            for subject in subjects:
                await client.subscribe(subject, cb=self._take)
            await client.flush(int(CONNECT_TIMEOUT))
            self._reactor.callFromThread(self._connected, _shown(server))
            await self._write(client, ended)
            if not ended.is_set():
                await asyncio.wait_for(client.flush(1), STOP_TIMEOUT / 2)
            return _sentence(errors[-1]) if errors else "the connection was closed"
        except Exception as error:  # whatever it is, the next attempt is the answer
            return _sentence(errors[-1] if errors else error)
        finally:
            self._out.clear()
            try:
                await asyncio.wait_for(client.close(), STOP_TIMEOUT / 2)
            except Exception as error:
                client.abort()
                await failed(error)

    async def _write(self, client: Client, ended: asyncio.Event) -> None:
        assert self._wake is not None
        while True:
            self._wake.clear()
            self._out.woken = False
            while not ended.is_set() and (item := self._out.take()) is not None:
                await client.publish(*item)
            if ended.is_set() or self._stopping:
                return
            await self._wake.wait()

    async def _take(self, message: Msg) -> None:
        if len(message.data) > FRAME_MAX or not self._in.put(message.subject, message.data):
            self.dropped_in += 1
            return
        if not self._in.woken and message.reply != CAN_WAIT:
            self._in.woken = True
            self._reactor.callFromThread(self._drain)


class _Queue:
    """
    Frames from one thread to another, without a lock: each end is used by one
    thread, and a deque's own operations are atomic.

    @ivar woken: whether a wake-up of the taker is under way. The giver sets it after
        putting, the taker resets it before taking: so nothing stays.
    """

    def __init__(self) -> None:
        self.woken = False
        self._items: deque[tuple[str, bytes, str]] = deque()
        # Two counters, as two threads must not write one.
        self._put = 0
        self._taken = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, subject: str, frame: bytes, reply: str = "") -> bool:
        if len(self._items) >= QUEUE_FRAMES:
            return False
        if self._put - self._taken + len(frame) > QUEUE_BYTES:
            return False
        self._put += len(frame)
        self._items.append((subject, frame, reply))
        return True

    def take(self) -> tuple[str, bytes, str] | None:
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        self._taken += len(item[1])
        return item

    def clear(self) -> None:
        while self.take() is not None:
            pass


def _shown(server: str) -> str:
    """
    A URL without the password that may be in it.
    """
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
