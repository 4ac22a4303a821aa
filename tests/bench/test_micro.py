"""
L{bench.micro}.
"""

from twisted.trial.unittest import SynchronousTestCase

from bench.micro_tcp import EchoServer, open_and_seal


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
