"""
The load on rooms: every member speaks so many times a second, the members in turn, so
that they are spread evenly over the period. One thread, non-blocking sockets,
epoll.

Rules:

  - Time that was lost is not caught up with a burst of messages, which would
    be cheaper to relay than what players send.
  - No more of a room's messages are under way at a time than it has members: a
    server that is too slow for the rate is measured at the rate that it
    manages, instead of running over.
"""

import gc
import select
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, zip_longest
from time import perf_counter
from typing import Final

from bench.load import STUCK
from bench.process import ServerProcess
from bench.room_member import Member

RATE: Final = 20
"""Messages a second of each member."""

LATE: Final = 0.002
"""Seconds that the load may be late and still catch up: one pass over all sockets."""

REST: Final = 0.05
"""Seconds for what still comes when everything is delivered: acknowledgements."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """
    What one phase gave.

    @ivar deliveries: messages times members.
    @ivar cpu: seconds of the server's CPU for them.
    @ivar took: seconds in all.
    @ivar rate: messages a second of each member; L{RATE} if all kept up.
    @ivar together: deliveries that a member received at a time.
    """

    deliveries: int
    cpu: float
    took: float
    rate: float
    together: float

    @property
    def per_second(self) -> float:
        """
        Deliveries per second of the server's CPU.
        """
        return self.deliveries / self.cpu

    @property
    def busy(self) -> float:
        """
        Percent of its core that the server used.
        """
        return self.cpu / self.took * 100


class LoadedRoom:
    """
    One room.

    @ivar spoken: for each message of the phase, who said which text.
    @ivar missing: deliveries that are still to come.
    """

    __slots__ = ("members", "missing", "most", "spoken")

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.spoken: list[tuple[Member, int]] = []
        self.missing = 0
        self.most = len(members) * (len(members) - 1)

    def check(self) -> None:
        """
        Every member must have heard every message of the phase once, and nothing else.

        @raise RuntimeError: one has not.
        """
        expected = [speaker.said(number) for speaker, number in self.spoken]
        self.spoken.clear()
        everything = set(expected)
        for member in self.members:
            heard = member.heard()
            if len(heard) != len(expected) or set(heard) != everything:
                raise RuntimeError(f"{member.name} has not heard what was said")


class RoomLoad:
    """
    All rooms of one server.
    """

    def __init__(self, process: ServerProcess, rooms: Sequence[Sequence[Member]]) -> None:
        """
        @param rooms: their members; nothing is left to be received.
        """
        self._process = process
        self._rooms = [LoadedRoom(members) for members in rooms]
        self._numbers = 0
        self._received = 0
        self._speakers = [
            (room, member)
            for members in zip_longest(*rooms)
            for room, member in zip(self._rooms, members, strict=True)
            if member is not None
        ]
        self._idle = cycle(self._speakers)
        self._by_fd = {member.socket.fileno(): (room, member) for room, member in self._speakers}
        self._epoll = select.epoll()
        for descriptor in self._by_fd:
            self._epoll.register(descriptor, select.EPOLLIN)

    def close(self) -> None:
        """
        Let all members leave.
        """
        self._epoll.close()
        for _, member in self._speakers:
            member.leave()

    def run(self, seconds: float) -> Relayed:
        """
        Let everybody speak for a while, and check what was heard.
        """
        process = self._process
        gc.disable()  # what is heard is kept, so looking for garbage would take longer and longer
        try:
            self._received = 0
            cpu, begin = process.cpu_time(), perf_counter()
            messages = self._speak(seconds)
            self._drain()
            took, cpu = perf_counter() - begin, process.cpu_time() - cpu
            received = self._received
            self._rest()
        finally:
            gc.enable()
        deliveries = sum(len(room.spoken) * len(room.members) for room in self._rooms)
        for room in self._rooms:
            room.check()
        rate = messages / took / len(self._speakers)
        return Relayed(deliveries, cpu, took, rate, deliveries / received)

    def _speak(self, seconds: float) -> int:
        """
        @return: how many messages were said.
        """
        period = 1 / (RATE * len(self._speakers))
        speakers = cycle(self._speakers)
        first = self._numbers
        due = now = perf_counter()
        end = due + seconds
        while True:
            room, member = next(speakers)
            while now < due or room.missing > room.most:
                # An epoll timeout is whole milliseconds, so poll: the core is ours.
                now = self._receive(STUCK if room.missing > room.most else 0)
            if now >= end:
                return self._numbers - first
            self._numbers += 1
            room.spoken.append((member, self._numbers))
            room.missing += len(room.members)
            member.say(self._numbers)
            due = max(due + period, now - LATE)

    def _drain(self) -> None:
        while any(room.missing for room in self._rooms):
            self._receive(STUCK)

    def _rest(self) -> None:
        for _, member in self._speakers:
            member.rest()
        end = perf_counter() + REST
        while self._receive(0) < end:
            pass

    def _receive(self, patience: float) -> float:
        """
        Receive what has come.

        @param patience: seconds after which it is an error that nothing does.
        @return: the time.
        """
        begin = perf_counter()
        while not (ready := self._epoll.poll(0)):
            next(self._idle)[1].tick()
            now = perf_counter()
            if not patience:
                return now
            if now - begin > patience:
                raise RuntimeError(f"no delivery for {patience} s")
        by_fd = self._by_fd
        self._received += len(ready)
        for descriptor, _ in ready:
            room, member = by_fd[descriptor]
            room.missing -= member.receive()
        return perf_counter()
