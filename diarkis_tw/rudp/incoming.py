"""
The receiving half of a connection's channels, and whether there is room for more.

Rules:

  - A channel takes memory from its first frame on.
  - A packet is taken as a whole or not at all: if the process has no room for one
    of its reliable frames, the peer keeps them all and sends them again.
"""

from collections.abc import Sequence
from typing import Final

from diarkis_tw.rudp.channel import ReassemblyBudget, ReceiveChannel
from diarkis_tw.wire.frame import CHANNEL_MASK, CHANNELS, RELIABLE, Frame

_NO_CHANNELS: Final[tuple[None, ...]] = (None,) * CHANNELS


class Incoming:
    """
    The channels of one connection.

    @ivar channels: those that have been used, by number.
    """

    __slots__ = ("_budget", "_message_most", "_window", "channels")

    def __init__(self, window: int, message_most: int, budget: ReassemblyBudget) -> None:
        """
        @param message_most: bytes of a message, with its header.
        @param budget: shared by the connections of the process.
        """
        self._window = window
        self._message_most = message_most
        self._budget = budget
        self.channels: Sequence[ReceiveChannel | None] = _NO_CHANNELS

    def receive(
        self, kind: int, seq: int, data: bytes, delivered: list[tuple[bytes, bool]]
    ) -> None:
        """
        Take a RELIABLE frame.

        @param kind: its type byte.
        @param seq: its low 16 bits.
        @param delivered: where complete messages are appended.
        @raise RemoteProtocolError: outside of the window, wrong fragments, or
            too large a message.
        """
        channel = self.channels[kind & CHANNEL_MASK] or self._begin(kind & CHANNEL_MASK)
        channel.receive(kind, seq, data, delivered)

    def is_short(self) -> bool:
        """
        Whether memory is so short that each packet must be looked at with L{may_take}.
        """
        return self._budget.used > self._budget.begin

    def may_take(self, frames: list[Frame]) -> bool:
        """
        Whether the process has room for the reliable frames of a packet.
        """
        ahead = [0] * CHANNELS
        for kind, seq, _, _ in frames:
            if kind >= RELIABLE:
                number = kind & CHANNEL_MASK
                channel = self.channels[number] or self._begin(number)
                if not channel.has_room(kind, seq, ahead[number]):
                    return False
                ahead[number] += 1
        return True

    def release(self) -> None:
        """
        Give back what is held: the connection has ended.
        """
        for channel in self.channels:
            if channel is not None:
                channel.release()
        self.channels = _NO_CHANNELS

    def _begin(self, number: int) -> ReceiveChannel:
        channel = ReceiveChannel(self._window, self._message_most, self._budget)
        channels = list(self.channels)
        channels[number] = channel
        self.channels = channels
        return channel
