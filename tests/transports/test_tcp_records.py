"""
Tests of L{diarkis_tw.transports.tcp}: records of an open connection, and what
is none.
"""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from diarkis_tw.config.settings import TcpSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.encoded import MESSAGE_MAX_BYTES
from diarkis_tw.core.user import UserState
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.handshake import encode_close
from diarkis_tw.wire.message import RESPONSE_HEADER_SIZE, Response
from diarkis_tw.wire.record import RecordType, record_header
from tests.raw_client import Accept, Close, Terminate
from tests.strategies import chunked
from tests.transports.case import ECHO, SHOUT, TcpCase, TcpClient


class RecordTests(TcpCase):
    """
    What an open connection takes and what ends it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user("alice")
        self.peer = self.opened(self.alice)

    def terminated(self, code: CloseCode, *data: bytes) -> None:
        """
        Assert that these bytes end connection and session with TERMINATE.
        """
        self.peer.send(*data)
        self.assertEqual(self.peer.received[-1], Terminate(code, self.peer.raw.nonce))
        self.assertRefused(self.peer, code)
        self.assertState(self.alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])

    def test_answers(self) -> None:
        """
        An answer carries version, command and id of its request.
        """
        self.peer.request(ECHO, b"hello", request_id=0xABCD)
        (answer,) = self.peer.of(Response)
        self.assertEqual(
            (answer.ver, answer.cmd, answer.request_id, answer.payload),
            (2, ECHO, 0xABCD, b"hello"),
        )

    def test_badTag(self) -> None:
        """
        A record with any bit changed ends the connection with PROTOCOL.
        """
        record = bytearray(self.peer.raw.request(2, ECHO, b"hello"))
        record[-1] ^= 1
        self.terminated(CloseCode.PROTOCOL, bytes(record))
        self.assertEqual(self.peer.payloads(), [])

    def test_headerIsCovered(self) -> None:
        """
        A DATA record renamed to CLOSE is forged.
        """
        record = bytearray(self.peer.raw.request(2, ECHO, b"hello"))
        record[0] = RecordType.CLOSE
        self.terminated(CloseCode.PROTOCOL, bytes(record))

    def test_replayed(self) -> None:
        """
        A record that comes twice ends the connection and runs once.
        """
        record = self.peer.raw.request(2, ECHO, b"hello")
        self.terminated(CloseCode.PROTOCOL, record, record)
        self.assertEqual(self.peer.payloads(), [b"hello"])

    def test_reordered(self) -> None:
        """
        A record that comes before its predecessor ends the connection, and neither runs.
        """
        first = self.peer.raw.request(2, ECHO, b"first")
        second = self.peer.raw.request(2, ECHO, b"second")
        self.terminated(CloseCode.PROTOCOL, second, first)
        self.assertEqual(self.peer.payloads(), [])

    def test_fromAnotherConnection(self) -> None:
        """
        A record of another user's connection is forged on this one.
        """
        bob = self.opened(self.user("bob"))
        record = bob.raw.request(2, ECHO, b"bob's")
        self.terminated(CloseCode.PROTOCOL, record)
        bob.send(record)
        self.assertEqual(bob.payloads(), [b"bob's"])

    def test_fromAnEarlierConnection(self) -> None:
        """
        A record of the user's own earlier connection, of the same number, is forged on this one.
        """
        record = self.peer.raw.request(2, ECHO, b"again")
        self.peer.send(record)
        self.assertEqual(self.peer.payloads(), [b"again"])
        self.peer = self.opened(self.alice)
        self.assertEqual(self.peer.raw.sent, 1)
        self.terminated(CloseCode.PROTOCOL, record)

    def test_tooShort(self) -> None:
        """
        A record too short for its tag ends the connection with PROTOCOL.
        """
        self.terminated(CloseCode.PROTOCOL, record_header(RecordType.DATA, 15) + bytes(15))

    def test_shortRequest(self) -> None:
        """
        An authentic message shorter than its header ends the connection with PROTOCOL.
        """
        self.terminated(CloseCode.PROTOCOL, self.peer.raw.record(RecordType.DATA, b"1234"))

    def test_unknownType(self) -> None:
        """
        An authentic record of a type that no client sends ends the connection with PROTOCOL.
        """
        for kind in (0x00, RecordType.HELLO, RecordType.ACCEPT, RecordType.TERMINATE, 0x12, 0xFF):
            user = self.user(f"user {kind}")
            client = self.opened(user)
            client.send(client.raw.record(kind, b"\2\0\12\0\1hello"))
            self.assertRefused(client, CloseCode.PROTOCOL)
            self.assertEqual(client.payloads(), [])
            self.assertState(user, UserState.GONE)

    def test_emptyClose(self) -> None:
        """
        A CLOSE without a code ends the connection with PROTOCOL.
        """
        self.terminated(CloseCode.PROTOCOL, self.peer.raw.record(RecordType.CLOSE, b""))

    def test_nothingAfterwards(self) -> None:
        """
        Commands behind a forged record do not run.
        """
        forged = record_header(RecordType.DATA, 20) + bytes(20)
        self.terminated(CloseCode.PROTOCOL, forged, self.peer.raw.request(2, ECHO, b"late"))
        self.assertEqual(self.peer.payloads(), [])

    def test_unknownCommand(self) -> None:
        """
        An unknown command is answered BAD and the connection goes on.
        """
        self.peer.request(999)
        (answer,) = self.peer.of(Response)
        self.assertEqual(answer.status, 4)
        self.assertTrue(self.peer.alive())


class SizeTests(TcpCase):
    """
    C{maxRcvSize}: bytes of a payload.
    """

    def test_limits(self) -> None:
        """
        A payload below and of maxRcvSize is taken; one byte more is TOO_LARGE.
        """
        self.serve(TcpSettings(max_rcv_size=8000))
        client = self.opened()
        for size in (0, 1, 7999, 8000):
            client.received.clear()
            client.request(ECHO, bytes(size))
            self.assertEqual([len(payload) for payload in client.payloads()], [size])
        client.received.clear()
        client.request(ECHO, bytes(8001))
        self.assertEqual(client.payloads(), [])
        self.assertRefused(client, CloseCode.TOO_LARGE)

    def test_atTheHeader(self) -> None:
        """
        TOO_LARGE is said at the header, before any of the body has come.
        """
        user = self.user()
        client = self.opened(user)
        largest = TcpSettings().max_rcv_size + 5 + 16
        client.send(record_header(RecordType.DATA, largest))
        self.assertEqual(client.received, [])
        client = self.opened(self.user("bob"))
        client.send(record_header(RecordType.DATA, largest + 1))
        self.assertRefused(client, CloseCode.TOO_LARGE)

    def test_whileAccepted(self) -> None:
        """
        The limit holds for the very first record too.
        """
        client = self.accepted()
        client.send(record_header(RecordType.DATA, 2**24 - 1))
        self.assertRefused(client, CloseCode.TOO_LARGE)

    def test_closeFits(self) -> None:
        """
        A CLOSE with the longest reason is legal however small maxRcvSize is.
        """
        self.serve(TcpSettings(max_rcv_size=10))
        client = self.opened()
        client.send(client.raw.record(RecordType.CLOSE, encode_close(CloseCode.NORMAL, "x" * 200)))
        self.assertEqual(client.received, [])
        self.assertEqual(self.left, ["alice"])


class OutgoingSizeTests(TcpCase):
    """
    What an application may send.
    """

    def test_largest(self) -> None:
        """
        A message that fills a client's record limit arrives.
        """
        client = self.opened()
        size = MESSAGE_MAX_BYTES - RESPONSE_HEADER_SIZE
        client.request(SHOUT, b"loud" + size.to_bytes(4))
        self.assertEqual([len(payload) for payload in client.payloads()], [size])
        self.assertTrue(client.alive())

    def test_tooLarge(self) -> None:
        """
        A larger one is an error of its sender: ERR to the client, and the stream is intact.
        """
        client = self.opened()
        for size in (MESSAGE_MAX_BYTES - RESPONSE_HEADER_SIZE + 1, 2**24, 2**24 + 100):
            client.received.clear()
            client.request(SHOUT, b"loud" + size.to_bytes(4))
            (answer,) = client.of(Response)
            self.assertEqual(answer.status, 5)
            (logged,) = self.flushLoggedErrors(LocalProtocolError)
            self.assertIn(str(MESSAGE_MAX_BYTES), str(logged.value))
            self.assertTrue(client.alive())

    def test_tooLargeWhileAway(self) -> None:
        """
        The sender is told also while its user is away.
        """
        user = self.user()
        client = self.opened(user)
        client.socket.cut()
        client.turn()
        self.assertRaises(LocalProtocolError, user.server_push, 2, 1, bytes(MESSAGE_MAX_BYTES))


class NumberTests(TcpCase):
    """
    Packet numbers near their limit, and REKEY.
    """

    def near_the_limit(self, sent: int = 0, received: int = 0) -> TcpClient:
        """
        A connection on which so many records are still allowed in a direction.

        @param sent: by the server.
        @param received: by the server.
        """
        self.alice = self.user()
        client = self.opened(self.alice)
        if sent:
            client.connection._sent = client.raw.opened = STREAM_NUMBER_LIMIT - sent
        if received:
            client.connection._received = client.raw.sent = STREAM_NUMBER_LIMIT - received
        return client

    def test_serverCloses(self) -> None:
        """
        The server sends the last number's CLOSE(REKEY) instead of a message, which is kept.
        """
        client = self.near_the_limit(sent=2)
        client.request(ECHO, b"1")
        client.request(ECHO, b"2")
        self.assertEqual(client.payloads(), [b"1", b"2"])
        client.request(ECHO, b"3")
        self.assertEqual(client.raw.opened, STREAM_NUMBER_LIMIT + 1)
        self.assertClosed(client, CloseCode.REKEY)
        self.assertState(self.alice, UserState.AWAY)
        again = self.accepted(self.alice)
        again.request(ECHO, b"4")
        self.assertEqual(again.payloads(), [b"3", b"4"])

    def test_withoutGrace(self) -> None:
        """
        Without a reconnect grace REKEY ends the session, and the message is refused.
        """
        self.serve(grace=0)
        client = self.near_the_limit(sent=1)
        self.assertTrue(self.alice.server_push(2, 1))
        self.assertFalse(self.alice.server_push(2, 2))
        self.assertClosed(client, CloseCode.REKEY)
        self.assertState(self.alice, UserState.GONE)

    def test_unreliable(self) -> None:
        """
        An unreliable message that would need the last number is dropped.
        """
        self.near_the_limit(sent=1)
        self.assertTrue(self.alice.server_push(2, 1, reliable=False))
        self.assertFalse(self.alice.server_push(2, 2, reliable=False))

    def test_closeAtTheLimit(self) -> None:
        """
        A server that closes for another reason may use the last number for that CLOSE.
        """
        client = self.near_the_limit(sent=1)
        self.alice.server_push(2, 1)
        self.alice.disconnect()
        self.assertClosed(client, CloseCode.KICKED)

    def test_clientMayUseTheLastNumberForClose(self) -> None:
        """
        The client's last number is its CLOSE(REKEY); its session waits for the next connection.
        """
        client = self.near_the_limit(received=1)
        client.request(ECHO, b"last")
        self.assertEqual(client.payloads(), [b"last"])
        client.send(client.raw.close(CloseCode.REKEY))
        self.assertEqual(len(client.received), 1)
        self.assertState(self.alice, UserState.AWAY)
        self.assertTrue(self.opened(self.alice).alive())

    def test_clientMayNotUseItForData(self) -> None:
        """
        A command with the last number is a fault.
        """
        client = self.near_the_limit(received=1)
        client.request(ECHO, b"last")
        client.request(ECHO, b"above")
        self.assertEqual(client.payloads(), [b"last"])
        self.assertRefused(client, CloseCode.PROTOCOL)

    def test_newKeys(self) -> None:
        """
        After REKEY the numbers start at 0 again under other keys.
        """
        client = self.near_the_limit(received=1)
        record = client.raw.request(2, ECHO)
        client.send(record, client.raw.close(CloseCode.REKEY))
        again = self.accepted(self.alice)
        self.assertEqual(again.connection._received, 0)
        again.send(record)
        self.assertRefused(again, CloseCode.PROTOCOL)


def touched(received: Iterable[object]) -> list[object]:
    """
    What a client received that is neither ACCEPT nor an end.
    """
    return [found for found in received if not isinstance(found, Accept | Terminate | Close)]


class HostileTests(TcpCase):
    """
    Any bytes at all.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bystander = self.user("bystander")
        self.other = self.opened(self.bystander)
        self.count = 0

    def unharmed(self, client: TcpClient) -> None:
        """
        Nobody else noticed, and the connection is either fine or ended in order.
        """
        self.assertTrue(self.other.alive())
        self.other.received.clear()
        self.assertState(self.bystander, UserState.CONNECTED)
        self.assertNotIn("bystander", self.left)
        if client.connection.phase is Phase.CLOSED:
            self.assertIsInstance(client.received[-1], Terminate)
            self.assertTrue(client.socket.shut)
        client.socket.cut()
        client.turn()

    def next_user(self) -> str:
        """
        A fresh uid.
        """
        self.count += 1
        return f"user {self.count}"

    def test_fresh(self) -> None:
        """
        Whatever strangers send, nothing is raised, they see TERMINATE at most, and no user notices.
        """

        @given(st.binary(max_size=300).flatmap(chunked))
        def any_bytes(chunks: list[bytes]) -> None:
            client = self.client(self.user(self.next_user()))
            client.send(*chunks[:1])
            for chunk in chunks[1:]:
                client.send(chunk)
            self.assertEqual(touched(client.received), [])
            self.unharmed(client)

        any_bytes()

    def test_afterAccept(self) -> None:
        """
        Whatever follows a good HELLO without keys confirms nothing.
        """

        @given(st.binary(min_size=1, max_size=300).flatmap(chunked))
        def any_bytes(chunks: list[bytes]) -> None:
            user = self.user(self.next_user())
            client = self.accepted(user)
            for chunk in chunks:
                client.send(chunk)
            self.assertEqual(touched(client.received), [])
            self.assertState(user, UserState.PENDING)
            self.unharmed(client)

        any_bytes()

    def test_open(self) -> None:
        """
        Whatever is injected into an open stream runs nothing.
        """

        @given(st.binary(min_size=1, max_size=300).flatmap(chunked))
        def any_bytes(chunks: list[bytes]) -> None:
            client = self.opened(self.user(self.next_user()))
            for chunk in chunks:
                client.send(chunk)
            self.assertEqual(touched(client.received), [])
            self.unharmed(client)

        any_bytes()

    def test_authenticRecords(self) -> None:
        """
        Whatever a user itself seals, in any type, harms nobody else.
        """
        records = st.lists(
            st.tuples(st.integers(0, 255) | st.sampled_from(RecordType), st.binary(max_size=40)),
            min_size=1,
            max_size=5,
        )

        @given(records)
        def any_records(found: list[tuple[int, bytes]]) -> None:
            client = self.opened(self.user(self.next_user()))
            for kind, plaintext in found:
                client.send(client.raw.record(kind, plaintext))
            self.assertTrue(self.other.alive())
            self.other.received.clear()
            self.assertState(self.bystander, UserState.CONNECTED)
            client.socket.cut()
            client.turn()

        any_records()

    def test_truncated(self) -> None:
        """
        A stream cut off anywhere in a handshake or a command leaves a session to come back to.
        """
        for cut in range(1, 120):
            user = self.user(self.next_user())
            client = self.client(user)
            hello = client.raw.hello()
            client.send(hello[:cut])
            if cut > len(hello):
                client.send(client.raw.request(2, ECHO, b"hello")[: cut - len(hello)])
            client.socket.cut()
            client.turn()
            self.assertTrue(self.opened(user).alive(), cut)
