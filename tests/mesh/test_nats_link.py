"""
Tests of L{diarkis_tw.mesh.nats_link}, against a real NATS server.
"""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nats
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from diarkis_tw.mesh import nats_link
from diarkis_tw.mesh.credentials import Credentials
from diarkis_tw.mesh.envelope import FRAME_MAX
from diarkis_tw.mesh.nats_link import (
    BATCH,
    BATCH_BYTES,
    CAN_WAIT,
    PING,
    QUEUE_BYTES,
    QUEUE_FRAMES,
    STOP_TIMEOUT,
    Broker,
    NatsLink,
)
from tests.mesh.nats_account import Account
from tests.mesh.nats_server import NatsServer, free_port

NAME_SERVER_IS_SILENT = """
import socket, time
socket.getaddrinfo = lambda *args, **options: time.sleep(60)
from twisted.internet import reactor
from diarkis_tw.mesh.nats_link import Broker, NatsLink
link = NatsLink(reactor, Broker(("nats://broker.example:4222",)))
reactor.callWhenRunning(link.start, ("a",), print, print)
reactor.callLater(0.5, lambda: link.stop().addTimeout(1, reactor).addBoth(lambda _: reactor.stop()))
reactor.run()
print("ended", end="", flush=True)
"""


class QueueTests(SynchronousTestCase):
    """
    What is between the threads.
    """

    def test_order(self) -> None:
        """
        Frames come out as they went in.
        """
        queue = nats_link._Queue()
        for frame in (b"1", b"2"):
            self.assertTrue(queue.put("s", frame))
        self.assertEqual([queue.take() for _ in range(3)], [("s", b"1", ""), ("s", b"2", ""), None])

    def test_frames_are_bounded(self) -> None:
        """
        So many frames wait and no more, and there is room again when one is taken.
        """
        queue = nats_link._Queue()
        self.assertTrue(all(queue.put("s", b"") for _ in range(QUEUE_FRAMES)))
        self.assertFalse(queue.put("s", b""))
        queue.take()
        self.assertTrue(queue.put("s", b""))

    def test_bytes_are_bounded(self) -> None:
        """
        So many bytes wait and no more.
        """
        queue = nats_link._Queue()
        frame = bytes(FRAME_MAX)
        self.assertTrue(all(queue.put("s", frame) for _ in range(QUEUE_BYTES // FRAME_MAX)))
        self.assertFalse(queue.put("s", b"x"))
        queue.clear()
        self.assertTrue(queue.put("s", b"x"))

    def test_password_is_not_shown(self) -> None:
        """
        A URL in the log has no password.
        """
        self.assertEqual(nats_link._shown("nats://me:secret@host:1"), "nats://host:1")


class BatchTests(SynchronousTestCase):
    """
    How much is handled in one turn of the reactor.
    """

    def turns(self, *sizes: int) -> list[int]:
        """
        How many frames each turn handles.
        """
        waiting: list[Callable[[], None]] = []

        class Turns:
            def callFromThread(self, call: Callable[[], None]) -> None:
                waiting.append(call)

        link = NatsLink(Turns(), Broker(()))  # type: ignore[arg-type]
        handled: list[bytes] = []
        link._received = handled.append
        for size in sizes:
            link._in.put("a", bytes(size))
        link._drain()
        counts = [len(handled)]
        while waiting:
            waiting.pop()()
            counts.append(len(handled) - sum(counts))
        return counts

    def test_frames(self) -> None:
        """
        So many small frames, then players have their turn.
        """
        self.assertEqual(self.turns(*[10] * (2 * BATCH + 1)), [BATCH, BATCH, 1])

    def test_bytes(self) -> None:
        """
        Of large ones fewer.
        """
        self.assertEqual(self.turns(*[BATCH_BYTES // 2] * 5), [2, 2, 1])


class WaitingTests(SynchronousTestCase):
    """
    Frames that need not wake the reactor.
    """

    def setUp(self) -> None:
        self.wakes: list[Callable[[], None]] = []
        reactor = SimpleNamespace(callFromThread=self.wakes.append)
        self.link = NatsLink(cast(Any, reactor), Broker(()))
        self.handled: list[bytes] = []
        self.link._received = self.handled.append

    def come(self, frame: bytes, reply: str) -> None:
        """
        Have the thread take a frame.
        """
        message = SimpleNamespace(subject="s", data=frame, reply=reply)
        self.successResultOf(Deferred.fromCoroutine(self.link._take(cast(Any, message))))

    def test_look(self) -> None:
        """
        They are handled when somebody looks.
        """
        self.come(b"1", CAN_WAIT)
        self.come(b"2", CAN_WAIT)
        self.assertEqual((self.wakes, self.handled), ([], []))
        self.link.look()
        self.assertEqual((self.wakes, self.handled), ([], [b"1", b"2"]))

    def test_order(self) -> None:
        """
        What cannot wait brings those before it along, in order; once is enough.
        """
        self.come(b"1", CAN_WAIT)
        self.come(b"2", "")
        self.come(b"3", CAN_WAIT)
        self.link.look()
        self.assertEqual(self.handled, [])
        [wake] = self.wakes
        wake()
        self.assertEqual(self.handled, [b"1", b"2", b"3"])


class FaultTests(SynchronousTestCase):
    """
    A fault of this program in the thread.
    """

    def test_died(self) -> None:
        """
        It is logged, nobody takes the link for up, and stopping it does not hang.
        """

        class Here:
            def callFromThread(self, call: Callable[..., None], *args: object) -> None:
                calls.append((call, args))

        class Faulty(NatsLink):
            async def _stay_connected(self, subjects: tuple[str, ...]) -> None:
                raise ZeroDivisionError

        calls: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        changes: list[bool] = []
        link = Faulty(Here(), Broker(()))  # type: ignore[arg-type]
        link._up = True
        link.start((), lambda frame: None, changes.append)
        assert link._thread is not None
        link._thread.join()
        for call, args in calls:
            call(*args)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((link.is_up, changes), (False, [False]))
        self.assertFalse(link.publish("s", b""))
        self.successResultOf(link.stop())


class NatsLinkTests(TestCase):
    """
    Two links and a server.
    """

    timeout = 30

    def setUp(self) -> None:
        self.server = NatsServer()
        self.addCleanup(self.server.stop)
        self.got: list[bytes] = []
        self.changes: list[bool] = []

    def link(self, *subjects: str, servers: tuple[str, ...] = ()) -> NatsLink:
        link = NatsLink(reactor, Broker(servers or (self.server.url,)))  # type: ignore[arg-type]
        link.start(subjects, self.got.append, self.changes.append)
        self.addCleanup(link.stop)
        return link

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1500):
            if condition():
                return
            await self.pause(0.01)
        raise AssertionError("it does not come")

    def pause(self, seconds: float) -> "Deferred[None]":
        return deferLater(reactor, seconds)  # type: ignore[arg-type]

    async def test_frames_cross(self) -> None:
        """
        What one link publishes another one gets, in order, in the reactor's thread.
        """
        self.server.start()
        threads: list[threading.Thread] = []
        one, other = self.link("a.b"), self.link("c")
        other._received = lambda frame: threads.append(threading.current_thread())
        await self.until(lambda: one.is_up and other.is_up)
        frames = [b"%d" % number for number in range(1000)]
        self.assertTrue(all(other.publish("a.b", frame) for frame in frames))
        self.assertTrue(one.publish("c", b"back"))
        await self.until(lambda: len(self.got) == 1000 and len(threads) == 1)
        self.assertEqual(self.got, frames)
        self.assertEqual(threads, [threading.main_thread()])
        self.assertEqual((one.dropped_in, other.dropped_out), (0, 0))

    async def test_broker_comes_late_and_goes(self) -> None:
        """
        A server that is away at the start or later is connected to when it comes;
        meanwhile frames are dropped and counted, not kept.
        """
        link = self.link("a")
        await self.until(lambda: link._told_gone)
        self.assertFalse(link.publish("a", b"lost"))
        self.assertEqual(link.dropped_out, 1)
        for _ in range(3):
            await deferToThread(self.server.start)
            await self.until(lambda: link.is_up)
            await deferToThread(self.server.stop)
            await self.until(lambda: not link.is_up)
        self.assertEqual(self.changes, [True, False] * 3)

    async def test_next_server(self) -> None:
        """
        Of several servers one that is there suffices.
        """
        self.server.start()
        link = self.link("a", servers=(f"nats://127.0.0.1:{free_port()}", self.server.url))
        await self.until(lambda: link.is_up)

    async def test_credentials(self) -> None:
        """
        A server with accounts lets the user of a file in, and no other; whoever is not
        let in tries again.
        """
        account, other = Account(), Account()
        server = NatsServer("-c", str(account.server_config(Path(self.mktemp()))))
        self.addCleanup(server.stop)
        server.start()
        right = Credentials(str(account.credentials(Path(self.mktemp()))))
        renewed = other.credentials(Path(self.mktemp()))
        wrong = Credentials(str(renewed))
        one, two, three = (
            NatsLink(reactor, Broker((server.url,), user))  # type: ignore[arg-type]
            for user in (right, wrong, None)
        )
        for link in (one, two, three):
            link.start(("a",), self.got.append, lambda up: None)
            self.addCleanup(link.stop)
        await self.until(lambda: one.is_up and two._told_gone and three._told_gone)
        self.assertFalse(two.is_up or three.is_up)
        account.credentials(renewed)
        await self.until(lambda: two.is_up)
        one.publish("a", b"hello")
        await self.until(lambda: self.got == [b"hello"])

    async def test_token(self) -> None:
        """
        A token in the URL is what the server asks for.
        """
        server = NatsServer("--auth", "sesame")
        self.addCleanup(server.stop)
        server.start()
        host = server.url.removeprefix("nats://")
        link = self.link("a", servers=(f"nats://sesame@{host}",))
        await self.until(lambda: link.is_up)

    async def test_failing_handler(self) -> None:
        """
        A frame whose handling fails is logged and the next one comes.
        """
        self.server.start()

        def received(frame: bytes) -> None:
            self.got.append(frame)
            if frame == b"1":
                raise ZeroDivisionError

        one, other = self.link("a"), self.link()
        one._received = received
        await self.until(lambda: one.is_up and other.is_up)
        other.publish("a", b"1")
        other.publish("a", b"2")
        await self.until(lambda: len(self.got) == 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_too_large(self) -> None:
        """
        What a stranger's client sends is dropped if it is too large for a frame.
        """
        self.server.start()
        link = self.link("a")
        await self.until(lambda: link.is_up)

        async def stranger() -> None:
            client: Any = await nats.connect(self.server.url)
            await client.publish("a", bytes(FRAME_MAX + 1))
            await client.publish("a", b"small")
            await client.close()

        await deferToThread(lambda: asyncio.run(stranger()))
        await self.until(lambda: self.got == [b"small"])
        self.assertEqual(link.dropped_in, 1)

    async def test_stop(self) -> None:
        """
        Stopping sends what waits, ends the thread, and may come twice, or without a
        server, or before the start.
        """
        self.server.start()
        one, other = self.link("a"), self.link()
        await self.until(lambda: one.is_up and other.is_up)
        for number in range(100):
            other.publish("a", b"%d" % number)
        stopped = other.stop()
        self.assertNoResult(stopped)
        await other.stop()
        await stopped
        assert other._thread is not None
        other._thread.join(1)
        self.assertFalse(other._thread.is_alive())
        await self.until(lambda: len(self.got) == 100)
        self.assertFalse(other.publish("a", b"late"))
        away = self.link("a", servers=(f"nats://127.0.0.1:{free_port()}",))
        await self.until(lambda: away._told_gone)
        await away.stop()
        assert away._thread is not None
        away._thread.join(1)
        self.assertFalse(away._thread.is_alive())
        await NatsLink(reactor, Broker(())).stop()  # type: ignore[arg-type]

    async def test_stop_does_not_block(self) -> None:
        """
        While a server that hangs keeps a link from ending, the reactor goes on, and the
        end comes in time all the same.
        """
        self.server.start()
        link = self.link("a")
        await self.until(lambda: link.is_up)
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGSTOP)
        self.assertTrue(link.publish("b", b"never said"))
        begun = time.monotonic()
        stopped = link.stop()
        self.assertLess(time.monotonic() - begun, 0.1)
        self.assertNoResult(stopped)
        await stopped
        self.assertLess(time.monotonic() - begun, STOP_TIMEOUT + 0.5)

    async def test_server_hangs(self) -> None:
        """
        A server that takes nothing any more is given up for another one, however much
        there is to say.
        """
        other = NatsServer()
        self.addCleanup(other.stop)
        self.server.start()
        link = self.link("a", servers=(self.server.url, other.url))
        await self.until(lambda: link.is_up)
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGSTOP)
        await deferToThread(other.start)
        begun = time.monotonic()
        while self.changes[-1]:
            link.publish("b", bytes(FRAME_MAX // 2))
            await self.pause(0.01)
            self.assertLess(time.monotonic() - begun, 6 * PING)
        await self.until(lambda: link.is_up)

    async def test_end_of_the_process(self) -> None:
        """
        A name server that is silent does not keep the process from ending.
        """
        ended = await deferToThread(
            lambda: subprocess.run(
                [sys.executable, "-c", NAME_SERVER_IS_SILENT], timeout=15, capture_output=True
            )
        )
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, b"ended", b""))


class PickyTests(TestCase):
    """
    Servers that a link has nothing to do with.
    """

    timeout = 30

    def serve(self, **info: object) -> str:
        """
        Something that says it is a NATS server.

        @return: where it is.
        """
        self.heard = b""
        case = self

        class Server(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"INFO " + json.dumps(info).encode() + b"\r\n")

            def dataReceived(self, data: bytes) -> None:
                case.heard += data

        factory = Factory.forProtocol(Server)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{port.getHost().port}"

    async def refusal(self, broker: Broker) -> str:
        """
        Why a link does not connect.
        """
        link = NatsLink(reactor, broker)  # type: ignore[arg-type]
        gone: Deferred[str] = Deferred()
        link._gone = lambda reason: gone.called or gone.callback(reason)  # type: ignore[method-assign, assignment, func-returns-value]
        link.start(("a",), lambda frame: None, lambda up: None)
        reason = await gone
        await link.stop()
        assert link._thread is not None
        await deferToThread(link._thread.join)
        return reason

    async def test_no_tls(self) -> None:
        """
        A server without TLS is not told the password if the URL has C{tls://}, or there
        is an authority of one's own.
        """
        host = self.serve(auth_required=True)
        authority = ssl.create_default_context()
        for broker in (
            Broker((f"tls://game:secret@{host}",)),
            Broker((f"nats://game:secret@{host}",), tls=authority),
        ):
            self.assertIn("does not require TLS", await self.refusal(broker))
        self.assertNotIn(b"secret", self.heard)

    async def test_small_payload(self) -> None:
        """
        A server whose C{max_payload} is below the largest frame would end the connection
        at the first one.
        """
        host = self.serve(max_payload=FRAME_MAX - 1)
        self.assertIn("max_payload", await self.refusal(Broker((f"nats://{host}",))))
