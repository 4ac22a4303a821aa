"""
What reliable UDP gives on bad networks: C{python -m bench.reliability}. One-way
latency of a stream and goodput of a bulk transfer at several loss rates, from the
simulation, as the Markdown of C{docs/performance.md}.

No socket and no real time is in it: the figures are those of the protocol, not of
the machine, and the same seeds give the same ones.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.figures import percentile
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.testing.simulation import MILLISECOND, SECOND, LinkModel, Pair, Simulation

LOSSES: Final = (0.0, 0.01, 0.05, 0.10, 0.20, 0.30)

ONE_WAY: Final = 50 * MILLISECOND
JITTER: Final = 10 * MILLISECOND

STREAM_SIZE: Final = 64
STREAM_INTERVAL: Final = SECOND // 30
STREAM_TIME: Final = 120 * SECOND

BULK_SIZE: Final = 4_000_000
BULK_MESSAGE: Final = 1_000
BULK_BANDWIDTH: Final = 20_000_000 // 8
BULK_QUEUE: Final = 100 * MILLISECOND
BULK_REFILL: Final = 5 * MILLISECOND
BULK_TIME_MOST: Final = 300 * SECOND


@dataclass(frozen=True, slots=True)
class Stream:
    """
    What a stream gave: one-way latency in milliseconds, and bytes sent for each
    byte of message.
    """

    half: float
    most: float
    worst: float
    cost: float


@dataclass(frozen=True, slots=True)
class Bulk:
    """
    What a transfer gave: KiB per second, and bytes sent for each byte of message.
    """

    rate: float
    cost: float


def stream(loss: float, redundancy: bool, seed: int) -> Stream:
    """
    Send small messages at 30 Hz.
    """
    simulation = Simulation(seed)
    model = LinkModel(delay=ONE_WAY, jitter=JITTER, loss=loss)
    pair = Pair(simulation, model, model, Limits(redundancy=redundancy))
    took: list[float] = []

    def arrived(message: bytes, reliable: bool) -> None:
        took.append((simulation.now - int.from_bytes(message[:8])) / MILLISECOND)

    def pump() -> None:
        if simulation.now < STREAM_TIME:
            pair.client.send(simulation.now.to_bytes(8) + bytes(STREAM_SIZE - 8))
            simulation.at(simulation.now + STREAM_INTERVAL, pump)

    pair.server.on_message = arrived
    simulation.at(0, pump)
    simulation.run(STREAM_TIME + 30 * SECOND)
    sent = STREAM_TIME // STREAM_INTERVAL + bool(STREAM_TIME % STREAM_INTERVAL)
    if len(took) != sent:
        raise RuntimeError(f"{len(took)} of {sent} messages arrived")
    took.sort()
    return Stream(
        percentile(took, 50),
        percentile(took, 95),
        percentile(took, 99),
        pair.up_link.size / (sent * STREAM_SIZE),
    )


def bulk(loss: float, seed: int) -> Bulk:
    """
    Send as much as is taken.
    """
    simulation = Simulation(seed)
    up = LinkModel(delay=ONE_WAY, loss=loss, bandwidth=BULK_BANDWIDTH, queue=BULK_QUEUE)
    pair = Pair(simulation, up, LinkModel(delay=ONE_WAY, loss=loss))
    sent = arrived = 0

    def on_message(message: bytes, reliable: bool) -> None:
        nonlocal arrived
        arrived += len(message)

    def pump() -> None:
        nonlocal sent
        while sent < BULK_SIZE and pair.client.send(bytes(BULK_MESSAGE)):
            sent += BULK_MESSAGE
        if sent < BULK_SIZE:
            simulation.at(simulation.now + BULK_REFILL, pump)

    pair.server.on_message = on_message
    simulation.at(0, pump)
    simulation.run(BULK_TIME_MOST, lambda: arrived >= BULK_SIZE)
    if arrived < BULK_SIZE:
        raise RuntimeError(f"{arrived} bytes arrived in {BULK_TIME_MOST // SECOND} s")
    return Bulk(BULK_SIZE / 1024 / (simulation.now / SECOND), pair.up_link.size / BULK_SIZE)


def latency_table(seeds: Sequence[int]) -> str:
    """
    Measure the streams, medians of all seeds.
    """

    def cells(loss: float, redundancy: bool) -> tuple[str, str]:
        runs = [stream(loss, redundancy, seed) for seed in seeds]

        def middle(value: Callable[[Stream], float]) -> float:
            return median(map(value, runs))

        latency = "/".join(
            f"{middle(value):.0f}"
            for value in (lambda r: r.half, lambda r: r.most, lambda r: r.worst)
        )
        return latency, f"{middle(lambda r: r.cost):.2f}"

    lines = [
        "| loss | p50/p95/p99 ms | bytes sent per byte | with redundancy | bytes sent per byte |",
        "|---|---|---|---|---|",
    ]
    for loss in LOSSES:
        row = [f"{loss:.0%}", *cells(loss, False), *cells(loss, True)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def bulk_table(seeds: Sequence[int]) -> str:
    """
    Measure the transfers, medians of all seeds.
    """
    lines = [
        "| loss | KB/s | least-greatest | bytes sent per byte |",
        "|---|---|---|---|",
    ]
    for loss in LOSSES:
        runs = [bulk(loss, seed) for seed in seeds]
        rates = [run.rate for run in runs]
        lines.append(
            f"| {loss:.0%} | {median(rates):.0f} | {min(rates):.0f}-{max(rates):.0f} | "
            f"{median(run.cost for run in runs):.2f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """
    Measure and print.

    @return: the exit status.
    """
    options = argparse.ArgumentParser(prog="python -m bench.reliability", description=__doc__)
    options.add_argument("--seeds", type=int, default=7, help="runs of each case")
    seeds = range(1, options.parse_args(arguments).seeds + 1)
    print(
        f"One-way latency of {STREAM_SIZE} bytes {SECOND // STREAM_INTERVAL} times a second for "
        f"{STREAM_TIME // SECOND} s, round trip {2 * ONE_WAY // MILLISECOND} ms and "
        f"{JITTER // MILLISECOND} ms of jitter each way; medians of {len(seeds)} seeds\n"
    )
    print(latency_table(seeds), flush=True)
    print(
        f"\nGoodput of {BULK_SIZE // 1_000_000} MB in messages of {BULK_MESSAGE} bytes, "
        f"{BULK_BANDWIDTH * 8 // 1_000_000} Mbit/s, a queue of {BULK_QUEUE // MILLISECOND} ms "
        f"that drops its tail, round trip {2 * ONE_WAY // MILLISECOND} ms\n"
    )
    print(bulk_table(seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
