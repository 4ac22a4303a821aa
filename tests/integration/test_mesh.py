"""
Several nodes and a NATS server, as real processes.
"""

import json
import signal
import time

from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.message import Push
from tests.integration.process import Process, ProcessCase, wait_until
from tests.mesh.nats_server import NatsServer
from tests.raw_client import Close

APP = """
from diarkis_tw.server import Notification


def setup(server):
    server.enable_notifications()

    def notify(ver, cmd, payload, user):
        server.notify(Notification(payload.decode(), message=b"for all", ttl=60), local=False)

    async def send(ver, cmd, payload, user):
        await server.dm.send(payload.decode(), b"for one")
        return b"sent"

    server.handle_command(2, 1, notify)
    server.handle_command(2, 2, send)
    server.handle_command(2, 10, lambda ver, cmd, payload, user: payload)
"""

KEY = "a key for the tests, long enough"


class Node:
    """
    A running node.

    @ivar process: its process.
    @ivar ports: by section.
    """

    def __init__(self, process: Process, ports: dict[str, int]) -> None:
        self.process = process
        self.ports = ports


class MeshTests(ProcessCase):
    """
    One node with the endpoint API and others with players.
    """

    def setUp(self) -> None:
        super().setUp()
        for section in ("TCP", "UDP", "WS", "HTTP"):
            self.environ.pop(f"DIARKIS_SET_{section}__port", None)
        self.broker = NatsServer()
        self.addCleanup(self.broker.stop)
        self.broker.start()
        self.write("game.py", APP)
        self.api = ""

    def node(self, name: str, *sections: str) -> Node:
        """
        Start a node and wait until it is online.
        """
        mesh = {"engine": "nats", "servers": [self.broker.url], "app": "test", "key": KEY}
        content = {section: {"port": 0} for section in sections} | {"mesh": mesh}
        ready_file = self.folder / f"{name}.ready"
        process = self.start(
            *("twistd", "-n", f"--pidfile={name}.pid", "diarkis", "--app", "game"),
            *("--config", self.write(f"{name}.json", content), "--ready-file", ready_file),
        )
        process.until(ready_file.exists)
        bound = json.loads(ready_file.read_text())
        return Node(process, {section: bound[section]["port"] for section in sections})

    def http_node(self) -> Node:
        """
        Start the one with the endpoint API.
        """
        node = self.node("http", "HTTP")
        self.api = f"http://127.0.0.1:{node.ports['HTTP']}"
        return node

    def endpoint(self, kind: str, uid: str = "probe") -> dict[str, object]:
        """
        Ask the endpoint API.
        """
        return self.ask(f"{self.api}/endpoint/type/{kind}/user/{uid}")

    def until_offered(self, kind: str, port: int) -> None:
        """
        Wait until the endpoint API sends players there.
        """
        wait_until(lambda: self.endpoint(kind).get("serverPort") == port)

    def test_players_on_several_nodes(self) -> None:
        """
        The API's node makes users on the others, least busy first; a notification
        reaches all users once, a direct message the one it is for, and who comes
        later gets the notification, too.
        """
        self.http_node()
        one, two = self.node("one", "TCP"), self.node("two", "TCP", "UDP")
        self.until_offered("UDP", two.ports["UDP"])
        ports = {one.ports["TCP"], two.ports["TCP"]}
        wait_until(lambda: self.endpoint("TCP").get("serverPort") in ports)
        alice = self.player(self.api, "alice")
        alice.request(2, 10)  # only now she counts
        here = alice.socket.getpeername()[1]
        (there,) = ports - {here}
        self.until_offered("TCP", there)
        bob = self.player(self.api, "bob")
        self.assertEqual(bob.socket.getpeername()[1], there)
        bob.request(2, 10)
        self.assertEqual(alice.request(2, 2, b"bob"), b"sent")
        self.assertIn(b"for one", bob.next(Push).payload)
        alice.send(alice.raw.request(2, 1, b"n1", 0))
        for player in (alice, bob):
            self.assertEqual(player.next(Push).payload, b"for all")
            self.assertEqual(player.request(2, 10, b"nothing else"), b"nothing else")
        carol = self.player(self.api, "carol")
        carol.send(carol.raw.request(2, 10, b"", 0))
        self.assertEqual(carol.next(Push).payload, b"for all")

    def test_comes_again_elsewhere(self) -> None:
        """
        Who connects to another node is gone from the first one.
        """
        self.http_node()
        one, two = self.node("one", "TCP"), self.node("two", "WS", "TCP")
        self.until_offered("WS", two.ports["WS"])
        self.until_offered("TCP", one.ports["TCP"])
        first = self.player(self.api)
        first.request(2, 10)
        self.until_offered("TCP", two.ports["TCP"])
        second = self.player(self.api)
        self.assertNotEqual(first.socket.getpeername(), second.socket.getpeername())
        second.request(2, 10)
        self.assertIs(first.next(Close).code, CloseCode.REPLACED)
        self.assertEqual(second.request(2, 10, b"here"), b"here")

    def test_killed_node(self) -> None:
        """
        Nobody is sent to a node that was killed 3.5 s ago.
        """
        self.http_node()
        victim = self.node("victim", "TCP")
        self.until_offered("TCP", victim.ports["TCP"])
        victim.process.signal(signal.SIGKILL)
        killed = time.monotonic()
        self.assertEqual(victim.process.wait(), -signal.SIGKILL)
        health = f"{self.api}/healthcheck/ready"
        self.assertEqual(self.ask(health)["status"], "ok")
        time.sleep(max(0.0, killed + 3.5 - time.monotonic()))
        self.assertEqual(self.endpoint("TCP")["error"], "no_node")

    def test_node_that_ends(self) -> None:
        """
        A node that ends in order is forgotten at once, and ends without complaint.
        """
        self.http_node()
        node = self.node("one", "TCP")
        self.until_offered("TCP", node.ports["TCP"])
        self.assertStops(node.process)
        ended = time.monotonic()
        wait_until(lambda: self.endpoint("TCP").get("error") == "no_node")
        self.assertLess(time.monotonic() - ended, 2)

    def test_broker_restarts(self) -> None:
        """
        While the broker is away nodes are not ready and players notice nothing; when
        it is back, all is well without a restart.
        """
        http = self.http_node()
        node = self.node("one", "TCP")
        self.until_offered("TCP", node.ports["TCP"])
        alice = self.player(self.api, "alice")
        health = f"{self.api}/healthcheck/ready"
        for _ in range(2):
            self.broker.stop()
            wait_until(lambda: self.ask(health).get("error") == "mesh_away")
            self.assertEqual(alice.request(2, 10, b"still here"), b"still here")
            self.assertEqual(self.ask(f"{self.api}/healthcheck")["status"], "ok")
            self.assertEqual(self.endpoint("TCP")["error"], "no_answer")
            self.broker.start()
            wait_until(lambda: self.ask(health).get("status") == "ok")
            self.until_offered("TCP", node.ports["TCP"])
        self.assertEqual(alice.request(2, 10, b"still here"), b"still here")
        self.assertIn("no NATS server is reached", node.process.output())
        for running in (node, http):
            self.assertNotIn(KEY, running.process.output())
            self.assertNotIn("Traceback", running.process.output())

    def test_broker_absent_at_start(self) -> None:
        """
        A node starts without the broker and finds the others when it comes.
        """
        self.broker.stop()
        self.http_node()
        node = self.node("one", "TCP")
        self.assertEqual(self.ask(f"{self.api}/healthcheck/ready")["error"], "mesh_away")
        self.broker.start()
        self.until_offered("TCP", node.ports["TCP"])
