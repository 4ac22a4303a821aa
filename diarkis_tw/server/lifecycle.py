"""
From start to end of a node::

    start       on_start -> bind -> public endpoint -> join the mesh -> on_ready
                -> ONLINE -> announced (ready file, banner)
    a step fails            the process ends with status 1 and a sentence
    SIGTERM, terminate()    OFFLINE, clients told; until the node is empty, at
                            most the shutdown timeout; then finish, status 0
    SIGINT                  the same with INTERRUPT_DRAIN
    a second signal         ends at once; so does terminate() when it ends already
    SIGHUP                  on_hangup, any number of times
    finish                  sessions end with SERVER_OFFLINE, last words are
                            flushed, on_terminate, leave the mesh

The service installs its own signal handlers, because twistd's would end the
process by the signal itself after the drain.
"""

import signal
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Final, Protocol, cast

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from diarkis_tw.core.background import FAULTS, as_deferred, background, call_safely
from diarkis_tw.core.node import Node
from diarkis_tw.core.users import Users
from diarkis_tw.errors import CloudError, ConfigError, StartError
from diarkis_tw.mesh.interface import Mesh, NodeInfo
from diarkis_tw.units import Seconds

INTERRUPT_DRAIN: Final[Seconds] = 1.0
"""How long ^C on a terminal waits for users."""

FLUSH: Final[Seconds] = 1.0
"""How long last words may take to be read."""

Callback = Callable[[], object]


async def _nothing() -> Callback:
    """
    There is no public address to be found out.
    """
    return lambda: None


class Listener(Protocol):
    """
    One server of the node, such as TCP or HTTP.
    """

    def bind(self) -> None:
        """
        Listen.

        @raise StartError: no port could be bound.
        """

    def close(self) -> Deferred[None]:
        """
        Listen no more. Fires once connections have closed by themselves.
        """

    def abort(self) -> None:
        """
        Cut the connections that are left.
        """


class Part(Protocol):
    """
    Something that does its work while there are users, such as notifications.
    """

    def start(self) -> None:
        """
        All is bound; C{on_ready} callbacks come next.
        """

    def stop(self) -> None:
        """
        The sessions end next.
        """


class Occupied(Protocol):
    """
    Something with players, whose leaving a node waits for before it ends.
    """

    def ccu(self) -> int:
        """
        How many there are.
        """

    def when_empty(self) -> Deferred[None]:
        """
        Fires once there are none; cancellable.
        """


