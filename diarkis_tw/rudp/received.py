"""
Which packets came: the replay window and the acknowledgements made of it.

Rules:

  - An old number or one already seen is refused before decryption; the window
    moves on authenticated packets only.
  - An ACK is due at once for every second ack-eliciting packet, for one out of
    order, and for the first after a pause longer than the ack delay; else
    within the ack delay.
  - Packets whose acknowledgement the peer has acknowledged are left out.
"""

from typing import Final

from diarkis_tw.wire.frame import ACK_BYTES_MAX, encode_ack

REPLAY_WINDOW: Final = 1024
_SEEN_MASK: Final = (1 << REPLAY_WINDOW) - 1
_ACK_MASK: Final = (1 << ACK_BYTES_MAX * 8) - 1


class ReceivedPackets:
    """
    The packets that came from the peer.

    @ivar largest: the largest authenticated number, -1 at first.
    @ivar ack_at: when an ACK is due; L{None} if none is owed.
    """

    __slots__ = (
        "_ack_delay",
        "_eliciting",
        "_floor",
        "_largest_at",
        "_last_eliciting",
        "_seen",
        "ack_at",
        "largest",
    )

    def __init__(self, ack_delay: int) -> None:
        """
        @param ack_delay: the longest an ACK may wait, in microseconds.
        """
        self._ack_delay = ack_delay
        self.largest = -1
        self._largest_at = 0
        self._seen = 0
        self._eliciting = 0
        self._last_eliciting = -ack_delay
        self._floor = -1
        self.ack_at: int | None = None

    def is_new(self, number: int) -> bool:
        """
        Whether a packet of that number may still come.
        """
        back = self.largest - number
        return back < 0 or (back < REPLAY_WINDOW and not self._seen >> back & 1)

    def add(self, number: int, eliciting: bool, now: int) -> None:
        """
        An authenticated packet came.

        @param eliciting: it wants to be acknowledged.
        """
        ahead = number - self.largest
        if ahead > 0:
            if ahead < REPLAY_WINDOW:
                self._seen = (self._seen << ahead | 1) & _SEEN_MASK
            else:
                self._seen = 1
            self.largest = number
            self._largest_at = now
        else:
            self._seen |= 1 << -ahead
            if number <= self._floor:
                self._floor = number - 1
        if not eliciting:
            return
        self._eliciting += 1
        if self._eliciting >= 2 or ahead != 1 or now - self._last_eliciting > self._ack_delay:
            self.ack_at = now
        elif self.ack_at is None:
            self.ack_at = now + self._ack_delay
        self._last_eliciting = now

    def ack_frame(self, now: int) -> bytes:
        """
        The ACK frame; none is owed after it.
        """
        self.ack_at = None
        self._eliciting = 0
        bits = self._seen >> 1 & _ACK_MASK
        told = self.largest - 1 - self._floor
        if told < ACK_BYTES_MAX * 8:
            bits &= (1 << told) - 1 if told > 0 else 0
        return encode_ack(self.largest, (now - self._largest_at) // 1000, bits)

    def told(self, largest: int) -> None:
        """
        The peer has our ACK of C{largest}: it need not hear of older ones again.
        """
        if largest > self._floor:
            self._floor = largest
