"""
Tests of L{diarkis_tw.modules.room}: making rooms, coming and going.
"""

import contextlib
from collections.abc import Callable
from random import Random

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.constants import CloseCode, ErrorCode
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.room import rooms as rooms_module
from diarkis_tw.modules.room.room import Room
from diarkis_tw.schema import room as schema
from diarkis_tw.schema.room import RoomCommand
from tests.core.fakes import GameFault
from tests.modules.room.case import Player, RoomCase


class CreateTests(RoomCase):
    """
    Making a room.
    """

    def test_answer(self) -> None:
        """
        Who makes a room owns it, is in it, and learns its id, which names the node.
        """
        alice = self.player("alice")
        answer = alice.ask(schema.CREATE, schema.Create(max_members=4, properties={"map": "ice"}))
        room = self.rooms.of(alice.user)
        assert room is not None
        self.assertEqual(
            answer,
            {
                "roomId": room.id,
                "memberIds": ["alice"],
                "ownerId": "alice",
                "maxMembers": 4,
                "createdAt": 1767225600,
                "properties": {"map": "ice"},
                "created": True,
            },
        )
        self.assertTrue(room.id.endswith("@local"))
        self.assertIs(self.rooms.get(room.id), room)

    def test_one_at_a_time(self) -> None:
        """
        A user is in one room at a time.
        """
        _, [alice] = self.room("alice")
        self.assertEqual(alice.refused(schema.CREATE, schema.Create()), ErrorCode.NEW_ROOM)

    def test_ranges(self) -> None:
        """
        Numbers out of range are refused with a sentence, from clients and in Python.
        """
        alice = self.player("alice")
        for wrong in (
            {"maxMembers": 1},
            {"maxMembers": 1001},
            {"ttl": 9},
            {"ttl": 3601},
            {"interval": 10_001},
            {"type": "x" * 65},
        ):
            payload = msgspec.msgpack.encode(wrong)
            code = alice.refused_payload(schema.CREATE, payload)
            self.assertEqual(code, ErrorCode.INVALID_PARAMETERS, wrong)
        for options in ({"max_members": 1}, {"ttl": 9.5}, {"interval": -1}, {"max_members": True}):
            self.refusal(ErrorCode.NEW_ROOM, self.rooms.create, alice.user, **options)
        self.assertEqual(len(self.rooms), 0)

    def test_states(self) -> None:
        """
        TAKEN makes rooms, OFFLINE does not, but lets users into those there are.
        """
        self.core.node.taken()
        room, _ = self.room("alice")
        bob = self.player("bob")
        self.core.node.offline()
        self.assertEqual(bob.refused(schema.CREATE), ErrorCode.NEW_ROOM)
        bob.ask(schema.JOIN, schema.Join(room_id=room.id))
        self.assertEqual(room.member_ids, ["alice", "bob"])

    def test_many(self) -> None:
        """
        One user cannot fill the node with rooms that stay empty.
        """
        alice = self.player("alice")
        for _ in range(rooms_module.ROOMS_PER_CREATOR):
            alice.ask(schema.CREATE, schema.Create(allow_empty=True, ttl=60))
            alice.ask(schema.LEAVE)
        self.assertEqual(alice.refused(schema.CREATE), ErrorCode.NEW_ROOM)
        self.pass_time(61)
        self.assertEqual(len(self.rooms), 0)
        alice.ask(schema.CREATE)

    def test_nobodys(self) -> None:
        """
        The server can make a room of nobody, which needs allow_empty; the first to
        come owns it.
        """
        self.refusal(ErrorCode.NEW_ROOM, self.rooms.create)
        room = self.rooms.create(allow_empty=True)
        self.assertIsNone(room.owner)
        bob = self.player("bob")
        self.join(room, bob)
        self.assertIs(room.owner, bob.user)


