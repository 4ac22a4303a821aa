"""
Tests of the client's UDP handshake, hostile answers included.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import Disconnected, connect_to
from diarkis_tw.client.udp_handshake import UdpHandshake
from diarkis_tw.constants import CloseCode
from diarkis_tw.testing.loopback_udp import RoughPath
from diarkis_tw.wire.datagram_handshake import NO_COOKIE, cookie_fields, decode_hello
from diarkis_tw.wire.handshake import encode_accept as encode_stream_accept
from diarkis_tw.wire.keys import FLAG_ENCRYPTED, FLAG_EPHEMERAL, NO_EPHEMERAL, SessionKeys
from tests.client.scripted import silent
from tests.client.scripted_udp import PORT, UdpClientCase, bytes_from


class HelloTests(UdpClientCase):
    def test_hello(self):
        """HELLO proves the keys, offers forward secrecy and says that encryption is on."""
        self.connect()
        hello = self.server.end.hello
        self.assertEqual(hello.flags, FLAG_ENCRYPTED | FLAG_EPHEMERAL)
        self.assertNotEqual(hello.client_ephemeral, NO_EPHEMERAL)

    def test_cookie_at_once(self):
        """The first HELLO has no cookie; a COOKIE is answered at once with one that has."""
        self.connect()
        cookies = [cookie_fields(datagram)[2] for _, datagram, _ in self.server.hellos]
        self.assertEqual(cookies, [NO_COOKIE, b"C" * 20])
        self.assertEqual(self.server.hello_times(), [0, 0])

    def test_fresh_each_time(self):
        """Two connections share neither port, nonce nor ephemeral key."""
        self.connect()
        self.connect()
        first, second = self.server.ends
        self.assertNotEqual(first.address, second.address)
        self.assertNotEqual(first.hello.client_nonce, second.hello.client_nonce)
        self.assertNotEqual(first.hello.client_ephemeral, second.hello.client_ephemeral)

    def test_without_forward_secrecy(self):
        """Asked not to, the client offers no ephemeral key and works all the same."""
        client = self.connect(forward_secrecy=False)
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(self.server.end.hello.flags, FLAG_ENCRYPTED)
        self.assertEqual(self.server.end.hello.client_ephemeral, NO_EPHEMERAL)

    def test_without_encryption(self):
        """An endpoint without encryption is said so in HELLO, and messages are legible."""
        self.server.encryption = False
        client = self.connect()
        answer = client.request(2, 10, b"legible")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"legible")
        self.assertEqual(self.server.end.hello.flags, FLAG_EPHEMERAL)
        self.assertTrue(any(b"legible" in d.data for d in self.from_client()))

    def test_schedule(self):
        """Unanswered, HELLO goes out again after 0.25, 0.5, 1, 1, ... seconds, unchanged."""
        self.server.greet = silent
        self.begin()
        self.reactor.advance(4.9)
        self.assertEqual(self.server.hello_times(), [0, 0.25, 0.75, 1.75, 2.75, 3.75, 4.75])
        self.assertEqual(len({datagram for _, datagram, _ in self.server.hellos}), 1)
        self.assertEqual(len({address for *_, address in self.server.hellos}), 1)

    def test_gives_up(self):
        """After 5 seconds without an answer the client gives up and leaves nothing behind."""
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.advance(4.99)
        self.assertNoResult(connecting)
        self.reactor.advance(0.02)
        error = self.refused(connecting, Disconnected)
        self.assertEqual(error.code, CloseCode.TIMEOUT)
        self.assertIn("no answer to HELLO within 5 s", str(error))
        self.assertNothingLeft()

    def test_cookie_restarts_schedule(self):
        """The first COOKIE restarts the schedule; the 5 seconds go on."""

        def greet(datagram, address):
            if self.reactor.seconds() >= 1.75:
                self.server.give_cookie(datagram, address)

        self.server.greet = greet
        connecting = self.begin()
        self.reactor.advance(4.99)
        self.assertEqual(self.server.hello_times(), [0, 0.25, 0.75, 1.75, 1.75, 2.0, 2.5, 3.5, 4.5])
        self.reactor.advance(0.02)
        self.refused(connecting, Disconnected)

    def test_later_cookie(self):
        """A later COOKIE is not answered at once, but stands in the next HELLO."""
        self.server.greet = silent
        self.begin()
        self.reactor.pump()
        first = self.server.hellos[0][1]
        for cookie in (b"1" * 20, b"2" * 20, b"3" * 20):
            self.server.give_cookie(first, self.client_port(), cookie)
        self.reactor.pump()
        self.assertEqual(self.server.hello_times(), [0, 0])
        self.reactor.advance(0.25)
        cookies = [cookie_fields(datagram)[2] for _, datagram, _ in self.server.hellos]
        self.assertEqual(cookies, [NO_COOKIE, b"1" * 20, b"3" * 20])

    def test_cookie_for_another(self):
        """A COOKIE with another nonce changes nothing."""
        self.server.greet = silent
        self.begin()
        self.reactor.pump()
        self.server.give_cookie(b"", self.client_port(), nonce=b"X" * 16)
        self.reactor.advance(0.3)
        cookies = [cookie_fields(datagram)[2] for _, datagram, _ in self.server.hellos]
        self.assertEqual(cookies, [NO_COOKIE, NO_COOKIE])

    def test_lost_datagrams(self):
        """The handshake survives the loss of many datagrams."""
        connected = 0
        for seed in range(20):
            self.setUp()
            self.reactor.hops.append(RoughPath(seed, delay=0.05, loss=0.3))
            connecting = self.begin()
            connecting.addErrback(lambda failure: None)
            self.reactor.advance(6)
            connected += self.successResultOf(connecting) is not None
        self.assertGreater(connected, 18)

    def test_confirms(self):
        """DATA with a PING and the first keep-alive follows ACCEPT at once, in one datagram."""
        self.connect()
        self.assertEqual(len(self.server.end.datagrams), 1)
        self.assertEqual(len(self.server.end.keep_alives), 1)

    def test_ping_until_heard(self):
        """The PING is repeated each time-out until a packet comes back, and not after."""
        self.reactor.hops.append(RoughPath(0, delay=0.05))
        self.transport()
        self.reactor.advance(0.22)
        end = self.server.end
        self.server.known.clear()
        self.reactor.advance(1)
        count = len(self.server.unknown)
        self.assertGreater(count, 2)
        self.server.known[end.terms.cid] = end
        self.reactor.advance(2)
        received = len(end.datagrams)
        self.reactor.advance(2)
        self.assertEqual(len(end.datagrams), received)

    def test_stray_accept(self):
        """An ACCEPT that comes again after the first changes nothing."""
        client = self.connect()
        for _ in range(3):
            self.server.write(self.server.end.accept, self.server.end.address)
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(len(self.server.ends), 1)


class RoundTripTests(SynchronousTestCase):
    """
    The round trip that HELLO and ACCEPT measure, by hand.
    """

    def setUp(self):
        case = UdpClientCase()
        case.setUp()
        self.server = case.server
        self.handshake = UdpHandshake(case.endpoint(), bytes_from(0), True)

    def take_cookie(self, now):
        hello = decode_hello(self.handshake.hello(0))
        sent = []
        self.server.write = lambda datagram, address: sent.append(datagram)
        self.server.give_cookie(b"", None, nonce=hello.client_nonce)
        self.assertTrue(self.handshake.cookie(sent[0], now))

    def accepted(self, now):
        hello = decode_hello(self.handshake.hello(now - 1))
        return self.handshake.accept(self.server.make_accept(hello), now).round_trip

    def test_exact(self):
        """It is what passed between HELLO and ACCEPT."""
        self.take_cookie(90_000)
        self.handshake.hello(90_000)
        self.assertEqual(self.accepted(170_000), 80_000)

    def test_hello_lost(self):
        """A HELLO that was sent again measures nothing, if the cookie came at once."""
        self.take_cookie(70_000)
        self.handshake.hello(70_000)
        self.handshake.hello(320_000)
        self.assertEqual(self.accepted(400_000), 70_000)

    def test_never_too_short(self):
        """On a path slower than the schedule it is not taken from the last HELLO."""
        for now in (0, 250_000, 750_000):
            self.handshake.hello(now)
        self.take_cookie(800_000)
        for now in (800_000, 1_050_000, 1_550_000):
            self.handshake.hello(now)
        self.assertEqual(self.accepted(1_600_000), 800_000)

    def test_at_least_one(self):
        """Within a microsecond it is still a measurement."""
        self.take_cookie(0)
        self.handshake.hello(0)
        self.assertEqual(self.accepted(0), 1)

    def test_restart(self):
        """A probe that begins again measures itself, with the same nonce."""
        self.take_cookie(10)
        first = decode_hello(self.handshake.hello(10))
        self.handshake.restart()
        again = self.handshake.hello(5_000_000)
        self.assertEqual(cookie_fields(again)[2], NO_COOKIE)
        self.assertEqual(decode_hello(again), first)
        self.assertEqual(self.accepted(5_030_000), 30_000)


class SeededTests(UdpClientCase):
    def test_seeds_the_connection(self):
        """The first time-out comes from the handshake's round trip, not from retryInterval."""
        self.reactor.hops.append(RoughPath(0, delay=0.05))
        transport = self.transport()
        self.reactor.advance(0.22)
        # 100 ms, and 4 times half of it, and the ack delay
        self.assertAlmostEqual(transport.timeout(), 0.32, places=3)


