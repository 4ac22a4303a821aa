"""
Which node a player is sent to.

Rules:

  - Candidates are the nodes that have a server of the type and are ONLINE. Those
    whose enableEncryption is another are so only if there are no others: they
    refuse, with a sentence that says what to do.
  - By default the one with the fewest users is best. What others say of their
    users is up to a second old, and players need a moment to connect, so those
    sent there within the last C{RECENT} seconds count as well: a burst is spread.
  - The application's selector, if there is one, chooses instead. If it fails, or
    names none of the candidates, the default order counts, and the log says so.
"""

from collections import Counter, deque
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Final, TypeAlias

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from diarkis_tw.constants import NodeState
from diarkis_tw.core.background import FAULTS
from diarkis_tw.core.callables import describe_callable, parameter_count
from diarkis_tw.errors import HttpError, RegistrationError
from diarkis_tw.http.seldom import Seldom
from diarkis_tw.mesh.interface import Mesh, NodeInfo
from diarkis_tw.units import Seconds

RECENT: Final[Seconds] = 2.0
"""How long a player who was sent to a node is not in what it says of its users: until
it has connected and the node has said so, each a second or so."""

RECENT_MOST: Final = 10_000
"""Players counted so at a time."""

NodeSelector: TypeAlias = Callable[[str, list[NodeInfo]], str | None]
"""Gets the server type and the candidates; answers with the address of one of them, or
L{None} for none. Go: the argument of C{http.SetCustomNodeSelector}."""


class NodeChoice:
    """
    Chooses among the nodes of a mesh.
    """

    log = Logger()

    def __init__(self, mesh: Mesh, clock: IReactorTime) -> None:
        self._mesh = mesh
        self._clock = clock
        self._selector: NodeSelector | None = None
        self._recent: deque[tuple[Seconds, str]] = deque()
        self._count: Counter[str] = Counter()
        self._complaint = Seldom(clock)

    def set_selector(self, selector: NodeSelector) -> None:
        """
        Let C{selector} choose; a second one takes the first one's place.

        @raise RegistrationError: it is no function of two parameters, or async.
        """
        what = "set_custom_node_selector"
        if not callable(selector):
            raise RegistrationError(f"{what}: {selector!r} cannot be called")
        where = describe_callable(selector)
        if parameter_count(selector) not in (2, None):
            raise RegistrationError(
                f"{what}: {where} must take 2 parameters: the server type and a list of nodes"
            )
        if iscoroutinefunction(selector):
            raise RegistrationError(f"{what}: {where} must answer at once, not be async")
        self._selector = selector

    def is_offered(self, server_type: str) -> bool:
        """
        Whether any node has a server of that type, in whatever state.
        """
        return any(server_type in node.endpoints for node in self._mesh.nodes())

    def candidates(self, server_type: str, encryption: bool) -> list[NodeInfo]:
        """
        Who may be asked; at least one.

        @param encryption: enableEncryption of who asks.
        @raise HttpError: 503, there is none.
        """
        offering = [node for node in self._mesh.nodes() if server_type in node.endpoints]
        if not offering:
            raise HttpError(503, f"No {server_type} server is running.", "no_node")
        free = [node for node in offering if node.state is NodeState.ONLINE]
        if not free:
            states = sorted({node.state.value for node in offering})
            raise HttpError(
                503,
                f"No {server_type} server takes new users at present: {', '.join(states)}.",
                "no_node",
            )
        alike = [
            node
            for node in free
            if node.encryption == encryption or node.endpoints[server_type].external
        ]
        return alike or free

    def pick(self, server_type: str, candidates: list[NodeInfo]) -> NodeInfo | None:
        """
        The best of them, to which a player is sent now.

        @param candidates: at least one.
        @return: L{None} if the application's selector wants none of them.
        """
        self._forget()
        if self._selector is None:
            chosen: NodeInfo | None = self._default(candidates)
        else:
            chosen = self._ask(self._selector, server_type, candidates)
        if chosen is not None:
            if len(self._recent) >= RECENT_MOST:
                self._forget_oldest()
            self._recent.append((self._clock.seconds(), chosen.address))
            self._count[chosen.address] += 1
        return chosen

    def _default(self, candidates: list[NodeInfo]) -> NodeInfo:
        count = self._count
        return min(candidates, key=lambda node: node.ccu + count.get(node.address, 0))

    def _ask(
        self, selector: NodeSelector, server_type: str, candidates: list[NodeInfo]
    ) -> NodeInfo | None:
        where = describe_callable(selector)
        try:
            answer = selector(server_type, list(candidates))
        except FAULTS:
            if self._complaint.is_due():
                self.log.failure("node selector {where} failed", where=where)
            return self._default(candidates)
        if answer is None:
            return None
        for node in candidates:
            if node.address == answer:
                return node
        if self._complaint.is_due():
            self.log.error(
                "node selector {where} must answer with the address of one of the nodes it gets, "
                "or None, not {answer!r}",
                where=where,
                answer=answer,
            )
        return self._default(candidates)

    def _forget(self) -> None:
        end = self._clock.seconds() - RECENT
        while self._recent and self._recent[0][0] <= end:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, address = self._recent.popleft()
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]
