"""
L{diarkis_tw.rudp.connection}: the short ways for usual packets do what the general
ones do, to the last bit of state.
"""

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, Cipher
from diarkis_tw.wire.frame import (
    ACK,
    MESSAGE,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    encode_ack,
    reliable_header,
)
from tests.rudp.peer import Peer, reliable, unreliable

MTU = 600
"""Small, so that messages often fill a packet."""

MOST = 290
"""Bytes of the largest message that is taken."""

NEAR_END = DATAGRAM_NUMBER_LIMIT - 20
"""A packet number."""

WALKS = 80
STEPS = 80


class Reference(Connection):
    """
    A connection that always goes the general way.
    """

    __slots__ = ()

    def _receive_usual(self, packet: bytes, number: int, now: int) -> bool:
        return False

    def flush(self, now: int) -> list[bytes]:
        return self._flush_any(now)


def state(thing: Any, seen: dict[int, int] | None = None) -> Any:
    """
    All that an object of the protocol remembers, so that two can be compared.
    """
    if seen is None:
        seen = {}
    if isinstance(thing, list | tuple):
        return [state(item, seen) for item in thing]
    if isinstance(thing, dict):
        return {key: state(value, seen) for key, value in thing.items()}
    slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
    if isinstance(thing, Cipher):
        return None
    if not slots:
        return thing
    if id(thing) in seen:
        return seen[id(thing)]
    seen[id(thing)] = len(seen)
    return {slot: state(getattr(thing, slot), seen) for slot in slots}