class TerminateTests(UdpClientCase):
    def test_twice(self):
        """The same TERMINATE in answer to two HELLOs is the error's code."""
        for code in CloseCode:
            self.setUp()
            self.server.greet = lambda d, a, code=code: self.server.terminate(d, a, code)
            connecting = self.begin()
            self.reactor.pump()
            self.assertNoResult(connecting)
            self.reactor.advance(0.25)
            self.assertEqual(self.refused(connecting, Disconnected).code, code)
            self.assertEqual(len(self.server.hellos), 2)
            self.assertNothingLeft()

    def test_repeated(self):
        """The same TERMINATE twice in answer to one HELLO is not believed."""

        def greet(datagram, address):
            if len(self.server.hellos) == 1:
                for _ in range(5):
                    self.server.terminate(datagram, address, CloseCode.UNKNOWN)
            else:
                self.server.give_cookie_and_accept(datagram, address)

        self.server.greet = greet
        connecting = self.begin()
        self.reactor.advance(0.3)
        self.successResultOf(connecting)

    def test_two_codes(self):
        """Two different TERMINATEs in answer to two HELLOs are not believed."""
        codes = iter((CloseCode.UNKNOWN, CloseCode.TAKEN, CloseCode.TAKEN))
        self.server.greet = lambda d, a: self.server.terminate(d, a, next(codes))
        connecting = self.begin()
        self.reactor.advance(0.3)
        self.assertNoResult(connecting)
        self.reactor.advance(0.5)
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TAKEN)

    def test_for_another(self):
        """A TERMINATE with another nonce is dropped."""

        def greet(datagram, address):
            self.server.terminate(datagram, address, CloseCode.UNKNOWN, nonce=b"X" * 16)
            self.server.terminate(datagram, address, CloseCode.UNKNOWN, nonce=bytes(16))
            if len(self.server.hellos) > 3:
                self.server.give_cookie_and_accept(datagram, address)

        self.server.greet = greet
        connecting = self.begin()
        self.reactor.advance(2)
        self.successResultOf(connecting)

    def test_when_open(self):
        """A TERMINATE with the right nonce is nothing once the connection is open."""
        client = self.connect()
        for _ in range(3):
            self.server.terminate(
                self.server.hellos[-1][1], self.server.end.address, CloseCode.KICKED
            )
        answer = client.request(2, 10, b"x")
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(self.events, [])


