"""
Tests of L{diarkis_tw.transports.udp_connection}: clients faster than their
handlers, and servers faster than their clients.
"""

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.inbox import FULL_PATIENCE, QUEUE_LIMIT
from diarkis_tw.core.user import UserState
from diarkis_tw.rudp.outgoing import QUEUE_BYTES, QUEUE_FRAMES
from diarkis_tw.wire.frame import FIRST, LAST, PING, RELIABLE
from diarkis_tw.wire.message import encode_request
from tests.transports.udp_client import ECHO, SLOW, UdpCase

WHOLE = RELIABLE | FIRST | LAST


class FullQueueTests(UdpCase):
    """
    Commands behind a handler that does not finish.
    """

    def setUp(self) -> None:
        self.serve({"connectionTTL": 60, "maxRetry": 60})
        self.alice = self.user()
        self.peer = self.opened(self.alice)
        self.peer.request(SLOW, b"a")

    def finish(self, which: bytes = b"a") -> None:
        """
        Let a handler finish.
        """
        self.slow.pop(which).callback(b"slow")

    def test_order(self) -> None:
        """
        With a full queue the client's messages wait unacknowledged; then all run in order.
        """
        count = 2 * QUEUE_LIMIT + 100
        for n in range(count):
            self.peer.command(2, ECHO, b"%d" % n)
        self.peer.turn()
        self.settle(1)
        self.assertEqual(self.echoed, [])
        self.assertGreater(self.peer.rudp.queued, 0)
        self.finish()
        self.settle(4)
        self.assertEqual(self.echoed, [b"%d" % n for n in range(count)])
        self.assertEqual(self.peer.rudp.queued, 0)
        self.assertEqual(len(self.peer.payloads()), count + 1)

    def test_littleIsHeld(self) -> None:
        """
        A full queue holds what one packet brought beyond it and nothing more, however much
        comes.
        """
        for n in range(1000):
            self.peer.command(2, ECHO, b"%04d" % n)
            self.peer.command(2, ECHO, bytes(500), reliable=False)
            self.peer.turn()
        held = self.end(self.peer)._held
        assert held is not None
        self.assertTrue(all(reliable for _, reliable in held))
        self.assertLess(len(held), 200)

    def test_unreliableIsDropped(self) -> None:
        """
        While a queue is full unreliable commands are dropped and counted.
        """
        for n in range(QUEUE_LIMIT):
            self.peer.command(2, ECHO, b"%d" % n)
            self.peer.turn()
        dropped = self.server.users.dispatcher.dropped
        for _ in range(10):
            self.peer.request(ECHO, b"unreliable", reliable=False)
        self.assertEqual(self.server.users.dispatcher.dropped, dropped + 10)
        self.finish()
        self.settle(2)
        self.assertNotIn(b"unreliable", self.echoed)
        self.assertEqual(len(self.echoed), QUEUE_LIMIT)
        self.peer.request(ECHO, b"unreliable", reliable=False)
        self.assertEqual(self.echoed[-1], b"unreliable")

    def test_others(self) -> None:
        """
        Other users are not hindered.
        """
        for _ in range(2 * QUEUE_LIMIT):
            self.peer.command(2, ECHO)
        self.peer.turn()
        self.assertTrue(self.opened(self.user("bob")).alive())

    def test_fullForLong(self) -> None:
        """
        A queue that stays full for its patience ends the session with OVERFLOW.
        """
        for _ in range(2 * QUEUE_LIMIT):
            self.peer.command(2, ECHO)
        self.peer.turn()
        self.settle(FULL_PATIENCE - 1)
        self.assertState(self.alice, UserState.CONNECTED)
        self.settle(2.5)
        self.assertState(self.alice, UserState.GONE)
        self.assertClosed(self.peer, CloseCode.OVERFLOW)

    def test_finPassesTheQueue(self) -> None:
        """
        A user can leave while its handler does not finish.
        """
        self.peer.command(0, 0, id=0)
        self.assertClosed(self.peer, CloseCode.NORMAL)

    def test_reconnected(self) -> None:
        """
        A new connection takes over with the queue full, and goes on when there is room.
        """
        for n in range(QUEUE_LIMIT):
            self.peer.command(2, ECHO, b"%d" % n)
            self.peer.turn()
        again = self.opened(self.alice)
        again.request(ECHO, b"again")
        again.request(ECHO, b"and again")
        self.finish()
        self.settle(3)
        self.assertEqual(self.echoed[-2:], [b"again", b"and again"])


class BurstTests(UdpCase):
    """
    More messages at once than may wait.
    """

    def test_unreliable(self) -> None:
        """
        What of a burst of unreliable messages was too much is lost, and nothing else: the
        user stays.
        """
        self.serve({"connectionTTL": 60, "maxRetry": 60})
        alice = self.user()
        peer = self.opened(alice)
        for _ in range(QUEUE_FRAMES + 1):
            alice.server_push(2, ECHO, b"x", False)
        peer.turn()
        self.settle(FULL_PATIENCE + 2)
        self.assertState(alice, UserState.CONNECTED)
        self.assertEqual(len(peer.messages), QUEUE_FRAMES)


