"""
What other nodes said to all and did not arrive here.

A broker keeps the order of what one node says to all, heartbeats included, and a
heartbeat says how many messages there were before it. Who took fewer has missed
some, for whatever reason: it stood still, was cut off, or a queue was full.
"""

from dataclasses import dataclass
from typing import Final

SPEAKERS_MAX: Final = 4096
"""Nodes whose messages are counted, those that are gone included: they may come
back."""


@dataclass(eq=False, slots=True)
class _Speaker:
    """
    Another node.

    @ivar taken: its messages so far, as far as this node knows.
    @ivar whole: its time up to which none is missing that was not reported.
    """

    taken: int
    whole: int


class Missed:
    """
    Counts messages to all by who said them.
    """

    def __init__(self) -> None:
        self._speakers: dict[str, _Speaker] = {}

    def took(self, address: str) -> None:
        """
        One has come.
        """
        if (speaker := self._speakers.get(address)) is not None:
            speaker.taken += 1

    def told(self, address: str, said: int, time: int) -> int | None:
        """
        A node says how many it has sent.

        @param time: when it said so.
        @return: since when some are missing, by its time; 0 = all that it ever said;
            L{None} = none is. They are reported once.
        """
        speaker = self._speakers.get(address)
        if speaker is None:
            self._speakers[address] = _Speaker(said, time)
            if len(self._speakers) > SPEAKERS_MAX:
                del self._speakers[next(iter(self._speakers))]
            return 0
        since = None if speaker.taken == said else speaker.whole
        speaker.taken, speaker.whole = said, time
        return since
