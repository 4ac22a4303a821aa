"""
Tests of L{diarkis_tw.transports.udp_handshake} in a whole server: no state before
a cookie, little after, and who is refused.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.udp_handshake import PENDING_MOST
from diarkis_tw.wire.datagram import ACCEPT_BYTE, ACCEPT_SIZE, HELLO_SIZE
from diarkis_tw.wire.datagram_handshake import NO_COOKIE, decode_terminate, encode_hello
from diarkis_tw.wire.frame import PING
from diarkis_tw.wire.handshake import Hello
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.packet import DATA_BYTE
from diarkis_tw.wire.reset import matches_reset
from tests.transports.udp_client import UdpCase


class CookieTests(UdpCase):
    """
    Before a valid cookie.
    """

    def test_noState(self) -> None:
        """
        A HELLO without a cookie gets one, and the server remembers nothing of it.
        """
        client = self.client()
        before = self.sizes()
        self.assertCookie(client.ask(client.hello()))
        self.assertEqual(self.sizes(), before)

    def test_whateverTheSid(self) -> None:
        """
        A sid that does not exist gets a cookie too, so that nobody can probe for sids.
        """
        keys = SessionKeys(*(bytes([n]) * 16 for n in range(4)))
        client = self.client(keys=keys)
        self.assertCookie(client.ask(client.hello()))

    def test_flood(self) -> None:
        """
        Thousands of forged senders leave no trace and get 37 bytes for 1200 each.
        """
        hello = bytearray(self.client().hello())
        before = self.sizes()
        calls = self.reactor.later
        for n in range(3000):
            hello[18:22] = n.to_bytes(4)
            self.udp.datagramReceived(bytes(hello), (f"198.51.{n >> 8}.{n & 255}", 1 + n))
        self.assertEqual(self.sizes(), before)
        self.assertEqual(self.reactor.later, calls)
        self.assertEqual({len(datagram) for datagram, _ in self.socket.sent}, {37})
        self.assertEqual(len(self.socket.sent), 3000)

    def test_foreign(self) -> None:
        """
        A cookie is worth nothing at another IP, another port, for another sid or nonce.
        """
        client = self.client()
        client.get_cookie()
        other = self.client(self.user("bob"))
        before = self.sizes()
        for host, port in (("192.0.2.9", client.address[1]), ("192.0.2.1", 1)):
            other.address = (host, port)
            self.assertCookie(other.ask(client.hello()))
        other.address = client.address
        other.cookie = client.cookie
        client.address = ("192.0.2.77", 1)
        self.assertCookie(other.ask(other.hello()))
        self.assertCookie(other.ask(other.hello(client_nonce=client.nonce)))
        client.address = other.address
        client.take()
        self.assertCookie(client.ask(client.hello(client_nonce=bytes(16))))
        self.assertEqual(self.sizes(), before)

    def test_stale(self) -> None:
        """
        A cookie lives five seconds; then a fresh one is given.
        """
        client = self.client()
        client.get_cookie()
        self.advance(5.001)
        self.assertCookie(client.ask(client.hello()))
        client.get_cookie()
        self.advance(4.999)
        [accept] = client.ask(client.hello())
        self.assertEqual(accept[0], ACCEPT_BYTE)

    def test_fromTheFuture(self) -> None:
        """
        A cookie with a time to come is worth nothing, nor is one with a bit changed.
        """
        client = self.client()
        client.get_cookie()
        good = client.cookie
        time = int.from_bytes(good[:4])
        client.cookie = (time + 1).to_bytes(4) + good[4:]
        self.assertCookie(client.ask(client.hello()))
        for bit in range(0, 160, 7):
            flipped = int.from_bytes(good) ^ 1 << bit
            client.cookie = flipped.to_bytes(20)
            self.assertCookie(client.ask(client.hello()))

    def test_otherProcess(self) -> None:
        """
        A cookie of the process before a restart is worth nothing.
        """
        client = self.client()
        client.get_cookie()
        self.serve()
        again = self.client(keys=client.keys)
        again.cookie, again.nonce, again.address = client.cookie, client.nonce, client.address
        self.assertCookie(again.ask(client.hello()))

    def test_sizes(self) -> None:
        """
        A HELLO one byte shorter or longer is junk.
        """
        client = self.client()
        hello = client.hello()
        for datagram in (hello[:-1], hello + b"\0"):
            self.assertEqual(client.ask(datagram), [])
        self.assertEqual(self.udp.junk, 2)


class AcceptTests(UdpCase):
    """
    With a valid cookie.
    """

    def test_accept(self) -> None:
        """
        ACCEPT says the terms; the user is not connected yet, and nothing else is sent.
        """
        alice = self.user()
        client = self.accepted(alice)
        terms = client.terms
        assert terms is not None
        self.assertEqual(
            (terms.mtu, terms.window, terms.retry_interval, terms.ack_delay, terms.max_retry),
            (1200, 256, 1000, 20, 10),
        )
        self.assertEqual((terms.connection_ttl, terms.keep_alive), (10, 3333))
        self.assertEqual(len(client.accepted), ACCEPT_SIZE)
        self.assertState(alice, UserState.PENDING)
        self.advance(4.9)
        self.assertEqual(client.take(), [])

    def test_ack_delay_is_the_sweep(self) -> None:
        """
        A shorter handleRUDPInterval shortens the ack delay.
        """
        self.serve({"handleRUDPInterval": 12})
        terms = self.accepted().terms
        assert terms is not None
        self.assertEqual(terms.ack_delay, 12)

    def test_ack_delay_when_buffered(self) -> None:
        """
        Acks wait for the flush of sendUDPInterval too, so the client is told of that.
        """
        self.serve({"sendUDPInterval": 125})
        terms = self.accepted().terms
        assert terms is not None
        self.assertEqual(terms.ack_delay, 125)

    def test_confirmed(self) -> None:
        """
        The first authentic packet connects the user.
        """
        alice = self.user()
        self.opened(alice)
        self.assertState(alice, UserState.CONNECTED)
        self.assertEqual(self.server.users.ccu(), 1)
        self.assertEqual(alice.address, "192.0.2.1:40000")

    def test_seedsTheRoundTrip(self) -> None:
        """
        The way of the cookie is the server's first sample of the round trip.
        """
        client = self.client()
        client.get_cookie()
        self.advance(0.12)
        [accept] = client.ask(client.hello())
        client.accept(accept)
        self.assertEqual(self.end(client).rudp.round_trip.smoothed, 120_000)

    def test_seedsAShortRoundTrip(self) -> None:
        """
        A round trip below the cookie's resolution is a sample too.
        """
        self.assertEqual(self.end(self.accepted()).rudp.round_trip.smoothed, 1000)

    def test_again(self) -> None:
        """
        The same HELLO gets the stored ACCEPT byte for byte and makes nothing new.
        """
        client = self.accepted()
        before = self.sizes()
        for _ in range(3):
            self.assertEqual(client.ask(client.hello()), [client.accepted])
        self.assertEqual(self.sizes(), before)
        client.rudp.ping()
        client.turn()
        self.assertTrue(client.alive())

    def test_againWithAnotherCookie(self) -> None:
        """
        A later cookie for the same nonce changes nothing.
        """
        client = self.accepted()
        self.advance(1)
        client.cookie = NO_COOKIE
        client.get_cookie()
        self.assertEqual(client.ask(client.hello()), [client.accepted])

    def test_againAfterConfirmation(self) -> None:
        """
        A late duplicate of the HELLO disturbs nothing once the connection is confirmed.
        """
        client = self.opened()
        before = self.sizes()
        self.assertEqual(client.ask(client.hello()), [client.accepted])
        self.assertEqual(self.sizes(), before)
        self.assertTrue(client.alive())

    def test_otherEphemeral(self) -> None:
        """
        Another ephemeral with the same nonce is dropped.
        """
        client = self.accepted()
        before = self.sizes()
        good = client.greeting
        for changes in ({"client_ephemeral": bytes(31) + b"\x09"}, {"flags": 1}):
            self.assertEqual(client.ask(client.hello(**changes)), [])
            client.greeting = good
        self.assertEqual(self.sizes(), before)
        client.rudp.ping()
        client.turn()
        self.assertTrue(client.alive())

    def test_newestOfASid(self) -> None:
        """
        A newer handshake of the sid replaces one that is not confirmed.
        """
        alice = self.user()
        first = self.accepted(alice)
        second = self.accepted(alice)
        self.assertEqual(self.sizes()["connections"], 1)
        self.assertNotIn(first.cid, self.udp._connections)
        self.assertEqual(self.sizes()["handshakes"], 1)
        second.rudp.ping()
        second.turn()
        self.assertTrue(second.alive())
        self.assertNotEqual(first.cid, second.cid)

    def test_expires(self) -> None:
        """
        A connection without an authentic packet is forgotten after five seconds; its user
        may still come.
        """
        alice = self.user()
        client = self.accepted(alice)
        self.advance(4.9)
        self.assertEqual(self.sizes()["connections"], 1)
        self.advance(0.2)
        sizes = self.sizes()
        for table in ("connections", "unconfirmed", "handshakes", "tombstones"):
            self.assertEqual(sizes[table], 0, table)
        [reset] = client.ask(client.packet(b""))
        self.assertTrue(client.terms and matches_reset(reset, client.terms.reset_token))
        self.assertState(alice, UserState.PENDING)

    def test_confirmedInTime(self) -> None:
        """
        A connection confirmed in its last moment stays.
        """
        client = self.accepted()
        self.advance(4.9)
        client.rudp.ping()
        client.turn()
        self.advance(1)
        self.assertTrue(client.alive())

    def test_limit(self) -> None:
        """
        Beyond 1024 pending connections HELLOs are met with silence, but for sids that
        replace their own.
        """
        clients = [self.accepted(self.user(f"u{n}"), ephemeral=False) for n in range(PENDING_MOST)]
        late = self.client(self.user("late"))
        late.get_cookie()
        before = self.sizes()
        self.assertEqual(late.ask(late.hello()), [])
        self.assertEqual(self.sizes(), before)
        self.assertEqual(before["unconfirmed"], PENDING_MOST)
        user = self.server.users.find_sid(clients[7].keys.sid)
        self.accepted(user)
        self.assertEqual(self.sizes()["unconfirmed"], PENDING_MOST)

    def test_limitCountsThePending(self) -> None:
        """
        Confirmed connections do not count as pending: a crowd gets in as fast as it comes.
        """
        for n in range(PENDING_MOST + 10):
            client = self.accepted(self.user(f"u{n}"), ephemeral=False)
            client.put(client.packet(bytes((PING,))))
        self.assertEqual(self.server.users.ccu(), PENDING_MOST + 10)

    def test_dataBeforeConfirmation(self) -> None:
        """
        Nothing is sent to a user whose connection is not confirmed.
        """
        alice = self.user()
        client = self.accepted(alice)
        self.assertFalse(alice.server_push(2, 1, b"hello"))
        self.assertFalse(self.end(client).send(Encoded(2, 1, b"hello"), True))
        self.advance(1)
        self.assertEqual(client.take(), [])

    def test_sessionEndsMeanwhile(self) -> None:
        """
        A session that died between ACCEPT and the first packet is closed with UNKNOWN.
        """
        alice = self.user()
        client = self.accepted(alice)
        alice.disconnect()
        answers = client.ask(client.packet(bytes((PING,))))
        self.assertEqual(self.closes(client, answers), [CloseCode.UNKNOWN])
        self.assertEqual(self.left, [])


class RefusalTests(UdpCase):
    """
    TERMINATE, and what it leaves behind: nothing.
    """

    def refused(self, code: CloseCode, **changes: object) -> None:
        """
        A HELLO with a cookie is refused, leaving nothing behind.
        """
        client = self.client(self.user(f"u{len(self.clients)}"))
        client.hello(**changes)
        client.get_cookie()
        before = self.sizes()
        self.assertTerminated(client.ask(client.hello()), client, code)
        self.assertEqual(self.sizes(), before)

    def test_version(self) -> None:
        """
        Another version is refused with VERSION, before the HMAC is looked at.
        """
        self.refused(CloseCode.VERSION, version=2)
        self.refused(CloseCode.VERSION, version=0)
        client = self.client(keys=SessionKeys(*(bytes([n]) * 16 for n in range(4))))
        client.hello(version=9)
        client.get_cookie()
        self.assertTerminated(client.ask(client.hello()), client, CloseCode.VERSION)

    def test_unknown(self) -> None:
        """
        An unknown sid and a wrong HMAC look the same.
        """
        stranger = self.client(keys=SessionKeys(*(bytes([n]) * 16 for n in range(4))))
        stranger.get_cookie()
        self.assertTerminated(stranger.ask(stranger.hello()), stranger, CloseCode.UNKNOWN)
        client = self.client()
        client.get_cookie()
        hello = client.hello()
        for at in (0, 15):
            forged = bytearray(hello)
            forged[HELLO_SIZE - 16 + at] ^= 1
            self.assertTerminated(client.ask(bytes(forged)), client, CloseCode.UNKNOWN)
        padded = bytearray(hello)
        padded[600] ^= 1
        self.assertTerminated(client.ask(bytes(padded)), client, CloseCode.UNKNOWN)

    def test_encryption(self) -> None:
        """
        A client that speaks otherwise than the server is refused with ENCRYPTION, each way.
        """
        self.refused(CloseCode.ENCRYPTION, flags=0)
        self.serve({"enableEncryption": False})
        self.refused(CloseCode.ENCRYPTION, flags=1)

    def test_forwardSecrecyRequired(self) -> None:
        """
        A server that requires forward secrecy refuses who offers none, after the HMAC check.
        """
        self.serve({"forwardSecrecy": "required"})
        client = self.client(ephemeral=False)
        client.get_cookie()
        self.assertTerminated(client.ask(client.hello()), client, CloseCode.FORWARD_SECRECY)
        forged = client.hello()[:-1] + b"!"
        self.assertTerminated(client.ask(forged), client, CloseCode.UNKNOWN)
        self.assertTrue(self.opened(self.user("bob")).alive())

    def test_withoutForwardSecrecy(self) -> None:
        """
        A client may do without by default, and the server then answers without.
        """
        client = self.opened(ephemeral=False)
        self.assertEqual(client.accepted[25:57], bytes(32))
        self.assertTrue(client.alive())

    def test_zeroSecret(self) -> None:
        """
        Ephemerals that force an all-zero secret are refused with PROTOCOL.
        """
        low_order = (bytes(32), b"\x01" + bytes(31))
        for point in low_order:
            self.refused(CloseCode.PROTOCOL, client_ephemeral=point)

    def test_taken(self) -> None:
        """
        A TAKEN node refuses users who are new, not those who were here.
        """
        alice = self.user()
        client = self.opened(alice)
        bob = self.client(self.user("bob"))
        bob.get_cookie()
        self.server.taken()
        self.assertTerminated(bob.ask(bob.hello()), bob, CloseCode.TAKEN)
        again = self.opened(alice)
        self.assertTrue(again.alive())
        self.assertClosed(client, CloseCode.REPLACED)

    def test_offline(self) -> None:
        """
        An OFFLINE node refuses users who are new with SERVER_OFFLINE.
        """
        bob = self.client()
        bob.get_cookie()
        self.server.offline()
        self.assertTerminated(bob.ask(bob.hello()), bob, CloseCode.SERVER_OFFLINE)

    def test_twice(self) -> None:
        """
        Each HELLO is answered with the same code, so that a client may believe the second.
        """
        client = self.client(keys=SessionKeys(*(bytes([n]) * 16 for n in range(4))))
        client.get_cookie()
        first = client.ask(client.hello())
        self.advance(0.25)
        self.assertEqual(client.ask(client.hello()), first)

    def test_neverMoreThanCame(self) -> None:
        """
        Refusals and cookies are a fraction of the HELLO that caused them.
        """
        client = self.client(keys=SessionKeys(*(bytes([n]) * 16 for n in range(4))))
        client.get_cookie()
        client.ask(client.hello())
        self.assertTrue(all(len(datagram) <= 37 for datagram in client.got))


class HelloPropertyTests(UdpCase):
    """
    HELLOs of any content.
    """

    @settings(max_examples=60, deadline=None)
    @given(
        st.binary(min_size=1199, max_size=1199),
        st.binary(min_size=43, max_size=1199),
        st.binary(max_size=80),
    )
    def test_any(self, hello: bytes, data: bytes, junk: bytes) -> None:
        """
        Whatever a datagram holds, the server answers with no more than came, remembers
        nothing and raises nothing.
        """
        before = self.sizes()
        del before["sources"]
        for datagram in (b"\x01" + hello, bytes((DATA_BYTE,)) + data, junk):
            sent = len(self.socket.sent)
            self.udp.datagramReceived(datagram, ("203.0.113.7", 9))
            answers = self.socket.sent[sent:]
            self.assertLessEqual(sum(len(answer) for answer, _ in answers), len(datagram))
        after = self.sizes()
        del after["sources"]
        self.assertEqual(after, before)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=32, max_size=32))
    def test_anyWithACookie(self, version: int, flags: int, ephemeral: bytes) -> None:
        """
        Whatever a HELLO with a cookie and a right HMAC says, one short answer comes.
        """
        client = self.client(self.user("alice"))
        client.get_cookie()
        hello = Hello(version, flags, client.keys.sid, client.nonce, ephemeral)
        [answer] = client.ask(encode_hello(hello, client.cookie, client.keys.hello_key()))
        if answer[0] != ACCEPT_BYTE:
            decode_terminate(answer)
        self.assertLessEqual(len(answer), ACCEPT_SIZE)
