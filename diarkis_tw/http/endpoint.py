"""
The endpoint API: a player's way in::

    GET or POST /endpoint/type/{UDP|TCP|WS|CONNECTOR|custom}/user/{uid, percent-encoded}

It has a node of that type make the user, and answers where to connect and with
which keys: C{docs/protocol.md}, "Session and keys". An external server
(L{diarkis_tw.connector}) has neither users nor keys of ours: its address is all
there is to say.

The best node (L{diarkis_tw.http.node_choice}) is asked first. If it does not answer
in its share of the time, or refuses, the next best is, C{TRIES} in all. A node that
answers too late has made a session that nobody claims: it is forgotten as any such.

Checks, in this order: client key (401), type (404), uid and body (400), a node
that takes the user (503).
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from diarkis_tw.config.settings import HttpSettings
from diarkis_tw.constants import (
    CONNECTOR_TYPE,
    NO_PROTOCOL,
    PROTOCOL_VERSION,
    UID_MAX_BYTES,
    ServerType,
)
from diarkis_tw.core.creation import CreateUser, CreateUserReply, UserMade, UserRefused
from diarkis_tw.errors import HttpError, MeshError
from diarkis_tw.http.json_resource import BoundedRequest, JsonResource, parse_object
from diarkis_tw.http.node_choice import NodeChoice
from diarkis_tw.http.seldom import Seldom
from diarkis_tw.mesh.interface import Mesh, PublicEndpoint
from diarkis_tw.units import Seconds

TRANSPORTS: Final = frozenset(kind.value for kind in ServerType)
KNOWN_TYPES: Final = TRANSPORTS | {CONNECTOR_TYPE}
V1: Final = b"v1"
"""Value of the request header ResponseVersion that asks for the older form."""

TRIES: Final = 3
"""Nodes asked for one player: were more of them silent at once, others would not help."""

PATIENCE: Final[Seconds] = 1.8
"""How long they have together: a player hears within 2 seconds that there is no server."""

Form: TypeAlias = Callable[[str, PublicEndpoint], dict[str, object]]
"""Says where to connect, in one of the two forms."""


class EndpointResource(JsonResource):
    """
    C{/endpoint}.
    """

    log = Logger()
    methods = (b"GET", b"POST")

    def __init__(
        self,
        mesh: Mesh,
        choice: NodeChoice,
        settings: HttpSettings,
        client_key: str | None,
        clock: IReactorTime,
    ) -> None:
        """
        @param client_key: what the header ClientKey must say; L{None} = nothing.
        """
        super().__init__(settings.allow_origin)
        self._mesh = mesh
        self._choice = choice
        self._clock = clock
        self._complaint = Seldom(clock)
        self._patience = min(PATIENCE, settings.timeout)
        self._encryption = settings.enable_encryption
        self._client_key = client_key

    def answer(self, request: BoundedRequest) -> object:
        """
        Make a user on a node.
        """
        self._check_client_key(request)
        server_type, uid = self._parse_path(request.postpath)
        data = _parse_data(request.body()) if request.method == b"POST" else {}
        form = _v1_form if request.getHeader(b"ResponseVersion") == V1 else _form
        create = CreateUser(uid, server_type, data, self._encryption)
        return Deferred.fromCoroutine(self._find_place(create, form))

    async def _find_place(self, create: CreateUser, form: Form) -> Mapping[str, object]:
        server_type = create.server_type
        candidates = self._choice.candidates(server_type, self._encryption)
        deadline = self._clock.seconds() + self._patience
        refusal = HttpError(
            503, f"No {server_type} server takes this player at present.", "no_node"
        )
        for tries_left in range(min(TRIES, len(candidates)), 0, -1):
            share = (deadline - self._clock.seconds()) / tries_left
            node = self._choice.pick(server_type, candidates) if share > 0 else None
            if node is None:
                break
            candidates.remove(node)
            endpoint = node.endpoints[server_type]
            if endpoint.external:
                return form(server_type, endpoint) | {"protocol": NO_PROTOCOL}
            try:
                reply = await self._mesh.request(node.address, create, CreateUserReply, share)
            except MeshError as error:
                if self._complaint.is_due():
                    self.log.warn("a user could not be made: {reason}", reason=str(error))
                refusal = self._silence()
                continue
            match reply.outcome:
                case UserMade() as made:
                    return form(server_type, endpoint) | self._describe(made, endpoint)
                case UserRefused(reason, message):
                    refusal = HttpError(503, message, reason)
        raise refusal

    def _silence(self) -> HttpError:
        if not self._mesh.is_ready:
            away = "The game servers are out of reach, as no NATS server is reached; try again."
            return HttpError(503, away, "mesh_away")
        return HttpError(503, "The game server did not answer in time; try again.", "no_answer")

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
        elif not self._choice.is_offered(server_type):
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

    def _describe(self, made: UserMade, endpoint: PublicEndpoint) -> dict[str, object]:
        return {
            "sid": made.sid.hex(),
            "encryptionKey": made.encryption_key.hex(),
            "encryptionIV": made.encryption_iv.hex(),
            "encryptionMacKey": made.encryption_mac_key.hex(),
            "protocol": PROTOCOL_VERSION,
            "encryption": self._encryption,
            "tls": endpoint.tls,
            "expiresIn": made.expires_in,
        }


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
