"""
Tests of L{diarkis_tw.transports.tcp}: from the connection to its first command.
"""

from diarkis_tw.config.settings import TcpSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import HANDSHAKE_TIME, LINGER, Phase
from diarkis_tw.transports.stream_server import STRANGERS, STRANGERS_PER_ADDRESS
from diarkis_tw.wire.handshake import HELLO_BODY_SIZE
from diarkis_tw.wire.keys import FLAG_EPHEMERAL, NO_EPHEMERAL, SessionKeys
from diarkis_tw.wire.record import RecordType, record_header
from tests.raw_client import Accept, RawClient, Terminate
from tests.transports.case import ECHO, TcpCase, TcpClient

STRANGER = SessionKeys(b"?" * 16, b"k" * 16, b"i" * 16, b"m" * 16)


class HandshakeTests(TcpCase):
    """
    HELLO, ACCEPT, and the first record that confirms.
    """

    def test_phases(self) -> None:
        """
        HELLO is accepted, the first authentic record opens, and only then is the user connected.
        """
        user = self.user()
        client = self.client(user)
        self.assertIs(client.connection.phase, Phase.HELLO)
        client.send(client.raw.hello())
        self.assertIs(client.connection.phase, Phase.ACCEPTED)
        self.assertIsInstance(client.received[0], Accept)
        self.assertState(user, UserState.PENDING)
        self.assertIsNone(user.connection)
        client.request(ECHO, b"hello")
        self.assertIs(client.connection.phase, Phase.OPEN)
        self.assertState(user, UserState.CONNECTED)
        self.assertIs(user.connection, client.connection)
        self.assertEqual(client.payloads(), [b"hello"])

    def test_terms(self) -> None:
        """
        ACCEPT grants connectionTTL and a keep-alive of a third of it; all for datagrams is zero.
        """
        self.serve(TcpSettings(connection_ttl=12))
        client = self.client()
        client.send(client.raw.hello())
        (accept,) = client.of(Accept)
        self.assertEqual(accept.terms.connection_ttl, 12)
        self.assertEqual(accept.terms.keep_alive, 4000)
        terms = accept.terms
        self.assertEqual((terms.cid, terms.reset_token), (bytes(8), bytes(16)))
        self.assertEqual(
            (terms.retry_interval, terms.ack_delay, terms.mtu, terms.window, terms.max_retry),
            (0, 0, 0, 0, 0),
        )

    def test_keepAliveAtMostFiveSeconds(self) -> None:
        """
        A long connectionTTL does not make keep-alives rarer than every 5 s.
        """
        self.serve(TcpSettings(connection_ttl=3600))
        client = self.client()
        client.send(client.raw.hello())
        self.assertEqual(client.of(Accept)[0].terms.keep_alive, 5000)

    def test_everySplit(self) -> None:
        """
        HELLO and the first command may be cut in two at every byte.
        """
        for cut in range(1, 100):
            user = self.user(f"user {cut}")
            client = self.client(user)
            hello = client.raw.hello()
            if cut < len(hello):
                client.send(hello[:cut])
                self.assertEqual(client.received, [])
                client.send(hello[cut:])
            else:
                client.send(hello)
            first = client.raw.request(2, ECHO, b"hello")
            at = cut % len(first)
            client.send(first[:at])
            client.send(first[at:])
            self.assertEqual(client.payloads(), [b"hello"], cut)

    def test_byteByByte(self) -> None:
        """
        A client that dribbles is served all the same.
        """
        client = self.client()
        for byte in client.raw.hello():
            client.send(bytes([byte]))
        for byte in client.raw.request(2, ECHO, b"hello"):
            client.send(bytes([byte]))
        self.assertEqual(client.payloads(), [b"hello"])

    def test_commandsInOneChunkWithTheFirst(self) -> None:
        """
        Commands right behind the one that confirms run too, in order.
        """
        client = self.accepted()
        client.send(*(client.raw.request(2, ECHO, b"%d" % n) for n in range(5)))
        self.assertEqual(client.payloads(), [b"0", b"1", b"2", b"3", b"4"])

    def test_withoutForwardSecrecy(self) -> None:
        """
        A client that offers no ephemeral key gets none and is served.
        """
        client = self.opened(ephemeral=False)
        self.assertTrue(client.alive())

    def test_noDelay(self) -> None:
        """
        The socket has Nagle off if noDelay is set, and only then.
        """
        self.assertFalse(self.client().socket.no_delay)
        self.serve(TcpSettings(no_delay=True))
        self.assertTrue(self.client().socket.no_delay)

    def test_address(self) -> None:
        """
        The user's address is the client's, an IPv6 one in brackets.
        """
        user = self.user()
        client = TcpClient(self, RawClient(user.keys), "2001:db8::1", 5)
        client.send(client.raw.hello())
        client.send(client.raw.request(2, ECHO))
        self.assertEqual(user.address, "[2001:db8::1]:5")
        other = self.user("bob")
        self.opened(other)
        self.assertRegex(str(other.address), r"^127\.0\.0\.1:4000\d$")


