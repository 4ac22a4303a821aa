"""
Tests of L{diarkis_tw.core.elsewhere}: players and several nodes, over a broker that
loses what it is told to lose.
"""

from typing import Final, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.core import elsewhere
from diarkis_tw.core.elsewhere import CHUNK, Arrived, AskArrived, UserArrived
from diarkis_tw.core.user import UserState
from tests.core.fakes import FakeConnection
from tests.core.several_nodes import TTL, GameNode, SeveralNodesCase
from tests.mesh.fake_broker import FakeBroker

AWAY: Final = 6.0
"""Seconds after which a node has been given up."""

SOON: Final = 1.3
"""Seconds within which all is as it should be: one heartbeat, and what comes of it."""


class TogetherTests(SeveralNodesCase):
    """
    Nodes that hear each other.
    """

    def test_latest_stays(self) -> None:
        """
        Who connects elsewhere leaves, whatever the clocks of the nodes say.
        """
        for node in (self.a, self.b, self.c, self.b, self.a, self.c):
            _, client = self.connect(node)
            self.assertEqual(self.owners(), [node])
            self.assertEqual(client.closed, [])
        self.assertEqual(self.a.core.left, ["alice", "alice"])
        self.assertEqual(self.b.core.left, ["alice", "alice"])

    def test_directory(self) -> None:
        """
        All others know where a player came last; its own node need not.
        """
        for node in (self.a, self.b):
            self.connect(node)
            known = [other.elsewhere.directory.find("alice") for other in (self.a, self.b, self.c)]
            address = node.fake.address
            wanted = [None if other is node else address for other in (self.a, self.b, self.c)]
            self.assertEqual(known, wanted)

    def test_at_once(self) -> None:
        """
        Who connects to all nodes at the same time is on one of them in the end.
        """
        for node in (self.a, self.b, self.c):
            node.core.connect("alice", TTL)
        self.broker.settle()
        self.assertEqual(len(self.owners()), 1)

    def test_late_news(self) -> None:
        """
        News of an older session end no newer one.
        """
        older = self.a.core.connect("alice", TTL)[0]
        news = UserArrived("alice", older.keys.sid, older.arrived, self.a.fake.address)
        self.broker.settle()
        self.connect(self.b)
        self.a.fake.mesh.broadcast(news)
        self.broker.settle()
        self.assertEqual(self.owners(), [self.b])

    def test_nothing_to_ask(self) -> None:
        """
        While all is well nobody asks anything.
        """
        for number in range(20):
            self.connect(self.a, f"user{number}")
        before = len(self.broker.frames)
        self.pass_time(10)
        beats = len(self.broker.frames) - before
        self.assertLessEqual(beats, 33)
        self.assertEqual(self.b.elsewhere._missed, {})


