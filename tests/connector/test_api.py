"""
Tests of L{diarkis_tw.connector.api}.
"""

import contextlib
import json
import socket
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import ConnectorSettings, TcpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.errors import ConfigError
from diarkis_tw.http.json_resource import BODY_LIMIT
from diarkis_tw.server import Server
from tests.connector.case import PORT, ConnectorCase
from tests.http.case import HttpConnection, encode

AUTHORIZATION = {"Authorization": "Bearer swordfish"}


class AnswerTests(ConnectorCase):
    """
    What a call answers.
    """

    def test_address(self) -> None:
        """
        It says what the node is, and what it announces.
        """
        nothing = {
            "type": "CONNECTOR",
            "host": "127.0.0.1",
            "port": None,
            "transport": None,
            "state": "OFFLINE",
            "ccu": 0,
            "connectionTTL": 10,
            "stopping": False,
        }
        self.assertEqual(self.ask("/connector/v1/address").json(), nothing)
        self.post("port", {"port": PORT, "transport": "TCP"})
        self.say("ready")
        found = self.say("health", ccu=3)
        self.assertEqual(self.ask("/connector/v1/address").json(), found)
        self.assertEqual(
            found,
            nothing | {"port": PORT, "transport": "TCP", "state": "ONLINE", "ccu": 3},
        )

    def test_paths(self) -> None:
        """
        Any other path is 404 with the calls there are.
        """
        for path in (
            "/",
            "/connector",
            "/connector/v1",
            "/connector/v2/address",
            "/connector/v1/nothing",
            "/connector/v1/address/",
            "/connector/v1/ready/x",
            "/endpoint/type/CONNECTOR/user/a",
        ):
            self.assertEqual(self.ask(path).status, 404, path)
        self.assertRefused(
            self.post("redy", {}), 404, "not_found", "{port|ready|health|allocate|shutdown}"
        )

    def test_methods(self) -> None:
        """
        Calls that change something are POST, and reading is GET.
        """
        answer = self.ask("/connector/v1/ready")
        self.assertRefused(answer, 405, "method", "POST")
        self.assertEqual(answer.headers["Allow"], "POST")
        self.assertRefused(self.post("address"), 405, "method", "GET")
        self.assertEqual(self.ask("/connector/v1/address", "HEAD").status, 200)

    def test_manyPerConnection(self) -> None:
        """
        One connection can be used for all calls.
        """
        connection = HttpConnection(self.site("CONNECTOR"))
        for name in ("port", "ready", "allocate", "shutdown"):
            connection.send(encode("POST", f"/connector/v1/{name}", b'{"port":7777}'))
        states = [answer.json()["state"] for answer in connection.answers()]
        self.assertEqual(states, ["OFFLINE", "ONLINE", "TAKEN", "OFFLINE"])


class BodyTests(ConnectorCase):
    """
    Bodies that are wrong change nothing.
    """

    def test_bad(self) -> None:
        """
        Each gets 400 with a sentence, the right form, and what is wrong.
        """
        self.be_ready()
        for name, body, part in (
            ("ready", b"", "JSON object such as"),
            ("ready", b"{", "JSON object such as"),
            ("ready", b"[]", "Expected `object`"),
            ("ready", b"\xff", "JSON object such as"),
            ("ready", b"[" * 10_000, "JSON object such as"),
            ("ready", b"{}", "missing required field `port`"),
            ("ready", b'{"port":"7777"}', "$.port"),
            ("ready", b'{"port":0}', "$.port"),
            ("ready", b'{"port":65536}', "$.port"),
            ("ready", b'{"port":7777.5}', "$.port"),
            ("ready", b'{"port":true}', "$.port"),
            ("ready", b'{"port":7777,"ccu":1}', "unknown field `ccu`"),
            ("ready", b'{"port":7777,"port":7778}', "a key twice"),
            ("health", b'{"port":7777}', "missing required field `ccu`"),
            ("health", b'{"port":7777,"ccu":-1}', "$.ccu"),
            ("health", b'{"port":7777,"ccu":1000001}', "$.ccu"),
            ("health", b'{"port":7777,"ccu":1.5}', "$.ccu"),
            ("health", b'{"port":7777,"ccu":null}', "$.ccu"),
            ("allocate", b"{}", "missing required field `port`"),
            ("shutdown", b'{"port":7777,"endNode":1}', "$.endNode"),
            ("shutdown", b'{"port":7777,"endnode":true}', "unknown field `endnode`"),
            ("port", b"{}", "either"),
            ("port", b'{"port":7777,"from":7777}', "either"),
            ("port", b'{"from":65536}', "$.from"),
            ("port", b'{"from":-1}', "$.from"),
            ("port", b'{"port":7777,"transport":"udp"}', "$.transport"),
        ):
            answer = self.post(name, body)
            self.assertRefused(answer, 400, "bad_body", part)
        self.assertState(NodeState.ONLINE)
        self.assertEqual(self.ask("/connector/v1/address").json()["ccu"], 0)

    def test_limits(self) -> None:
        """
        The largest values that make sense are right.
        """
        self.say("port", 65_535)
        self.assertEqual(self.say("health", 65_535, ccu=1_000_000)["ccu"], 1_000_000)

    def test_tooLarge(self) -> None:
        """
        A large body is 413.
        """
        self.assertRefused(self.post("ready", b" " * (BODY_LIMIT + 1)), 413, "too_large")


