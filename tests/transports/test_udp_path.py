"""
Tests of L{diarkis_tw.transports.udp_path}, alone and in a whole server: clients
whose address changes.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.core.user import User
from diarkis_tw.transports.udp_path import MOVES_PER_MINUTE, Path
from diarkis_tw.wire.frame import PATH_CHALLENGE, PATH_RESPONSE, PING
from tests.transports.udp_client import ECHO, Address, UdpCase, UdpClient

HOME = ("192.0.2.1", 40_000)
AWAY = ("192.0.2.1", 50_000)
ABROAD = ("198.51.100.7", 40_000)
SECOND = 1_000_000


class PathTests(SynchronousTestCase):
    """
    The rules, without packets.
    """

    def setUp(self) -> None:
        self.path = Path(HOME)

    def challenged(self, address: Address = AWAY, now: int = 0) -> None:
        """
        Make an address the candidate.
        """
        self.assertTrue(self.path.heard(address, True, now, 3 * SECOND))
        self.path.challenge = b"12345678"

    def test_home(self) -> None:
        """
        A packet from where the client is challenges nobody.
        """
        self.assertFalse(self.path.heard(HOME, True, 0, SECOND))
        self.assertIsNone(self.path.candidate)

    def test_oldPacket(self) -> None:
        """
        A packet that is not the newest makes nobody the candidate.
        """
        self.assertFalse(self.path.heard(AWAY, False, 0, SECOND))
        self.assertIsNone(self.path.candidate)

    def test_moved(self) -> None:
        """
        The right answer from the candidate moves there.
        """
        self.challenged()
        self.assertIs(self.path.answered(b"12345678", AWAY, 5), False)
        self.assertEqual((self.path.address, self.path.candidate), (AWAY, None))
        self.challenged(ABROAD, 2 * SECOND)
        self.assertIs(self.path.answered(b"12345678", ABROAD, 2 * SECOND), True)

    def test_wrongAnswer(self) -> None:
        """
        Another answer, another address and an answer without a challenge prove nothing.
        """
        self.assertIsNone(self.path.answered(b"", HOME, 0))
        self.challenged()
        for data, address in ((b"12345679", AWAY), (b"12345678", ABROAD), (b"12345678", HOME)):
            self.assertIsNone(self.path.answered(data, address, 5))
        self.assertEqual(self.path.address, HOME)

    def test_timeOut(self) -> None:
        """
        An answer after the time-out proves nothing; a newer packet begins anew.
        """
        self.challenged()
        self.assertIsNone(self.path.answered(b"12345678", AWAY, 3 * SECOND))
        self.assertTrue(self.path.heard(AWAY, True, 3 * SECOND, SECOND))
        self.assertEqual(self.path.challenge, b"")

    def test_expiredThenOld(self) -> None:
        """
        After the time-out a packet that is not the newest begins nothing.
        """
        self.challenged()
        self.assertFalse(self.path.heard(AWAY, False, 3 * SECOND, SECOND))
        self.assertIsNone(self.path.candidate)

    def test_sameChallenge(self) -> None:
        """
        While an address is the candidate its challenge stays, so that an answer that takes
        long is still the answer.
        """
        self.challenged()
        for now in range(0, 2 * SECOND, SECOND // 10):
            self.assertTrue(self.path.heard(AWAY, True, now, SECOND))
            self.assertEqual(self.path.challenge, b"12345678")

    def test_homeAgain(self) -> None:
        """
        A newer packet from the old address forgets the candidate; an older one does not.
        """
        self.challenged()
        self.path.heard(HOME, False, 1, SECOND)
        self.assertEqual(self.path.candidate, AWAY)
        self.path.heard(HOME, True, 2, SECOND)
        self.assertIsNone(self.path.answered(b"12345678", AWAY, 3))

    def test_otherCandidate(self) -> None:
        """
        A newer packet from a third address makes that the candidate, with a challenge of its
        own.
        """
        self.challenged()
        self.assertTrue(self.path.heard(ABROAD, True, 1, SECOND))
        self.assertEqual((self.path.candidate, self.path.challenge), (ABROAD, b""))
        self.assertIsNone(self.path.answered(b"12345678", ABROAD, 2))

    def move(self, address: Address, now: int) -> bool:
        """
        Try to move.
        """
        if not self.path.heard(address, True, now, SECOND):
            return False
        self.path.challenge = b"12345678"
        return self.path.answered(b"12345678", address, now) is not None

    def test_onceASecond(self) -> None:
        """
        There is one move a second.
        """
        self.assertTrue(self.move(AWAY, 0))
        self.assertFalse(self.move(HOME, SECOND - 1))
        self.assertTrue(self.move(HOME, SECOND))

    def test_tenAMinute(self) -> None:
        """
        There are ten moves in any minute.
        """
        moves = [self.move(("192.0.2.1", n), n * SECOND) for n in range(1, 61)]
        self.assertEqual(moves, [True] * MOVES_PER_MINUTE + [False] * 50)
        self.assertTrue(self.move(("192.0.2.1", 99), 61 * SECOND))
        self.assertFalse(self.move(("192.0.2.1", 98), 61 * SECOND + SECOND // 2))


class MovingTests(UdpCase):
    """
    A client's address changes under a running server.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice: User = self.user()
        self.client_ = self.raw(self.alice)
        self.home = self.client_.address

    def sent_to(self, address: Address) -> list[bytes]:
        """
        The datagrams to an address since the last time.
        """
        found = [datagram for datagram, to in self.socket.sent if to == address]
        self.socket.sent = [(d, to) for d, to in self.socket.sent if to != address]
        return found

    def challenge(self, client: UdpClient, address: Address) -> bytes:
        """
        Have a packet come from an address.

        @return: what it is challenged with.
        """
        client.address = address
        client.put(client.packet(bytes((PING,))))
        [datagram] = self.sent_to(address)
        [(kind, _, _, data)] = client.open(datagram)
        self.assertEqual(kind, PATH_CHALLENGE)
        return data

    def respond(self, data: bytes, address: Address | None = None) -> None:
        """
        Answer a challenge.
        """
        if address is not None:
            self.client_.address = address
        self.client_.put(self.client_.packet(bytes((PATH_RESPONSE,)) + data))

    def assertAt(self, address: Address) -> None:
        """
        Pushes go there and nowhere else.
        """
        self.reactor.advance(0)
        self.socket.sent.clear()
        self.alice.server_push(2, 1, b"where are you?", reliable=False)
        self.reactor.advance(0)
        self.assertEqual({to for _, to in self.socket.sent}, {address})
        self.assertEqual(self.alice.address, f"{address[0]}:{address[1]}")

    def test_challengeOnly(self) -> None:
        """
        Until it is proven, another address gets a challenge and nothing else.
        """
        self.challenge(self.client_, AWAY)
        self.alice.server_push(2, 1, b"secret" * 100)
        self.reactor.advance(0)
        self.assertEqual(self.sent_to(AWAY), [])
        self.assertAt(self.home)

    def test_atMostThreeTimes(self) -> None:
        """
        It never gets more than three times what came from it, whatever comes.
        """
        self.client_.address = AWAY
        came = 0
        for _ in range(50):
            packet = self.client_.packet(bytes((PING,)))
            came += len(packet)
            self.client_.put(packet)
            self.advance(0.03)
            self.assertLessEqual(sum(len(d) for d, to in self.socket.sent if to == AWAY), 3 * came)

    def test_moves(self) -> None:
        """
        The right response from there moves the connection.
        """
        self.respond(self.challenge(self.client_, AWAY))
        self.assertAt(AWAY)

    def test_movesWhileBusy(self) -> None:
        """
        A client that sends far more often than its answers take to come moves too.
        """
        first = self.challenge(self.client_, AWAY)
        for _ in range(20):
            self.reactor.advance(0.03)
            self.assertEqual(self.challenge(self.client_, AWAY), first)
        self.respond(first)
        self.assertAt(AWAY)

    def test_wrongResponses(self) -> None:
        """
        A response from elsewhere, an old one or another one moves nothing.
        """
        first = self.challenge(self.client_, AWAY)
        self.respond(bytes(8), AWAY)
        self.assertAt(self.home)
        self.respond(first, ABROAD)
        self.assertAt(self.home)
        second = self.challenge(self.client_, AWAY)
        self.assertNotEqual(first, second)
        self.respond(first, AWAY)
        self.assertAt(self.home)
        self.respond(second, AWAY)
        self.assertAt(AWAY)

    def test_late(self) -> None:
        """
        A response after three time-outs moves nothing.
        """
        data = self.challenge(self.client_, AWAY)
        self.advance(3.1)
        self.respond(data, AWAY)
        self.assertAt(self.home)

    def test_backHome(self) -> None:
        """
        A newer packet from the old address ends it.
        """
        data = self.challenge(self.client_, AWAY)
        self.client_.address = self.home
        self.client_.put(self.client_.packet(bytes((PING,))))
        self.respond(data, AWAY)
        self.assertAt(self.home)

    def test_unasked(self) -> None:
        """
        A response that nobody asked for moves nothing, then or later.
        """
        self.respond(b"12345678")
        self.assertAt(self.home)
        self.respond(b"12345678", AWAY)
        self.assertAt(self.home)

    def test_replayed(self) -> None:
        """
        A packet recorded and played again from elsewhere makes nobody the candidate.
        """
        packet = self.client_.packet(bytes((PING,)))
        self.client_.put(packet)
        self.udp.datagramReceived(packet, ABROAD)
        self.assertEqual(self.sent_to(ABROAD), [])
        self.assertIsNone(self.end(self.client_).path.candidate)

    def test_overtaken(self) -> None:
        """
        A packet withheld and played later from elsewhere, when a newer one has come, makes
        nobody the candidate.
        """
        withheld = self.client_.packet(bytes((PING,)))
        self.client_.put(self.client_.packet(bytes((PING,))))
        self.udp.datagramReceived(withheld, ABROAD)
        self.assertEqual(self.sent_to(ABROAD), [])

    def test_forged(self) -> None:
        """
        A packet that is not authentic makes nobody the candidate.
        """
        packet = bytearray(self.client_.packet(bytes((PING,))))
        packet[-1] ^= 1
        self.udp.datagramReceived(bytes(packet), ABROAD)
        self.assertEqual(self.sent_to(ABROAD), [])

    def test_portKeepsTheRoundTrip(self) -> None:
        """
        A changed port keeps what was measured; a changed IP does not.
        """
        round_trip = self.end(self.client_).rudp.round_trip
        before = round_trip.smoothed
        self.assertTrue(before)
        self.respond(self.challenge(self.client_, AWAY))
        self.assertAt(AWAY)
        self.assertEqual(round_trip.smoothed, before)
        self.reactor.advance(1)
        self.respond(self.challenge(self.client_, ABROAD))
        self.assertEqual(round_trip.smoothed, 0)
        self.assertAt(ABROAD)

    def test_moveRate(self) -> None:
        """
        A second move within a second waits for the next packet after it.
        """
        self.respond(self.challenge(self.client_, AWAY))
        self.client_.address = ABROAD
        self.client_.put(self.client_.packet(bytes((PING,))))
        self.assertEqual(self.sent_to(ABROAD), [])
        self.reactor.advance(1)
        self.respond(self.challenge(self.client_, ABROAD))
        self.assertAt(ABROAD)

    def test_otherUserHasThatAddress(self) -> None:
        """
        Connections are told apart by their cids, whatever the address.
        """
        bob = self.raw(self.user("bob"))
        bob.address = self.home
        bob.put(bob.packet(bytes((PING,))))
        self.assertAt(self.home)
        self.assertEqual(len(self.udp._connections), 2)

    def test_firstPacketFromElsewhere(self) -> None:
        """
        A client that moved between ACCEPT and its first packet is followed too.
        """
        bob = self.user("bob")
        client = self.accepted(bob)
        home = client.address
        data = self.challenge(client, ABROAD)
        self.assertEqual(bob.address, f"{home[0]}:{home[1]}")
        client.put(client.packet(bytes((PATH_RESPONSE,)) + data))
        self.assertEqual(bob.address, "198.51.100.7:40000")

    def test_closeFromElsewhere(self) -> None:
        """
        A CLOSE from another address ends the connection and challenges nobody.
        """
        self.client_.address = ABROAD
        self.client_.put(self.client_.packet(b"\x03\0"))
        self.reactor.advance(0)
        self.assertEqual(self.sent_to(ABROAD), [])
        self.assertEqual(self.left, ["alice"])

    def test_closeFromTheCandidate(self) -> None:
        """
        A CLOSE from an address that is being challenged ends that too.
        """
        self.challenge(self.client_, ABROAD)
        self.client_.put(self.client_.packet(b"\x03\0"))
        self.reactor.advance(0)
        self.assertEqual(self.sent_to(ABROAD), [])
        self.assertEqual(self.left, ["alice"])


class RebindingTests(UdpCase):
    """
    A client made of the real machine that keeps moving.
    """

    def test_nothingLost(self) -> None:
        """
        A client that gets another port every second loses no reliable message.
        """
        client = self.opened()
        count = 200
        for n in range(count):
            if n % 25 == 24:
                client.take()
                client.address = (client.address[0], client.address[1] + 1000)
            client.request(ECHO, b"%d" % n)
            self.settle(0.04)
        self.settle(3)
        self.assertEqual([int(p) for p in client.payloads()], list(range(count)))
        self.assertEqual(self.echoed, [b"%d" % n for n in range(count)])
        self.assertEqual(self.end(client).path.address, client.address)
