"""
Authenticated UDP clients that mean harm.
"""

from diarkis_tw.core.user import UserState
from diarkis_tw.transports.udp_connection import UdpConnection
from diarkis_tw.wire.frame import ACK, FIRST, LAST, MESSAGE, PATH_CHALLENGE, PING, RELIABLE
from diarkis_tw.wire.message import encode_request
from tests.transports.udp_client import ECHO, SHOUT, UdpCase, UdpClient

PATIENT = {"connectionTTL": 60, "maxRetry": 60}
GAPS_MOST = 8 * 256 * 1400
"""Bytes that eight channels of 256 frames can hold out of order, and what Python adds."""


class HostilePeerTests(UdpCase):
    """
    One hostile client beside an honest one.
    """

    def setUp(self) -> None:
        self.serve(PATIENT)
        self.mallory = self.user("mallory")
        self.hostile = self.raw(self.mallory)
        self.honest = self.opened(self.user("bob"))

    def tearDown(self) -> None:
        """
        The honest one is not harmed.
        """
        self.assertTrue(self.honest.alive())
        self.assertEqual(self.flushLoggedErrors(), [])

    def hold(self, peer: UdpClient, kind: int, seq: int, size: int = 1100) -> None:
        """
        Send one reliable frame.
        """
        peer.put(peer.packet(bytes((kind,)) + (seq & 0xFFFF).to_bytes(2) + bytes(size)))

    def test_widestGaps(self) -> None:
        """
        Frames as early as the window allows on every channel are held to the bound, and given
        back when the connection ends.
        """
        for channel in range(8):
            for seq in range(1, 256):
                self.hold(self.hostile, RELIABLE | FIRST | LAST | channel, seq)
        held = self.sizes()["reassembly"]
        self.assertGreater(held, GAPS_MOST // 2)
        self.assertLess(held, GAPS_MOST)
        self.assertState(self.mallory, UserState.CONNECTED)
        for channel in range(8):
            for seq in range(1, 256):
                self.hold(self.hostile, RELIABLE | FIRST | LAST | channel, seq)
        self.assertEqual(self.sizes()["reassembly"], held)
        self.hold(self.hostile, RELIABLE | FIRST | LAST, 256)
        self.assertEqual(self.sizes()["reassembly"], 0)
        self.assertState(self.mallory, UserState.GONE)
        for seq in range(1, 200):
            self.hold(self.hostile, RELIABLE | FIRST | LAST, seq)
        self.assertEqual(self.sizes()["reassembly"], 0)

    def test_manyHoldingGaps(self) -> None:
        """
        A crowd that holds as much as the process may does not keep honest messages out.
        """
        self.udp._budget.most = 2_000_000
        self.udp._budget.begin = 1_500_000
        crowd = [self.hostile, *(self.raw(self.user(f"m{n}")) for n in range(3))]
        for peer in crowd:
            for seq in range(1, 256):
                for channel in range(3):
                    self.hold(peer, RELIABLE | FIRST | LAST | channel, seq)
        self.assertLess(self.sizes()["reassembly"], 2_100_000)
        self.assertTrue(self.honest.alive())
        self.honest.request(ECHO, self.random.randbytes(3000))
        self.settle(1)
        self.assertEqual(len(self.honest.payloads()[-1]), 3000)

    def test_endlessMessage(self) -> None:
        """
        A message that never ends is cut off at maxMessageSize with TOO_LARGE.
        """
        self.hold(self.hostile, RELIABLE | FIRST, 0)
        most = 0
        for seq in range(1, 200):
            self.hold(self.hostile, RELIABLE, seq)
            most = max(most, self.sizes()["reassembly"])
        self.assertLessEqual(most, 66_000)
        self.assertState(self.mallory, UserState.GONE)
        self.assertEqual(self.sizes()["reassembly"], 0)

    def test_neverLast(self) -> None:
        """
        Open messages on all channels hold at most maxMessageSize each.
        """
        for channel in range(8):
            self.hold(self.hostile, RELIABLE | FIRST | channel, 0)
            for seq in range(1, 59):
                self.hold(self.hostile, RELIABLE | channel, seq)
        self.assertState(self.mallory, UserState.CONNECTED)
        self.assertLess(self.sizes()["reassembly"], 8 * 66_000)
        self.mallory.disconnect()
        self.assertEqual(self.sizes()["reassembly"], 0)

    def ended(self, *frames: bytes) -> None:
        """
        These frames end the session.
        """
        for frame in frames:
            user = self.user("mallory")
            peer = self.raw(user)
            peer.put(peer.packet(frame))
            self.assertState(user, UserState.GONE)

    def test_breakingRules(self) -> None:
        """
        Each breach of the protocol ends the session and nothing else.
        """
        self.ended(
            bytes((ACK,)) + b"\x27\x10\0\0",
            bytes((ACK,)) + b"\0\0\0\x01\x01",
            bytes((ACK,)) + b"\0\0\0\x21" + bytes(33),
            bytes((RELIABLE | FIRST | LAST, 1, 0)) + bytes(9),
            bytes((RELIABLE, 0, 0)) + bytes(9),
            bytes((RELIABLE | LAST, 0, 0)) + bytes(9),
            bytes((0x06,)),
            bytes((0xFF,)),
            bytes((PATH_CHALLENGE,)) + bytes(7),
            bytes((0x21, 0xFF, 0xFF)) + bytes(9),
            bytes((MESSAGE, 2)),
        )
        peer = self.raw(self.user("mallory"))
        first = bytes((RELIABLE | FIRST, 0, 0)) + bytes(9)
        second = bytes((RELIABLE | FIRST, 0, 1)) + bytes(9)
        peer.put(peer.packet(first), peer.packet(second))
        self.assertEqual(len(self.udp._connections) - len(self.closing()), 1)

    def closing(self) -> list[UdpConnection]:
        """
        Connections that have said CLOSE.
        """
        return [c for c in self.udp._connections.values() if c.phase.value == "CLOSED"]

    def test_acksOfUnsent(self) -> None:
        """
        Acknowledging what was never sent ends the session though the number could be restored
        to one that was.
        """
        self.mallory.server_push(2, 1, b"x")
        self.reactor.advance(0)
        top = self.end(self.hostile).rudp._sent.next_number - 1
        self.hostile.put(self.hostile.packet(bytes((ACK,)) + (top + 1).to_bytes(2) + b"\0\0"))
        self.assertState(self.mallory, UserState.GONE)

    def test_challenges(self) -> None:
        """
        A flood of PATH_CHALLENGEs is answered with few responses a packet.
        """
        flood = (bytes((PATH_CHALLENGE,)) + b"12345678") * 120
        answers = self.hostile.ask(*[self.hostile.packet(flood) for _ in range(20)])
        self.assertLess(sum(map(len, answers)), 2000)

    def test_pings(self) -> None:
        """
        A flood of PINGs is answered with at most one datagram for each turn.
        """
        packets = [self.hostile.packet(bytes((PING,)) * 900) for _ in range(100)]
        self.assertLessEqual(len(self.hostile.ask(*packets)), 1)

    def test_manyCommands(self) -> None:
        """
        A flood of unreliable commands runs no more than the command rate.
        """
        self.serve({**PATIENT}, rate=100)
        self.honest = self.opened(self.user("bob"))
        hostile = self.raw(self.user("mallory"))
        message = encode_request(2, ECHO, 0, b"")
        frame = bytes((0x21,)) + len(message).to_bytes(2) + message
        for _ in range(100):
            hostile.put(hostile.packet(frame * 100))
        self.assertLess(len(self.echoed), 300)

    def test_greedy(self) -> None:
        """
        A client that asks for much and acknowledges nothing is held to the bound of its queue.
        """
        message = encode_request(2, SHOUT, 0, b"----" + (60_000).to_bytes(4))
        frame = bytes((RELIABLE | FIRST | LAST,))
        for seq in range(100):
            self.hostile.put(self.hostile.packet(frame + seq.to_bytes(2) + message))
        self.assertLessEqual(self.end(self.hostile).queued, 1024 * 1024)

    def test_pausedFlood(self) -> None:
        """
        A client whose queue is full cannot make the server keep what it sends on.
        """
        self.slow.clear()
        slow = bytes((RELIABLE | FIRST | LAST, 0, 0)) + encode_request(2, 11, 0, b"a")
        self.hostile.put(self.hostile.packet(slow))
        message = encode_request(2, ECHO, 0, bytes(1000))
        for seq in range(1, 2000):
            frame = bytes((RELIABLE | FIRST | LAST,)) + seq.to_bytes(2)
            self.hostile.put(self.hostile.packet(frame + message))
            self.hostile.put(self.hostile.packet(bytes((MESSAGE,)) + message))
        connection = self.end(self.hostile)
        self.assertEqual(connection._held, [])
        self.assertEqual(self.sizes()["reassembly"], 0)
        self.assertEqual(len(self.mallory.inbox._queue or ()), 256)

    def test_manyHandshakes(self) -> None:
        """
        A client that shakes hands over and over leaves one connection behind.
        """
        user = self.user("m")
        for _ in range(50):
            self.accepted(user)
        self.assertEqual(self.sizes()["unconfirmed"], 1)
        self.assertEqual(self.sizes()["connections"], 3)
        self.assertEqual(self.sizes()["handshakes"], 3)

    def test_manyMoves(self) -> None:
        """
        A client that comes from everywhere moves at most once a second and is remembered in
        one place.
        """
        for n in range(500):
            self.hostile.address = ("192.0.2.200", 1 + n)
            self.hostile.put(self.hostile.packet(bytes((PING,))))
        path = self.end(self.hostile).path
        self.assertEqual(path.address, ("192.0.2.1", 40_000))
        self.assertLessEqual(len(path._moves), 10)
