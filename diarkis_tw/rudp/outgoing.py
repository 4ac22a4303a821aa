"""
What waits to be sent, and how it goes into packets.

Rules:

  - A packet holds, after an ACK if one is owed: PING and control frames, frames
    that were lost, unreliable messages, new reliable frames, and at last a
    redundant copy. A frame that needs no length ends it.
  - Unreliable messages wait for nothing; reliable frames for the windows.
  - Channels take turns, packet by packet, so that a long transfer on one does
    not hold up another.
  - C{QUEUE_FRAMES} and C{QUEUE_BYTES} bound what one connection holds, sent and
    not acknowledged included.
"""

from collections.abc import Sequence
from typing import Final

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.channel import LENGTH_SIZE, ReliableFrame, SendChannel
from diarkis_tw.rudp.redundancy import Redundancy
from diarkis_tw.rudp.sent import IN_FLIGHT_MOST, SentPackets
from diarkis_tw.wire.frame import (
    ACK_BYTES_MAX,
    ACK_SIZE,
    CHANNELS,
    MESSAGE,
    PATH_RESPONSE,
    PATH_SIZE,
    PING,
    with_length,
)

QUEUE_FRAMES: Final = 4096
QUEUE_BYTES: Final = 1024 * 1024
"""What may wait in one connection: beyond it messages are dropped or refused."""

FRAME_ROOM: Final = 72
"""Bytes of the MTU that are left for headers, tag and an ACK beside a full frame."""

LONE_MARGIN: Final = ACK_SIZE + ACK_BYTES_MAX + LENGTH_SIZE
"""By how much a frame is smaller than the room of a packet that surely fits beside an ACK."""

PATH_RESPONSES_MOST: Final = 4
"""Answers that wait for one flush; a peer that challenges more often gets fewer."""

_PING_FRAME: Final = bytes((PING,))
_MESSAGE_TYPE: Final = bytes((MESSAGE,))
_NO_CHANNELS: Final[tuple[None, ...]] = (None,) * CHANNELS


