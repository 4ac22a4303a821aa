"""
What a mesh is: how nodes know of each other and talk.

Messages are frozen C{msgspec.Struct}s; the class of a message is its topic. A
node handles a class of messages with one handler, which answers requests with
another such struct. Where a class says C{sealed: ClassVar[bool] = True}, its
messages are encrypted on their way to other nodes. Layers above depend on
L{Mesh} only, so that one process (L{diarkis_tw.mesh.local}) and many nodes behave
alike.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.constants import NodeState
from diarkis_tw.units import Seconds

Message = TypeVar("Message", bound=msgspec.Struct)
Reply = TypeVar("Reply", bound=msgspec.Struct)

REQUEST_TIMEOUT: Seconds = 5.0
"""How long a request between nodes waits for its answer."""

REQUEST_TIMEOUT_MOST: Seconds = 60.0
"""The same at most; a handler that takes longer is cancelled."""


class PublicEndpoint(msgspec.Struct, frozen=True):
    """
    Where clients reach one server of a node.
    """

    host: str
    port: int
    transport: str
    """C{UDP}, C{TCP} or C{WS}."""
    tls: bool = False
    external: bool = False
    """It belongs to an external server, which has a protocol of its own."""


class NodeInfo(msgspec.Struct, frozen=True):
    """
    What a node tells the others about itself.
    """

    address: str
    state: NodeState
    endpoints: dict[str, PublicEndpoint] = {}
    """By server type as in the endpoint API: UDP, TCP, WS, CONNECTOR or a custom word."""
    ccu: int = 0
    """Concurrent connected users."""
    encryption: bool = True
    type: str = ""
    """The word of C{node.type}; empty = the node has none of its own."""
    roles: tuple[str, ...] = ()
    """What it serves, by section of its configuration: HTTP, TCP and so on."""
    rooms: int = 0
    """How many there are on it."""
    version: str = ""
    """Of this package, there."""


class Mesh(Protocol):
    """
    The other nodes, and this one among them.
    """

    @property
    def node_address(self) -> str:
        """
        The address by which other nodes reach this one.
        """

    @property
    def is_ready(self) -> bool:
        """
        Whether other nodes can be reached at present.
        """

    def join(self, describe: Callable[[], NodeInfo]) -> None:
        """
        Enter the mesh.

        @param describe: called whenever the mesh tells others of this node.
        """

    def leave(self) -> "Deferred[None]":
        """
        Leave the mesh: other nodes forget this one at once.

        @return: fires when the last words are said, or cannot be.
        """

    def time(self) -> int:
        """
        The time of the mesh, in microseconds, later with each call. What happens here
        after this node has heard of something elsewhere is later than that, whatever
        the clocks of the machines say.
        """

    def check(self) -> None:
        """
        Notice now, not within a second, if this node stood still.
        """

    def on_stale(self, callback: Callable[[], object]) -> None:
        """
        Call C{callback()} when this node stood still for so long that others have
        given it up, or is told that they have. It is back in the mesh, or about to be.
        """

    def on_missed(self, callback: Callable[[str, int], object]) -> None:
        """
        Call C{callback(node address, since)} when messages to all of another node did
        not arrive here: all that it sent up to its C{time} C{since} did, what it sent
        after that and until now may not have. 0 = it is new here.
        """

    def updated(self) -> None:
        """
        Say that C{describe} would answer differently now.
        """

    def on_join(self, callback: Callable[[str], object]) -> None:
        """
        Call C{callback(node address)} when another node comes, or comes anew after it
        was given up. It can be asked by then.
        """

    def nodes(self) -> Iterable[NodeInfo]:
        """
        All living nodes, this one included once it has joined.
        """

    def handle(
        self, topic: type[Message], handler: Callable[[Message], Reply | Awaitable[Reply] | None]
    ) -> None:
        """
        Handle the messages of one class. At most one handler a class.
        """

    def send(self, node_address: str, message: msgspec.Struct) -> bool:
        """
        Send without an answer.

        @return: False if no such node is known, or it is out of reach at present.
        """

    def request(
        self,
        node_address: str,
        message: msgspec.Struct,
        reply: type[Reply],
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> "Deferred[Reply]":
        """
        Send and wait for the answer.

        @param reply: the class that the answer must have.
        @raise MeshError: (the Deferred fails) unknown node, no handler, an
            answer of another class, a failing handler, or no answer in time.
        @raise NotSentError: one of these which means that nobody got the message.
        """

    def broadcast(self, message: msgspec.Struct) -> None:
        """
        Send to every I{other} node.
        """
