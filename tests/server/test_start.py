"""
Tests of L{diarkis_tw.server.lifecycle}: from start to ONLINE, or not.
"""

import errno
import signal
from collections.abc import Callable
from typing import cast

from twisted.application.service import Application, IServiceCollection
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from diarkis_tw.config.settings import HttpSettings, Settings, TcpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.errors import ConfigError, RegistrationError, StartError
from diarkis_tw.server import Server
from diarkis_tw.server.lifecycle import StartRefused


class Reactor(MemoryReactorClock):
    """
    Notes what is bound, and refuses ports in use.
    """

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.in_use: set[int] = set()

    def listenTCP(
        self, port: int, factory: Factory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        if port in self.in_use:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "in use"))
        self.events.append(f"bind {port}")
        bound: IListeningPort = super().listenTCP(port, factory, backlog, interface)
        return bound


class StartCase(SynchronousTestCase):
    """
    A server whose steps are noted.

    @ivar events: what happened, in order.
    @ivar stopped: statuses that the process was told to end with.
    """

    def setUp(self) -> None:
        self.events: list[str] = []
        self.stopped: list[int] = []
        self.reactor = Reactor(self.events)
        self.server = self.make()
        self.service = self.server.service()

    def start(self) -> None:
        """
        Start as twist does, and then let the reactor run.
        """
        self.service.startService()
        self.run_reactor()

    def run_reactor(self) -> None:
        """
        The reactor runs now.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.service.reactor_runs()

    def make(self, http: HttpSettings | None = None) -> Server:
        """
        Make a server that notes its steps.
        """
        settings = Settings(tcp=TcpSettings(), http=http or HttpSettings())
        server = Server(self.reactor, settings)
        server.on_start(self.note(server, "on_start"))
        server.on_ready(self.note(server, "on_ready"))
        server.on_terminate(self.note(server, "on_terminate"))
        service = server.service()
        service.on_online.append(self.note(server, "on_online"))
        service.stop_process = self.stopped.append
        return server

    def note(self, server: Server, name: str) -> Callable[[], None]:
        """
        A callback that notes its step and the state.
        """
        return lambda: self.events.append(f"{name} {server.state.value}")


class StartTests(StartCase):
    """
    Steps in order.
    """

    ORDER = (
        "on_start STARTING",
        "bind 7200",
        "bind 7000",
        "on_ready STARTING",
        "on_online ONLINE",
    )

    def test_order(self) -> None:
        """
        on_start, bind, on_ready, ONLINE, announced.
        """
        self.start()
        self.assertEqual(self.events, [*self.ORDER])
        self.assertIs(self.server.state, NodeState.ONLINE)
        self.assertEqual(self.stopped, [])

    def test_privileged(self) -> None:
        """
        twistd calls both start methods: everything happens in the first, once.
        """
        self.service.privilegedStartService()
        self.assertEqual(self.events, [*self.ORDER[:4]])
        self.assertIs(self.server.state, NodeState.ONLINE)
        self.start()
        self.assertEqual(self.events, [*self.ORDER])

    def test_announcedOnceTheReactorRuns(self) -> None:
        """
        Who reads the announcement may send a signal, so it comes when signals are taken over.
        """
        self.service.startService()
        self.assertNotIn("on_online ONLINE", self.events)
        taken_over: list[object] = []
        self.service.on_online.append(lambda: taken_over.append(signal.getsignal(signal.SIGTERM)))
        self.run_reactor()
        self.assertEqual(self.events[-1], "on_online ONLINE")
        self.assertEqual(taken_over, [signal.getsignal(signal.SIGTERM)])
        self.assertNotIn(signal.getsignal(signal.SIGTERM), (signal.SIG_DFL, signal.SIG_IGN))

    def test_severalCallbacks(self) -> None:
        """
        Callbacks of one step run in the order of registration.
        """
        self.server.on_start(lambda: self.events.append("second"))
        self.start()
        self.assertEqual(self.events[:3], ["on_start STARTING", "second", "bind 7200"])

    def test_deferred(self) -> None:
        """
        A step waits for a callback's Deferred.
        """
        first: Deferred[None] = Deferred()
        second: Deferred[None] = Deferred()
        self.server.on_start(lambda: first)
        self.server.on_ready(lambda: second)
        self.start()
        self.assertEqual(self.events, [*self.ORDER[:1]])
        first.callback(None)
        self.assertEqual(self.events, [*self.ORDER[:4]])
        self.assertIs(self.server.state, NodeState.STARTING)
        second.callback(None)
        self.assertEqual(self.events, [*self.ORDER])

    def test_coroutine(self) -> None:
        """
        A callback may be a coroutine function.
        """
        waiting: Deferred[None] = Deferred()

        async def prepare() -> None:
            self.events.append("begun")
            await waiting
            self.events.append("done")

        self.server.on_start(prepare)
        self.start()
        self.assertEqual(self.events, ["on_start STARTING", "begun"])
        waiting.callback(None)
        self.assertEqual(self.events, ["on_start STARTING", "begun", "done", *self.ORDER[1:]])

    def test_boundWhenReady(self) -> None:
        """
        on_ready can ask for the endpoint.
        """
        found: list[str] = []
        self.server.on_ready(lambda: found.append(self.server.get_endpoint()))
        self.start()
        self.assertEqual(found, ["127.0.0.1:7200"])

    def test_stateAskedForEarly(self) -> None:
        """
        A state asked for while starting is the one the node starts in.
        """
        self.server.on_ready(self.server.taken)
        self.start()
        self.assertIs(self.server.state, NodeState.TAKEN)

    def test_registrationEnds(self) -> None:
        """
        on_start is too late to register a command, and says so.
        """
        self.server.on_start(lambda: self.server.handle_command(2, 1, lambda *args: None))
        self.assertRaises(SystemExit, self.service.startService)
        self.assertEqual(len(self.flushLoggedErrors(RegistrationError)), 1)

    def test_portsUpward(self) -> None:
        """
        What is bound is the next free port, and that is announced.
        """
        self.reactor.in_use = {7200, 7201, 7000}
        self.start()
        self.assertEqual(self.server.get_endpoint(), "127.0.0.1:7202")
        self.assertEqual(self.server.bound_addresses()["HTTP"], ("127.0.0.1", 7001))

    def test_logObserver(self) -> None:
        """
        The application is given the observer that the settings ask for.
        """

        @implementer(ILogObserver)
        def observer(event: object) -> None:
            pass

        for given in (None, observer):
            application = Application("x")
            service = self.make().service()
            service.log_observer = given
            service.setServiceParent(cast(IServiceCollection, application))
            self.assertIs(application.getComponent(ILogObserver), given)


class FailingStartTests(StartCase):
    """
    A step that fails.
    """

    def refused(self, *parts: str) -> StartRefused:
        """
        Assert that starting raises at once, with one sentence with these parts.
        """
        error = self.assertRaises(StartRefused, self.service.startService)
        assert isinstance(error, StartRefused)
        self.assertIsInstance(error, SystemExit)
        self.assertIsInstance(error, StartError)
        for part in ("diarkis cannot start: ", *parts):
            self.assertIn(part, str(error))
        self.assertEqual(str(error.code), str(error))
        self.assertIs(self.server.state, NodeState.STARTING)
        return error

    def test_onStart(self) -> None:
        """
        A failing on_start is named with its error; nothing is bound.
        """

        def load_maps() -> None:
            raise ZeroDivisionError("no maps")

        self.server.on_start(load_maps)
        self.refused("on_start callback", "load_maps", "ZeroDivisionError", "no maps")
        self.assertEqual(self.events, ["on_start STARTING"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_onReady(self) -> None:
        """
        A failing on_ready, too.
        """

        async def look_up() -> None:
            raise LookupError("nobody home")

        self.server.on_ready(look_up)
        self.refused("on_ready callback", "look_up", "LookupError", "nobody home")
        self.assertNotIn("on_online ONLINE", self.events)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_laterCallbacks(self) -> None:
        """
        Callbacks after the one that failed do not run.
        """
        self.server.on_start(self.fail_)
        self.server.on_start(lambda: self.events.append("late"))
        self.refused()
        self.assertNotIn("late", self.events)
        self.flushLoggedErrors(ZeroDivisionError)

    def fail_(self) -> None:
        """
        A callback that fails.
        """
        raise ZeroDivisionError("oh no")

    def test_later(self) -> None:
        """
        A step that fails later ends the process with status 1 and says why in the log.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.service.startService()
        self.assertEqual(self.stopped, [])
        waiting.errback(LookupError("nobody home"))
        self.assertEqual(self.stopped, [1])
        self.assertIs(self.server.state, NodeState.STARTING)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_laterBetweenTheStarts(self) -> None:
        """
        What failed before the second start method makes that one refuse.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.service.privilegedStartService()
        waiting.errback(LookupError("nobody home"))
        self.refused("nobody home")
        self.flushLoggedErrors(LookupError)

    def test_portInUse(self) -> None:
        """
        A fixed port in use is a sentence about that port.
        """
        self.server = self.make(HttpSettings(use_fixed_port=True))
        self.service = self.server.service()
        self.reactor.in_use = {7000}
        self.refused("Port 7000", "useFixedPort")

    def test_nothingSetUp(self) -> None:
        """
        A server that is set up as nothing does not start.
        """
        self.server = Server(self.reactor)
        self.service = self.server.service()
        self.refused("no section")

    def test_noPublicEndpoint(self) -> None:
        """
        A node bound to all interfaces with nothing to announce does not start.
        """
        settings = Settings(tcp=TcpSettings(address="0.0.0.0"), http=HttpSettings())
        self.server = Server(self.reactor, settings)
        self.service = self.server.service()
        self.refused("DIARKIS_CLOUD_ENV")

    def test_configError(self) -> None:
        """
        A ConfigError of a listener is a sentence, not a traceback.
        """
        settings = Settings(tcp=TcpSettings(nic="nosuchnic0"), http=HttpSettings())
        self.server = Server(self.reactor, settings)
        self.service = self.server.service()
        self.refused("nosuchnic0")

    def test_surprise(self) -> None:
        """
        Any other failure is logged with its traceback and refused all the same.
        """

        def listen(*args: object) -> None:
            raise ZeroDivisionError("odd")

        self.patch(self.reactor, "listenTCP", listen)
        self.refused("odd")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stoppingAfterwards(self) -> None:
        """
        The process can be ended in order after a start that failed.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.service.startService()
        waiting.errback(ConfigError("no"))
        stopped = self.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)
        self.assertEqual(self.events[-1], "on_terminate OFFLINE")
        self.flushLoggedErrors(ConfigError)
