"""
What C{docs/protocol.md} says of rooms and direct messages, against their schema.
"""

from enum import IntEnum
from types import ModuleType

import msgspec
from msgspec import inspect
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import ErrorCode
from diarkis_tw.modules import dm as dm_module
from diarkis_tw.modules.room import properties, room, rooms
from diarkis_tw.schema import dm as dm_schema
from diarkis_tw.schema import room as room_schema
from diarkis_tw.schema.command import AnyCommand, Command
from tests.wire.protocol_document import section, table


def commands(schema: ModuleType) -> list[AnyCommand]:
    """
    The commands of a schema.
    """
    return [each for each in vars(schema).values() if isinstance(each, Command)]


def describe(type: inspect.Type) -> str:
    """
    A type as the document writes it.
    """
    match type:
        case inspect.BoolType():
            return "bool"
        case inspect.IntType(ge=None, le=None):
            return "integer"
        case inspect.IntType(ge=least, le=most):
            return f"{least} to {most}"
        case inspect.StrType(min_length=None, max_length=None):
            return "text"
        case inspect.StrType(min_length=least, max_length=most):
            return f"text of {least or 0} to {most}"
        case inspect.ListType(item_type=item, max_length=None):
            return f"list of {describe(item)}"
        case inspect.ListType(item_type=item, max_length=most):
            return f"list of {describe(item)}, {most} at most"
        case inspect.DictType():
            return "map"
        case inspect.UnionType():
            return "body"
        case inspect.StructType(cls=shape):
            return f"`{shape.__name__}`"
    raise AssertionError(type)


def keys(shape: type[msgspec.Struct]) -> str:
    """
    A shape's keys as the document writes them.
    """
    found = inspect.type_info(shape)
    assert isinstance(found, inspect.StructType)
    return "; ".join(
        f"`{field.encode_name}` {describe(field.type)}{absent(field)}" for field in found.fields
    )


def absent(field: inspect.Field) -> str:
    """
    What it means that a key is absent.
    """
    if field.required:
        return ""
    if field.default is not msgspec.NODEFAULT and field.default not in ("", b""):
        return f" ({field.default})".lower()
    return " (empty)"


def named(cell: str) -> list[str]:
    """
    The words in backticks.
    """
    return cell.split("`")[1::2]


class ModulesTests(SynchronousTestCase):
    """
    Commands, shapes, codes and limits.
    """

    def check_commands(self, title: str, schema: ModuleType, numbers: type[IntEnum]) -> None:
        """
        A section's table of commands is the schema.
        """
        lines = table(section(title), "cmd")
        asked = {
            int(cells[0]): (named(cells[2])[0], named(cells[3])[:1])
            for cells in lines
            if named(cells[2])
        }
        self.assertEqual(
            asked,
            {
                each.cmd: (
                    each.request.__name__,
                    [] if each.answer.__name__ == "Nothing" else [each.answer.__name__],
                )
                for each in commands(schema)
            },
        )
        self.assertEqual(
            {int(cells[0]): cells[1] for cells in lines},
            {int(number): number.name.lower().replace("_", " ") for number in numbers},
        )

    def check_shapes(self, title: str, schema: ModuleType) -> None:
        """
        A section's table of shapes has each shape of its commands and pushes, key by key.
        """
        described = {named(cells[0])[0]: cells[1] for cells in table(section(title), "map")}
        mentioned = {
            name
            for cells in table(section(title), "cmd")
            for cell in cells[2:]
            for name in named(cell)
        }
        inner = {name for text in described.values() for name in named(text) if name[0].isupper()}
        self.assertEqual(set(described), (mentioned | inner) - {"Nothing"})
        for name, text in described.items():
            self.assertEqual(text, keys(getattr(schema, name)), name)

    def test_rooms_differ(self) -> None:
        """
        Rooms are as the schema has them.
        """
        self.check_commands("Rooms", room_schema, room_schema.RoomCommand)
        self.check_shapes("Rooms", room_schema)

    def test_direct_messages_differ(self) -> None:
        """
        So are direct messages.
        """
        self.check_commands("Direct messages", dm_schema, dm_schema.DmCommand)
        self.check_shapes("Direct messages", dm_schema)

    def test_codes_differ(self) -> None:
        """
        The table of codes has those of the enumeration that are for rooms and messages.
        """
        self.assertEqual(
            [(int(cells[0]), cells[1]) for cells in table(section("Rooms"), "code")],
            [
                (int(code), code.name.lower().replace("_", " "))
                for code in ErrorCode
                if 2000 <= code <= 5000
            ],
        )

    def test_limits_differ(self) -> None:
        """
        The limits are those of the modules.
        """
        self.assertEqual(
            dict(table(section("Rooms"), "what")),
            {
                "rooms of a node": f"{rooms.ROOMS_MAX}",
                "rooms that one user has made and that still exist": f"{rooms.ROOMS_PER_CREATOR}",
                "an `interval` that counts as none": f"below {room_schema.INTERVAL_MIN} ms",
                "properties of a room": f"{properties.PROPERTIES_MAX}",
                "one value of a property": f"{properties.VALUE_MAX_BYTES} bytes as MessagePack",
                "all names and values": f"{properties.TOTAL_MAX_BYTES} bytes",
                "name of a property": f"{room_schema.KEY_MAX} characters",
                "lines that the chat log keeps": f"{room.CHAT_LINES}",
                "rooms that a random join tries": f"{rooms.CANDIDATES}",
                "a decision whether somebody may join": f"{rooms.CONDITION_PATIENCE:.0f} s",
                "users that a user is connected with": f"{dm_module.PEERS_MAX}",
                "a decision about a direct message": f"{dm_module.HOOK_PATIENCE:.0f} s",
            },
        )
