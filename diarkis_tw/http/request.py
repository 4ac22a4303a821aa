"""
What a handler of a route sees of a request.
"""

from typing import Final
from urllib.parse import parse_qsl

from twisted.internet.address import IPv4Address, IPv6Address

from diarkis_tw.errors import HttpError
from diarkis_tw.http.json_resource import BoundedRequest, parse_object
from diarkis_tw.http.response import JSON_TYPE
from diarkis_tw.http.values import Values

QUERY_FIELDS: Final = 100
"""Parameters of a query; no form of a game has more."""


class HttpRequest:
    """
    One request.

    @ivar method: C{GET} and so on; C{HEAD} also comes to handlers of GET.
    @ivar path: decoded.
    @ivar params: the parameters in the path, as in C{/hello/:name}.
    @ivar body: at most 64 KiB.
    @ivar data: whatever handlers of a route leave for the next one.
    """

    __slots__ = ("_query", "_raw", "body", "data", "method", "params", "path")

    def __init__(self, raw: BoundedRequest, path: str, params: dict[str, str]) -> None:
        """
        @raise HttpError: 413, the body is too large.
        """
        self._raw = raw
        self._query: Values | None = None
        self.method = raw.method.decode("latin-1")
        self.path = path
        self.params = Values("path", params.items())
        self.body = raw.body()
        self.data: dict[str, object] = {}

    @property
    def query(self) -> Values:
        """
        The parameters after the question mark.

        @raise HttpError: 400, they are not UTF-8, percent-encoded, or too many.
        """
        if self._query is None:
            try:
                pairs = parse_qsl(
                    self._raw.query.decode(),
                    keep_blank_values=True,
                    errors="strict",
                    max_num_fields=QUERY_FIELDS,
                )
            except ValueError:
                message = f"A query has at most {QUERY_FIELDS} parameters in UTF-8."
                raise HttpError(400, message, "bad_query") from None
            self._query = Values("query", pairs)
        return self._query

    @property
    def address(self) -> str:
        """
        The IP address that this server sees: the client's, or of a proxy before it.
        """
        peer = self._raw.getClientAddress()
        return peer.host if isinstance(peer, IPv4Address | IPv6Address) else ""

    def header(self, name: str, default: str = "") -> str:
        """
        A header of the request, whatever the case of its name; the first one if
        there are several.
        """
        values = self._raw.requestHeaders.getRawHeaders(name.encode("latin-1"))
        return values[0].decode("latin-1") if values else default

    def json(self) -> dict[str, object]:
        """
        The body, a JSON object.

        @raise HttpError: 415, it is not declared as JSON; 400, it is none.
        """
        declared = self.header("Content-Type").partition(";")[0].strip().lower()
        if declared.encode("latin-1") != JSON_TYPE:
            raise HttpError(
                415, "Send a JSON object, with the header Content-Type: application/json."
            )
        return parse_object(self.body, "The body must be a JSON object")
