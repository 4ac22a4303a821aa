"""
A network that does not exist: links with delay, loss and the rest, in virtual
time, from one seed. The same seed gives the same run, byte for byte, and
C{Simulation.transcript} proves it.

All times are integers of microseconds.
"""

import hashlib
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.cipher import AeadCache, Cipher

EVENTS_MOST: Final = 200_000_000
"""Events of one run; more means that something repeats without time passing."""

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LinkModel:
    """
    What one direction of a link does to datagrams. Shares are 0..1.

    @ivar delay: one way.
    @ivar jitter: added to it, uniformly from 0 to this; keeps the order.
    @ivar loss: independent of each other.
    @ivar burst: chance that a datagram begins a burst in which all are lost.
    @ivar burst_length: datagrams of a burst, on average.
    @ivar duplication: share that arrives twice.
    @ivar reordering: share that is held back, by C{reordering_delay} at most.
    @ivar corruption: share with one bit turned.
    @ivar bandwidth: bytes per second; 0 = without limit.
    @ivar queue: how long the queue before it may be, in time; what comes later
        is dropped.
    @ivar black_holes: times C{(from, to)} in which nothing comes through.
    """

    delay: int = 0
    jitter: int = 0
    loss: float = 0.0
    burst: float = 0.0
    burst_length: float = 8.0
    duplication: float = 0.0
    reordering: float = 0.0
    reordering_delay: int = 50 * MILLISECOND
    corruption: float = 0.0
    bandwidth: int = 0
    queue: int = 100 * MILLISECOND
    black_holes: Sequence[tuple[int, int]] = ()