class EncryptionOffTests(TcpCase):
    """
    C{enableEncryption: false}: integrity without secrecy.
    """

    def setUp(self) -> None:
        self.serve(TcpSettings(enable_encryption=False))

    def test_endToEnd(self) -> None:
        """
        Commands and answers travel readable and authenticated, CLOSE too.
        """
        client = self.opened(encrypted=False)
        record = client.raw.request(2, ECHO, b"readable")
        self.assertIn(b"readable", record)
        client.socket.arrive(record)
        while client.socket.turn():
            pass
        self.assertIn(b"readable", client.socket.taken)
        client.turn()
        self.assertEqual(client.payloads(), [b"readable"])
        client.send(client.raw.close())
        self.assertEqual(self.left, ["alice"])

    def test_forged(self) -> None:
        """
        A changed byte is refused as with encryption.
        """
        client = self.opened(encrypted=False)
        record = bytearray(client.raw.request(2, ECHO, b"readable"))
        record[-20] ^= 1
        client.send(bytes(record))
        self.assertRefused(client, CloseCode.PROTOCOL)

    def test_mismatch(self) -> None:
        """
        A client that expects encryption is told ENCRYPTION.
        """
        client = self.client(encrypted=True)
        client.send(client.raw.hello())
        self.assertRefused(client, CloseCode.ENCRYPTION)


