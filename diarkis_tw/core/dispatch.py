"""
Running the chain of one command and answering it.

Rules:

  - Steps run in order. An error ends the chain of this command only; so does
    the end of the user.
  - A returned bytes or mapping is the answer, with status OK.
  - L{CommandError} = BAD with its code and message; every other error = ERR
    9999 "internal error", its details only in the log; an unknown pair = BAD 1004.
  - A request with an id is answered exactly once with that id: by the first
    answer, else at the end of its chain by OK and an empty body. Further
    answers go out with id 0.
  - A command that came as JSON goes to the handlers of C{handle_ws_command}, who
    get a mapping: bytes as C{{"base64": "..."}}, no payload as an empty one. Where
    there are none it goes to those of C{handle_command}, who get bytes: a value as
    its MessagePack. What MessagePack cannot say is BAD 1001.
  - A step that does not finish at once leaves a L{Turn}; the chain goes on when
    the turn is done.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.background import FAULTS, as_deferred, call_safely
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.rate import RateLimit
from diarkis_tw.core.registry import CommandRegistry, Step
from diarkis_tw.core.request import Request, TextRequest
from diarkis_tw.errors import CommandError, LocalProtocolError
from diarkis_tw.wire.json_text import BYTES_KEY
from diarkis_tw.wire.value import encode_value

if TYPE_CHECKING:
    from diarkis_tw.core.user import User

FAILED_AFTER_NEXT = "{handler} failed after it had called next_"

# For what runs with each command: in Python 3.11 looking it up in its class takes 80 ns.
OK = Status.OK

INTERNAL_ERROR = {"code": int(ErrorCode.INTERNAL), "message": "internal error"}


class Dispatcher:
    """
    Runs commands of all users of a node.

    @ivar unknown: commands without a handler so far.
    @ivar refused: commands answered BAD by their handlers.
    @ivar failed: commands whose handler failed.
    @ivar dropped: unreliable commands dropped at a full queue or bucket.
    """

    log = Logger()

    def __init__(self, registry: CommandRegistry, clock: IReactorTime, limit: RateLimit) -> None:
        self.clock = clock
        self.limit = limit
        self._registry = registry
        self.unknown = 0
        self.refused = 0
        self.failed = 0
        self.dropped = 0

    def run(self, user: User, request: Request) -> bool:
        """
        Run a command.

        @return: False if a step has not finished; C{user.inbox.finished} is
            called when the chain has ended.
        """
        if request.__class__ is TextRequest:
            try:
                steps = self._steps_of_text(request)
            except LocalProtocolError as unsayable:
                self.refused += 1
                code = int(ErrorCode.INVALID_PARAMETERS)
                bad = {"code": code, "message": str(unsayable)}
                self._answer(user, request, bad, Status.BAD)
                return True
        else:
            steps = self._registry.chain(request.ver, request.cmd)
        if steps is None:
            self.unknown += 1
            message = f"unknown command ver {request.ver} cmd {request.cmd}"
            error = {"code": int(ErrorCode.UNKNOWN_COMMAND), "message": message}
            self._answer(user, request, error, Status.BAD)
            return True
        return self._go(user, request, steps, 0)

    def resume(self, turn: Turn) -> None:
        """
        The unfinished step C{turn} is done.
        """
        user = turn.user
        if turn.error is not None:
            self._fail(user, turn.request, turn.steps[turn.index - 1], turn.error)
        elif not self._go(user, turn.request, turn.steps, turn.index):
            return
        user.inbox.finished()

    def _steps_of_text(self, request: Request) -> tuple[Step, ...] | None:
        """
        The steps of a command that came as JSON; gives its body their form.

        @raise LocalProtocolError: its value has no such form.
        """
        body = request.body
        steps = self._registry.ws_chain(request.ver, request.cmd)
        if steps is not None:
            if isinstance(body, bytes):
                request.body = {BYTES_KEY: b64encode(body).decode("ascii")} if body else {}
            return steps
        steps = self._registry.chain(request.ver, request.cmd)
        if steps is not None and not isinstance(body, bytes):
            request.body = encode_value(body)
        return steps

    def _go(self, user: User, request: Request, steps: tuple[Step, ...], index: int) -> bool:
        ver = request.ver
        cmd = request.cmd
        body = request.body
        for step in steps[index:] if index else steps:
            if index and user.inbox.closed:
                return True
            index += 1
            turn = None
            try:
                if step.takes_next:
                    turn = Turn(self, user, request, steps, index)
                    result = step.call(ver, cmd, body, user, turn)
                else:
                    result = step.call(ver, cmd, body, user)
                if result is not None:
                    if type(result) is bytes or type(result) is dict:  # ABCs take their time
                        self._answer(user, request, result, OK)
                    elif (work := as_deferred(result)) is None:
                        self._answer(user, request, _body(result), OK)
                    else:
                        turn = turn or Turn(self, user, request, steps, index)
                        turn.wait_for(work)
            except FAULTS as error:
                if turn is None or not turn.done:
                    if turn is not None:
                        turn.done = True
                    self._fail(user, request, step, error)
                    return True
                self.log.failure(FAILED_AFTER_NEXT, handler=step.where)
            if turn is not None:
                if not turn.done:
                    turn.suspended = True
                    user.inbox.turn = turn
                    return False
                if turn.error is not None:
                    self._fail(user, request, step, turn.error)
                    return True
        if request.id and not request.answered:
            self._answer(user, request, b"", OK)
        return True

    def _answer(self, user: User, request: Request, body: Body, status: Status) -> None:
        request_id = 0 if request.answered else request.id
        user.send(Encoded(request.ver, request.cmd, body, status, request_id), request.reliable)
        request.answered = True

    def _fail(self, user: User, request: Request, step: Step, error: BaseException) -> None:
        if isinstance(error, CommandError):
            self.refused += 1
            body: dict[str, object] = {"code": error.code, "message": error.message}
            status = Status.BAD
        else:
            self.failed += 1
            body = dict(INTERNAL_ERROR)
            status = Status.ERR
            self.log.failure(
                "command ver {ver} cmd {cmd} of {uid} failed in {handler}",
                Failure(error, type(error), error.__traceback__),
                ver=request.ver,
                cmd=request.cmd,
                uid=user.uid,
                handler=step.where,
            )
        if request.id and request.answered:
            return
        try:
            self._answer(user, request, body, status)
        except LocalProtocolError as unsendable:
            # A CommandError of the application that no payload can carry.
            self._fail(user, request, step, unsendable)


class Turn:
    """
    One step that ends when it says so: C{next_}, or a Deferred.

    Call it as C{next_()} or C{next_(error)}, the error an exception or a
    C{Failure}; a second call is logged and ignored, one after the user has
    left is only ignored.
    """

    __slots__ = (
        "_dispatcher",
        "_work",
        "cancelled",
        "done",
        "error",
        "index",
        "request",
        "steps",
        "suspended",
        "user",
    )

    def __init__(
        self,
        dispatcher: Dispatcher,
        user: User,
        request: Request,
        steps: tuple[Step, ...],
        index: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._work: Deferred[None] | None = None
        self.user = user
        self.request = request
        self.steps = steps
        self.index = index
        self.done = False
        self.cancelled = False
        self.suspended = False
        self.error: BaseException | None = None

    @property
    def where(self) -> str:
        """
        The handler that has not finished.
        """
        return self.steps[self.index - 1].where

    def __call__(self, error: object = None) -> None:
        if not self.done:
            self._end(error)
        elif not self.cancelled:
            self._dispatcher.log.warn("{handler} called next_ again", handler=self.where)

    def wait_for(self, work: Deferred[object]) -> None:
        """
        End when C{work} does.
        """
        self._work = work.addCallback(self._answered).addErrback(self._failed)

    def cancel(self) -> None:
        """
        Nobody waits for this any more.
        """
        self.done = self.cancelled = True
        if self._work is not None:
            call_safely("cancelling a handler", self._work.cancel)

    def _answered(self, result: object) -> None:
        if self.cancelled:
            return
        if result is not None:
            self._dispatcher._answer(self.user, self.request, _body(result), OK)
        if not self.steps[self.index - 1].takes_next:
            self._end(None)

    def _failed(self, failure: Failure) -> None:
        if not self.done:
            self._end(failure)
        elif not self.cancelled:
            self._dispatcher.log.failure(FAILED_AFTER_NEXT, failure, handler=self.where)

    def _end(self, error: object) -> None:
        self.done = True
        if isinstance(error, Failure):
            error = error.value
        if error is not None:
            self.error = error if isinstance(error, FAULTS) else CallerError(error)
        if self.suspended:
            self._dispatcher.resume(self)


class CallerError(Exception):
    """
    C{next_} was given something that is not an exception.
    """


def _body(result: object) -> Body:
    if isinstance(result, Mapping | bytes):
        return result
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    raise TypeError(
        f"a handler returns None, bytes or a mapping, not {type(result).__name__}"
        + ("; encode the text" if isinstance(result, str) else "")
    )
