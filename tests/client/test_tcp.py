"""
Tests of the client's TCP transport: its handshake, and what it makes of hostile
servers.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from diarkis_tw.client import Disconnected
from diarkis_tw.client.stream import RECEIVE_MAX_BYTES, UNSENT_MAX_BYTES
from diarkis_tw.client.tcp import TcpTransport
from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.handshake import ACCEPT_BODY_SIZE, NO_NONCE
from diarkis_tw.wire.keys import FLAG_ENCRYPTED, FLAG_EPHEMERAL, NO_EPHEMERAL, SessionKeys
from diarkis_tw.wire.message import Request
from diarkis_tw.wire.record import RecordType, record_header
from tests.client.scripted import ClientCase, silent


class HandshakeTests(ClientCase):
    def test_hello(self):
        """HELLO proves the keys, offers forward secrecy and says that encryption is on."""
        self.connect()
        hello = self.server.end.hello
        self.assertTrue(self.server.end.hello_is_good)
        self.assertEqual(hello.flags, FLAG_ENCRYPTED | FLAG_EPHEMERAL)
        self.assertNotEqual(hello.client_ephemeral, NO_EPHEMERAL)

    def test_fresh_each_time(self):
        """Two connections of one session share neither nonce nor ephemeral key."""
        self.connect()
        self.connect()
        first, second = (end.hello for end in self.server.ends)
        self.assertNotEqual(first.client_nonce, second.client_nonce)
        self.assertNotEqual(first.client_ephemeral, second.client_ephemeral)

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

    def test_byte_by_byte(self):
        """A stream that arrives in single bytes works."""
        self.reactor.chunk_size = 1
        client = self.connect()
        answer = client.request(2, 10, b"x" * 1000)
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x" * 1000)

    def test_no_delay(self):
        """Small messages are not held back by the socket."""
        self.connect()
        self.assertTrue(self.link.client.no_delay)

    def test_keep_alive_at_once(self):
        """A keep-alive follows ACCEPT immediately, which confirms the connection."""
        self.connect()
        self.assertEqual(len(self.server.end.keep_alives), 1)

    def test_handshake_in_time(self):
        """A server that says nothing for 5 seconds is given up."""
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.advance(4.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        error = self.refused(connecting, Disconnected)
        self.assertEqual(error.code, CloseCode.TIMEOUT)
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused(self):
        """Nobody listening fails with a sentence, at once."""
        self.port.stopListening()
        connecting = self.begin()
        self.reactor.pump()
        self.assertIn("refused", str(self.refused(connecting, Disconnected)))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lost_in_handshake(self):
        """A connection that the server drops before ACCEPT fails."""
        self.server.greet = lambda end: end.transport.loseConnection()
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TIMEOUT)

    def test_terminated(self):
        """TERMINATE in the handshake is the error's code."""
        for code in CloseCode:
            self.server.greet = lambda end, code=code: end.terminate(code)
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, code)

    def test_terminated_without_nonce(self):
        """A server that read no HELLO terminates with zeros for a nonce."""
        self.server.greet = lambda end: end.terminate(CloseCode.HANDSHAKE, NO_NONCE)
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.HANDSHAKE)

    def test_terminated_for_another(self):
        """A TERMINATE with somebody else's nonce breaks the protocol."""
        self.server.greet = lambda end: end.terminate(CloseCode.UNKNOWN, b"X" * 16)
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)


class HostileHandshakeTests(ClientCase):
    def assertProtocol(self, greet, **options):
        self.server.greet = greet
        connecting = self.begin(**options)
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.server.end.messages, [])

    def test_wrong_keys(self):
        """An ACCEPT sealed with other keys is refused."""
        other = SessionKeys(b"s" * 16, b"K" * 16, b"i" * 16, b"m" * 16)
        self.assertProtocol(lambda end: end.accept(keys=other))

    def test_offer_ignored(self):
        """An ACCEPT without an ephemeral key after an offer is refused."""
        self.assertProtocol(lambda end: end.accept(ephemeral=NO_EPHEMERAL))

    def test_offer_invented(self):
        """An ACCEPT with an ephemeral key after no offer is refused."""
        self.assertProtocol(lambda end: end.accept(ephemeral=b"E" * 32), forward_secrecy=False)

    def test_all_zero_secret(self):
        """An ephemeral key of low order, which gives an all-zero secret, is refused."""
        self.assertProtocol(lambda end: end.accept(ephemeral=b"\x01" + bytes(31)))

    def test_garbage_accept(self):
        """An ACCEPT of arbitrary bytes is refused."""
        header = record_header(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
        self.assertProtocol(lambda end: end.transport.write(header + b"g" * ACCEPT_BODY_SIZE))

    def test_short_accept(self):
        """An ACCEPT of another size is refused."""
        header = record_header(RecordType.ACCEPT, 5)
        self.assertProtocol(lambda end: end.transport.write(header + b"short"))

    def test_data_before_accept(self):
        """DATA instead of ACCEPT is refused."""
        header = record_header(RecordType.DATA, 20)
        self.assertProtocol(lambda end: end.transport.write(header + bytes(20)))

    def test_record_too_long_for_accept(self):
        """Before ACCEPT a longer record than it is refused at its header."""
        self.server.greet = lambda end: end.transport.write(
            record_header(RecordType.ACCEPT, ACCEPT_BODY_SIZE + 1)
        )
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TOO_LARGE)

    def test_http_server(self):
        """Something that does not speak the protocol at all is refused."""
        self.server.greet = lambda end: end.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connecting = self.begin()
        self.reactor.pump()
        self.refused(connecting, Disconnected)
        self.assertTrue(self.server.end.lost)


class HostileServerTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def assertEnded(self, code):
        self.reactor.pump()
        self.assertEqual(self.events, [code])
        self.assertEqual(self.server.end.closed_with, [code])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_bad_tag(self):
        """A record that was tampered with ends the client with PROTOCOL."""
        record = self.server.end.sealed(RecordType.DATA, b"\x02\x00\x0b\xffx")
        self.server.end.transport.write(record[:-1] + bytes((record[-1] ^ 1,)))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_replay(self):
        """A record that comes twice ends the client with PROTOCOL."""
        record = self.server.end.sealed(RecordType.DATA, b"\x02\x00\x0b\xffx")
        self.server.end.transport.write(record * 2)
        self.assertEnded(CloseCode.PROTOCOL)

    def test_unknown_type(self):
        """A record of unknown type ends the client with PROTOCOL."""
        self.server.end.transport.write(record_header(0x7F, 0))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_second_accept(self):
        """A second ACCEPT ends the client with PROTOCOL."""
        self.server.end.transport.write(record_header(RecordType.ACCEPT, 104) + bytes(104))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_record_at_limit(self):
        """The longest legal record is taken."""
        got = []
        self.client.on_push(2, 11, got.append)
        self.server.end.push(2, 11, b"x" * (RECEIVE_MAX_BYTES - 16 - 4))
        self.reactor.pump()
        self.assertEqual(len(got), 1)

    def test_record_beyond_limit(self):
        """A record that announces one byte more is refused at its header."""
        self.server.end.transport.write(record_header(RecordType.DATA, RECEIVE_MAX_BYTES + 1))
        self.assertEnded(CloseCode.TOO_LARGE)

    def test_message_too_short(self):
        """A message shorter than its header ends the client with PROTOCOL."""
        self.server.end.transport.write(self.server.end.sealed(RecordType.DATA, b"\x02"))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_unknown_status(self):
        """A response with a status that is none ends the client with PROTOCOL."""
        record = self.server.end.sealed(RecordType.DATA, b"\x02\x00\x0a\x02\x00\x01")
        self.server.end.transport.write(record)
        self.assertEnded(CloseCode.PROTOCOL)

    def test_bad_keep_alive(self):
        """A keep-alive answer that is none ends the client with PROTOCOL."""
        self.server.end.respond(0, 1, 0, b"short")
        self.assertEnded(CloseCode.PROTOCOL)

    def test_empty_close(self):
        """A CLOSE without a code ends the client with PROTOCOL."""
        self.server.end.transport.write(self.server.end.sealed(RecordType.CLOSE, b""))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_forged_close(self):
        """A CLOSE that is not sealed with the keys is not believed."""
        self.server.end.transport.write(record_header(RecordType.CLOSE, 17) + b"\x07" + bytes(16))
        self.assertEnded(CloseCode.PROTOCOL)

    def test_nothing_after_end(self):
        """What follows the record that ended the client is not looked at."""
        got = []
        self.client.on_push(2, 11, got.append)
        end = self.server.end
        end.transport.write(record_header(0x7F, 0) + end.sealed(RecordType.DATA, b"\x02\0\x0b\xff"))
        self.assertEnded(CloseCode.PROTOCOL)
        self.assertEqual(got, [])