class Simulation:
    """
    Virtual time and everything that happens in it.

    @ivar now: the present.
    @ivar random: the only source of chance.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.random = random.Random(seed)  # noqa: S311 - it must repeat
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def at(self, time: int, callback: Callable[[], None]) -> None:
        """
        Call C{callback} at C{time}; in the order of scheduling if several.
        """
        self._count += 1
        heapq.heappush(self._events, (max(time, self.now), self._count, callback))

    def note(self, *facts: object) -> None:
        """
        Write into the transcript.
        """
        self._hash.update(repr((self.now, facts)).encode())

    def transcript(self) -> str:
        """
        The hash of all that was noted.
        """
        return self._hash.hexdigest()

    def run(self, until: int, stop: Callable[[], bool] = lambda: False) -> None:
        """
        Let time pass.

        @param until: when to stop.
        @param stop: asked after each event.
        """
        events = self._events
        for _ in range(EVENTS_MOST):
            if not events or events[0][0] > until:
                break
            self.now, _, callback = heapq.heappop(events)
            callback()
            if stop():
                return
        else:
            raise AssertionError("the simulation does not come to rest")
        self.now = max(self.now, until)


class Link:
    """
    One direction between two ends.

    @ivar datagrams: how many were sent into it.
    @ivar size: their bytes.
    """

    def __init__(self, simulation: Simulation, model: LinkModel) -> None:
        self._simulation = simulation
        self.model = model
        self.receiver: Callable[[bytes], None] = lambda datagram: None
        self._free_at = 0
        self._last_arrival = 0
        self._burst = 0
        self.datagrams = 0
        self.size = 0

    def send(self, datagram: bytes) -> None:
        """
        Put a datagram in.
        """
        self.datagrams += 1
        self.size += len(datagram)
        simulation, model = self._simulation, self.model
        chance = simulation.random.random
        now = simulation.now
        simulation.note("sent", datagram)
        if any(start <= now < end for start, end in model.black_holes):
            return
        if model.bandwidth:
            start = max(now, self._free_at)
            if start - now > model.queue:
                return
            self._free_at = now = start + len(datagram) * SECOND // model.bandwidth
        if self._burst:
            self._burst -= 1
            return
        if model.burst and chance() < model.burst:
            self._burst = int(simulation.random.expovariate(1 / model.burst_length))
            return
        if model.loss and chance() < model.loss:
            return
        if model.corruption and chance() < model.corruption:
            bit = simulation.random.randrange(len(datagram) * 8)
            turned = bytearray(datagram)
            turned[bit >> 3] ^= 1 << (bit & 7)
            datagram = bytes(turned)
        arrival = now + model.delay
        if model.jitter:
            arrival += int(chance() * model.jitter)
        if model.reordering and chance() < model.reordering:
            arrival += int(chance() * model.reordering_delay)
        else:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._deliver(arrival, datagram)
        if model.duplication and chance() < model.duplication:
            self._deliver(arrival + int(chance() * model.reordering_delay), datagram)

    def _deliver(self, arrival: int, datagram: bytes) -> None:
        self._simulation.at(arrival, lambda: self.receiver(datagram))


class End:
    """
    A reliable UDP connection in a simulation.

    @ivar connection: the real one.
    @ivar on_message: called with each message and whether it was reliable.
    @ivar endings: when the connection was found to be no longer open, and its
        code; one entry, or something is wrong.
    """

    def __init__(self, simulation: Simulation, connection: Connection, link: Link) -> None:
        """
        @param link: where its datagrams go.
        """
        self._simulation = simulation
        self.connection = connection
        self._link = link
        self._armed: int | None = None
        self._flushing = False
        self.on_message: Callable[[bytes, bool], None] = lambda message, reliable: None
        self.endings: list[tuple[int, CloseCode | None]] = []

    def receive(self, datagram: bytes) -> None:
        """
        A datagram arrived.
        """
        connection = self.connection
        connection.receive(datagram, self._simulation.now)
        delivered, connection.delivered = connection.delivered, []
        for message, reliable in delivered:
            self._simulation.note("delivered", message)
            self.on_message(message, reliable)
        self.flush_soon()

    def send(self, message: bytes, reliable: bool = True, channel: int = 0) -> bool:
        """
        Send a message; what is sent at one instant goes out together.
        """
        sent = self.connection.send(message, reliable, channel, self._simulation.now)
        self.flush_soon()
        return sent

    def flush_soon(self) -> None:
        """
        Flush after everything else of this instant.
        """
        if not self._flushing:
            self._flushing = True
            self._simulation.at(self._simulation.now, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        now = self._simulation.now
        for datagram in self.connection.flush(now):
            self._link.send(datagram)
        code = self.connection.code
        if self.connection.state is not State.OPEN and [c for _, c in self.endings] != [code]:
            self.endings.append((now, code))
            self._simulation.note("ended", code)
        deadline = self.connection.deadline()
        if deadline is not None and (self._armed is None or deadline < self._armed):
            self._armed = deadline
            self._simulation.at(deadline, lambda: self._tick(deadline))

    def _tick(self, armed: int) -> None:
        if self._armed != armed:
            return
        self._armed = None
        deadline = self.connection.deadline()
        if deadline is not None and deadline <= self._simulation.now:
            self.connection.tick(self._simulation.now)
        self._flush()


@dataclass(slots=True)
class Pair:
    """
    A client and a server on a link of two directions.
    """

    simulation: Simulation
    up: LinkModel
    down: LinkModel
    limits: Limits = field(default_factory=Limits)
    encrypted: bool = True
    client: End = field(init=False)
    server: End = field(init=False)
    up_link: Link = field(init=False)
    down_link: Link = field(init=False)

    def __post_init__(self) -> None:
        simulation = self.simulation
        ciphers = AeadCache()
        up = Cipher(bytes(range(16)), bytes(range(12)), self.encrypted, ciphers)
        down = Cipher(bytes(range(16, 32)), bytes(range(12, 24)), self.encrypted, ciphers)
        cid = bytes(range(8))
        # a handshake would have measured it
        round_trip = self.up.delay + self.down.delay + (self.up.jitter + self.down.jitter) // 2

        def connection(is_client: bool, opener: Cipher, sealer: Cipher) -> Connection:
            return Connection(
                self.limits,
                cid,
                is_client,
                opener,
                sealer,
                ReassemblyBudget(64 * 1024 * 1024),
                simulation.now,
                round_trip,
            )

        self.up_link = Link(simulation, self.up)
        self.down_link = Link(simulation, self.down)
        self.client = End(simulation, connection(True, down, up), self.up_link)
        self.server = End(simulation, connection(False, up, down), self.down_link)
        self.up_link.receiver = self.server.receive
        self.down_link.receiver = self.client.receive

    def is_open(self) -> bool:
        """
        Whether neither end has closed.
        """
        return all(end.connection.state is State.OPEN for end in (self.client, self.server))
