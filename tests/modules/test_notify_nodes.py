"""
Tests of L{diarkis_tw.modules.notify}: several nodes.
"""

from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_memory import (
    REMEMBERED_MOST,
)
from diarkis_tw.modules.notify import Notifier
from tests.core.fakes import CoreNode
from tests.modules.notify_case import LinkedMesh, NotifyTestCase, link, messages


class NodesTests(NotifyTestCase):
    """
    Two nodes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.other = CoreNode()
        self.other_mesh = LinkedMesh(self.other.clock)
        self.other_notifier = Notifier(self.other.clock, self.other.users, self.other_mesh)
        self.other_notifier.enable()
        self.other.start()
        self.other_notifier.start()
        link([self.mesh, self.other_mesh])
        self.here = self.core.connect("alice")[1]
        self.there = self.other.connect("bob")[1]

    def got(self) -> tuple[list[bytes], list[bytes]]:
        self.core.clock.advance(0)
        self.other.clock.advance(0)
        return messages(self.here), messages(self.there)

    def test_local(self) -> None:
        """
        A local one stays on its node.
        """
        self.notify(local=True)
        self.assertEqual(self.got(), ([b"n1"], []))
        self.assertEqual(self.mesh.told, [])

    def test_all_nodes(self) -> None:
        """
        Otherwise the users of all nodes get it, who connect there later too.
        """
        self.notify(local=False, ttl=60)
        self.assertEqual(self.got(), ([b"n1"], [b"n1"]))
        self.assertEqual(messages(self.other.connect("carol")[1]), [b"n1"])
        self.assertEqual(self.other_mesh.told, [])

    def test_both_send_it(self) -> None:
        """
        Two nodes that send the same id deliver it once.
        """
        self.notify(local=False)
        again = self.other_notifier.notify(Notification("n1", message=b"again"), False)
        self.assertFalse(again)
        self.assertEqual(self.got(), ([b"n1"], [b"n1"]))

    def test_local_before(self) -> None:
        """
        One that was local at first still reaches the other nodes later.
        """
        self.notify(local=True)
        self.assertFalse(self.notify(local=False))
        self.assertEqual(self.got(), ([b"n1"], [b"n1"]))

    def test_handlers_are_of_the_node(self) -> None:
        """
        On each node its own handler decides.
        """
        self.notifier.set_handler("news", lambda user, notification: False)
        self.notify(local=False, name="news")
        self.assertEqual(self.got(), ([], [b"n1"]))

    def test_delete(self) -> None:
        """
        Deleting on one node deletes on all.
        """
        self.notify(local=False, ttl=60)
        self.other_notifier.delete("n1")
        self.assertEqual(messages(self.core.connect("carol")[1]), [])
        self.assertEqual(messages(self.other.connect("dave")[1]), [])

    def test_flood(self) -> None:
        """
        What another node sends too much of is counted.
        """
        for number in range(REMEMBERED_MOST):
            self.other_notifier.notify(Notification(f"n{number}"), True)
        self.notify("one more", local=False)
        self.assertEqual(self.other_notifier.refused, 1)

    def test_stopped(self) -> None:
        """
        A node that has stopped takes no more of them.
        """
        self.other_notifier.stop()
        timers = len(self.other.clock.getDelayedCalls())
        self.notify(local=False)
        self.assertEqual(self.got(), ([b"n1"], []))
        self.assertEqual(len(self.other.clock.getDelayedCalls()), timers)
