"""
The commands of one user: one at a time, in order of arrival.

Rules:

  - A command runs at once if none is running, else it waits in the queue.
  - The queue holds C{QUEUE_LIMIT} commands. A full one makes L{Inbox.receive}
    return False, on which the transport reads no further; an unreliable
    command that still comes is dropped. It is released at half.
  - Full for C{FULL_PATIENCE} seconds: the user is closed with OVERFLOW.
  - The queue drains in a loop, never by recursion.
  - fin passes by the queue, so that a user can leave whatever its handlers do.
  - While a handler is unfinished, C{blocked_since} says since when: packets do
    not keep such a user alive, and a watchdog names the handler.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.encoded import Body
from diarkis_tw.core.request import Request
from diarkis_tw.units import Seconds

if TYPE_CHECKING:
    from diarkis_tw.core.dispatch import Dispatcher, Turn
    from diarkis_tw.core.user import User

QUEUE_LIMIT: Final = 256
"""Commands that wait for one user: what a burst of the command rate can bring."""

RELEASE_AT: Final = QUEUE_LIMIT // 2
"""Commands left when reading goes on: half, so that it does not stop and go at each one."""

FULL_PATIENCE: Final[Seconds] = 10.0
"""How long a queue may stay full."""


class Inbox:
    """
    Queue and running command of one user.

    @ivar closed: the user is gone.
    @ivar running: the request whose chain is running or waiting.
    @ivar turn: the step that has not finished; L{None} while none waits.
    @ivar blocked_since: when that step was left unfinished.
    @ivar full_since: when the queue became full.
    @ivar tokens: of the command rate, with C{refilled_at}, C{over_since} and
        C{released_at}; see L{diarkis_tw.core.rate}.
    """

    __slots__ = (
        "_dispatcher",
        "_queue",
        "_throttled",
        "_user",
        "blocked_since",
        "closed",
        "full_since",
        "over_since",
        "refilled_at",
        "released_at",
        "running",
        "tokens",
        "turn",
        "watched",
    )

    def __init__(self, user: User, dispatcher: Dispatcher) -> None:
        self._user = user
        self._dispatcher = dispatcher
        self._queue: deque[Request] | None = None
        self.closed = False
        self._throttled = False
        self.running: Request | None = None
        self.turn: Turn | None = None
        self.blocked_since: Seconds | None = None
        self.full_since: Seconds | None = None
        self.tokens = dispatcher.limit.first_tokens()
        self.refilled_at: Seconds = dispatcher.clock.seconds()
        self.over_since: Seconds | None = None
        self.released_at: Seconds = 0.0
        self.watched = False

    def receive(
        self,
        ver: int,
        cmd: int,
        request_id: int,
        body: Body,
        reliable: bool,
        kind: type[Request] = Request,
    ) -> bool:
        """
        Take one command from the user's connection.

        @param kind: L{diarkis_tw.core.request.TextRequest} for what came as JSON.
        @return: False if the connection must not read on until its
            C{resume_reading} is called.
        """
        if ver == 0 and cmd == Builtin.FIN:
            self._user.leave()
            return False
        self.tokens -= 1
        if self.tokens < 0 and not self._pay(reliable):
            return True
        if self.running is not None:
            return self._enqueue(kind(ver, cmd, request_id, body, reliable))
        if self.closed:
            return False
        request = self.running = kind(ver, cmd, request_id, body, reliable)
        if self._dispatcher.run(self._user, request):
            self.running = None
            if self._queue:
                self._drain()
        else:
            self.blocked_since = self._dispatcher.clock.seconds()
        return not self._throttled and self.full_since is None

    def finished(self) -> None:
        """
        The unfinished chain has ended: go on with what waits.
        """
        self.running = self.turn = self.blocked_since = None
        self.watched = False
        if self._queue:
            self._drain()

    def earned(self) -> None:
        """
        The command rate has a token again.
        """
        self._throttled = False
        self._release()

    def overrun(self, code: CloseCode) -> None:
        """
        The user has sent more than it may for too long.
        """
        self._user.remove(code)

    def cancel(self) -> None:
        """
        The user is gone: cancel what runs, drop what waits.
        """
        self.closed = True
        self._queue = None
        self._dispatcher.limit.forget(self)
        turn, self.turn = self.turn, None
        self.blocked_since = None
        if turn is not None:
            turn.cancel()

    def _pay(self, reliable: bool) -> bool:
        """
        Deal with an empty bucket.

        @return: whether the command runs all the same.
        """
        limit = self._dispatcher.limit
        self.tokens += 1
        if limit.refill(self):
            self.tokens -= 1
            return True
        if not reliable:
            self._dispatcher.dropped += 1
            return False
        self.tokens -= 1
        self._throttled = True
        limit.wait(self)
        return True

    def _enqueue(self, request: Request) -> bool:
        if self.closed:
            return False
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        if len(queue) >= QUEUE_LIMIT and not request.reliable:
            self._dispatcher.dropped += 1
            return False
        queue.append(request)
        if len(queue) >= QUEUE_LIMIT and self.full_since is None:
            self.full_since = self._dispatcher.clock.seconds()
        return not self._throttled and self.full_since is None

    def _drain(self) -> None:
        while self._queue:
            request = self.running = self._queue.popleft()
            if not self._dispatcher.run(self._user, request):
                self.blocked_since = self._dispatcher.clock.seconds()
                break
            self.running = None
        if self.full_since is not None and len(self._queue or ()) <= RELEASE_AT:
            self.full_since = None
            self._release()

    def _release(self) -> None:
        connection = self._user.connection
        if connection is not None and not self._throttled and self.full_since is None:
            connection.resume_reading()
