"""
Several nodes and a NATS server, as real processes.
"""

import time

from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.message import Push
from tests.integration.cluster import ClusterCase
from tests.integration.process import Player
from tests.raw_client import Close


class MeshTests(ClusterCase):
    """
    One node with the endpoint API and others with players.
    """

    def test_players_on_several_nodes(self) -> None:
        """
        The API's node makes users on the others; a notification
        reaches all users once, a direct message the one it is for, and who comes
        later gets the notification, too.
        """
        self.two_of_tcp()
        alice = self.player(self.api, "alice")
        alice.request(2, 10)  # only now she counts
        (there,) = self.ports - {self.port_of(alice)}
        bob = self.player_at(there, "bob")
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
        self.two_of_tcp()
        first = self.player(self.api)
        first.request(2, 10)
        (there,) = self.ports - {self.port_of(first)}
        second = self.player_at(there, "alice")
        self.assertIs(first.next(Close).code, CloseCode.REPLACED)
        self.assertEqual(second.request(2, 10, b"here"), b"here")

    def test_node_that_ends(self) -> None:
        """
        A node that ends in order is forgotten at once, and ends without complaint.
        """
        (one,) = self.cluster("one")
        self.assertStops(one.process)
        ended = time.monotonic()
        self.http.process.until(lambda: "has left" in self.http.process.output())
        self.assertLess(time.monotonic() - ended, 2)
        self.assertIn("error", self.endpoint("one"))

    def two_of_tcp(self) -> None:
        """
        Start two nodes with TCP, and with UDP or WS to tell when each is there.
        """
        http = self.launch("http", "HTTP")
        one, two = self.launch("one", "TCP", "UDP"), self.launch("two", "TCP", "WS")
        self.all_offered(http)
        self.until_offered("UDP", one.online().port("UDP"))
        self.until_offered("WS", two.online().port("WS"))
        self.ports = {one.port("TCP"), two.port("TCP")}

    def port_of(self, player: Player) -> int:
        """
        Where a player is.
        """
        port: int = player.socket.getpeername()[1]
        return port
