"""
Servers that take turns under the same load.

Rules:

  - All take turns within each round, so that whatever else the machine does
    meets them all.
  - CPU time is the server process's own, user and system, over the steady part:
    after the warm-up, before the last answers.
  - A wrong answer fails the run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.figures import percentile, spread
from bench.load import Load
from bench.process import ServerProcess

WARM_UP: Final = 0.3
"""Part of a phase, in seconds, that is not counted."""

PREPARED_RATE: Final = 60_000
"""Requests a second that are made beforehand; more are made as they are needed."""

CLEAN: Final = 85
"""Percent of its core that a server should have had in a closed loop."""


@dataclass(frozen=True, slots=True)
class Phase:
    """
    What one phase gave.

    @ivar cpu: microseconds of the server's CPU per message.
    @ivar half: median round trip in milliseconds; C{most}: 99 % are faster.
    @ivar rate: messages per second.
    @ivar busy: percent of its core that the server used.
    @ivar system: percent of its CPU time spent in the kernel.
    """

    cpu: float
    half: float
    most: float
    rate: float
    busy: float
    system: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    A server and its load.
    """

    name: str
    process: ServerProcess
    load: Load

    def closed_loop(self, seconds: float) -> Phase:
        """
        Measure with one request of each client always in flight.
        """
        self._prepare(PREPARED_RATE * (seconds + WARM_UP))
        self.load.begin()
        self.load.closed_loop(WARM_UP)
        phase = self._measure(lambda: self.load.closed_loop(seconds))
        self.load.drain([])
        self._check()
        return phase

    def fixed_rate(self, seconds: float, rate: float) -> Phase:
        """
        Measure with C{rate} requests a second.
        """
        self._prepare(rate * (seconds + WARM_UP))
        self.load.fixed_rate(WARM_UP, rate)
        phase = self._measure(lambda: self.load.fixed_rate(seconds, rate))
        self._check()
        return phase

    def _prepare(self, messages: float) -> None:
        clients = self.load.clients
        for client in clients:
            client.prepare(int(messages / len(clients)) + 1)

    def _check(self) -> None:
        for client in self.load.clients:
            client.check()

    def _measure(self, phase: Callable[[], list[float]]) -> Phase:
        process = self.process
        user, system = process.user_and_system()
        cpu, begin = process.cpu_time(), time.perf_counter()
        times = phase()
        cpu, took = process.cpu_time() - cpu, time.perf_counter() - begin
        user_now, system_now = process.user_and_system()
        user, system = user_now - user, system_now - system
        times.sort()
        return Phase(
            cpu=cpu / len(times) * 1e6,
            half=percentile(times, 50) * 1e3,
            most=percentile(times, 99) * 1e3,
            rate=len(times) / took,
            busy=cpu / took * 100,
            system=system / ((user + system) or 1) * 100,
        )


@contextmanager
def loaded(contestant: Contestant) -> Iterator[Contestant]:
    """
    Close the load's sockets in the end.
    """
    try:
        yield contestant
    finally:
        contestant.load.close()


def contest(
    contestants: Sequence[Contestant], rounds: int, seconds: float, rate: float
) -> tuple[list[list[Phase]], list[list[Phase]]]:
    """
    Measure all in turn.

    @param contestants: the floor first.
    @param seconds: of each closed-loop phase; the fixed rate takes half as long.
    @param rate: requests a second; 0 = closed loop alone.
    @return: by round and contestant, the closed loops and the fixed rates.
    """
    closed, paced = [], []
    for number in range(1, rounds + 1):
        closed.append(_turns(contestants, number, seconds, 0))
        if rate:
            paced.append(_turns(contestants, number, seconds / 2, rate))
    return closed, paced


def report(title: str, names: Sequence[str], rounds: Sequence[Sequence[Phase]]) -> None:
    """
    Print a table of what was measured.
    """
    print(f"\n{title}; median (least-greatest)")
    print(f"{'':16}{'CPU us/message':24}{'p50 ms':24}{'p99 ms':24}{'messages/s':26}busy  kernel")
    for name, phases in zip(names, zip(*rounds, strict=True), strict=True):
        print(
            f"{name:16}"
            f"{spread([phase.cpu for phase in phases]):24}"
            f"{spread([phase.half for phase in phases], 2):24}"
            f"{spread([phase.most for phase in phases], 2):24}"
            f"{spread([phase.rate for phase in phases], 0):26}"
            f"{median(phase.busy for phase in phases):3.0f} %"
            f"{median(phase.system for phase in phases):6.0f} %"
        )
    for index, name in enumerate(names[1:], 1):
        above = spread([phases[index].cpu - phases[0].cpu for phases in rounds])
        print(f"{'above':16}{above:24}{name}", flush=True)


def report_unclean(names: Sequence[str], rounds: Sequence[Sequence[Phase]]) -> None:
    """
    Say which servers waited in a closed loop.
    """
    for name, phases in zip(names, zip(*rounds, strict=True), strict=True):
        busy = median(phase.busy for phase in phases)
        if busy < CLEAN:
            print(
                f"{name} had work for {busy:.0f} % of its core: the load is slower, or something "
                "else ran. Its figure is too high.",
                flush=True,
            )


def _turns(
    contestants: Sequence[Contestant], number: int, seconds: float, rate: float
) -> list[Phase]:
    count = len(contestants)
    phases: dict[int, Phase] = {}
    for index in ((number + turn) % count for turn in range(count)):
        contestant = contestants[index]
        if rate:
            phases[index] = contestant.fixed_rate(seconds, rate)
        else:
            phases[index] = contestant.closed_loop(seconds)
    ordered = [phases[index] for index in range(count)]
    kind = "fixed rate " if rate else "closed loop"
    figures = "  ".join(
        f"{contestant.name} {phase.cpu:.1f} us"
        for contestant, phase in zip(contestants, ordered, strict=True)
    )
    print(f"round {number} {kind}  {figures}", flush=True)
    return ordered
