"""
Tests of L{diarkis_tw.modules.notify}: who gets a notification, and how often.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.core.fan_out import PERIOD, SLICE_USERS
from diarkis_tw.core.user import WAITING_LIMIT, User
from diarkis_tw.errors import LocalProtocolError, NotificationError, RegistrationError
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.modules import notify
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_memory import (
    DELETED_LIFE,
    ID_LIFE,
    REMEMBERED_MOST,
    ROUND_MOST,
)
from diarkis_tw.modules.notify import AT_ONCE, FORGETTING, NotificationDeleted, Notifier
from diarkis_tw.wire.message import Push
from tests.core.fakes import CoreNode, CoreTestCase, FakeConnection, GameFault


class LinkedMesh(LocalMesh):
    """
    A mesh of nodes in one process: what they tell each other is written and read.

    @ivar others: the other nodes.
    @ivar told: what this node told them.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.others: list[LinkedMesh] = []
        self.told: list[msgspec.Struct] = []

    def broadcast(self, message: msgspec.Struct) -> None:
        self.told.append(message)
        for other in self.others:
            packed = msgspec.msgpack.encode(message)
            other.send(other.node_address, msgspec.msgpack.decode(packed, type=type(message)))


def link(meshes: Iterable[LinkedMesh]) -> None:
    """
    Let all know each other.
    """
    nodes = list(meshes)
    for mesh in nodes:
        mesh.others = [other for other in nodes if other is not mesh]


def messages(client: FakeConnection) -> list[bytes]:
    """
    The notifications that a client got.
    """
    return [push.payload for push in client.pushes() if (push.ver, push.cmd) == (0, 400)]