class RefusalTests(TcpCase):
    """
    HELLOs that are refused, and what is no HELLO.
    """

    def refused(self, code: CloseCode, client: TcpClient, hello: bytes) -> None:
        """
        Assert the TERMINATE, which carries the HELLO's nonce.
        """
        client.send(hello)
        self.assertEqual(client.received, [Terminate(code, client.raw.nonce)])
        self.assertRefused(client, code)
        self.assertEqual(self.factory.terminated, 1)

    def test_version(self) -> None:
        """
        Another protocol version is refused before anything else is looked at.
        """
        client = self.client(keys=STRANGER)
        self.refused(CloseCode.VERSION, client, client.raw.hello(version=2))

    def test_unknownSid(self) -> None:
        """
        A session that the server does not know is refused with UNKNOWN.
        """
        client = self.client(keys=STRANGER)
        self.refused(CloseCode.UNKNOWN, client, client.raw.hello())

    def test_wrongKeys(self) -> None:
        """
        A known sid with the wrong HMAC is refused with UNKNOWN as well, and changes nothing.
        """
        user = self.user()
        client = self.client(user)
        hello = bytearray(client.raw.hello())
        hello[-1] ^= 1
        self.refused(CloseCode.UNKNOWN, client, bytes(hello))
        self.assertState(user, UserState.PENDING)
        self.assertTrue(self.opened(user).alive())

    def test_everyByteIsCovered(self) -> None:
        """
        No byte of a HELLO can be changed on its way without being refused.
        """
        user = self.user()
        for at in range(4 + HELLO_BODY_SIZE):
            client = self.client(user)
            hello = bytearray(client.raw.hello())
            hello[at] ^= 0x80
            client.send(bytes(hello))
            self.assertIsInstance(client.received[0], Terminate, at)
            client.socket.peer_closes()
            client.turn()
        self.assertState(user, UserState.PENDING)

    def test_encryption(self) -> None:
        """
        A client without encryption is refused with ENCRYPTION, after the HMAC check.
        """
        client = self.client()
        self.refused(CloseCode.ENCRYPTION, client, client.raw.hello(flags=FLAG_EPHEMERAL))

    def test_encryptionIsNoOracle(self) -> None:
        """
        Without the keys the mismatch is not told.
        """
        client = self.client(keys=STRANGER)
        self.refused(CloseCode.UNKNOWN, client, client.raw.hello(flags=FLAG_EPHEMERAL))

    def test_unknownFlags(self) -> None:
        """
        Flags that do not exist yet are ignored.
        """
        client = self.client()
        client.send(client.raw.hello(flags=0xFF))
        self.assertEqual(self.factory.terminated, 0)
        self.assertIs(client.connection.phase, Phase.ACCEPTED)

    def test_taken(self) -> None:
        """
        A TAKEN node refuses who is new.
        """
        user = self.user()
        self.server.taken()
        client = self.client(user)
        self.refused(CloseCode.TAKEN, client, client.raw.hello())

    def test_offline(self) -> None:
        """
        An OFFLINE node refuses who is new.
        """
        user = self.user()
        self.server.offline()
        client = self.client(user)
        self.refused(CloseCode.SERVER_OFFLINE, client, client.raw.hello())

    def test_allZeroSecret(self) -> None:
        """
        An ephemeral key that makes the shared secret zero is refused with PROTOCOL.
        """
        client = self.client()
        hello = client.raw.hello(client_ephemeral=NO_EPHEMERAL)
        self.refused(CloseCode.PROTOCOL, client, hello)

    def test_wrongHeaders(self) -> None:
        """
        Before ACCEPT every header but HELLO's own is refused with UNKNOWN as soon as it is read.
        """
        headers = [
            record_header(kind, HELLO_BODY_SIZE) for kind in range(256) if kind != RecordType.HELLO
        ]
        lengths = (0, 1, 81, 83, 2**16, 2**24 - 1)
        headers += [record_header(RecordType.HELLO, length) for length in lengths]
        headers += [b"GET ", b"\x16\x03\x01\x02", b"SSH-"]
        for header in headers:
            client = self.client()
            client.send(header[:3])
            self.assertEqual(client.received, [])
            client.send(header[3:])
            self.assertEqual(client.received, [Terminate(CloseCode.UNKNOWN, bytes(16))], header)
            client.socket.peer_closes()
            client.turn()

    def test_sessionsRefusedCanStillComeIn(self) -> None:
        """
        After a refusal the same user may try again on another connection.
        """
        user = self.user()
        self.server.taken()
        client = self.client(user)
        client.send(client.raw.hello())
        self.assertRefused(client, CloseCode.TAKEN)
        self.server.online()
        self.assertTrue(self.opened(user).alive())

    def test_secondHello(self) -> None:
        """
        A HELLO after the first is a record that is not the client's.
        """
        client = self.client()
        client.send(client.raw.hello() + client.raw.hello())
        self.assertIsInstance(client.received[0], Accept)
        self.assertRefused(client, CloseCode.PROTOCOL)

    def test_pendingExpired(self) -> None:
        """
        A session that nobody claimed in time is UNKNOWN.
        """
        client = self.client()
        self.advance(2)
        hello = client.raw.hello()
        self.advance(29)
        late = self.client(keys=client.raw.keys)
        late.send(hello)
        self.assertRefused(late, CloseCode.UNKNOWN)


class TimeOutTests(TcpCase):
    """
    A connection must become one in time.
    """

    def test_silent(self) -> None:
        """
        Without HELLO a connection ends with HANDSHAKE, not before its time.
        """
        client = self.client()
        self.advance(HANDSHAKE_TIME - 0.1)
        client.turn()
        self.assertEqual(client.received, [])
        self.advance(1.1)
        client.turn()
        self.assertEqual(client.received, [Terminate(CloseCode.HANDSHAKE, bytes(16))])
        self.assertRefused(client, CloseCode.HANDSHAKE)

    def test_dribbling(self) -> None:
        """
        Bytes of a HELLO do not prolong the time.
        """
        client = self.client()
        for byte in client.raw.hello()[: int(HANDSHAKE_TIME) + 1]:
            client.send(bytes([byte]))
            self.advance(1)
        self.assertRefused(client, CloseCode.HANDSHAKE)

    def test_notConfirmed(self) -> None:
        """
        ACCEPT alone is not enough: without an authentic record the same time ends it.
        """
        user = self.user()
        client = self.client(user)
        self.advance(3)
        client.send(client.raw.hello())
        client.received.clear()
        self.advance(HANDSHAKE_TIME - 3 + 1)
        client.turn()
        self.assertEqual(client.received, [Terminate(CloseCode.HANDSHAKE, client.raw.nonce)])
        self.assertState(user, UserState.PENDING)
        self.assertTrue(self.opened(user).alive())

    def test_open(self) -> None:
        """
        An open connection is not touched by the time limit.
        """
        client = self.opened()
        self.advance(HANDSHAKE_TIME + 1)
        self.assertTrue(client.alive())

    def test_silentOpen(self) -> None:
        """
        An open connection without anything authentic for connectionTTL is closed with TIMEOUT.
        """
        user = self.user()
        client = self.opened(user)
        self.advance(9)
        self.assertTrue(client.alive())
        self.advance(9)
        client.turn()
        self.assertEqual(client.received[1:], [])
        self.advance(3)
        self.assertClosed(client, CloseCode.TIMEOUT)
        self.assertState(user, UserState.AWAY)


