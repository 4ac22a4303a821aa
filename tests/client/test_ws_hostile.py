"""
Tests of the client over WebSocket on slow networks and with hostile servers.
"""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from diarkis_tw.client import (
    Disconnected,
)
from diarkis_tw.client.stream import RECEIVE_MAX_BYTES, UNSENT_MAX_BYTES
from diarkis_tw.constants import CloseCode
from tests.client.scripted import silent
from tests.client.scripted_ws import Fixed, WsCase

KEYS = ("time", "rtt", "state", "address", "endpoint", "type", "base64", "code", "message")

PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {"ver": st.sampled_from((0, 0.0, 2)), "cmd": st.sampled_from((0, 1, 2, 3, 6, 10))},
    optional={
        "payload": PAYLOADS,
        "push": st.just(True),
        "status": st.sampled_from((1, 4, 5)),
        "id": st.integers(1, 3),
    },
).map(lambda message: json.dumps(message).encode())


class BothKinds:
    """
    What does not depend on the subprotocol.
    """

    def assertEnded(self, code):
        self.reactor.advance(3)
        self.assertEqual(self.events, [code])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_unreliable_dropped(self):
        """While the network takes nothing, unreliable messages are dropped."""
        client = self.connect()
        self.link.server.stalled = True
        self.assertTrue(client.send(2, 9, bytes(70_000), reliable=False))
        self.assertFalse(client.send(2, 9, b"", reliable=False))
        self.assertTrue(client.send(2, 9, b""))

    def test_reliable_bounded(self):
        """Reliable messages are refused once too much waits, and sent again afterwards."""
        client = self.connect()
        self.link.server.stalled = True
        sent = sum(client.send(2, 9, bytes(10_000)) for _ in range(300))
        self.assertLess(sent, 300)
        self.assertLess(self.link.client.buffered, UNSENT_MAX_BYTES + 200_000)
        self.link.server.stalled = False
        self.reactor.pump()
        self.assertTrue(client.send(2, 9, b"", reliable=False))

    def test_pings(self):
        """A ping is answered, and not while the network takes nothing."""
        client = self.connect()
        self.server.end.sendPing(b"hello")
        self.reactor.pump()
        self.assertEqual(self.server.end.pongs, [b"hello"])
        self.link.server.stalled = True
        client.send(2, 9, bytes(200_000))
        self.reactor.pump()
        before = self.link.client.buffered
        for _ in range(1000):
            self.server.end.sendPing(b"x" * 125)
        self.reactor.pump()
        self.assertEqual(self.link.client.buffered, before)

    def test_too_large(self):
        """A message beyond the limit ends the client with TOO_LARGE."""
        self.connect()
        self.server.end.sendMessage(b"x" * (RECEIVE_MAX_BYTES + 65), self.is_binary)
        self.assertEnded(CloseCode.TOO_LARGE)

    def test_other_kind(self):
        """Text on the binary subprotocol, and the reverse, end the client with PROTOCOL."""
        self.connect()
        self.server.end.sendMessage(b"{}", not self.is_binary)
        self.assertEnded(CloseCode.PROTOCOL)

    def test_garbage(self):
        """A message that is none ends the client with PROTOCOL, and the server is told."""
        for message in (b"", b"{}", b"[1]", b'{"ver": 2', b"\x10", b"\x7fabc", b"null"):
            self.events.clear()
            self.connect()
            self.server.end.sendMessage(message, self.is_binary)
            self.reactor.pump()
            self.assertEqual(self.server.end.statuses, [4000 + CloseCode.PROTOCOL])
            self.assertEnded(CloseCode.PROTOCOL)

    def test_bad_frames(self):
        """Frames against the rules of WebSocket end the client with PROTOCOL."""
        for frame in (
            b"\x83\x00",  # an opcode that does not exist
            b"\xc1\x00",  # a reserved bit
            b"\x09\x00",  # a control frame in pieces
            b"\x89\x7e\x00\x80" + bytes(128),  # a control frame too long
            b"\x80\x00",  # a continuation of nothing
            b"\x81\x81abcdx",  # masked, by a server
            b"\x88\x01x",  # half a close status
            b"\x88\x02\x00\x01",  # a close status that does not exist
            b"\x81\x01\xff",  # a text that is no UTF-8
        ):
            self.events.clear()
            self.connect()
            self.server.end.transport.write(frame)
            self.assertEnded(CloseCode.PROTOCOL)

    def test_nothing_after_end(self):
        """What follows the message that ended the client is not looked at."""
        client = self.connect()
        pushes = []
        client.on_any_push(pushes.append)
        self.server.end.sendMessage(b"", self.is_binary)
        self.server.end.push(2, 11, b"x")
        self.assertEnded(CloseCode.PROTOCOL)
        self.assertEqual(pushes, [])


class JsonTests(BothKinds, WsCase):
    """
    JSON texts.
    """

    def test_bad_keep_alive(self):
        """A keep-alive answer that is none ends the client with PROTOCOL."""
        for payload in (
            {},
            {"time": 1},
            {"time": "1", "state": 1},
            {"time": -1, "state": 1},
            {"time": 1, "state": 4},
            {"time": 1, "state": 1, "address": 5},
        ):
            self.events.clear()
            self.connect()
            self.server.end.respond(0, 1, 0, payload)
            self.assertEnded(CloseCode.PROTOCOL)

    def test_binary_json(self):
        """JSON that is no text ends the client with PROTOCOL."""
        client = self.connect()
        pushes = []
        client.on_any_push(pushes.append)
        self.server.end.sendMessage(b'{"ver": 2, "cmd": 11, "push": true}', True)
        self.assertEnded(CloseCode.PROTOCOL)
        self.assertEqual(pushes, [])

    def test_ready_twice(self):
        """A second ready ends the client with PROTOCOL."""
        self.connect()
        self.server.end.accept()
        self.assertEnded(CloseCode.PROTOCOL)


class BinaryTests(BothKinds, WsCase):
    """
    Sealed records.
    """

    is_binary = True

    def test_replay(self):
        """A record that comes twice ends the client with PROTOCOL."""
        self.connect()
        record = self.server.end.sealed(0x10, b"\x02\x00\x0b\xffx")
        self.server.end.put(record)
        self.server.end.put(record)
        self.assertEnded(CloseCode.PROTOCOL)


class AnyBytesTests(WsCase):
    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.binary(max_size=200), max_size=5),
        st.booleans(),
        st.sampled_from(("", "up", "on")),
    )
    def test_any_bytes(self, chunks, is_binary, stage):
        """Whatever a server sends, at any stage, the client ends or waits; it never raises."""
        self.is_binary = is_binary
        self.setUp()
        if stage == "":
            self.server.buildProtocol = lambda addr: Fixed(b"".join(chunks))
        elif stage == "up":
            self.server.greet = silent
        connecting = self.begin(reconnect_for=0)
        self.reactor.pump()
        if stage:
            for chunk in chunks:
                self.server.end.transport.write(chunk)
        self.reactor.advance(30)
        if stage == "on":
            self.successResultOf(connecting).close()
            self.reactor.advance(5)
        else:
            self.refused(connecting, Disconnected)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    @settings(max_examples=80, deadline=None)
    @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | MESSAGES)
    def test_any_text(self, text):
        """Whatever a text says, the client goes on or ends with PROTOCOL or what it says."""
        self.setUp()
        client = self.connect()
        self.server.end.sendMessage(text, False)
        self.reactor.advance(1)
        client.close()
        self.reactor.advance(5)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
