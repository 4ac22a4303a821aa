"""
How many commands a user may send.

Rules:

  - A token bucket a user: C{rate} tokens a second, C{BURST} at most. A command
    takes one. It is refilled only when it is empty, so that a command costs
    one subtraction.
  - With no token left an unreliable command is dropped; a reliable one runs,
    and its connection then waits unread until there is a token again.
  - A user who for C{PATIENCE} seconds never had a full bucket, nor C{RELIEF}
    seconds without waiting, is closed with RATE.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.background import background
from diarkis_tw.units import Seconds

if TYPE_CHECKING:
    from diarkis_tw.core.inbox import Inbox

BURST: Final = 256
"""Commands at once: a full command queue, or a quarter of a second at the default rate."""

PATIENCE: Final[Seconds] = 10.0
"""How long a user may press against the limit."""

RELIEF: Final[Seconds] = 1.0
"""How long a user who need not wait is taken to press no more: a client over UDP takes
a part of it until it sends again what was not acknowledged."""

WHOLE: Final = 1 - 1e-6
"""What counts as a token: times are floats, and so is what is earned in them."""

TICK: Final[Seconds] = 0.05
"""How often waiting users are looked at: 50 tokens of the default rate."""


class RateLimit:
    """
    The command rate of all users of a node.
    """

    def __init__(self, clock: IReactorTime, rate: float) -> None:
        """
        @param rate: commands per second and user; 0 = no limit.
        """
        self._clock = clock
        self._rate = rate
        self._waiting: dict[Inbox, None] = {}
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def change(self, rate: float, inboxes: Iterable[Inbox]) -> None:
        """
        Allow another rate from now on.

        @param inboxes: of the users who are there.
        """
        self._rate = rate
        now = self._clock.seconds()
        for inbox in inboxes:
            # Tokens without end would never be looked at again.
            inbox.tokens = min(inbox.tokens, BURST)
            inbox.refilled_at = now

    def first_tokens(self) -> float:
        """
        What a new user starts with.
        """
        return BURST if self._rate else float("inf")

    def refill(self, inbox: Inbox) -> bool:
        """
        Fill an empty bucket with what its user has earned since the last time.

        @return: whether there is a whole token.
        """
        if not self._rate:
            inbox.tokens = float("inf")
            inbox.over_since = None
            return True
        now = self._clock.seconds()
        tokens = inbox.tokens + (now - inbox.refilled_at) * self._rate
        inbox.refilled_at = now
        if tokens >= BURST:
            tokens = BURST
            inbox.over_since = None
        inbox.tokens = tokens
        return tokens >= WHOLE

    def wait(self, inbox: Inbox) -> None:
        """
        Release C{inbox} once it has a token.
        """
        now = self._clock.seconds()
        if inbox.over_since is None or now - inbox.released_at >= RELIEF:
            inbox.over_since = now
        self._waiting[inbox] = None
        if not self._ticking.running:
            background("the command rate", self._ticking.start(TICK, now=False))

    def forget(self, inbox: Inbox) -> None:
        """
        The user is gone.
        """
        self._waiting.pop(inbox, None)

    def _tick(self) -> None:
        now = self._clock.seconds()
        for inbox in list(self._waiting):
            if inbox.over_since is not None and now - inbox.over_since >= PATIENCE:
                self._waiting.pop(inbox, None)
                inbox.overrun(CloseCode.RATE)
            elif self.refill(inbox):
                self._waiting.pop(inbox, None)
                inbox.released_at = now
                inbox.earned()
        if not self._waiting:
            self._ticking.stop()
