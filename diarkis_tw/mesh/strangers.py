"""
Saying that strangers are heard: a node with another key is silent otherwise, to itself
and to those whom it looks for.
"""

from typing import Final

from twisted.logger import Logger

from diarkis_tw.units import Seconds

PERIOD: Final[Seconds] = 60.0
"""One line of the log each: strangers may send as much as they like."""


class Strangers:
    """
    What was said of them.
    """

    log = Logger()

    def __init__(self, app: str) -> None:
        self._app = app
        self._told = 0
        self._next = float("-inf")

    def look(self, count: int, now: Seconds) -> None:
        """
        Say that there are new ones, if it is time to.

        @param count: their messages, so far.
        @param now: a monotonic time.
        """
        if count == self._told or now < self._next:
            return
        self.log.warn(
            "mesh: somebody with another mesh.key, or none, sends to nodes of mesh.app "
            '"{app}"; {count} messages were dropped so far. If a node is missing, give all one key '
            "and one version.",
            count=count,
            app=self._app,
        )
        self._told, self._next = count, now + PERIOD
