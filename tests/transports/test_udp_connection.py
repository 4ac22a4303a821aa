"""
Tests of L{diarkis_tw.transports.udp} and L{diarkis_tw.transports.udp_connection}:
commands and pushes, when datagrams leave, and how connections end.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.constants import Builtin, CloseCode, Status
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.user import UserState
from diarkis_tw.rudp.connection import State
from diarkis_tw.wire.frame import (
    CLOSE,
    MESSAGE,
    PADDING,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    reliable_header,
)
from diarkis_tw.wire.handshake import encode_close
from diarkis_tw.wire.message import Push, Response, encode_request
from diarkis_tw.wire.reset import matches_reset
from tests.transports.udp_client import ECHO, SHOUT, SLOW, UdpCase


class CommandTests(UdpCase):
    """
    An open connection at work.
    """

    def test_reliable(self) -> None:
        """
        A reliable command is answered reliably, with its id.
        """
        client = self.opened()
        client.request(ECHO, b"hello", 7)
        [answer] = client.messages
        assert isinstance(answer, Response)
        self.assertEqual(
            (answer.ver, answer.cmd, answer.status, answer.request_id, answer.payload),
            (2, ECHO, Status.OK, 7, b"hello"),
        )
        self.assertEqual(client.reliable, [True])

    def test_unreliable(self) -> None:
        """
        An unreliable command is answered unreliably.
        """
        client = self.opened()
        client.request(ECHO, b"hello", reliable=False)
        self.assertEqual(client.payloads(), [b"hello"])
        self.assertEqual(client.reliable, [False])

    def test_mixed(self) -> None:
        """
        Both kinds share a connection.
        """
        client = self.opened()
        for n in range(20):
            client.command(2, ECHO, b"%d" % n, reliable=bool(n % 2))
        client.turn()
        self.settle(0.1)
        self.assertEqual(sorted(map(int, client.payloads())), list(range(20)))

    def test_large(self) -> None:
        """
        Messages up to maxMessageSize come and go in fragments.
        """
        client = self.opened()
        payload = self.random.randbytes(64 * 1024)
        client.request(ECHO, payload)
        self.settle(2)
        self.assertEqual(client.payloads(), [payload])

    def test_tooLarge(self) -> None:
        """
        A message above maxMessageSize ends the connection with TOO_LARGE.
        """
        self.serve({"maxMessageSize": 8000})
        client = self.opened()
        client.request(ECHO, bytes(8000))
        self.settle(0.5)
        self.assertEqual(client.payloads(), [bytes(8000)])
        client.request(ECHO, bytes(8001))
        self.settle(0.5)
        self.assertClosed(client, CloseCode.TOO_LARGE)
        self.assertEqual(len(self.echoed), 1)

    def test_integrityOnly(self) -> None:
        """
        Without encryption commands are readable on the wire, and still authenticated.
        """
        self.serve({"enableEncryption": False})
        client = self.opened(encrypted=False)
        client.command(2, ECHO, b"readable")
        [datagram] = client.rudp.flush(self.now())
        self.assertIn(b"readable", datagram)
        forged = datagram.replace(b"readable", b"Readable")
        client.put(forged)
        self.assertEqual(self.echoed, [])
        client.put(datagram)
        self.assertEqual(self.echoed, [b"readable"])
        client.turn()
        self.assertEqual(client.payloads(), [b"readable"])
        self.assertTrue(any(b"readable" in got for got in client.got))

    def test_encrypted(self) -> None:
        """
        With encryption nothing of a command is readable on the wire.
        """
        client = self.opened()
        client.command(2, ECHO, b"readable")
        [datagram] = client.rudp.flush(self.now())
        self.assertNotIn(b"readable", datagram)
        client.put(datagram)
        client.turn()
        self.assertEqual(client.payloads(), [b"readable"])
        self.assertFalse(any(b"readable" in got for got in client.got))

    def test_shortMessage(self) -> None:
        """
        A message shorter than its header ends the connection with PROTOCOL.
        """
        client = self.raw()
        frames = client.frames(client.packet(bytes((MESSAGE,)) + b"\x02\0\x0a\0"))
        self.assertIn((CLOSE, 0, 0, bytes((CloseCode.PROTOCOL,))), frames)
        self.assertEqual(self.left, ["alice"])

    def test_framesBeforeABadOne(self) -> None:
        """
        Commands in front of a bad frame still run.
        """
        client = self.raw()
        message = encode_request(2, ECHO, 0, b"in front")
        good = b"\x21" + len(message).to_bytes(2) + message
        frames = client.frames(client.packet(good + b"\x3f"))
        self.assertEqual(self.echoed, [b"in front"])
        kind, _, _, body = frames[-1]
        self.assertEqual((kind, body[0]), (CLOSE, CloseCode.PROTOCOL))

    def test_oversizedAnswer(self) -> None:
        """
        An answer that fits no packet is an error of the command, not of the connection.
        """
        client = self.opened()
        client.request(SHOUT, b"----" + (1200).to_bytes(4), reliable=False)
        [answer] = client.messages
        assert isinstance(answer, Response)
        self.assertIs(answer.status, Status.ERR)
        self.flushLoggedErrors()
        self.assertTrue(client.alive())

    def test_emptyPacket(self) -> None:
        """
        A packet without frames is legal, and so is padding alone.
        """
        client = self.raw()
        self.assertEqual(client.ask(client.packet(bytes((PADDING,)) * 100)), [])
        self.assertIs(self.end(client).rudp.state, State.OPEN)

    def test_clientsChallenge(self) -> None:
        """
        A client's PATH_CHALLENGE is answered.
        """
        client = self.raw()
        frames = client.frames(client.packet(bytes((PATH_CHALLENGE,)) + b"abcdefgh"))
        self.assertIn((PATH_RESPONSE, 0, 0, b"abcdefgh"), frames)

    def test_pushAfterAway(self) -> None:
        """
        What waited for a user who was away comes with the next connection; what is too
        large for UDP is logged and harms nothing else.
        """
        alice = self.user()
        self.opened(alice)
        self.advance(12)
        self.assertState(alice, UserState.AWAY)
        for payload in (b"one", bytes(100_000), b"two"):
            self.assertTrue(alice.server_push(2, 1, payload))
        client = self.accepted(alice)
        client.command(2, ECHO, b"hello")
        client.turn()
        self.settle(0.1)
        self.assertEqual(client.payloads(), [b"one", b"two", b"hello"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class LeavingTests(UdpCase):
    """
    When datagrams leave.
    """

    def test_coalesced(self) -> None:
        """
        What one reactor turn leaves to be sent goes out in one datagram at its end.
        """
        alice = self.user()
        client = self.raw(alice)
        for n in range(10):
            alice.server_push(2, n, b"reliable")
            alice.server_push(2, n, b"unreliable", reliable=False)
        self.assertEqual(client.take(), [])
        self.reactor.advance(0)
        [datagram] = client.take()
        self.assertEqual(len(client.open(datagram)), 20)

    def test_buffered(self) -> None:
        """
        With sendUDPInterval everything waits for the next flush, and is sent then.
        """
        self.serve({"sendUDPInterval": 125})
        alice = self.user()
        client = self.raw(alice)
        self.reactor.advance(0.125)
        client.take()
        sizes = []
        for n in range(8):
            alice.server_push(2, n, b"x" * 20, reliable=False)
            self.reactor.advance(1 / 32)
            sizes.append([len(client.open(datagram)) for datagram in client.take()])
        self.assertEqual(sizes, [[], [], [], [4], [], [], [], [4]])

    def test_belowTen(self) -> None:
        """
        A sendUDPInterval below 10 sends at the end of each turn.
        """
        self.serve({"sendUDPInterval": 9})
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"now", reliable=False)
        self.reactor.advance(0)
        self.assertEqual(len(client.take()), 1)

    def test_bufferedConversation(self) -> None:
        """
        Buffering delays and loses nothing.
        """
        self.serve({"sendUDPInterval": 20})
        client = self.opened()
        payload = self.random.randbytes(5000)
        client.request(ECHO, payload)
        self.settle(1)
        self.assertEqual(client.payloads(), [payload])

    def test_systemTakesNothing(self) -> None:
        """
        A datagram that the system does not take is counted and sent again later.
        """
        alice = self.user()
        client = self.opened(alice)
        for fault in (BlockingIOError(), OSError(90, "Message too long"), OSError(105, "ENOBUFS")):
            self.socket.fault = fault
            alice.server_push(2, 1, b"reliable")
            self.reactor.advance(0)
            self.socket.fault = None
        self.assertEqual(self.udp.unsent, 3)
        self.settle(2)
        self.assertEqual(client.payloads(), [b"reliable"] * 3)

    def test_timers(self) -> None:
        """
        Timers are shared: two loops and one deadline, however many the users.
        """
        idle = len(self.reactor.getDelayedCalls())
        users = [self.user(f"u{n}") for n in range(50)]
        clients = [self.raw(user) for user in users]
        self.reactor.advance(0.2)
        calls = self.reactor.later
        for user in users:
            user.server_push(2, 1, b"reliable")
        self.assertEqual(self.reactor.later - calls, 1)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.later - calls, 2)
        for client in clients:
            client.put(client.packet(bytes((PING,))))
        self.assertLessEqual(self.reactor.later - calls, 3)
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), idle + 2)

    def test_idle(self) -> None:
        """
        Idle users cost no timer and no datagram.
        """
        clients = [self.raw(self.user(f"u{n}")) for n in range(20)]
        self.advance(2)
        sent = len(self.socket.sent)
        calls = self.reactor.later
        self.reactor.pump([0.1] * 10)
        self.assertEqual(len(self.socket.sent), sent)
        self.assertLess(self.reactor.later - calls, 20)
        self.assertEqual(len(self.udp._connections), len(clients))

    def test_ackDelay(self) -> None:
        """
        A single packet after another is acknowledged within the ack delay, by the timer.
        """
        client = self.raw()
        self.reactor.advance(1)
        client.ask(client.packet(bytes((PING,))))
        self.reactor.advance(0.001)
        self.assertEqual(client.ask(client.packet(bytes((PING,)))), [])
        self.reactor.advance(0.018)
        self.assertEqual(client.take(), [])
        self.reactor.advance(0.002)
        self.assertEqual(len(client.take()), 1)

    def test_retransmission(self) -> None:
        """
        What a client does not acknowledge is sent again by the timer.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.server_push(2, 1, b"reliable")
        self.reactor.advance(0)
        self.assertEqual(len(client.take()), 1)
        self.advance(1)
        self.assertGreaterEqual(len(client.take()), 3)

    def test_sweep(self) -> None:
        """
        handleRUDPInterval is the period of the sweep; below 10 it counts as 10.
        """
        self.serve({"handleRUDPInterval": 1000})
        self.reactor.advance(0.5)
        self.accepted()
        self.advance(5.4)
        self.assertEqual(self.sizes()["connections"], 1)
        self.advance(0.2)
        self.assertEqual(self.sizes()["connections"], 0)
        self.serve({"handleRUDPInterval": 0})
        self.accepted()
        self.advance(5.05)
        self.assertEqual(self.sizes()["connections"], 0)
        calls = self.reactor.later
        self.reactor.pump([1 / 256] * 256)
        self.assertIn(self.reactor.later - calls, range(80, 105))

    def test_portCloses(self) -> None:
        """
        What waits for the end of the turn goes out when the port closes, and no timer is left.
        """
        alice = self.user()
        client = self.raw(alice)
        self.reactor.advance(1)
        client.take()
        alice.server_push(2, 1, b"last")
        self.port.stopListening()
        self.assertEqual(len(client.take()), 1)
        self.server.users.stop()
        calls = " ".join(map(str, self.reactor.getDelayedCalls()))
        for name in ("UdpServer", "Deadlines"):
            self.assertNotIn(name, calls)


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


class SlowTests(UdpCase):
    """
    A command that takes its time.
    """

    def test_answerAfterReconnect(self) -> None:
        """
        An answer that becomes ready on a later connection goes there.
        """
        alice = self.user()
        client = self.opened(alice)
        client.request(SLOW, b"a")
        again = self.opened(alice)
        waiting: Deferred[bytes] = self.slow[b"a"]
        waiting.callback(b"done")
        again.turn()
        self.assertEqual(again.payloads(), [b"done"])

    def test_push(self) -> None:
        """
        A push is a push.
        """
        alice = self.user()
        client = self.opened(alice)
        alice.server_push(2, 5, b"hi")
        client.turn()
        [push] = client.messages
        self.assertIsInstance(push, Push)
