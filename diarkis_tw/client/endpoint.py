"""
Where a user connects to, and how to ask for it.

The endpoint API hands out the session's secrets: ask it over HTTPS, or let the
game's own back end ask and pass the answer on to L{parse_endpoint}.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import treq
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IReactorTCP, IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from diarkis_tw.client.tls import ClientTls, tls_fault
from diarkis_tw.constants import NO_PROTOCOL, PROTOCOL_VERSION, UID_MAX_BYTES, ServerType
from diarkis_tw.errors import EndpointError, LocalProtocolError
from diarkis_tw.net.http_connections import QuietConnections
from diarkis_tw.units import Seconds
from diarkis_tw.wire.keys import SessionKeys

ANSWER_MAX_BYTES: Final = 64 * 1024
"""A real answer has some 300 bytes; who sends more is no endpoint API."""

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    The answer of the endpoint API.

    @ivar server_type: kind of transport to use.
    @ivar host: name or address of the server.
    @ivar port: its port.
    @ivar keys: session id and secrets; never shown by C{repr}.
    @ivar protocol: version of the wire protocol.
    @ivar encryption: messages are encrypted, not only authenticated.
    @ivar tls: the transport lies in TLS.
    @ivar expires_in: time until the first connection must be made, in seconds.
    """

    server_type: ServerType
    host: str
    port: int
    keys: SessionKeys
    protocol: int = PROTOCOL_VERSION
    encryption: bool = True
    tls: bool = False
    expires_in: Seconds = 30.0

    def __str__(self) -> str:
        return f"{self.server_type} {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ExternalEndpoint:
    """
    The answer of the endpoint API for an external server: it has a protocol of its
    own, so there is no session, and no L{diarkis_tw.client.Client} for it.

    @ivar server_type: the type asked for, such as C{CONNECTOR}.
    @ivar host: name or address of the server.
    @ivar port: its port.
    @ivar transport: what its protocol lies on, C{UDP} or C{TCP}.
    """

    server_type: str
    host: str
    port: int
    transport: str

    def __str__(self) -> str:
        return f"{self.server_type} {self.host}:{self.port}"


class _Protocol(msgspec.Struct):
    """
    What decides how to read the rest.
    """

    protocol: int | None = None


class _ExternalAnswer(msgspec.Struct, rename="camel"):
    """
    The JSON object of an external server.
    """

    server_type: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    server_host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    server_port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    transport: Annotated[str, msgspec.Meta(max_length=255)] = ""


class _Answer(msgspec.Struct, rename="camel"):
    """
    The JSON object, with the API's own names.
    """

    server_type: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    server_host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    server_port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    sid: str
    encryption_key: str
    encryption_iv: str = msgspec.field(name="encryptionIV")
    encryption_mac_key: str
    protocol: int
    encryption: bool
    tls: bool
    expires_in: Annotated[float, msgspec.Meta(ge=0)]
    transport: ServerType | None = None
    """Comes with a custom server type, which does not tell it."""


class _Refusal(msgspec.Struct):
    """
    The JSON object that comes with every HTTP status but 200.
    """

    error: str = ""
    message: str = ""


_decode_protocol: Final = msgspec.json.Decoder(_Protocol).decode
_decode_external: Final = msgspec.json.Decoder(_ExternalAnswer).decode
_decode_answer: Final = msgspec.json.Decoder(_Answer).decode
_decode_refusal: Final = msgspec.json.Decoder(_Refusal).decode


def parse_endpoint(answer: bytes) -> Endpoint | ExternalEndpoint:
    """
    Read the JSON object of the endpoint API.

    @param answer: the body as received.
    @return: what it says; an L{ExternalEndpoint} if the server wanted is none of ours.

    @raise EndpointError: it is not what this client understands; the text says
        what is odd and shows no secret.
    """
    try:
        if _decode_protocol(answer).protocol == NO_PROTOCOL:
            other = _decode_external(answer)
            return ExternalEndpoint(
                other.server_type, other.server_host, other.server_port, other.transport
            )
        found = _decode_answer(answer)
        keys = SessionKeys.from_hex(
            found.sid, found.encryption_key, found.encryption_iv, found.encryption_mac_key
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LocalProtocolError) as exc:
        raise EndpointError(f"the endpoint answer is not understood: {exc}", _OK) from None
    if found.protocol != PROTOCOL_VERSION:
        raise EndpointError(
            f"the server speaks version {found.protocol} of the protocol, "
            f"this client version {PROTOCOL_VERSION}",
            _OK,
        )
    try:
        transport = found.transport or ServerType(found.server_type)
    except ValueError:
        raise EndpointError(
            f"the endpoint answer is not understood: serverType {found.server_type!r} comes "
            "without the transport it uses",
            _OK,
        ) from None
    return Endpoint(
        server_type=transport,
        host=found.server_host,
        port=found.server_port,
        keys=keys,
        protocol=found.protocol,
        encryption=found.encryption,
        tls=found.tls,
        expires_in=found.expires_in,
    )


