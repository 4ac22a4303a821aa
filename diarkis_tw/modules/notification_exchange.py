"""
How a node learns of notifications that were made while it was not there.

Rules:

  - When another node comes, or comes again, a node asks it for those that are
    alive, and for what is deleted. It says what it knows already, so that only
    the rest travels, and wants to be asked in return: perhaps only one of them
    has noticed that they did not hear each other.
  - So it does, without that wish, when something that another node said to all did
    not arrive.
  - One node is asked at a time, and page by page, each at most C{PAGE} bytes: of the
    many nodes that one finds on joining the first one tells all, and the others
    what is left.
  - A node that does not answer is asked again, C{TRIES} times in all. After that
    it is its turn: should it still be there, it will be heard coming back.
  - While there is no broker nobody is asked, and what was under way is no try: when
    the broker is back nobody need have come back with it.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.core.background import background
from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.modules.notification import NAME_MAX_BYTES, Notification
from diarkis_tw.modules.notification_memory import MARK_SIZE, REMEMBERED_MOST, NotificationMemory
from diarkis_tw.units import Seconds

PAGE: Final = 128 * 1024
"""Bytes of notifications in one answer, about; a quarter of what a frame may have."""

PAGES_MOST: Final = 1024
"""Pages of one node in a row: more than all that it can remember."""

OVERHEAD: Final = 64
"""What the other fields of a notification take."""

TIMEOUT: Final[Seconds] = 2.0
"""How long an answer is waited for: others wait behind it."""

TRIES: Final = 3

PAUSE: Final[Seconds] = 0.5
"""Period of looking whether the broker is back."""

NODES_MOST: Final = 4096
"""Nodes that wait to be asked."""

Marks = Annotated[bytes, Meta(max_length=MARK_SIZE * REMEMBERED_MOST)]


class AskNotifications(msgspec.Struct, frozen=True):
    """
    What do you know that I do not?

    @ivar node_address: of who asks.
    @ivar known: the marks of what that node remembers.
    @ivar deleted: the marks of what it knows to be deleted.
    @ivar in_return: whether it wants to be asked as well.
    """

    node_address: str
    known: Marks
    deleted: Marks
    in_return: bool


class LivingNotifications(msgspec.Struct, frozen=True):
    """
    The answer.

    @ivar alive: with the ttl that is left.
    @ivar deleted: by id, for how many more seconds that is remembered.
    @ivar more: whether there are more.
    """

    alive: list[Notification]
    deleted: dict[Annotated[str, Meta(max_length=NAME_MAX_BYTES)], Annotated[float, Meta(ge=0)]]
    more: bool


class NotificationExchange:
    """
    Asks the other nodes, and answers them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        mesh: Mesh,
        memory: NotificationMemory,
        take: Callable[[LivingNotifications], bool],
    ) -> None:
        """
        @param take: called with each answer; tells whether anything in it was new.
        """
        self._clock = clock
        self._mesh = mesh
        self._memory = memory
        self._take = take
        self._running = False
        # By address: whether it shall ask in return, and how many tries there are.
        self._waiting: dict[str, tuple[bool, int]] = {}
        self._asking: Deferred[object] | None = None
        self._later: IDelayedCall | None = None
        mesh.handle(AskNotifications, self._answer)
        mesh.on_join(lambda address: self._ask(address, in_return=True))
        mesh.on_missed(lambda address, since: self._ask(address, in_return=False))

    def start(self) -> None:
        """
        Ask whoever has come, and who comes from now on.
        """
        self._running = True
        self._next()

    def stop(self) -> None:
        """
        Ask nobody any more.
        """
        self._running = False
        self._waiting.clear()
        if self._asking is not None:
            self._asking.cancel()
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _ask(self, address: str, *, in_return: bool) -> None:
        self._wait(address, in_return, TRIES)
        self._next()

    def _wait(self, address: str, in_return: bool, tries: int) -> None:
        wanted, others = self._waiting.get(address, (False, 0))
        if others or len(self._waiting) < NODES_MOST:
            self._waiting[address] = (in_return or wanted, max(tries, others))

    def _next(self) -> None:
        if not self._running or self._asking is not None or not self._waiting:
            return
        if self._mesh.is_ready:
            self._asking = background("learning notifications of other nodes", self._ask_all())
            self._asking.addCallback(self._asked_all)
        elif self._later is None:
            self._later = self._clock.callLater(PAUSE, self._look)

    def _look(self) -> None:
        self._later = None
        self._next()

    def _asked_all(self, result: object) -> None:
        self._asking = None
        self._next()

    async def _ask_all(self) -> None:
        while self._waiting and self._mesh.is_ready:
            address = next(iter(self._waiting))
            in_return, tries = self._waiting.pop(address)
            try:
                await self._learn(address, in_return)
            except MeshError:
                left = tries - 1 if self._mesh.is_ready else tries
                if left:
                    self._wait(address, in_return, left)

    async def _learn(self, address: str, in_return: bool) -> None:
        for _ in range(PAGES_MOST):
            ask = AskNotifications(self._mesh.node_address, *self._memory.marks(), in_return)
            answer = await self._mesh.request(address, ask, LivingNotifications, TIMEOUT)
            in_return = False
            if not self._take(answer) or not answer.more:
                return

    def _answer(self, ask: AskNotifications) -> LivingNotifications:
        if ask.in_return:
            self._ask(ask.node_address, in_return=False)
        room = PAGE
        gone: dict[str, Seconds] = {}
        alive: list[Notification] = []
        for id, left in self._memory.deleted(ask.deleted):
            room -= len(id.encode()) + OVERHEAD
            if room < 0:
                return LivingNotifications(alive, gone, True)
            gone[id] = left
        for one in self._memory.alive(ask.known + ask.deleted):
            room -= len(one.id.encode()) + len(one.name.encode()) + len(one.message) + OVERHEAD
            if room < 0:
                return LivingNotifications(alive, gone, True)
            alive.append(one)
        return LivingNotifications(alive, gone, False)
