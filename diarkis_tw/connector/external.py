"""
The external server of this node, as far as it says. Go: package
C{server/connector}.

It is known by the port on which its players reach it. What it says moves the
state of the node::

    says                   allowed                          node becomes
    nothing yet                                             OFFLINE
    port                   unless another one is ready      OFFLINE
    ready                  after port                       ONLINE
    allocate               after ready                      TAKEN
    health                 after port                       as before its silence
    shutdown               after port                       OFFLINE; it is forgotten
    nothing for the TTL                                     OFFLINE until it says something

Rules:

  - Whoever names a port that is not the registered one is somebody else: what he
    says is refused and changes nothing.
  - Another port may be registered while the one before is not ready or is silent.
    The same port may always be: two processes cannot have it, so the first is gone.
  - Silence takes back what the server itself had made of the node, and no more: a
    node that is OFFLINE anyway does not become ONLINE by a health report.
  - A silent server has no players, as far as this node is concerned.
"""

from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from diarkis_tw.constants import NodeState
from diarkis_tw.core.node import Node
from diarkis_tw.errors import HttpError
from diarkis_tw.mesh.interface import Mesh, PublicEndpoint
from diarkis_tw.units import Seconds

SWEEP: Final[Seconds] = 1.0
"""Period of looking for silence: health is reported as often."""


@dataclass(eq=False, slots=True)
class Registration:
    """
    An external server that has named its port.

    @ivar transport: how its players reach it, for them to know: UDP or TCP.
    @ivar last_heard: when it last said something.
    @ivar ready: it has been ready for players.
    @ivar ccu: players it has.
    @ivar silent: it has said nothing for the TTL.
    @ivar resume: what the node was before that; L{None} = OFFLINE.
    """

    port: int
    transport: str
    last_heard: Seconds
    ready: bool = False
    ccu: int = 0
    silent: bool = False
    resume: NodeState | None = None


class ExternalServer:
    """
    What is known of it, and what that makes of the node.

    @ivar server_type: the type that clients ask the endpoint API for.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, node: Node, mesh: Mesh, server_type: str, ttl: Seconds
    ) -> None:
        """
        @param ttl: how long it may say nothing.
        """
        self.server_type = server_type
        self._clock = clock
        self._node = node
        self._mesh = mesh
        self._ttl = ttl
        self._registered: Registration | None = None
        self._empty: list[Deferred[None]] = []
        node.offline()

    @property
    def port(self) -> int | None:
        """
        The port of its players; L{None} = there is none yet.
        """
        return None if self._registered is None else self._registered.port

    def endpoint(self, host: str) -> PublicEndpoint | None:
        """
        Where its players reach it.

        @param host: of this machine, as players know it.
        """
        found = self._registered
        if found is None:
            return None
        return PublicEndpoint(host, found.port, found.transport, external=True)

    def ccu(self) -> int:
        """
        Players it has.
        """
        found = self._registered
        return 0 if found is None or found.silent else found.ccu

    def when_empty(self) -> Deferred[None]:
        """
        Fires once it has no players, as far as is known.
        """
        if not self.ccu():
            return succeed(None)
        empty: Deferred[None] = Deferred(self._empty.remove)
        self._empty.append(empty)
        return empty

    # What it says

    def check_free(self, port: int | None) -> None:
        """
        Check that a server may register.

        @param port: the one it has, if it has one already.
        @raise HttpError: 409, another one is there; 503, the node stops.
        """
        self._check_going_on()
        found = self._registered
        if found is not None and found.ready and not found.silent and found.port != port:
            raise HttpError(
                409,
                f"The server on port {found.port} is registered and ready. It must call shutdown "
                f"before, or say nothing for {self._ttl:g} seconds.",
                "busy",
            )

    def register(self, port: int, transport: str) -> None:
        """
        A server has that port.

        @raise HttpError: see L{check_free}.
        """
        self.check_free(port)
        self._registered = Registration(port, transport, self._clock.seconds())
        self._node.offline()
        self._changed()

    def ready(self, port: int) -> None:
        """
        It takes players, or does so again.

        @raise HttpError: 409, it is not registered; 503, the node stops.
        """
        self._check_going_on()
        self._heard(port).ready = True
        self._node.online()

    def report(self, port: int, ccu: int) -> None:
        """
        It is well.

        @param ccu: players it has.
        @raise HttpError: 409, it is not registered.
        """
        self._heard(port).ccu = ccu
        self._check_empty()

    def allocate(self, port: int) -> None:
        """
        It takes no more players until it is ready again.

        @raise HttpError: 409, it is not registered or has never been ready.
        """
        if not self._heard(port).ready:
            raise HttpError(409, "Call ready before allocate.", "not_ready")
        if not self._node.terminating:
            self._node.taken()

    def withdraw(self, port: int) -> None:
        """
        It ends.

        @raise HttpError: 409, it is not registered.
        """
        self._heard(port)
        self._registered = None
        self.log.info("the external server on port {port} has shut down", port=port)
        if not self._node.terminating:
            self._node.offline()
        self._changed()

    def sweep(self) -> None:
        """
        Notice silence, once.
        """
        found = self._registered
        if found is None or found.silent:
            return
        if self._clock.seconds() - found.last_heard < self._ttl:
            return
        found.silent = True
        self.log.warn(
            "the external server on port {port} has reported no health for {ttl:g} s: OFFLINE "
            "until it does",
            port=found.port,
            ttl=self._ttl,
        )
        if self._node.state in (NodeState.ONLINE, NodeState.TAKEN):
            found.resume = self._node.state
            self._node.offline()
        self._check_empty()

    def _check_going_on(self) -> None:
        if self._node.terminating:
            raise HttpError(503, "The node is stopping and takes no players any more.", "stopping")

    def _heard(self, port: int) -> Registration:
        found = self._registered
        if found is None:
            raise HttpError(409, "No server is registered here: call port before.", "no_port")
        if found.port != port:
            raise HttpError(
                409,
                f"The server registered here is the one on port {found.port}, not {port}: call "
                "port again.",
                "other_port",
            )
        found.last_heard = self._clock.seconds()
        if found.silent:
            found.silent = False
            self.log.info("the external server on port {port} reports again", port=port)
            self._resume(found)
        return found

    def _resume(self, found: Registration) -> None:
        resume, found.resume = found.resume, None
        if self._node.terminating:
            return
        if resume is NodeState.ONLINE:
            self._node.online()
        elif resume is NodeState.TAKEN:
            self._node.taken()

    def _changed(self) -> None:
        self._mesh.updated()
        self._check_empty()

    def _check_empty(self) -> None:
        if not self.ccu():
            waiting, self._empty = self._empty, []
            for empty in waiting:
                empty.callback(None)