class HostileAcceptTests(UdpClientCase):
    def assertDropped(self, accept, **options):
        """
        C{accept} is dropped, and the true ACCEPT after it opens the connection.
        """

        def greet(datagram, address):
            if cookie_fields(datagram)[2] == NO_COOKIE:
                self.server.give_cookie(datagram, address)
                return
            hello = decode_hello(datagram)
            wrong = accept(hello)
            self.server.known.clear()
            self.server.ends.clear()
            self.server.write(wrong, address)
            if len(self.server.hellos) > 3:
                self.server.accept(datagram, address)

        self.server.greet = greet
        connecting = self.begin(**options)
        self.reactor.advance(0.2)
        self.assertNoResult(connecting)
        self.reactor.advance(1)
        client = self.successResultOf(connecting)
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")

    def test_wrong_keys(self):
        """An ACCEPT sealed with other keys is dropped."""
        other = SessionKeys(b"s" * 16, b"K" * 16, b"i" * 16, b"m" * 16)
        self.assertDropped(lambda hello: self.server.make_accept(hello, keys=other))

    def test_other_nonce(self):
        """An ACCEPT for another nonce is dropped."""

        def accept(hello):
            made = self.server.make_accept(hello)
            return made[:1] + bytes(8) + made[9:]

        self.assertDropped(accept)

    def test_offer_ignored(self):
        """An ACCEPT without an ephemeral key after an offer is dropped."""
        self.assertDropped(
            lambda hello: self.server.make_accept(hello, ephemeral=NO_EPHEMERAL, secret=b"")
        )

    def test_offer_invented(self):
        """An ACCEPT with an ephemeral key after no offer is dropped."""
        self.assertDropped(
            lambda hello: self.server.make_accept(hello, ephemeral=b"E" * 32, secret=b""),
            forward_secrecy=False,
        )

    def test_all_zero_secret(self):
        """An ephemeral key of low order, which gives an all-zero secret, is dropped."""
        self.assertDropped(
            lambda hello: self.server.make_accept(
                hello, ephemeral=b"\1" + bytes(31), secret=bytes(32)
            )
        )

    def test_every_byte(self):
        """An ACCEPT with any one byte changed is dropped."""
        self.server.greet = lambda datagram, address: None
        transport = self.transport()
        self.reactor.pump()
        good = self.server.make_accept(decode_hello(self.server.hellos[0][1]), self.client_port())
        for index in range(len(good)):
            wrong = bytearray(good)
            wrong[index] ^= 0x40
            self.to_client(bytes(wrong))
        self.reactor.pump()
        self.assertEqual(self.told.log, [])
        self.to_client(good)
        self.reactor.pump()
        self.assertEqual(self.told.log, ["connected"])
        transport.close(CloseCode.NORMAL)

    def test_illegal_terms(self):
        """Terms that no server may grant end the connection with PROTOCOL."""

        def encode(client_nonce, server_nonce, ephemeral, terms, key):
            header = b"\3" + client_nonce[:8]
            return header + encode_stream_accept(header, server_nonce, ephemeral, terms, key)

        for terms in (
            {"mtu": 575},
            {"mtu": 1201},
            {"mtu": 0},
            {"window": 15},
            {"window": 257},
            {"retry_interval": 0},
            {"max_retry": 0},
        ):
            self.setUp()
            self.server.greet = lambda d, a, terms=terms: self.server.accept(
                d, a, encode=encode, **terms
            )
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)
            self.assertNothingLeft()

    def test_narrowest_terms(self):
        """The least that a server may grant works."""
        self.server.terms = {"mtu": 576, "window": 16, "retry_interval": 10, "max_retry": 100}
        client = self.connect()
        payload = bytes(range(256)) * 100
        answer = client.request(2, 10, payload)
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(answer), payload)
        self.assertLessEqual(max(len(d) for d in self.server.end.datagrams), 576)

    @settings(max_examples=60)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=200),
                st.integers(18, 18)
                .flatmap(lambda n: st.binary(min_size=17, max_size=17))
                .map(lambda tail: b"\4" + tail),
                st.binary(min_size=36, max_size=36).map(lambda tail: b"\2" + tail),
                st.binary(min_size=112, max_size=112).map(lambda tail: b"\3" + tail),
                st.binary(min_size=18, max_size=60).map(lambda tail: b"\x80" + tail),
                st.binary(min_size=1200, max_size=3000),
            ),
            max_size=10,
        )
    )
    def test_garbage(self, datagrams):
        """Whatever comes before ACCEPT, the handshake succeeds when it comes."""
        self.setUp()
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.pump()
        for datagram in datagrams:
            self.to_client(datagram)
        self.server.greet = self.server.give_cookie_and_accept
        self.reactor.advance(1)
        self.successResultOf(connecting)


