"""
Tests of L{diarkis_tw.modules.room}: what an application may do in its hooks, and what
happens if it does not come back.
"""

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.room.room import Room
from diarkis_tw.modules.room.rooms import CONDITION_PATIENCE
from diarkis_tw.schema import room as schema
from diarkis_tw.schema.room import RoomCommand
from tests.core.fakes import GameFault
from tests.modules.room.case import Player, RoomCase


class ReentrancyTests(RoomCase):
    """
    Hooks that change rooms themselves.
    """

    def test_kick_on_discard(self) -> None:
        """
        Ending a room, the first on_leave may kick the others; nobody is left in it.
        """
        room, [alice, bob, carol] = self.room("alice", "bob", "carol")
        left: list[str] = []

        def kick(room: Room, user: User) -> None:
            left.append(user.uid)
            bob.user.disconnect()

        self.rooms.on_leave(kick)
        room.delete()
        self.assertEqual(left, ["alice", "bob", "carol"])
        for player in (alice, carol):
            self.assertIsNone(self.rooms.of(player.user))
            player.ask(schema.CREATE)

    def test_move_on_discard(self) -> None:
        """
        Ending a room, on_leave may take all of its members to another one.
        """
        room, [alice, bob] = self.room("alice", "bob")
        lobby = self.rooms.create(allow_empty=True)

        def move(old: Room, user: User) -> None:
            for player in (alice, bob):
                if self.rooms.of(player.user) is None:
                    self.join(lobby, player)

        self.rooms.on_leave(move)
        room.delete()
        self.assertEqual(lobby.member_ids, ["alice", "bob"])

    def test_condition_ends_room(self) -> None:
        """
        A condition that ends the room it is asked about lets nobody into it.
        """
        room, _ = self.room("alice")
        bob = self.player("bob")

        def end(room: Room, user: User) -> bool:
            room.delete()
            return True

        self.rooms.set_join_condition(end)
        request = schema.Join(room_id=room.id)
        self.assertEqual(bob.refused(schema.JOIN, request), ErrorCode.ROOM_NOT_FOUND)
        self.assertIsNone(self.rooms.of(bob.user))

    def test_gone(self) -> None:
        """
        A user who is not here any more, or not yet, comes into no room: none would ever
        be rid of it.
        """
        room, _ = self.room("alice")
        gone = self.player("bob").user
        gone.disconnect()
        pending = self.core.users.create("carol", "TCP", {})
        for user in (gone, pending):
            self.refusal(ErrorCode.NEW_ROOM, self.rooms.create, user)
            for work in (self.rooms.join(room.id, user), self.rooms.join_random("duel", user)):
                refused = self.failureResultOf(Deferred.fromCoroutine(work), CommandError)
                self.assertEqual(refused.value.code, ErrorCode.JOIN_ROOM)
        self.assertEqual((len(self.rooms), room.member_ids), (1, ["alice"]))


