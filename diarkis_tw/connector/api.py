"""
What the external server calls, HTTP with JSON::

    GET  /connector/v1/address
    POST /connector/v1/port       {"port": 7777} or {"from": 7777}, "transport": "UDP"
    POST /connector/v1/ready      {"port": 7777}
    POST /connector/v1/health     {"port": 7777, "ccu": 12}
    POST /connector/v1/allocate   {"port": 7777}
    POST /connector/v1/shutdown   {"port": 7777, "endNode": false}

All answer alike: what the node is and announces now.

Checks, in this order: a web page (403), token (401), path (404), method (405),
body (400), then those of L{diarkis_tw.connector.external} (409, 503).
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from twisted.logger import Logger

from diarkis_tw.connector.external import ExternalServer
from diarkis_tw.core.node import Node
from diarkis_tw.errors import HttpError, RemoteProtocolError, StartError
from diarkis_tw.http.json_resource import BoundedRequest, JsonResource, require_method
from diarkis_tw.net.free_port import free_port
from diarkis_tw.wire.json_text import refuse_duplicates

CCU_MOST: Final = 1_000_000
"""More players than that on one server are a mistake."""

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]

_B = TypeVar("_B", bound="_Body")


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a call is told.
    """


class _PortCall(_Body, frozen=True):
    port: Port | None = None
    first: Annotated[int, msgspec.Meta(ge=0, le=65_535)] | None = msgspec.field(
        default=None, name="from"
    )
    transport: Literal["UDP", "TCP"] = "UDP"


class _Call(_Body, frozen=True):
    port: Port


class _HealthCall(_Body, frozen=True):
    port: Port
    ccu: Annotated[int, msgspec.Meta(ge=0, le=CCU_MOST)]


class _ShutdownCall(_Body, frozen=True):
    port: Port
    end_node: bool = msgspec.field(default=False, name="endNode")


class ConnectorResource(JsonResource):
    """
    C{/connector}.
    """

    log = Logger()

    def __init__(
        self,
        external: ExternalServer,
        node: Node,
        host: Callable[[], str],
        ttl: int,
        token: str,
        end_node: Callable[[], None],
    ) -> None:
        """
        @param host: the host that players are told.
        @param ttl: C{connectionTTL}, in seconds.
        @param token: what the header Authorization must say; empty = nothing.
        @param end_node: ends the process in good order.
        """
        super().__init__()
        self._external = external
        self._node = node
        self._host = host
        self._ttl = ttl
        self._token = token
        self._end_node = end_node
        self._calls: Mapping[bytes, Callable[[bytes], None]] = {
            b"port": self._port,
            b"ready": self._ready,
            b"health": self._health,
            b"allocate": self._allocate,
            b"shutdown": self._shutdown,
        }

    def respond(self, request: BoundedRequest) -> object:
        """
        Carry out one call.
        """
        self._check_sender(request)
        match request.postpath:
            case [b"v1", b"address"]:
                require_method(request, (b"GET",))
            case [b"v1", name] if name in self._calls:
                require_method(request, (b"POST",))
                self._calls[name](request.body())
            case _:
                calls = "|".join(name.decode() for name in self._calls)
                raise HttpError(
                    404, f"The calls are GET /connector/v1/address, POST /connector/v1/{{{calls}}}."
                )
        return self._describe()

    def _check_sender(self, request: BoundedRequest) -> None:
        # A browser on this machine reaches loopback, too, and says so whenever it posts.
        if request.getHeader(b"Origin") is not None:
            raise HttpError(403, "This is for the server on this machine, not for web pages.")
        if not self._token:
            return
        given = request.requestHeaders.getRawHeaders(b"Authorization") or [b""]
        if not hmac.compare_digest(given[0], f"Bearer {self._token}".encode()):
            raise HttpError(
                401, "The header Authorization: Bearer <token> is missing or wrong.", "token"
            )

    def _describe(self) -> dict[str, object]:
        host = self._host()
        endpoint = self._external.endpoint(host)
        return {
            "type": self._external.server_type,
            "host": host,
            "port": None if endpoint is None else endpoint.port,
            "transport": None if endpoint is None else endpoint.transport,
            "state": self._node.state.value,
            "ccu": self._external.ccu(),
            "connectionTTL": self._ttl,
            "stopping": self._node.terminating,
        }

    def _port(self, body: bytes) -> None:
        call = _parse(body, _PortCall, '{"port": 7777}, or {"from": 7777} to be given a free one')
        if (call.port is None) == (call.first is None):
            raise HttpError(
                400,
                'Say either which port the server has, {"port": 7777}, or from where to look for '
                'a free one, {"from": 7777}.',
                "bad_body",
            )
        port = call.port
        if port is None:
            self._external.check_free(None)
            port = _find_port(call.transport, call.first or 0)
        self._external.register(port, call.transport)
        self.log.info(
            "external server: players are sent to {host}, {transport} port {port}",
            host=self._host(),
            transport=call.transport,
            port=port,
        )

    def _ready(self, body: bytes) -> None:
        self._external.ready(_parse(body, _Call, '{"port": 7777}').port)

    def _health(self, body: bytes) -> None:
        call = _parse(body, _HealthCall, '{"port": 7777, "ccu": 12}')
        self._external.report(call.port, call.ccu)

    def _allocate(self, body: bytes) -> None:
        self._external.allocate(_parse(body, _Call, '{"port": 7777}').port)

    def _shutdown(self, body: bytes) -> None:
        call = _parse(body, _ShutdownCall, '{"port": 7777}, and "endNode": true to end the node')
        self._external.withdraw(call.port)
        # Told twice, the node would end without waiting for anybody.
        if call.end_node and not self._node.terminating:
            self._end_node()


def _parse(body: bytes, kind: type[_B], example: str) -> _B:
    try:
        value = msgspec.json.decode(body, type=kind)
        refuse_duplicates(body)
        return value
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, RemoteProtocolError) as error:
        raise HttpError(
            400, f"The body must be a JSON object such as {example}: {error}.", "bad_body"
        ) from None


def _find_port(transport: str, first: int) -> int:
    try:
        return free_port(transport, first)
    except StartError as error:
        raise HttpError(503, str(error), "no_free_port") from None