class AwayTests(SeveralNodesCase):
    """
    A node is away, and players move meanwhile.
    """

    def settled(self, owner: GameNode, *gone: FakeConnection) -> None:
        self.pass_time(SOON)
        self.assertEqual(self.owners(), [owner])
        for client in gone:
            self.assertEqual(client.closed, [CloseCode.REPLACED])
        before = len(self.broker.frames)
        self.pass_time(5)
        self.assertLessEqual(len(self.broker.frames) - before, 18, "they ask for ever")

    def test_frozen(self) -> None:
        """
        Who connected elsewhere while a node stood still leaves it, once; others stay.
        """
        _, old = self.connect(self.b)
        _, stays = self.connect(self.b, "bob")
        self.freeze(self.b, True)
        self.pass_time(2)
        self.b.link.inbox.clear()
        self.connect(self.a)
        self.b.link.inbox.clear()
        self.pass_time(AWAY)
        self.b.link.inbox.clear()  # the broker had dropped it as a slow consumer
        self.freeze(self.b, False)
        self.settled(self.a, old)
        self.assertEqual(self.b.core.left, ["alice"])
        self.assertEqual(stays.closed, [])
        self.assertEqual(len(self.b.fake.stale), 1)

    def test_frozen_shortly(self) -> None:
        """
        So it is when it was too short for anybody to be given up.
        """
        _, old = self.connect(self.b)
        self.freeze(self.b, True)
        self.pass_time(0.1)
        self.connect(self.a)
        self.b.link.inbox.clear()
        self.pass_time(1)
        self.freeze(self.b, False)
        self.settled(self.a, old)

    def test_own_connection_lost(self) -> None:
        """
        A player who came to a node while it did not reach the broker stays there, and
        leaves where it was before: what could not be said is said later.
        """
        for away in (1.0, AWAY, 60.0):
            _, old = self.connect(self.a)
            self.broker.set_away(self.b.fake, True)
            self.pass_time(away)
            self.connect(self.b)
            self.assertEqual(set(self.owners()), {self.a, self.b})
            self.broker.set_away(self.b.fake, False)
            self.settled(self.b, old)

    def test_others_connection_lost(self) -> None:
        """
        And the other way round: who left a node that did not reach the broker.
        """
        for away in (1.0, AWAY):
            _, old = self.connect(self.b)
            self.broker.set_away(self.b.fake, True)
            self.pass_time(away)
            self.connect(self.c)
            self.broker.set_away(self.b.fake, False)
            self.settled(self.c, old)

    def test_broker_restart(self) -> None:
        """
        Whoever moved while the broker was away is where it came last.
        """
        clients = [self.connect(self.a, "one")[1], self.connect(self.b, "two")[1]]
        self.broker.set_up(False)
        self.pass_time(1)
        self.connect(self.b, "one")
        self.connect(self.c, "two")
        self.pass_time(1)
        clients.append(self.connect(self.c, "one")[1])
        clients.append(self.connect(self.a, "one")[1])
        self.broker.set_up(True)
        self.pass_time(SOON)
        self.assertEqual(self.owners("one"), [self.a])
        self.assertEqual(self.owners("two"), [self.c])
        closed = [client.closed for client in clients]
        replaced = [CloseCode.REPLACED]
        self.assertEqual(closed, [replaced, replaced, replaced, []])

    def test_brokers_apart(self) -> None:
        """
        Two halves that gave each other up: both are stale, and each player stays
        where it came last.
        """
        clients = [self.connect(self.a, "one")[1], self.connect(self.b, "two")[1]]
        self.b.link.cut = True
        self.pass_time(AWAY)
        self.connect(self.b, "one")
        self.connect(self.c, "two")
        self.b.link.cut = False
        self.pass_time(2 * SOON)
        self.assertEqual(self.owners("one"), [self.b])
        self.assertEqual(self.owners("two"), [self.c])
        self.assertEqual([client.closed for client in clients], [[CloseCode.REPLACED]] * 2)
        self.assertGreaterEqual(len(self.b.fake.stale), 1)

    def test_brokers_apart_shortly(self) -> None:
        """
        A gap that nobody was given up for is noticed, too.
        """
        _, old = self.connect(self.a)
        self.b.link.cut = True
        self.connect(self.b)
        self.pass_time(0.2)
        self.b.link.cut = False
        self.settled(self.b, old)

    def test_one_frame_lost(self) -> None:
        """
        One lost message, at a full queue, say, is noticed at the next heartbeat.
        """
        _, old = self.connect(self.a)
        self.b.core.connect("alice", TTL)
        self.a.link.inbox.pop()
        self.broker.settle()
        self.assertEqual(set(self.owners()), {self.a, self.b})
        self.settled(self.b, old)

    def test_apart_from_the_start(self) -> None:
        """
        Nodes with users that find each other late settle who is where, as well as the
        machines know the time of day.
        """
        broker = self.broker = FakeBroker()
        broker.is_up = False
        self.a, self.b, self.c = (
            GameNode(broker, day, uptime) for day, uptime in ((5.3, 9e5), (5.0, 9e4), (4.7, 0))
        )
        for node in (self.a, self.b, self.c):
            self.connect(node)
            self.pass_time(1)
        broker.set_up(True)
        self.pass_time(2 * SOON)
        self.assertEqual(self.owners(), [self.c])

    def test_many(self) -> None:
        """
        More users than one answer holds are asked for in several.
        """
        count = 2 * CHUNK + 500
        for number in range(count):
            self.connect(self.a, f"user{number}")
        self.broker.set_away(self.b.fake, True)
        for number in range(count):
            self.connect(self.b, f"user{number}")
        self.broker.set_away(self.b.fake, False)
        self.pass_time(SOON)
        self.assertEqual((self.a.users.ccu(), self.b.users.ccu()), (0, count))

    def test_asks_only_for_what_is_missing(self) -> None:
        """
        Who came before the gap, or has left since, is not told of again.
        """
        for uid in ("long here", "short here"):
            self.connect(self.b, uid)
        self.connect(self.a)
        self.pass_time(2)
        self.broker.set_away(self.b.fake, True)
        self.connect(self.b, "new")
        left, _ = self.connect(self.b, "left")
        left.disconnect()
        answers: list[list[str]] = []
        answer = self.b.elsewhere._answer
        self.b.fake.mesh._local._handlers[AskArrived] = lambda asked: answers.append(
            [uid for uid, _, _ in answer(cast(AskArrived, asked)).users]
        )
        self.broker.set_away(self.b.fake, False)
        self.assertEqual(answers, [["new"]])

    def test_asks_again(self) -> None:
        """
        An answer that does not come is asked for again until it does.
        """
        _, old = self.connect(self.a)
        self.b.core.connect("alice", TTL)
        self.a.link.inbox.pop()
        publish = self.a.link.publish
        own = self.b.fake.address
        self.a.link.publish = (  # type: ignore[method-assign]
            lambda subject, *frame: subject.endswith(own) or publish(subject, *frame)
        )
        self.pass_time(5)
        self.assertEqual(set(self.owners()), {self.a, self.b})
        self.a.link.publish = publish  # type: ignore[method-assign]
        self.pass_time(elsewhere.ASK_TIMEOUT + 2)
        self.assertEqual(self.owners(), [self.b])
        self.assertEqual(old.closed, [CloseCode.REPLACED])

    def test_same_time(self) -> None:
        """
        Sessions of the very same time on two nodes: one stays, and it is the same one
        whoever hears of the other first.
        """
        for first, second in ((self.a, self.b), (self.b, self.a)):
            made = []
            for node in (first, second):
                node.link.cut = True
                user, _ = node.core.connect("alice", TTL)
                user.arrived = 2**61
                made.append(user)
            for node in (first, second):
                node.link.cut = False
                self.pass_time(1.1)
            stays = max(made, key=lambda user: user.keys.sid)
            self.assertEqual(len(self.owners()), 1)
            self.assertIs(self.owners()[0].users.find_uid("alice"), stays)
            stays.disconnect()


