"""
The soak: C{python -m bench.soak}. A million messages of all sorts over one simulated
connection at 30 % loss, 10 % duplication and 5 % reordering, each checked as it
arrives; memory must stay flat and the time bounded.

No socket and no real time is in it: the same seed gives the same run.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.figures import machine
from diarkis_tw.testing.simulation import MILLISECOND, SECOND, LinkModel, Pair, Simulation
from diarkis_tw.testing.traffic import Traffic, describe

LINK: Final = LinkModel(
    delay=50 * MILLISECOND,
    jitter=10 * MILLISECOND,
    loss=0.30,
    duplication=0.10,
    reordering=0.05,
)

STEPS: Final = 20
"""Progress lines, and looks at the memory."""

WARM_UP: Final = 2
"""Steps after which memory must stay what it is."""

GROWTH_MOST: Final = 8 * 1024 * 1024
"""Bytes that the process may grow after them: buffers fill and drain, nothing more."""

TIME_MOST: Final = 600.0
"""Seconds of CPU for a million messages; more means that work grows with their number."""


def parser() -> argparse.ArgumentParser:
    """
    Describe the options.
    """
    options = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    options.add_argument("--messages", type=int, default=1_000_000, help="both ways together")
    options.add_argument("--seed", type=int, default=1)
    return options


def resident_bytes() -> int:
    """
    Read the memory that this process holds.
    """
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def run(messages: int, seed: int) -> str | None:
    """
    Send and check them.

    @return: what is wrong; L{None} if nothing is.
    """
    simulation = Simulation(seed)
    pair = Pair(simulation, LINK, LINK)
    each = messages // 2
    up = Traffic(simulation, pair.client, pair.server, each, seed)
    down = Traffic(simulation, pair.server, pair.client, each, seed + 1)
    flat = 0
    began = time.process_time()
    for step in range(1, STEPS + 1):
        goal = messages * step // STEPS

        def reached(goal: int = goal) -> bool:
            return (
                up.sent + up.dropped + down.sent + down.dropped >= goal
                and (goal < 2 * each or (up.is_done() and down.is_done()))
            ) or not pair.is_open()

        simulation.run(simulation.now + 24 * 3600 * SECOND, reached)
        took = time.process_time() - began
        memory = resident_bytes()
        print(
            f"{goal:>9} messages  {simulation.now // SECOND:>6} s simulated  "
            f"{took:6.1f} s CPU  {memory / 2**20:6.1f} MB  "
            f"packet numbers {pair.client.connection.largest:,} {pair.server.connection.largest:,}",
            flush=True,
        )
        if not pair.is_open():
            return f"closed: {describe(pair.client.connection)}; {describe(pair.server.connection)}"
        if step == WARM_UP:
            flat = memory
        elif step > WARM_UP and memory > flat + GROWTH_MOST:
            return f"memory grew from {flat} to {memory} bytes"
        if took > TIME_MOST * max(messages, 100_000) / 1_000_000:
            return f"{took:.0f} s of CPU"
    if not (up.is_done() and down.is_done()):
        return f"not all arrived: {describe(pair.client.connection)}"
    print(
        f"{up.arrived + down.arrived} of {up.sent + down.sent} messages arrived, every "
        f"reliable one once and in order; {up.dropped + down.dropped} unreliable ones met a "
        "full queue\n"
        f"{messages / took:,.0f} messages per second of one core; "
        f"transcript {simulation.transcript()}"
    )
    return None


def main(arguments: Sequence[str]) -> int:
    """
    Run it.

    @return: the exit status.
    """
    options = parser().parse_args(arguments)
    print(machine())
    wrong = run(options.messages, options.seed)
    if wrong is not None:
        print(f"FAILED: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