@implementer(IBodyProducer)
class _Body:
    """
    A short body, sent in one piece. What treq takes by itself needs the process's
    own reactor, whichever the agent was given.
    """

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


def http_client(reactor: IReactorTCP, tls: ClientTls | None = None) -> HTTPClient:
    """
    Make what L{ask_endpoint} sends its request with.

    @param reactor: makes the connections.
    @param tls: whom to trust over https; L{None} = the system's authorities.
    @return: the HTTP client.
    """
    agent = Agent(reactor, tls or ClientTls(), pool=QuietConnections(reactor, persistent=False))
    return HTTPClient(agent, data_to_body_producer=_Body)


async def ask_endpoint(
    http: HTTPClient,
    clock: IReactorTime,
    base_url: str,
    uid: str,
    server_type: ServerType | str,
    *,
    client_key: str | None = None,
    data: Mapping[str, object] | None = None,
    timeout: Seconds = 5.0,  # noqa: ASYNC109 - asyncio's advice; this is Twisted
) -> Endpoint | ExternalEndpoint:
    """
    Ask the endpoint API where a user is to connect, which makes the session.

    @param http: sends the request, see L{http_client}.
    @param clock: measures the time-out.
    @param base_url: such as C{http://127.0.0.1:7000}.
    @param uid: the user's id, 1..128 bytes of UTF-8.
    @param server_type: the kind of server wanted.
    @param client_key: what the server was given as C{DIARKIS_CLIENT_KEY}.
    @param data: becomes the user's data on the server.
    @param timeout: for the whole answer, in seconds.
    @return: the endpoint; an L{ExternalEndpoint} if the server wanted is none of ours.

    @raise EndpointError: there was no answer, a refusal, or one that is not
        understood; the text is for people.
    @raise LocalProtocolError: the uid cannot be one.
    """
    if not 1 <= len(uid.encode("utf-8", "replace")) <= UID_MAX_BYTES:
        raise LocalProtocolError(f"a uid has 1 to {UID_MAX_BYTES} bytes of UTF-8")
    if not base_url.startswith(("http://", "https://")):
        raise EndpointError(
            f"{base_url!r} is no address of an endpoint API: it must begin with http:// or https://"
        )
    url = f"{base_url.rstrip('/')}/endpoint/type/{server_type}/user/{quote(uid, safe='')}"
    asking = Deferred.fromCoroutine(_fetch(http, url, client_key, data))

    def too_late(_: object, __: float) -> Failure:
        return Failure(
            EndpointError(f"the endpoint API at {base_url} did not answer within {timeout:g} s")
        )

    asking.addTimeout(timeout, clock, too_late)
    try:
        status, body = await asking
    except (EndpointError, CancelledError):
        raise
    except Exception as exc:
        raise EndpointError(_why_unreachable(base_url, exc)) from exc
    if status != _OK:
        raise _refusal(base_url, status, body)
    return parse_endpoint(body)


async def _fetch(
    http: HTTPClient, url: str, client_key: str | None, data: Mapping[str, object] | None
) -> tuple[int, bytes]:
    headers = Headers({} if client_key is None else {"ClientKey": [client_key]})
    # A redirect would hand the client key to whoever it names.
    if data is None:
        response = await http.get(url, headers=headers, unbuffered=True, allow_redirects=False)
    else:
        response = await http.post(
            url, headers=headers, json=dict(data), unbuffered=True, allow_redirects=False
        )
    return response.code, await _read(response)


async def _read(response: IResponse) -> bytes:
    body = bytearray()

    def collect(chunk: bytes) -> None:
        body.extend(chunk)
        if len(body) > ANSWER_MAX_BYTES:
            raise EndpointError(
                f"the endpoint API sent more than {ANSWER_MAX_BYTES} bytes", response.code
            )

    await treq.collect(response, collect)
    return bytes(body)


def _refusal(base_url: str, status: int, body: bytes) -> EndpointError:
    try:
        found = _decode_refusal(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _Refusal()
    message = found.message or "it did not say why; is this the address of an endpoint API?"
    return EndpointError(
        f"the endpoint API at {base_url} refused with HTTP status {status}: {message}",
        status,
        found.error,
    )


def _why_unreachable(base_url: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        why = "connection refused. Is the server running? `diarkis-tw run` starts one"
    elif isinstance(error, DNSLookupError):
        why = "there is no host of that name"
    elif isinstance(error, ConnectError):
        why = str(error)
    elif isinstance(error, ResponseFailed):
        faults = [tls_fault(failure.value) for failure in error.reasons]
        lost = "the connection was lost before the answer came. Is that the port of the HTTP "
        lost += "server, and is it http:// or https://?"
        why = next(filter(None, faults), lost)
    else:
        why = f"{type(error).__name__}: {error}"
    return f"cannot ask the endpoint API at {base_url}: {why}"