class StrangerTests(TcpCase):
    """
    Caps on connections that have not proven to be a user's.
    """

    def turned_away(self, host: str = "127.0.0.1") -> bool:
        """
        Try to connect.
        """
        before = self.factory.turned_away
        try:
            self.client(keys=STRANGER, host=host)
        except AssertionError:
            self.assertEqual(self.factory.turned_away, before + 1)
            return True
        self.assertEqual(self.factory.turned_away, before)
        return False

    def fill(self, count: int, host: str = "127.0.0.1") -> list[TcpClient]:
        """
        Connect and say nothing.
        """
        return [self.client(keys=STRANGER, host=host) for _ in range(count)]

    def test_perAddress(self) -> None:
        """
        One address may have so many connections that are not open, and others are not hindered.
        """
        self.fill(STRANGERS_PER_ADDRESS - 1)
        self.assertFalse(self.turned_away())
        self.assertTrue(self.turned_away())
        self.assertFalse(self.turned_away("127.0.0.2"))

    def test_inAll(self) -> None:
        """
        All addresses together may have so many.
        """
        full, rest = divmod(STRANGERS - 1, STRANGERS_PER_ADDRESS)
        for n in range(full):
            self.fill(STRANGERS_PER_ADDRESS, f"10.0.0.{n}")
        self.fill(rest, "10.0.1.1")
        self.assertFalse(self.turned_away("10.0.2.1"))
        self.assertTrue(self.turned_away("10.0.3.1"))

    def test_openOnesDoNotCount(self) -> None:
        """
        Who has come in makes room; who was accepted and has not confirmed does not.
        """
        self.fill(STRANGERS_PER_ADDRESS - 1)
        user = self.user()
        client = self.accepted(user)
        self.assertTrue(self.turned_away())
        client.request(ECHO)
        self.assertFalse(self.turned_away())
        self.assertTrue(self.turned_away())

    def test_refusedOnesCountUntilTheyAreGone(self) -> None:
        """
        A refused connection makes room, once, when its socket is closed: till then it costs one.
        """
        first, *_ = self.fill(STRANGERS_PER_ADDRESS)
        first.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(self.turned_away())
        first.socket.peer_closes()
        first.turn()
        self.assertTrue(first.socket.ended)
        self.assertFalse(self.turned_away())
        self.assertTrue(self.turned_away())

    def test_refusedOnesDelayNoTimeOut(self) -> None:
        """
        One that lingers after its refusal does not keep others past their time limit.
        """
        first, second = self.fill(2)
        self.advance(HANDSHAKE_TIME - 1)
        first.send(b"GET / HTTP/1.1\r\n\r\n")
        self.advance(1)
        self.assertFalse(first.socket.ended)
        self.assertRefused(second, CloseCode.HANDSHAKE)

    def test_lostOnesDoNotCount(self) -> None:
        """
        A connection that breaks makes room.
        """
        first, second, *_ = self.fill(STRANGERS_PER_ADDRESS)
        first.socket.cut()
        first.turn()
        second.socket.peer_closes()
        second.turn()
        self.assertFalse(self.turned_away())
        self.assertFalse(self.turned_away())
        self.assertTrue(self.turned_away())

    def test_timeOutMakesRoom(self) -> None:
        """
        Silent connections are gone after the time limit and the one for reading why.
        """
        silent = self.fill(STRANGERS_PER_ADDRESS)
        self.advance(HANDSHAKE_TIME)
        self.assertTrue(self.turned_away())
        self.advance(LINGER + 1)
        for client in silent:
            client.turn()
        self.assertFalse(self.turned_away())

    def test_manyOpenOnesFromOneAddress(self) -> None:
        """
        The cap is none on players: more of them than it may share one address.
        """
        clients = [self.opened(self.user(f"user {n}")) for n in range(STRANGERS_PER_ADDRESS + 5)]
        self.assertTrue(all(client.alive() for client in clients))

    def test_openedEndingDoesNotMakeRoomTwice(self) -> None:
        """
        The end of an open connection is not counted as a stranger's.
        """
        client = self.opened()
        self.fill(STRANGERS_PER_ADDRESS)
        client.send(client.raw.close())
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(self.turned_away())