class Walk:
    """
    Random things that happen to twins alike; mostly usual ones.
    """

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.full = MTU - 72 + 6
        is_client = random.random() < 0.5
        if is_client:
            self.full -= 1
        limits = Limits(
            mtu=MTU,
            window=random.choice((16, 256)),
            max_message_size=MOST,
            redundancy=random.random() < 0.8,
        )
        self.twins = [
            Peer(is_client, limits, budget=ReassemblyBudget(4_000), connection=kind)
            for kind in (Connection, Reference)
        ]
        self.now = self.twins[0].now
        self.flushes = True
        self.acks = random.choice((0.7, 0.7, 0.1, 0.0))
        loss = random.choice((0.0, 0.0, 0.005, 0.02, 0.2))
        window = random.choice((1_200, 19_200))
        largest, told = random.choice(((-1, -1), (-1, -1), (400, -1), (NEAR_END, NEAR_END)))
        for peer in self.twins:
            connection = peer.connection
            connection._congestion.loss = loss
            connection._congestion.window = window
            connection._sent.next_number = told + 1
            connection._received.largest = largest
            connection._received.told = told

    def step(self) -> list[object]:
        """
        Let one thing happen.

        @return: everything that can be known of each twin afterwards.
        """
        what = self.random.choices(
            (self.receive, self.send, self.prompt, self.wait, self.unusual), (10, 8, 2, 6, 1)
        )[0]()
        outcomes = []
        for peer in self.twins:
            peer.now = self.now
            connection = peer.connection
            fault = what(peer)
            deadline = connection.deadline()
            if deadline is not None and deadline <= self.now:
                connection.tick(self.now)
            datagrams = connection.flush(self.now) if self.flushes else []
            delivered, connection.delivered = connection.delivered, []
            outcomes.append((fault, datagrams, delivered, connection.deadline(), state(connection)))
        return outcomes

    def receive(self) -> Any:
        """
        A packet comes.
        """
        random = self.random
        connection = self.twins[1].connection
        frames = []
        if random.random() < 0.15:
            frames.append(bytes(random.randrange(1, 4)))
        if random.random() < self.acks:
            frames.append(self.ack(connection))
        frames += self.content(connection)
        skip = random.choice((0,) * 12 + (1, 2, -1, -2, 40))
        number = max(0, connection.largest + 1 + skip)
        return lambda peer: peer.give(*frames, number=number)

    def ack(self, connection: Connection) -> bytes:
        """
        An ACK, mostly of what is in flight.
        """
        random = self.random
        top = connection._sent.next_number - 1
        if random.random() < 0.01:
            return random.choice(
                (
                    encode_ack(top + 1, 0, 0),
                    encode_ack(max(top, 0), 0, 0)[:4] + b"\x21" + bytes(33),
                    encode_ack(max(top, 0), 0, 0)[:4] + b"\x20",
                    encode_ack(max(top, 0), 0, 0) * 2,
                )
            )
        if top < 0:
            return b""
        largest = top - random.choice((0,) * 6 + (1, 2, 4))
        if largest < 0:
            return b""
        bits = random.choice((0, 0, 1, 3, 6, 2**256 - 1)) & ((1 << min(largest, 256)) - 1)
        return encode_ack(largest, random.randrange(5), bits)

    def content(self, connection: Connection) -> list[bytes]:
        """
        The other frames of a packet.
        """
        random = self.random
        number = random.choice((0, 0, 0, 7))
        channel = connection._incoming.channels[number]
        expected = 0 if channel is None else channel._next
        seq = expected + random.choice((0,) * 10 + (1, 2, -1))
        data = bytes(random.choice((0, 10, 64, 150)))
        whole = reliable_header(number, max(seq, 0), True, True)
        kind = random.random()
        if kind < 0.4:
            return [whole + data]
        if kind < 0.6:
            return [bytes((MESSAGE,)) + data]
        if kind < 0.75:
            return []
        if kind < 0.85:
            first, last = channel is None or channel._open is None, random.random() < 0.5
            return [reliable_header(number, max(seq, 0), first, last) + data]
        if kind < 0.98:
            return random.choice(
                (
                    [reliable(max(seq, 0), data, number), unreliable(data), whole + data],
                    [bytes((PING,))],
                    [bytes((PATH_CHALLENGE,)) + bytes(8), bytes((MESSAGE,))],
                    [bytes((PATH_RESPONSE,)) + bytes(8)],
                    [whole + bytes(MOST + 6)],
                )
            )
        return random.choice(
            (
                [whole + bytes(MOST + 7)],
                [b"\x58\x00"],
                [b"\xd8\x00\x00"],
                [b"\x59"],
                [b"\x02\x00"],
                [b"\x03\x07"],
                [reliable_header(number, max(seq, 0), False, True)],
            )
        )

    def send(self) -> Any:
        """
        The owner sends.
        """
        random = self.random
        size = random.choice((0, 10, 64, 64, 200, self.full - 2, self.full - 1, self.full))
        is_reliable = random.random() < 0.6
        channel = random.choice((0, 0, 0, 3))
        if is_reliable and size > 200:
            size = random.choice((200, MOST))
        message = random.randbytes(size)
        return lambda peer: peer.connection.send(message, is_reliable, channel, peer.now)

    def prompt(self) -> Any:
        """
        The owner sends something unreliable that shall leave at once, if it may.
        """
        message = self.random.randbytes(self.random.choice((0, 64, self.full, self.full + 1)))
        datagrams: list[bytes] = []

        def send(peer: Peer) -> object:
            connection = peer.connection
            if not datagrams:
                datagram = connection.prompt(message)
                if datagram is not None:
                    datagrams.append(datagram)
                    return datagrams
            elif connection.send(message, False, 0, peer.now):
                return connection.flush(peer.now)
            try:
                return connection.send(message, False, 0, peer.now)
            except LocalProtocolError as error:
                return str(error)

        return send

    def wait(self) -> Any:
        """
        Time passes.
        """
        self.now += self.random.choice((0, 100, 1_000, 5_000, 21_000, 60_000, 250_000))
        return lambda peer: None

    def unusual(self) -> Any:
        """
        Something rare: the owner pauses, memory is short, a loss is noticed, sends
        are gathered for a while...
        """
        random = self.random
        kind = random.randrange(8)
        if kind == 0:
            paused = not self.twins[0].connection.paused
            return lambda peer: setattr(peer.connection, "paused", paused)
        if kind == 1:
            used = random.choice((0, 0, 3_900))
            return lambda peer: setattr(peer.budget, "used", max(used, sum(_held(peer.connection))))
        if kind == 2:
            loss = random.choice((0.0, 0.001, 0.009, 0.011, 0.1))
            return lambda peer: setattr(peer.connection._congestion, "loss", loss)
        if kind == 3:
            self.flushes = not self.flushes
            return lambda peer: None
        if kind == 4:
            return lambda peer: peer.connection.ping()
        if kind == 5:
            return lambda peer: setattr(peer.connection._congestion, "_budget", -600)
        if kind == 6:
            return lambda peer: setattr(peer.connection.sender, "_probes", 1)
        if random.random() < 0.1:
            return lambda peer: peer.connection.close(CloseCode.KICKED, peer.now)
        size = random.choice((1_200, 4_800))
        return lambda peer: setattr(peer.connection._congestion, "window", size)


