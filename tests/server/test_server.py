"""
Tests of L{diarkis_tw.server.server}: the face towards applications.
"""

from importlib.metadata import version
from pathlib import Path
from typing import cast

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import HttpSettings, NodeSettings, Settings, TcpSettings
from diarkis_tw.constants import NodeState, ServerType
from diarkis_tw.core.user import User
from diarkis_tw.errors import ConfigError, RegistrationError
from diarkis_tw.server import Server
from diarkis_tw.transports.tcp import TcpServer
from tests.transports.case import ECHO, TcpCase


class SetupTests(SynchronousTestCase):
    """
    Being set up as some kind.
    """

    def setUp(self) -> None:
        self.server = Server(MemoryReactorClock())

    def test_defaults(self) -> None:
        """
        Set up as TCP and HTTP with all defaults, a server starts.
        """
        self.assertFalse(self.server.is_tcp())
        self.server.setup_as_tcp_server()
        self.assertTrue(self.server.is_tcp())
        self.server.setup_as_http_server()
        self.server.service().startService()
        self.assertEqual(
            self.server.bound_addresses(),
            {"TCP": ("127.0.0.1", 7200), "HTTP": ("127.0.0.1", 7000)},
        )

    def test_webSocket(self) -> None:
        """
        A WebSocket server has an endpoint of its own; it is set up once, and in time.
        """
        self.assertFalse(self.server.is_websocket())
        self.server.setup_as_websocket_server({"port": 7333})
        self.assertTrue(self.server.is_websocket())
        self.assertRaises(ConfigError, self.server.setup_as_websocket_server)
        self.server.setup_as_tcp_server()
        self.server.service().startService()
        self.assertEqual(self.server.get_endpoint(ServerType.WS), "127.0.0.1:7333")
        late = Server(MemoryReactorClock(), Settings(tcp=TcpSettings()))
        late.service().startService()
        self.assertRaises(ConfigError, late.setup_as_websocket_server)

    def test_mapping(self) -> None:
        """
        The keys of the flat file may be given as a mapping.
        """
        self.server.setup_as_tcp_server({"port": "7333", "noDelay": True})
        self.server.service().startService()
        self.assertEqual(self.server.get_endpoint(), "127.0.0.1:7333")

    def test_file(self) -> None:
        """
        A flat file may be given by its path.
        """
        path = Path(self.mktemp())
        path.write_text('{"port": 7444}')
        self.server.setup_as_tcp_server(path)
        self.server.service().startService()
        self.assertEqual(self.server.get_endpoint(), "127.0.0.1:7444")

    def test_twice(self) -> None:
        """
        Each kind is set up at most once, whoever did it first.
        """
        self.server.setup_as_tcp_server()
        self.server.setup_as_http_server()
        self.assertRaises(ConfigError, self.server.setup_as_tcp_server)
        self.assertRaises(ConfigError, self.server.setup_as_http_server)
        loaded = Server(MemoryReactorClock(), Settings(tcp=TcpSettings()))
        self.assertRaises(ConfigError, loaded.setup_as_tcp_server)

    def test_tooLate(self) -> None:
        """
        A kind that is set up after the start, in on_start say, is refused, not ignored.
        """
        self.server.setup_as_tcp_server()
        self.server.service().startService()
        self.assertRaises(ConfigError, self.server.setup_as_http_server)
        self.assertRaises(ConfigError, self.server.setup_as_udp_server)
        self.assertFalse(self.server.is_udp())

    def test_bad(self) -> None:
        """
        Wrong keys are refused and set nothing up.
        """
        self.assertRaises(ConfigError, self.server.setup_as_tcp_server, {"prot": 1})
        self.assertFalse(self.server.is_tcp())
        self.server.setup_as_tcp_server({"port": 1})

    def test_encryptionDiffers(self) -> None:
        """
        Sections that differ in enableEncryption are refused at the start.
        """
        self.server.setup_as_tcp_server({"enableEncryption": False})
        self.server.setup_as_http_server()
        error = self.assertRaises(SystemExit, self.server.service().startService)
        self.assertIn("enableEncryption", str(error))

    def test_twoServers(self) -> None:
        """
        Two servers in one process have nothing in common.
        """
        settings = Settings(tcp=TcpSettings(), http=HttpSettings())
        one, two = Server(MemoryReactorClock(), settings), Server(MemoryReactorClock(), settings)
        one.handle_command(2, 1, lambda ver, cmd, payload, user: None)
        self.assertFalse(two.is_command_duplicate(2, 1))
        one.service().startService()
        self.assertIs(two.state, NodeState.STARTING)
        one.users.create("alice", "TCP", {})
        self.assertEqual(len(two.users._by_sid), 0)


