"""
When and how fast a client connects again by itself.

Rules:

  - Only after a loss that a new connection can mend: L{RECONNECTING}.
  - Exponential back-off with full jitter, so that the clients of a server that
    restarts do not come back in step.
  - A connection counts as mended once something came over it, not when it opens:
    a server that accepts and drops is not asked in a tight loop.
"""

from collections.abc import Callable
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.units import Seconds

FIRST_DELAY: Final[Seconds] = 0.1
LONGEST_DELAY: Final[Seconds] = 2.0

RECONNECTING: Final = frozenset((None, CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.HANDSHAKE))
"""Endings after which the same session is tried again; L{None} = without a word."""

ASKING_AGAIN: Final = frozenset((CloseCode.TAKEN, CloseCode.SERVER_OFFLINE))
"""Refusals of a new user after which the endpoint API may know another server."""

ASK_AGAIN_MAX: Final = 3
"""How often it is asked again."""


class Backoff:
    """
    The pauses before attempts.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        """
        @param jitter: 0 to below 1, such as C{random.random}.
        """
        self._jitter = jitter
        self._ceiling = FIRST_DELAY

    def next(self) -> Seconds:
        """
        Choose the next pause.

        @return: from 0 to a ceiling that doubles each time.
        """
        delay = self._ceiling * self._jitter()
        self._ceiling = min(self._ceiling * 2, LONGEST_DELAY)
        return delay

    def reset(self) -> None:
        """
        Begin anew after a success.
        """
        self._ceiling = FIRST_DELAY
