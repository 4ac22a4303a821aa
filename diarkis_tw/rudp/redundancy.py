"""
Sending a small reliable frame twice before anybody knows that it was lost.

Rules:

  - While more than 1 % is lost, a recent frame of at most C{SIZE_MOST} bytes
    that is not acknowledged rides again in a later packet; from 10 % on twice.
  - It must pay: if C{TRIAL} copies in a row saved fewer retransmissions than a
    quarter of what the loss would make one expect (as in bursts, which take the
    copy too), there are none for C{REST}.
"""

from collections.abc import Sequence
from typing import Final

from diarkis_tw.rudp.channel import ReliableFrame

SIZE_MOST: Final = 256
LOSS_LEAST: Final = 0.01
LOSS_TWICE: Final = 0.10
TRIAL: Final = 256
REST: Final = 10_000_000


class Redundancy:
    """
    Chooses the frame that rides again.
    """

    __slots__ = ("_before", "_copies", "_newest", "_resting_until", "_saved")

    def __init__(self) -> None:
        self._newest: ReliableFrame | None = None
        self._before: ReliableFrame | None = None
        self._copies = 0
        self._saved = 0
        self._resting_until = 0

    def sent(self, frame: ReliableFrame) -> None:
        """
        A frame was sent for the first time.
        """
        if len(frame.encoded) <= SIZE_MOST:
            self._before = self._newest
            self._newest = frame

    def pick(
        self, loss: float, saved: int, now: int, beside: Sequence[ReliableFrame], space: int
    ) -> ReliableFrame | None:
        """
        The frame to send again beside others, if any.

        @param loss: smoothed share of packets lost.
        @param saved: see L{diarkis_tw.rudp.sent.SentPackets.saved}.
        @param beside: the frames that the packet has already.
        @param space: bytes that are left in it.
        """
        if loss <= LOSS_LEAST or now < self._resting_until:
            return None
        if self._copies >= TRIAL:
            worth = saved - self._saved
            if worth < self._copies * loss / 4:
                self._resting_until = now + REST
            self._copies = 0
            self._saved = saved
        most = 2 if loss >= LOSS_TWICE else 1
        for frame in (self._before, self._newest):
            if (
                frame is not None
                and not frame.acked
                and frame.copies < most
                and len(frame.encoded) <= space
                and frame not in beside
            ):
                frame.copies += 1
                self._copies += 1
                return frame
        return None
