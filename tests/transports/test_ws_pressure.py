"""
Tests of L{diarkis_tw.transports.ws}: clients that do not read, handlers that write
while they run, and how connections end with the server.
"""

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.inbox import FULL_PATIENCE
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import HOLD_BYTES, LINGER, QUEUE_BYTES, Phase
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.message import Push, Response
from tests.raw_client import Close
from tests.transports.case import ECHO
from tests.transports.fake_socket import HIGH_WATER
from tests.transports.ws_case import WsCase
from tests.transports.ws_client import PING, TEXT, frame

ASK = b'{"ver":2,"cmd":10,"payload":{"base64":"YWJj"},"id":7}'


class PressureTests(WsCase):
    """
    A client of JSON that does not read.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.client_ = self.opened(self.alice)
        self.client_.socket.room = 0
        self.pushed = 0

    def push(self, count: int = 1) -> bool:
        """
        Push values whose frames have 4096 bytes.
        """
        sent = True
        for _ in range(count):
            value = {"n": self.pushed, "x": "x" * 4000}
            size = len(b'{"ver":2,"cmd":50,"push":true,"payload":{"n":,"x":""}}') + 4
            value["x"] = "x" * (4096 - size - len(str(self.pushed)))
            sent = self.alice.server_push(2, 50, value)
            self.pushed += 1
        return sent

    def stuff(self) -> None:
        """
        Push until the socket's buffer is full.
        """
        while not self.client_.connection._stuffed:
            self.push()

    def numbers(self) -> list[object]:
        """
        Numbers of the pushes that came.
        """
        self.client_.turn()
        return [text["payload"]["n"] for text in self.client_.texts()]  # type: ignore[index]

    def test_queuedIsExact(self) -> None:
        """
        What the socket has no room for is counted to the byte.
        """
        self.stuff()
        self.assertEqual(self.pushed * 4096, HIGH_WATER + 4096)
        self.push(3)
        self.assertEqual(self.client_.connection.queued, 3 * 4096)
        self.client_.socket.room = None
        self.assertEqual(self.numbers(), list(range(self.pushed)))
        self.assertEqual(self.client_.connection.queued, 0)

    def test_holding(self) -> None:
        """
        Above HOLD_BYTES commands are left unread, those already in memory too, and
        read in order when the client has read.
        """
        self.stuff()
        self.push(HOLD_BYTES // 4096 + 1)
        self.assertFalse(self.client_.socket.reading)
        self.client_.send(*[frame(TEXT, ASK)] * 3)
        self.assertEqual(self.echoed, [])
        self.client_.socket.room = None
        self.client_.turn()
        self.assertEqual(self.echoed, [b"abc"] * 3)
        self.assertTrue(self.client_.socket.reading)

    def test_holdingBelowTls(self) -> None:
        """
        So are those that TLS hands on after it was told to stop.
        """
        self.stuff()
        self.push(HOLD_BYTES // 4096 + 1)
        for _ in range(3):
            self.client_.connection.dataReceived(frame(TEXT, ASK))
        self.assertEqual(self.echoed, [])
        self.client_.socket.room = None
        self.client_.turn()
        self.assertEqual(self.echoed, [b"abc"] * 3)

    def test_heldInTheMiddleOfAChunk(self) -> None:
        """
        A command whose handler fills the queue is not run again when reading goes on,
        and those behind it in its chunk wait for that.
        """
        self.at_echo = lambda: self.push((HOLD_BYTES + 2 * HIGH_WATER) // 4096)
        self.client_.send(*[frame(TEXT, ASK)] * 3)
        self.assertEqual(self.echoed, [b"abc"])
        self.at_echo = lambda: None
        self.client_.socket.room = None
        self.client_.turn()
        self.assertEqual(self.echoed, [b"abc"] * 3)

    def test_overflow(self) -> None:
        """
        Up to QUEUE_BYTES messages are taken, beyond they are refused; a client that stays
        there is closed with OVERFLOW, after what waited.
        """
        self.stuff()
        self.assertTrue(self.push(QUEUE_BYTES // 4096 - 1))
        self.assertLessEqual(self.client_.connection.queued, QUEUE_BYTES)
        self.assertFalse(self.push(2))
        for _ in range(int(FULL_PATIENCE) + 1):
            self.client_.connection.heard = True
            self.advance(1)
        self.assertState(self.alice, UserState.GONE)
        self.client_.socket.room = None
        self.numbers()
        self.assertTold(self.client_, CloseCode.OVERFLOW)

    def test_pongs(self) -> None:
        """
        A client that does not read gets no pongs, and so cannot fill the memory.
        """
        self.stuff()
        self.push()
        before = self.client_.connection.queued
        self.client_.send(*[frame(PING, bytes(125))] * 20)
        self.assertEqual(self.client_.connection.queued, before)

    def test_neverReads(self) -> None:
        """
        A client that does not read even its close frame is cut off.
        """
        self.push(50)
        self.alice.disconnect()
        self.advance(LINGER + 1)
        self.assertTrue(self.client_.socket.aborted)

    def test_oneSlowClient(self) -> None:
        """
        Nobody else notices a client that does not read.
        """
        self.stuff()
        self.push(QUEUE_BYTES // 4096 + 1)
        other = self.opened(self.user("bob"))
        other.text(ASK)
        self.assertEqual(len(other.texts()), 1)


class EndingTests(WsCase):
    """
    How connections end.
    """

    def test_kicked(self) -> None:
        """
        A user who is kicked gets a close frame that says so, and no terminate.
        """
        user = self.user()
        client = self.opened(user)
        user.disconnect()
        client.turn()
        self.assertEqual(len(client.frames), 1)
        self.assertTold(client, CloseCode.KICKED)

    def test_kickedByItsOwnCommand(self) -> None:
        """
        A command may end its own user; nothing behind it is run.
        """
        user = self.user()
        client = self.opened(user)
        self.at_echo = user.disconnect
        client.send(*[frame(TEXT, ASK)] * 3)
        self.assertEqual(self.echoed, [b"abc"])
        self.assertTold(client, CloseCode.KICKED)

    def test_lost(self) -> None:
        """
        A user whose socket breaks is AWAY, and may come back by another transport's rules.
        """
        user = self.user()
        client = self.opened(user)
        client.socket.cut()
        client.turn()
        self.assertState(user, UserState.AWAY)
        other = self.binary(user)
        other.request(ECHO, b"back")
        self.assertState(user, UserState.CONNECTED)

    def test_timeout(self) -> None:
        """
        A silent client is told TIMEOUT and may come back.
        """
        user = self.user()
        client = self.opened(user)
        self.advance(11)
        self.assertTold(client, CloseCode.TIMEOUT)
        self.assertState(user, UserState.AWAY)

    def test_shutDown(self) -> None:
        """
        When the server ends, clients inside are told, strangers too, and the server
        waits until they have gone.
        """
        inside = self.opened()
        ending = self.server.service().stopService()
        assert ending is not None
        self.assertNoResult(ending)
        inside.turn()
        self.assertEqual(inside.closed_with(), (4000 + CloseCode.SERVER_OFFLINE, "SERVER_OFFLINE"))
        inside.socket.peer_closes()
        inside.turn()
        self.advance(2)
        self.successResultOf(ending)

    def test_rekey(self) -> None:
        """
        When the packet numbers are used up the client is told REKEY in a record of the
        last number, and what was to be sent waits for it to come back.
        """
        user = self.user()
        client = self.binary(user)
        client.request(ECHO)
        connection = client.ws.connection
        connection._speech._sent = client.raw.opened = STREAM_NUMBER_LIMIT - 1
        user.server_push(2, 50, b"last")
        user.server_push(2, 50, b"waits")
        client.turn()
        self.assertEqual(
            client.raw.received[-2:], [Push(2, 50, b"last"), Close(CloseCode.REKEY, "")]
        )
        self.assertTold(client.ws, CloseCode.REKEY)
        self.assertState(user, UserState.AWAY)
        back = self.binary(user)
        back.request(ECHO, b"x")
        self.assertEqual(back.raw.received[0], Push(2, 50, b"waits"))
        self.assertIsInstance(back.raw.received[1], Response)

    def test_clientNumbersUsedUp(self) -> None:
        """
        At its last number a client may only close.
        """
        for close in (True, False):
            user = self.user()
            client = self.binary(user)
            client.request(ECHO)
            speech = client.ws.connection._speech
            speech._received = client.raw.sent = STREAM_NUMBER_LIMIT
            if close:
                client.send(client.raw.close(CloseCode.REKEY))
                self.assertState(user, UserState.AWAY)
                self.assertClosing(client.ws, 1000)
            else:
                client.request(ECHO)
                self.assertTold(client.ws, CloseCode.PROTOCOL)

    def test_sendAfterTheEnd(self) -> None:
        """
        What is sent to a connection that is over is dropped, not raised.
        """
        user = self.user()
        client = self.opened(user)
        connection = client.connection
        connection.close(CloseCode.KICKED)
        connection.close(CloseCode.KICKED)
        connection.terminate(CloseCode.KICKED)
        self.assertIs(connection.phase, Phase.CLOSED)
        self.assertTold(client, CloseCode.KICKED)
