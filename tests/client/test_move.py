"""
Tests of the push that sends a client to another server.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import ClientState, RemoteProtocolError, ServerType
from diarkis_tw.client.move import moved_endpoint
from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.value import encode_value
from tests.client.scripted import ClientCase, ScriptedServer, silent


class MoveTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.other = ScriptedServer()
        self.other_port = self.reactor.listenTCP(0, self.other, interface="127.0.0.1")
        self.number = self.other_port.getHost().port

    def move(self, **changes):
        value = {"endpoint": f"127.0.0.1:{self.number}", "type": "TCP", **changes}
        self.server.end.push(0, 2, encode_value(value))
        self.reactor.pump()

    def test_move(self):
        """The client goes where the push says, with the same session, and talks there."""
        client = self.connect()
        pushes = []
        client.on_any_push(pushes.append)
        self.move()
        self.assertEqual(self.events, ["reconnecting"])
        self.reactor.advance(0.2)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(client.endpoint.port, self.number)
        self.assertEqual(self.server.end.closed_with, [CloseCode.MOVED])
        self.assertTrue(self.other.end.hello_is_good)
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(len(self.other.end.messages), 1)
        self.assertEqual(pushes, [])

    def test_meanwhile(self):
        """What is sent on the way arrives there."""
        client = self.connect()
        self.move()
        client.send(2, 9, b"late")
        self.reactor.advance(0.2)
        self.assertEqual(self.other.end.messages, [(2, 9, 0, b"late")])

    def test_close_follows(self):
        """A CLOSE with MOVED behind the push changes nothing."""
        client = self.connect()
        value = {"endpoint": f"127.0.0.1:{self.number}", "type": "TCP"}
        self.server.end.push(0, 2, encode_value(value))
        self.server.end.close(CloseCode.MOVED)
        self.reactor.advance(0.2)
        self.assertEqual((client.state, len(self.other.ends)), (ClientState.CONNECTED, 1))

    def test_lost_there(self):
        """A connection lost later is looked for at the new place."""
        self.connect()
        self.move()
        self.reactor.advance(0.2)
        self.link.cut()
        self.reactor.advance(0.3)
        self.assertEqual((len(self.server.ends), len(self.other.ends)), (1, 2))

    def test_nobody_there(self):
        """Where nobody listens the client looks for as long as after any loss."""
        self.other_port.stopListening()
        self.connect(reconnect_for=3)
        self.move()
        self.reactor.advance(3.1)
        self.assertEqual(self.events, ["reconnecting", CloseCode.TIMEOUT])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_wanted(self):
        """A client that does not reconnect ends with MOVED."""
        self.connect(reconnect_for=0)
        self.move()
        self.assertEqual(self.events, [CloseCode.MOVED])
        self.assertEqual(self.other.ends, [])

    def test_while_closing(self):
        """A client that is leaving is not moved any more."""
        client = self.connect()
        self.server.message = silent
        closing = client.close()
        self.move()
        self.reactor.advance(5)
        self.successResultOf(closing)
        self.assertEqual((self.events, self.other.ends), ([CloseCode.NORMAL], []))

    def test_bad_push(self):
        """A push that does not say where to ends the client with PROTOCOL."""
        for payload in (b"", b"\xff", encode_value({}), encode_value({"endpoint": "x:1"})):
            self.events.clear()
            self.connect()
            self.server.end.push(0, 2, payload)
            self.reactor.pump()
            self.assertEqual(self.events, [CloseCode.PROTOCOL])


class MovedEndpointTests(SynchronousTestCase):
    def setUp(self):
        case = ClientCase()
        case.setUp()
        self.endpoint = case.endpoint()

    def test_where(self):
        """Host, port and kind are the push's, all else stays."""
        for address, host, port in (
            ("a.example:7200", "a.example", 7200),
            ("[::1]:1", "::1", 1),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
        ):
            found = moved_endpoint(self.endpoint, {"endpoint": address, "type": "UDP"})
            self.assertEqual((found.host, found.port), (host, port))
            self.assertEqual(found.server_type, ServerType.UDP)
            self.assertEqual(found.keys, self.endpoint.keys)

    def test_refused(self):
        """Addresses and kinds that cannot be are refused."""
        for address in ("", ":1", "a", "a:", "a:0", "a:65536", "a:x", "a:-1", "a:\xb2", 7, None):
            with self.assertRaises(RemoteProtocolError):
                moved_endpoint(self.endpoint, {"endpoint": address, "type": "TCP"})
        for type in ("", "tcp", "Arena", 1, None, []):
            with self.assertRaises(RemoteProtocolError):
                moved_endpoint(self.endpoint, {"endpoint": "a:1", "type": type})
        with self.assertRaises(RemoteProtocolError):
            moved_endpoint(self.endpoint, {"endpoint": "a" * 256 + ":1", "type": "TCP"})
