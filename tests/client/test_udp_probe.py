"""
Tests of what the client makes of RESET, and of a server that was restarted.
"""

from itertools import pairwise

from diarkis_tw.client import ClientState
from diarkis_tw.client.udp_probe import EARLIER_MAX
from diarkis_tw.constants import CloseCode
from diarkis_tw.testing.loopback_udp import RoughPath
from diarkis_tw.wire.datagram_handshake import NO_COOKIE, cookie_fields, decode_hello
from diarkis_tw.wire.frame import PADDING, PING
from diarkis_tw.wire.reset import RESET_SIZE_MAX, RESET_SIZE_MIN, encode_reset
from tests.client.scripted import silent
from tests.client.scripted_udp import UdpClientCase

UNREADABLE = b"\x80" + b"?" * 30


class ResetTests(UdpClientCase):
    def test_ends(self):
        """A RESET with the connection's token ends the client with UNKNOWN, and tells so."""
        client = self.connect()
        self.to_client(encode_reset(self.server.token, b"r" * 10))
        self.reactor.pump()
        self.assertEqual((self.events, client.state), ([CloseCode.UNKNOWN], ClientState.CLOSED))
        self.assertNothingLeft()

    def test_of_every_size(self):
        """A RESET of every legal size is known."""
        for size in range(5, 27):
            self.setUp()
            self.connect()
            self.to_client(encode_reset(self.server.token, bytes(size)))
            self.reactor.pump()
            self.assertEqual(self.events, [CloseCode.UNKNOWN])

    def test_of_every_number(self):
        """A RESET is known whether its bytes look like an old, seen or new packet."""
        for high in (0, 1, 0x40, 0x7F, 0x80, 0xC0, 0xFF):
            for low in (0, 1, 2, 0xFF):
                self.setUp()
                self.connect()
                self.to_client(encode_reset(self.server.token, bytes((high, low)) * 5))
                self.reactor.pump()
                self.assertEqual(self.events, [CloseCode.UNKNOWN])

    def test_while_sending(self):
        """A client that goes on sending to a server that forgot it is terminated."""
        client = self.connect()
        self.server.known.clear()
        self.server.on_unknown = self.server.reset
        client.send(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.events, [CloseCode.UNKNOWN])
        self.assertEqual(len(self.server.unknown), 1)

    def test_in_the_end(self):
        """A RESET while the client says CLOSE ends the wait, and nobody is told."""
        transport = self.opened()
        self.server.known.clear()
        self.server.on_unknown = self.server.reset
        gone = transport.close(CloseCode.NORMAL)
        self.reactor.pump()
        self.successResultOf(gone)
        self.assertEqual(self.told.log, ["connected"])
        self.assertNothingLeft()

    def test_wrong_token(self):
        """A RESET with any other token ends nothing."""
        self.connect()
        for bit in range(128):
            token = (int.from_bytes(self.server.token) ^ 1 << bit).to_bytes(16)
            self.to_client(encode_reset(token, b"r" * 10))
        self.reactor.advance(1)
        self.assertEqual(self.events, [])


class DoubtCase(UdpClientCase):
    def setUp(self):
        super().setUp()
        self.server.answer_keep_alive = False
        self.server.terms = {"keep_alive": 60_000, "connection_ttl": 60, "max_retry": 60}
        self.client = self.connect()
        self.server.answer_keep_alive = True
        self.server.end.answer_keep_alive()
        self.reactor.advance(1)
        del self.server.hellos[:]
        self.begun = self.reactor.seconds()

    def blind(self):
        """
        The server hears nothing of its connections any more, and says nothing.
        """
        self.known = dict(self.server.known)
        self.server.known.clear()

    def see(self):
        self.server.known.update(self.known)

    def times(self, found):
        return [round(time - self.begun, 3) for time, *_ in found]