class JoinTests(RoomCase):
    """
    Joining a room.
    """

    def test_news(self) -> None:
        """
        The others hear who has come and what it says; the new one does not.
        """
        room, [alice, bob] = self.room("alice", "bob")
        carol = self.player("carol")
        answer = carol.ask(schema.JOIN, schema.Join(room_id=room.id, message=b"hi"))
        self.assertEqual(answer["memberIds"], ["alice", "bob", "carol"])
        self.assertIs(answer["created"], False)
        for other in (alice, bob):
            self.assertEqual(
                other.news(),
                [(RoomCommand.JOIN, {"uid": "carol", "members": 3, "message": b"hi"})],
            )
        self.assertEqual(carol.news(), [])

    def test_refused(self) -> None:
        """
        An unknown room, a full one, and a second one are refused.
        """
        room, [alice, _] = self.room("alice", "bob", max_members=2)
        carol = self.player("carol")
        self.assertEqual(
            carol.refused(schema.JOIN, schema.Join(room_id="elsewhere")), ErrorCode.ROOM_NOT_FOUND
        )
        self.assertEqual(
            carol.refused(schema.JOIN, schema.Join(room_id=room.id)), ErrorCode.JOIN_ROOM
        )
        self.assertEqual(
            alice.refused(schema.JOIN, schema.Join(room_id=room.id)), ErrorCode.JOIN_ROOM
        )

    def test_another_nodes(self) -> None:
        """
        Who has the id of a room of another node learns that this is why.
        """
        room, [alice] = self.room("alice")
        name, _, own = room.id.partition("@")
        for id, says in ((f"{name}@other", "another node"), (f"x@{own}", "no such room")):
            joining = Deferred.fromCoroutine(self.rooms.join(id, alice.user))
            failure = self.failureResultOf(joining, CommandError)
            self.assertIn(says, str(failure.value))
            self.assertEqual("another" in str(failure.value), "other" in id)

    def test_condition(self) -> None:
        """
        The join condition refuses by a false answer or by its own error.
        """
        room, _ = self.room("alice")
        bob = self.player("bob")
        self.rooms.set_join_condition(lambda room, user: False)
        self.assertEqual(
            bob.refused(schema.JOIN, schema.Join(room_id=room.id)), ErrorCode.JOIN_ROOM
        )

        def too_low(room: Room, user: User) -> bool:
            raise CommandError(4321, "level 10 needed")

        self.rooms.set_join_condition(too_low)
        self.assertEqual(bob.refused(schema.JOIN, schema.Join(room_id=room.id)), 4321)
        self.rooms.set_join_condition(lambda room, user: user.uid == "bob")
        bob.ask(schema.JOIN, schema.Join(room_id=room.id))

    def waiting(self, *uids: str) -> tuple[Room, list[Player], list["Deferred[bool]"]]:
        """
        Players who wait for an asynchronous join condition.
        """
        room, _ = self.room("alice", max_members=2)
        decisions: list[Deferred[bool]] = []

        def decide(room: Room, user: User) -> Deferred[bool]:
            decisions.append(Deferred())
            return decisions[-1]

        self.rooms.set_join_condition(decide)
        players = [self.player(uid) for uid in uids]
        for player in players:
            player.client.command(
                msgspec.msgpack.encode({"roomId": room.id}),
                5,
                ver=1,
                cmd=RoomCommand.JOIN,
            )
        return room, players, decisions

    def test_seat_is_held(self) -> None:
        """
        While an asynchronous condition decides, the seat is nobody else's.
        """
        room, [bob, carol], [decision] = self.waiting("bob", "carol")
        self.assertEqual(carol.client.errors()[0][2], ErrorCode.JOIN_ROOM)
        self.assertEqual(bob.client.answers(), [])
        decision.callback(True)
        self.assertEqual(len(bob.client.answers()), 1)
        self.assertEqual(room.member_ids, ["alice", "bob"])

    def test_never_decided(self) -> None:
        """
        A condition that never decides refuses after a time, and the seat is free again.
        """
        room, [bob], _ = self.waiting("bob")
        self.core.clock.advance(rooms_module.CONDITION_PATIENCE)
        self.assertEqual(bob.client.errors()[0][2], ErrorCode.JOIN_ROOM)
        self.assertTrue(room.has_seat_for("carol"))

    def test_gone_meanwhile(self) -> None:
        """
        Who leaves the game while the condition decides does not come in.
        """
        room, [bob], [decision] = self.waiting("bob")
        bob.user.disconnect()
        if not decision.called:
            decision.callback(True)
        self.assertEqual(room.member_ids, ["alice"])
        self.assertTrue(room.has_seat_for("carol"))
        self.flushLoggedErrors()

    def test_room_gone_meanwhile(self) -> None:
        """
        A room that ends while its condition decides is not entered.
        """
        room, [bob], [decision] = self.waiting("bob")
        room.delete()
        decision.callback(True)
        self.assertEqual(bob.client.errors()[0][2], ErrorCode.ROOM_NOT_FOUND)
        self.assertIsNone(self.rooms.of(bob.user))


