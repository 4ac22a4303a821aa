"""
C{GET /healthcheck}: whether this process serves, for load balancers and
Kubernetes probes.

It answers 200 whatever the operator made of the node, so that a node that is
TAKEN or drains is not killed as sick, and 503 only before it serves.
C{GET /healthcheck/ready} says besides whether new players shall be sent here: 503
also while the other nodes are out of reach. Players who are here do not notice.
"""

from diarkis_tw.constants import NodeState
from diarkis_tw.core.node import Node
from diarkis_tw.errors import HttpError
from diarkis_tw.http.json_resource import BoundedRequest, JsonResource
from diarkis_tw.mesh.interface import Mesh


class HealthResource(JsonResource):
    """
    C{/healthcheck}.
    """

    def __init__(self, node: Node, mesh: Mesh, allow_origin: str) -> None:
        super().__init__(allow_origin)
        self._node = node
        self._mesh = mesh

    def answer(self, request: BoundedRequest) -> object:
        """
        The node's state.
        """
        if (request.postpath or []) not in ([], [b"ready"]):
            return super().answer(request)
        if self._node.state is NodeState.STARTING:
            raise HttpError(503, "The node is starting.", "starting")
        if request.postpath and not self._mesh.is_ready:
            raise HttpError(503, "No NATS server is reached.", "mesh_away")
        return {"status": "ok", "state": self._node.state.value}
