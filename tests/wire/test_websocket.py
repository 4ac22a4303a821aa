"""
Tests of L{diarkis_tw.wire.websocket}.
"""

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import close_status, split_ws_record, status_close_code, ws_header
from tests.strategies import payloads


class RecordTests(SynchronousTestCase):
    """
    Binary messages.
    """

    @given(payloads)
    def test_roundTrip(self, body: bytes) -> None:
        """
        Header and body come out as they went in, for each type.
        """
        for kind in RecordType:
            header = ws_header(kind)
            self.assertEqual(split_ws_record(header + body), (kind, header, body))

    def test_empty(self) -> None:
        """
        An empty message has no type.
        """
        self.assertRaises(RemoteProtocolError, split_ws_record, b"")


class StatusTests(SynchronousTestCase):
    """
    Close statuses.
    """

    def test_roundTrip(self) -> None:
        """
        Each close code has a status of its own, at 4000 and up.
        """
        for code in CloseCode:
            self.assertEqual(close_status(code), 4000 + code)
            self.assertIs(status_close_code(4000 + code), code)

    def test_others(self) -> None:
        """
        1000 is NORMAL, other statuses of RFC 6455 and none are no reason, unknown
        private ones are INTERNAL.
        """
        self.assertIs(status_close_code(1000), CloseCode.NORMAL)
        for status in (None, 1001, 1005, 1006, 1011, 3000, 3999):
            self.assertIsNone(status_close_code(status))
        for status in (4200, 4256, 4999, 65535):
            self.assertIs(status_close_code(status), CloseCode.INTERNAL)