class SenderTests(ConnectorCase):
    """
    Who may call.
    """

    def test_webPage(self) -> None:
        """
        A web page in a browser on this machine may not.
        """
        body = {"port": PORT}
        for origin in ("https://evil.example", "null", ""):
            answer = self.post("port", body, {"Origin": origin})
            self.assertRefused(answer, 403, "forbidden", "web pages")
        self.assertIsNone(self.ask("/connector/v1/address").json()["port"])

    def test_token(self) -> None:
        """
        With a token nothing is said or done without it.
        """
        self.serve(ConnectorSettings(token="swordfish"))
        for given in (
            {},
            {"Authorization": ""},
            {"Authorization": "swordfish"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer swordfish2"},
            {"Authorization": "Bearer sw\xf6rdfish"},
        ):
            for answer in (
                self.post("port", {"port": PORT}, given),
                self.ask("/connector/v1/address", headers=given),
                self.ask("/connector/v1/nothing", headers=given),
            ):
                self.assertRefused(answer, 401, "token", "Authorization: Bearer")
                self.assertNotIn(b"swordfish", answer.body)
        answer = self.post("port", {"port": PORT}, AUTHORIZATION)
        self.assertEqual(answer.json()["port"], PORT)

    def test_noToken(self) -> None:
        """
        Without one a header does no harm.
        """
        self.assertEqual(self.post("port", {"port": PORT}, AUTHORIZATION).status, 200)


class FreePortTests(ConnectorCase):
    """
    A server that asks for a port.
    """

    def occupied(self, kind: socket.SocketKind) -> int:
        """
        A port that is in use.
        """
        other = socket.socket(socket.AF_INET, kind)
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port: int = other.getsockname()[1]
        return port

    def test_next(self) -> None:
        """
        It gets the next one that is free, and is registered with it.
        """
        for transport, kind in (("UDP", socket.SOCK_DGRAM), ("TCP", socket.SOCK_STREAM)):
            used = self.occupied(kind)
            found = self.post("port", {"from": used, "transport": transport}).json()
            port = found["port"]
            assert isinstance(port, int)
            self.assertTrue(used < port < used + 100, (used, port))
            self.assertEqual(found["transport"], transport)
            self.say("ready", port)
            self.assertEqual(self.endpoint().json()["serverPort"], port)
            self.say("shutdown", port)

    def test_any(self) -> None:
        """
        From 0 it is any free one, and it can be bound.
        """
        port = self.post("port", {"from": 0}).json()["port"]
        assert isinstance(port, int)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as game:
            game.bind(("", port))

    def test_again(self) -> None:
        """
        Who could not bind it asks again.
        """
        first = self.post("port", {"from": 20_000}).json()["port"]
        assert isinstance(first, int)
        second = self.post("port", {"from": first + 1}).json()["port"]
        assert isinstance(second, int)
        self.assertGreater(second, first)
        self.assertRefused(self.post("ready", {"port": first}), 409, "other_port")

    def test_none(self) -> None:
        """
        If none is free, it is said so and nothing is registered.
        """

        last = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(last.close)
        with contextlib.suppress(OSError):  # then somebody else has it
            last.bind(("", 65_535))
        self.assertRefused(self.post("port", {"from": 65_535}), 503, "no_free_port", "in use")
        self.assertIsNone(self.ask("/connector/v1/address").json()["port"])


class SetupTests(SynchronousTestCase):
    """
    C{Server.setup_as_connector}.
    """

    def start(self, server: Server) -> None:
        """
        Start it.
        """
        service = server.service()
        service.startService()
        self.addCleanup(service.stopService)

    def test_defaults(self) -> None:
        """
        Port 9000 of loopback, and nothing else of it.
        """
        reactor = MemoryReactorClock()
        server = Server(reactor)
        server.setup_as_connector()
        self.start(server)
        self.assertEqual(server.bound_addresses(), {"CONNECTOR": ("127.0.0.1", 9000)})
        self.assertEqual([server[3] for server in reactor.tcpServers], ["127.0.0.1"])

    def test_file(self) -> None:
        """
        A flat file says otherwise.
        """
        path = Path(self.mktemp())
        path.write_text(json.dumps({"port": "9009", "connectionTTL": 60}))
        server = Server(MemoryReactorClock())
        server.setup_as_connector(path)
        self.start(server)
        self.assertEqual(server.bound_addresses(), {"CONNECTOR": ("127.0.0.1", 9009)})

    def test_mixed(self) -> None:
        """
        A node may be a connector among other things.
        """
        server = Server(MemoryReactorClock())
        server.setup_as_tcp_server()
        server.setup_as_connector({"port": 9001})
        self.start(server)
        self.assertEqual(set(server.bound_addresses()), {"TCP", "CONNECTOR"})
        self.assertEqual(server.get_endpoint(), f"127.0.0.1:{TcpSettings().port}")

    def test_wrong(self) -> None:
        """
        Twice, too late, or with a wrong key it is an error.
        """
        server = Server(MemoryReactorClock())
        for bad in ({"address": "0.0.0.0"}, {"connectionTTL": 9}, {"token": "a b"}):
            self.assertRaises(ConfigError, server.setup_as_connector, bad)
        server.setup_as_connector()
        error = self.assertRaises(ConfigError, server.setup_as_connector)
        self.assertIn("already", str(error))
        late = Server(MemoryReactorClock())
        late.setup_as_tcp_server()
        self.start(late)
        error = self.assertRaises(ConfigError, late.setup_as_connector)
        self.assertIn("too late", str(error))
