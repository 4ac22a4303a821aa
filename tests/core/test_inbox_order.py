"""
Property tests of L{diarkis_tw.core.inbox} and L{diarkis_tw.core.dispatch}: any
interleaving of commands and of the ends of their handlers.
"""

from collections import deque
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import Status
from diarkis_tw.core.inbox import QUEUE_LIMIT
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from tests.core.fakes import CMD, VER, CoreNode, GameFault

KINDS = (
    "return", "answer", "respond", "respond twice", "refuse", "fail",
    "wait", "wait and answer", "wait and refuse", "wait and fail",
)  # fmt: skip
NEXT_KINDS = (
    "next", "next and fail", "refuse by next", "raise before next",
    "keep next", "keep next and answer", "refuse by kept next",
)  # fmt: skip


def expected(kind: str) -> Status:
    """
    How a request of this kind is answered.
    """
    if "refuse" in kind or kind == "raise before next":
        return Status.BAD
    return Status.ERR if kind in ("fail", "wait and fail") else Status.OK


class Commands(RuleBasedStateMachine):
    """
    One user, whose commands end now or when the machine says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.core = CoreNode()
        self.core.registry.handle(VER, CMD, self.step)
        self.core.registry.handle(VER, CMD + 1, self.step_with_next)
        self.core.registry.handle(VER, CMD + 1, self.last)
        self.core.start()
        self.user, self.client = self.core.connect()
        self.clients = [self.client]
        self.arrived: list[tuple[int, str]] = []
        self.begun: list[int] = []
        self.active: int | None = None
        self.ends: deque[Callable[[], None]] = deque()

    def step(
        self, ver: int, cmd: int, payload: bytes, user: User
    ) -> bytes | Deferred[bytes | None] | None:
        number, kind = self.begin(payload)
        if kind.startswith("wait"):
            work: Deferred[bytes | None] = Deferred()
            self.ends.append(lambda: self.end_work(kind, work))
            return work
        self.active = None
        if kind == "refuse":
            raise CommandError(number, "no")
        if kind == "fail":
            raise GameFault
        if kind.startswith("respond"):
            user.server_respond(b"", ver, cmd)
        if kind == "respond twice":
            user.server_respond(b"", ver, cmd)
        return b"" if kind == "answer" else None

    def end_work(self, kind: str, work: Deferred[bytes | None]) -> None:
        self.active = None
        if kind == "wait and refuse":
            work.errback(CommandError(1, "no"))
        elif kind == "wait and fail":
            work.errback(GameFault())
        else:
            work.callback(b"" if kind == "wait and answer" else None)

    async def step_with_next(
        self, ver: int, cmd: int, payload: bytes, user: User, next_: Callable[..., None]
    ) -> None:
        number, kind = self.begin(payload)
        refusal = CommandError(number, "no")
        if "keep" in kind or "kept" in kind:
            if kind == "keep next and answer":
                user.server_respond(b"", ver, cmd)
            self.ends.append(lambda: self.end_turn(kind, next_, refusal))
            return
        if kind in ("raise before next", "refuse by next"):
            self.active = None
        if kind == "raise before next":
            raise refusal
        next_(refusal if kind == "refuse by next" else None)
        if kind == "next and fail":
            raise GameFault

    def end_turn(self, kind: str, next_: Callable[..., None], refusal: CommandError) -> None:
        if kind == "refuse by kept next":
            self.active = None
            next_(refusal)
        else:
            next_()
        next_()

    def last(self, ver: int, cmd: int, payload: bytes, user: User) -> None:
        assert self.active == int(payload), "a chain is not interrupted"
        self.active = None

    def begin(self, payload: bytes) -> tuple[int, str]:
        number = int(payload)
        assert self.active is None, "one command at a time"
        self.active = number
        self.begun.append(number)
        return self.arrived[number]

    @rule(kinds=st.lists(st.sampled_from(KINDS + NEXT_KINDS), min_size=1, max_size=8))
    @precondition(lambda self: len(self.arrived) - len(self.begun) < QUEUE_LIMIT - 8)
    def arrive(self, kinds: list[str]) -> None:
        """
        The client sends some commands.
        """
        for kind in kinds:
            number = len(self.arrived)
            self.arrived.append((number + 1, kind))
            cmd = CMD + (kind in NEXT_KINDS)
            assert self.client.command(b"%d" % number, number + 1, cmd=cmd)

    @rule()
    @precondition(lambda self: self.ends)
    def end(self) -> None:
        """
        What the running handler waits for happens.
        """
        self.ends.popleft()()

    @rule()
    def reconnect(self) -> None:
        """
        The connection is lost and made again.
        """
        self.client.drop()
        self.client = self.core.connection(self.user)
        self.clients.append(self.client)

    @rule()
    @precondition(lambda self: self.ends)
    def end_while_away(self) -> None:
        """
        The running handler ends while there is no connection.
        """
        self.client.drop()
        self.end()
        self.client = self.core.connection(self.user)
        self.clients.append(self.client)

    @invariant()
    def in_order(self) -> None:
        """
        Commands begin in the order of arrival, and none is left behind an idle user.
        """
        assert self.begun == list(range(len(self.begun)))
        assert len(self.ends) <= 1
        if not self.ends:
            assert len(self.begun) == len(self.arrived)
            assert self.user.request is None
        else:
            assert self.user.inbox.turn is not None

    def teardown(self) -> None:
        while self.ends:
            self.end()
            self.in_order()
        answers = [
            (id, status)
            for client in self.clients
            for id, status, _ in client.answers()
            if id
        ]  # fmt: skip
        assert answers == [(id, expected(kind)) for id, kind in self.arrived]


class OrderTests(SynchronousTestCase):
    """
    The machine above.
    """

    def test_any_interleaving(self) -> None:
        """
        Commands run one at a time in order of arrival, and each request is answered
        exactly once, in that order, however handlers end.
        """
        run_state_machine_as_test(
            Commands, settings=settings(max_examples=60, stateful_step_count=30)
        )
        self.flushLoggedErrors(GameFault)
