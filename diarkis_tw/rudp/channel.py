"""
The eight ordered streams of reliable messages, in both directions.

Rules:

  - A message is one frame or several with consecutive numbers, the first and
    the last marked; nothing declares a total.
  - Numbers count from 0 for each channel and direction, 16 bits on the wire. A
    new one is sent only below the oldest unacknowledged + window; one at or
    beyond the next expected + window is the peer's fault.
  - Delivery is in order; duplicates are dropped, what is early is kept.
  - What is kept counts in the L{ReassemblyBudget} of the process.
"""

from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.frame import FIRST, LAST, WHOLE, pack_reliable, reliable_header
from diarkis_tw.wire.packet import restore_number

HEADER_SIZE: Final = 3
"""Of a RELIABLE frame without length."""

LENGTH_SIZE: Final = 2
"""What a frame needs besides when another one follows it."""

EARLY_OVERHEAD: Final = 160
"""What Python takes for an early frame besides its data; a peer may send empty ones."""


class ReliableFrame:
    """
    A frame on its way to the peer.

    @ivar encoded: the frame without length; nothing once it is acknowledged.
    @ivar flights: packets in flight that carry it.
    @ivar waiting: it stands in the queue of retransmissions.
    @ivar copies: how often it was sent again as redundancy.
    """

    __slots__ = ("acked", "channel", "copies", "encoded", "flights", "seq", "waiting")

    def __init__(self, channel: "SendChannel", seq: int, encoded: bytes) -> None:
        self.channel = channel
        self.seq = seq
        self.encoded = encoded
        self.acked = False
        self.waiting = False
        self.flights = 0
        self.copies = 0


class SendChannel:
    """
    The sending half of a channel.
    """

    __slots__ = ("_frames", "_next", "_number", "_sent", "_window")

    def __init__(self, number: int, window: int) -> None:
        self._number = number
        self._window = window
        self._next = 0
        # Oldest first: those sent and not yet acknowledged to the last one, then
        # those never sent, from index _sent on.
        self._frames: list[ReliableFrame] = []
        self._sent = 0

    def has_unsent(self) -> bool:
        """
        Whether frames wait that were never sent.
        """
        return self._sent < len(self._frames)

    def add(self, message: bytes, most: int) -> None:
        """
        Queue a message.

        @param most: bytes of it that one frame may hold.
        """
        seq, size = self._next, len(message)
        if size <= most:
            header = pack_reliable(WHOLE | self._number, seq & 0xFFFF)
            self._frames.append(ReliableFrame(self, seq, header + message))
            self._next = seq + 1
            return
        number = self._number
        for start in range(0, size, most):
            header = reliable_header(number, seq, start == 0, start + most >= size)
            self._frames.append(ReliableFrame(self, seq, header + message[start : start + most]))
            seq += 1
        self._next = seq

    def next_frame(self) -> ReliableFrame | None:
        """
        The frame to send next; L{None} if there is none or the window is full.
        """
        frames, index = self._frames, self._sent
        if index == len(frames):
            return None
        frame = frames[index]
        if index and frame.seq >= frames[0].seq + self._window:
            return None
        return frame

    def lone(self, most: int) -> ReliableFrame | None:
        """
        The frame to send next, if it is the only one that was never sent, has at
        most C{most} bytes, and the window lets it go; else L{None}.
        """
        frames, index = self._frames, self._sent
        if index + 1 != len(frames):
            return None
        frame = frames[index]
        if len(frame.encoded) > most or (index and frame.seq >= frames[0].seq + self._window):
            return None
        return frame

    def lone_sent(self) -> None:
        """
        What L{lone} returned is in a packet.
        """
        self._sent += 1

    def take(self, frames: list[ReliableFrame], size: int, room: int) -> int:
        """
        Take frames for a packet, as many as the window and the packet let go.

        @param frames: where they are appended.
        @param size: bytes of the packet so far.
        @param room: bytes that it may have.
        @return: its size with them.
        """
        queue, index = self._frames, self._sent
        limit = queue[0].seq + self._window
        while index < len(queue):
            frame = queue[index]
            with_this = size + len(frame.encoded) + LENGTH_SIZE
            if with_this > room or frame.seq >= limit:
                break
            size = with_this
            frames.append(frame)
            index += 1
        self._sent = index
        return size

    def arrived(self, frame: ReliableFrame) -> int:
        """
        A frame is acknowledged: mark it, and forget those in front that are.

        @return: bytes of its data.
        """
        frame.acked = True
        size = len(frame.encoded) - HEADER_SIZE
        # Lost packets and the like may refer to it for long.
        frame.encoded = b""
        frames, sent = self._frames, self._sent
        if frames[0] is frame:
            count = 1
            while count < sent and frames[count].acked:
                count += 1
            del frames[:count]
            self._sent = sent - count
        return size


