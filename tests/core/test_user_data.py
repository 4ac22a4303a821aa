"""
Tests of L{diarkis_tw.core.user}: typed access to a user's data.
"""

from dataclasses import dataclass

import msgspec

from diarkis_tw.errors import DiarkisError, UserDataError
from tests.core.fakes import CoreTestCase


class Position(msgspec.Struct):
    """
    A value of a game.
    """

    x: int
    y: int = 0


@dataclass
class Sword:
    """
    An object of a game.
    """

    sharpness: int


class UserDataTests(CoreTestCase):
    """
    Getting and setting.
    """

    def setUp(self) -> None:
        super().setUp()
        self.user, _ = self.serve()
        self.user.data |= {
            "rank": 3,
            "ratio": 0.5,
            "whole": 4.0,
            "name": "Alice",
            "vip": True,
            "raw": b"\0\1",
            "friends": ["bob", "carol"],
            "at": {"x": 1},
            "nothing": None,
        }

    def test_get(self) -> None:
        """
        A value of that type is returned as it is.
        """
        self.assertEqual(self.user.get("rank", int), 3)
        self.assertEqual(self.user.get("ratio", float), 0.5)
        self.assertEqual(self.user.get("name", str), "Alice")
        self.assertIs(self.user.get("vip", bool), True)
        self.assertEqual(self.user.get("raw", bytes), b"\0\1")
        for key in self.user.data:
            self.assertIs(self.user.get(key, object), self.user.data[key])

    def test_same_object(self) -> None:
        """
        Lists, maps and objects of the application are the very ones that are kept.
        """
        sword = Sword(9)
        self.user.set("hand", sword)
        self.assertIs(self.user.get("hand", Sword), sword)
        self.user.get("friends", list).append("dave")
        self.assertEqual(self.user.data["friends"], ["bob", "carol", "dave"])

    def test_converted(self) -> None:
        """
        Numbers that mean the same are converted, and JSON objects to structs.
        """
        whole = self.user.get("whole", int)
        self.assertEqual((whole, type(whole)), (4, int))
        ratio = self.user.get("rank", float)
        self.assertEqual((ratio, type(ratio)), (3.0, float))
        self.assertEqual(self.user.get("friends", list[str]), ["bob", "carol"])
        self.assertEqual(self.user.get("at", dict[str, int]), {"x": 1})
        self.assertEqual(self.user.get("at", Position), Position(1, 0))

    def test_wrong_type(self) -> None:
        """
        Anything else is an error that names key, user and both types, and no value.
        """
        for key, kind, found, expected in (
            ("vip", int, "bool", "int"),
            ("vip", float, "bool", "float"),
            ("ratio", int, "float", "int"),
            ("rank", bool, "int", "bool"),
            ("rank", str, "int", "str"),
            ("name", int, "str", "int"),
            ("name", bytes, "str", "bytes"),
            ("nothing", int, "NoneType", "int"),
            ("friends", list[int], "list", "list[int]"),
            ("at", Sword, "dict", "Sword"),
        ):
            error = self.assertRaises(UserDataError, self.user.get, key, kind)
            text = str(error)
            self.assertIn(f"{key!r} of user alice is of type {found}, not {expected}", text)
            self.assertNotIn("Alice", text)

    def test_missing(self) -> None:
        """
        Nothing under the key is an error, unless there is a default; a default is no excuse for a
        wrong type.
        """
        error = self.assertRaises(UserDataError, self.user.get, "coins", int)
        self.assertIn("alice has no 'coins'", str(error))
        self.assertIsInstance(error, LookupError)
        self.assertIsInstance(error, DiarkisError)
        self.assertEqual(self.user.get("coins", int, 0), 0)
        self.assertIsNone(self.user.get("coins", int, None))
        self.assertRaises(UserDataError, self.user.get, "name", int, 0)

    def test_set(self) -> None:
        """
        What is set is got; it is the same data as C{user.data}.
        """
        self.user.set("coins", self.user.get("coins", int, 0) + 5)
        self.assertEqual(self.user.data["coins"], 5)
        for key in (1, None, b"coins"):
            self.assertRaises(UserDataError, self.user.set, key, 1)

    def test_delete(self) -> None:
        """
        Deleting says whether there was something.
        """
        self.assertTrue(self.user.delete("nothing"))
        self.assertFalse(self.user.delete("nothing"))
        self.assertNotIn("nothing", self.user.data)

    def test_kept(self) -> None:
        """
        The data stays while the user is away, and is there for on_disconnect.
        """
        seen: list[int] = []
        self.core.users.on_disconnect(lambda sid, user: seen.append(user.get("rank", int)))
        connection = self.user.connection
        assert connection is not None
        self.core.users.lost(self.user, connection, None)
        self.assertEqual(self.user.get("rank", int), 3)
        self.user.disconnect()
        self.assertEqual(seen, [3])
