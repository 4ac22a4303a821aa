"""
Messages of all sorts from one end of a simulated connection to the other, each
checked when it arrives.

Rules:

  - What is sent follows from the seed and a message's place in the order alone, so
    the receiver needs no list of what was sent: memory does not grow with the
    number of messages.
  - A reliable message arrives once, in the order of its channel, byte for byte;
    an unreliable one at most once, byte for byte. Anything else is an error at
    once.

A message is its channel (C{UNRELIABLE} without one), its place in that channel as
u32, and as many bytes from a block of random ones as a table of sizes says.
"""

import random
from typing import Final

from diarkis_tw.rudp.connection import Connection
from diarkis_tw.testing.simulation import MILLISECOND, End, Simulation
from diarkis_tw.wire.frame import CHANNELS

UNRELIABLE: Final = 0xFF
UNRELIABLE_SHARE: Final = 0.3
OTHER_CHANNELS_SHARE: Final = 0.3
LARGE_SHARE: Final = 0.03
SMALL_MOST: Final = 300
LARGE_LEAST: Final = 1_000
LARGE_MOST: Final = 20_000
PAUSE_LEAST: Final = MILLISECOND
PAUSE_MOST: Final = 20 * MILLISECOND
AT_ONCE_MOST: Final = 5

_SIZES: Final = 4093
_OFFSETS: Final = 1 << 16
_STEP: Final = 131


class Traffic:
    """
    A stream of messages in one direction: mostly small, some of many fragments,
    most reliable, most of these on channel 0.

    @ivar sent: messages that the sender took.
    @ivar dropped: unreliable ones that it did not take, its queue being full.
    @ivar arrived: messages that arrived.
    """

    def __init__(
        self, simulation: Simulation, source: End, target: End, count: int, seed: int
    ) -> None:
        """
        @param count: how many messages to send.
        """
        self._simulation = simulation
        self._source = source
        self._count = count
        self._random = random.Random(seed)  # noqa: S311 - it must repeat
        choose = self._random
        self._block = choose.randbytes(_OFFSETS + LARGE_MOST)
        self._sizes = [
            choose.randint(LARGE_LEAST, LARGE_MOST)
            if choose.random() < LARGE_SHARE
            else choose.randint(0, SMALL_MOST)
            for _ in range(_SIZES)
        ]
        self._next = [0] * CHANNELS
        self._expected = [0] * CHANNELS
        self._loose = 0
        self._seen = bytearray(count)
        self._waiting: tuple[int, bytes] | None = None
        self.sent = 0
        self.dropped = 0
        self.arrived = 0
        target.on_message = self._check
        simulation.at(simulation.now, self._pump)

    def is_done(self) -> bool:
        """
        Whether all was sent and all that is reliable has arrived.
        """
        return self.sent + self.dropped == self._count and self._expected == self._next

    def _pump(self) -> None:
        for _ in range(self._random.randint(1, AT_ONCE_MOST)):
            if self.sent + self.dropped == self._count or not self._send_one():
                break
        if self.sent + self.dropped < self._count:
            pause = self._random.randint(PAUSE_LEAST, PAUSE_MOST)
            self._simulation.at(self._simulation.now + pause, self._pump)

    def _send_one(self) -> bool:
        if self._waiting is None:
            kind = self._random.random()
            if kind < UNRELIABLE_SHARE:
                message = self._message(UNRELIABLE, self._loose)
                self._loose += 1
                if self._source.send(message, reliable=False):
                    self.sent += 1
                else:
                    self.dropped += 1
                return True
            channel = 0
            if kind < UNRELIABLE_SHARE + OTHER_CHANNELS_SHARE:
                channel = self._random.randrange(CHANNELS)
            self._waiting = channel, self._message(channel, self._next[channel])
        channel, message = self._waiting
        if not self._source.send(message, reliable=True, channel=channel):
            return False
        self._waiting = None
        self._next[channel] += 1
        self.sent += 1
        return True

    def _message(self, channel: int, place: int) -> bytes:
        size = self._sizes[(place * CHANNELS + channel) % _SIZES]
        if channel == UNRELIABLE:
            size %= SMALL_MOST
        offset = place * _STEP % _OFFSETS
        return bytes((channel,)) + place.to_bytes(4) + self._block[offset : offset + size]

    def _check(self, message: bytes, reliable: bool) -> None:
        channel, place = message[0], int.from_bytes(message[1:5])
        if reliable != (channel != UNRELIABLE) or message != self._message(channel, place):
            raise AssertionError(f"message {place} of channel {channel} is not what was sent")
        if reliable:
            if place != self._expected[channel]:
                raise AssertionError(
                    f"message {place} of channel {channel} instead of {self._expected[channel]}"
                )
            self._expected[channel] += 1
        else:
            if self._seen[place]:
                raise AssertionError(f"unreliable message {place} came twice")
            self._seen[place] = 1
        self.arrived += 1


def describe(connection: Connection) -> str:
    """
    Say in a few words how a connection fares.
    """
    code = connection.code.name if connection.code is not None else "open"
    return (
        f"{code}, {connection.queued} bytes queued, {connection.retransmitted} sent again, "
        f"round trip {connection.round_trip.smoothed // MILLISECOND} ms"
    )
