"""
What the tests of the HTTP server share: a whole server on a clock, and HTTP
spoken to it byte for byte.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from random import Random
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import HttpSettings, NodeSettings, Settings, TcpSettings
from diarkis_tw.http.site import JsonSite
from diarkis_tw.server.server import Server


@dataclass(frozen=True)
class Answer:
    """
    An HTTP response.
    """

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> dict[str, object]:
        """
        The body, which must be declared as JSON and be an object.
        """
        assert self.headers["Content-Type"] == "application/json", self
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class _Bytes:
    """
    What C{HTTPResponse} takes for a socket.
    """

    def __init__(self, data: io.BytesIO) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return self._data


class _Unclosable(io.BytesIO):
    """
    Outlives the response that has been read from it.
    """

    def close(self) -> None:
        pass


class _Transport(StringTransportWithDisconnection):
    """
    Says that it closes, as a socket does: what was read with the last bytes is
    then left alone.
    """

    def loseConnection(self) -> None:
        self.disconnecting = True
        super().loseConnection()


class HttpConnection:
    """
    One connection to the HTTP server.
    """

    def __init__(self, site: JsonSite) -> None:
        built = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000))
        self.channel = cast(Protocol, built)
        self.transport = _Transport()
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self.channel.dataReceived(data)

    def answer(self, method: str = "GET") -> Answer:
        """
        Parse what came so far as one response, or fail.
        """
        if method == "HEAD":
            assert self.transport.value().endswith(b"\r\n\r\n")
        received = io.BytesIO(self.transport.value())
        response = HTTPResponse(_Bytes(received), method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def answers(self) -> list[Answer]:
        """
        Parse what came so far as responses to several requests, none of them HEAD.
        """
        stream = _Unclosable(self.transport.value())
        found = []
        while stream.tell() < len(stream.getvalue()):
            response = HTTPResponse(_Bytes(stream))  # type: ignore[arg-type]
            response.begin()
            found.append(Answer(response.status, response.headers, response.read()))
        return found


def encode(
    method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """
    Write a request.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class HttpCase(SynchronousTestCase):
    """
    A running node with TCP and HTTP.
    """

    def setUp(self) -> None:
        self.serve()

    def serve(
        self,
        http: HttpSettings | None = None,
        *,
        tcp: TcpSettings | None = None,
        node: NodeSettings | None = None,
        client_key: str | None = None,
        public_host: str | None = None,
        start: bool = True,
    ) -> None:
        """
        Start a server.
        """
        self.reactor = MemoryReactorClock()
        settings = Settings(
            tcp=tcp or TcpSettings(),
            http=http or HttpSettings(),
            node=node or NodeSettings(),
            client_key=client_key,
            public_host=public_host,
        )
        self.server = Server(self.reactor, settings, random_bytes=Random(1).randbytes)
        if start:
            self.start()

    def start(self) -> None:
        """
        Start the service and find its site.
        """
        self.server.service().startService()
        (self.site,) = [
            found[1] for found in self.reactor.tcpServers if isinstance(found[1], JsonSite)
        ]

    def connect(self) -> HttpConnection:
        """
        Open a connection.
        """
        return HttpConnection(self.site)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        Ask on a connection of its own.
        """
        connection = self.connect()
        connection.send(encode(method, path, body, headers))
        return connection.answer(method)

    def assertRefused(self, answer: Answer, status: int, word: str, *parts: str) -> None:
        """
        The answer is an error with its status, its word, and a sentence with these parts.
        """
        found = answer.json()
        self.assertEqual((answer.status, found["code"], found["error"]), (status, status, word))
        self.assertEqual(set(found), {"code", "error", "message"})
        message = str(found["message"])
        for part in parts:
            self.assertIn(part, message)
        self.assertTrue(message.endswith("."), message)
