"""
Tests of how a UDP connection of the client ends, and of what comes after.
"""

from diarkis_tw.client import Client, ClientState, LocalProtocolError
from diarkis_tw.client.udp import LINGER, UdpTransport
from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp import connection as rudp_connection
from diarkis_tw.rudp.connection import NUMBER_LAST, State
from diarkis_tw.testing.loopback_udp import RoughPath
from diarkis_tw.wire.message import Request
from tests.client.scripted import silent
from tests.client.scripted_udp import UdpClientCase, bytes_from

MENDED = [CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.HANDSHAKE]


class CloseTests(UdpClientCase):
    def test_leaves(self):
        """close says fin, and the server's CLOSE ends it at once, with nothing left."""
        client = self.connect()
        closing = client.close()
        self.reactor.pump()
        self.successResultOf(closing)
        self.assertEqual([cmd for _, cmd, *_ in self.server.end.messages], [0])
        self.assertEqual((self.events, client.state), ([CloseCode.NORMAL], ClientState.CLOSED))
        self.assertEqual(self.server.end.connection.state, State.CLOSED)
        self.assertNothingLeft()

    def test_waits_for_reliable(self):
        """close waits until everything reliable has arrived, on every channel."""
        self.reactor.hops.append(RoughPath(1, delay=0.02))
        connecting = self.begin()
        self.reactor.advance(0.3)
        client = self.watch(self.successResultOf(connecting))
        lossy = RoughPath(5, loss=0.5)
        self.reactor.hops.append(lossy)
        for channel in range(8):
            for number in range(5):
                client.send(2, 9, b"%d %d" % (channel, number), channel=channel)
        closing = client.close()
        self.reactor.advance(2)
        self.reactor.hops.clear()
        self.reactor.advance(3)
        self.successResultOf(closing)
        self.assertEqual(len([m for m in self.server.end.messages if m[0] == 2]), 40)
        self.assertGreater(lossy.lost, 3)

    def test_two_seconds_at_most(self):
        """close waits 2 s for what is reliable, then says CLOSE three times, and is gone."""
        client = self.connect()
        self.server.known.clear()
        client.send(2, 9, b"x")
        closing = client.close()
        self.reactor.advance(1.9)
        self.assertNoResult(closing)
        sent = len(self.from_client())
        self.reactor.advance(0.11)
        self.assertGreater(len(self.from_client()), sent)
        self.reactor.advance(0.5)
        self.successResultOf(closing)
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertNothingLeft()

    def test_said_three_times(self):
        """A CLOSE that is not answered is said three times, a time-out apart."""
        transport = self.opened()
        self.reactor.advance(1)
        self.server.known.clear()
        gone = transport.close(CloseCode.KICKED)
        self.reactor.advance(1)
        self.successResultOf(gone)
        times = [time for time, _ in self.server.unknown]
        self.assertEqual(len(times), 3)
        self.assertAlmostEqual(times[1] - times[0], times[2] - times[1], places=6)
        self.assertNothingLeft()

    def test_answered(self):
        """A CLOSE that is answered is said once."""
        transport = self.opened()
        gone = transport.close(CloseCode.KICKED)
        self.reactor.pump()
        self.successResultOf(gone)
        self.assertEqual(self.server.end.connection.code, CloseCode.KICKED)
        self.assertEqual(self.told.log, ["connected"])
        self.assertNothingLeft()

    def test_slow_path(self):
        """However slow a server has promised to be, the end takes 2 s."""
        self.server.terms = {"ack_delay": 60_000, "retry_interval": 60_000}
        transport = self.opened()
        self.server.known.clear()
        gone = transport.close(CloseCode.NORMAL)
        self.reactor.advance(LINGER - 0.1)
        self.assertNoResult(gone)
        self.reactor.advance(0.2)
        self.successResultOf(gone)
        self.assertNothingLeft()

    def test_twice(self):
        """close may be called again, in every state."""
        transport = self.opened()
        self.server.known.clear()
        first, second = transport.close(CloseCode.NORMAL), transport.close(CloseCode.NORMAL)
        self.reactor.advance(1)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(transport.close(CloseCode.NORMAL))
        self.assertFalse(transport.send(Request(2, 9, 0, b""), True))

    def test_before_accept(self):
        """close in the handshake leaves nothing, and tells nobody."""
        self.server.greet = silent
        transport = self.transport()
        self.reactor.pump()
        gone = transport.close(CloseCode.NORMAL)
        self.reactor.pump()
        self.successResultOf(gone)
        self.reactor.advance(10)
        self.assertEqual((self.told.log, len(self.server.hellos)), ([], 1))
        self.assertNothingLeft()

    def test_nothing_after(self):
        """After close no message is delivered."""
        transport = self.opened()
        end = self.server.end
        self.server.known.clear()
        transport.close(CloseCode.NORMAL)
        end.push(2, 11, b"late")
        self.reactor.advance(1)
        self.assertEqual(self.told.messages, [])