class DoubtTests(DoubtCase):
    def test_ping_at_once(self):
        """Something unreadable is followed by a PING at once; its answer ends the doubt."""
        before = len(self.server.end.datagrams)
        self.to_client(UNREADABLE)
        self.reactor.pump()
        self.assertEqual(len(self.server.end.datagrams), before + 1)
        self.reactor.advance(10)
        self.assertEqual(len(self.server.end.datagrams), before + 1)
        self.assertEqual(self.server.hellos, [])

    def test_pings_go_on(self):
        """Unanswered, a PING follows each time-out, in datagrams of 44 bytes."""
        self.blind()
        self.to_client(UNREADABLE)
        self.reactor.advance(1)
        times = self.times(self.server.unknown)
        self.assertEqual(times[0], 0)
        pauses = [later - sooner for sooner, later in pairwise(times)]
        self.assertGreater(len(pauses), 5)
        self.assertLess(max(pauses), 0.1)
        self.assertEqual({len(datagram) for _, datagram in self.server.unknown}, {44})

    def test_probe_after_two_seconds(self):
        """2 s after the first unreadable datagram a HELLO goes out, without a cookie."""
        self.blind()
        self.server.greet = silent
        self.to_client(UNREADABLE)
        self.reactor.advance(1.5)
        self.to_client(UNREADABLE + b"another")
        self.reactor.advance(0.49)
        self.assertEqual(self.server.hellos, [])
        self.reactor.advance(0.02)
        self.assertEqual(self.times(self.server.hellos), [2])
        self.assertEqual(cookie_fields(self.server.hellos[0][1])[2], NO_COOKIE)

    def test_a_hello_a_second(self):
        """A probe is one HELLO a second, all alike, from the connection's own port."""
        self.blind()
        self.server.greet = silent
        self.to_client(UNREADABLE)
        self.reactor.advance(5.5)
        self.assertEqual(self.times(self.server.hellos), [2, 3, 4, 5])
        self.assertEqual(len({datagram for _, datagram, _ in self.server.hellos}), 1)
        self.assertEqual({address for *_, address in self.server.hellos}, {self.server.end.address})

    def test_first_cookie(self):
        """The probe answers its first COOKIE at once, and later ones with the next HELLO."""
        self.blind()
        self.server.greet = self.server.give_cookie
        self.to_client(UNREADABLE)
        self.reactor.advance(4.5)
        self.assertEqual(self.times(self.server.hellos), [2, 2, 3, 4])

    def test_still_doubtful(self):
        """PINGs go on during a probe, so that a server that lives can end it."""
        self.blind()
        self.server.greet = silent
        self.to_client(UNREADABLE)
        self.reactor.advance(2.5)
        del self.server.unknown[:]
        self.reactor.advance(1)
        self.assertGreater(len(self.server.unknown), 5)

    def test_forgotten(self):
        """Anything authentic ends the probe: its ACCEPT and TERMINATE are too late then."""
        self.blind()
        self.server.greet = silent
        self.to_client(UNREADABLE)
        self.reactor.advance(2.5)
        (_, hello, address) = self.server.hellos[0]
        self.see()
        self.reactor.advance(0.2)
        self.server.accept(hello, address)
        self.server.terminate(hello, address, CloseCode.UNKNOWN)
        self.reactor.advance(10)
        self.assertEqual(self.events, [])
        self.assertEqual(len(self.server.hellos), 1)
        answer = self.client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")

    def test_same_nonce(self):
        """All probes of a connection have one nonce and one ephemeral key, each a new cookie."""
        self.server.greet = self.server.give_cookie
        for _ in range(2):
            self.blind()
            self.to_client(bytes(UNREADABLE) + bytes((_,)))
            self.reactor.advance(2.5)
            self.see()
            self.reactor.advance(1)
        hellos = [decode_hello(datagram) for _, datagram, _ in self.server.hellos]
        self.assertEqual(len(hellos), 4)
        self.assertEqual(len(set(hellos)), 1)
        self.assertNotEqual(hellos[0].client_nonce, self.server.end.hello.client_nonce)
        cookies = [cookie_fields(datagram)[2] != NO_COOKIE for _, datagram, _ in self.server.hellos]
        self.assertEqual(cookies, [False, True, False, True])

    def test_nothing_before(self):
        """Without a probe neither COOKIE, ACCEPT nor TERMINATE means anything."""
        self.blind()
        self.server.greet = silent
        self.to_client(UNREADABLE)
        self.reactor.advance(2.2)
        (_, hello, address) = self.server.hellos[0]
        self.see()
        self.reactor.advance(1)
        self.server.give_cookie(hello, address)
        self.server.terminate(hello, address, CloseCode.KICKED)
        self.reactor.advance(5)
        self.assertEqual((self.events, len(self.server.hellos)), ([], 1))

    def assertNoDoubt(self, *datagrams):
        before = len(self.server.end.datagrams)
        self.blind()
        for datagram in datagrams:
            self.to_client(datagram)
        self.reactor.advance(5)
        self.assertEqual((len(self.server.unknown), self.server.hellos), (0, []))
        self.assertEqual(len(self.server.end.datagrams), before)

    def test_copies(self):
        """Exact copies of earlier datagrams, read or not, raise no doubt."""
        end = self.server.end
        good = [end.seal(bytes((PADDING,)) * size) for size in range(3, 20)]
        for datagram in good:
            end.write(datagram)
        self.reactor.pump()
        self.assertNoDoubt(*good, *good)

    def test_copy_of_unreadable(self):
        """A second copy of what raised doubt once does not raise it again."""
        self.to_client(UNREADABLE)
        self.reactor.advance(1)
        self.assertNoDoubt(UNREADABLE)

    def test_other_sizes(self):
        """What is too short or too long for a RESET raises no doubt."""
        self.assertNoDoubt(
            b"\x80" + b"?" * (RESET_SIZE_MIN - 2),
            b"\x80" + b"?" * RESET_SIZE_MAX,
            b"\x80" + b"?" * 1000,
            b"\x81" + b"?" * 30,
        )

    def test_both_ends_of_size(self):
        """The shortest and the longest RESET raise doubt."""
        for size in (RESET_SIZE_MIN, RESET_SIZE_MAX):
            before = len(self.server.end.datagrams)
            self.to_client(b"\x80" + b"?" * (size - 1))
            self.reactor.advance(1)
            self.assertEqual(len(self.server.end.datagrams), before + 1)

    def test_memory(self):
        """What is remembered to know copies is bounded, however much comes."""
        transport = self.client._transport
        for number in range(EARLIER_MAX * 3):
            self.to_client(b"\x80" + number.to_bytes(25))
        self.reactor.pump()
        self.assertEqual(len(transport._probe._earlier), EARLIER_MAX)

    def test_flood(self):
        """A flood of unreadable datagrams is answered with a PING a time-out at most."""
        self.reactor.hops.append(RoughPath(0, delay=0.05))
        before = len(self.server.end.datagrams)
        for number in range(1000):
            self.to_client(b"\x80" + number.to_bytes(25))
            self.reactor.advance(0.001)
        self.reactor.advance(1)
        self.assertLess(len(self.server.end.datagrams) - before, 12)
        self.assertEqual((self.events, self.server.hellos), ([], []))


