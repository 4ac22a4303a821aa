"""
Tests of L{diarkis_tw.transports.udp} and L{diarkis_tw.transports.udp_connection}:
commands and pushes, and when datagrams leave.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.core.user import UserState
from diarkis_tw.rudp.connection import State
from diarkis_tw.wire.frame import (
    CLOSE,
    MESSAGE,
    PADDING,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
)
from diarkis_tw.wire.message import Push, Response, encode_request
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