class RateTests(UdpCase):
    """
    Commands faster than maxCommandRate.
    """

    def setUp(self) -> None:
        self.serve(rate=100)

    def test_reliableWaits(self) -> None:
        """
        Reliable commands above the rate wait unacknowledged, and all run in order.
        """
        peer = self.opened()
        for n in range(500):
            peer.command(2, ECHO, b"%d" % n)
        peer.turn()
        self.settle(0.5)
        self.assertLess(len(self.echoed), 400)
        self.settle(6)
        self.assertEqual(self.echoed, [b"%d" % n for n in range(500)])

    def test_unreliableIsDropped(self) -> None:
        """
        Unreliable commands above the rate are dropped.
        """
        peer = self.opened()
        for _ in range(500):
            peer.request(ECHO, reliable=False)
        self.assertLess(len(self.echoed), 300)
        self.assertGreater(self.server.users.dispatcher.dropped, 200)


class SlowClientTests(UdpCase):
    """
    A client that acknowledges nothing, or too slowly.
    """

    def test_refused(self) -> None:
        """
        Beyond 1 MB a reliable message is refused and an unreliable one dropped, never raised.
        """
        alice = self.user()
        client = self.raw(alice)
        for size in (10_000, 100, 1):
            while alice.server_push(2, 1, bytes(size)):
                pass
        self.assertIn(self.end(client).queued, range(QUEUE_BYTES - 10, QUEUE_BYTES + 1))
        self.assertFalse(alice.server_push(2, 1, bytes(100), reliable=False))
        self.assertEqual(self.end(client).rudp.dropped, 1)

    def test_refusedFrames(self) -> None:
        """
        Beyond 4096 frames likewise.
        """
        alice = self.user()
        self.raw(alice)
        taken = sum(alice.server_push(2, 1, b"x") for _ in range(QUEUE_FRAMES + 10))
        self.assertEqual(taken, QUEUE_FRAMES)
        self.assertFalse(alice.server_push(2, 1, b"x", reliable=False))

    def test_overflow(self) -> None:
        """
        A client that is alive and acknowledges nothing is closed with OVERFLOW after ten
        seconds at the bound.
        """
        self.serve({"connectionTTL": 60, "maxRetry": 100})
        alice = self.user()
        client = self.raw(alice)
        while alice.server_push(2, 1, bytes(10_000)):
            pass
        for _ in range(9):
            self.advance(1)
            client.put(client.packet(bytes((PING,))))
        self.assertState(alice, UserState.CONNECTED)
        client.take()
        self.advance(2)
        self.assertState(alice, UserState.GONE)
        self.assertIn(CloseCode.OVERFLOW, self.closes(client, client.take()))

    def test_recovered(self) -> None:
        """
        A client that was slow for a moment is not held to it, though nothing more is sent.
        """
        alice = self.user()
        client = self.opened(alice)
        while alice.server_push(2, 1, bytes(10_000)):
            pass
        client.turn()
        for _ in range(15):
            self.settle(0.8)
            client.command(0, 3, b"ping")
            client.turn()
        self.assertState(alice, UserState.CONNECTED)
        self.assertEqual(self.end(client).queued, 0)

    def test_bothWays(self) -> None:
        """
        A megabyte goes each way while the other does.
        """
        alice = self.user()
        client = self.opened(alice)
        down = [self.random.randbytes(50_000) for _ in range(20)]
        up = [self.random.randbytes(50_000) for _ in range(10)]
        for payload in down:
            self.assertTrue(alice.server_push(2, 1, payload))
        for payload in up:
            client.command(2, ECHO, payload, id=0)
        client.turn()
        self.settle(3)
        self.assertEqual(self.echoed, up)
        for payload in down:
            self.assertIn(payload, client.payloads())


class HeldWithinOnePacketTests(UdpCase):
    """
    What one packet brings beyond a full queue.
    """

    def test_nothingLost(self) -> None:
        """
        It is acknowledged, so it is kept and runs in order.
        """
        self.alice = self.user()
        peer = self.raw(self.alice)
        commands = [encode_request(2, SLOW, 0, b"a")]
        commands += [encode_request(2, ECHO, 0, b"%03d" % n) for n in range(QUEUE_LIMIT + 60)]
        seq = 0
        for start in range(0, len(commands), 70):
            frames = b""
            for message in commands[start : start + 70]:
                frames += bytes((WHOLE | 0x20,)) + seq.to_bytes(2) + len(message).to_bytes(2)
                frames += message
                seq += 1
            peer.ask(peer.packet(frames))
        self.assertEqual(self.echoed, [])
        self.slow[b"a"].callback(b"")
        self.assertEqual(self.echoed, [b"%03d" % n for n in range(4 * 70 - 1)])
