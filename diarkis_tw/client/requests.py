"""
Requests that wait for their answers.

Rules:

  - Ids run from 1 to 65535 and round again, skipping those in use, so that the late
    answer to a request given up does not soon find another one under its id.
  - Every request ends exactly once: answered, timed out, cancelled, or failed with
    the connection.
"""

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.errors import (
    DiarkisError,
    Disconnected,
    LocalProtocolError,
    RequestTimeout,
    ResponseError,
)
from diarkis_tw.units import Seconds
from diarkis_tw.wire.message import Response
from diarkis_tw.wire.value import Payload, decode_error

ID_MAX: Final = 65535


class _Waiting:
    __slots__ = ("answer", "timer")

    def __init__(self, answer: Deferred[Payload], timer: IDelayedCall) -> None:
        self.answer = answer
        self.timer = timer


class PendingRequests:
    """
    The requests of one client, across its reconnects.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: measures time-outs.
        """
        self._clock = clock
        self._waiting: dict[int, _Waiting] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._waiting

    def begin(self, what: str, timeout: Seconds) -> tuple[int, Deferred[Payload]]:
        """
        Reserve an id.

        @param what: the command, for the error's text.
        @param timeout: until it is given up, in seconds.
        @return: the id and the Deferred that the answer will fire; cancellable.

        @raise LocalProtocolError: every id is in use.
        """
        request_id = self._free_id()

        def timed_out() -> None:
            self.fail(request_id, RequestTimeout(f"no answer to {what} within {timeout:g} s"))

        def cancelled(_: Deferred[Payload]) -> None:
            self._forget(request_id)

        answer: Deferred[Payload] = Deferred(cancelled)
        self._waiting[request_id] = _Waiting(answer, self._clock.callLater(timeout, timed_out))
        return request_id, answer

    def answered(self, response: Response) -> bool:
        """
        A response came.

        @param response: with any id, 0 included.
        @return: whether a request waited for it.
        """
        answer = self._forget(response.request_id)
        if answer is None:
            return False
        if response.status is Status.OK:
            answer.callback(response.payload)
        else:
            answer.errback(ResponseError(response.status, *decode_error(response.payload)))
        return True

    def fail(self, request_id: int, error: DiarkisError) -> None:
        """
        End one request without an answer.

        @param request_id: nothing happens if it has ended already.
        @param error: why.
        """
        answer = self._forget(request_id)
        if answer is not None:
            answer.errback(error)

    def fail_all(self, code: CloseCode, reason: str) -> None:
        """
        The client ended for good, and with it every request.

        @param code: why.
        @param reason: for people.
        """
        for request_id in tuple(self._waiting):
            # Each has its own error, because raising one adds a traceback to it.
            self.fail(request_id, Disconnected(code, reason))

    def _free_id(self) -> int:
        if len(self._waiting) >= ID_MAX:
            raise LocalProtocolError(f"{ID_MAX} requests are waiting for answers")
        candidate = self._last_id
        while True:
            candidate = candidate % ID_MAX + 1
            if candidate not in self._waiting:
                self._last_id = candidate
                return candidate

    def _forget(self, request_id: int) -> Deferred[Payload] | None:
        waiting = self._waiting.pop(request_id, None)
        if waiting is None:
            return None
        if waiting.timer.active():
            waiting.timer.cancel()
        return waiting.answer
