"""
Tests of an open UDP connection of the client: messages, time, keep-alive, and what a
hostile server can do.
"""

import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import MessageLengthError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from diarkis_tw.client import ClientState, Disconnected, LocalProtocolError, RequestTimeout
from diarkis_tw.client.keep_alive import KeepAlive
from diarkis_tw.client.udp import MESSAGE_MAX_BYTES, UdpTransport
from diarkis_tw.constants import CloseCode
from diarkis_tw.net.datagram_socket import READ_MOST
from diarkis_tw.testing.loopback_udp import Nat, RoughPath
from diarkis_tw.wire.frame import MESSAGE, PATH_CHALLENGE, PING, RELIABLE
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keep_alive import encode_keep_alive_response
from diarkis_tw.wire.message import Request, encode_push
from tests.client.scripted import silent
from tests.client.scripted_udp import PORT, UdpClientCase, bytes_from


class MessageTests(UdpClientCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def test_request(self):
        """A request gives its answer; it is reliable unless told otherwise."""
        for reliable in (True, False):
            answer = self.client.request(2, 10, b"x", reliable=reliable)
            self.reactor.pump()
            self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(self.server.end.reliable, [True, False])

    def test_send(self):
        """send is reliable unless told otherwise."""
        self.client.send(2, 9, b"a")
        self.client.send(2, 9, b"b", reliable=False)
        self.reactor.pump()
        found = dict(zip(self.server.end.payloads(), self.server.end.reliable, strict=True))
        self.assertEqual(found, {b"a": True, b"b": False})

    def test_large(self):
        """A reliable message of many packets arrives in one piece, both ways."""
        payload = bytes(range(256)) * 256
        answer = self.client.request(2, 10, payload)
        self.reactor.advance(3)
        self.assertEqual(self.successResultOf(answer), payload)

    def test_too_large(self):
        """What no server can take, or no packet, is refused with a sentence and not sent."""
        big = bytes(MESSAGE_MAX_BYTES + 10)
        for payload, options in ((big, {}), (bytes(1200), {"reliable": False})):
            error = self.refused(self.client.request(2, 10, payload, **options), LocalProtocolError)
            self.assertIn("at most" if options else "limit", str(error))
            self.assertRaises(LocalProtocolError, self.client.send, 2, 10, payload, **options)
        self.reactor.pump()
        self.assertEqual(self.server.end.messages, [])
        self.assertEqual(self.client.state, ClientState.CONNECTED)

    def test_largest_unreliable(self):
        """The largest unreliable payload is 1128 bytes at an MTU of 1200."""
        self.assertTrue(self.client.send(2, 9, bytes(1128), reliable=False))
        self.reactor.pump()
        self.assertEqual(len(self.server.end.payloads()[0]), 1128)

    def test_unreliable_lost(self):
        """A lost unreliable request is not sent again, and ends at its time-out."""
        self.reactor.hops.append(lambda datagram: ())
        answer = self.client.request(2, 10, b"x", 1.0, reliable=False)
        self.reactor.pump()
        self.reactor.hops.clear()
        self.reactor.advance(1.1)
        self.refused(answer, RequestTimeout)
        self.assertEqual(self.server.end.messages, [])

    def test_reliable_lost(self):
        """A lost reliable request is sent again."""
        self.reactor.hops.append(lambda datagram: ())
        answer = self.client.request(2, 10, b"x")
        self.reactor.pump()
        self.reactor.hops.clear()
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(answer), b"x")

    def test_channels(self):
        """A message that is lost holds up its own channel only."""
        self.reactor.hops.append(lambda datagram: ())
        self.client.send(2, 9, b"first of 1", channel=1)
        self.reactor.pump()
        self.reactor.hops.clear()
        self.client.send(2, 9, b"second of 1", channel=1)
        self.client.send(2, 9, b"first of 2", channel=2)
        self.reactor.pump()
        self.assertEqual(self.server.end.payloads(), [b"first of 2"])
        self.reactor.advance(1)
        self.assertEqual(self.server.end.payloads(), [b"first of 2", b"first of 1", b"second of 1"])

    def test_no_such_channel(self):
        """There are eight channels."""
        for channel in (-1, 8):
            self.assertRaises(LocalProtocolError, self.client.send, 2, 9, b"", channel=channel)

    def test_coalesced(self):
        """What is sent in one turn of the reactor leaves in as few datagrams as hold it."""
        before = len(self.server.end.datagrams)
        for number in range(100):
            self.client.send(2, 9, b"%3d" % number, reliable=number % 2 == 0)
        self.assertEqual(len(self.server.end.datagrams), before)
        self.reactor.pump()
        self.assertEqual(len(self.server.end.messages), 100)
        self.assertEqual(len(self.server.end.datagrams), before + 2)

    def test_pushes(self):
        """Pushes come in order, whatever they are."""
        got = []
        self.client.on_push(2, 11, got.append)
        for number in range(3):
            self.server.end.push(2, 11, b"%d" % number)
        self.server.end.push(2, 11, b"unreliable", reliable=False)
        self.reactor.pump()
        self.assertEqual(got, [b"0", b"1", b"2", b"unreliable"])

    def test_refused_when_full(self):
        """When too much waits, reliable sends say False and requests fail at once."""
        self.reactor.hops.append(lambda datagram: ())
        sent = 0
        while self.client.send(2, 9, bytes(100_000)):
            sent += 1
        self.assertEqual(sent, 10)
        self.refused(self.client.request(2, 10, bytes(100_000)), LocalProtocolError)
        self.assertFalse(self.client.send(2, 9, bytes(100_000)))

    def test_rough_path(self):
        """Over a path that loses, doubles, reorders and corrupts, all reliable arrives once."""
        self.reactor.hops.append(
            RoughPath(7, delay=0.03, loss=0.2, duplication=0.1, reordering=0.1, corruption=0.05)
        )
        got = []
        self.client.on_response(lambda response: got.append(response.payload))
        want = [b"%d" % number for number in range(300)]
        for payload in want:
            self.client.send(2, 10, payload)
            self.reactor.advance(0.02)
        self.reactor.advance(10)
        self.assertEqual(self.server.end.payloads(), want)
        self.assertEqual(got, want)
        self.assertEqual(self.events, [])

    def test_nat_rebinding(self):
        """A new address in the middle of a connection loses nothing."""
        nat = Nat(("127.0.0.1", PORT))
        self.reactor.hops.append(nat)
        want = [b"%d" % number for number in range(50)]
        for number, payload in enumerate(want):
            if number % 10 == 5:
                nat.rebind()
            self.client.send(2, 10, payload)
            self.reactor.advance(0.1)
        self.reactor.advance(2)
        self.assertEqual(self.server.end.payloads(), want)

    def test_path_challenge(self):
        """A PATH_CHALLENGE is answered at once with its eight bytes."""
        end = self.server.end
        end.write(end.seal(bytes((PATH_CHALLENGE,)) + b"8 bytes!"))
        self.reactor.pump()
        self.assertEqual(end.connection.path_response, b"8 bytes!")

    def test_padded(self):
        """Every datagram of the client has 44 bytes at least, HELLO 1200."""
        self.client.send(2, 9, b"")
        self.server.end.push(2, 11, b"")
        self.reactor.advance(10)
        sizes = [len(d.data) for d in self.from_client()]
        self.assertEqual(min(sizes), 44)
        self.assertEqual(sizes[:2], [1200, 1200])


