"""
A node with rooms, and players in front of it.
"""

import msgspec
from twisted.internet.defer import Deferred

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.room.room import Room
from diarkis_tw.modules.room.rooms import SWEEP, Rooms
from diarkis_tw.schema.command import AnyCommand, as_value
from diarkis_tw.wire.value import decode_value, encode_value
from tests.core.fakes import CoreTestCase, FakeConnection


class Player:
    """
    A user with its connection.
    """

    def __init__(self, case: "RoomCase", uid: str) -> None:
        self.case = case
        self.user: User
        self.client: FakeConnection
        self.user, self.client = case.core.connect(uid)

    def ask(self, command: AnyCommand, request: msgspec.Struct | None = None) -> dict[str, object]:
        """
        Send a command and get its answer, which must be OK.
        """
        status, payload = self.answer(command, b"" if request is None else _encoded(request))
        self.case.assertEqual(status, Status.OK, payload)
        return decode_value(payload) if payload else {}

    def refused(self, command: AnyCommand, request: msgspec.Struct | None = None) -> int:
        """
        Send a command whose answer must be BAD.

        @return: its code.
        """
        return self.refused_payload(command, b"" if request is None else _encoded(request))

    def refused_payload(self, command: AnyCommand, payload: bytes) -> int:
        """
        The same with any payload.
        """
        status, answer = self.answer(command, payload)
        self.case.assertEqual(status, Status.BAD)
        error = decode_value(answer)
        self.case.assertTrue(error["message"])
        code = error["code"]
        assert isinstance(code, int)
        return code

    def send(self, command: AnyCommand, request: msgspec.Struct, *, reliable: bool = True) -> None:
        """
        Send a command that wants no answer.
        """
        self.client.command(_encoded(request), ver=1, cmd=command.cmd, reliable=reliable)

    def answer(self, command: AnyCommand, payload: bytes) -> tuple[Status, bytes]:
        """
        Send a command.

        @return: status and payload of the one answer to it.
        """
        before = len(self.client.answers())
        self.client.command(payload, 77, ver=1, cmd=command.cmd)
        [(id, status, answer)] = self.client.answers()[before:]
        self.case.assertEqual(id, 77)
        return status, answer

    def news(self) -> list[tuple[int, dict[str, object]]]:
        """
        Number and value of every push since this was last asked.
        """
        found = [(push.cmd, decode_value(push.payload)) for push in self.client.pushes()]
        self.client.sent.clear()
        return found


def _encoded(request: msgspec.Struct) -> bytes:
    return encode_value(as_value(request))


class RoomCase(CoreTestCase):
    """
    Tests of rooms.

    @ivar time_of_day: what the calendar says, whatever the clock does.
    """

    def setUp(self) -> None:
        super().setUp()
        self.players: list[Player] = []
        self.time_of_day = 1767225600.5
        core = self.core
        self.rooms = Rooms(
            core.clock,
            core.users,
            core.node,
            lambda: core.mesh.node_address,
            core.registry,
            core.random_bytes,
            choose=lambda rooms: rooms[-1],
            time_of_day=lambda: self.time_of_day,
        )
        self.rooms.expose_commands()
        core.start()

    def player(self, uid: str) -> Player:
        """
        A new player.
        """
        player = Player(self, uid)
        self.players.append(player)
        return player

    def room(self, *uids: str, **options: object) -> tuple[Room, list[Player]]:
        """
        A room with these members, the first its owner.
        """
        players = [self.player(uid) for uid in uids]
        room = self.rooms.create(players[0].user, **options)  # type: ignore[arg-type]
        for player in players[1:]:
            self.join(room, player)
        self.core.clock.advance(room.interval)
        for player in players:
            player.client.sent.clear()
        return room, players

    def join(self, room: Room, player: Player, message: bytes = b"") -> None:
        """
        Let a player in, which must work at once.
        """
        self.successResultOf(Deferred.fromCoroutine(self.rooms.join(room.id, player.user, message)))

    def refusal(self, code: ErrorCode, call: object, *args: object, **options: object) -> str:
        """
        What a call of the Python API that must be refused says.
        """
        assert callable(call)
        with self.assertRaises(CommandError) as caught:
            call(*args, **options)
        self.assertEqual(caught.exception.code, code)
        return caught.exception.message

    def pass_time(self, duration: float) -> None:
        """
        Let time pass and every client live, with the sweep of rooms as the server runs it.
        """
        for _ in range(round(duration / SWEEP)):
            for player in self.players:
                player.client.heard = True
            self.core.clock.advance(SWEEP)
            self.rooms.sweep()
