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
_WINDOW_MASK: Final = (1 << REPLAY_WINDOW) - 1
_ACK_MOST: Final = ACK_BYTES_MAX * 8


class ReceivedPackets:
    """
    The packets that came from the peer.

    @ivar largest: the largest authenticated number, -1 at first.
    @ivar told: the peer has our ACK of packets up to this: it need not hear of
        older ones again.
    @ivar ack_at: when an ACK is due; L{None} if none is owed.
    """

    __slots__ = (
        "_ack_delay",
        "_eliciting",
        "_largest_at",
        "_last_eliciting",
        "_missing",
        "ack_at",
        "largest",
        "told",
    )

    def __init__(self, ack_delay: int) -> None:
        """
        @param ack_delay: the longest an ACK may wait, in microseconds.
        """
        self._ack_delay = ack_delay
        self.largest = -1
        self._largest_at = 0
        # Bit i stands for the packet largest - i. What is missing, not what came:
        # this is 0 most of the time, where the other would be 1024 bits to shift.
        self._missing = 0
        self._eliciting = 0
        self._last_eliciting = -ack_delay
        self.told = -1
        self.ack_at: int | None = None

    def is_new(self, number: int) -> bool:
        """
        Whether a packet of that number may still come.
        """
        back = self.largest - number
        return back < 0 or (back < REPLAY_WINDOW and self._missing >> back & 1 == 1)

    def add(self, number: int, eliciting: bool, now: int) -> None:
        """
        An authenticated packet came.

        @param eliciting: it wants to be acknowledged.
        """
        ahead = number - self.largest
        if ahead > 0:
            if ahead >= REPLAY_WINDOW:
                self._missing = _WINDOW_MASK - 1
            elif self._missing or ahead > 1:
                skipped = (1 << ahead) - 2
                self._missing = (self._missing << ahead | skipped) & _WINDOW_MASK
            self.largest = number
            self._largest_at = now
        else:
            self._missing &= ~(1 << -ahead)
            if number <= self.told:
                self.told = number - 1
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
        largest = self.largest
        news = largest - 1 - self.told
        bits = 0
        if news > 0:
            bits = (1 << min(news, _ACK_MOST)) - 1 & ~(self._missing >> 1)
        return encode_ack(largest, (now - self._largest_at) // 1000, bits)
