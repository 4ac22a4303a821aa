"""
Logging in through the endpoint API, as a player's device does.
"""

import json
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Final

from diarkis_tw.client.endpoint import Endpoint, parse_endpoint

IO_TIME: Final = 10.0
"""Seconds after which a step of login or handshake counts as failed."""


class EndpointApi:
    """
    A context manager: one connection to the API, for all log-ins one after the
    other.
    """

    def __init__(self, http: dict[str, Any]) -> None:
        """
        @param http: the HTTP section of the ready file.
        """
        self._connection = HTTPConnection(http["host"], http["port"], timeout=IO_TIME)

    def __enter__(self) -> "EndpointApi":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def log_in(self, server_type: str, uid: str) -> Endpoint:
        """
        Get a user's session keys and where to connect.
        """
        status, body = self._ask(server_type, uid)
        if status != 200:
            raise RuntimeError(f"HTTP {status}: {body.decode()}")
        endpoint = parse_endpoint(body)
        assert isinstance(endpoint, Endpoint)
        return endpoint

    def refusal(self, server_type: str, uid: str) -> str:
        """
        Ask for the same, for the reason why not alone.

        @return: a word; empty if there is a session now, which nobody uses.
        """
        status, body = self._ask(server_type, uid)
        return "" if status == 200 else str(json.loads(body)["error"])

    def _ask(self, server_type: str, uid: str) -> tuple[int, bytes]:
        self._connection.request("GET", f"/endpoint/type/{server_type}/user/{uid}")
        with self._connection.getresponse() as answer:
            return answer.status, answer.read()
