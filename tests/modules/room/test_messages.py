"""
Tests of L{diarkis_tw.modules.room}: messages, properties and chat.
"""

import msgspec

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from diarkis_tw.modules.room import properties as limits
from diarkis_tw.modules.room.room import CHAT_LINES, HELD_MAX, HELD_MAX_BYTES, Room
from diarkis_tw.schema import room as schema
from diarkis_tw.schema.room import CHAT_MAX, RoomCommand
from tests.modules.room.case import Player, RoomCase


def said(cmd: RoomCommand, sender: str, message: object) -> list[tuple[int, dict[str, object]]]:
    return [(cmd, {"from": sender, "message": message})]


class SayTests(RoomCase):
    """
    What members send each other.
    """

    def setUp(self) -> None:
        super().setUp()
        self.members = self.room("alice", "bob", "carol")[1]
        self.alice, self.bob, self.carol = self.members

    def test_broadcast(self) -> None:
        """
        A broadcast reaches all members, the sender included.
        """
        self.bob.send(schema.BROADCAST, schema.Say(message=b"hello"))
        for player in self.members:
            self.assertEqual(player.news(), said(RoomCommand.BROADCAST, "bob", b"hello"))

    def test_value(self) -> None:
        """
        A message may be a value.
        """
        self.bob.send(schema.BROADCAST, schema.Say(message={"x": [1, b"raw", None]}))
        self.assertEqual(
            self.alice.news(), said(RoomCommand.BROADCAST, "bob", {"x": [1, b"raw", None]})
        )

    def test_json(self) -> None:
        """
        Who speaks JSON writes bytes as base64, and is told what is wrong as others are.
        """
        self.bob.client.text = True
        cmd = RoomCommand.BROADCAST
        for message, meant in (("aGVsbG8=", b"hello"), ({"x": "aGVsbG8="}, {"x": "aGVsbG8="})):
            self.bob.client.command({"message": message}, ver=1, cmd=cmd)
            self.assertEqual(self.alice.news(), said(cmd, "bob", meant))
        for wrong in ({"message": "hello!"}, {"message": 7}, {}):
            before = len(self.bob.client.answers())
            self.bob.client.command(wrong, 5, ver=1, cmd=cmd)
            [(_, status, answer)] = self.bob.client.answers()[before:]
            assert isinstance(answer, dict)
            self.assertEqual((status, answer["code"]), (Status.BAD, ErrorCode.INVALID_PARAMETERS))

    def test_to_json(self) -> None:
        """
        Who speaks JSON gets bytes as base64, and an answer to what it asked.
        """
        self.bob.client.text = True
        self.alice.send(schema.BROADCAST, schema.Say(message=b"hello"))
        [push] = self.bob.client.pushes()
        self.assertEqual(push.payload, {"from": "alice", "message": "aGVsbG8="})
        self.bob.client.command({}, 5, ver=1, cmd=RoomCommand.MEMBER_IDS)
        [(_, status, answer)] = self.bob.client.answers()
        self.assertEqual((status, answer), (Status.OK, {"memberIds": ["alice", "bob", "carol"]}))

    def test_relay(self) -> None:
        """
        A relayed message reaches all but the sender.
        """
        self.bob.send(schema.RELAY, schema.Say(message=b"hello"))
        for player in (self.alice, self.carol):
            self.assertEqual(player.news(), said(RoomCommand.RELAY, "bob", b"hello"))
        self.assertEqual(self.bob.news(), [])

    def test_selected(self) -> None:
        """
        A message to some reaches those who are in the room, each once; relayed,
        not the sender.
        """
        to = ["alice", "bob", "alice", "nobody"]
        self.bob.send(schema.MESSAGE, schema.SayTo(member_ids=to, message=b"1"))
        self.bob.send(schema.RELAY_TO, schema.SayTo(member_ids=to, message=b"2"))
        self.assertEqual(
            self.alice.news(),
            said(RoomCommand.MESSAGE, "bob", b"1") + said(RoomCommand.RELAY_TO, "bob", b"2"),
        )
        self.assertEqual(self.bob.news(), said(RoomCommand.MESSAGE, "bob", b"1"))
        self.assertEqual(self.carol.news(), [])

    def test_reliability(self) -> None:
        """
        A message goes on as it came: reliably or not.
        """
        for reliable in (True, False):
            self.carol.client.reliable.clear()
            self.bob.send(schema.BROADCAST, schema.Say(message=b""), reliable=reliable)
            self.assertEqual(self.carol.client.reliable, [reliable])

    def test_outside(self) -> None:
        """
        Who is in no room cannot talk to one.
        """
        dan = self.player("dan")
        for command, request in (
            (schema.BROADCAST, schema.Say(message=b"")),
            (schema.RELAY, schema.Say(message=b"")),
            (schema.MESSAGE, schema.SayTo(member_ids=[], message=b"")),
            (schema.RELAY_TO, schema.SayTo(member_ids=[], message=b"")),
            (schema.CHAT, schema.Chat(text="hello")),
        ):
            self.assertEqual(dan.refused(command, request), ErrorCode.NOT_IN_ROOM)

    def test_garbage(self) -> None:
        """
        A payload of another shape is answered BAD and harms nobody.
        """
        for payload in (
            b"\xc1",
            b"\x80",
            b"hello",
            b"\x91" * 2000,
            msgspec.msgpack.encode({"message": 7}),
            msgspec.msgpack.encode({"message": "text"}),
            msgspec.msgpack.encode({"message": {"a": msgspec.msgpack.Ext(1, b"")}}),
        ):
            code = self.alice.refused_payload(schema.BROADCAST, payload)
            self.assertEqual(code, ErrorCode.INVALID_PARAMETERS)
        self.assertEqual(self.bob.news(), [])

    def test_from_server(self) -> None:
        """
        The server pushes commands of the game itself: to all, to all but one, to some.
        """
        room = self.rooms.of(self.alice.user)
        assert room is not None
        room.broadcast(2, 30, {"n": 1})
        room.relay(self.bob.user, 2, 31, {"n": 2})
        room.message([self.bob.user, self.player("dan").user], 2, 32, {"n": 3})
        self.assertEqual(self.alice.news(), [(30, {"n": 1}), (31, {"n": 2})])
        self.assertEqual(self.bob.news(), [(30, {"n": 1}), (32, {"n": 3})])

    def test_unsendable(self) -> None:
        """
        What cannot be encoded is logged once and harms nothing.
        """
        room = self.rooms.of(self.alice.user)
        assert room is not None
        room.broadcast(2, 30, {"what": object()})
        room.broadcast(2, 30, {"what": object()})
        self.assertEqual(room.unsent, 6)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        room.broadcast(2, 30, {})
        self.assertEqual(self.alice.news(), [(30, {})])