class TimeTests(UdpClientCase):
    def timers(self):
        return [c for c in self.reactor.getDelayedCalls() if "UdpTransport" in str(c.func)]

    def test_one_timer(self):
        """A connection has one timer, whatever it waits for."""
        transport = self.opened()
        for number in range(20):
            transport.send(Request(2, 9, 0, b"%d" % number), True)
            self.server.end.push(2, 11, b"x")
            self.reactor.advance(0.007)
            self.assertLessEqual(len(self.timers()), 1)

    def test_clock_set_back(self):
        """A clock that is set back stops nothing."""
        self.reactor.advance(10_000)
        client = self.connect()
        self.reactor.hops.append(lambda datagram: ())
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.reactor.rightNow -= 3600
        for call in self.reactor.calls:
            call.time -= 3600
        self.reactor.hops.clear()
        self.reactor.advance(2)
        self.assertEqual(self.successResultOf(answer), b"x")

    def test_unsent(self):
        """Datagrams that the system does not take are lost and counted, nothing more."""
        client = self.connect()
        transport = client._transport
        wire = transport._wire
        true_write = wire.write
        for error in (OSError("no buffers"), MessageLengthError("too long")):
            unsent = transport.unsent

            def write(packet, addr=None, error=error):
                raise error

            wire.write = write
            answer = client.request(2, 10, b"x")
            self.reactor.pump()
            self.assertEqual(transport.unsent, unsent + 1)
            wire.write = true_write
            self.reactor.advance(1)
            self.assertEqual(self.successResultOf(answer), b"x")

    def test_idle(self):
        """An idle client sends its keep-alive and the acks it owes, and nothing else."""
        self.connect()
        before = len(self.from_client())
        self.reactor.advance(30)
        self.assertEqual(len(self.from_client()) - before, 10)


