"""
Tests of L{diarkis_tw.modules.room}: what rooms leave behind, which is nothing.
"""

from collections.abc import Callable

from diarkis_tw.constants import CloseCode
from diarkis_tw.schema import room as schema
from tests.modules.room.case import Player, RoomCase
from tests.rudp.peer import memory

TIMES = 300
WARM_UP = 30

SPARE = 2048
"""Bytes that may be in use more or less: less than 7 of each of C{TIMES}."""


class MemoryTests(RoomCase):
    """
    Memory after much coming and going is what it was before.
    """

    def unchanged(self, work: Callable[[int], None]) -> None:
        """
        Do something again and again and look at the memory.
        """
        for number in range(WARM_UP):
            work(number)

        def repeat() -> None:
            for number in range(WARM_UP, WARM_UP + TIMES):
                work(number)

        self.assertLess(abs(memory(repeat)), SPARE)
        self.assertEqual(len(self.rooms), 0)

    def forget(self, *players: Player) -> None:
        """
        Drop what clients have received.
        """
        for player in players:
            player.client.sent.clear()
            player.client.reliable.clear()

    def test_create_join_leave(self) -> None:
        """
        Rooms that players make, fill, use and leave.
        """
        alice, bob = self.player("alice"), self.player("bob")

        def work(number: int) -> None:
            made = alice.ask(
                schema.CREATE,
                schema.Create(type=f"type {number}", interval=100, properties={"n": number}),
            )
            bob.ask(schema.JOIN, schema.Join(room_id=str(made["roomId"])))
            alice.ask(schema.RESERVE, schema.Reserve(uids=[f"guest {number}"]))
            bob.ask(schema.INCREMENT, schema.Increment(key=f"key {number}"))
            bob.ask(schema.CHAT, schema.Chat(text=f"line {number}"))
            bob.ask(schema.BROADCAST, schema.Say(message=b"%d" % number))
            alice.ask(schema.LEAVE, schema.Leave())
            bob.ask(schema.LEAVE, schema.Leave())
            self.core.clock.advance(0.1)
            self.forget(alice, bob)

        self.unchanged(work)

    def test_users_come_and_go(self) -> None:
        """
        Users who are lost or gone while they are in a room.
        """

        def work(number: int) -> None:
            host, guest = Player(self, f"host {number}"), Player(self, f"guest {number}")
            room = self.rooms.create(host.user)
            self.join(room, guest)
            host.client.drop(CloseCode.NORMAL)
            guest.client.drop(CloseCode.NORMAL)
            self.core.clock.advance(0)
            self.core.left.clear()

        self.unchanged(work)

    def test_empty_rooms(self) -> None:
        """
        Rooms that outlive their members for a while.
        """
        alice = self.player("alice")

        def work(number: int) -> None:
            room = self.rooms.create(alice.user, allow_empty=True, type=f"type {number}")
            room.leave(alice.user)
            self.pass_time(room.ttl + 1)
            self.forget(alice)

        self.unchanged(work)

    def test_discarded(self) -> None:
        """
        Rooms that the server discards with members in them.
        """
        alice, bob = self.player("alice"), self.player("bob")

        def work(number: int) -> None:
            room = self.rooms.create(alice.user)
            self.join(room, bob)
            room.broadcast(2, 1, b"%d" % number)
            room.delete()
            self.forget(alice, bob)

        self.unchanged(work)
