"""
Tests of L{diarkis_tw.schema.command}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.schema import room
from diarkis_tw.wire.value import encode_value


class WholeNumberTests(SynchronousTestCase):
    """
    Whole numbers in requests that came as JSON.
    """

    def test_float(self) -> None:
        """
        A float without a fraction is one, as some languages write no others.
        """
        value = {"maxMembers": 4.0, "ttl": 60.0, "interval": -0.0}
        request = room.CREATE.read(value)
        self.assertEqual((request.max_members, request.ttl, request.interval), (4, 60, 0))
        self.assertIs(type(request.max_members), int)
        self.assertEqual(room.INCREMENT.read({"key": "a", "by": -(2.0**53)}).by, -(2**53))
        self.assertEqual(value["maxMembers"], 4.0)

    def test_noWholeNumber(self) -> None:
        """
        Others are none: with a fraction, too large to be exact, out of range, not finite.
        """
        for number in (4.5, 1.0, 2.0**54, 1e300, float("inf"), float("nan"), "4", True, None):
            with self.subTest(repr(number)):
                value = {"maxMembers": number}
                self.assertRaises(RemoteProtocolError, room.CREATE.read, value)
        too_large = {"key": "a", "by": 2.0**54}
        self.assertRaises(RemoteProtocolError, room.INCREMENT.read, too_large)

    def test_applications(self) -> None:
        """
        Values of the application stay what they are.
        """
        request = room.CREATE.read({"maxMembers": 4.0, "properties": {"speed": 4.0}})
        self.assertIs(type(request.properties["speed"]), float)

    def test_binary(self) -> None:
        """
        MessagePack has integers: a float is none there.
        """
        payload = encode_value({"maxMembers": 4.0})
        self.assertRaises(RemoteProtocolError, room.CREATE.decode, payload)