class StartRefused(StartError, SystemExit):
    """
    The node cannot start: a C{SystemExit}, so that twistd and twist end with
    status 1 and print the sentence, not a traceback; an C{Exception} too, so
    that twistd's daemon reports it and removes its pid file.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        # StartError leaves SystemExit's own constructor out; without a code it is status 0.
        self.code = sentence


class Lifecycle(Service):
    """
    The service of a node.

    @ivar on_start: callbacks before anything is bound.
    @ivar on_ready: callbacks when the node is bound and about to be ONLINE.
    @ivar on_terminate: callbacks once all sessions have ended.
    @ivar on_online: called last of all, to announce the node; see L{reactor_runs}.
    @ivar on_hangup: called when the process is told to read its configuration again.
    @ivar parts: started and stopped with the sweep of users.
    @ivar prepare: called first of all, to make C{listeners}.
    @ivar find_public_address: called when all is bound, to know what to announce. What
        it returns is called after C{on_ready}, and may refuse the start, too.
    @ivar occupied: what is waited for before the end.
    @ivar stop_process: ends the process with a status.
    @ivar log_observer: what the application shall log with; L{None} = as it likes.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        node: Node,
        users: Users,
        mesh: Mesh,
        describe: Callable[[], NodeInfo],
        shutdown_timeout: Seconds,
    ) -> None:
        """
        @param describe: what the mesh is told of this node; it fails with
            L{ConfigError} if there is no public endpoint.
        """
        self._reactor = reactor
        self._node = node
        self._users = users
        self._mesh = mesh
        self._describe = describe
        self._shutdown_timeout = shutdown_timeout
        self.listeners: list[Listener] = []
        self.parts: list[Part] = []
        self.occupied: list[Occupied] = [users]
        self.on_start: list[Callback] = []
        self.on_ready: list[Callback] = []
        self.on_terminate: list[Callback] = []
        self.on_online: list[Callback] = []
        self.on_hangup: Callback = lambda: None
        self.prepare: Callback = lambda: None
        self.find_public_address: Callable[[], Awaitable[Callback]] = _nothing
        self.stop_process: Callable[[int], None] = lambda status: None
        self.log_observer: ILogObserver | None = None
        self._periodic: list[tuple[LoopingCall, Seconds]] = []
        self._running: Deferred[None] = Deferred()
        self._starting: Deferred[None] | None = None
        self._finishing: Deferred[None] | None = None
        self._draining: Deferred[list[tuple[bool, None]]] | None = None
        self._begun = False
        self._failure: StartError | None = None
        self._ending = False
        self._unsignalled = False
        self._at_once = False
        node.observe(users.tell_state)
        node.observe(lambda state: mesh.updated())

    def setServiceParent(self, parent: IServiceCollection) -> None:
        super().setServiceParent(parent)
        if self.log_observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.log_observer)

    def every(self, period: Seconds, job: Callback) -> None:
        """
        Call C{job}, which never fails, each C{period} while the node serves.
        """
        loop = LoopingCall(job)
        loop.clock = self._reactor
        self._periodic.append((loop, period))

    # Start

    def privilegedStartService(self) -> None:
        """
        Start as far as it goes without the reactor, while the process may still
        have the right to bind low ports. C{twist} never calls this.
        """
        self._begin()

    def startService(self) -> None:
        super().startService()
        self._begin()

    def _begin(self) -> None:
        if self._starting is None:
            self._starting = Deferred.fromCoroutine(self._start())
            self._starting.addErrback(self._start_failed)
            self._begun = True
        if self._failure is not None:
            raise StartRefused(str(self._failure)) from self._failure

    async def _start(self) -> None:
        self.prepare()
        await self._run("on_start", self.on_start)
        for listener in self.listeners:
            listener.bind()
        check_public_address = await self.find_public_address()
        self._describe()
        self._mesh.join(self._describe)
        self._users.start()
        for part in self.parts:
            part.start()
        for loop, period in self._periodic:
            background("a periodic job of the node", loop.start(period, now=False))
        await self._run("on_ready", self.on_ready)
        check_public_address()
        self._node.ready()
        await self._running
        for callback in self.on_online:
            callback()

    async def _run(self, step: str, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            try:
                work = as_deferred(callback())
                if work is not None:
                    await work
            except CancelledError:
                raise
            except Exception as error:
                self.log.failure("{step} failed", step=step)
                name = getattr(callback, "__qualname__", repr(callback))
                raise StartError(
                    f"{step} callback {name} failed: {type(error).__name__}: {error}"
                ) from error

    def _start_failed(self, failure: Failure) -> None:
        if self._ending:
            return
        if not failure.check(StartError, ConfigError, CloudError):
            self.log.failure("starting failed", failure)
        self._failure = StartError(f"diarkis cannot start: {failure.value}")
        if self._begun:
            self.log.critical("{reason}", reason=str(self._failure))
            self.stop_process(1)

    # End

    def reactor_runs(self) -> None:
        """
        Take SIGTERM and SIGINT over from the reactor, and SIGHUP, now that it
        runs, and only then announce the node: who reads the announcement may send
        one.
        """

        def received(number: int, frame: FrameType | None) -> None:
            drain = INTERRUPT_DRAIN if number == signal.SIGINT else self._shutdown_timeout
            cast(IReactorFromThreads, self._reactor).callFromThread(self._signalled, drain)

        def hung_up(number: int, frame: FrameType | None) -> None:
            cast(IReactorFromThreads, self._reactor).callFromThread(self._hung_up)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, received)
        if hasattr(signal, "SIGHUP"):  # not on Windows
            signal.signal(signal.SIGHUP, hung_up)
        self._running.callback(None)

    def _signalled(self, drain: Seconds) -> None:
        if self._unsignalled:
            # Whoever sends the first signal knows nothing of a command before it, and
            # wants an end in good order.
            self._unsignalled = False
            self.log.info("the node is ending already; the next signal ends it at once")
            return
        self.terminate(drain)
        self._unsignalled = False

    def _hung_up(self) -> None:
        if not self._ending:
            call_safely("reloading", self.on_hangup)

    def terminate(self, drain: Seconds | None = None) -> None:
        """
        End the node in good order; called again, end it at once.

        @param drain: how long to wait for users to leave; L{None} = the
            shutdown timeout.
        """
        if self._ending:
            self.log.warn("told to end again: ending at once")
            self._at_once = True
            for listener in self.listeners:
                listener.abort()
            self.stop_process(0)
            return
        self._ending = self._unsignalled = True
        limit = self._shutdown_timeout if drain is None else drain
        background("termination", Deferred.fromCoroutine(self._terminate(limit)))

    async def _terminate(self, drain: Seconds) -> None:
        if count := self._ccu():
            self.log.info(
                "waiting for {count} user(s), at most {drain:g} s", count=count, drain=drain
            )
        self._node.terminate()
        empty = [found.when_empty() for found in self.occupied]
        # Its time-out cancels the members, on which it fires as it would anyway.
        draining = self._draining = DeferredList(empty, consumeErrors=True)
        await draining.addTimeout(drain, self._reactor)
        if count := self._ccu():
            self.log.info("{count} user(s) did not leave in time", count=count)
        await self.finish()
        if not self._at_once:
            self.stop_process(0)

    def _ccu(self) -> int:
        return sum(found.ccu() for found in self.occupied)

    def stopService(self) -> Deferred[None] | None:
        """
        The process ends: without a drain, if nobody asked for one.
        """
        super().stopService()
        self._ending = True
        return None if self._at_once else self.finish()

    def finish(self) -> Deferred[None]:
        """
        End all sessions and close everything; once.
        """
        done: Deferred[None] = Deferred()
        if self._finishing is None:
            # Set first: ending the sessions ends a drain, which comes here too.
            finishing = self._finishing = Deferred()
            work = Deferred.fromCoroutine(self._finish())
            work.addErrback(lambda f: self.log.failure("ending failed", f))
            work.addCallback(finishing.callback)

        def pass_on(result: None) -> None:
            done.callback(None)

        self._finishing.addCallback(pass_on)
        return done

    async def _finish(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        for loop, _ in self._periodic:
            if loop.running:
                loop.stop()
        self._node.terminate()
        for part in self.parts:
            part.stop()
        self._users.stop()
        if self._draining is not None:
            self._draining.cancel()
        closing = DeferredList(
            [listener.close() for listener in self.listeners], consumeErrors=True
        )
        # The time-out cancels the members of the list, on which it fires as it would anyway.
        await closing.addTimeout(FLUSH, self._reactor)
        for listener in self.listeners:
            listener.abort()
        for callback in self.on_terminate:
            try:
                work = as_deferred(callback())
                if work is not None:
                    await work
            except FAULTS:
                self.log.failure("an on_terminate callback failed")
        await self._mesh.leave()
