"""
Tests of what a client does about a lost connection.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import ClientState, Disconnected, LocalProtocolError, RequestTimeout
from diarkis_tw.client.client import Client
from diarkis_tw.client.reconnect import Backoff
from diarkis_tw.client.tcp import TcpTransport
from diarkis_tw.client.waiting import WAITING_MAX, WAITING_MAX_BYTES
from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.value import decode_value
from tests.client.scripted import TTL, ClientCase, silent

MENDED = [CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.HANDSHAKE]


class BackoffTests(SynchronousTestCase):
    def test_ceilings(self):
        """The ceiling of the pause doubles from 0.1 s to 2 s and stays there."""
        backoff = Backoff(lambda: 1.0)
        pauses = [round(backoff.next(), 9) for _ in range(7)]
        self.assertEqual(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
        backoff.reset()
        self.assertEqual(backoff.next(), 0.1)

    def test_full_jitter(self):
        """A pause may be anything from nothing to its ceiling."""
        fractions = iter((0.0, 0.5))
        backoff = Backoff(lambda: next(fractions))
        self.assertEqual([backoff.next(), backoff.next()], [0.0, 0.1])


class ReconnectCase(ClientCase):
    def lose(self):
        self.link.cut()
        self.reactor.pump()


class LostTests(ReconnectCase):
    def test_cut(self):
        """A connection lost without a word is made again with the same sid."""
        client = self.connect()
        self.lose()
        self.assertEqual((client.state, self.events), (ClientState.RECONNECTING, ["reconnecting"]))
        self.reactor.advance(0.2)
        self.assertEqual(
            (client.state, self.events), (ClientState.CONNECTED, ["reconnecting", "reconnected"])
        )
        first, second = (end.hello for end in self.server.ends)
        self.assertEqual(first.sid, second.sid)
        self.assertNotEqual(first.client_nonce, second.client_nonce)
        self.assertEqual(len(self.server.end.keep_alives), 1)

    def test_works_afterwards(self):
        """After a reconnect requests and pushes work as before."""
        client = self.connect()
        got = []
        client.on_push(2, 11, got.append)
        self.lose()
        self.reactor.advance(0.2)
        answer = client.request(2, 10, b"x")
        self.server.end.push(2, 11, b"y")
        self.reactor.pump()
        self.assertEqual((self.successResultOf(answer), got), (b"x", [b"y"]))

    def test_codes_that_reconnect(self):
        """TIMEOUT, REKEY and HANDSHAKE lead to a new connection, as CLOSE or TERMINATE."""
        for code in MENDED:
            for end_with in ("close", "terminate"):
                self.setUp()
                self.connect()
                getattr(self.server.end, end_with)(code)
                self.reactor.advance(0.2)
                self.assertEqual(self.events, ["reconnecting", "reconnected"])

    def test_codes_that_do_not(self):
        """Every other code is the end, reported once."""
        for code in CloseCode:
            if code in MENDED:
                continue
            for end_with in ("close", "terminate"):
                self.setUp()
                client = self.connect()
                getattr(self.server.end, end_with)(code)
                self.reactor.advance(60)
                self.assertEqual((self.events, client.state), ([code], ClientState.CLOSED))
                self.assertEqual(len(self.server.ends), 1)
                self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_rekey_by_client(self):
        """A client that used up its packet numbers reconnects, and no request is lost."""
        client = Client(
            self.endpoint(),
            "alice",
            clock=self.reactor,
            make_transport=lambda type: TcpTransport(
                self.reactor, self.reactor, lambda size: b"r" * size, number_limit=5
            ),
        )
        opening = client.open()
        self.reactor.pump()
        self.successResultOf(opening)
        self.watch(client)
        answers = [client.request(2, 10, b"%d" % n) for n in range(6)]
        self.reactor.advance(0.5)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        heard = [payload for end in self.server.ends for *_, payload in end.messages]
        self.assertEqual(heard, [b"%d" % n for n in range(6)])
        self.assertEqual([self.successResultOf(a) for a in answers[4:]], [b"4", b"5"])

    def test_not_wanted(self):
        """With reconnect_for=0 a lost connection is the end."""
        client = self.connect(reconnect_for=0)
        self.lose()
        self.assertEqual((self.events, client.state), ([CloseCode.TIMEOUT], ClientState.CLOSED))
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class AttemptsTests(ReconnectCase):
    def test_server_returns(self):
        """Attempts go on while the server is away, and the first that succeeds counts."""
        number = self.port.getHost().port
        self.connect()
        self.port.stopListening()
        self.lose()
        self.reactor.advance(20)
        self.assertEqual(self.events, ["reconnecting"])
        self.reactor.listenTCP(number, self.server)
        self.reactor.advance(2.1)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])

    def test_gives_up(self):
        """After 30 seconds the client gives up: Disconnected, and nothing is left."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10, timeout=100)
        self.port.stopListening()
        self.lose()
        self.reactor.advance(29.9)
        self.assertEqual(self.events, ["reconnecting"])
        self.reactor.advance(0.2)
        self.assertEqual(self.events, ["reconnecting", CloseCode.TIMEOUT])
        self.assertEqual(self.refused(answer, Disconnected).code, CloseCode.TIMEOUT)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_gives_up_in_handshake(self):
        """The time is over also in the middle of a handshake."""
        self.connect(reconnect_for=2)
        self.server.greet = silent
        self.lose()
        self.reactor.advance(2.1)
        self.assertEqual(self.events, ["reconnecting", CloseCode.TIMEOUT])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_unknown(self):
        """A server that does not know the session any more ends the client."""
        self.connect()
        self.server.greet = lambda end: end.terminate(CloseCode.UNKNOWN)
        self.lose()
        self.reactor.advance(1)
        self.assertEqual(self.events, ["reconnecting", CloseCode.UNKNOWN])
        self.assertEqual(len(self.server.ends), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_handshake_code_tries_on(self):
        """A server too busy for the handshake is asked again."""
        self.connect()
        self.server.greet = lambda end: end.terminate(CloseCode.HANDSHAKE)
        self.lose()
        self.reactor.advance(5)
        self.assertEqual(self.events, ["reconnecting"])
        self.assertGreater(len(self.server.ends), 3)

    def test_flapping_server(self):
        """A server that accepts and drops at once is not asked in a tight loop."""
        self.connect()

        def greet(end):
            end.accept()
            end.transport.loseConnection()

        self.server.greet = greet
        self.lose()
        self.reactor.advance(60)
        self.assertLess(len(self.server.ends), 200)

    def test_pace_after_success(self):
        """Once a connection was of use, the next loss is mended as quickly as the first."""
        self.connect()
        for _ in range(20):
            self.lose()
            self.reactor.advance(0.11)
        self.assertEqual(self.events, ["reconnecting", "reconnected"] * 20)

    def test_close_meanwhile(self):
        """close while reconnecting ends it at once."""
        client = self.connect()
        self.port.stopListening()
        self.lose()
        self.successResultOf(client.close())
        self.assertEqual(self.events, ["reconnecting", CloseCode.NORMAL])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class MessagesTests(ReconnectCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def test_in_flight(self):
        """A request in flight survives, and is answered over the new connection."""
        self.server.message = silent
        answer = self.client.request(2, 10, b"x")
        self.reactor.pump()
        request_id = self.server.end.messages[0][2]
        self.lose()
        self.reactor.advance(0.2)
        self.assertNoResult(answer)
        self.server.end.respond(2, 10, request_id, b"kept")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"kept")
        self.assertEqual(self.server.end.messages, [])

    def test_timeout_meanwhile(self):
        """A request in flight still ends at its own time-out."""
        self.server.message = silent
        answer = self.client.request(2, 10, timeout=1)
        self.port.stopListening()
        self.lose()
        self.reactor.advance(1.1)
        self.refused(answer, RequestTimeout)

    def test_waiting(self):
        """Reliable messages sent meanwhile go out afterwards, in order; unreliable do not."""
        self.lose()
        answer = self.client.request(2, 10, b"a")
        self.assertTrue(self.client.send(2, 10, b"b"))
        self.assertFalse(self.client.send(2, 10, b"c", reliable=False))
        self.reactor.advance(0.2)
        self.assertEqual([payload for *_, payload in self.server.end.messages], [b"a", b"b"])
        self.assertEqual(self.successResultOf(answer), b"a")

    def test_given_up_while_waiting(self):
        """A request that timed out or was cancelled while it waited is not sent after all."""
        number = self.port.getHost().port
        self.port.stopListening()
        self.lose()
        timed_out = self.client.request(2, 10, b"timed out", timeout=1)
        cancelled = self.client.request(2, 10, b"cancelled")
        cancelled.addErrback(lambda failure: None)
        cancelled.cancel()
        self.client.send(2, 10, b"sent")
        self.reactor.advance(2)
        self.refused(timed_out, RequestTimeout)
        self.reactor.listenTCP(number, self.server)
        self.reactor.advance(2.1)
        self.assertEqual([payload for *_, payload in self.server.end.messages], [b"sent"])

    def test_waiting_count(self):
        """At most 256 messages wait; a request beyond them fails at once."""
        self.lose()
        sent = [self.client.send(2, 9, b"") for _ in range(WAITING_MAX + 1)]
        self.assertEqual(sent, [True] * WAITING_MAX + [False])
        self.refused(self.client.request(2, 10), LocalProtocolError)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.server.end.messages), WAITING_MAX)

    def test_waiting_bytes(self):
        """The waiting messages are bounded in bytes too, and all of them go out."""
        self.lose()
        size = WAITING_MAX_BYTES // 8
        sent = [self.client.send(2, 9, bytes(size - 5)) for _ in range(9)]
        self.assertEqual(sent, [True] * 8 + [False])
        self.reactor.advance(0.2)
        self.assertEqual(len(self.server.end.messages), 8)

    def test_bytes_counted_anew(self):
        """What waited in one outage does not count in the next."""
        for _ in range(2):
            self.lose()
            self.assertTrue(self.client.send(2, 9, bytes(WAITING_MAX_BYTES - 5)))
            self.reactor.advance(0.2)

    def test_value(self):
        """A value that waits is sent as it was when it was sent, whatever becomes of it."""
        self.lose()
        value = {"at": [1, 2]}
        self.client.send(2, 9, value)
        value["at"].append(3)
        self.reactor.advance(0.2)
        self.assertEqual(decode_value(self.server.end.messages[0][3]), {"at": [1, 2]})

    def test_illegal(self):
        """What cannot be sent at all is said at once, not when the connection is back."""
        self.lose()
        for arguments in ((256, 1), (2, 65536), (2, 9, {"x": object()})):
            self.assertRaises(LocalProtocolError, self.client.send, *arguments)
            self.refused(self.client.request(*arguments), LocalProtocolError)


class FormerTests(ReconnectCase):
    def test_close_waits(self):
        """close waits for what is left of earlier connections, too."""
        client = self.connect()
        self.link.stall()
        client.send(2, 9, bytes(300_000))
        self.reactor.advance(TTL + 0.2)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        closing = client.close()
        self.reactor.pump()
        self.assertEqual(client.state, ClientState.CLOSED)
        self.assertNoResult(closing)
        self.reactor.advance(2)
        self.successResultOf(closing)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
