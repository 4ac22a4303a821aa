"""
RESET: who gets it, how large it is, and how often.
"""

from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.frame import PING
from diarkis_tw.wire.packet import CLIENT_DATA_MIN
from diarkis_tw.wire.reset import RESET_SIZE_MAX, RESET_SIZE_MIN, matches_reset
from tests.transports.udp_client import UdpCase


class ResetTests(UdpCase):
    """
    DATA of connections that the server does not know.
    """

    def unknown(self, size: int = CLIENT_DATA_MIN) -> bytes:
        """
        DATA with a cid that nobody has.
        """
        return b"\x80" + self.random.randbytes(size - 1)

    def resets(self, count: int, host: str = "203.0.113.1") -> int:
        """
        How many of so many unknown packets are answered.
        """
        before = len(self.socket.sent)
        for n in range(count):
            self.udp.datagramReceived(self.unknown(), (host, 1000 + n))
        return len(self.socket.sent) - before

    def test_token(self) -> None:
        """
        It ends with the reset token of the cid, which ACCEPT had told its client.
        """
        client = self.accepted()
        self.advance(6)
        self.assertEqual(self.sizes()["connections"], 0)
        [reset] = client.ask(client.packet(bytes((PING,))))
        assert client.terms is not None
        self.assertTrue(matches_reset(reset, client.terms.reset_token))
        self.assertEqual(self.udp.resets, 1)

    def test_otherProcess(self) -> None:
        """
        Another process's RESET of the same cid has another token.
        """
        client = self.raw()
        self.serve()
        client._seen = 0
        [reset] = client.ask(client.packet(bytes((PING,))))
        assert client.terms is not None
        self.assertFalse(matches_reset(reset, client.terms.reset_token))

    def test_knownOnesAreNot(self) -> None:
        """
        No packet with the cid of a live connection, forged or replayed, gets one.
        """
        client = self.raw()
        packet = client.packet(bytes((PING,)))
        client.ask(packet)
        self.assertEqual(client.ask(packet, packet[:-1] + b"!", packet[:9] + bytes(40)), [])
        self.assertEqual(self.udp.resets, 0)

    def test_size(self) -> None:
        """
        It has 22 to 43 random-looking bytes, always fewer than its cause, of varying number.
        """
        sizes = set()
        seen = set()
        for n in range(300):
            before = len(self.socket.sent)
            self.udp.datagramReceived(self.unknown(44 + n % 3), (f"203.0.{n}.1", 5))
            [(reset, _)] = self.socket.sent[before:]
            sizes.add(len(reset))
            seen.add(reset)
        self.assertGreaterEqual(min(sizes), RESET_SIZE_MIN)
        self.assertLessEqual(max(sizes), RESET_SIZE_MAX)
        self.assertLess(max(sizes), CLIENT_DATA_MIN)
        self.assertGreater(len(sizes), 10)
        self.assertEqual(len(seen), 300)

    def test_small(self) -> None:
        """
        DATA below its least size is junk, which nothing answers.
        """
        for size in range(CLIENT_DATA_MIN):
            self.udp.datagramReceived(self.unknown(max(size, 1))[:size], ("203.0.113.1", 5))
        self.assertEqual(self.socket.sent, [])

    def test_perSource(self) -> None:
        """
        A source gets ten a second, whatever its ports.
        """
        self.assertEqual(self.resets(500), 10)
        self.assertEqual(self.resets(500, "203.0.113.2"), 10)
        self.reactor.advance(1)
        self.assertEqual(self.resets(500), 10)
        self.reactor.advance(0.1)
        self.assertEqual(self.resets(500), 1)

    def test_perNode(self) -> None:
        """
        The node sends a thousand a second, however many the sources, and remembers few of
        them.
        """
        total = 0
        for n in range(3000):
            total += self.resets(1, f"198.{n >> 8}.{n & 255}.1")
        self.assertEqual(total, 1000)
        self.assertEqual(self.sizes()["sources"], 1000)
        self.reactor.advance(1)
        for n in range(3000):
            total += self.resets(1, f"199.{n >> 8}.{n & 255}.1")
        self.assertEqual(total, 2000)
        self.advance(4)
        self.resets(1)
        self.assertLessEqual(self.sizes()["sources"], 2)

    def test_closedByServer(self) -> None:
        """
        While a tombstone stands there is CLOSE, not RESET.
        """
        alice = self.user()
        client = self.raw(alice)
        alice.remove(CloseCode.REPLACED)
        self.advance(1)
        client.take()
        answers = client.ask(client.packet(bytes((PING,))))
        self.assertEqual(self.closes(client, answers), [CloseCode.REPLACED])
        self.assertEqual(self.udp.resets, 0)