class ReassemblyBudget:
    """
    Bytes of incomplete and early messages, of all connections of a process.

    Above C{begin}, three quarters of it, nothing new is kept, so that messages
    of which a part is here can still become complete.

    @ivar used: bytes held.
    @ivar most: bytes at which nothing is kept.
    """

    __slots__ = ("begin", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.begin = most * 3 // 4
        self.used = 0


class ReceiveChannel:
    """
    The receiving half of a channel.

    @ivar held: bytes that it keeps, as the budget counts them.
    """

    __slots__ = ("_budget", "_early", "_most", "_next", "_open", "_window", "held")

    def __init__(self, window: int, most: int, budget: ReassemblyBudget) -> None:
        """
        @param most: bytes of the largest message.
        """
        self._window = window
        self._most = most
        self._budget = budget
        self._next = 0
        self._early: dict[int, tuple[int, bytes]] | None = None
        # One growing array, not a list: fragments may be empty, and without number.
        self._open: bytearray | None = None
        self.held = 0

    def receive(
        self, kind: int, seq16: int, data: bytes, delivered: list[tuple[bytes, bool]]
    ) -> None:
        """
        Take a RELIABLE frame.

        @param kind: its type byte.
        @param delivered: where complete messages are appended.
        @raise RemoteProtocolError: outside of the window, wrong fragments, or
            too large a message.
        """
        expected = self._next
        seq = expected if seq16 == expected & 0xFFFF else restore_number(seq16, expected)
        if seq == expected:
            self._accept(kind, data, delivered)
            if self._early is not None:
                self._accept_early(self._early, delivered)
        elif seq > expected:
            if seq >= expected + self._window:
                raise RemoteProtocolError("a seq beyond the window")
            if self._early is None:
                self._early = {}
            if seq not in self._early:
                self._early[seq] = (kind, data)
                self._hold(len(data) + EARLY_OVERHEAD)

    def take_whole(self, seq16: int, data: bytes) -> bool:
        """
        Take a frame that is a whole message, if it is the one expected and nothing
        else waits here: what L{receive} does with it, for a packet that is as most
        are.

        @return: whether C{data} is to be delivered; if not, nothing was done.
        """
        expected = self._next
        if (
            seq16 != expected & 0xFFFF
            or self._open is not None
            or self._early is not None
            or len(data) > self._most
        ):
            return False
        self._next = expected + 1
        return True

    def has_room(self, kind: int, seq16: int, ahead: int) -> bool:
        """
        Whether the budget has room for what a frame would add to it: for one that
        ends a message in order always, since it adds nothing.

        @param kind: its type byte.
        @param ahead: how many frames of the channel come before it in its packet.
        """
        following = self._next + ahead
        seq = restore_number(seq16, following)
        if seq < following or (seq == following and kind & LAST):
            return True
        begins = seq > following or kind & FIRST
        return self._budget.used <= (self._budget.begin if begins else self._budget.most)

    def release(self) -> None:
        """
        Give back what is held: the connection has ended.
        """
        self._hold(-self.held)
        self._early = None
        self._open = None

    def _accept_early(
        self, early: dict[int, tuple[int, bytes]], delivered: list[tuple[bytes, bool]]
    ) -> None:
        while (frame := early.pop(self._next, None)) is not None:
            self._hold(-len(frame[1]) - EARLY_OVERHEAD)
            self._accept(*frame, delivered)
        if not early:
            self._early = None

    def _accept(self, kind: int, data: bytes, delivered: list[tuple[bytes, bool]]) -> None:
        self._next += 1
        message = self._open
        if kind & FIRST:
            if message is not None:
                raise RemoteProtocolError("a first fragment while a message is open")
            if kind & LAST:
                if len(data) > self._most:
                    raise RemoteProtocolError("a message too large", CloseCode.TOO_LARGE)
                delivered.append((data, True))
                return
            message = self._open = bytearray()
        elif message is None:
            raise RemoteProtocolError("a fragment without a first one")
        if len(message) + len(data) > self._most:
            raise RemoteProtocolError("a message too large", CloseCode.TOO_LARGE)
        if kind & LAST:
            self._open = None
            self._hold(-len(message))
            message += data
            delivered.append((bytes(message), True))
        else:
            message += data
            self._hold(len(data))

    def _hold(self, size: int) -> None:
        self.held += size
        self._budget.used += size
