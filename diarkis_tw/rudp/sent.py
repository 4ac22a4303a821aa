"""
Packets in flight: what an ACK means for them and which are lost.
RFC 9002, section 6.1.

Rules:

  - Only packets that may have to be sent again are kept, C{IN_FLIGHT_MOST} at
    most: one more, which only a probe can be, makes the oldest count as lost.
  - A packet is lost when one sent C{threshold} later is acknowledged, or when
    it is older than 9/8 round trips and any later one is acknowledged.
  - A late ACK of a packet declared lost raises the threshold by one, to 10 at
    most, for 30 s: this network reorders.
  - Lost packets are remembered for that while anything is in flight.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.rudp.channel import ReliableFrame
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.rtt import RoundTrip
from diarkis_tw.wire.packet import restore_number

IN_FLIGHT_MOST: Final = 256
THRESHOLD_FIRST: Final = 3
THRESHOLD_MOST: Final = 10
THRESHOLD_LIFE: Final = 30_000_000
LOST_REMEMBERED: Final = 256
"""A window full: a packet that is later than that comes seconds too late."""

NUMBERS_REMEMBERED: Final = 1024
"""As far back as the peer's replay window takes packets."""

_REMEMBERED_MASK: Final = (1 << NUMBERS_REMEMBERED) - 1


SentPacket: TypeAlias = tuple[int, Sequence[ReliableFrame], ReliableFrame | None, int, int]
"""
A packet in flight; a tuple, since one is made for each reliable message: when it was
sent; its reliable frames; the one of them that rides again as redundancy; the largest
number in the ACK it carries, -1 without one; bytes of its datagram.
"""


