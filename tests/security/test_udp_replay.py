"""
What was recorded of a UDP connection, played again, changed or made up.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import UserState
from diarkis_tw.rudp.connection import State
from diarkis_tw.wire.frame import MESSAGE, PING
from diarkis_tw.wire.message import encode_request
from diarkis_tw.wire.packet import CLIENT_HEADER_SIZE
from tests.transports.udp_client import ECHO, Address, UdpCase, UdpClient

ELSEWHERE = ("203.0.113.99", 666)
PATIENT = {"connectionTTL": 60, "maxRetry": 60}


class Tap:
    """
    Records what a client sends.
    """

    def __init__(self, client: UdpClient) -> None:
        self.recorded: list[bytes] = []
        self._put = client.put
        client.put = self  # type: ignore[method-assign]

    def __call__(self, *datagrams: bytes) -> None:
        self.recorded += datagrams
        self._put(*datagrams)


class ReplayTests(UdpCase):
    """
    Replay of everything a client ever sent.
    """

    def setUp(self) -> None:
        self.serve(PATIENT)
        self.alice = self.user()
        self.peer = self.client(self.alice)
        self.tap = Tap(self.peer)
        self.peer.shake_hands()
        self.peer.rudp.ping()
        self.peer.turn()
        for n in range(30):
            self.peer.request(ECHO, b"%d" % n, reliable=bool(n % 3))
            self.settle(0.03)
        self.peer.request(ECHO, bytes(5000))
        self.settle(0.5)
        self.echoed.clear()
        self.socket.sent.clear()
        self.peer._seen = 0

    def replay(self, address: Address) -> None:
        """
        Play everything again, with time passing, watching that nothing comes of it.
        """
        sizes = self.sizes()
        for datagram in self.tap.recorded:
            before = len(self.socket.sent)
            self.udp.datagramReceived(datagram, address)
            self.advance(0.01)
            answers = self.socket.sent[before:]
            self.assertLessEqual(sum(len(answer) for answer, _ in answers), len(datagram))
            self.assertLessEqual({to for _, to in answers}, {address})
        self.assertEqual(self.echoed, [])
        after = self.sizes()
        for name in ("connections", "unconfirmed", "users", "reassembly", "tombstones"):
            self.assertEqual(after[name], sizes[name], name)

    def test_sameAddress(self) -> None:
        """
        From the same address nothing is delivered and no answer is larger than its cause.
        """
        self.replay(self.peer.address)
        self.settle(0.1)
        self.assertTrue(self.peer.alive())

    def test_otherAddress(self) -> None:
        """
        From another address neither, and the connection stays where it is.
        """
        self.replay(ELSEWHERE)
        self.assertEqual(self.end(self.peer).path.address, self.peer.address)
        self.assertIsNone(self.end(self.peer).path.candidate)
        self.assertTrue(self.peer.alive())

    def test_later(self) -> None:
        """
        When cookie and stored ACCEPT have expired, the handshake gets a COOKIE at best.
        """
        self.settle(6)
        self.socket.sent.clear()
        self.peer._seen = 0
        self.replay(self.peer.address)
        self.assertTrue(self.peer.alive())

    def test_afterTheEnd(self) -> None:
        """
        After the end of the connection neither: tombstone and RESET are smaller than what
        they answer, and few.
        """
        self.peer.command(0, 0, id=0)
        self.settle(0.5)
        self.assertState(self.alice, UserState.GONE)
        self.socket.sent.clear()
        self.peer._seen = 0
        for datagram in self.tap.recorded * 3:
            before = len(self.socket.sent)
            self.udp.datagramReceived(datagram, ELSEWHERE)
            self.advance(0.03)
            answers = self.socket.sent[before:]
            self.assertLessEqual(sum(len(answer) for answer, _ in answers), len(datagram))
        self.assertEqual(self.echoed, [])
        self.assertEqual(self.sizes()["connections"], 0)
        self.assertEqual(self.left, ["alice"])

    def test_afterARestart(self) -> None:
        """
        A new process delivers nothing of the old one's, and answers with RESET that the old
        client does not believe.
        """
        recorded = self.tap.recorded
        terms = self.peer.terms
        assert terms is not None
        self.serve(PATIENT)
        before = self.sizes()
        for datagram in recorded:
            self.udp.datagramReceived(datagram, self.peer.address)
        self.assertEqual(self.echoed, [])
        self.assertEqual(self.sizes()["connections"], before["connections"])
        self.assertFalse(
            any(datagram.endswith(terms.reset_token) for datagram, _ in self.socket.sent)
        )

    def test_counted(self) -> None:
        """
        What is played again is counted.
        """
        rudp = self.end(self.peer).rudp
        before = rudp.replayed
        data = [datagram for datagram in self.tap.recorded if datagram[0] == 0x80]
        for datagram in data:
            self.udp.datagramReceived(datagram, ELSEWHERE)
        self.assertEqual(rudp.replayed, before + len(data))


class ForgeryTests(UdpCase):
    """
    Datagrams that only look like a client's.
    """

    def setUp(self) -> None:
        self.serve(PATIENT)
        self.alice = self.user()
        self.peer = self.raw(self.alice)
        self.message = bytes((MESSAGE,)) + encode_request(2, ECHO, 0, b"forged")
        self.good = self.peer.packet(self.message)

    def assertNothing(self, datagram: bytes, address: Address = ELSEWHERE) -> None:
        """
        It is as if the datagram had not come.
        """
        sent = len(self.socket.sent)
        heard = self.end(self.peer).heard
        self.udp.datagramReceived(datagram, address)
        self.reactor.advance(0)
        self.assertEqual(self.echoed, [])
        self.assertEqual(len(self.socket.sent), sent)
        self.assertEqual(self.end(self.peer).heard, heard)
        self.assertIs(self.end(self.peer).rudp.state, State.OPEN)

    def test_bitFlips(self) -> None:
        """
        One bit changed anywhere but in the cid makes it worth nothing, and it is counted.
        """
        forged = self.end(self.peer).rudp.forged
        flips = 0
        for bit in range(8 * 9, 8 * len(self.good)):
            datagram = bytearray(self.good)
            datagram[bit >> 3] ^= 1 << (bit & 7)
            self.assertNothing(bytes(datagram), self.peer.address)
            flips += 1
        rudp = self.end(self.peer).rudp
        self.assertEqual(rudp.forged + rudp.replayed, forged + flips)
        self.peer.put(self.good)
        self.assertEqual(self.echoed, [b"forged"])

    def test_truncated(self) -> None:
        """
        Cut anywhere, or with something behind it, it is worth nothing.
        """
        for size in range(len(self.good)):
            self.assertNothing(self.good[:size], self.peer.address)
        self.assertNothing(self.good + b"\0", self.peer.address)
        self.assertNothing(self.good + bytes(1200 - len(self.good)), self.peer.address)

    def test_madeUp(self) -> None:
        """
        Random bytes behind a cid that was overheard are worth nothing, a thousand times.
        """
        for n in range(1000):
            size = 33 + n % 1100
            datagram = self.good[:9] + self.random.randbytes(size)
            self.assertNothing(datagram)
        self.assertEqual(self.end(self.peer).path.address, self.peer.address)

    def test_windowDoesNotMove(self) -> None:
        """
        Forged packets with far packet numbers do not move the replay window.
        """
        for number in (0x7000, 0x8000, 0xFFFF):
            self.assertNothing(self.good[:9] + number.to_bytes(2) + bytes(60))
        self.peer.put(self.good)
        self.assertEqual(self.echoed, [b"forged"])

    def test_otherUsersKeys(self) -> None:
        """
        A user cannot speak in the name of another.
        """
        bob = self.raw(self.user("bob"))
        bob.cid = self.peer.cid
        self.assertNothing(bob.packet(self.message))

    def test_reflected(self) -> None:
        """
        The server's own packets sent back are worth nothing.
        """
        self.alice.server_push(2, 1, bytes(100))
        self.reactor.advance(0)
        for datagram in self.peer.take():
            header = bytes((0x80,)) + self.peer.cid
            self.assertNothing(header + datagram[1:])

    def test_integrityOnly(self) -> None:
        """
        Without encryption one bit changed makes a packet worth nothing all the same.
        """
        self.serve({"enableEncryption": False, **PATIENT})
        self.peer = self.client(encrypted=False)
        self.peer.shake_hands()
        self.peer.ask(self.peer.packet(bytes((PING,))))
        good = self.peer.packet(self.message)
        for bit in range(8 * 9, 8 * len(good)):
            datagram = bytearray(good)
            datagram[bit >> 3] ^= 1 << (bit & 7)
            self.assertNothing(bytes(datagram), self.peer.address)

    def test_terminateFromAClient(self) -> None:
        """
        Datagrams that only a server sends are junk.
        """
        junk = self.udp.junk
        for datagram in (
            b"\x02" + bytes(36),
            b"\x03" + bytes(112),
            b"\x04" + self.peer.nonce + bytes((CloseCode.UNKNOWN,)),
        ):
            self.assertNothing(datagram)
        self.assertEqual(self.udp.junk, junk + 3)


class AnyDatagramTests(UdpCase):
    """
    Properties of the receive loop.
    """

    def test_everySizeAndFirstByte(self) -> None:
        """
        Junk of any size and first byte is counted, answered by nothing larger, and raises
        nothing.
        """
        peer = self.raw()
        sizes = [*range(64), 112, 113, 114, 575, 576, 1183, 1199, 1200, 1201, 1500, 2048]
        for size in sizes:
            for first in range(256) if size in (1, 44, 1200) else (0, 1, 2, 3, 4, 0x7F, 0x80):
                datagram = (bytes((first,)) + self.random.randbytes(size))[:size]
                before = len(self.socket.sent)
                self.udp.datagramReceived(datagram, ELSEWHERE)
                answers = self.socket.sent[before:]
                self.assertLessEqual(sum(len(answer) for answer, _ in answers), size)
        self.assertGreater(self.udp.junk, 800)
        self.assertEqual(self.sizes()["connections"], 1)
        peer.put(peer.packet(bytes((MESSAGE,)) + encode_request(2, ECHO, 0, b"well")))
        self.assertEqual(self.echoed, [b"well"])

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_anyPlaintext(self, data: st.DataObject) -> None:
        """
        Whatever an authentic client seals, nothing is raised, and another user is not harmed.
        """
        frames = st.binary(max_size=40)
        kinds = st.sampled_from([0, 1, 2, 3, 4, 5, 0x20, 0x21, 0x3F, 0x40, 0x58, 0x78, 0x7F, 0x80])
        plaintext = b"".join(
            bytes((data.draw(kinds),)) + data.draw(frames) for _ in range(data.draw(st.just(4)))
        )
        self.udp._connections.clear()
        hostile = self.raw(self.user("mallory"))
        other = self.raw(self.user("bob"))
        for _ in range(data.draw(st.integers(1, 3))):
            hostile.put(hostile.packet(plaintext))
            self.reactor.advance(0.05)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.echoed.clear()
        other.put(other.packet(bytes((MESSAGE,)) + encode_request(2, ECHO, 0, b"well")))
        self.assertEqual(self.echoed, [b"well"])

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=1300), st.sampled_from(["", "cid", "header"]), st.integers(0, 65535))
    def test_anyBytes(self, junk: bytes, prefix: str, port: int) -> None:
        """
        Whatever anybody sends, also behind a known cid, nothing is raised or remembered and
        no answer is larger.
        """
        if not self.udp._connections:
            self.raw()
        [connection] = self.udp._connections.values()
        header = bytes((0x80,)) + connection.cid
        if prefix:
            junk = (header if prefix == "cid" else header + b"\0\0") + junk
        before = len(self.socket.sent)
        self.udp.datagramReceived(junk, ("203.0.113.5", port))
        answers = self.socket.sent[before:]
        self.assertLessEqual(sum(len(answer) for answer, _ in answers), len(junk))
        self.assertEqual(list(self.udp._connections.values()), [connection])
        self.assertEqual(len(self.udp._unconfirmed), 0)
        self.assertGreaterEqual(CLIENT_HEADER_SIZE, len(header))
