"""
The mesh of one process: no broker, no network, the same behaviour.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

import msgspec
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.errors import MeshError, NotSentError
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT, Message, NodeInfo, Reply
from diarkis_tw.mesh.time import MeshTime
from diarkis_tw.units import Seconds

Handler = Callable[[msgspec.Struct], msgspec.Struct | Awaitable[msgspec.Struct] | None]


class LocalMesh:
    """
    A mesh with this node as its only member; see L{diarkis_tw.mesh.interface.Mesh}.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, node_address: str = "local") -> None:
        self._clock = clock
        self._address = node_address
        self._time = MeshTime(clock, clock.seconds())
        self._handlers: dict[type[msgspec.Struct], Handler] = {}
        self._describe: Callable[[], NodeInfo] | None = None

    @property
    def node_address(self) -> str:
        return self._address

    @property
    def is_ready(self) -> bool:
        """
        Always: there is nobody else.
        """
        return True

    def join(self, describe: Callable[[], NodeInfo]) -> None:
        self._describe = describe

    def leave(self) -> Deferred[None]:
        self._describe = None
        return succeed(None)

    def time(self) -> int:
        return self._time.now()

    def check(self) -> None:
        """
        Nobody else could have noticed.
        """

    def on_stale(self, callback: Callable[[], object]) -> None:
        """
        Never: there is nobody who could give this node up.
        """

    def on_missed(self, callback: Callable[[str, int], object]) -> None:
        """
        Never: nobody else says anything.
        """

    def updated(self) -> None:
        """
        Nobody else to tell: L{nodes} asks afresh each time.
        """

    def on_join(self, callback: Callable[[str], object]) -> None:
        """
        Nobody ever comes.
        """

    def nodes(self) -> Iterable[NodeInfo]:
        return () if self._describe is None else (self._describe(),)

    def handle(
        self, topic: type[Message], handler: Callable[[Message], Reply | Awaitable[Reply] | None]
    ) -> None:
        if topic in self._handlers:
            raise MeshError(f"{topic.__name__} has a handler already")
        self._handlers[topic] = cast(Handler, handler)

    def send(self, node_address: str, message: msgspec.Struct) -> bool:
        if node_address != self._address:
            return False
        self._call(node_address, message).addErrback(self._log_failure, message)
        return True

    def request(
        self,
        node_address: str,
        message: msgspec.Struct,
        reply: type[Reply],
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> Deferred[Reply]:
        name = type(message).__name__

        def check(answer: object) -> Reply:
            if not isinstance(answer, reply):
                raise MeshError(f"{name} was answered with {type(answer).__name__}")
            return answer

        def explain(failure: Failure) -> Reply:
            if isinstance(failure.value, MeshError):
                raise failure.value
            if failure.check(TimeoutError):
                raise MeshError(f"{name}: no answer from {node_address} in {round(timeout, 2):g} s")
            self._log_failure(failure, message)
            raise MeshError(f"{name}: {node_address} failed to handle it")

        asked = self._call(node_address, message).addTimeout(timeout, self._clock)
        return asked.addCallbacks(check, explain)

    def broadcast(self, message: msgspec.Struct) -> None:
        """
        There are no other nodes.
        """

    def _call(self, node_address: str, message: msgspec.Struct) -> Deferred[object]:
        handler = self._handlers.get(type(message))

        def call() -> object:
            if node_address != self._address:
                raise NotSentError(f"no node {node_address}")
            if handler is None:
                raise MeshError(f"{node_address} does not handle {type(message).__name__}")
            return handler(message)

        return maybeDeferred(call)

    def _log_failure(self, failure: Failure, message: msgspec.Struct) -> None:
        self.log.failure("{topic} failed", failure, topic=type(message).__name__)
