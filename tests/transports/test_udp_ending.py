"""
Tests of L{diarkis_tw.transports.udp} and L{diarkis_tw.transports.udp_connection}:
how connections end, and what still comes for them.
"""

from diarkis_tw.constants import Builtin, CloseCode
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import UserState
from diarkis_tw.wire.frame import (
    CLOSE,
    PING,
    reliable_header,
)
from diarkis_tw.wire.handshake import encode_close
from diarkis_tw.wire.message import encode_request
from diarkis_tw.wire.reset import matches_reset
from tests.transports.udp_client import ECHO, UdpCase


class EndTests(UdpCase):
    """
    How connections end.
    """

    def test_fin(self) -> None:
        """
        fin is answered with CLOSE 0 and the user is gone, once.
        """
        alice = self.user()
        client = self.opened(alice)
        client.command(0, Builtin.FIN, id=0)
        self.assertClosed(client, CloseCode.NORMAL)
        self.assertState(alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])
        self.settle(5)
        self.assertEqual(self.left, ["alice"])
        self.assertEqual(self.sizes()["connections"], 0)

    def test_clientCloses(self) -> None:
        """
        A client's CLOSE is answered once with the same code and ends the session.
        """
        client = self.raw()
        answers = client.ask(client.packet(bytes((CLOSE,)) + encode_close(CloseCode.NORMAL, "bye")))
        self.assertEqual(self.closes(client, answers), [CloseCode.NORMAL])
        self.assertEqual(self.left, ["alice"])
        self.assertEqual(self.sizes()["connections"], 0)
        self.advance(2)
        self.assertEqual(client.take(), [])

    def test_closeRepeated(self) -> None:
        """
        CLOSE is sent three times, a time-out apart, to a client that does not answer.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.remove(CloseCode.REPLACED)
        found = []
        for _ in range(40):
            self.reactor.advance(0.05)
            found += self.closes(client, client.take())
        self.assertEqual(found, [CloseCode.REPLACED] * 3)
        self.assertEqual(self.sizes()["connections"], 0)

    def test_closeAnswered(self) -> None:
        """
        CLOSE is sent no more once the client's came.
        """
        alice = self.user()
        client = self.opened(alice)
        alice.remove(CloseCode.REPLACED)
        self.settle(3)
        closes = [got for got in client.got if len(got) == 21]
        self.assertEqual(len(closes), 1)

    def test_closingSaysNothingElse(self) -> None:
        """
        A connection that said CLOSE acknowledges and delivers nothing any more, and keeps
        nothing of what still comes.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.remove(CloseCode.REPLACED)
        [close] = client.ask()
        message = encode_request(2, ECHO, 0, b"late")
        for n in range(20):
            gap = bytes((0x58, 0, 5 + n)) + bytes(1000)
            self.assertEqual(client.ask(client.packet(gap)), [])
            self.assertEqual(client.ask(client.packet(b"\x20" + message)), [])
        self.assertEqual(self.echoed, [])
        self.assertEqual(self.sizes()["reassembly"], 0)
        self.assertEqual(len(close), 21)

    def test_kickWaits(self) -> None:
        """
        A kicked user gets what it was sent before, then CLOSE.
        """
        alice = self.user()
        client = self.opened(alice)
        payload = self.random.randbytes(30_000)
        alice.server_push(2, 1, payload)
        alice.disconnect()
        self.assertEqual(self.left, ["alice"])
        self.settle(1)
        self.assertEqual(client.payloads(), [payload])
        self.assertClosed(client, CloseCode.KICKED)

    def test_kickWaitsAtMost(self) -> None:
        """
        CLOSE comes after two seconds though the client acknowledged nothing.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"never acknowledged")
        alice.disconnect()
        self.advance(1.9)
        self.assertEqual(self.closes(client, client.take()), [])
        self.advance(0.2)
        self.assertEqual(set(self.closes(client, client.take())), {CloseCode.KICKED})
        self.advance(4)
        self.assertEqual(self.sizes()["connections"], 0)
        self.assertEqual(self.sizes()["leaving"], 0)

    def test_unreliableLastWords(self) -> None:
        """
        An unreliable message goes out before CLOSE, which waits for nothing then.
        """
        alice = self.user()
        client = self.opened(alice)
        alice.server_push(2, 1, b"last words", reliable=False)
        alice.disconnect()
        self.settle(0.05)
        self.assertEqual(client.payloads(), [b"last words"])
        self.assertClosed(client, CloseCode.KICKED)

    def test_leavingTakesNoCommands(self) -> None:
        """
        Commands of a user who was kicked do not run while its data is delivered.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"never acknowledged")
        alice.disconnect()
        client.ask(client.packet(b"\x20" + encode_request(2, ECHO, 0, b"late")))
        self.assertEqual(self.echoed, [])
        self.assertFalse(alice.server_push(2, 1, b"more"))
        self.assertFalse(self.end(client).send(Encoded(2, 1, b"more"), True))

    def test_replaced(self) -> None:
        """
        A confirmed newer connection of the sid gets the user, and the older one REPLACED.
        """
        alice = self.user()
        first = self.opened(alice)
        second = self.accepted(alice)
        self.assertTrue(first.alive())
        second.rudp.ping()
        second.turn()
        self.assertClosed(first, CloseCode.REPLACED)
        self.assertTrue(second.alive())
        self.assertState(alice, UserState.CONNECTED)
        self.assertEqual(self.left, [])

    def test_replacedByAnotherSession(self) -> None:
        """
        A confirmed newer session of the uid ends the older one with REPLACED.
        """
        first = self.opened(self.user())
        second = self.opened(self.user())
        self.assertClosed(first, CloseCode.REPLACED)
        self.assertTrue(second.alive())
        self.assertEqual(self.left, ["alice"])

    def test_silence(self) -> None:
        """
        A silent client is closed with TIMEOUT after connectionTTL by the sweep; its user is
        AWAY, comes back with the same sid, or is gone after the grace.
        """
        alice = self.user()
        client = self.raw(alice)
        self.advance(9)
        self.assertState(alice, UserState.CONNECTED)
        self.advance(3)
        self.assertState(alice, UserState.AWAY)
        self.assertIn(CloseCode.TIMEOUT, self.closes(client, client.take()))
        again = self.opened(alice)
        self.assertTrue(again.alive())
        self.assertState(alice, UserState.CONNECTED)
        self.advance(25)
        self.assertState(alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])

    def test_anyPacketCounts(self) -> None:
        """
        Any authentic packet refreshes connectionTTL; forged and replayed ones do not.
        """
        alice = self.user()
        client = self.raw(alice)
        for _ in range(4):
            self.advance(6)
            client.ask(client.packet(b""))
        self.assertState(alice, UserState.CONNECTED)
        old = client.packet(b"")
        client.ask(old)
        for _ in range(3):
            self.advance(4)
            client.ask(old, old[:-1] + bytes((old[-1] ^ 1,)))
        self.assertState(alice, UserState.AWAY)

    def test_givenUp(self) -> None:
        """
        With data unacknowledged and silence for maxRetry x retryInterval the connection ends
        with TIMEOUT.
        """
        self.serve({"connectionTTL": 60, "maxRetry": 5})
        alice = self.user()
        self.raw(alice)
        alice.server_push(2, 1, b"reliable")
        self.advance(4.9)
        self.assertState(alice, UserState.CONNECTED)
        self.advance(0.2)
        self.assertState(alice, UserState.AWAY)
        self.assertEqual(self.sizes()["connections"], 0)

    def test_rekey(self) -> None:
        """
        At the limit of its packet numbers the server closes with REKEY, and the user is AWAY.
        """
        alice = self.user()
        client = self.raw(alice)
        sent = self.end(client).rudp._sent
        sent.next_number = 2**28 - 4096
        alice.server_push(2, 1, b"one too many")
        self.reactor.advance(0)
        self.assertState(alice, UserState.AWAY)
        self.assertTrue(self.opened(alice).alive())

    def test_numberAboveTheLimit(self) -> None:
        """
        A client's packet number at the limit ends the connection with PROTOCOL.
        """
        client = self.raw()
        received = self.end(client).rudp._received
        received.largest = 2**28 - 4097
        number = 2**28 - 4096
        header_free = client.packet(bytes((PING,)), number)
        answers = client.ask(header_free)
        self.assertEqual(self.closes(client, answers), [CloseCode.PROTOCOL])

    def test_nodeEnds(self) -> None:
        """
        When the node ends, clients are told SERVER_OFFLINE and the port closes after them.
        """
        client = self.opened()
        self.server.service().terminate(0)
        for _ in range(20):
            self.settle(0.05)
        self.assertClosed(client, CloseCode.SERVER_OFFLINE)
        self.assertFalse(self.port.listening)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nodeEndsWithUnacknowledgedData(self) -> None:
        """
        A client that acknowledges nothing is told SERVER_OFFLINE before the port closes.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"never acknowledged")
        self.server.service().terminate(0)
        self.advance(3)
        self.assertFalse(self.port.listening)
        self.assertIn(CloseCode.SERVER_OFFLINE, self.closes(client, client.take()))

    def test_nodeEndsDuringAHandshake(self) -> None:
        """
        A connection that is not confirmed does not hold the end up.
        """
        self.accepted()
        self.server.service().terminate(0)
        self.advance(0.1)
        self.assertFalse(self.port.listening)

    def test_nothingLeft(self) -> None:
        """
        After all have left, and a while, nothing is remembered of them.
        """
        before = self.sizes()
        for n in range(5):
            client = self.opened(self.user(f"u{n}"))
            client.request(ECHO, bytes(3000))
            client.command(0, Builtin.FIN, id=0)
            client.turn()
        self.clients.clear()
        self.advance(10)
        self.assertEqual(self.sizes(), before)
        self.assertEqual(len(self.udp._deadlines._heap), 0)


class BrokenMachine:
    """
    What fails whenever it is asked anything.
    """

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("a bug")


class FaultTests(UdpCase):
    """
    Faults of this program itself.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.victim = self.raw(self.alice)
        self.reactor.advance(1)
        self.bob = self.user("bob")
        self.other = self.opened(self.bob)

    def assertContained(self) -> None:
        """
        The failure was logged once, that session ended, and the other one works.
        """
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertState(self.alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])
        self.assertTrue(self.other.alive())
        self.victim.ask(self.victim.packet(b""))
        self.assertEqual(self.flushLoggedErrors(RuntimeError), [])

    def break_(self) -> None:
        """
        Break the machine of the first connection.
        """
        self.end(self.victim).rudp = BrokenMachine()  # type: ignore[assignment]

    def test_receiving(self) -> None:
        """
        A failure at a datagram costs that connection alone.
        """
        self.break_()
        self.victim.put(self.victim.packet(b""))
        self.assertContained()

    def test_flushing(self) -> None:
        """
        A failure at a flush costs that connection alone: what others have to say goes out.
        """
        self.alice.server_push(2, 1, b"lost")
        self.bob.server_push(2, 1, b"arrives")
        self.break_()
        self.other.turn()
        self.assertEqual(self.other.payloads(), [b"arrives"])
        self.assertContained()

    def test_memory(self) -> None:
        """
        What a connection that failed held of the process's memory goes back.
        """
        self.victim.ask(self.victim.packet(reliable_header(0, 0, True, False) + bytes(1000)))
        self.assertEqual(self.udp._budget.used, 1000)
        self.end(self.victim).path = BrokenMachine()  # type: ignore[assignment]
        self.victim.put(self.victim.packet(b""))
        self.assertEqual(self.udp._budget.used, 0)
        self.assertContained()

    def test_deadline(self) -> None:
        """
        A failure at a deadline costs that connection alone.
        """
        self.alice.server_push(2, 1, b"lost")
        self.reactor.advance(0)
        self.break_()
        self.reactor.advance(1)
        self.assertContained()