class WhereToTests(UdpClientCase):
    def test_source_matters(self):
        """Datagrams from another address than the server's are not looked at."""
        self.server.greet = silent
        self.begin()
        self.reactor.pump()
        hello = self.server.hellos[0][1]
        good = self.server.make_accept(decode_hello(hello), self.client_port())
        for source in (("127.0.0.1", PORT + 1), ("127.0.0.2", PORT)):
            self.to_client(good, source)
        self.reactor.pump()
        self.assertEqual(self.server.end.datagrams, [])

    def test_nobody_listens(self):
        """Where nobody listens the client still tries for 5 seconds, and says so."""
        self.port.stopListening()
        connecting = self.begin()
        self.reactor.advance(4.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        self.assertIn("nothing listens there", str(self.refused(connecting, Disconnected)))

    def test_name(self):
        """A host name is looked up."""
        connecting = self.begin_at("game.example.net")
        self.reactor.pump()
        self.successResultOf(connecting)

    def test_ipv4_preferred(self):
        """Of the addresses of a name an IPv4 one is taken, whatever stands first."""
        self.reactor.nameResolver = Resolver(
            [IPv6Address("UDP", "::1", PORT), IPv4Address("UDP", "127.0.0.1", PORT)]
        )
        connecting = self.begin_at("localhost")
        self.reactor.pump()
        self.successResultOf(connecting)

    def test_ipv6(self):
        """A name with IPv6 addresses only, and an IPv6 address, work."""
        self.reactor.nameResolver = Resolver([IPv6Address("UDP", "::1", PORT)])
        self.port.stopListening()
        self.reactor.pump()
        self.reactor.listenUDP(PORT, self.server, "::1")
        for host in ("localhost", "::1"):
            connecting = self.begin_at(host)
            self.reactor.pump()
            self.successResultOf(connecting)

    def test_no_such_name(self):
        """A name without addresses fails with a sentence."""
        self.reactor.nameResolver = Resolver([])
        connecting = self.begin_at("nowhere.example.net")
        self.assertIn("nowhere.example.net", str(self.refused(connecting, Disconnected)))
        self.assertNothingLeft()

    def test_slow_name(self):
        """A name that is not found in time fails; an answer after that changes nothing."""
        resolver = self.reactor.nameResolver = Resolver([IPv4Address("UDP", "127.0.0.1", PORT)])
        resolver.hold = True
        connecting = self.begin_at("slow.example.net")
        self.reactor.advance(5.1)
        self.assertIn("slow.example.net", str(self.refused(connecting, Disconnected)))
        resolver.answer()
        self.reactor.advance(1)
        self.assertEqual(self.server.hellos, [])
        self.assertNothingLeft()

    def test_cannot_bind(self):
        """A socket that the system does not give fails with a sentence."""

        def listen(*args):
            raise OSError("too many open files")

        self.reactor.listenUDP = listen
        self.assertIn("too many open files", str(self.refused(self.begin(), Disconnected)))

    def begin_at(self, host) -> Deferred:
        return connect_to(self.endpoint(host=host), reactor=self.reactor)


class Resolver:
    """
    Knows one name.
    """

    hold = False

    def __init__(self, addresses):
        self.addresses = addresses

    def resolveHostName(self, receiver, *args, **kwargs):
        self.receiver = receiver
        receiver.resolutionBegan(None)
        if not self.hold:
            self.answer()

    def answer(self):
        for address in self.addresses:
            self.receiver.addressResolved(address)
        self.receiver.resolutionComplete()
