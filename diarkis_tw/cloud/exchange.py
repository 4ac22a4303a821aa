"""
One HTTP request to a metadata service, with the limits that all of them have, and
why there is no answer if there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from diarkis_tw.net.http_connections import QuietConnections
from diarkis_tw.units import Seconds

CONNECT_TIMEOUT: Final[Seconds] = 2.0
"""A metadata service is on the same host or next to it."""

REQUEST_TIMEOUT: Final[Seconds] = 5.0
"""Leaves time for a second way to ask."""

BODY_MAX_BYTES: Final = 256 * 1024
"""A load balancer with a thousand rules still fits."""

_REASON_MAX_LENGTH: Final = 200
"""Characters of another library's error."""

_OK: Final = 200
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An HTTP response.

    @ivar text: its body without white space around it.
    """

    status: int
    headers: Headers = field(repr=False)
    text: str = field(repr=False)

    @property
    def status_text(self) -> str:
        """
        The status with its words.
        """
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def is_found(self) -> bool:
        """
        Whether there is such an item, and something in it.
        """
        return self.status == _OK and bool(self.text)

    @property
    def is_missing(self) -> bool:
        """
        Whether there is no such item, or nothing in it.
        """
        return self.status == _NOT_FOUND or (self.status == _OK and not self.text)


class NoAnswer(Exception):
    """
    Why there is no answer.

    @ivar was_silent: the request went unanswered; false = it could not be made.
    """

    def __init__(self, problem: str, *, was_silent: bool = False) -> None:
        super().__init__(problem)
        self.was_silent = was_silent


def metadata_client(reactor: IReactorTCP) -> HTTPClient:
    """
    Make what a L{fetch} sends its requests with. Twisted's agent knows nothing of
    proxies, which is what is wanted.

    @param reactor: makes the connections.
    """
    connections = QuietConnections(reactor, persistent=False)
    return HTTPClient(Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=connections))


async def fetch(
    http: HTTPClient, clock: IReactorTime, method: str, url: str, headers: Mapping[str, str]
) -> Answer:
    """
    Send a request and read the whole answer, within L{REQUEST_TIMEOUT}. Redirects are
    not followed.

    @param http: sends it, see L{metadata_client}.
    @param clock: measures the time.
    @raise NoAnswer: there is none.
    """

    def too_late(_: object, limit: float) -> Failure:
        return Failure(NoAnswer(f"no answer within {limit:g} s", was_silent=True))

    asking = _cancellable(Deferred.fromCoroutine(_fetch(http, method, url, headers)))
    asking.addTimeout(REQUEST_TIMEOUT, clock, too_late)
    try:
        return await asking
    except (CancelledError, NoAnswer):
        raise
    except Exception as error:
        raise _why(error) from None


async def _fetch(http: HTTPClient, method: str, url: str, headers: Mapping[str, str]) -> Answer:
    response = await http.request(
        method,
        url,
        headers=Headers({name: [value] for name, value in headers.items()}),
        unbuffered=True,
        allow_redirects=False,
    )
    body = await _read(response)
    return Answer(response.code, response.headers, body.decode("utf-8", "replace").strip())


class _Body(Protocol):
    """
    Collects a body. Cancelling closes the connection, which treq's own does not do.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > BODY_MAX_BYTES and not self.done.called:
            self._close()
            self.done.errback(NoAnswer(f"the answer has more than {BODY_MAX_BYTES} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self.data))
        else:
            self.done.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _cancellable(work: Deferred[Answer]) -> Deferred[Answer]:
    """
    Make cancelling fail with C{CancelledError}: the agent has several other names
    for it, depending on how far it has come.
    """

    def cancel(outer: Deferred[Answer]) -> None:
        outer.errback(CancelledError())
        work.cancel()

    def done(answer: Answer) -> None:
        if not outer.called:
            outer.callback(answer)

    def failed(failure: Failure) -> None:
        if not outer.called:
            outer.errback(failure)

    outer: Deferred[Answer] = Deferred(cancel)
    work.addCallbacks(done, failed)
    return outer


def _read(response: IResponse) -> Deferred[bytes]:
    body = _Body()
    response.deliverBody(body)
    return body.done


def _why(error: Exception) -> NoAnswer:
    if isinstance(error, ConnectionRefusedError):
        return NoAnswer("connection refused")
    if isinstance(error, DNSLookupError):
        return NoAnswer("there is no host of that name here")
    if isinstance(error, NoRouteError):
        return NoAnswer("there is no route to it")
    if isinstance(error, TimeoutError | UserError):
        return NoAnswer(f"no connection within {CONNECT_TIMEOUT:g} s")
    if isinstance(error, ConnectError):
        return NoAnswer(f"no connection: {error}")
    if isinstance(error, ResponseFailed):
        reasons = ", ".join(failure.getErrorMessage() for failure in error.reasons)
        return NoAnswer(f"the connection broke off or what came is not HTTP ({_line(reasons)})")
    return NoAnswer(f"{type(error).__name__}: {_line(str(error))}")


def _line(text: str) -> str:
    """
    One line of bounded length, of what may have come from anywhere.
    """
    return ascii(" ".join(text.split()))[1:-1][:_REASON_MAX_LENGTH]