class KeepAliveTests(UdpClientCase):
    def test_repeated(self):
        """Unanswered, the keep-alive is repeated each 500 ms, with the time of each copy."""
        self.server.answer_keep_alive = False
        self.connect()
        self.reactor.advance(4.1)
        times = [time for time, _ in self.server.end.keep_alives]
        self.assertEqual(times, [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000])

    def test_answered(self):
        """Answered, it is not repeated until the next interval."""
        self.connect()
        self.reactor.advance(7)
        times = [time for time, _ in self.server.end.keep_alives]
        self.assertEqual(times, [0, 3000, 6000])

    def test_unreliable(self):
        """It is an unreliable message."""
        self.connect()
        end = self.server.end
        self.reactor.hops.append(lambda datagram: ())
        self.reactor.advance(3.1)
        self.reactor.hops.clear()
        self.reactor.advance(0.2)
        self.assertEqual(len(end.keep_alives), 1)

    def test_any_copy_measures(self):
        """The answer to any copy measures the round trip from that copy, and ends the round."""
        self.server.answer_keep_alive = False
        client = self.connect()
        self.reactor.advance(1.2)
        self.server.end.answer_keep_alive(time=500)
        self.reactor.pump()
        self.assertAlmostEqual(client.round_trip, 0.7)
        self.server.end.answer_keep_alive(time=0)
        self.reactor.advance(1)
        self.assertAlmostEqual(client.round_trip, 0.7)
        self.assertEqual(len(self.server.end.keep_alives), 3)

    def test_lost_answers(self):
        """On a path that loses much the client stays, because it repeats."""
        client = self.connect()
        self.reactor.hops.append(RoughPath(3, delay=0.05, loss=0.4))
        self.reactor.advance(300)
        self.assertEqual((self.events, client.state), ([], ClientState.CONNECTED))

    def test_silent_server(self):
        """A server that acknowledges and does not answer is given up after connectionTTL."""
        self.connect(reconnect_for=0)
        self.server.answer_keep_alive = False
        self.server.end.connection.heard_at = 0
        self.reactor.advance(9.9)
        self.assertEqual(self.events, [])
        self.reactor.advance(3.2)
        self.assertEqual(self.events, [CloseCode.TIMEOUT])

    def test_public_address(self):
        """The client's public address is the one in the last answer, None if there is none."""
        client = self.connect()
        self.assertIsNone(client.public_address)
        self.server.public_address = "203.0.113.7:4242"
        self.reactor.advance(3)
        self.assertEqual(client.public_address, "203.0.113.7:4242")
        self.server.public_address = ""
        self.reactor.advance(3)
        self.assertIsNone(client.public_address)


class KeepAliveTimerTests(SynchronousTestCase):
    def test_slow_path(self):
        """Where the time-out is longer than 500 ms it is the pause."""
        clock = Clock()
        sent = []
        timeout = 0.8
        keep_alive = KeepAlive(
            clock, lambda time, rtt: sent.append(time), lambda silence: None, lambda: timeout
        )
        keep_alive.start(Terms(bytes(8), bytes(16), 0, 0, 0, 0, 10, 3000, 0))
        for pause in (0.79, 0.02, 0.78, 0.02):
            clock.advance(pause)
            timeout = 0.78
        self.assertEqual(sent, [0, 810, 1590])
        keep_alive.answered(encode_keep_alive_response(0, 1, ""))
        clock.advance(1)
        self.assertEqual(len(sent), 3)
        keep_alive.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stopped(self):
        """Stopped in the middle of a round it leaves no timer."""
        clock = Clock()
        keep_alive = KeepAlive(clock, lambda time, rtt: None, lambda silence: None, lambda: 0.1)
        keep_alive.start(Terms(bytes(8), bytes(16), 0, 0, 0, 0, 10, 3000, 0))
        clock.advance(0.6)
        keep_alive.stop()
        self.assertEqual(clock.getDelayedCalls(), [])


