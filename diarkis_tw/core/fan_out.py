"""
Doing one thing for every user without stalling anybody.

Rules:

  - A round goes through those who are there when it begins, in slices; between
    two slices the reactor does whatever else there is to do.
  - A slice begins each C{PERIOD} and ends after C{SLICE_TIME} or C{SLICE_USERS},
    whichever is first. The number is limited too because the greater part of
    what a message costs comes after the slice: transports hand it to the system,
    and over UDP it is acknowledged.
  - There is one round at a time. L{FanOut.start} during a round makes another
    one follow, however often it is called.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from diarkis_tw.core.background import FAULTS
from diarkis_tw.core.user import User, UserState
from diarkis_tw.units import Seconds

PERIOD: Final[Seconds] = 0.005
"""From one slice to the next, if the node is not busier than that."""

SLICE_TIME: Final[Seconds] = 0.004
"""One user more is served then."""

SLICE_USERS: Final = 80
"""16,000 a second. A message costs 30 us in all over TCP, 40 us over UDP: 3 ms a
slice, so that at least a third of the time is for others."""


class FanOut:
    """
    Calls a function for every user of a node.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, users: Iterable[User], serve: Callable[[User], object]
    ) -> None:
        """
        @param users: those who are there whenever it is iterated.
        @param serve: called with each; not with those who have left meanwhile.
        """
        self._clock = clock
        self._users = users
        self._serve = serve
        self._left: deque[User] = deque()
        self._again = False
        self._serving = False
        self._failed = False
        self._next: IDelayedCall | None = None

    def start(self, at_once: bool = False) -> None:
        """
        Serve everybody.

        @param at_once: do the first slice now, not in the next turn of the
            reactor; C{serve} is called from within this call then.
        """
        self._again = True
        if self._next is None and not self._serving:
            if at_once:
                self._slice()
            else:
                self._next = self._clock.callLater(0, self._slice)

    def stop(self) -> None:
        """
        Serve nobody any more, until L{start}.
        """
        self._again = False
        self._left.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _slice(self) -> None:
        self._next = None
        self._serving = True
        left = self._left
        if not left:
            self._again = self._failed = False
            left.extend(self._users)
        now = self._clock.seconds
        begin = now()
        served = 0
        while left and served < SLICE_USERS:
            user = left.popleft()
            if user.state is not UserState.GONE:
                self._serve_safely(user)
                served += 1
                if now() - begin >= SLICE_TIME:
                    break
        self._serving = False
        if left or self._again:
            rest = max(0.0, begin + PERIOD - now())
            self._next = self._clock.callLater(rest, self._slice)

    def _serve_safely(self, user: User) -> None:
        try:
            self._serve(user)
        except FAULTS:
            if not self._failed:
                self._failed = True
                self.log.failure("{uid}, perhaps others too, could not be served", uid=user.uid)