class RestartTests(DoubtCase):
    def restart(self):
        self.server.restart()
        self.server.on_unknown = self.server.reset
        self.reconnected = []
        self.client.on_reconnected(lambda: self.reconnected.append(self.reactor.seconds()))

    def test_terminated(self):
        """After a restart the first TERMINATE ends the client: UNKNOWN, and it is told."""
        self.restart()
        self.server.greet = lambda d, a: (
            self.server.give_cookie(d, a)
            if cookie_fields(d)[2] == NO_COOKIE
            else self.server.terminate(d, a, CloseCode.UNKNOWN)
        )
        self.client.send(2, 10, b"x")
        self.reactor.advance(1.99)
        self.assertEqual(self.events, [])
        self.reactor.advance(0.02)
        self.assertEqual(self.events, [CloseCode.UNKNOWN])
        self.assertEqual(len(self.server.hellos), 2)
        self.assertNothingLeft()

    def test_terminated_for_another(self):
        """A TERMINATE with another nonce ends nothing in a probe either."""
        self.restart()
        self.server.greet = lambda d, a: self.server.terminate(d, a, CloseCode.UNKNOWN, b"X" * 16)
        self.client.send(2, 10, b"x")
        self.reactor.advance(5)
        self.assertEqual(self.events, [])

    def test_reconnected(self):
        """A server that knows the session takes the client anew: told, and all works again."""
        self.restart()
        got = []
        self.client.on_push(2, 11, got.append)
        self.client.send(2, 10, b"lost")
        self.reactor.advance(2.1)
        self.assertEqual(len(self.server.ends), 2)
        self.assertEqual((self.events, len(self.reconnected)), (["reconnected"], 1))
        self.assertEqual(self.client.state, ClientState.CONNECTED)
        answer = self.client.request(2, 10, b"x")
        self.server.end.push(2, 11, b"y")
        self.reactor.pump()
        self.assertEqual((self.successResultOf(answer), got), (b"x", [b"y"]))
        self.assertEqual(self.server.end.payloads(), [b"x"])
        self.assertEqual(len(self.server.end.keep_alives), 1)

    def test_discarded(self):
        """What was not known to have arrived is counted, and not sent again."""
        self.assertEqual(self.client.discarded, 0)
        self.restart()
        for payload in (b"one", b"two"):
            self.client.send(2, 10, payload)
        self.reactor.advance(2.1)
        self.assertEqual(self.client.discarded, 2 * (5 + 3))
        self.assertEqual(self.server.end.messages, [])

    def test_channels_from_zero(self):
        """All channels begin at 0 again, in both directions."""
        self.restart()
        for channel in range(8):
            self.client.send(2, 9, b"before", channel=channel)
        self.reactor.advance(2.1)
        for channel in range(8):
            self.client.send(2, 9, b"%d" % channel, channel=channel)
        self.reactor.pump()
        self.assertEqual(self.server.end.payloads(), [b"%d" % n for n in range(8)])

    def test_twice(self):
        """A second restart is survived like the first, with another nonce."""
        for count in (2, 3):
            self.restart()
            self.server.token = bytes((count,)) * 16
            self.client.send(2, 10, b"x")
            self.reactor.advance(2.5)
            self.assertEqual(len(self.server.ends), count)
        nonces = {end.hello.client_nonce for end in self.server.ends}
        self.assertEqual(len(nonces), 3)

    def test_late_packets(self):
        """Packets of the former connection are neither read nor answered with a probe."""
        former = self.server.end
        late = [former.seal(bytes((PING,)) * 10) for _ in range(3)]
        self.restart()
        self.client.send(2, 10, b"x")
        self.reactor.advance(2.1)
        for datagram in late:
            self.to_client(datagram)
        self.reactor.advance(10)
        self.assertEqual((self.events, len(self.server.ends)), (["reconnected"], 2))

    def test_hostile_accept(self):
        """An ACCEPT that does not open leaves the probe running."""
        self.restart()

        def greet(datagram, address):
            if len(self.server.hellos) < 4:
                made = self.server.make_accept(decode_hello(datagram), address)
                self.server.known.clear()
                self.server.write(made[:-1] + b"?", address)
            else:
                self.server.accept(datagram, address)

        self.server.greet = greet
        self.client.send(2, 10, b"x")
        self.reactor.advance(4.5)
        self.assertEqual(self.events, [])
        self.reactor.advance(1)
        self.assertEqual(self.events, ["reconnected"])

    def test_gives_up(self):
        """A server that stays away is given up after maxRetry times retryInterval."""
        self.setUp()
        self.server.terms["max_retry"] = 10
        self.client = self.connect(reconnect_for=0)
        self.server.greet = silent
        self.blind()
        self.client.send(2, 10, b"x")
        self.to_client_of(self.client)
        self.reactor.advance(9.9)
        self.assertNotIn(CloseCode.TIMEOUT, self.events)
        self.reactor.advance(0.2)
        self.assertEqual(self.events, [CloseCode.TIMEOUT])

    def to_client_of(self, client):
        self.server.write(UNREADABLE, self.server.end.address)

    def test_close_meanwhile(self):
        """close during a probe leaves nothing behind."""
        self.restart()
        self.server.greet = silent
        self.client.send(2, 10, b"x")
        self.reactor.advance(2.5)
        closing = self.client.close()
        self.reactor.advance(4.1)
        self.successResultOf(closing)
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertNothingLeft()

    def test_close_before_reconnected(self):
        """A client that is leaving when the server takes it anew says good-bye there."""
        self.restart()
        self.client.send(2, 10, b"x")
        self.reactor.advance(1.9)
        closing = self.client.close()
        self.reactor.advance(0.5)
        self.successResultOf(closing)
        self.assertEqual([cmd for _, cmd, *_ in self.server.end.messages], [0])
        self.assertEqual(self.events, [CloseCode.NORMAL])
