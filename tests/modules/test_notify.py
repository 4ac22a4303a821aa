"""
Tests of L{diarkis_tw.modules.notify}: who gets a notification, and how often.
"""

from typing import Any

from diarkis_tw.core.fan_out import PERIOD, SLICE_USERS
from diarkis_tw.core.user import WAITING_LIMIT
from diarkis_tw.errors import LocalProtocolError, NotificationError
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_memory import (
    DELETED_LIFE,
    ID_LIFE,
    REMEMBERED_MOST,
    ROUND_MOST,
)
from diarkis_tw.modules.notify import AT_ONCE, FORGETTING, NotificationDeleted
from diarkis_tw.wire.message import Push
from tests.core.fakes import FakeConnection
from tests.modules.notify_case import NotifyTestCase, messages


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
