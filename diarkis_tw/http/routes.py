"""
Which handlers an application has for which requests.

Rules:

  - A pattern is C{/text/:name}: segments of text, and parameters that stand for
    one whole segment. Text wins over a parameter. A slash at the end, there or
    in the request, makes no difference.
  - A method and a pattern are registered once, with all their handlers.
  - Paths of the server itself are not the application's.
  - Nothing is registered after start.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from twisted.logger import Logger
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule

from diarkis_tw.core.callables import describe_callable, parameter_count
from diarkis_tw.errors import RegistrationError
from diarkis_tw.http.request import HttpRequest

HttpHandler: TypeAlias = Callable[[HttpRequest], object]
"""Returns what L{diarkis_tw.http.response} lists, or a Deferred or coroutine of it."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

RESERVED: Final = frozenset(("endpoint", "healthcheck", "state", "metrics", "debug"))
"""First segments of the server's own paths, those to come included."""

TEXT: Final = re.compile(r"[^\s:*%?#<>|\\\x00-\x1f\x7f]+")
"""What a segment of text is made of. It stands there decoded; C{*} would be taken
for a wildcard by whoever writes it, and there is none."""

PARAMETER: Final = re.compile(r":[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

FORM: Final = "/text/:name, with each parameter a whole segment"


class Route(NamedTuple):
    """
    One method of one pattern.

    @ivar where: of the first handler, for errors.
    """

    method: str
    pattern: str
    handlers: tuple[HttpHandler, ...]
    where: str

    @property
    def name(self) -> str:
        """
        For the log.
        """
        return f"{self.method} {self.pattern}"


class HttpRoutes:
    """
    The routes of an application: C{server.http}.

    A handler is C{f(request)}. With several of them the next one runs if one
    returns L{None}; an exception ends the chain.
    """

    log = Logger()

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        self._urls = Map().bind("")
        self._frozen = False

    def get(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer GET, and HEAD, which is GET without the body.

        @param pattern: such as C{/hello/:name}.
        @raise RegistrationError: the pattern is malformed, the server's own or
            registered already, a handler is of another form, or the server has
            started.
        """
        self.command("GET", pattern, *handlers)

    def head(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer HEAD otherwise than as GET without the body; see L{get}.
        """
        self.command("HEAD", pattern, *handlers)

    def post(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer POST; see L{get}.
        """
        self.command("POST", pattern, *handlers)

    def put(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer PUT; see L{get}.
        """
        self.command("PUT", pattern, *handlers)

    def delete(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer DELETE; see L{get}.
        """
        self.command("DELETE", pattern, *handlers)

    def options(self, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer OPTIONS; see L{get}. With C{allowOrigin} set, browsers' preflight
        requests are answered without this.
        """
        self.command("OPTIONS", pattern, *handlers)

    def command(self, method: str, pattern: str, *handlers: HttpHandler) -> None:
        """
        Answer a method; see L{get}.

        @param method: C{GET HEAD POST PUT PATCH DELETE} or C{OPTIONS}.
        """
        if method not in METHODS:
            raise RegistrationError(f"a method is one of {' '.join(METHODS)}, not {method!r}")
        what = f"route {method} {pattern}"
        if self._frozen:
            raise RegistrationError(
                f"{what} comes too late: "
                "routes are registered in setup(server), before the server starts"
            )
        pattern = _normal(pattern, what)
        _check_handlers(handlers, what)
        shape = re.sub(":[^/]+", ":", pattern)
        route = Route(method, pattern, handlers, describe_callable(handlers[0]))
        other = self._routes.setdefault((method, shape), route)
        if other is not route:
            raise RegistrationError(
                f"{what}: {other.name} has {other.where} already; give several handlers in one call"
            )

    def freeze(self, *, served: bool) -> None:
        """
        Take no more routes.

        @param served: whether there is an HTTP server for them.
        """
        self._frozen = True
        if self._routes and not served:
            self.log.info(
                "{count} HTTP route(s) are not served: this node has no section HTTP",
                count=len(self._routes),
            )
        rules = Map(
            strict_slashes=False,
            merge_slashes=False,
            redirect_defaults=False,
            converters={"segment": _Segment},
        )
        # A route of GET takes HEAD too, after those that are for HEAD alone.
        for route in sorted(self._routes.values(), key=lambda route: route.method != "HEAD"):
            rule = re.sub(":([^/]+)", r"<segment:\1>", route.pattern)
            rules.add(Rule(rule, endpoint=route, methods=[route.method]))
        self._urls = rules.bind("")

    def find(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        """
        Find the route of a request.

        @param segments: of the path, decoded.
        @return: it, and the parameters in the path.
        """
        if method not in METHODS:  # werkzeug would take "get", too
            return None
        try:
            route, values = self._urls.match(_escape(segments), method)
        except HTTPException:
            return None
        return route, dict(values)

    def methods(self, segments: list[str]) -> list[str]:
        """
        The methods that a path has routes for.
        """
        return sorted(self._urls.allowed_methods(_escape(segments)))


class _Segment(BaseConverter):
    """
    One segment, in which a slash is written otherwise: see L{_escape}.
    """

    def to_python(self, value: str) -> str:
        return value.replace("%2F", "/").replace("%25", "%")


def _escape(segments: list[str]) -> str:
    """
    Join segments to a path that falls apart into the same ones again.
    """
    return "/" + "/".join([segment.replace("%", "%25").replace("/", "%2F") for segment in segments])


def _normal(pattern: str, what: str) -> str:
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        raise RegistrationError(f"{what}: a pattern begins with a slash: {FORM}")
    segments = pattern.removesuffix("/").split("/")[1:]
    names = [segment for segment in segments if PARAMETER.fullmatch(segment)]
    for segment in segments:
        if segment not in names and (segment in (".", "..") or not TEXT.fullmatch(segment)):
            raise RegistrationError(f"{what}: {segment!r} is no segment; a pattern is {FORM}")
    if len(names) != len(set(names)):
        raise RegistrationError(f"{what}: two parameters have one name")
    if segments and segments[0] in RESERVED:
        raise RegistrationError(f"{what}: /{segments[0]} is the server's own; take another path")
    return "/" + "/".join(segments)


def _check_handlers(handlers: tuple[object, ...], what: str) -> None:
    if not handlers:
        raise RegistrationError(f"{what} needs a handler: a function f(request)")
    for handler in handlers:
        if not callable(handler):
            raise RegistrationError(f"{what}: a handler is a function f(request), not {handler!r}")
        if (count := parameter_count(handler)) != 1:
            found = "any number of parameters" if count is None else f"{count} parameter(s)"
            raise RegistrationError(
                f"{what}: {describe_callable(handler)} takes {found}; a handler is f(request)"
            )