def _held(connection: Connection) -> list[int]:
    return [channel.held for channel in connection._incoming.channels if channel is not None]


class UsualTests(SynchronousTestCase):
    """
    Twins, one of which never takes a short way.
    """

    def test_same(self) -> None:
        """
        Whatever happens in whatever order: the same datagrams, the same messages, the
        same deadlines, the same state.
        """
        for seed in range(WALKS):
            walk = Walk(seed)
            for step in range(STEPS):
                usual, reference = walk.step()
                self.assertEqual(usual, reference, f"seed {seed}, step {step}")
                if walk.twins[0].connection.state is State.CLOSED:
                    break

    def both(self, is_client: bool = False, limits: Limits | None = None) -> list[Peer]:
        """
        Make twins without a walk.
        """
        return [Peer(is_client, limits, connection=kind) for kind in (Connection, Reference)]

    def assertSame(self, twins: list[Peer]) -> None:
        """
        Twins send the same and are the same.
        """
        flushed = [peer.connection.flush(peer.now) for peer in twins]
        self.assertEqual(*flushed)
        self.assertEqual(*(state(peer.connection) for peer in twins))

    def test_edges(self) -> None:
        """
        Frames that are nearly usual.
        """
        whole = reliable_header(0, 1, True, True)
        for frames in (
            bytes((ACK, 0, 0, 0, 33)) + bytes(33),
            bytes((ACK, 0, 0, 0, 33)) + bytes(33) + whole,
            bytes((ACK, 0, 0, 0, 1)),
            bytes((ACK, 0, 0, 0)),
            bytes((ACK, 0, 0, 0, 0)) * 2,
            bytes((ACK, 0, 0, 0, 0)) + bytes(3),
            bytes((ACK, 0, 0, 0, 0)) + bytes(3) + whole,
            bytes((whole[0] | 0x80,)) + whole[1:],
            whole[:2],
            whole,
            bytes(20),
            b"",
        ):
            twins = self.both()
            for peer in twins:
                peer.give(reliable_header(0, 0, True, True))
                peer.flush()
                peer.give(frames)
            self.assertSame(twins)

    def test_fullWindow(self) -> None:
        """
        A lone message that the window of its channel holds up.
        """
        twins = self.both(limits=Limits(window=16))
        for _ in range(18):
            for peer in twins:
                peer.connection.send(b"x", True)
            self.assertSame(twins)
        self.assertEqual(len(twins[0].connection._sent.packets), 16)

    def test_fullPacket(self) -> None:
        """
        A message that fills a frame, beside an ACK of every length.
        """
        for count in range(0, 300, 5):
            twins = self.both(is_client=True)
            for peer in twins:
                peer.give(b"", number=0)
                peer.give(bytes((PING,)), number=count)
                peer.connection._received._missing = 0
                peer.connection.send(bytes(1128 + 5), True)
            self.assertSame(twins)
