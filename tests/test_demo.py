"""
Tests of L{diarkis_tw.demo}.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.schema import dm, room
from diarkis_tw.server import Server


class DemoTests(SynchronousTestCase):
    """
    What the demo offers to clients.
    """

    def test_commands(self) -> None:
        """
        Its own commands, rooms and direct messages.
        """
        server = Server(Clock())
        demo.setup(server)
        for ver, cmd in (
            (2, 10),
            (2, 11),
            (1, room.CREATE.cmd),
            (1, room.BROADCAST.cmd),
            (1, dm.SEND.cmd),
        ):
            self.assertTrue(server.is_command_duplicate(ver, cmd), (ver, cmd))