class ServerClosesTests(UdpClientCase):
    def test_answers(self):
        """A CLOSE is answered once with the same code, and reported."""
        client = self.connect(reconnect_for=0)
        self.server.end.close(CloseCode.KICKED, "for cheating")
        self.reactor.pump()
        self.assertEqual((self.events, client.state), ([CloseCode.KICKED], ClientState.CLOSED))
        self.assertEqual(self.server.end.connection.state, State.CLOSED)
        self.assertNothingLeft()

    def test_answered_once(self):
        """A CLOSE that comes again finds nobody."""
        self.connect()
        end = self.server.end
        end.write(end.seal(b"\3\7"))
        end.write(end.seal(b"\3\7"))
        before = len(end.datagrams)
        self.reactor.advance(1)
        self.assertEqual(len(end.datagrams), before + 1)

    def test_reason(self):
        """The reason of a CLOSE is part of what a request in flight fails with."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10)
        self.reactor.pump()
        self.server.end.close(CloseCode.KICKED, "for cheating")
        self.reactor.pump()
        self.assertIn("for cheating", str(self.failureResultOf(answer).value))

    def test_what_came_before(self):
        """Messages before CLOSE in the same datagram are delivered first."""
        client = self.connect()
        got = []
        client.on_push(2, 11, got.append)
        now = self.server.now()
        frame = b"\x21\0\5" + b"\2\0\x0b\xff!"
        self.server.end.write(self.server.end.seal(frame + b"\3\7"))
        self.reactor.pump()
        self.assertEqual((got, self.events), ([b"!"], [CloseCode.KICKED]))
        self.assertEqual(now, self.server.now())

    def test_codes_that_reconnect(self):
        """TIMEOUT, REKEY and HANDSHAKE lead to a new connection from another port."""
        for code in MENDED:
            self.setUp()
            client = self.connect()
            self.server.end.close(code)
            self.reactor.advance(0.3)
            self.assertEqual(self.events, ["reconnecting", "reconnected"])
            first, second = self.server.ends
            self.assertEqual(first.hello.sid, second.hello.sid)
            self.assertNotEqual(first.hello.client_nonce, second.hello.client_nonce)
            self.assertNotEqual(first.address, second.address)
            self.assertEqual(client.state, ClientState.CONNECTED)

    def test_codes_that_do_not(self):
        """Every other code is the end, reported once."""
        for code in CloseCode:
            if code in MENDED:
                continue
            self.setUp()
            self.connect()
            self.server.end.close(code)
            self.reactor.advance(60)
            self.assertEqual(self.events, [code])
            self.assertEqual(len(self.server.ends), 1)
            self.assertNothingLeft()


class RekeyTests(UdpClientCase):
    def test_by_client(self):
        """A client that used up its packet numbers says REKEY and connects again."""
        client = self.connect()
        client._transport._connection._sent.next_number = NUMBER_LAST
        answer = client.request(2, 10, b"x")
        self.reactor.advance(1)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(len(self.server.ends), 2)
        answer.addErrback(lambda failure: None)
        again = client.request(2, 10, b"y")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(again), b"y")

    def test_closes_stay_below_limit(self):
        """The CLOSEs that say REKEY still have legal packet numbers."""
        self.assertLess(NUMBER_LAST + rudp_connection.CLOSES, rudp_connection.DATAGRAM_NUMBER_LIMIT)


class LostTests(UdpClientCase):
    def test_black_hole(self):
        """Unacknowledged for maxRetry times retryInterval, the client reconnects."""
        client = self.connect()
        self.reactor.hops.append(lambda datagram: ())
        client.send(2, 9, b"x")
        self.reactor.advance(9.9)
        self.assertEqual(self.events, [])
        self.reactor.advance(0.2)
        self.assertEqual(self.events, ["reconnecting"])
        self.reactor.hops.clear()
        self.reactor.advance(4)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])

    def test_short_black_hole(self):
        """One of 8 s is survived, and nothing reliable is lost."""
        client = self.connect()
        self.reactor.hops.append(lambda datagram: ())
        for number in range(20):
            client.send(2, 9, b"%d" % number)
            self.reactor.advance(0.4)
        self.reactor.hops.clear()
        self.reactor.advance(3)
        self.assertEqual(self.events, [])
        self.assertEqual(self.server.end.payloads(), [b"%d" % n for n in range(20)])

    def test_waiting_messages(self):
        """Reliable messages sent while reconnecting arrive afterwards."""
        client = self.connect()
        self.server.end.close(CloseCode.TIMEOUT)
        self.reactor.pump()
        self.assertTrue(client.send(2, 9, b"a", channel=3))
        self.assertTrue(client.send(2, 9, b"b"))
        self.assertFalse(client.send(2, 9, b"c", reliable=False))
        self.assertRaises(LocalProtocolError, client.send, 2, 9, b"d", channel=8)
        self.reactor.advance(0.3)
        self.assertEqual(sorted(self.server.end.payloads()), [b"a", b"b"])

    def test_waiting_channels(self):
        """What waited is sent on the channel that it was meant for."""
        sent = []

        class Recording(UdpTransport):
            def send(self, request, reliable, channel=0):
                sent.append((request.payload, channel))
                return super().send(request, reliable, channel)

        client = Client(
            self.endpoint(),
            "alice",
            clock=self.reactor,
            make_transport=lambda type: Recording(self.reactor, self.reactor, bytes_from(0)),
        )
        opening = client.open()
        self.reactor.pump()
        self.successResultOf(opening)
        self.server.end.close(CloseCode.TIMEOUT)
        self.reactor.pump()
        client.send(2, 9, b"a", channel=3)
        client.send(2, 9, b"b")
        self.reactor.advance(0.3)
        self.assertEqual(sent[-2:], [(b"a", 3), (b"b", 0)])

    def test_gives_up(self):
        """After 30 seconds without a server the client gives up, and nothing is left."""
        self.connect()
        self.server.end.close(CloseCode.TIMEOUT)
        self.server.greet = silent
        self.reactor.advance(31)
        self.assertEqual(self.events, ["reconnecting", CloseCode.TIMEOUT])
        self.assertNothingLeft()
