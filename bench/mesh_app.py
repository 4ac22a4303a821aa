"""
The application of the nodes in L{bench.mesh}: the demo's commands, and::

    ver 2 cmd 50   answers with the address of this node
    ver 2 cmd 51   send private messages, a L{Talk}, in place of those before; answers
                   with how many those were
    ver 2 cmd 52   be busy, a L{Busy}, instead of as before
    ver 2 cmd 53   be TAKEN, if {"taken": true}, or ONLINE

The payload of a private message begins with when it was sent: the machine's
monotonic clock in nanoseconds, 8 bytes, the same in all processes.

Intervals between messages are random: they must not fall in step with anything.
"""

import random
import struct
from time import perf_counter_ns, thread_time
from typing import Any, Final

import msgspec
from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from diarkis_tw import demo
from diarkis_tw.server import Server, User

ADDRESS, TALK, BUSY, TAKEN = 50, 51, 52, 53

PUSHED: Final = (2, 60)
"""The command of private messages."""

STAMP: Final = struct.Struct(">Q")

SIZE: Final = 64
"""Bytes of a private message."""


class Talk(msgspec.Struct):
    """
    What to send.

    @ivar to: address of a node; C{sid}: of its user.
    @ivar rate: messages a second; 0 = be silent.
    """

    to: str
    sid: str
    rate: float


class Busy(msgspec.Struct):
    """
    How to be busy: handlers that only compute.

    @ivar share: of the time, 0..1.
    @ivar slice: seconds of CPU that the handlers of one turn take.
    """

    share: float
    slice: float


class Commands:
    """
    The commands.
    """

    def __init__(self, server: Server, clock: IReactorTime) -> None:
        self._server = server
        self._clock = clock
        self._random = random.Random(1)
        self._talk = Talk("", "", 0)
        self._due = 0.0
        self._sent = 0
        self._next: IDelayedCall | None = None
        self._busy = Busy(0, 1)
        self._working = LoopingCall(self._work)
        self._working.clock = clock
        server.handle_command(2, ADDRESS, self._address)
        server.handle_command(2, TALK, self._set_talk)
        server.handle_command(2, BUSY, self._set_busy)
        server.handle_command(2, TAKEN, self._set_state)

    def _address(self, ver: int, cmd: int, payload: bytes, user: User) -> dict[str, object]:
        return {"address": self._server.node_address}

    def _set_talk(self, ver: int, cmd: int, payload: bytes, user: User) -> dict[str, object]:
        sent, self._sent = self._sent, 0
        self._talk = msgspec.msgpack.decode(payload, type=Talk)
        self._due = self._clock.seconds()
        self._arrange()
        return {"sent": sent}

    def _set_busy(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        self._busy = msgspec.msgpack.decode(payload, type=Busy)
        if self._working.running:
            self._working.stop()
        if self._busy.share:
            self._working.start(self._busy.slice / self._busy.share)
        self._arrange()

    def _set_state(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        wanted: dict[str, Any] = msgspec.msgpack.decode(payload)
        if wanted["taken"]:
            self._server.taken()
        else:
            self._server.online()

    def _arrange(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._talk.rate and not self._busy.share:
            # From when the last one was due, so that a late timer does not lower the rate.
            self._due += self._random.uniform(0, 2) / self._talk.rate
            now = self._clock.seconds()
            self._next = self._clock.callLater(max(0.0, self._due - now), self._tell)

    def _tell(self) -> None:
        self._next = None
        self._send()
        self._arrange()

    def _work(self) -> None:
        """
        Compute, and send from the midst of it, as a handler does.
        """
        begin = thread_time()
        expected = self._talk.rate * self._busy.slice / self._busy.share
        count = int(expected + self._random.random())
        for moment in sorted(self._random.random() for _ in range(count)):
            while thread_time() < begin + moment * self._busy.slice:
                pass
            self._send()
        while thread_time() < begin + self._busy.slice:
            pass

    def _send(self) -> None:
        talk = self._talk
        self._sent += 1
        message = STAMP.pack(perf_counter_ns()).ljust(SIZE, b".")
        self._server.send_pm(talk.to, talk.sid, *PUSHED, message)


def setup(server: Server) -> None:
    """
    Register the commands.
    """
    demo.setup(server)
    Commands(server, IReactorTime(reactor))