class CommandTests(TcpCase):
    """
    Commands, hooks and callbacks, seen from a client.
    """

    def restart(self) -> None:
        """
        Make a server that has not started.
        """
        self.reactor = MemoryReactorClock()
        self.server = Server(self.reactor, Settings(tcp=TcpSettings()))

    def start(self) -> None:
        """
        Start it.
        """
        self.server.service().startService()
        self.factory = cast(TcpServer, self.reactor.tcpServers[0][1])

    def test_hook(self) -> None:
        """
        Hooks run before the handlers of every command and can stop it.
        """
        self.restart()
        seen: list[tuple[int, int]] = []

        def hook(user: User) -> None:
            assert user.request is not None
            seen.append((user.request.ver, user.request.cmd))
            if user.request.cmd == 66:
                raise ZeroDivisionError

        self.server.hook_all_commands(hook)
        self.server.handle_command(2, ECHO, lambda ver, cmd, payload, user: payload)
        self.server.handle_command(2, 66, lambda ver, cmd, payload, user: b"never")
        self.start()
        client = self.opened()
        self.assertTrue(client.alive())
        client.request(66)
        self.assertNotIn(b"never", client.payloads())
        self.assertEqual(seen, [(0, 3), (2, ECHO), (2, 66)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_keepAlive(self) -> None:
        """
        on_keep_alive runs for each keep-alive, once it was answered.
        """
        self.restart()
        latencies: list[int | None] = []
        self.server.on_keep_alive(lambda user: latencies.append(user.latency))
        self.start()
        client = self.opened()
        request = (123).to_bytes(8) + (45).to_bytes(2)
        client.send(client.raw.request(0, 1, request, 0))
        self.assertEqual(client.payloads(), [(123).to_bytes(8) + b"\1"])
        self.assertEqual(latencies, [45])

    def test_badKeepAlive(self) -> None:
        """
        A keep-alive of another size is BAD and harms nothing.
        """
        client = self.opened()
        client.send(client.raw.request(0, 1, b"short", 5))
        self.assertEqual(len(client.received), 1)
        client.received.clear()
        self.assertTrue(client.alive())

    def test_keepAliveTellsTheState(self) -> None:
        """
        The answer to a keep-alive has the node's state.
        """
        client = self.opened()
        for change, state in (
            (self.server.taken, 3),
            (self.server.offline, 2),
            (self.server.online, 1),
        ):
            change()
            client.received.clear()
            client.send(client.raw.request(0, 1, bytes(10), 0))
            self.assertEqual(client.payloads()[-1], bytes(8) + bytes([state]))

    def test_wsDuplicate(self) -> None:
        """
        is_command_duplicate knows the handlers for JSON, too, by integers and floats.
        """
        server = Server(MemoryReactorClock())
        self.assertFalse(server.is_command_duplicate(2, 77))
        server.handle_ws_command(2.0, 77.0, lambda ver, cmd, payload, user: None)
        self.assertTrue(server.is_command_duplicate(2, 77))
        self.assertTrue(server.is_command_duplicate(2.0, 77.0))

    def test_duplicate(self) -> None:
        """
        Whether a pair has a handler can be asked.
        """
        self.assertTrue(self.server.is_command_duplicate(2, ECHO))
        self.assertFalse(self.server.is_command_duplicate(2, 999))

    def test_tooLate(self) -> None:
        """
        Nothing is registered after the start.
        """
        for register in (
            lambda: self.server.handle_command(2, 99, lambda ver, cmd, payload, user: None),
            lambda: self.server.hook_all_commands(lambda user: None),
            lambda: self.server.on_keep_alive(lambda user: None),
        ):
            self.assertRaises(RegistrationError, register)

    def test_ccu(self) -> None:
        """
        The mesh is told how many users there are.
        """
        self.opened(self.user("alice"))
        self.opened(self.user("bob"))
        self.user("pending")
        (node,) = self.server._mesh.nodes()
        self.assertEqual((node.ccu, node.state), (2, NodeState.ONLINE))

    def test_description(self) -> None:
        """
        The mesh is told what the node serves, how many rooms it has, and its version.
        """
        user = self.user("alice")
        self.opened(user)
        self.server.rooms.create(user)
        (node,) = self.server._mesh.nodes()
        self.assertEqual((node.roles, node.rooms, node.type), (("TCP",), 1, ""))
        self.assertEqual(node.version, version("diarkis_tw"))

    def test_description_of_a_type(self) -> None:
        """
        A node with a type of its own says it.
        """
        settings = Settings(tcp=TcpSettings(), node=NodeSettings(type="arena"))
        server = Server(MemoryReactorClock(), settings)
        server.service().startService()
        (node,) = server._mesh.nodes()
        self.assertEqual((node.type, list(node.endpoints)), ("arena", ["arena"]))