class IntervalTests(RoomCase):
    """
    Messages that leave together.
    """

    def test_held(self) -> None:
        """
        With an interval messages wait for its end and leave in order; relays do not wait.
        """
        _, [alice, bob] = self.room("alice", "bob", interval=100)
        alice.send(schema.BROADCAST, schema.Say(message=b"1"))
        bob.send(schema.BROADCAST, schema.Say(message=b"2"))
        alice.send(schema.RELAY, schema.Say(message=b"0"))
        self.assertEqual(bob.news(), said(RoomCommand.RELAY, "alice", b"0"))
        self.core.clock.advance(0.1)
        expected = said(RoomCommand.BROADCAST, "alice", b"1")
        expected += said(RoomCommand.BROADCAST, "bob", b"2")
        self.assertEqual(bob.news(), expected)
        self.core.clock.advance(1)
        self.assertEqual(bob.news(), [])

    def test_below(self) -> None:
        """
        An interval below 100 ms is none.
        """
        _, [alice, bob] = self.room("alice", "bob", interval=99)
        alice.send(schema.BROADCAST, schema.Say(message=b"1"))
        self.assertEqual(len(bob.news()), 1)

    def test_left_meanwhile(self) -> None:
        """
        Who leaves within the interval gets nothing more of the room.
        """
        _, [alice, bob, carol] = self.room("alice", "bob", "carol", interval=100)
        alice.send(schema.BROADCAST, schema.Say(message=b"1"))
        carol.ask(schema.LEAVE)
        carol.client.sent.clear()
        self.core.clock.advance(0.1)
        self.assertEqual(carol.news(), [])
        self.assertEqual([cmd for cmd, _ in bob.news()], [RoomCommand.BROADCAST, RoomCommand.LEAVE])

    def test_selected_left_meanwhile(self) -> None:
        """
        So with what was meant for it, and with news of the room, wherever it is now.
        """
        room, [alice, bob] = self.room("alice", "bob", interval=100)
        alice.send(schema.MESSAGE, schema.SayTo(member_ids=["bob"], message=b"1"))
        self.join(room, self.player("carol"))
        alice.send(schema.MESSAGE, schema.SayTo(member_ids=["bob"], message=b"2"))
        bob.ask(schema.LEAVE)
        bob.ask(schema.CREATE)
        bob.client.sent.clear()
        self.core.clock.advance(0.1)
        self.assertEqual(bob.news(), [])

    def test_joined_meanwhile(self) -> None:
        """
        Who comes in hears nothing of what was before, the others in order.
        """
        room, [alice, bob] = self.room("alice", "bob", interval=100)
        alice.send(schema.BROADCAST, schema.Say(message=b"1"))
        bob.ask(schema.LEAVE)
        carol = self.player("carol")
        self.join(room, carol)
        alice.send(schema.BROADCAST, schema.Say(message=b"2"))
        self.core.clock.advance(0.1)
        self.assertEqual(carol.news(), said(RoomCommand.BROADCAST, "alice", b"2"))
        order = [RoomCommand.BROADCAST, RoomCommand.LEAVE, RoomCommand.JOIN, RoomCommand.BROADCAST]
        self.assertEqual([cmd for cmd, _ in alice.news()], order)

    def test_bounds(self) -> None:
        """
        Many messages, or large ones, do not wait for the end of the interval.
        """
        for size, number in ((0, HELD_MAX), (7000, HELD_MAX_BYTES // 7100)):
            room, [alice] = self.room(f"alice {size}", interval=1000)
            for _ in range(number - 1):
                room.broadcast(2, 30, bytes(size))
            self.assertEqual(alice.news(), [])
            for _ in range(3):
                room.broadcast(2, 30, bytes(size))
            self.assertGreaterEqual(len(alice.client.pushes()), number - 1)


class PropertyTests(RoomCase):
    """
    Shared values.
    """

    def setUp(self) -> None:
        super().setUp()
        self.shared, [self.alice, self.bob] = self.room("alice", "bob")
        self.updates: list[tuple[dict[str, object], str]] = []
        self.rooms.on_property_update(
            lambda room, changes, user: self.updates.append((changes, user.uid if user else ""))
        )

    def update(self, player: Player, **properties: object) -> None:
        player.ask(schema.UPDATE_PROPERTIES, schema.Properties(properties=properties))

    def test_update(self) -> None:
        """
        Changes reach all members and the hook; None removes.
        """
        self.update(self.alice, map="ice", round=1)
        self.assertEqual(
            self.bob.news(),
            [(RoomCommand.PROPERTIES_CHANGED, {"properties": {"map": "ice", "round": 1}})],
        )
        self.update(self.bob, map=None)
        got = self.bob.ask(schema.GET_PROPERTIES)
        self.assertEqual(got, {"properties": {"round": 1}})
        got = self.bob.ask(schema.GET_PROPERTIES, schema.PropertyKeys(keys=["map", "round"]))
        self.assertEqual(got, {"properties": {"round": 1}})
        self.assertEqual(
            self.updates, [({"map": "ice", "round": 1}, "alice"), ({"map": None}, "bob")]
        )
        self.shared.update({"round": 2})
        self.assertEqual(self.updates[-1], ({"round": 2}, ""))

    def test_increment(self) -> None:
        """
        Increments add up, from nothing too, and refuse what is no whole number.
        """
        self.assertEqual(
            self.alice.ask(schema.INCREMENT, schema.Increment(key="score", by=5)),
            {"key": "score", "value": 5},
        )
        answer = self.bob.ask(schema.INCREMENT, schema.Increment(key="score", by=-7))
        self.assertEqual(answer["value"], -2)
        self.update(self.alice, text="a", flag=True, big=2**63 - 1)
        for key in ("text", "flag", "big"):
            self.assertEqual(
                self.alice.refused(schema.INCREMENT, schema.Increment(key=key)),
                ErrorCode.ROOM_PROPERTY,
            )

    def test_bounds(self) -> None:
        """
        Size of a value, size of all, number and names are bounded, and what is
        refused changes nothing.
        """
        largest = b"x" * (limits.VALUE_MAX_BYTES - 3)
        self.shared.update({"fits": largest})
        before = self.shared.properties.select()
        for changes in (
            {"ok": 1, "large": largest + b"x"},
            {f"k{n}": largest for n in range(8)},
            {f"k{n}": 1 for n in range(limits.PROPERTIES_MAX)},
            {"": 1},
            {"k" * 65: 1},
            {"k": object()},
            {"k": 2**64},
        ):
            self.refusal(ErrorCode.ROOM_PROPERTY, self.shared.update, changes)
        self.assertEqual(self.shared.properties.select(), before)
        for _ in range(100):  # replacing does not add up
            self.shared.update({"fits": largest})
        self.shared.update({"fits": None})
        self.shared.update({f"k{n}": 1 for n in range(limits.PROPERTIES_MAX)})

    def test_no_json(self) -> None:
        """
        What JSON cannot say is refused, or members on JSON could neither join nor look.
        """
        deep: object = 1
        for _ in range(13):
            deep = [deep]
        for value in (
            [deep],
            float("nan"),
            {"a": [float("inf")]},
            {"a": {1: 1, "1": 1}},
        ):
            payload = msgspec.msgpack.encode({"properties": {"ok": 1, "key": value}})
            code = self.alice.refused_payload(schema.UPDATE_PROPERTIES, payload)
            self.assertEqual(code, ErrorCode.ROOM_PROPERTY)
        self.assertEqual(self.shared.properties.select(), {})
        self.bob.client.text = True
        self.update(self.alice, deep=deep, number=1.5, map={"a": {1: b"x"}}, raw=b"x")
        self.bob.client.command({}, 5, ver=1, cmd=RoomCommand.GET_PROPERTIES)
        [(_, status, answer)] = self.bob.client.answers()
        self.assertEqual(status, Status.OK)
        assert isinstance(answer, dict)
        expected = {"deep": deep, "number": 1.5, "map": {"a": {"1": "eA=="}}, "raw": "eA=="}
        self.assertEqual(answer["properties"], expected)


class ChatTests(RoomCase):
    """
    The chat of a room.
    """

    def test_log(self) -> None:
        """
        Lines reach all members; the log keeps the latest.
        """
        _, [alice, bob] = self.room("alice", "bob")
        alice.ask(schema.CHAT, schema.Chat(text="hello"))
        line = {"from": "alice", "text": "hello", "time": 1767225600}
        self.assertEqual(bob.news(), [(RoomCommand.CHAT, line)])
        for number in range(CHAT_LINES):
            bob.ask(schema.CHAT, schema.Chat(text=str(number)))
        lines = alice.ask(schema.CHAT_LOG)["lines"]
        assert isinstance(lines, list)
        self.assertEqual((len(lines), lines[0]["text"]), (CHAT_LINES, "0"))

    def test_bounds(self) -> None:
        """
        An empty line and one too long are refused.
        """
        room, [alice] = self.room("alice")
        for text in ("", "x" * (CHAT_MAX + 1)):
            self.assertEqual(
                alice.refused_payload(schema.CHAT, msgspec.msgpack.encode({"text": text})),
                ErrorCode.INVALID_PARAMETERS,
            )
            self.refusal(ErrorCode.INVALID_PARAMETERS, room.chat, alice.user, text)

    def test_condition(self) -> None:
        """
        The application may refuse a line, with a sentence of its own.
        """

        def polite(room: Room, user: User, text: str) -> bool:
            if text == "worse":
                raise CommandError(99, "mind your words")
            return text != "bad"

        self.rooms.set_chat_condition(polite)
        _, [alice] = self.room("alice")
        self.assertEqual(alice.refused(schema.CHAT, schema.Chat(text="bad")), ErrorCode.ROOM)
        self.assertEqual(alice.refused(schema.CHAT, schema.Chat(text="worse")), 99)
        alice.ask(schema.CHAT, schema.Chat(text="good"))


class DumpTests(RoomCase):
    """
    What the debug command 904 shows.
    """

    def test_dump(self) -> None:
        """
        Rooms with members, owner, reservations and properties.
        """
        room, _ = self.room("alice", "bob", type="duel", properties={"a": 1})
        room.reserve(["carol"])
        self.assertEqual(
            self.rooms.dump(),
            [
                {
                    "ID": room.id,
                    "Type": "duel",
                    "Owner": "alice",
                    "MaxMembers": 8,
                    "Members": ["alice", "bob"],
                    "Reserved": ["carol"],
                    "Properties": {"a": 1},
                }
            ],
        )
