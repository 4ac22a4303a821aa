"""
Saying at times what happens all the time.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.units import Seconds

PERIOD: Final[Seconds] = 10.0
"""One line of the log each: whoever asks a thousand times a second must not fill it."""


class Seldom:
    """
    Tells whether it is time to say something again.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        """
        True at first, and then once each L{PERIOD} at most.
        """
        now = self._clock.seconds()
        if now < self._next:
            return False
        self._next = now + PERIOD
        return True
