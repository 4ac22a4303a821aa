"""
The endpoint API: a player's way in::

    GET or POST /endpoint/type/{UDP|TCP|WS|CONNECTOR|custom}/user/{uid, percent-encoded}

It picks the least busy node of that type, has it make the user, and answers
where to connect and with which keys: C{docs/protocol.md}, "Session and keys". An
external server (L{diarkis_tw.connector}) has neither users nor keys of ours: its
address is all there is to say.

Checks, in this order: client key (401), type (404), uid and body (400), a node
that takes the user (503).
"""

import hmac
from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.constants import (
    CONNECTOR_TYPE,
    NO_PROTOCOL,
    PROTOCOL_VERSION,
    UID_MAX_BYTES,
    NodeState,
    ServerType,
)
from diarkis_tw.core.creation import CreateUser, CreateUserReply, UserMade, UserRefused
from diarkis_tw.errors import HttpError, MeshError
from diarkis_tw.http.json_resource import BoundedRequest, JsonResource, parse_object
from diarkis_tw.mesh.interface import Mesh, NodeInfo, PublicEndpoint

TRANSPORTS: Final = frozenset(kind.value for kind in ServerType)
KNOWN_TYPES: Final = TRANSPORTS | {CONNECTOR_TYPE}
V1: Final = b"v1"
"""Value of the request header ResponseVersion that asks for the older form."""

Form: TypeAlias = Callable[[str, PublicEndpoint], dict[str, object]]
"""Says where to connect, in one of the two forms."""


class EndpointResource(JsonResource):
    """
    C{/endpoint}.
    """

    log = Logger()
    methods = (b"GET", b"POST")

    def __init__(self, mesh: Mesh, settings: HttpSettings, client_key: str | None) -> None:
        """
        @param client_key: what the header ClientKey must say; L{None} = nothing.
        """
        super().__init__(settings.allow_origin)
        self._mesh = mesh
        self._timeout = settings.timeout
        self._encryption = settings.enable_encryption
        self._client_key = client_key

    def answer(self, request: BoundedRequest) -> object:
        """
        Make a user on a node.
        """
        self._check_client_key(request)
        server_type, uid = self._parse_path(request.postpath)
        data = _parse_data(request.body()) if request.method == b"POST" else {}
        node = self._choose(server_type)
        endpoint = node.endpoints[server_type]
        form = _v1_form if request.getHeader(b"ResponseVersion") == V1 else _form
        if endpoint.external:
            return form(server_type, endpoint) | {"protocol": NO_PROTOCOL}
        create = CreateUser(uid, server_type, data, self._encryption)
        made: Deferred[CreateUserReply] = self._mesh.request(
            node.address, create, CreateUserReply, self._timeout
        )
        return made.addCallbacks(
            lambda reply: self._describe(reply, server_type, endpoint, form), self._unreachable
        )

    def _check_client_key(self, request: BoundedRequest) -> None:
        if self._client_key is None:
            return
        given = request.requestHeaders.getRawHeaders(b"ClientKey") or [b""]
        if not hmac.compare_digest(given[0], self._client_key.encode()):
            raise HttpError(401, "The header ClientKey is missing or wrong.", "client_key")

    def _parse_path(self, path: list[bytes] | None) -> tuple[str, str]:
        match path:
            case [b"type", raw_type, b"user", raw_uid]:
                pass
            case _:
                form = "/endpoint/type/{UDP|TCP|WS}/user/{uid}"
                raise HttpError(404, f"The endpoint API has the form {form}.")
        server_type = raw_type.decode("utf-8", "replace")
        if server_type.upper() in KNOWN_TYPES:
            server_type = server_type.upper()
        elif not any(server_type in node.endpoints for node in self._mesh.nodes()):
            raise HttpError(
                404,
                f"There is no server type {server_type[:32]!r}: ask for "
                f"{', '.join(sorted(TRANSPORTS))} or a type that a node is configured with.",
                "unknown_type",
            )
        try:
            uid = raw_uid.decode("utf-8")
        except UnicodeDecodeError:
            raise HttpError(400, "The uid is not UTF-8, percent-encoded.", "bad_uid") from None
        if not 1 <= len(raw_uid) <= UID_MAX_BYTES:
            raise HttpError(
                400, f"A uid has 1 to {UID_MAX_BYTES} bytes, not {len(raw_uid)}.", "bad_uid"
            )
        return server_type, uid

    def _choose(self, server_type: str) -> NodeInfo:
        offering = [node for node in self._mesh.nodes() if server_type in node.endpoints]
        free = [node for node in offering if node.state is NodeState.ONLINE]
        if free:
            return min(free, key=lambda node: node.ccu)
        if not offering:
            raise HttpError(503, f"No {server_type} server is running.", "no_node")
        states = sorted({node.state.value for node in offering})
        raise HttpError(
            503,
            f"No {server_type} server takes new users at present: {', '.join(states)}.",
            "no_node",
        )

    def _describe(
        self, reply: CreateUserReply, server_type: str, endpoint: PublicEndpoint, form: Form
    ) -> dict[str, object]:
        match reply.outcome:
            case UserRefused(reason, message):
                raise HttpError(503, message, reason)
            case UserMade() as made:
                return form(server_type, endpoint) | {
                    "sid": made.sid.hex(),
                    "encryptionKey": made.encryption_key.hex(),
                    "encryptionIV": made.encryption_iv.hex(),
                    "encryptionMacKey": made.encryption_mac_key.hex(),
                    "protocol": PROTOCOL_VERSION,
                    "encryption": self._encryption,
                    "tls": endpoint.tls,
                    "expiresIn": made.expires_in,
                }

    def _unreachable(self, failure: Failure) -> None:
        failure.trap(MeshError)
        self.log.warn("a user could not be made: {reason}", reason=str(failure.value))
        raise HttpError(503, "The game server did not answer in time; try again.", "no_answer")


def _form(server_type: str, endpoint: PublicEndpoint) -> dict[str, object]:
    return {
        "serverType": server_type,
        "serverHost": endpoint.host,
        "serverPort": endpoint.port,
    } | _transport(server_type, endpoint)


def _v1_form(server_type: str, endpoint: PublicEndpoint) -> dict[str, object]:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return {server_type: f"{host}:{endpoint.port}"} | _transport(server_type, endpoint)


def _transport(server_type: str, endpoint: PublicEndpoint) -> dict[str, object]:
    """
    Say it where the type does not.
    """
    return {} if server_type in TRANSPORTS else {"transport": endpoint.transport}


def _parse_data(body: bytes) -> dict[str, object]:
    if not body:
        return {}
    return parse_object(body, "The body must be a JSON object, the user's data")
