"""
Who gets in: to the broker by TLS and a password, to the mesh by its key.
"""

from diarkis_tw.testing.certificates import Authority
from tests.integration.cluster import ClusterCase, Node
from tests.integration.process import Player, wait_until

OLD = "the key that has been used so far"
NEW = "the key that is used from now on"


class BrokerTests(ClusterCase):
    """
    A broker with TLS and a password.
    """

    def test_tls_and_password(self) -> None:
        """
        Nodes get in with the right authority and password; others say in one line why
        they do not, are not ready, and try again.
        """
        authority = Authority()
        certificate, key = authority.issue("localhost", "127.0.0.1").write(self.folder)
        ca = authority.write(self.folder)
        tls = ("--tls", "--tlscert", certificate, "--tlskey", key)
        self.broker.stop()
        self.broker = self.a_broker(*tls, "--user", "game", "--pass", "first")
        self.broker.start()
        port = self.broker.port
        first, second = (f"tls://game:{word}@127.0.0.1:{port}" for word in ("first", "second"))
        right = self.launch("right", "HTTP", servers=[first], tlsCa=ca)
        wrong = self.launch("wrong", "HTTP", servers=[second], tlsCa=ca)
        distrusting = self.launch("distrusting", "HTTP", servers=[first])
        unencrypted = self.launch("unencrypted", "HTTP", servers=[f"nats://127.0.0.1:{port}"])
        for node in (wrong, distrusting, unencrypted):
            node.process.until(lambda node=node: "no NATS server" in node.process.output())
            self.assertFalse(self.ready(node.online()))
        right.online().reconnected()
        self.assertTrue(self.ready(right))
        self.assertIn("authorization violation", wrong.process.output().lower())
        for node in (distrusting, unencrypted):
            self.assertIn("CERTIFICATE_VERIFY_FAILED", node.process.output())
        self.broker.stop()
        again = self.a_broker(*tls, "--user", "game", "--pass", "second")
        again.port = port
        again.start()
        wrong.reconnected()
        wait_until(lambda: self.ready(wrong) and not self.ready(right))
        for node in (right, wrong, distrusting, unencrypted):
            log = node.process.output()
            self.assertEqual(log.count("no NATS server is reached"), 1)
            for word in ("first", "second", "Traceback"):
                self.assertNotIn(word, log)

    def ready(self, node: Node) -> bool:
        """
        Whether a node says that it reaches the broker.
        """
        answer = self.ask(f"http://127.0.0.1:{node.port('HTTP')}/healthcheck/ready")
        self.assertIn(answer.get("error"), (None, "mesh_away"))
        return "error" not in answer


class KeyTests(ClusterCase):
    """
    The key that nodes share.
    """

    def test_other_key(self) -> None:
        """
        Nodes with another key, or of another application, do not exist.
        """
        http, one = self.launch("http", "HTTP"), self.launch("one", "TCP")
        others = [
            self.launch("other", "TCP", key=NEW),
            self.launch("elsewhere", "TCP", app="another"),
        ]
        self.all_offered(http, one)
        for node in others:
            node.online().reconnected()
            self.assertIn("error", self.endpoint(node.name))
            self.assertNotIn("is there", node.process.output())

    def test_rotation(self) -> None:
        """
        Nodes that take the place of others, first with the new key as the other one,
        then with the two exchanged, then with the new one alone, know all others, and all
        know them.
        """
        keys: list[dict[str, object]] = [
            {"key": OLD},
            {"key": OLD, "otherKey": NEW},
            {"key": NEW, "otherKey": OLD},
            {"key": NEW},
        ]
        before: list[Node] = []
        players: list[Player] = []
        for number, step in enumerate(keys):
            node = self.launch(f"node{number}", "HTTP", "TCP", **step)
            self.all_offered(node, node, *before)
            players.append(self.player_on(node.name, f"player{number}"))
            count = len(before)
            for player in players:
                self.until_told(player, lambda told, n=count: len(told.others) == n)  # type: ignore[misc]
            for old, player in zip(before, players, strict=False):
                player.send(player.raw.close())
                self.assertStops(old.process)
            players, before = players[-1:], [node]
