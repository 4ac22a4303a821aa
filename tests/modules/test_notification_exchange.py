"""
Tests of L{diarkis_tw.modules.notification_exchange}: notifications that were made while
a node was not there.
"""

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.mesh.envelope import FRAME_MAX
from diarkis_tw.modules.notification import MESSAGE_MAX_BYTES, Notification
from diarkis_tw.modules.notification_exchange import (
    PAGE,
    TIMEOUT,
    TRIES,
    AskNotifications,
    LivingNotifications,
)
from diarkis_tw.modules.notification_memory import DELETED_LIFE, REMEMBERED_MOST
from diarkis_tw.modules.notify import NotificationDeleted, Notifier
from tests.core.fakes import CoreNode, FakeConnection
from tests.mesh.fake_broker import FakeBroker, FakeNode


class Site:
    """
    A node with notifications and a user who is there from the start.
    """

    def __init__(self, broker: FakeBroker, *, enabled: bool = True) -> None:
        self.broker = broker
        self.node: FakeNode = broker.node()
        self.core = CoreNode()
        self.core.start()
        self.notifier = Notifier(self.node.clock, self.core.users, self.node.mesh)
        if enabled:
            self.notifier.enable()
        self.first = self.connect("first")

    def join(self) -> None:
        self.broker.join(self.node)
        self.start()
        self.broker.advance(0.1)

    def start(self) -> None:
        if not self.notifier._running:
            self.notifier.start()

    def connect(self, uid: str) -> FakeConnection:
        return self.core.connect(uid)[1]

    def notify(self, *ids: str, ttl: float = 60.0, local: bool = False) -> None:
        for id in ids:
            self.notifier.notify(Notification(id, message=id.encode(), ttl=ttl), local)
        self.broker.advance(0.1)

    def got(self, uid: str = "") -> list[str]:
        """
        What the user who is there from the start has got, or a new one gets.
        """
        client = self.connect(uid) if uid else self.first
        return [push.payload.decode() for push in client.pushes()]

    def cut(self, *, heal: bool = False) -> None:
        self.node.link.cut = not heal