class SentPackets:
    """
    The packets sent to the peer.

    @ivar next_number: of the next packet.
    @ivar in_flight: bytes of the packets in flight.
    @ivar packets: those packets by number, oldest first.
    @ivar progress_at: when last something was acknowledged or first sent.
    @ivar loss_at: when the oldest packet will count as lost by its age.
    @ivar lost_frames: frames that no packet in flight carries any more; taken
        by the connection.
    @ivar pending_frames: reliable frames queued and not acknowledged.
    @ivar pending_bytes: bytes of their data.
    @ivar saved: frames that a redundant copy brought first.
    @ivar spurious: packets that were declared lost and came all the same.
    """

    __slots__ = (
        "_congestion",
        "_lost",
        "_lost_bits",
        "_outstanding",
        "_round_trip",
        "_threshold",
        "_threshold_until",
        "in_flight",
        "largest_acked",
        "loss_at",
        "lost_frames",
        "next_number",
        "packets",
        "pending_bytes",
        "pending_frames",
        "progress_at",
        "saved",
        "spurious",
    )

    def __init__(self, round_trip: RoundTrip, congestion: Congestion) -> None:
        self._round_trip = round_trip
        self._congestion = congestion
        self.next_number = 0
        self.in_flight = 0
        self.packets: dict[int, SentPacket] = {}
        self.largest_acked = -1
        self.progress_at = 0
        self.loss_at: int | None = None
        self.lost_frames: list[ReliableFrame] = []
        self.saved = 0
        self.pending_frames = 0
        self.pending_bytes = 0
        self.spurious = 0
        # Bit i of both stands for the packet next_number - 1 - i.
        self._outstanding = 0
        self._lost_bits = 0
        self._lost: dict[int, Sequence[ReliableFrame]] = {}
        self._threshold = THRESHOLD_FIRST
        self._threshold_until = 0

    def add(self, packet: SentPacket | None) -> None:
        """
        The packet C{next_number} was sent; L{None} if it need not be kept.
        """
        number = self.next_number
        self.next_number = number + 1
        if self._lost_bits:
            self._lost_bits = self._lost_bits << 1 & _REMEMBERED_MASK
        if packet is None:
            self._outstanding = self._outstanding << 1 & _REMEMBERED_MASK
            return
        self._outstanding = (self._outstanding << 1 | 1) & _REMEMBERED_MASK
        at, frames, _, _, size = packet
        packets = self.packets
        if not packets:
            self.progress_at = at
        packets[number] = packet
        self.in_flight += size
        for frame in frames:
            frame.flights += 1
        if len(packets) > IN_FLIGHT_MOST:
            self._lose(next(iter(packets)), at)

    def forget(self) -> None:
        """
        The connection has ended: nothing is in flight any more.
        """
        self.packets.clear()
        self.lost_frames.clear()
        self._lost.clear()
        self._outstanding = self._lost_bits = 0
        self.in_flight = self.pending_frames = self.pending_bytes = 0
        self.loss_at = None

    def acked(self, largest16: int, delay: int, bitmap: bytes, now: int) -> int | None:
        """
        The peer's ACK.

        @param largest16: low 16 bits of the largest number.
        @param delay: microseconds that the peer held it.
        @return: the largest number of the peer's packets that it now knows to be
            acknowledged, as L{SentPacket} says; -1 for none; L{None} if this ACK
            says nothing new.
        @raise RemoteProtocolError: it acknowledges what was never sent.
        """
        top = self.next_number - 1
        largest = top if largest16 == top & 0xFFFF else restore_number(largest16, top)
        bits = int.from_bytes(bitmap, "little") if bitmap else 0
        if largest > top or largest < 0 or bits >> largest:
            raise RemoteProtocolError("an ack of a packet that was never sent")
        shift = top - largest
        if shift >= NUMBERS_REMEMBERED:
            return None
        bits = (bits << 1 | 1) << shift
        if self._lost_bits & bits:
            self._find_spurious(self._lost_bits & bits, now)
        found = bits & self._outstanding
        if not found:
            return None
        self._outstanding ^= found
        packets = self.packets
        congestion = self._congestion
        if largest > self.largest_acked:
            self.largest_acked = largest
            newest = packets.get(largest)
            # The system's clock may have been set back since it was sent.
            if newest is not None and newest[0] <= now:
                self._round_trip.sample(now - newest[0], delay, now, congestion.limited)
        self.progress_at = now
        told = -1
        while found:
            # oldest first: a frame that came twice is no merit of the copy
            back = found.bit_length() - 1
            found ^= 1 << back
            _, frames, copy, told_there, size = packets.pop(top - back)
            self.in_flight -= size
            congestion.acked(size)
            if told_there > told:
                told = told_there
            for frame in frames:
                frame.flights -= 1
                if not frame.acked:
                    self.pending_frames -= 1
                    self.pending_bytes -= frame.channel.arrived(frame)
                    if frame is copy:
                        self.saved += 1
        if packets:
            self.detect_lost(now)
        else:
            self._rest()
        return told

    def detect_lost(self, now: int) -> None:
        """
        Find packets that are lost by now.
        """
        self.loss_at = None
        largest = self.largest_acked
        if next(iter(self.packets), largest + 1) > largest:
            return
        if self._threshold > THRESHOLD_FIRST and now >= self._threshold_until:
            self._threshold = THRESHOLD_FIRST
        delay = self._round_trip.loss_delay()
        lost: list[int] = []
        for number, (at, _, _, _, _) in self.packets.items():
            if number > largest:
                break
            if largest - number < self._threshold and now - at < delay:
                self.loss_at = at + delay
                break
            lost.append(number)
        for number in lost:
            self._lose(number, now)

    def _lose(self, number: int, now: int) -> None:
        at, frames, _, _, size = self.packets.pop(number)
        self.in_flight -= size
        self._congestion.lost(at, now)
        bit = self._bit(number)
        self._outstanding &= ~bit
        self._lost_bits |= bit
        self._lost[number] = frames
        if len(self._lost) > LOST_REMEMBERED:
            oldest = next(iter(self._lost))
            del self._lost[oldest]
            self._lost_bits &= ~self._bit(oldest)
        for frame in frames:
            frame.flights -= 1
            if not frame.acked and not frame.flights and not frame.waiting:
                frame.waiting = True
                self.lost_frames.append(frame)

    def _bit(self, number: int) -> int:
        back = self.next_number - 1 - number
        return 1 << back if back < NUMBERS_REMEMBERED else 0

    def _find_spurious(self, late: int, now: int) -> None:
        """
        Packets that were declared lost and had arrived all the same.
        """
        self._lost_bits ^= late
        top = self.next_number - 1
        self._threshold_until = now + THRESHOLD_LIFE
        while late:
            back = late.bit_length() - 1
            late ^= 1 << back
            self.spurious += 1
            self._threshold = min(self._threshold + 1, THRESHOLD_MOST)
            for frame in self._lost.pop(top - back):
                if not frame.acked:
                    self.pending_frames -= 1
                    self.pending_bytes -= frame.channel.arrived(frame)

    def _rest(self) -> None:
        """
        Nothing is in flight: give back the memory of a burst. Dictionaries keep
        theirs until they are cleared.
        """
        self.loss_at = None
        self.packets.clear()
        if self._lost:
            self._lost.clear()
            self._lost_bits = 0
