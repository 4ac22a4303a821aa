"""
Tests of L{diarkis_tw.modules.notification}: what is one, and what is not.
"""

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import DiarkisError, NotificationError
from diarkis_tw.modules.notification import MESSAGE_MAX_BYTES, NAME_MAX_BYTES, Notification


class NotificationTests(SynchronousTestCase):
    """
    Fields and their limits.
    """

    def refused(self, **fields: Any) -> str:
        """
        @return: what the error says.
        """
        error = self.assertRaises(NotificationError, Notification, **{"id": "n1"} | fields)
        self.assertIsInstance(error, DiarkisError)
        return str(error)

    def test_defaults(self) -> None:
        """
        An id is enough: it raises the clients' event, for who is connected now.
        """
        found = Notification("n1")
        self.assertEqual((found.ver, found.cmd, found.ttl), (0, 400, 0))
        self.assertEqual((found.name, found.message), ("", b""))

    def test_order(self) -> None:
        """
        The fields stand in the order of the Go struct.
        """
        self.assertEqual(
            Notification("n1", "news", 2, 77, b"hello", 60),
            Notification(id="n1", name="news", ver=2, cmd=77, message=b"hello", ttl=60),
        )

    def test_limits(self) -> None:
        """
        The greatest and least values of all fields are taken.
        """
        name = "é" * (NAME_MAX_BYTES // 2)
        Notification(name, name, 255, 65535, bytes(MESSAGE_MAX_BYTES), 1e9)
        Notification("x", "", 2, 0, b"", 0)

    def test_id(self) -> None:
        """
        An id is a text, not empty and not too long.
        """
        self.assertIn("needs an id", self.refused(id=""))
        self.assertIn("str, not int", self.refused(id=7))
        self.assertIn("130 bytes", self.refused(id="é" * 65))
        self.assertIn("not text", self.refused(id="\ud800"))

    def test_name(self) -> None:
        """
        A name is a text, not too long.
        """
        self.assertIn("str, not NoneType", self.refused(name=None))
        self.assertIn("200 bytes", self.refused(name="x" * 200))

    def test_numbers(self) -> None:
        """
        ver and cmd are whole numbers in range.
        """
        self.assertIn("0 to 255", self.refused(ver=256))
        self.assertIn("0 to 65535", self.refused(ver=2, cmd=-1))
        self.assertIn("0 to 65535", self.refused(ver=2, cmd=65536))
        for wrong in (2.0, "2", True, None):
            self.assertIn("is a number", self.refused(ver=wrong))

    def test_reserved(self) -> None:
        """
        A notification cannot pretend to be another push of the server itself.
        """
        for ver, cmd in ((0, 6), (0, 0), (1, 400), (1, 10)):
            self.assertIn("server's own", self.refused(ver=ver, cmd=cmd))

    def test_message(self) -> None:
        """
        A message is bytes, not too many.
        """
        for wrong in ("text", None, {"a": 1}, bytearray(b"x")):
            self.assertIn("is bytes, not", self.refused(message=wrong))
        self.assertIn("16385 bytes", self.refused(message=bytes(MESSAGE_MAX_BYTES + 1)))

    def test_ttl(self) -> None:
        """
        A ttl is a finite number of seconds, not negative.
        """
        for wrong in (-1, -0.001, float("nan"), float("inf"), "60", None, True):
            self.assertIn("seconds, 0 or more", self.refused(ttl=wrong))

    def test_travels(self) -> None:
        """
        Another node reads what one wrote, and refuses what is none.
        """
        sent = Notification("n1", "news", 2, 77, b"\xff\x00", 60.5)
        packed = msgspec.msgpack.encode(sent)
        self.assertEqual(msgspec.msgpack.decode(packed, type=Notification), sent)
        forged = msgspec.msgpack.encode({"id": "n1", "ttl": -1})
        with self.assertRaises(msgspec.ValidationError):
            msgspec.msgpack.decode(forged, type=Notification)

    def test_frozen(self) -> None:
        """
        It cannot be changed once it is made.
        """
        found: Any = Notification("n1")
        with self.assertRaises(AttributeError):
            found.ttl = 5
