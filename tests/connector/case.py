"""
What the tests of the connector share: a whole node on a clock, and calls to it.
"""

import json
from collections.abc import Mapping

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import (
    ConnectorSettings,
    HttpSettings,
    NodeSettings,
    Settings,
    TcpSettings,
)
from diarkis_tw.constants import NodeState
from diarkis_tw.http.site import JsonSite
from diarkis_tw.server.server import Server
from tests.http.case import Answer, HttpConnection, encode

PORT = 7777


class ConnectorCase(SynchronousTestCase):
    """
    A running node with CONNECTOR and HTTP.

    @ivar ended: statuses that the process was told to end with.
    """

    def setUp(self) -> None:
        self.serve()

    def serve(
        self,
        connector: ConnectorSettings | None = None,
        *,
        tcp: TcpSettings | None = None,
        node: NodeSettings | None = None,
        public_host: str | None = None,
        client_key: str | None = None,
    ) -> None:
        """
        Start a node.
        """
        self.reactor = MemoryReactorClock()
        settings = Settings(
            connector=connector or ConnectorSettings(),
            http=HttpSettings(),
            tcp=tcp,
            node=node or NodeSettings(),
            public_host=public_host,
            client_key=client_key,
        )
        self.server = Server(self.reactor, settings)
        self.service = self.server.service()
        self.ended: list[int] = []
        self.service.stop_process = self.ended.append
        self.service.startService()

    def advance(self, seconds: int) -> None:
        """
        Let time pass, second by second.
        """
        self.reactor.pump([1] * seconds)

    def site(self, section: str) -> JsonSite:
        """
        The site of one section.
        """
        port = self.server.bound_addresses()[section][1]
        (found,) = [server[1] for server in self.reactor.tcpServers if server[0] == port]
        assert isinstance(found, JsonSite)
        return found

    def post(
        self, name: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """
        POST a call; the body is JSON unless it is bytes.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(f"/connector/v1/{name}", "POST", raw, headers)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        section: str = "CONNECTOR",
    ) -> Answer:
        """
        Ask on a connection of its own.
        """
        connection = HttpConnection(self.site(section))
        connection.send(encode(method, path, body, headers))
        return connection.answer(method)

    def endpoint(self, server_type: str = "CONNECTOR", **headers: str) -> Answer:
        """
        Ask the endpoint API.
        """
        path = f"/endpoint/type/{server_type}/user/alice"
        return self.ask(path, headers=headers, section="HTTP")

    def say(self, name: str, port: int = PORT, **more: object) -> dict[str, object]:
        """
        Make a call that goes well.

        @return: what it answers.
        """
        answer = self.post(name, {"port": port, **more})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def be_ready(self) -> None:
        """
        Be a server that is ready.
        """
        self.say("port")
        self.say("ready")

    def be_well(self, seconds: int, **more: object) -> None:
        """
        Report health each second.
        """
        for _ in range(seconds):
            self.say("health", **({"ccu": 0} | more))
            self.advance(1)

    def assertState(self, state: NodeState) -> None:
        """
        The node, and what it tells, is in that state.
        """
        self.assertIs(self.server.state, state)
        answer = self.ask("/connector/v1/address").json()
        self.assertEqual(answer["state"], state.value)
        (node,) = self.server._mesh.nodes()
        self.assertIs(node.state, state)

    def assertRefused(self, answer: Answer, status: int, word: str, *parts: str) -> None:
        """
        The answer is an error with its status, its word, and a sentence with these parts.
        """
        found = answer.json()
        self.assertEqual((answer.status, found["code"], found["error"]), (status, status, word))
        for part in parts:
            self.assertIn(part, str(found["message"]))
        self.assertTrue(str(found["message"]).endswith("."), found)