class ReservationTests(RoomCase):
    """
    Seats kept for somebody.
    """

    def test_kept(self) -> None:
        """
        A reserved seat is taken by the user it is for and by nobody else.
        """
        room, [alice] = self.room("alice", max_members=2)
        alice.ask(schema.RESERVE, schema.Reserve(uids=["bob"]))
        carol, bob = self.player("carol"), self.player("bob")
        self.assertEqual(
            carol.refused(schema.JOIN, schema.Join(room_id=room.id)), ErrorCode.JOIN_ROOM
        )
        bob.ask(schema.JOIN, schema.Join(room_id=room.id))
        self.assertEqual(room.reserved, [])

    def test_cancelled(self) -> None:
        """
        A seat that is no longer reserved is anybody's.
        """
        room, [alice] = self.room("alice", max_members=2)
        alice.ask(schema.RESERVE, schema.Reserve(uids=["bob"]))
        alice.ask(schema.CANCEL_RESERVATION, schema.Reserve(uids=["bob", "nobody"]))
        self.player("carol").ask(schema.JOIN, schema.Join(room_id=room.id))

    def test_all_or_none(self) -> None:
        """
        More seats than are free are not reserved at all.
        """
        room, [alice] = self.room("alice", max_members=3)
        self.assertEqual(
            alice.refused(schema.RESERVE, schema.Reserve(uids=["b", "c", "d"])), ErrorCode.RESERVE
        )
        self.assertEqual(room.reserved, [])
        alice.ask(schema.RESERVE, schema.Reserve(uids=["b", "b", "alice", "c"]))
        self.assertEqual(room.reserved, ["b", "c"])

    def test_owner_only(self) -> None:
        """
        Only the owner reserves.
        """
        _, [_, bob] = self.room("alice", "bob")
        self.assertEqual(bob.refused(schema.RESERVE, schema.Reserve(uids=["x"])), ErrorCode.ROOM)


class LeaveTests(RoomCase):
    """
    Leaving a room.
    """

    def test_news(self) -> None:
        """
        The others hear who has left, and whose the room is now.
        """
        room, [alice, bob, carol] = self.room("alice", "bob", "carol")
        changes: list[str] = []
        self.rooms.on_owner_change(lambda room, owner: changes.append(owner.uid))
        alice.ask(schema.LEAVE, schema.Leave(message=b"bye"))
        left = (RoomCommand.LEAVE, {"uid": "alice", "members": 2, "message": b"bye"})
        owner = (RoomCommand.OWNER_CHANGED, {"ownerId": "bob"})
        for other in (bob, carol):
            self.assertEqual(other.news(), [left, owner])
        self.assertIs(room.owner, bob.user)
        self.assertEqual(changes, ["bob"])
        self.assertEqual(carol.ask(schema.OWNER), {"ownerId": "bob"})
        self.assertEqual(alice.refused(schema.LEAVE), ErrorCode.NOT_IN_ROOM)

    def test_lost(self) -> None:
        """
        Who is lost stays for its grace, and leaves the room with the game.
        """
        room, [alice, bob] = self.room("alice", "bob")
        bob.client.drop()
        self.assertEqual(room.member_ids, ["alice", "bob"])
        self.core.pass_time(11, alice.client)
        self.assertEqual(room.member_ids, ["alice"])
        self.assertEqual(alice.news()[0][0], RoomCommand.LEAVE)

    def test_every_way(self) -> None:
        """
        Kicked, replaced, or gone for good: the user is out of its room at once.
        """
        ways: list[Callable[[Player], object]] = [
            lambda player: player.user.disconnect(),
            lambda player: player.client.command(ver=0, cmd=0),
            lambda player: self.core.connect(player.user.uid),
            lambda player: player.client.drop(CloseCode.PROTOCOL),
        ]
        for number, way in enumerate(ways):
            room, [_, bob] = self.room(f"alice{number}", f"bob{number}")
            way(bob)
            self.assertEqual(room.member_ids, [f"alice{number}"])

    def test_last(self) -> None:
        """
        With its last member a room ends.
        """
        ended: list[Room] = []
        self.rooms.on_discard(ended.append)
        room, [alice] = self.room("alice")
        alice.ask(schema.LEAVE)
        self.assertEqual(ended, [room])
        self.assertIsNone(self.rooms.get(room.id))

    def test_allow_empty(self) -> None:
        """
        With allow_empty it ends after ttl seconds without anybody, counted anew each time.
        """
        room, [alice] = self.room("alice", allow_empty=True, ttl=20)
        alice.ask(schema.LEAVE)
        self.pass_time(19)
        self.assertTrue(room.alive)
        self.join(room, alice)
        self.pass_time(60)
        alice.ask(schema.LEAVE)
        self.pass_time(19)
        self.assertTrue(room.alive)
        self.pass_time(1)
        self.assertFalse(room.alive)

    def test_delete(self) -> None:
        """
        A room that the server ends lets its members go to another one.
        """
        left: list[str] = []
        self.rooms.on_leave(lambda room, user: left.append(user.uid))
        room, [alice, _] = self.room("alice", "bob")
        room.delete()
        room.delete()
        self.assertEqual(left, ["alice", "bob"])
        told = (RoomCommand.LEAVE, {"uid": "alice", "members": 0, "message": b""})
        self.assertEqual(alice.news(), [told])
        alice.ask(schema.CREATE)
        self.assertEqual(room.members, ())


