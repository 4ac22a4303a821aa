"""
A connector and the dedicated server of C{examples}, as real processes, with players.
"""

import json
import signal
import socket
import sys
import time
from pathlib import Path

from tests.integration.process import PATIENCE, ROOT, Process, ProcessCase, wait_until

TTL = 10
"""The least that C{connectionTTL} can be."""


class Node:
    """
    A running node.

    @ivar process: its process.
    @ivar connector: URL of the side door.
    @ivar api: URL of the endpoint API.
    """

    def __init__(self, process: Process, ready_file: Path) -> None:
        self.process = process
        process.until(ready_file.exists)
        bound = json.loads(ready_file.read_text())
        self.connector = f"http://127.0.0.1:{bound['CONNECTOR']['port']}"
        self.api = f"http://127.0.0.1:{bound['HTTP']['port']}"


class ConnectorTests(ProcessCase):
    """
    From the first call to the last.
    """

    def setUp(self) -> None:
        super().setUp()
        for section in ("TCP", "UDP", "WS"):  # it would have them, too
            self.environ.pop(f"DIARKIS_SET_{section}__port", None)
        self.environ["DIARKIS_SET_CONNECTOR__port"] = "0"
        self.environ["DIARKIS_SET_CONNECTOR__token"] = "swordfish"
        self.environ["CONNECTOR_TOKEN"] = "swordfish"

    def node(self, name: str = "ready.json") -> Node:
        """
        Start a node with the shipped configuration.
        """
        config = ROOT / "configs" / "connector.json"
        ready_file = self.folder / name
        process = self.start(
            *("twistd", "-n", "--pidfile=", "diarkis"),
            *("--config", config, "--ready-file", ready_file),
        )
        return Node(process, ready_file)

    def game(self, node: Node, port: int = 0) -> Process:
        """
        Start the dedicated server and wait until it takes players.
        """
        command = [sys.executable, str(ROOT / "examples" / "dedicated_server.py")]
        command += ["--connector", node.connector, "--port", str(port)]
        process = Process(command, self.folder, self.environ)
        self.addCleanup(process.kill)
        process.until(lambda: "ready:" in process.output())
        return process

    def state(self, node: Node) -> str:
        """
        The node's state.
        """
        return str(self.ask(f"{node.api}/healthcheck")["state"])

    def until_state(self, node: Node, state: str) -> None:
        """
        Wait for a state of the node.
        """
        wait_until(lambda: self.state(node) == state, node.process.output)

    def endpoint(self, node: Node, server_type: str = "CONNECTOR") -> tuple[str, int]:
        """
        Where a player is sent.
        """
        found = self.ask(f"{node.api}/endpoint/type/{server_type}/user/alice")
        self.assertEqual(found["protocol"], 0, found)
        self.assertNotIn("sid", found)
        return str(found["serverHost"]), int(str(found["serverPort"]))

    def talker(self, address: tuple[str, int]) -> socket.socket:
        """
        A player's socket.
        """
        player = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(player.close)
        player.settimeout(PATIENCE)
        player.connect(address)
        return player

    def say(self, player: socket.socket, word: bytes) -> bytes:
        """
        Send a word and wait for an answer.
        """
        player.send(word)
        return player.recv(100)

    def test_life(self) -> None:
        """
        Players reach the server through the endpoint API while it is ready; full it is
        TAKEN, empty again ONLINE, ended OFFLINE.
        """
        self.environ["DIARKIS_NODE_TYPE"] = "Match"
        node = self.node()
        self.assertEqual(self.state(node), "OFFLINE")
        game = self.game(node)
        self.assertEqual(self.state(node), "ONLINE")
        address = self.endpoint(node, "Match")
        alice, bob = self.talker(address), self.talker(address)
        self.assertEqual(self.say(alice, b"join"), b"1 of 2 players\n")
        self.assertEqual(self.say(bob, b"join"), b"2 of 2 players\n")
        self.assertEqual(alice.recv(100), b"2 of 2 players\n")
        self.assertEqual(self.say(alice, b"hi"), b"hi\n")
        self.assertEqual(bob.recv(100), b"hi\n")
        self.until_state(node, "TAKEN")
        refused = self.ask(f"{node.api}/endpoint/type/Match/user/carol")
        self.assertEqual((refused["code"], refused["error"]), (503, "no_node"))
        for player in (alice, bob):
            player.send(b"leave")
        self.until_state(node, "ONLINE")
        game.signal(signal.SIGTERM)
        self.assertEqual(game.wait(), 0, game.output())
        self.assertEqual(self.state(node), "OFFLINE")
        self.assertStops(node.process)

    def test_end(self) -> None:
        """
        A node that stops waits for the players of its server, which then ends, too.
        """
        node = self.node()
        game = self.game(node)
        alice = self.talker(self.endpoint(node))
        self.say(alice, b"join")
        self.until_ccu(node, 1)
        node.process.signal(signal.SIGTERM)
        self.until_state(node, "OFFLINE")
        self.assertEqual(self.say(alice, b"still here"), b"still here\n")
        self.assertFalse(node.process.ended())
        alice.send(b"leave")
        self.assertEqual(node.process.wait(), 0, node.process.output())
        self.assertNotIn("did not leave", node.process.output())
        self.assertEqual(game.wait(), 0, game.output())

    def until_ccu(self, node: Node, ccu: int) -> None:
        """
        Wait for the players to be known to the node.
        """
        headers = {"Authorization": "Bearer swordfish"}
        url = f"{node.connector}/connector/v1/address"
        wait_until(lambda: self.ask(url, headers)["ccu"] == ccu, node.process.output)

    def test_silent(self) -> None:
        """
        A server that was killed, and one that hangs, make their nodes OFFLINE after the
        TTL; started again, and no longer hanging, ONLINE.
        """
        nodes = killed_node, hanging_node = self.node("killed.json"), self.node("hanging.json")
        killed, hanging = self.game(killed_node), self.game(hanging_node)
        port = self.endpoint(killed_node)[1]
        self.assertNotEqual(port, self.endpoint(hanging_node)[1])
        begun = time.monotonic()
        killed.signal(signal.SIGKILL)
        hanging.signal(signal.SIGSTOP)
        for node in nodes:
            self.assertEqual(self.state(node), "ONLINE")
        for node in nodes:
            self.until_state(node, "OFFLINE")
            self.assertGreater(time.monotonic() - begun, TTL - 2)
            refused = self.ask(f"{node.api}/endpoint/type/CONNECTOR/user/alice")
            self.assertEqual(refused["error"], "no_node")
        hanging.signal(signal.SIGCONT)
        self.until_state(hanging_node, "ONLINE")
        self.game(killed_node, port)
        self.assertEqual(self.state(killed_node), "ONLINE")
        alice = self.talker(self.endpoint(killed_node))
        self.assertEqual(self.say(alice, b"join"), b"1 of 2 players\n")
        for node in nodes:
            self.assertEqual(node.process.output().count("has reported no health"), 1)

    def test_restartedNode(self) -> None:
        """
        A server outlives its node and registers with the next one on that port.
        """
        node = self.node()
        game = self.game(node)
        self.assertStops(node.process)
        game.until(lambda: "no node" in game.output())
        self.environ["DIARKIS_SET_CONNECTOR__port"] = node.connector.rpartition(":")[2]
        again = self.node("again.json")
        self.assertEqual(again.connector, node.connector)
        self.until_state(again, "ONLINE")
        self.say(self.talker(self.endpoint(again)), b"join")
