"""
C{mark_server_as_taken_if}: the application decides every 2 seconds whether new
users may come.

Rules:

  - True = TAKEN, false = ONLINE, whatever C{taken()} or C{online()} said before.
  - Nothing changes while the node is OFFLINE or has not started.
  - A predicate may be asynchronous; it is not asked again before it has answered.
  - One that fails, or answers neither true nor false, is logged and changes
    nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from twisted.logger import Logger

from diarkis_tw.constants import NodeState
from diarkis_tw.core.background import FAULTS
from diarkis_tw.core.node import Node
from diarkis_tw.errors import RegistrationError
from diarkis_tw.units import Seconds

PERIOD: Final[Seconds] = 2.0
"""As in the Go doc."""

Predicate: TypeAlias = Callable[[], bool | Awaitable[bool]]


class TakenIf:
    """
    Asks the predicate, if there is one; L{look} is called each C{PERIOD}.
    """

    log = Logger()

    def __init__(self, node: Node) -> None:
        self._node = node
        self._predicate: Predicate | None = None

    def set(self, predicate: Predicate) -> None:
        """
        Ask this one from now on.

        @raise RegistrationError: it is no function, or there is one already.
        """
        if not callable(predicate):
            raise RegistrationError(
                f"mark_server_as_taken_if takes a function f() -> bool, not {predicate!r}"
            )
        if self._predicate is not None:
            raise RegistrationError(
                "mark_server_as_taken_if has a predicate already, and two would overrule each "
                "other: combine them in one function"
            )
        self._predicate = predicate

    async def look(self) -> None:
        """
        Ask, and do what the answer says. Never fails.
        """
        if self._predicate is None or not self._may_change():
            return
        try:
            taken = self._predicate()
            if isinstance(taken, Awaitable):
                taken = await taken
            if not isinstance(taken, bool):
                raise TypeError(f"it returned {taken!r}, which is neither True nor False")
        except FAULTS:
            self.log.failure("the predicate of mark_server_as_taken_if failed; nothing changes")
            return
        if self._may_change():
            if taken:
                self._node.taken()
            else:
                self._node.online()

    def _may_change(self) -> bool:
        return self._node.state in (NodeState.ONLINE, NodeState.TAKEN)