class AnyBytesTests(ClientCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
    def test_any_bytes(self, chunks, accepted):
        """Whatever a server sends, the client ends or waits; it never raises."""
        self.setUp()
        if not accepted:
            self.server.greet = silent
        connecting = self.begin()
        self.reactor.pump()
        for chunk in chunks:
            self.server.end.transport.write(chunk)
        self.reactor.advance(30)
        if accepted:
            self.successResultOf(connecting).close()
            self.reactor.advance(5)
        else:
            self.refused(connecting, Disconnected)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class Events:
    def __init__(self):
        self.seen = []

    def connected(self, terms):
        self.seen.append("connected")

    def message_received(self, message):
        self.seen.append(message)

    def closed(self, code, reason):
        self.seen.append(code)


def request(size=0):
    return Request(2, 10, 0, bytes(size))


class TransportCase(ClientCase):
    def open(self, **options):
        self.seen = Events()
        transport = TcpTransport(self.reactor, self.reactor, lambda size: b"r" * size, **options)
        transport.connect(self.endpoint(), self.seen)
        self.reactor.pump()
        return transport


REQUEST = request()


class NumberTests(TransportCase):
    def test_rekey(self):
        """The CLOSE that says REKEY has the last packet number, after whole messages."""
        transport = self.open(number_limit=3)
        self.assertEqual([transport.send(REQUEST, True) for _ in range(4)], [True] * 3 + [False])
        self.reactor.pump()
        self.assertEqual(len(self.server.end.messages), 3)
        self.assertEqual(self.server.end.closed_with, [CloseCode.REKEY])
        self.assertEqual(self.server.end.c2s, 4)
        self.assertEqual(self.seen.seen, ["connected", CloseCode.REKEY])

    def test_server_does_not_rekey(self):
        """DATA with the number that is reserved for CLOSE is refused."""
        self.open(number_limit=2)
        for _ in range(3):
            self.server.end.push(2, 11, b"")
        self.reactor.pump()
        self.assertEqual(len(self.seen.seen), 4)
        self.assertEqual(self.seen.seen[-1], CloseCode.PROTOCOL)

    def test_server_rekeys(self):
        """CLOSE with that number is legal."""
        self.open(number_limit=2)
        for _ in range(2):
            self.server.end.push(2, 11, b"")
        self.server.end.close(CloseCode.REKEY)
        self.reactor.pump()
        self.assertEqual(self.seen.seen[-1], CloseCode.REKEY)


class EndingTests(TransportCase):
    def test_close(self):
        """close says why, nothing is reported afterwards, and it fires when all is gone."""
        transport = self.open()
        gone = transport.close(CloseCode.KICKED)
        self.assertNoResult(gone)
        self.reactor.pump()
        self.successResultOf(gone)
        self.assertEqual(self.server.end.closed_with, [CloseCode.KICKED])
        self.assertEqual(self.seen.seen, ["connected"])
        self.successResultOf(transport.close(CloseCode.NORMAL))
        self.assertFalse(transport.send(REQUEST, True))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_while_connecting(self):
        """close before there is a socket leaves nothing behind."""
        transport = TcpTransport(self.reactor, self.reactor, bytes)
        events = Events()
        transport.connect(self.endpoint(), events)
        self.successResultOf(transport.close(CloseCode.NORMAL))
        self.reactor.pump()
        self.assertEqual((events.seen, self.server.ends), ([], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_at_deaf_server(self):
        """A server that does not read delays the end by 2 seconds at most."""
        transport = self.open()
        self.link.server.stalled = True
        transport.send(request(200_000), True)
        gone = transport.close(CloseCode.NORMAL)
        self.reactor.advance(1.9)
        self.assertNoResult(gone)
        self.reactor.advance(0.2)
        self.successResultOf(gone)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_while_congested(self):
        """What waits at close leaves as soon as the network takes it, and that is the end."""
        transport = self.open()
        self.link.server.stalled = True
        for _ in range(3):
            transport.send(request(70_000), True)
        gone = transport.close(CloseCode.NORMAL)
        self.reactor.pump()
        self.assertNoResult(gone)
        self.link.server.stalled = False
        self.reactor.pump()
        self.successResultOf(gone)
        self.assertEqual(len(self.server.end.messages), 3)
        self.assertEqual(self.server.end.closed_with, [CloseCode.NORMAL])

    def test_closed_once(self):
        """An end that the server announces is reported once, though the socket ends too."""
        self.open()
        self.server.end.close(CloseCode.KICKED)
        self.reactor.advance(10)
        self.assertEqual(self.seen.seen, ["connected", CloseCode.KICKED])

    def test_cut(self):
        """An end without a word is reported as such."""
        self.open()
        self.link.cut()
        self.reactor.pump()
        self.assertEqual(self.seen.seen, ["connected", None])

    def test_terminate_after_accept(self):
        """TERMINATE is legal after ACCEPT too."""
        self.open()
        self.server.end.terminate(CloseCode.TOO_LARGE)
        self.reactor.pump()
        self.assertEqual(self.seen.seen, ["connected", CloseCode.TOO_LARGE])


class SlowNetworkTests(TransportCase):
    def test_unreliable_dropped(self):
        """While the network takes nothing, unreliable messages are dropped."""
        transport = self.open()
        self.link.server.stalled = True
        self.assertTrue(transport.send(request(70_000), False))
        self.assertFalse(transport.send(REQUEST, False))
        self.assertTrue(transport.send(REQUEST, True))

    def test_reliable_bounded(self):
        """Reliable messages are refused once too much waits, and memory stays bounded."""
        transport = self.open()
        self.link.server.stalled = True
        sent = sum(transport.send(request(10_000), True) for _ in range(300))
        self.assertLess(self.link.client.buffered, UNSENT_MAX_BYTES + 200_000)
        self.assertGreater(sent * 10_000, UNSENT_MAX_BYTES)

    def test_recovers(self):
        """Once the network takes the bytes, everything is sent again."""
        transport = self.open()
        self.link.server.stalled = True
        self.assertIn(False, [transport.send(request(10_000), True) for _ in range(300)])
        self.link.server.stalled = False
        self.reactor.pump()
        self.assertTrue(transport.send(REQUEST, False))
        self.reactor.pump()
        self.assertEqual(self.server.end.messages[-1][3], b"")