class Outgoing:
    """
    The queues of one connection.

    @ivar control: control frames, one behind the other; CLOSE is alone.
    @ivar ping: a PING is wanted.
    @ivar retransmit: frames that no packet in flight carries any more.
    @ivar active: channels with frames that were never sent, next in turn first.
    @ivar unreliable: MESSAGE frames.
    @ivar room: bytes of frames in a packet.
    @ivar message_most: bytes of a message in one frame, with its header.
    @ivar dropped: unreliable messages dropped at a full queue.
    @ivar full_since: since when messages are refused; L{None} once a reliable one
        was taken, or there is room again.
    @ivar retransmitted: how many frames were sent again because they seemed lost.
    """

    __slots__ = (
        "_channels",
        "_redundancy",
        "_sent",
        "_unreliable_bytes",
        "_window",
        "active",
        "control",
        "dropped",
        "full_since",
        "message_most",
        "ping",
        "retransmit",
        "retransmitted",
        "room",
        "unreliable",
    )

    def __init__(
        self, room: int, message_most: int, window: int, redundancy: bool, sent: SentPackets
    ) -> None:
        """
        @param room: bytes of frames in a packet.
        @param message_most: bytes of a message in one frame, with its header.
        """
        self.room = room
        self.message_most = message_most
        self._window = window
        self._redundancy = Redundancy() if redundancy else None
        self._sent = sent
        self._channels: Sequence[SendChannel | None] = _NO_CHANNELS
        self._unreliable_bytes = 0
        self.active: list[SendChannel] = []
        self.retransmit: list[ReliableFrame] = []
        self.unreliable: list[bytes] = []
        self.control = b""
        self.ping = False
        self.retransmitted = 0
        self.dropped = 0
        self.full_since: int | None = None

    @property
    def size(self) -> int:
        """
        Bytes of messages that the peer does not have, as far as is known.
        """
        return self._sent.pending_bytes + self._unreliable_bytes

    def add_unreliable(self, message: bytes, now: int = 0) -> bool:
        """
        Queue a message for the next packet.

        @return: False if there is no room, and it is dropped.
        @raise LocalProtocolError: it does not fit a packet.
        """
        size = len(message)
        if size > self.message_most:
            raise LocalProtocolError(
                f"an unreliable message of {size} bytes does not fit one packet: "
                f"at most {self.message_most} bytes, header included; or send it reliably"
            )
        sent = self._sent
        if (
            sent.pending_bytes + self._unreliable_bytes + size > QUEUE_BYTES
            or sent.pending_frames + len(self.unreliable) >= QUEUE_FRAMES
        ):
            self.dropped += 1
            self._refuse(now)
            return False
        self.unreliable.append(_MESSAGE_TYPE + message)
        self._unreliable_bytes += size
        return True

    def add_reliable(self, message: bytes, number: int, now: int = 0) -> bool:
        """
        Queue a message on a channel.

        @param number: of the channel.
        @return: False if there is no room, and it is refused.
        @raise LocalProtocolError: no such channel.
        """
        size = len(message)
        most = self.message_most
        count = 1 if size <= most else -(-size // most)
        sent = self._sent
        if (
            sent.pending_bytes + self._unreliable_bytes + size > QUEUE_BYTES
            or sent.pending_frames + len(self.unreliable) + count > QUEUE_FRAMES
        ):
            self._refuse(now)
            return False
        if not 0 <= number < CHANNELS:
            raise LocalProtocolError(f"channel {number}")
        channel = self._channels[number] or self._begin(number)
        if channel not in self.active:
            self.active.append(channel)
        channel.add(message, most)
        sent.pending_frames += count
        sent.pending_bytes += size
        self.full_since = None
        return True

    def acked(self) -> None:
        """
        The peer has more than before, so there may be room.
        """
        if (
            self.size <= QUEUE_BYTES
            and self._sent.pending_frames + len(self.unreliable) < QUEUE_FRAMES
        ):
            self.full_since = None

    def respond(self, data: bytes) -> None:
        """
        Queue a PATH_RESPONSE.
        """
        if len(self.control) < PATH_RESPONSES_MOST * (1 + PATH_SIZE):
            self.control += bytes((PATH_RESPONSE,)) + data

    def has_reliable(self) -> bool:
        """
        Whether there is a reliable frame that the channels' windows let out.
        """
        retransmit = self.retransmit
        while retransmit:
            if not retransmit[0].acked:
                return True
            retransmit.pop(0).waiting = False
        for channel in self.active:  # noqa: SIM110 - a third of any()'s time
            if channel.next_frame() is not None:
                return True
        return False

    def send_again(self, packets: int) -> None:
        """
        Queue the frames of the oldest C{packets} packets in flight that have any
        that did not arrive.
        """
        again: list[ReliableFrame] = []
        for _, in_packet, _, _, _ in self._sent.packets.values():
            frames = [f for f in in_packet if not f.acked and not f.waiting]
            if frames:
                for frame in frames:
                    frame.waiting = True
                again += frames
                packets -= 1
                if not packets:
                    break
        self.retransmit[:0] = again

    def lone_message_sent(self) -> None:
        """
        The one message in C{unreliable} is in a packet.
        """
        self.unreliable.clear()
        self._unreliable_bytes = 0
        if self.full_since is not None:
            self._unreliable_left()

    def lone_frame_sent(self, frame: ReliableFrame, loss: float) -> None:
        """
        What L{SendChannel.lone} of the one channel in C{active} returned is in a
        packet.

        @param loss: as for L{fill}.
        """
        self.active.pop().lone_sent()
        if loss and self._redundancy is not None:
            self._redundancy.sent(frame)

    def fill(
        self, parts: list[bytes], size: int, reliable: bool, loss: float, now: int
    ) -> tuple[list[ReliableFrame], ReliableFrame | None]:
        """
        Add frames to a packet.

        @param parts: what it holds already, and then all of it.
        @param size: bytes of that.
        @param reliable: reliable frames may go.
        @param loss: smoothed share of packets lost.
        @return: its reliable frames, and the one of them that is a redundant copy.
        """
        if self.ping:
            self.ping = False
            parts.append(_PING_FRAME)
            size += 1
        if self.control:
            parts.append(self.control)
            size += len(self.control)
            self.control = b""
        data: list[bytes] = []
        frames: list[ReliableFrame] = []
        if reliable and self.retransmit:
            size = self._fill_lost(data, frames, size)
        if self.unreliable:
            size = self._fill_unreliable(data, size)
        copy = None
        if reliable and self.active:
            lost = len(frames)
            size = self._fill_new(frames, size)
            data += [frame.encoded for frame in frames[lost:]]
            if loss and self._redundancy is not None:
                for frame in frames[lost:]:
                    self._redundancy.sent(frame)
        if loss and data and self._redundancy is not None:
            sent = self._sent
            if len(sent.packets) < IN_FLIGHT_MOST:
                space = self.room - size - LENGTH_SIZE
                copy = self._redundancy.pick(loss, sent.saved, now, frames, space)
                if copy is not None:
                    data.append(copy.encoded)
                    frames.append(copy)
        if data:
            last = data.pop()
            if data:
                parts += map(with_length, data)
            parts.append(last)
        return frames, copy

    def forget(self) -> None:
        """
        The connection has ended: drop everything.
        """
        self._channels = _NO_CHANNELS
        self.active.clear()
        self.retransmit.clear()
        self.unreliable.clear()
        self._unreliable_bytes = 0
        self._redundancy = None
        self.control = b""
        self.ping = False
        self.full_since = None

    def _begin(self, number: int) -> SendChannel:
        channel = SendChannel(number, self._window)
        channels = list(self._channels)
        channels[number] = channel
        self._channels = channels
        return channel

    def _refuse(self, now: int) -> None:
        if self.full_since is None:
            self.full_since = now

    def _unreliable_left(self) -> None:
        """
        A full queue that nothing reliable waits in becomes empty without any ACK.
        """
        if not self.unreliable and not self._sent.pending_frames:
            self.full_since = None

    def _fill_lost(self, data: list[bytes], frames: list[ReliableFrame], size: int) -> int:
        count = 0
        for frame in self.retransmit:
            if not frame.acked:
                size += len(frame.encoded) + LENGTH_SIZE
                if size > self.room:
                    size -= len(frame.encoded) + LENGTH_SIZE
                    break
                data.append(frame.encoded)
                frames.append(frame)
            frame.waiting = False
            count += 1
        del self.retransmit[:count]
        self.retransmitted += len(frames)
        return size

    def _fill_unreliable(self, data: list[bytes], size: int) -> int:
        count = 0
        for frame in self.unreliable:
            size += len(frame) + LENGTH_SIZE
            if size > self.room:
                size -= len(frame) + LENGTH_SIZE
                break
            data.append(frame)
            self._unreliable_bytes -= len(frame) - 1
            count += 1
        del self.unreliable[:count]
        if self.full_since is not None:
            self._unreliable_left()
        return size

    def _fill_new(self, frames: list[ReliableFrame], size: int) -> int:
        active = self.active
        for _ in range(len(active)):
            channel = active.pop(0)
            size = channel.take(frames, size, self.room)
            if channel.has_unsent():
                active.append(channel)
                if channel.next_frame() is not None:
                    return size
        return size
