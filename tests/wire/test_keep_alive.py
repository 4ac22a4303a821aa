"""
Tests of L{diarkis_tw.wire.keep_alive}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.keep_alive import (
    decode_keep_alive_request,
    decode_keep_alive_response,
    encode_keep_alive_request,
    encode_keep_alive_response,
    keep_alive_request_value,
    read_keep_alive_response,
)
from tests.strategies import payloads, sized, u64

states = st.sampled_from((1, 2, 3))


class RequestTests(SynchronousTestCase):
    """
    What a client asks.
    """

    @given(u64, st.none() | st.integers(0, 65534))
    def test_roundTrip(self, time: int, rtt: int | None) -> None:
        """
        What was written is read.
        """
        payload = encode_keep_alive_request(time, rtt)
        self.assertEqual(len(payload), 10)
        self.assertEqual(decode_keep_alive_request(payload), (time, rtt))

    @given(st.binary(max_size=20) | sized(10))
    def test_anyBytesRaise(self, payload: bytes) -> None:
        """
        Any ten bytes are read, others refused.
        """
        if len(payload) == 10:
            decode_keep_alive_request(payload)
        else:
            self.assertRaises(RemoteProtocolError, decode_keep_alive_request, payload)

    def test_longRoundTrip(self) -> None:
        """
        A round trip too long for its field is written as the longest, not as none.
        """
        for rtt, read in ((65533, 65533), (65534, 65534), (65535, 65534), (10**9, 65534)):
            self.assertEqual(
                decode_keep_alive_request(encode_keep_alive_request(0, rtt)), (0, read)
            )

    def test_rangeUnchecked(self) -> None:
        """
        A time beyond 64 bits or before zero, or a negative round trip, is refused.
        """
        for time, rtt in ((2**64, 0), (-1, 0), (0, -1)):
            self.assertRaises(LocalProtocolError, encode_keep_alive_request, time, rtt)


class ResponseTests(SynchronousTestCase):
    """
    What the server answers.
    """

    @given(u64, states, st.text(max_size=60))
    def test_roundTrip(self, time: int, state: int, address: str) -> None:
        """
        What was written is read.
        """
        payload = encode_keep_alive_response(time, state, address)
        self.assertEqual(decode_keep_alive_response(payload), (time, state, address))

    @given(payloads | st.builds(lambda a, b, c: a + bytes((b,)) + c, sized(8), states, payloads))
    def test_anyBytesRaise(self, payload: bytes) -> None:
        """
        Any bytes are read as what is written the same, or refused.
        """
        try:
            found = decode_keep_alive_response(payload)
        except RemoteProtocolError:
            return
        self.assertEqual(encode_keep_alive_response(*found), payload)

    def test_stateUnchecked(self) -> None:
        """
        States 1, 2 and 3 are read and written, others refused.
        """
        for state in range(256):
            payload = bytes((*bytes(8), state))
            if state in (1, 2, 3):
                self.assertEqual(encode_keep_alive_response(0, state, ""), payload)
                self.assertEqual(decode_keep_alive_response(payload), (0, state, ""))
            else:
                self.assertRaises(LocalProtocolError, encode_keep_alive_response, 0, state, "")
                self.assertRaises(RemoteProtocolError, decode_keep_alive_response, payload)

    def test_sizeOffByOne(self) -> None:
        """
        Nine bytes are read, eight refused.
        """
        self.assertEqual(decode_keep_alive_response(bytes(8) + b"\x01"), (0, 1, ""))
        self.assertRaises(RemoteProtocolError, decode_keep_alive_response, bytes(8))

    def test_rangeUnchecked(self) -> None:
        """
        A time out of range or an address that is no Unicode is refused.
        """
        for time, address in ((2**64, ""), (-1, ""), (0, "\ud800")):
            self.assertRaises(LocalProtocolError, encode_keep_alive_response, time, 1, address)


class ValueTests(SynchronousTestCase):
    """
    Keep-alives over a transport of texts, as the client has them.
    """

    def test_request(self) -> None:
        """
        What is asked has both numbers, no round trip being 65535 and a long one cut.
        """
        for rtt, written in ((None, 65535), (0, 0), (70_000, 65534)):
            self.assertEqual(keep_alive_request_value(5, rtt), {"time": 5, "rtt": written})

    def test_response(self) -> None:
        """
        What is answered is read, numbers as floats and without an address too.
        """
        for value, found in (
            ({"time": 5, "state": 1}, (5, 1, "")),
            ({"time": 5.0, "state": 3.0, "address": "1.2.3.4:5"}, (5, 3, "1.2.3.4:5")),
        ):
            self.assertEqual(read_keep_alive_response(value), found)

    def test_refused(self) -> None:
        """
        Anything else is refused.
        """
        for value in (
            {},
            {"time": 5},
            {"state": 1},
            {"time": -1, "state": 1},
            {"time": 2**64, "state": 1},
            {"time": float("inf"), "state": 1},
            {"time": float("nan"), "state": 1},
            {"time": 5, "state": 0},
            {"time": 5, "state": 1.5},
            {"time": 5, "state": [1]},
            {"time": 5, "state": 1, "address": None},
        ):
            self.assertRaises(RemoteProtocolError, read_keep_alive_response, value)