class FindTests(RoomCase):
    """
    Finding rooms by type.
    """

    def test_find(self) -> None:
        """
        Registered rooms with a free seat are found, others not.
        """
        free, [alice, _] = self.room("alice", "bob", type="duel", max_members=3)
        self.room("carol", "dan", type="duel", max_members=2)
        self.room("erin", type="race")
        other, [frank] = self.room("frank")
        found = alice.ask(schema.FIND, schema.Find(type="duel"))
        self.assertEqual(found, {"rooms": [{"roomId": free.id, "members": 2, "maxMembers": 3}]})
        frank.ask(schema.REGISTER, schema.Register(type="duel"))
        self.assertEqual(self.rooms.find("duel"), [free, other])
        self.assertEqual(self.rooms.find("duel", 1), [free])
        frank.ask(schema.REGISTER, schema.Register(type=""))
        self.assertEqual(self.rooms.find("duel"), [free])
        free.delete()
        self.assertEqual(self.rooms.find("duel"), [])

    def test_always_right(self) -> None:
        """
        Whatever happens to rooms: those of a type with a free seat are found, all of them
        and no others.
        """
        chance = Random(6)
        players = [self.player(f"user {n}").user for n in range(12)]
        decisions: list[Deferred[bool]] = []
        waiting: list[Deferred[Room]] = []

        def decide(room: Room, user: User) -> Deferred[bool]:
            decisions.append(Deferred())
            return decisions[-1]

        def create(user: User) -> None:
            options = {"max_members": chance.choice((2, 3)), "type": chance.choice(("", "a", "b"))}
            self.rooms.create(user, allow_empty=chance.random() < 0.5, **options)  # type: ignore[arg-type]

        def join(user: User) -> None:
            room = chance.choice(list(self.rooms))
            waiting.append(Deferred.fromCoroutine(self.rooms.join(room.id, user)))
            waiting[-1].addErrback(lambda failure: failure.trap(CommandError))

        def reserve(user: User) -> None:
            room = chance.choice(list(self.rooms))
            room.reserve([chance.choice(players).uid, "stranger"][: chance.choice((1, 2))])

        def cancel(user: User) -> None:
            chance.choice(list(self.rooms)).cancel_reservation([user.uid, "stranger"])

        def register(user: User) -> None:
            self.rooms.register(chance.choice(list(self.rooms)), chance.choice(("", "a", "b")))

        def answer(user: User) -> None:
            if decisions:
                decisions.pop(chance.randrange(len(decisions))).callback(chance.random() < 0.7)

        def delete(user: User) -> None:
            if chance.random() < 0.2:
                chance.choice(list(self.rooms)).delete()

        self.rooms.set_join_condition(decide)
        found = 0
        for _ in range(2000):
            step = chance.choice(
                (create, join, join, self.rooms.leave, reserve, cancel, register, answer, delete)
            )
            with contextlib.suppress(CommandError, IndexError):
                step(chance.choice(players))
            for type in ("a", "b"):
                expected = {r for r in self.rooms if r.type == type and r.has_seat_for("")}
                self.assertEqual(set(self.rooms.find(type, 100)), expected)
                found += len(expected)
            self.assertEqual(self.rooms.find("", 100), [])
        self.assertGreater(found, 1000)
        for decision in decisions:
            decision.callback(False)

    def test_random_join(self) -> None:
        """
        A random join takes a room that lets the user in, else makes one.
        """
        first, _ = self.room("alice", type="duel")
        second, _ = self.room("bob", type="duel")
        self.rooms.set_join_condition(lambda room, user: room is first)
        carol = self.player("carol")
        answer = carol.ask(schema.RANDOM_JOIN, schema.RandomJoin(type="duel", message=b"hi"))
        self.assertEqual((answer["roomId"], answer["created"]), (first.id, False))
        dan = self.player("dan")
        answer = dan.ask(schema.RANDOM_JOIN, schema.RandomJoin(type="race", max_members=3))
        self.assertEqual((answer["maxMembers"], answer["created"]), (3, True))
        self.assertEqual(
            self.player("erin").refused(schema.RANDOM_JOIN, schema.RandomJoin()),
            ErrorCode.INVALID_PARAMETERS,
        )
        self.assertEqual(
            dan.refused(schema.RANDOM_JOIN, schema.RandomJoin(type="duel")), ErrorCode.JOIN_ROOM
        )
        self.assertEqual(second.member_ids, ["bob"])


