"""
L{bench.micro_tcp}, L{bench.micro_udp} and L{bench.micro_ws}.
"""

from twisted.trial.unittest import SynchronousTestCase

from bench.micro_dispatch import HANDLER_ADDED, NEXT_ADDED, DispatchServers
from bench.micro_tcp import EchoServer, open_and_seal
from bench.micro_udp import UdpEchoServer
from bench.micro_ws import BareServer, GameServer
from bench.web_socket import frame
from bench.ws import VALUE
from diarkis_tw.wire.json_message import encode_json_request
from diarkis_tw.wire.websocket import FRAME_TEXT


class MicroTests(SynchronousTestCase):
    """
    The benchmark without sockets.
    """

    def test_echoes(self) -> None:
        """
        Several players' echoes take time and are answered rightly, round after round.
        """
        server = EchoServer(3)
        self.assertGreater(server.echoes(4), 0)
        self.assertGreater(server.echoes(4), 0)

    def test_missing_answer(self) -> None:
        """
        An echo that is not answered fails the run.
        """
        server = EchoServer(1)
        player = server.players[0]
        player.receive = lambda record: None
        self.assertRaises(RuntimeError, server.echoes, 1)

    def test_wrong_answer(self) -> None:
        """
        The answer to something else fails the run.
        """
        server = EchoServer(1)
        player = server.players[0]
        player.receive(player.session.keep_alive())
        self.assertRaises(RuntimeError, player.check, 1)

    def test_open_and_seal(self) -> None:
        """
        The library's own share is measured too.
        """
        self.assertGreater(open_and_seal(10), 0)


class DispatchTests(SynchronousTestCase):
    """
    The benchmark of hooks and handlers.
    """

    def test_above(self) -> None:
        """
        What was added is measured against the bare echo, with answers that are right.
        """
        servers = DispatchServers(2)
        for _ in range(2):
            self.assertEqual(list(servers.above(3)), [HANDLER_ADDED, NEXT_ADDED])


class UdpMicroTests(SynchronousTestCase):
    """
    The same over UDP.
    """

    def test_echoes(self) -> None:
        """
        Echoes of either kind take time and are answered rightly, round after round.
        """
        for reliable in (False, True):
            server = UdpEchoServer(3, reliable)
            self.assertGreater(server.echoes(4), 0)
            self.assertGreater(server.echoes(4), 0)

    def test_missing_answer(self) -> None:
        """
        An echo that is not answered fails the run.
        """
        server = UdpEchoServer(2, False)
        server.players[0].send = lambda: None  # type: ignore[method-assign]
        self.assertRaises(RuntimeError, server.echoes, 1)

    def test_wrong_answer(self) -> None:
        """
        Another player's answer fails the run.
        """
        server = UdpEchoServer(2, True)
        for player in server.players:
            player.send()
        server.turn()
        [(first, _), (second, _)] = server.take()
        self.assertRaises(RuntimeError, server.players[0].check, second)
        server.players[0].check(first)

    def test_hostile(self) -> None:
        """
        Each hostile datagram is what it is called, costs time and harms nobody.
        """
        server = UdpEchoServer(1, False)
        hostile = server.hostile()
        counts = []
        for datagram in hostile.values():
            self.assertGreater(server.cost(datagram, 3), 0)
            udp = server.udp
            forged = sum(one.rudp.forged for one in udp._connections.values())
            counts.append((udp.junk, udp.resets, forged))
        self.assertEqual(counts, [(3, 0, 0), (3, 0, 0), (3, 3, 0), (3, 3, 3)])
        server.echoes(2)


class WsMicroTests(SynchronousTestCase):
    """
    The same over WebSocket.
    """

    def test_echoes(self) -> None:
        """
        Echoes of either subprotocol, and of bare Autobahn, take time and are answered
        rightly, round after round.
        """
        for kind in (GameServer, BareServer):
            for binary in (False, True):
                server = kind(3, binary)
                self.assertGreater(server.echoes(4), 0)
                self.assertGreater(server.echoes(4), 0)

    def test_wrongAnswer(self) -> None:
        """
        The answer to something else, or none, fails the run.
        """
        server = GameServer(1, False)
        player = server.players[0]
        player.receive(frame(FRAME_TEXT, encode_json_request(2, 10, 7, VALUE)))
        self.assertRaises(RuntimeError, player.check, player.wire.take())
        for server in (GameServer(1, True), BareServer(1, True)):
            player = server.players[0]
            player.receive(player.echo())
            (answer,) = player.wire.take()
            self.assertRaises(RuntimeError, player.check, [answer[:-1] + bytes((answer[-1] ^ 1,))])
            player.receive = lambda request: None
            self.assertRaises(RuntimeError, server.echoes, 1)

    def test_pushes(self) -> None:
        """
        Each push reaches everybody.
        """
        server = GameServer(3, False)
        for once in (True, False):
            self.assertGreater(server.pushes(2, once), 0)
