"""
What a handler answers with, and the bytes it becomes::

    mapping or list         JSON
    str                     text/plain in UTF-8
    bytes                   application/octet-stream
    (status, one of these)  the same with another status
    Response                the same with status and headers
    None                    no body; of the last handler of a route: 204

Anything else is a mistake in the handler: the client gets 500, the log says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

JSON_TYPE: Final = b"application/json"

NO_BODY: Final = frozenset((204, 304))
"""Statuses whose answers have no body, RFC 9110, section 6.4.1."""

FRAMING: Final = frozenset(("connection", "content-length", "transfer-encoding"))
"""Headers that say where the answer ends; with a wrong one the client would take a
part of it for the next answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """
    An answer with a status and headers of its own.

    @ivar body: mapping or list, str, bytes, or L{None}.
    @ivar status: 200..599.
    @ivar headers: C{Content-Type} and C{Cache-Control} replace what would be
        sent otherwise.
    """

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """
        @raise ValueError: no such status, a body where there can be none, or a
            header that is the server's own.
        """
        if not isinstance(self.status, int) or not 200 <= self.status <= 599:
            raise ValueError(f"an answer's status is from 200 to 599, not {self.status!r}")
        if self.status in NO_BODY and self.body is not None:
            raise ValueError(f"an answer of status {self.status} has no body")
        for name in self.headers:
            if name.lower() in FRAMING:
                raise ValueError(f"the header {name} is set by the server")

    def encode(self) -> tuple[bytes | None, bytes]:
        """
        Make the body.

        @return: its content type, L{None} if there is no body, and its bytes.
        @raise TypeError: the body is none of those above.
        """
        body = self.body
        if body is None:
            return None, b""
        if isinstance(body, str):
            return b"text/plain; charset=utf-8", body.encode()
        if isinstance(body, bytes | bytearray | memoryview):
            return b"application/octet-stream", bytes(body)
        if isinstance(body, Mapping):
            return JSON_TYPE, msgspec.json.encode(body if type(body) is dict else dict(body))
        if isinstance(body, list):
            return JSON_TYPE, msgspec.json.encode(body)
        raise TypeError(
            "an HTTP handler answers with a mapping, list, str, bytes, None, (status, body) or a "
            f"Response, not {type(body).__name__}"
        )


def as_response(result: object) -> Response:
    """
    Make a L{Response} of what a handler returned.

    @raise ValueError: see L{Response}.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], int):
        return Response(result[1], result[0])
    return Response(result)