class NotifyTestCase(CoreTestCase):
    """
    A node with notifications.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mesh = LinkedMesh(self.core.clock)
        self.notifier = Notifier(self.core.clock, self.core.users, self.mesh)
        self.notifier.enable()
        self.core.start()
        self.notifier.start()

    def notify(self, id: str = "n1", *, local: bool = True, **fields: Any) -> bool:
        """
        Send a notification whose message is its id.

        The next turn of the reactor passes.
        """
        is_new = self.notifier.notify(Notification(id, message=id.encode(), **fields), local)
        self.core.clock.advance(0)
        return is_new


class DeliveryTests(NotifyTestCase):
    """
    Those who are there.
    """

    def test_everybody(self) -> None:
        """
        All users get exactly the message, reliably, as the push that was asked for.
        """
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob")]
        is_new = self.notifier.notify(Notification("n1", "", 2, 77, b"\xffhello"), True)
        self.core.clock.advance(0)
        self.assertTrue(is_new)
        for client in clients:
            self.assertEqual(client.sent, [Push(2, 77, b"\xffhello")])
            self.assertEqual(client.reliable, [True])

    def test_many(self) -> None:
        """
        Many users get it in slices.
        """
        clients = [self.core.connect(str(number))[1] for number in range(3 * SLICE_USERS)]
        self.notify()
        self.assertEqual(sum(len(client.sent) for client in clients), SLICE_USERS)
        self.core.clock.pump([PERIOD] * 2)
        self.assertEqual([messages(client) for client in clients], [[b"n1"]] * len(clients))

    def test_one_after_another(self) -> None:
        """
        Notifications made while one is under way reach everybody once, in order.
        """
        clients = [self.core.connect(str(number))[1] for number in range(3 * SLICE_USERS)]
        for id in ("n1", "n2", "n3"):
            self.notify(id)
        self.core.clock.pump([PERIOD] * 10)
        expected = [b"n1", b"n2", b"n3"]
        self.assertEqual([messages(client) for client in clients], [expected] * len(clients))

    def test_came_meanwhile(self) -> None:
        """
        Who comes while it is under way gets it once if it lives, else not.
        """
        for number in range(2 * SLICE_USERS):
            self.core.connect(str(number))
        self.notify("lives", ttl=10)
        self.notify("is for the others")
        late = self.core.connect("late")[1]
        self.core.clock.pump([PERIOD] * 10)
        self.assertEqual(messages(late), [b"lives"])

    def test_left_meanwhile(self) -> None:
        """
        Who leaves while it is under way is no trouble.
        """
        users = [self.core.connect(str(number)) for number in range(2 * SLICE_USERS)]
        self.notify()
        users[-1][0].disconnect()
        self.core.clock.pump([PERIOD] * 3)
        self.assertEqual(messages(users[-2][1]), [b"n1"])
        self.assertEqual(messages(users[-1][1]), [])

    def test_away(self) -> None:
        """
        Who is away gets it on coming back, once, as any reliable message.
        """
        user, client = self.core.connect()
        client.drop()
        self.notify(ttl=60)
        self.assertEqual(messages(self.core.connection(user)), [b"n1"])

    def test_refused(self) -> None:
        """
        A connection that is too full gets it with the next one, in order; the
        others do not wait for it.
        """
        full, free = self.core.connect("full")[1], self.core.connect("free")[1]
        full.accepts = False
        self.notify("n1")
        self.assertEqual(messages(free), [b"n1"])
        full.accepts = True
        self.notify("n2")
        self.assertEqual(messages(full), [b"n1", b"n2"])
        self.assertEqual(messages(free), [b"n1", b"n2"])

    def test_refused_for_long(self) -> None:
        """
        What could not be sent for long is not sent late.
        """
        full = self.core.connect("full")[1]
        full.accepts = False
        self.notify("n1")
        self.core.pass_time(ROUND_MOST + 1, full)
        full.accepts = True
        self.notify("n2")
        self.assertEqual(messages(full), [b"n2"])

    def test_away_and_full(self) -> None:
        """
        Who is away with too much waiting gets what is alive on coming back.
        """
        user, client = self.core.connect()
        client.drop()
        for _ in range(WAITING_LIMIT):
            self.assertTrue(user.server_push(2, 11, b"waits"))
        self.notify("alive", ttl=60)
        self.assertEqual(messages(self.core.connection(user)), [b"alive"])

    def test_too_large_for_one(self) -> None:
        """
        A connection that cannot take such a message misses it, once in the log.
        """

        class Small(FakeConnection):
            def send(self, encoded: object, reliable: bool) -> bool:
                raise LocalProtocolError("too large")

        for uid in ("alice", "bob"):
            user = self.core.create(uid)
            self.core.users.confirm(user, Small(self.core.users, user))
        client = self.core.connect("carol")[1]
        self.notify()
        self.assertEqual(len(self.logged(LocalProtocolError)), 1)
        self.assertEqual(messages(client), [b"n1"])

    def test_very_many(self) -> None:
        """
        A user gets so many in one go and the others in the next rounds, in order.
        """
        client = self.core.connect()[1]
        client.accepts = False
        ids = [f"n{number}" for number in range(2 * AT_ONCE + 1)]
        for id in ids:
            self.notify(id)
        client.accepts = True
        self.notify("last")
        self.assertEqual(len(client.sent), AT_ONCE)
        self.core.clock.pump([PERIOD] * 3)
        self.assertEqual(messages(client), [id.encode() for id in [*ids, "last"]])


class LateTests(NotifyTestCase):
    """
    Those who connect while it lives.
    """

    def test_late(self) -> None:
        """
        Who connects before the ttl ends gets it, exactly until then.
        """
        self.notify(ttl=5)
        self.core.clock.advance(4.75)
        self.assertEqual(messages(self.core.connect("alice")[1]), [b"n1"])
        self.core.clock.advance(0.25)
        self.assertEqual(messages(self.core.connect("bob")[1]), [])

    def test_no_ttl(self) -> None:
        """
        Without ttl it is for who is connected; nobody gets it later, not even with
        the next one.
        """
        self.notify("n1")
        client = self.core.connect()[1]
        self.notify("n2")
        self.assertEqual(messages(client), [b"n2"])

    def test_several(self) -> None:
        """
        All that live come, in the order in which they were made.
        """
        for id, ttl in (("n1", 60), ("n2", 0), ("n3", 60), ("n4", 1)):
            self.notify(id, ttl=ttl)
        self.core.clock.advance(2)
        self.assertEqual(messages(self.core.connect()[1]), [b"n1", b"n3"])

    def test_very_many(self) -> None:
        """
        Of very many some come at once and the others soon after.
        """
        ids = [f"n{number}" for number in range(AT_ONCE + 3)]
        for id in ids:
            self.notify(id, ttl=60)
        client = self.core.connect()[1]
        self.core.clock.pump([PERIOD] * 2)
        self.assertEqual(messages(client), [id.encode() for id in ids])

    def test_resumed(self) -> None:
        """
        Who comes back gets none twice.
        """
        user, client = self.core.connect()
        self.notify(ttl=60)
        client.drop()
        again = self.core.connection(user)
        self.notify("n2", ttl=60)
        self.assertEqual((messages(client), messages(again)), ([b"n1"], [b"n2"]))

    def test_new_session(self) -> None:
        """
        A new session of the same player gets what is alive.
        """
        self.core.connect()
        self.notify(ttl=60)
        self.assertEqual(messages(self.core.connect()[1]), [b"n1"])

    def test_nothing_stays(self) -> None:
        """
        Nothing is kept of users who have left.
        """
        user, _ = self.core.connect()
        self.notify(ttl=60)
        self.assertEqual(list(self.notifier._settled), [user])
        user.disconnect()
        self.assertEqual(self.notifier._settled, {})


class SameIdTests(NotifyTestCase):
    """
    Ids that were used before.
    """

    def test_twice(self) -> None:
        """
        The same id is delivered once per user, whatever else differs, and the
        caller is told.
        """
        client = self.core.connect()[1]
        self.assertTrue(self.notify())
        self.assertFalse(self.notify(ttl=60))
        self.assertEqual(messages(client), [b"n1"])
        self.assertEqual(messages(self.core.connect("bob")[1]), [])

    def test_short_life(self) -> None:
        """
        An id is remembered for a minute after the end, however short the ttl is.
        """
        client = self.core.connect()[1]
        self.core.pass_time(FORGETTING / 2, client)
        self.notify(ttl=1)
        self.core.pass_time(1 + ID_LIFE - 0.25, client)
        self.assertFalse(self.notify(ttl=1))
        self.core.pass_time(0.25, client)
        self.assertTrue(self.notify(ttl=1))
        self.assertEqual(messages(client), [b"n1", b"n1"])

    def test_long_life(self) -> None:
        """
        An id is remembered as long as the notification lives, and a minute more.
        """
        self.notify(ttl=3600)
        self.core.clock.advance(3599 + ID_LIFE)
        self.assertFalse(self.notify())
        self.core.clock.advance(1)
        self.assertTrue(self.notify())

    def test_forgotten(self) -> None:
        """
        What need not be remembered takes no room any more.
        """
        self.notify()
        self.core.clock.advance(ID_LIFE + FORGETTING)
        self.assertEqual(len(self.notifier._memory), 0)

    def test_limit(self) -> None:
        """
        Above the limit the one that would be forgotten first is.
        """
        self.notify("long", ttl=3600)
        self.notify("longer", ttl=7200)
        self.core.clock.advance(ROUND_MOST)
        for number in range(REMEMBERED_MOST - 1):
            self.notify(f"n{number}", ttl=9000)
        self.assertEqual(len(self.notifier._memory), REMEMBERED_MOST)
        self.assertFalse(self.notify("longer"))
        self.assertTrue(self.notify("long"))

    def test_flood(self) -> None:
        """
        More than that in a few seconds is refused: those before are under way.
        """
        for number in range(REMEMBERED_MOST):
            self.notify(f"n{number}")
        error = self.assertRaises(NotificationError, self.notify, "one more")
        self.assertIn("4096 notifications within 10 s", str(error))
        self.core.clock.advance(ROUND_MOST)
        self.assertTrue(self.notify("one more"))


class DeleteTests(NotifyTestCase):
    """
    delete_notification.
    """

    def test_late(self) -> None:
        """
        Who connects afterwards does not get it; others live on.
        """
        self.notify("n1", ttl=60)
        self.notify("n2", ttl=60)
        self.notifier.delete("n1")
        self.assertEqual(messages(self.core.connect()[1]), [b"n2"])

    def test_under_way(self) -> None:
        """
        It stops even what is under way.
        """
        clients = [self.core.connect(str(number))[1] for number in range(SLICE_USERS + 1)]
        self.notify()
        self.notifier.delete("n1")
        self.core.clock.advance(PERIOD)
        self.assertEqual(messages(clients[-1]), [])

    def test_id_stays_used(self) -> None:
        """
        The id cannot be used for another one.
        """
        self.notify("n1", ttl=60)
        self.notifier.delete("n1")
        self.assertFalse(self.notify("n1", ttl=60))

    def test_unknown(self) -> None:
        """
        What is not there can be deleted, too: should it come, nobody gets it.
        """
        self.notifier.delete("n1")
        self.assertFalse(self.notify("n1", local=False, ttl=60))
        self.assertEqual(self.mesh.told, [NotificationDeleted("n1")])
        self.assertEqual(messages(self.core.connect()[1]), [])
        self.core.clock.advance(DELETED_LIFE)
        self.assertTrue(self.notify("n1", ttl=60))

    def test_no_id(self) -> None:
        """
        What no notification can have as its id is refused.
        """
        wrong: Any
        for wrong in ("", None, 7, "x" * 129, "\ud800"):
            self.assertRaises(NotificationError, self.notifier.delete, wrong)
        self.assertEqual(self.mesh.told, [])

    def test_not_sent_again(self) -> None:
        """
        What is deleted does not go to other nodes any more.
        """
        self.notify("n1", local=False, ttl=60)
        self.notifier.delete("n1")
        told = len(self.mesh.told)
        self.notify("n1", local=False, ttl=60)
        self.assertEqual(len(self.mesh.told), told)

    def test_bounded(self) -> None:
        """
        So many deletions are remembered, the latest; forgotten ones take no room.
        """
        for number in range(REMEMBERED_MOST + 1):
            self.notifier.delete(f"n{number}")
        self.assertEqual(len(self.notifier._memory._deleted), REMEMBERED_MOST)
        self.assertTrue(self.notify("n0"))
        self.assertFalse(self.notify("n1"))
        self.core.clock.advance(DELETED_LIFE + FORGETTING)
        self.assertEqual(len(self.notifier._memory._deleted), 0)


class HandlerTests(NotifyTestCase):
    """
    Who gets it decides the handler of its name.
    """

    def test_decides(self) -> None:
        """
        It is asked for each user, and true means that the user gets it.
        """
        asked: list[tuple[str, str]] = []

        def handler(user: User, notification: Notification) -> bool:
            asked.append((user.uid, notification.id))
            return user.uid != "bob"

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob", "carol")]
        self.notify(name="news")
        self.assertEqual([messages(client) for client in clients], [[b"n1"], [], [b"n1"]])
        self.assertEqual(asked, [("alice", "n1"), ("bob", "n1"), ("carol", "n1")])

    def test_late(self) -> None:
        """
        It is asked for those who connect later, and once for each.
        """
        asked: list[str] = []

        def handler(user: User, notification: Notification) -> bool:
            asked.append(user.uid)
            return False

        self.notifier.set_handler("news", handler)
        self.notify(name="news", ttl=60)
        user, client = self.core.connect()
        client.drop()
        self.assertEqual(messages(self.core.connection(user)), [])
        self.assertEqual(asked, ["alice"])

    def test_other_names(self) -> None:
        """
        It is not asked about other names, nor about none.
        """
        self.notifier.set_handler("news", lambda user, notification: False)
        client = self.core.connect()[1]
        self.notify("n1", name="other")
        self.notify("n2")
        self.assertEqual(messages(client), [b"n1", b"n2"])

    def test_last_counts(self) -> None:
        """
        A second handler of a name takes the first one's place.
        """
        self.notifier.set_handler("news", lambda user, notification: False)
        self.notifier.set_handler("news", lambda user, notification: True)
        client = self.core.connect()[1]
        self.notify(name="news")
        self.assertEqual(messages(client), [b"n1"])

    def test_failure(self) -> None:
        """
        If it fails for a user, that user gets nothing, the others do, and the log
        tells it once per notification.
        """

        def handler(user: User, notification: Notification) -> bool:
            if user.uid != "carol":
                raise GameFault
            return True

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob", "carol")]
        self.notify("n1", name="news")
        self.assertEqual(len(self.logged(GameFault)), 1)
        self.assertEqual([messages(client) for client in clients], [[], [], [b"n1"]])
        self.notify("n2", name="news")
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_not_an_answer(self) -> None:
        """
        Anything but True and False is a failure: what a handler forgot to return
        must not count as an answer.
        """
        wrong: Any = lambda user, notification: None  # noqa: E731
        self.notifier.set_handler("news", wrong)
        client = self.core.connect()[1]
        self.notify(name="news")
        [error] = self.logged(TypeError)
        self.assertIn("True or False, not None", str(error))
        self.assertEqual(messages(client), [])

    def test_notifies(self) -> None:
        """
        It may send another notification, which everybody gets.
        """

        def handler(user: User, notification: Notification) -> bool:
            self.notify("n2")
            return True

        self.notifier.set_handler("news", handler)
        clients = [self.core.connect(uid)[1] for uid in ("alice", "bob")]
        self.notify("n1", name="news")
        self.core.clock.advance(PERIOD)
        self.assertEqual([messages(client) for client in clients], [[b"n1", b"n2"]] * 2)

    def test_disconnects(self) -> None:
        """
        It may end the user's session, of which nothing stays then.
        """

        def handler(user: User, notification: Notification) -> bool:
            user.disconnect()
            return True

        self.notifier.set_handler("news", handler)
        self.core.connect()
        self.notify(name="news")
        self.assertEqual(self.notifier._settled, {})


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


class LifeTests(CoreTestCase):
    """
    What may be called when, and with what.
    """

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.notifier = Notifier(self.core.clock, self.core.users, self.core.mesh)

    def load(self) -> Notification:
        return Notification("loaded", message=b"loaded")

    def test_not_enabled(self) -> None:
        """
        Before enable_notifications everything is an error that says so.
        """
        self.notifier.start()
        for error in (
            self.assertRaises(NotificationError, self.notifier.notify, self.load(), True),
            self.assertRaises(NotificationError, self.notifier.delete, "n1"),
            self.assertRaises(RegistrationError, self.notifier.add_service, "s", self.load, 5),
            self.assertRaises(RegistrationError, self.notifier.set_handler, "s", lambda u, n: True),
        ):
            self.assertIn("enable_notifications", str(error))

    def test_not_started(self) -> None:
        """
        Before the start, and after the end, nothing can be sent or deleted.
        """
        self.notifier.enable()
        for _ in range(2):
            for call in (lambda: self.notifier.notify(self.load(), True), self.delete):
                error = self.assertRaises(NotificationError, call)
                self.assertIn("has not started, or has stopped", str(error))
            self.notifier.start()
            self.notifier.stop()

    def delete(self) -> None:
        self.notifier.delete("n1")

    def test_too_late(self) -> None:
        """
        Enabling and adding services are refused after the start.
        """
        self.notifier.start()
        self.assertRaises(RegistrationError, self.notifier.enable)
        self.notifier.stop()
        self.notifier.enable()
        self.notifier.start()
        error = self.assertRaises(RegistrationError, self.notifier.add_service, "s", self.load, 5)
        self.assertIn("too late", str(error))

    def test_enable_twice(self) -> None:
        """
        Enabling twice is no more than enabling once.
        """
        self.notifier.enable()
        self.notifier.enable()
        self.notifier.start()
        self.notifier.enable()
        self.notifier.notify(Notification("n1", message=b"n1", ttl=60), True)
        self.assertEqual(messages(self.core.connect()[1]), [b"n1"])

    def test_not_a_notification(self) -> None:
        """
        Whatever is not a notification is refused.
        """
        self.notifier.enable()
        self.notifier.start()
        wrong: Any
        for wrong in (None, "n1", {"id": "n1"}, Notification):
            error = self.assertRaises(NotificationError, self.notifier.notify, wrong, True)
            self.assertIn("takes a Notification, not", str(error))

    def test_service(self) -> None:
        """
        A service sends to the users of this node, from the start to the end.
        """
        self.notifier.enable()
        self.notifier.add_service("s", self.load, 5)
        client = self.core.connect()[1]
        self.core.pass_time(6, client)
        self.assertEqual(messages(client), [])
        self.notifier.start()
        self.core.pass_time(11, client)
        self.assertEqual(messages(client), [b"loaded"])
        self.notifier.stop()
        self.core.users.stop()
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_stop_while_under_way(self) -> None:
        """
        Stopping ends what is under way.
        """
        self.notifier.enable()
        self.notifier.start()
        for number in range(SLICE_USERS + 1):
            self.core.connect(str(number))
        self.notifier.notify(self.load(), True)
        self.notifier.stop()
        self.core.users.stop()
        self.assertEqual(self.core.clock.getDelayedCalls(), [])

    def test_bad_service(self) -> None:
        """
        A service needs a name of its own, a loader, and an interval in seconds.
        """
        self.notifier.enable()
        self.notifier.add_service("s", self.load, notify.INTERVAL_MIN)
        wrong: Any
        for wrong in (0, -1, 0.01, float("nan"), float("inf"), "5", None, True):
            error = self.assertRaises(
                RegistrationError, self.notifier.add_service, "t", self.load, wrong
            )
            self.assertIn("0.1 or more", str(error))
        for name, wrong, text in (
            ("s", self.load, "one of that name"),
            (None, self.load, "str, not NoneType"),
            ("t", None, "cannot be called"),
            ("t", lambda user: None, "must take 0 parameters"),
        ):
            error = self.assertRaises(RegistrationError, self.notifier.add_service, name, wrong, 5)
            self.assertIn(text, str(error))

    def test_bad_handler(self) -> None:
        """
        A handler needs a name, and answers at once.
        """
        self.notifier.enable()

        async def handler(user: User, notification: Notification) -> bool:
            return True

        wrong: Any
        for name, wrong, text in (
            (b"news", lambda user, notification: True, "str, not bytes"),
            ("news", True, "cannot be called"),
            ("news", lambda user: True, "test_notify.py"),
            ("news", lambda: True, "user and notification"),
            ("news", handler, "not be async"),
        ):
            error = self.assertRaises(RegistrationError, self.notifier.set_handler, name, wrong)
            self.assertIn(text, str(error))
