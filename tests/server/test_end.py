"""
Tests of L{diarkis_tw.server.lifecycle}: from SIGTERM to the end.
"""

import signal

from twisted.internet.defer import Deferred

from diarkis_tw.constants import CloseCode, NodeState
from diarkis_tw.core.user import UserState
from diarkis_tw.server.lifecycle import FLUSH, INTERRUPT_DRAIN
from diarkis_tw.wire.message import Push
from tests.server.test_start import StartCase
from tests.transports.case import TcpCase, TcpClient

OFFLINE_PUSH = Push(0, 6, b"\2")


class DrainCase(TcpCase):
    """
    A running node that is about to end.

    @ivar ended: statuses that the process was told to end with.
    """

    def setUp(self) -> None:
        super().setUp()
        self.service = self.server.service()
        self.ended: list[int] = []
        self.service.stop_process = self.ended.append
        self.terminated: list[list[str]] = []
        self.server.on_terminate(lambda: self.terminated.append(self.left[:]))

    def go(self, client: TcpClient) -> None:
        """
        The client reads everything and closes.
        """
        client.turn()
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(client.socket.ended)


class DrainTests(DrainCase):
    """
    Ending a node that has users.
    """

    def test_empty(self) -> None:
        """
        An empty node ends at once with status 0, after on_terminate.
        """
        self.service.terminate()
        self.assertEqual(self.terminated, [[]])
        self.assertEqual(self.ended, [0])
        self.assertEqual(list(self.server._mesh.nodes()), [])

    def test_mesh_has_last_words(self) -> None:
        """
        The process ends once the others have been told.
        """
        left: Deferred[None] = Deferred()
        self.server._mesh.leave = lambda: left  # type: ignore[method-assign]
        self.service.terminate()
        self.assertEqual((self.terminated, self.ended), ([[]], []))
        left.callback(None)
        self.assertEqual(self.ended, [0])

    def test_told(self) -> None:
        """
        Connected clients are told at once, and served until they leave; then the node ends.
        """
        client = self.opened()
        self.service.terminate()
        client.turn()
        self.assertEqual(client.received, [OFFLINE_PUSH])
        self.assertIs(self.server.state, NodeState.OFFLINE)
        self.assertTrue(client.alive())
        self.advance(5)
        self.assertTrue(client.alive())
        self.assertEqual(self.ended, [])
        client.send(client.raw.close())
        self.go(client)
        self.assertEqual(self.terminated, [["alice"]])
        self.assertEqual(self.ended, [0])

    def test_timeout(self) -> None:
        """
        Who has not left by shutdownTimeout is closed with SERVER_OFFLINE.
        """
        client = self.opened()
        self.service.terminate()
        for _ in range(9):
            self.advance(1)
            self.assertTrue(client.alive())
        self.advance(1)
        self.assertEqual(self.ended, [])
        client.turn()
        self.assertEqual(client.received[0], OFFLINE_PUSH)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)
        self.assertEqual(self.left, ["alice"])
        self.assertEqual(self.terminated, [["alice"]])
        self.assertEqual(self.ended, [0])

    def test_neverReads(self) -> None:
        """
        A client that does not read its CLOSE is cut off after the flush.
        """
        client = self.opened()
        self.service.terminate(0.5)
        self.advance(0.5)
        self.assertEqual(self.ended, [])
        self.advance(FLUSH)
        self.assertTrue(client.socket.aborted)
        self.assertEqual(self.ended, [0])

    def test_newUsers(self) -> None:
        """
        Meanwhile nobody new comes in, and the state cannot be changed back.
        """
        self.opened()
        pending = self.user("bob")
        self.service.terminate()
        self.server.online()
        self.assertIs(self.server.state, NodeState.OFFLINE)
        client = self.client(pending)
        client.send(client.raw.hello())
        self.assertRefused(client, CloseCode.SERVER_OFFLINE)

    def test_away(self) -> None:
        """
        A user within its reconnect grace is waited for and may come back to be told.
        """
        alice = self.user()
        client = self.opened(alice)
        client.socket.cut()
        client.turn()
        self.service.terminate()
        self.assertEqual(self.ended, [])
        again = self.accepted(alice)
        again.request(10, b"back")
        self.assertEqual(again.received[0], OFFLINE_PUSH)
        again.send(again.raw.close())
        self.go(again)
        self.assertEqual(self.ended, [0])

    def test_already(self) -> None:
        """
        Who was told OFFLINE already is not told again.
        """
        client = self.opened()
        self.server.offline()
        self.service.terminate()
        client.turn()
        self.assertEqual(client.received, [OFFLINE_PUSH])

    def test_second(self) -> None:
        """
        A second request ends at once: connections are cut, the process is told once.
        """
        client = self.opened()
        self.service.terminate()
        self.service.terminate()
        self.assertTrue(client.socket.aborted)
        self.assertEqual(self.ended, [0])
        client.turn()
        self.assertIsNone(self.service.stopService())
        self.advance(20)
        self.assertEqual(self.ended, [0])

    def test_secondWhileTerminating(self) -> None:
        """
        A second request ends at once also while on_terminate does not finish.
        """
        self.server.on_terminate(Deferred)
        self.service.terminate()
        self.assertEqual(self.ended, [])
        self.service.terminate()
        self.assertEqual(self.ended, [0])
        self.assertIsNone(self.service.stopService())

    def test_stopService(self) -> None:
        """
        A reactor that stops by itself ends sessions in order, without a drain.
        """
        alice = self.user()
        client = self.opened(alice)
        stopped = self.service.stopService()
        assert stopped is not None
        self.assertNoResult(stopped)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)
        self.successResultOf(stopped)
        self.assertState(alice, UserState.GONE)
        self.assertEqual(self.terminated, [["alice"]])
        self.assertEqual(self.ended, [])

    def test_once(self) -> None:
        """
        The end happens once, however often it is asked for.
        """
        self.service.terminate()
        for _ in range(2):
            stopped = self.service.stopService()
            assert stopped is not None
            self.successResultOf(stopped)
        self.successResultOf(self.service.finish())
        self.assertEqual(self.terminated, [[]])
        self.assertEqual(self.ended, [0])

    def test_stopServiceWhileDraining(self) -> None:
        """
        A reactor that stops during the drain cuts the drain short and loses no step.
        """
        client = self.opened()
        self.service.terminate()
        stopped = self.service.stopService()
        assert stopped is not None
        client.turn()
        self.assertEqual(client.received[0], OFFLINE_PUSH)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)
        self.successResultOf(stopped)
        self.assertEqual(self.terminated, [["alice"]])

    def test_callbacks(self) -> None:
        """
        on_terminate callbacks are awaited one after another; a failing one is logged and the next
        one runs.
        """
        waiting: Deferred[None] = Deferred()
        order: list[str] = []

        async def save() -> None:
            await waiting
            order.append("saved")

        def broken() -> None:
            raise ZeroDivisionError("oh no")

        self.server.on_terminate(save)
        self.server.on_terminate(broken)
        self.server.on_terminate(lambda: order.append("last"))
        self.service.terminate()
        self.assertEqual((order, self.ended), ([], []))
        waiting.callback(None)
        self.assertEqual((order, self.ended), (["saved", "last"], [0]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class EndWhileStartingTests(StartCase):
    """
    Ending a node that is not ONLINE yet.
    """

    def test_terminate(self) -> None:
        """
        A start that is waiting is given up, quietly, and the node never becomes ONLINE.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.service.startService()
        self.service.terminate()
        self.assertIs(self.server.state, NodeState.OFFLINE)
        self.assertEqual(self.stopped, [0])
        self.assertEqual(self.events[-1], "on_terminate OFFLINE")
        self.assertNotIn("on_online ONLINE", self.events)

    def test_stopService(self) -> None:
        """
        The same if the reactor stops.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_start(lambda: waiting)
        self.service.startService()
        stopped = self.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)
        if not waiting.called:
            waiting.callback(None)
        self.assertIs(self.server.state, NodeState.OFFLINE)
        self.assertEqual(self.events, ["on_start STARTING", "on_terminate OFFLINE"])

    def test_notCancellable(self) -> None:
        """
        A callback that goes on after it was cancelled does not bring the node up.
        """
        waiting: Deferred[None] = Deferred(lambda cancelled: cancelled.callback(None))
        self.server.on_start(lambda: waiting)
        self.service.startService()
        self.service.terminate()
        self.assertIs(self.server.state, NodeState.OFFLINE)
        self.assertEqual(self.stopped, [0])
        self.run_reactor()
        self.assertNotIn("on_online ONLINE", self.events)

    def test_neverStarted(self) -> None:
        """
        A service that was never started can be stopped.
        """
        stopped = self.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)

    def test_failingStartThenSignal(self) -> None:
        """
        A signal while a failed start is ending ends it at once.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.server.on_terminate(Deferred)
        self.service.startService()
        waiting.errback(LookupError())
        self.assertIsNotNone(self.service.stopService())
        self.service.terminate()
        self.assertEqual(self.stopped, [1, 0])
        self.flushLoggedErrors(LookupError)


class SignalTests(DrainCase):
    """
    Signals, as the service takes them over.
    """

    def receive(self, number: int) -> None:
        """
        Have the installed handler receive a signal.
        """
        handler = signal.getsignal(number)
        assert callable(handler)
        handler(number, None)

    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        vars(self.reactor)["callFromThread"] = lambda call, *args: call(*args)
        self.service.reactor_runs()

    def test_terminateSignal(self) -> None:
        """
        SIGTERM drains for the shutdown timeout.
        """
        client = self.opened()
        self.receive(signal.SIGTERM)
        self.advance(9)
        self.assertTrue(client.alive())
        self.advance(1)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)

    def test_interrupt(self) -> None:
        """
        SIGINT drains shortly.
        """
        client = self.opened()
        self.receive(signal.SIGINT)
        self.advance(INTERRUPT_DRAIN - 0.1)
        self.assertTrue(client.alive())
        self.advance(0.1)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)

    def test_mixed(self) -> None:
        """
        Either signal may be the second one.
        """
        self.opened()
        self.receive(signal.SIGTERM)
        self.receive(signal.SIGINT)
        self.assertEqual(self.ended, [0])

    def test_afterCommand(self) -> None:
        """
        The first signal does not cut short what a command has begun; the second one does.
        """
        client = self.opened()
        self.service.terminate()
        self.receive(signal.SIGTERM)
        self.advance(9)
        self.assertTrue(client.alive())
        self.assertEqual(self.ended, [])
        self.receive(signal.SIGTERM)
        self.assertEqual(self.ended, [0])

    def test_hangup(self) -> None:
        """
        SIGHUP ends nothing: it is passed on, each time, also after a failure.
        """
        calls: list[int] = []

        def hung_up() -> None:
            calls.append(len(calls))
            if len(calls) == 2:
                raise ValueError("the second time")

        self.service.on_hangup = hung_up
        for _ in range(3):
            self.receive(signal.SIGHUP)
        self.assertEqual((calls, self.ended), ([0, 1, 2], []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_hangupWhileEnding(self) -> None:
        """
        A node that ends takes no notice of it.
        """
        calls: list[None] = []
        self.service.on_hangup = lambda: calls.append(None)
        self.opened()
        self.receive(signal.SIGTERM)
        self.receive(signal.SIGHUP)
        self.assertEqual((calls, self.ended), ([], []))
