"""
Tests of L{diarkis_tw.modules.private_message}.
"""

from diarkis_tw.constants import NodeState
from diarkis_tw.core.user import User
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.modules.private_message import PrivateMessage, PrivateMessages
from diarkis_tw.wire.message import Push
from tests.core.fakes import CoreTestCase

HERE = "local"


class PrivateMessageTests(CoreTestCase):
    """
    Messages to a user of the only node there is.
    """

    def setUp(self) -> None:
        super().setUp()
        self.messages = PrivateMessages(self.core.mesh, self.core.users)
        self.core.mesh.join(lambda: NodeInfo(HERE, NodeState.ONLINE))
        self.user, self.client = self.serve()

    def send(self, node: str = HERE, sid: str = "", message: bytes = b"psst") -> None:
        """
        Send to the user, or to somebody else.
        """
        self.messages.send(node, sid or self.user.sid, 2, 30, message)

    def test_delivered(self) -> None:
        """
        It arrives as a push with its ver, cmd and bytes, reliably.
        """
        self.send()
        self.send(sid=self.user.sid.upper(), message=b"")
        self.assertEqual(self.client.sent, [Push(2, 30, b"psst"), Push(2, 30, b"")])
        self.assertEqual(self.client.reliable, [True, True])
        self.assertEqual(self.messages.dropped, 0)

    def test_away(self) -> None:
        """
        A user who is away gets it on coming back.
        """
        self.client.drop()
        self.send()
        self.assertEqual(self.core.connection(self.user).sent, [Push(2, 30, b"psst")])

    def dropped(self, node: str = HERE, sid: str = "") -> None:
        """
        Assert that a message is dropped and counted, and nobody else disturbed.
        """
        before = self.messages.dropped
        self.send(node, sid)
        self.assertEqual((self.messages.dropped, self.client.sent), (before + 1, []))

    def test_unknown(self) -> None:
        """
        A node or a sid that nobody knows is no error: the message is dropped and counted.
        """
        self.dropped(node="nowhere:7000")
        self.dropped(sid="00" * 16)

    def test_nobody_there(self) -> None:
        """
        So is one for a user who has not come yet, has left, or does not read.
        """
        bob: User = self.core.create("bob")
        self.dropped(sid=bob.sid)
        self.client.accepts = False
        self.dropped()
        sid = self.user.sid
        self.user.disconnect()
        self.dropped(sid=sid)

    def test_hostile_node(self) -> None:
        """
        What another node says wrongly is dropped, not an error here.
        """
        self.core.mesh.send(HERE, PrivateMessage(self.user.keys.sid, 2, 70_000, b""))
        self.core.mesh.send(HERE, PrivateMessage(b"", 2, 7, b""))
        self.assertEqual((self.messages.dropped, self.client.sent), (2, []))

    def test_wrong(self) -> None:
        """
        Wrong arguments are the caller's fault, at once, in a sentence that says which; a wrong
        sid is not shown.
        """
        sid = self.user.sid
        for arguments, part in (
            ((None, sid, 2, 30, b""), "node address"),
            ((HERE, sid[:-1], 2, 30, b""), "32 hex digits"),
            ((HERE, "x" * 32, 2, 30, b""), "32 hex digits"),
            ((HERE, "a a " * 8, 2, 30, b""), "32 hex digits"),
            ((HERE, self.user.keys.sid, 2, 30, b""), "32 hex digits"),
            ((HERE, sid, 256, 30, b""), "256"),
            ((HERE, sid, 2.0, 30, b""), "ver is an integer"),
            ((HERE, sid, 2, -1, b""), "-1"),
            ((HERE, sid, 2, True, b""), "cmd is an integer"),
            ((HERE, sid, 2, 30, "text"), "bytes, not str"),
            ((HERE, sid, 2, 30, bytes(1 << 20)), "is the most"),
        ):
            error = self.assertRaises(LocalProtocolError, self.messages.send, *arguments)
            self.assertIn(part, str(error))
            self.assertNotIn(sid[:-1], str(error))
        self.assertEqual((self.messages.dropped, self.client.sent), (0, []))