class HostileServerTests(UdpClientCase):
    """
    A server that has the keys, and means ill.
    """

    def frames(self, plaintext):
        self.setUp()
        self.connect()
        self.server.end.write(self.server.end.seal(plaintext))
        self.reactor.advance(0.1)

    def test_broken_frames(self):
        """Frames that break the protocol end the client with PROTOCOL, said to the server."""
        for plaintext in (
            b"\x06",
            b"\x7f",
            b"\xff",
            b"\x21\xff\xff",
            b"\x04short",
            b"\x02\0\x63\0\0",
            bytes((RELIABLE | 0x18,)) + b"\x01\x00" + b"beyond the window",
            bytes((RELIABLE | 0x08,)) + b"\x00\x00" + b"a last one without a first",
        ):
            self.frames(plaintext)
            self.assertEqual(self.events, [CloseCode.PROTOCOL], plaintext)
            self.assertEqual(self.server.end.connection.code, CloseCode.PROTOCOL)

    def test_broken_messages(self):
        """Messages that break the protocol end the client with PROTOCOL."""
        for message in (b"", b"\2\0\xa0", b"\2\0\xa0\2\0\1", b"\0\0\1\1\0\0short"):
            self.frames(bytes((MESSAGE,)) + message)
            self.assertEqual(self.events, [CloseCode.PROTOCOL], message)
            self.assertEqual(self.server.end.connection.code, CloseCode.PROTOCOL)

    def test_frames_before(self):
        """What stands before a bad frame takes effect."""
        self.setUp()
        client = self.connect()
        got = []
        client.on_push(2, 11, got.append)
        push = encode_push(2, 11, b"good")
        frame = b"\x21" + len(push).to_bytes(2) + push
        self.server.end.write(self.server.end.seal(frame + b"\x06"))
        self.reactor.pump()
        self.assertEqual((got, self.events), ([b"good"], [CloseCode.PROTOCOL]))

    def test_endless_message(self):
        """A message that never ends is refused once it is too long, TOO_LARGE."""
        self.connect()
        end = self.server.end
        for seq in range(600):
            kind = RELIABLE | (0x10 if seq == 0 else 0)
            end.write(end.seal(bytes((kind,)) + seq.to_bytes(2) + bytes(1100)))
            self.reactor.pump()
        self.assertEqual(self.events, [CloseCode.TOO_LARGE])

    def test_widest_gaps(self):
        """A server that leaves gaps in every channel makes the client hold a bounded amount."""
        client = self.connect()
        end = self.server.end
        budget = client._transport._connection._incoming._budget
        for seq in range(1, 256):
            for channel in range(8):
                kind = RELIABLE | 0x18 | channel
                end.write(end.seal(bytes((kind,)) + seq.to_bytes(2) + bytes(1100)))
            self.reactor.pump()
        self.assertGreater(budget.used, 0)
        self.assertLess(budget.used, 8 * 255 * 1400)
        self.assertEqual(self.events, [])

    def test_flood_of_pings(self):
        """A thousand PINGs in one turn are answered with one datagram."""
        self.connect()
        end = self.server.end
        before = len(end.datagrams)
        for _ in range(1000):
            end.write(end.seal(bytes((PING,))))
        self.reactor.pump()
        self.assertEqual(len(end.datagrams), before + 1)

    def test_longer_than_granted(self):
        """What is longer than the MTU that the server granted is not looked at."""
        self.server.terms = {"mtu": 600}
        client = self.connect()
        got = []
        client.on_any_push(got.append)
        for size in (601, 600):
            payload = bytes(size - 3 - 16 - 1 - 4)
            datagram = self.server.end.seal(bytes((MESSAGE,)) + encode_push(2, 11, payload))
            self.assertEqual(len(datagram), size)
            self.server.end.write(datagram)
        self.reactor.pump()
        self.assertEqual(len(got), 1)

    def test_replayed(self):
        """Replayed datagrams deliver nothing a second time."""
        client = self.connect()
        got = []
        client.on_any_push(got.append)
        for number in range(5):
            self.server.end.push(2, 11, b"%d" % number, reliable=number % 2 == 0)
        self.reactor.pump()
        recorded = [d.data for d in self.reactor.sent if d.source[1] == PORT]
        for datagram in recorded * 2:
            self.to_client(datagram)
        self.reactor.advance(1)
        self.assertEqual(len(got), 5)
        self.assertEqual(self.events, [])

    def test_flipped_bits(self):
        """A datagram with any bit turned is not delivered."""
        client = self.connect()
        got = []
        client.on_any_push(got.append)
        push = self.server.end.seal(bytes((MESSAGE,)) + encode_push(2, 11, b"x"))
        for bit in range(len(push) * 8):
            turned = bytearray(push)
            turned[bit >> 3] ^= 1 << (bit & 7)
            self.to_client(bytes(turned))
        for size in range(len(push)):
            self.to_client(push[:size])
        self.reactor.advance(1)
        self.assertEqual((got, self.events), ([], []))
        self.to_client(push)
        self.reactor.pump()
        self.assertEqual(len(got), 1)

    @settings(max_examples=60)
    @given(st.lists(st.binary(max_size=60), max_size=20))
    def test_any_frames(self, plaintexts):
        """Whatever is sealed, the client goes on or ends with a code, and leaves nothing."""
        self.setUp()
        client = self.connect(reconnect_for=0)
        for plaintext in plaintexts:
            self.server.end.write(self.server.end.seal(plaintext))
        self.reactor.advance(0.5)
        closing = client.close()
        self.reactor.advance(4.1)
        self.successResultOf(closing)
        self.assertNothingLeft()

    @settings(max_examples=60)
    @given(st.lists(st.binary(max_size=100).map(lambda tail: b"\x80" + tail), max_size=20))
    def test_any_datagrams(self, datagrams):
        """Whatever comes from anybody, the connection goes on."""
        self.setUp()
        client = self.connect()
        for datagram in datagrams:
            self.to_client(datagram)
        answer = client.request(2, 10, b"x")
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(self.events, [])

    def test_junk_is_counted(self):
        """What is nothing of the protocol is counted."""
        client = self.connect()
        for datagram in (b"", b"\x80", b"\x80" + bytes(1200), b"\x01" + bytes(1199), b"\x55" * 50):
            self.to_client(datagram)
        self.reactor.pump()
        self.assertEqual(client._transport.junk, 5)