class FenceTests(SeveralNodesCase):
    """
    What a node does that was given up.
    """

    def test_pending(self) -> None:
        """
        Who was about to connect when the node stood still is refused, even if its
        packets come before any timer; who comes later is not.
        """
        user = self.b.core.create("alice")
        self.freeze(self.b, True)
        self.pass_time(AWAY)
        _, moved = self.connect(self.a)
        clock = self.b.fake.clock
        timers, clock.calls = clock.calls, []
        clock.advance(self.b.fake.missed)
        self.b.fake.missed = 0.0
        late = self.b.core.connection(user, TTL)
        self.assertEqual(late.closed, [CloseCode.UNKNOWN])
        clock.calls = timers
        self.freeze(self.b, False)
        self.pass_time(SOON)
        self.assertEqual((self.owners(), moved.closed), ([self.a], []))
        self.assertEqual(len(self.b.fake.stale), 1)
        self.connect(self.b)
        self.assertEqual(self.owners(), [self.b])

    def test_given_up_unaware(self) -> None:
        """
        So it is on a node that is told that it was given up.
        """
        user = self.b.core.create("alice")
        self.b.link.cut = True
        self.pass_time(AWAY)
        self.b.link.cut = False
        self.pass_time(SOON)
        self.assertIs(user.state, UserState.GONE)

    def test_users_stay(self) -> None:
        """
        Who is connected and nowhere else goes on, commands and all.
        """
        _, client = self.connect(self.b)
        self.freeze(self.b, True)
        self.pass_time(AWAY)
        self.freeze(self.b, False)
        client.command(b"x", 7)
        self.pass_time(10)
        self.assertEqual((self.owners(), client.closed), ([self.b], []))
        self.assertEqual([answer[0] for answer in client.answers()], [7])

    def test_end(self) -> None:
        """
        A node that ends while it asks leaves nothing behind.
        """
        self.connect(self.b)
        self.b.elsewhere._note(self.a.fake.address, 0)
        self.assertIsNotNone(self.b.elsewhere._asking)
        self.b.users.stop()
        self.assertIsNone(self.b.elsewhere._asking)
        self.b.fake.mesh.leave()
        self.assertEqual(self.b.fake.clock.getDelayedCalls(), [])


