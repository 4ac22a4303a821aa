"""
Asking a cloud's metadata service, with the same rules for all clouds::

    proxies            never used, whatever the environment says
    redirects          an error, not followed
    connecting         2 s
    one request        5 s, to the last byte of its answer
    a whole look-up    10 s
    429, 410, 5xx      asked again after 0.2, 0.4, 0.8 ... s
    anything else      final: asking again would only hide a wrong setting

Tokens are never logged or noted.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from diarkis_tw.cloud.exchange import Answer, NoAnswer, fetch
from diarkis_tw.cloud.public_host import is_public_host
from diarkis_tw.config.json_file import shown
from diarkis_tw.errors import CloudError
from diarkis_tw.units import Seconds

LOOK_UP_TIMEOUT: Final[Seconds] = 10.0

FIRST_DELAY: Final[Seconds] = 0.2
"""Before the first repetition; doubled for each further one."""

TOKEN_MAX_LENGTH: Final = 1024
"""Characters; real ones have 56 to 64."""

_SHOWN_LENGTH: Final = 60
"""Characters of an odd answer that an error repeats."""

_REDIRECTS: Final = range(300, 400)
_AGAIN: Final = frozenset((410, 429, *range(500, 600))) - {501}
"""410 is Azure's word for a service that is being updated; 501 is final."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    A public address.

    @ivar host: host name or IP address, checked.
    @ivar origin: what it was called where it was found, such as C{public-ipv4}.
    """

    host: str
    origin: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    A request that was made, for whoever wants to see them.

    @ivar outcome: what came of it, in a few words.
    @ivar duration: how long it took, in seconds.
    """

    method: str
    url: str
    outcome: str
    duration: Seconds


class Unanswered(CloudError):
    """
    No answer came.

    @ivar was_silent: the request went unanswered; false = it could not be made.
    """

    was_silent = False


class Lookup:
    """
    One search for the public address: asks, repeats, and says what is wrong.
    """

    def __init__(
        self,
        cloud: str,
        advice: str,
        http: HTTPClient,
        clock: IReactorTime,
        *,
        base: str | None = None,
        note: Callable[[Exchange], object] = lambda exchange: None,
    ) -> None:
        """
        @param cloud: who is asked, for errors.
        @param advice: what to do if nobody answers, in one or more sentences.
        @param http: sends the requests, see L{diarkis_tw.cloud.exchange.metadata_client}.
        @param clock: measures all times.
        @param base: C{scheme://host:port} to ask instead of the cloud's own.
        @param note: told of every request.
        """
        self._cloud = cloud
        self._advice = advice
        self._http = http
        self._clock = clock
        self._base = base
        self._note = note
        self._step = "beginning"

    def run(self, find: "Callable[[Lookup], Awaitable[Found]]") -> Deferred[Found]:
        """
        Search, within L{LOOK_UP_TIMEOUT}.

        @param find: asks one cloud.
        @raise CloudError: (the Deferred fails) nothing was found.
        """

        async def search() -> Found:
            return await find(self)

        def too_late(_: object, limit: float) -> Failure:
            return Failure(self.error(self._step, f"not done within {limit:g} s", self._advice))

        searching = Deferred.fromCoroutine(search())
        return searching.addTimeout(LOOK_UP_TIMEOUT, self._clock, too_late)

    def error(self, step: str, problem: str, remedy: str) -> CloudError:
        """
        Make an error that names the cloud.
        """
        return CloudError(self._cloud, step, problem, remedy)

    def refused(self, step: str, answer: Answer, remedy: str) -> CloudError:
        """
        Make an error of an answer with a status that is none of those expected.
        """
        problem = "empty" if answer.status == 200 and not answer.text else answer.status_text
        return self.error(step, f"the answer was {problem}", remedy)

    async def get(
        self,
        step: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        or_url: str = "",
    ) -> Answer:
        """
        Ask for an item.

        @param step: what is asked for, as in C{"asking for the public address"}.
        @param or_url: where to ask if there is no answer at C{url}.
        @raise CloudError: there is no answer, or a redirect.
        """
        try:
            return await self._ask(step, "GET", url, headers or {})
        except Unanswered:
            if not or_url or self._base is not None:
                raise
        return await self._ask(step, "GET", or_url, headers or {})

    async def public_host(
        self,
        step: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        or_url: str = "",
        remedy: str,
    ) -> str | None:
        """
        Ask for an item that is a public address.

        @param remedy: what to do about a status that says neither yes nor no.
        @return: the host; L{None} if there is none.
        @raise CloudError: anything else.
        """
        answer = await self.get(step, url, headers, or_url=or_url)
        return self.host_in(step, answer, remedy)

    def host_in(self, step: str, answer: Answer, remedy: str) -> str | None:
        """
        Read an answer that is a public address and nothing else.

        @return: the host; L{None} if there is none.
        @raise CloudError: it is something else.
        """
        if answer.is_missing:
            return None
        if not answer.is_found:
            raise self.refused(step, answer, remedy)
        return self.checked(step, answer.text)

    def checked(self, step: str, host: str) -> str:
        """
        Hold an answer against the form of a host.

        @raise CloudError: it is none that clients could connect to.
        """
        if is_public_host(host):
            return host
        raise self.error(
            step,
            f"{shown(host, _SHOWN_LENGTH)} is no host name or IP address that clients could "
            "connect to",
            self._advice,
        )

    async def token(
        self, step: str, url: str, headers: Mapping[str, str]
    ) -> tuple[str | None, Answer]:
        """
        Ask for a session token.

        @return: the token, or L{None} if there is none; and the answer.
        @raise CloudError: there is no answer, or it cannot be a token.
        """
        answer = await self._ask(step, "PUT", url, headers)
        if not answer.is_found:
            return None, answer
        token = answer.text
        if len(token) > TOKEN_MAX_LENGTH or not all("!" <= character <= "~" for character in token):
            raise self.error(step, "the answer is no token", self._advice)
        return token, answer

    async def _ask(self, step: str, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        self._step = step
        if self._base is not None:
            url = self._base + _path_of(url)
        delay = FIRST_DELAY
        began = self._clock.seconds()
        while True:
            try:
                answer = await self._exchange(method, url, headers)
            except NoAnswer as why:
                error = Unanswered(self._cloud, f"{step} ({method} {url})", str(why), self._advice)
                error.was_silent = why.was_silent
                raise error from None
            if answer.status in _REDIRECTS:
                raise self.error(
                    f"{step} ({method} {url})",
                    "the answer was a redirect, and a metadata service never leads elsewhere",
                    self._advice,
                )
            if answer.status not in _AGAIN:
                return answer
            if self._clock.seconds() - began + delay > LOOK_UP_TIMEOUT / 2:
                raise self.refused(
                    f"{step} ({method} {url})", answer, "It was asked several times. Try later."
                )
            await deferLater(self._clock, delay)
            delay *= 2

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        began = self._clock.seconds()

        def note(outcome: str) -> None:
            self._note(Exchange(method, url, outcome, self._clock.seconds() - began))

        try:
            answer = await fetch(self._http, self._clock, method, url, headers)
        except CancelledError:
            note("given up: it took too long")
            raise
        except NoAnswer as why:
            note(str(why))
            raise
        note(f"{answer.status_text}, {len(answer.text)} characters")
        return answer


def _path_of(url: str) -> str:
    _, _, behind = url.partition("://")
    _, _, path = behind.partition("/")
    return f"/{path}"