class HookTests(RoomCase):
    """
    Callbacks of the application.
    """

    def test_failing(self) -> None:
        """
        A callback that raises is logged; the next ones run, and the room goes on.
        """

        def fail(*args: object) -> None:
            raise GameFault

        joined: list[str] = []
        for register in (self.rooms.on_join, self.rooms.on_leave, self.rooms.on_tick):
            register(fail)
        self.rooms.on_join(lambda room, user: joined.append(user.uid))
        self.rooms.on_tick(lambda room: joined.append("tick"))
        room, [alice] = self.room("alice")
        self.pass_time(5)
        self.join(room, self.player("bob"))
        alice.ask(schema.LEAVE)
        self.assertEqual(joined, ["alice", "tick", "bob"])
        self.assertEqual(len(self.logged(GameFault)), 4)

    def test_slow(self) -> None:
        """
        A callback that takes over 100 ms is named once, with file and line.
        """
        events = self.log_events()

        def slow(room: Room, user: User) -> None:
            self.core.clock.advance(0.2)

        self.rooms.on_join(slow)
        room, _ = self.room("alice")
        self.join(room, self.player("bob"))
        texts = [str(event.get("callback")) for event in events if "callback" in event]
        self.assertEqual(len(texts), 1)
        self.assertIn("test_membership.py:", texts[0])

    def test_never_finishes(self) -> None:
        """
        An asynchronous callback that never ends holds up nobody.
        """
        self.rooms.on_join(lambda room, user: Deferred())
        room, _ = self.room("alice")
        self.join(room, self.player("bob"))
        self.assertEqual(room.member_ids, ["alice", "bob"])


class MemoryTests(RoomCase):
    """
    What is left behind.
    """

    def test_nothing(self) -> None:
        """
        After many rooms have come and gone no table holds anything of them.
        """
        players = [self.player(f"user{n}") for n in range(4)]
        for turn in range(200):
            owner, *others = players
            room = self.rooms.create(
                owner.user, type=f"t{turn}", allow_empty=True, properties={"a": 1}
            )
            room.reserve(["x"])
            for player in others:
                self.join(room, player)
            for player in players:
                self.rooms.leave(player.user)
            room.delete()
        tables = {
            name: value
            for name, value in vars(self.rooms).items()
            if isinstance(value, dict) and value
        }
        self.assertEqual(tables, {})