class BoundsTests(SeveralNodesCase):
    """
    What is kept, and what a message may hold.
    """

    def test_missed_is_bounded(self) -> None:
        """
        So many nodes are remembered as to be asked, and no more.
        """
        self.connect(self.a)
        for number in range(elsewhere.MISSED_MAX + 10):
            self.a.elsewhere._note(f"node{number}", 0)
        self.assertEqual(len(self.a.elsewhere._missed), elsewhere.MISSED_MAX)

    def test_long_names(self) -> None:
        """
        News with a uid, sid or address longer than there are any are refused.
        """
        for news in (
            UserArrived("u" * 129, bytes(16), 1, "node"),
            UserArrived("u", bytes(17), 1, "node"),
            UserArrived("u", bytes(16), 1, "n" * 65),
            UserArrived("u", bytes(16), 2**63, "node"),
        ):
            encoded = msgspec.msgpack.encode(news)
            self.assertRaises(
                msgspec.ValidationError, msgspec.msgpack.decode, encoded, type=UserArrived
            )

    def test_long_answer(self) -> None:
        """
        An answer with more than it may hold is refused.
        """
        answer = Arrived([("u", b"s" * 16, 1)] * (CHUNK + 1), more=False)
        encoded = msgspec.msgpack.encode(answer)
        self.assertRaises(msgspec.ValidationError, msgspec.msgpack.decode, encoded, type=Arrived)

    def test_largest_answer(self) -> None:
        """
        The largest answer fits into a frame.
        """
        for number in range(CHUNK):
            self.a.core.connect(f"{number:0128}", TTL)
        asked = self.b.fake.mesh.request(self.a.fake.address, AskArrived(0), Arrived)
        self.broker.settle()
        answer = self.successResultOf(asked)
        self.assertEqual((len(answer.users), answer.more), (CHUNK, False))


class AnyOrderTests(SynchronousTestCase):
    """
    Whatever happens.
    """

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["connect", "cut", "away", "freeze", "time", "lose"]),
                st.integers(0, 2),
            ),
            max_size=25,
        )
    )
    def test_one_owner(self, events: list[tuple[str, int]]) -> None:
        """
        Whatever was lost in between, in the end a player is on one node.
        """
        broker = FakeBroker()
        nodes = [GameNode(broker, day) for day in (0, 7, 100)]
        broker.advance(1.5, 0.25)
        came: set[int] = set()
        for event, at in events:
            node = nodes[at]
            match event:
                case "connect" if not node.fake.frozen:
                    node.core.connect("alice", TTL)
                    came.add(at)
                case "cut":
                    node.link.cut = not node.link.cut
                case "away":
                    broker.set_away(node.fake, not node.link.away)
                case "freeze":
                    node.fake.frozen = not node.fake.frozen
                case "time":
                    broker.advance((0.25, 1.0, 4.0)[at], 0.25)
                case "lose":
                    node.link.inbox.clear()
        for node in nodes:
            node.fake.frozen = node.link.cut = False
            if node.link.away:
                broker.set_away(node.fake, False)
        broker.advance(10, 0.25)
        owners = [node for node in nodes if node.users.find_uid("alice") is not None]
        self.assertEqual(len(owners), min(len(came), 1))
