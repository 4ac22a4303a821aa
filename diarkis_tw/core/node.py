"""
The state of this node and what it allows::

    state     new users   new rooms   everything else
    STARTING  no          yes         no: there are no users
    ONLINE    yes         yes         yes
    TAKEN     no          yes         yes
    OFFLINE   no          no          yes, until users have left

A state asked for before the node is ready is the one it starts in. After
termination began the node stays OFFLINE.
"""

from collections.abc import Callable

from twisted.logger import Logger

from diarkis_tw.constants import CloseCode, NodeState


class Node:
    """
    State of one node. Go: C{server.Online}, C{server.Taken}, C{server.Offline}.
    """

    log = Logger()

    def __init__(self) -> None:
        self._state = NodeState.STARTING
        self._wanted = NodeState.ONLINE
        self._terminating = False
        self._observers: list[Callable[[NodeState], None]] = []

    @property
    def state(self) -> NodeState:
        """
        The present state.
        """
        return self._state

    @property
    def terminating(self) -> bool:
        """
        Whether the node is on its way out.
        """
        return self._terminating

    def observe(self, observer: Callable[[NodeState], None]) -> None:
        """
        Call C{observer} with each new state.
        """
        self._observers.append(observer)

    def ready(self) -> None:
        """
        The node serves now: enter the state asked for, ONLINE by default.
        """
        self._enter(self._wanted)

    def online(self) -> None:
        """
        Accept new users and rooms.
        """
        self._want(NodeState.ONLINE)

    def taken(self) -> None:
        """
        Accept no new users.
        """
        self._want(NodeState.TAKEN)

    def offline(self) -> None:
        """
        Accept neither new users nor new rooms.
        """
        self._want(NodeState.OFFLINE)

    def terminate(self) -> None:
        """
        OFFLINE for good.
        """
        self._terminating = True
        self._wanted = NodeState.OFFLINE
        self._enter(NodeState.OFFLINE)

    def refusal(self) -> CloseCode | None:
        """
        Why a new user may not come in; L{None} if it may.
        """
        if self._state is NodeState.ONLINE:
            return None
        return CloseCode.TAKEN if self._state is NodeState.TAKEN else CloseCode.SERVER_OFFLINE

    def _want(self, state: NodeState) -> None:
        if self._terminating:
            self.log.warn("the node is terminating and stays OFFLINE: {state} refused", state=state)
            return
        self._wanted = state
        if self._state is not NodeState.STARTING:
            self._enter(state)

    def _enter(self, state: NodeState) -> None:
        if state is self._state:
            return
        self._state = state
        self.log.info("node is {state}", state=state.value)
        for observer in self._observers:
            observer(state)
