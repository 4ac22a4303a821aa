"""
Requests to other nodes that wait for their answers.
"""

from dataclasses import dataclass
from typing import Final, cast

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.interface import Reply
from diarkis_tw.units import Seconds

CALLS_LIMIT: Final = 20_000
"""Requests that wait for their answers: a player each who connects."""


@dataclass(eq=False, slots=True)
class Call:
    """
    One of them.

    @ivar address: who is to answer.
    @ivar reply: the class that the answer must have.
    """

    address: str
    answer: Deferred[msgspec.Struct]
    reply: type[msgspec.Struct]


class Calls:
    """
    All of them, by number.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[int, Call] = {}
        self._last = 0

    def number(self, name: str) -> int:
        """
        The next number.

        @param name: of the request's class.
        @raise MeshError: too many wait already.
        """
        if len(self._waiting) >= CALLS_LIMIT:
            raise MeshError(f"{name}: {CALLS_LIMIT} requests wait for answers already")
        self._last += 1
        return self._last

    def wait(
        self, number: int, name: str, address: str, reply: type[Reply], timeout: Seconds
    ) -> Deferred[Reply]:
        """
        Wait for the answer to a request that was sent.
        """
        answer: Deferred[msgspec.Struct] = Deferred()
        self._waiting[number] = Call(address, answer, reply)

        def ended(result: object) -> object:
            del self._waiting[number]
            if isinstance(result, Failure) and result.check(TimeoutError):
                raise MeshError(f"{name}: no answer from {address} in {round(timeout, 2):g} s")
            return result

        return cast("Deferred[Reply]", answer.addTimeout(timeout, self._clock).addBoth(ended))

    def find(self, number: int, address: str) -> Call | None:
        """
        The one with that number, if that node was asked.
        """
        call = self._waiting.get(number)
        return None if call is None or call.address != address else call

    def fail_those_of(self, address: str) -> None:
        """
        A node will not answer any more.
        """
        self._fail(
            [call for call in self._waiting.values() if call.address == address],
            f"node {address} is gone",
        )

    def fail_all(self, why: str) -> None:
        """
        Nobody will.
        """
        self._fail(list(self._waiting.values()), why)

    def _fail(self, calls: list[Call], why: str) -> None:
        for call in calls:
            if not call.answer.called:  # what comes of one may end others
                call.answer.errback(MeshError(why))