class HandlerTests(UdpClientCase):
    def test_closes_in_the_middle(self):
        """A handler that closes the transport gets no further message of the same datagram."""
        transport = self.opened()
        self.told.on_message = lambda message: transport.close(CloseCode.NORMAL)
        now = self.server.now()
        for _ in range(3):
            self.server.end.connection.send(encode_push(2, 11, b"x"), False, 0, now)
        self.server.end.flush()
        self.reactor.advance(1)
        self.assertEqual(len(self.told.messages), 1)
        self.assertEqual(self.told.log, ["connected"])
        self.assertNothingLeft()

    def test_sends(self):
        """A handler may send."""
        transport = self.opened()
        self.told.on_message = lambda message: transport.send(Request(2, 9, 0, b""), True)
        self.server.end.push(2, 11, b"x")
        self.reactor.pump()
        self.assertEqual(len(self.server.end.messages), 1)


class SocketTests(TestCase):
    def test_closed_once(self):
        """On a real socket HELLO goes out, and closing twice closes it once."""
        from twisted.internet import reactor

        transport = UdpTransport(reactor, reactor, bytes_from(0))
        case = UdpClientCase()
        case.setUp()
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(("127.0.0.1", 0))
        transport.connect(case.endpoint(port=server.getsockname()[1]), case.told)
        self.assertEqual(transport._wire.maxThroughput, READ_MOST)
        self.assertEqual(len(server.recv(2000)), 1200)
        transport.close(CloseCode.NORMAL)
        return transport.close(CloseCode.NORMAL)


class RefusedTests(UdpClientCase):
    def test_not_before(self):
        """Nothing can be sent before ACCEPT."""
        self.server.greet = silent
        transport = self.transport()
        self.reactor.pump()
        self.assertFalse(transport.send(Request(2, 9, 0, b""), True))
        self.assertIsNone(transport.timeout())
        self.successResultOf(transport.drained())

    def test_timeout_covers_all(self):
        """The client's own time-out ends a handshake sooner, and leaves nothing."""
        self.server.greet = silent
        connecting = self.begin(timeout=1)
        self.reactor.advance(1.1)
        self.refused(connecting, Disconnected)
        self.reactor.pump()
        self.assertNothingLeft()