class TombstoneTests(UdpCase):
    """
    Packets for a connection that was closed a moment ago.
    """

    def closed(self) -> tuple[bytes, list[bytes]]:
        """
        A client that closed: its last packet, and the answer.
        """
        self.alice = self.raw()
        packet = self.alice.packet(bytes((CLOSE, 0)))
        return packet, self.alice.ask(packet)

    def test_answer(self) -> None:
        """
        It is answered with the same datagram byte for byte, twice a second at most, for three
        seconds.
        """
        packet, [close] = self.closed()
        found = []
        for _ in range(29):
            self.reactor.advance(0.1)
            found += self.alice.ask(packet)
        self.assertEqual(set(found), {close})
        self.assertIn(len(found), (5, 6))
        self.advance(0.3)
        [reset] = self.alice.ask(packet)
        self.assertTrue(self.alice.terms and matches_reset(reset, self.alice.terms.reset_token))
        self.assertEqual(self.sizes()["tombstones"], 0)

    def test_notLarger(self) -> None:
        """
        The answer is never larger than what it answers, also to a forged sender.
        """
        client = self.raw()
        [close] = client.ask(client.packet(b"\x3f"))
        self.assertGreater(len(close), 44)
        self.advance(1)
        self.assertEqual(self.sizes()["connections"], 0)
        client.address = ("198.51.100.1", 99)
        header = bytes((0x80,)) + client.cid
        self.assertEqual(client.ask(header + bytes(35)), [])
        [answer] = client.ask(header + bytes(100))
        self.assertEqual(self.closes(client, [answer]), [CloseCode.PROTOCOL])

    def test_isTheClose(self) -> None:
        """
        The tombstone says CLOSE also when the client kept talking to a closing connection.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.remove(CloseCode.REPLACED)
        for _ in range(50):
            self.reactor.advance(0.05)
            client.put(client.packet(b"\x58\0\0" + encode_request(2, ECHO, 1, b"late")))
        self.assertEqual(self.sizes()["connections"], 0)
        client.take()
        self.reactor.advance(0.6)
        answers = client.ask(client.packet(bytes((PING,))))
        self.assertEqual(self.closes(client, answers), [CloseCode.REPLACED])

    def test_keysAreGone(self) -> None:
        """
        A tombstone keeps no keys, and nothing waits for a deadline of its connection.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"unacknowledged")
        self.reactor.advance(0)
        self.assertEqual(self.sizes()["deadlines"], 1)
        client.ask(client.packet(bytes((CLOSE, 0))))
        self.assertEqual((self.sizes()["ciphers"], self.sizes()["deadlines"]), (0, 0))
        [tombstone] = self.udp._tombstones.values()
        self.assertEqual(
            {type(getattr(tombstone, name)) for name in tombstone.__slots__}, {bytes, int}
        )