class ExchangeCase(SynchronousTestCase):
    """
    Two nodes that know each other, and one that has not joined.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.a, self.b, self.late = (Site(self.broker) for _ in range(3))
        self.a.join()
        self.b.join()

    def asked(self, kind: type[msgspec.Struct]) -> int:
        """
        How many messages of a class there were.
        """
        name = kind.__name__.encode()
        frames = [frame for _, frame in self.broker.frames if b"does not handle" not in frame]
        return sum(name in frame for frame in frames)


class JoinTests(ExchangeCase):
    """
    A node that joins later.
    """

    def test_alive(self) -> None:
        """
        Its users get what is alive, once, in order; those who connect to it later
        as well, until the ttl ends that it had at first.
        """
        self.a.notify("n1", "n2", ttl=60)
        self.broker.advance(30)
        self.late.join()
        self.assertEqual(self.late.got(), ["n1", "n2"])
        self.broker.advance(29)
        self.assertEqual(self.late.got("carol"), ["n1", "n2"])
        self.broker.advance(1)
        self.assertEqual(self.late.got("dave"), [])
        self.assertEqual(self.late.got(), ["n1", "n2"])
        self.assertEqual(self.a.got() + self.b.got(), ["n1", "n2"] * 2)

    def test_not_alive(self) -> None:
        """
        What was for those who were there, and what has ended, is not for them.
        """
        self.a.notify("n1", ttl=0)
        self.a.notify("n2", ttl=5)
        self.broker.advance(5)
        self.late.join()
        self.assertEqual(self.late.got() + self.late.got("carol"), [])

    def test_local(self) -> None:
        """
        What is local stays so, unless it was sent to all later.
        """
        self.b.cut()
        self.a.notify("n1", "n2", local=True)
        self.a.notify("n2")
        self.late.join()
        self.assertEqual(self.late.got(), ["n2"])

    def test_deleted(self) -> None:
        """
        What was deleted is not delivered, on whatever node it was.
        """
        self.a.notify("n1", "n2", "n3")
        self.a.notifier.delete("n1")
        self.b.notifier.delete("n3")
        self.broker.advance(1)
        self.late.join()
        self.assertEqual(self.late.got(), ["n2"])

    def test_deleted_long_ago(self) -> None:
        """
        Nor is it when so many others were deleted since that nobody knows all.
        """
        self.b.cut()
        self.a.notify("n1")
        for id in ("n1", *(f"other{number}" for number in range(REMEMBERED_MOST))):
            self.a.notifier.delete(id)
        self.late.join()
        self.assertEqual(self.late.got(), [])

    def test_passed_on(self) -> None:
        """
        What a node has learned it tells others, though those it came from are gone.
        """
        self.a.notify("n1")
        self.late.join()
        for site in (self.a, self.b):
            site.node.mesh.leave()
        latest = Site(self.broker)
        latest.join()
        self.assertEqual(latest.got(), ["n1"])

    def test_id_is_used(self) -> None:
        """
        What the node sends itself under an id that others know is nothing new, and
        nor is what it has already: its own services loaded it.
        """
        self.a.notify("n1", "n2", "n3")
        self.a.notifier.delete("n3")
        self.broker.advance(1)
        self.late.start()
        self.late.notify("n2", local=True)
        self.late.join()
        self.late.notify("n1", "n3")
        self.assertEqual(self.late.got(), ["n2", "n1"])
        self.assertEqual(self.a.got(), ["n1", "n2", "n3"])

    def test_its_own(self) -> None:
        """
        What the node had before it was there reaches the users of the others.
        """
        self.late.start()
        self.late.notify("n1")
        self.late.join()
        self.assertEqual(self.a.got() + self.b.got(), ["n1", "n1"])

    def test_large(self) -> None:
        """
        Many large ones come in pages that a frame of the mesh can take, and each
        page once: what one node has told the others need not.
        """
        count = 40
        for number in range(count):
            large = Notification(f"n{number}", message=b"x" * MESSAGE_MAX_BYTES, ttl=60)
            self.a.notifier.notify(large, False)
        self.broker.advance(1)
        self.broker.frames.clear()
        self.late.join()
        self.broker.advance(1)
        self.assertEqual(len(self.late.first.pushes()), count)
        sizes = [len(frame) for _, frame in self.broker.frames]
        self.assertLess(max(sizes), PAGE + 1024)
        self.assertLess(PAGE + 1024, FRAME_MAX)
        self.assertLess(sum(sizes), count * MESSAGE_MAX_BYTES * 1.2)

    def test_most(self) -> None:
        """
        As many as a node remembers are all learned, and as many deletions.
        """
        for number in range(REMEMBERED_MOST):
            self.a.notifier.notify(Notification(f"n{number}", ttl=600), False)
            self.a.notifier.delete(f"d{number}")
        self.broker.advance(1)
        self.late.join()
        self.broker.advance(1)
        self.assertEqual(len(self.late.notifier._memory), REMEMBERED_MOST)
        self.assertEqual(len(self.late.notifier._memory._deleted), REMEMBERED_MOST)
        self.assertEqual(self.late.notifier.refused, 0)

    def test_full(self) -> None:
        """
        A node that has no room asks no further.
        """
        self.late.start()
        for number in range(REMEMBERED_MOST):
            self.late.notifier.notify(Notification(f"own{number}", ttl=600), True)
        self.a.notify(*(f"n{number}" for number in range(3000)))
        self.broker.frames.clear()
        self.late.join()
        self.broker.advance(1)
        self.assertIn(self.late.notifier.refused, range(1, 7))
        self.assertLessEqual(self.asked(AskNotifications), 14)

    def test_forgotten_for_another(self) -> None:
        """
        What a node had to forget for a new one is not learned again, and not delivered
        again.
        """
        for number in range(REMEMBERED_MOST):
            self.a.notifier.notify(Notification(f"n{number}", ttl=600 + number), False)
        self.broker.advance(11)
        self.a.notify("new", ttl=9000, local=True)
        self.broker.advance(3)
        before = len(self.a.first.pushes())
        self.late.join()
        self.broker.advance(3)
        self.a.notifier._exchange._ask(self.b.node.address, in_return=False)  # type: ignore[union-attr]
        self.broker.advance(3)
        self.assertEqual(len(self.a.first.pushes()), before)
        self.assertIn("new", self.a.notifier._memory._remembered)

    def test_quiet(self) -> None:
        """
        It takes a few questions each way, and no more while nobody comes.
        """
        self.a.notify("n1")
        self.broker.frames.clear()
        self.late.join()
        self.broker.advance(1)
        self.broker.advance(1)
        self.assertLessEqual(self.asked(AskNotifications), 12)
        self.broker.frames.clear()
        self.broker.advance(20)
        self.assertEqual(self.asked(AskNotifications), 0)

    def test_not_enabled(self) -> None:
        """
        A node without notifications is no trouble, and is not asked for ever.
        """
        self.a.notify("n1")
        other = Site(self.broker, enabled=False)
        self.broker.frames.clear()
        other.join()
        self.broker.advance(20)
        self.assertLessEqual(self.asked(AskNotifications), 5 * TRIES)
        self.late.join()
        self.assertEqual((self.late.got(), other.got()), (["n1"], []))

    def test_stopped(self) -> None:
        """
        A node that has stopped asks nobody, and leaves no timer behind.
        """
        self.late.join()
        self.a.cut()
        self.late.notifier._exchange._ask(self.a.node.address, in_return=True)  # type: ignore[union-attr]
        self.assertIsNotNone(self.late.notifier._exchange._asking)  # type: ignore[union-attr]
        self.late.notifier.stop()
        self.assertIsNone(self.late.notifier._exchange._asking)  # type: ignore[union-attr]
        self.late.node.mesh.leave()
        self.assertEqual(self.late.node.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class HealTests(ExchangeCase):
    """
    Nodes that did not hear each other for a while.
    """

    def test_given_up(self) -> None:
        """
        What was made and deleted on both sides meanwhile is on both sides when
        they hear each other again, and comes to each user once.
        """
        self.a.notify("n0", "before")
        self.b.cut()
        self.broker.advance(10)
        self.assertEqual(self.a.node.seen(), set())
        self.a.notify("n1")
        self.b.notify("n2")
        self.a.notifier.delete("n0")
        self.broker.advance(1)
        self.b.cut(heal=True)
        self.broker.advance(3)
        self.assertEqual(self.a.node.seen(), {self.b.node.address})
        self.assertEqual(self.a.got(), ["n0", "before", "n1", "n2"])
        self.assertEqual(self.b.got(), ["n0", "before", "n2", "n1"])
        self.assertEqual(self.b.got("carol"), ["before", "n2", "n1"])
        self.assertEqual(self.a.got("dave"), ["before", "n1", "n2"])

    def test_from_a_third(self) -> None:
        """
        What a node made that did not live to see it is known from those who heard it.
        """
        self.late.join()
        self.broker.advance(2)
        self.b.cut()
        self.broker.advance(5)
        self.late.notify("n1")
        self.late.node.killed = True
        self.broker.advance(5)
        self.b.cut(heal=True)
        self.broker.advance(5)
        self.assertEqual(self.b.got(), ["n1"])

    def test_from_a_third_frozen(self) -> None:
        """
        So it is where a node stood still, which does not take others for new ones.
        """
        self.late.join()
        self.broker.advance(2)
        self.b.node.frozen = True
        self.broker.advance(5)
        self.late.notify("n1")
        self.late.node.killed = True
        self.broker.advance(5)
        self.b.node.link.inbox.clear()
        self.b.node.frozen = False
        self.broker.advance(5)
        self.assertEqual(self.b.got(), ["n1"])

    def test_frozen(self) -> None:
        """
        A node that stood still gets what it has missed.
        """
        self.b.node.frozen = True
        self.broker.advance(5)
        self.a.notify("n1")
        self.b.node.link.inbox.clear()
        self.b.node.frozen = False
        self.broker.advance(2)
        self.assertEqual(self.b.got(), ["n1"])

    def test_broker_away(self) -> None:
        """
        Nor is lost what was made while there was no broker, though nobody was given up.
        """
        self.broker.set_up(False)
        self.broker.advance(10)
        self.a.notify("n1")
        self.b.notify("n2")
        self.broker.set_up(True)
        self.broker.advance(2)
        self.assertEqual((self.a.got(), self.b.got()), (["n1", "n2"], ["n2", "n1"]))

    def test_short_cut(self) -> None:
        """
        A node that has lost its own connection for a moment tells and hears what
        was missed, though the others did not notice.
        """
        self.broker.set_away(self.b.node, True)
        self.a.notify("n1")
        self.b.notify("n2")
        self.broker.set_away(self.b.node, False)
        self.broker.advance(2)
        self.assertEqual((self.a.got(), self.b.got()), (["n1", "n2"], ["n2", "n1"]))

    def test_broker_restarts_meanwhile(self) -> None:
        """
        Nor what a node was just being told when the broker went away.
        """
        self.a.notify("n1")
        self.broker.join(self.late.node)
        self.broker.advance(1.5)
        for site in (self.a, self.b):
            site.cut()
        self.late.start()
        self.broker.set_up(False)
        for site in (self.a, self.b):
            site.cut(heal=True)
        self.broker.advance(10)
        self.broker.set_up(True)
        self.broker.advance(2)
        self.assertEqual(self.late.got(), ["n1"])

    def test_came_late(self) -> None:
        """
        Where one came late it lives a little longer, and is nothing new for a node on
        which it has ended.
        """
        self.b.node.frozen = True
        self.a.notify("n1", ttl=60)
        self.broker.advance(2)
        self.b.node.frozen = False
        self.broker.advance(58.5)
        self.a.notifier._memory.forget()
        self.a.notifier._exchange._ask(self.b.node.address, in_return=False)  # type: ignore[union-attr]
        self.broker.advance(1)
        self.assertEqual((self.a.got(), self.b.got()), (["n1"], ["n1"]))

    def test_deleted_unknown(self) -> None:
        """
        An id that is deleted where nobody knows it stays deleted: who has it was away.
        """
        self.a.notify("n1", ttl=2 * DELETED_LIFE)
        self.b.cut()
        self.a.cut()
        self.broker.advance(10)
        self.late.join()
        self.late.notifier.delete("n1")
        self.b.cut(heal=True)
        self.a.cut(heal=True)
        self.broker.advance(10)
        for site in (self.a, self.b, self.late):
            self.assertEqual(site.got("carol"), [])
        self.assertEqual(self.late.got(), [])

    def test_lost(self) -> None:
        """
        A question that is lost is asked again, a few times, and others meanwhile.
        """
        ask = self.a.notifier._exchange._ask  # type: ignore[union-attr]
        self.late.join()
        self.broker.advance(1)
        self.b.cut()
        self.b.notify("n1")
        self.broker.frames.clear()
        for site in (self.b, self.late):
            ask(site.node.address, in_return=False)
        self.broker.advance(TIMEOUT + 0.2)
        self.assertEqual(self.asked(LivingNotifications), 1)
        self.assertEqual(self.a.got(), [])
        self.b.cut(heal=True)
        self.broker.advance(TIMEOUT + 0.2)
        self.assertEqual(self.a.got(), ["n1"])
        self.b.cut()
        self.broker.frames.clear()
        ask(self.b.node.address, in_return=False)
        self.broker.advance(5 * TIMEOUT)
        self.assertIn(self.asked(AskNotifications), range(2, TRIES + 1))


class HostileTests(ExchangeCase):
    """
    What is no answer.
    """

    def test_malformed(self) -> None:
        """
        Messages of other forms, or with what no notification has, change nothing.
        """
        bad: list[tuple[type[msgspec.Struct], Any]] = [
            (AskNotifications, ["a", b"x" * (8 * REMEMBERED_MOST + 1), b"", False]),
            (LivingNotifications, {"alive": [{"id": ""}], "deleted": {}, "more": False}),
            (LivingNotifications, {"alive": [], "deleted": {"x" * 129: 5.0}, "more": False}),
            (LivingNotifications, {"alive": [], "deleted": {"x": -1.0}, "more": False}),
            (LivingNotifications, {"alive": [], "deleted": {"x": float("nan")}, "more": False}),
            (NotificationDeleted, {"id": ""}),
            (NotificationDeleted, {"id": "x" * 129}),
        ]
        for kind, content in bad:
            packed = msgspec.msgpack.encode(content)
            self.assertRaises(msgspec.ValidationError, msgspec.msgpack.decode, packed, type=kind)

    def test_strangers(self) -> None:
        """
        An address that is nobody's does not keep a node from asking others.
        """
        for number in range(3):
            self.a.node.mesh.broadcast(AskNotifications(f"nobody{number}", b"", b"", True))
        self.broker.advance(1)
        self.b.notify("n1")
        self.late.join()
        self.assertEqual(self.late.got(), ["n1"])
        self.assertEqual(self.flushLoggedErrors(), [])
