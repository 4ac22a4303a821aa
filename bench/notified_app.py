"""
The application of L{bench.notification}: one user, C{CONTROL}, has a notification
sent to all others, and the longest turn of the reactor meanwhile is measured::

    ver 2 cmd 50   measure from now on
    ver 2 cmd 51   measure and send to all others; the payload is the message
    ver 2 cmd 52   the L{Measured} since then, as a mapping
    ver 2 cmd 53   as 51, to the users of all nodes
"""

from time import perf_counter, thread_time
from typing import Final

import msgspec
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.server import Notification, Server, User

CONTROL: Final = "control"
START, SEND, REPORT, SEND_EVERYWHERE = 50, 51, 52, 53


class Measured(msgspec.Struct):
    """
    What happened in the server's process.

    @ivar sent: users who were sent to; C{took}: seconds until the last of them.
    @ivar stall: seconds of the longest turn; C{cpu_stall}: of that with the most
        CPU time, which other processes cannot lengthen.
    """

    sent: int = 0
    took: float = 0.0
    stall: float = 0.0
    cpu_stall: float = 0.0


class Probe:
    """
    Measures each turn of the reactor, from one delayed call to the next.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.measured = Measured()
        self._clock = clock
        self._running = False

    def restart(self) -> None:
        """
        Forget what was measured so far.
        """
        self.measured = Measured()
        self._begin, self._cpu_begin = perf_counter(), thread_time()
        if not self._running:
            self._running = True
            self._clock.callLater(0, self._turn)

    def stop(self) -> None:
        """
        Let the reactor rest again.
        """
        self._running = False

    def _turn(self) -> None:
        if self._running:
            measured = self.measured
            now, cpu_now = perf_counter(), thread_time()
            measured.stall = max(measured.stall, now - self._begin)
            measured.cpu_stall = max(measured.cpu_stall, cpu_now - self._cpu_begin)
            self._begin, self._cpu_begin = now, cpu_now
            self._clock.callLater(0, self._turn)


class Commands:
    """
    The three commands.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._probe = Probe(IReactorTime(reactor))
        self._began = 0.0
        self._count = 0
        server.enable_notifications()
        server.set_on_notification("bench", self._is_wanted)
        server.handle_command(2, START, self._start)
        server.handle_command(2, SEND, self._send)
        server.handle_command(2, SEND_EVERYWHERE, self._send)
        server.handle_command(2, REPORT, self._report)

    def _start(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        self._probe.restart()

    def _send(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        self._probe.restart()
        self._began = perf_counter()
        self._count += 1
        self._server.notify(
            Notification(id=f"bench {self._count}", name="bench", message=payload),
            local=cmd == SEND,
        )

    def _is_wanted(self, user: User, notification: Notification) -> bool:
        if user.uid == CONTROL:
            return False
        measured = self._probe.measured
        measured.sent += 1
        measured.took = perf_counter() - self._began
        return True

    def _report(self, ver: int, cmd: int, payload: bytes, user: User) -> dict[str, object]:
        self._probe.stop()
        measured: dict[str, object] = msgspec.structs.asdict(self._probe.measured)
        return measured


def setup(server: Server) -> None:
    """
    Register the commands.
    """
    Commands(server)