class ConditionTests(RoomCase):
    """
    Conditions that take their time.
    """

    def setUp(self) -> None:
        super().setUp()
        self.decisions: list[Deferred[bool]] = []

    def decide(self, *args: object) -> "Deferred[bool]":
        """
        A condition that a test decides.
        """
        self.decisions.append(Deferred())
        return self.decisions[-1]

    def command(self, player: Player, cmd: RoomCommand, **request: object) -> None:
        """
        Send a command whose answer comes later.
        """
        player.client.command(msgspec.msgpack.encode(request), 5, ver=1, cmd=cmd)

    def test_reserved_together(self) -> None:
        """
        Those for whom seats are kept may all come at once.
        """
        room, [alice] = self.room("alice", max_members=3)
        alice.ask(schema.RESERVE, schema.Reserve(uids=["bob", "carol"]))
        self.rooms.set_join_condition(self.decide)
        players = [self.player(uid) for uid in ("bob", "carol", "dan")]
        for player in players:
            self.command(player, RoomCommand.JOIN, roomId=room.id)
        self.assertEqual(len(players[2].client.errors()), 1)
        for decision in self.decisions:
            decision.callback(True)
        self.assertEqual(room.member_ids, ["alice", "bob", "carol"])

    def test_reservation_lost_meanwhile(self) -> None:
        """
        Who had a reserved seat that somebody else has got meanwhile is refused.
        """
        room, [alice] = self.room("alice", max_members=2)
        alice.ask(schema.RESERVE, schema.Reserve(uids=["bob"]))
        self.rooms.set_join_condition(self.decide)
        bob = self.player("bob")
        self.command(bob, RoomCommand.JOIN, roomId=room.id)
        alice.ask(schema.CANCEL_RESERVATION, schema.Reserve(uids=["bob"]))
        self.rooms.set_join_condition(None)
        self.join(room, self.player("carol"))
        self.decisions[0].callback(True)
        self.assertEqual(bob.client.errors()[0][2], ErrorCode.JOIN_ROOM)
        self.assertEqual(room.member_ids, ["alice", "carol"])

    def test_random_join_hangs(self) -> None:
        """
        A random join waits for all rooms together as long as a join does for one: then
        there is a new one.
        """
        for uid in ("alice", "bob", "carol"):
            self.room(uid, type="duel")
        self.rooms.set_join_condition(self.decide)
        dan = self.player("dan")
        self.command(dan, RoomCommand.RANDOM_JOIN, type="duel")
        self.core.clock.advance(CONDITION_PATIENCE)
        self.assertEqual(len(dan.client.answers()), 1)
        self.assertEqual(len(self.decisions), 1)
        room = self.rooms.of(dan.user)
        assert room is not None
        self.assertEqual(room.member_ids, ["dan"])

    def test_random_join_fails(self) -> None:
        """
        A condition that fails for one room keeps nobody out of the others.
        """
        first, _ = self.room("alice", type="duel")
        second, _ = self.room("bob", type="duel")

        def broken(room: Room, user: User) -> bool:
            if room is second:
                raise GameFault
            return True

        self.rooms.set_join_condition(broken)
        answer = self.player("carol").ask(schema.RANDOM_JOIN, schema.RandomJoin(type="duel"))
        self.assertEqual(answer["roomId"], first.id)
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_random_join_cancelled(self) -> None:
        """
        Who leaves the game while a condition decides comes nowhere, and makes no room.
        """
        room, _ = self.room("alice", type="duel")
        self.rooms.set_join_condition(self.decide)
        bob = self.player("bob")
        self.command(bob, RoomCommand.RANDOM_JOIN, type="duel")
        bob.user.disconnect()
        self.assertEqual((len(self.rooms), room.member_ids), (1, ["alice"]))
        self.assertEqual(room.pending, 0)

    def test_chat_hangs(self) -> None:
        """
        A chat condition that never decides refuses the line after a time.
        """
        self.rooms.set_chat_condition(self.decide)
        _, [alice, bob] = self.room("alice", "bob")
        self.command(alice, RoomCommand.CHAT, text="hello")
        self.core.clock.advance(CONDITION_PATIENCE)
        self.assertEqual(alice.client.errors()[0][2], ErrorCode.ROOM)
        self.assertEqual(bob.news(), [])
        alice.ask(schema.MEMBER_COUNT)


class TickTests(RoomCase):
    """
    Ticks of rooms.
    """

    def test_never_ends(self) -> None:
        """
        A tick is not begun again for a room while it is under way there.
        """
        begun: list[str] = []
        under_way: list[Deferred[None]] = []
        quick: list[Room] = []

        def tick(room: Room) -> Deferred[None]:
            begun.append(room.type)
            under_way.append(Deferred())
            return under_way[-1]

        async def soon(room: Room) -> None:
            quick.append(room)

        self.rooms.on_tick(tick)
        self.rooms.on_tick(soon)
        self.room("alice", type="a")
        self.room("bob", type="b")
        self.pass_time(15)
        self.assertEqual(begun, ["a", "b"])
        self.assertEqual(len(quick), 6)
        under_way[0].callback(None)
        under_way[1].errback(GameFault())
        self.assertEqual(len(self.logged(GameFault)), 1)
        self.pass_time(5)
        self.assertEqual(begun, ["a", "b", "a", "b"])

    def test_ended_meanwhile(self) -> None:
        """
        A room may end during its own tick, and during those of others.
        """
        rooms = [self.room(uid)[0] for uid in ("alice", "bob")]
        ticked: list[Room] = []

        def end(room: Room) -> None:
            ticked.append(room)
            for other in rooms:
                other.delete()

        self.rooms.on_tick(end)
        self.pass_time(5)
        self.assertEqual(ticked, rooms[:1])
