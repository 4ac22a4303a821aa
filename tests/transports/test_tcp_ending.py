"""
Tests of L{diarkis_tw.transports.tcp}: how connections end, are replaced and
come back.
"""

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import UserState
from diarkis_tw.transports.stream_connection import LINGER, Phase
from diarkis_tw.wire.message import Push, Response
from tests.raw_client import Close, Terminate
from tests.transports.case import ECHO, SLOW, TcpCase, TcpClient


class ClientEndsTests(TcpCase):
    """
    CLOSE, fin and plain loss.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.peer = self.opened(self.alice)

    def test_close(self) -> None:
        """
        A client's CLOSE 0 is not answered and ends the session for good.
        """
        self.peer.send(self.peer.raw.close())
        self.assertEqual(self.peer.received, [])
        self.assertClosing(self.peer)
        self.assertState(self.alice, UserState.GONE)
        self.assertEqual(self.left, ["alice"])

    def test_closeForRekey(self) -> None:
        """
        A client's CLOSE(REKEY) keeps the session.
        """
        self.peer.send(self.peer.raw.close(CloseCode.REKEY))
        self.assertClosing(self.peer)
        self.assertState(self.alice, UserState.AWAY)
        self.assertEqual(self.left, [])
        self.assertTrue(self.opened(self.alice).alive())

    def test_commandsBehindClose(self) -> None:
        """
        Nothing that follows a CLOSE is run.
        """
        raw = self.peer.raw
        self.peer.send(raw.close(CloseCode.REKEY), raw.request(2, ECHO, b"late"))
        self.assertEqual(self.peer.received, [])

    def test_closeConfirms(self) -> None:
        """
        A CLOSE may be the first authentic record: the user was there and has left.
        """
        bob = self.user("bob")
        client = self.accepted(bob)
        client.send(client.raw.close())
        self.assertEqual(client.received, [])
        self.assertEqual(self.left, ["bob"])

    def test_fin(self) -> None:
        """
        fin is answered with CLOSE 0 and ends the session for good.
        """
        self.peer.send(self.peer.raw.request(0, 0, request_id=0))
        self.assertEqual(self.peer.received, [Close(CloseCode.NORMAL, "")])
        self.assertClosing(self.peer)
        self.assertEqual(self.left, ["alice"])

    def test_commandsBehindFin(self) -> None:
        """
        Nothing that follows fin is run.
        """
        raw = self.peer.raw
        self.peer.send(raw.request(0, 0), raw.request(2, ECHO, b"late"))
        self.assertEqual(self.peer.received, [Close(CloseCode.NORMAL, "")])

    def test_lost(self) -> None:
        """
        A broken connection leaves the user away for its grace, then it is gone, once.
        """
        self.peer.socket.cut()
        self.peer.turn()
        self.assertState(self.alice, UserState.AWAY)
        self.assertEqual(self.left, [])
        self.advance(9)
        self.assertEqual(self.left, [])
        self.advance(2)
        self.assertEqual(self.left, ["alice"])
        self.assertState(self.alice, UserState.GONE)

    def test_lostWithoutGrace(self) -> None:
        """
        Without a grace a broken connection is the end.
        """
        self.serve(grace=0)
        client = self.opened()
        client.socket.peer_closes()
        client.turn()
        self.assertEqual(self.left, ["alice"])

    def test_lostBeforeConfirmed(self) -> None:
        """
        An accepted connection that breaks leaves the session pending.
        """
        bob = self.user("bob")
        client = self.accepted(bob)
        client.socket.cut()
        client.turn()
        self.assertState(bob, UserState.PENDING)
        self.assertTrue(self.opened(bob).alive())

    def test_keysAreForgotten(self) -> None:
        """
        The cipher objects of a connection that is over are dropped.
        """
        cache = self.factory.ciphers
        before = len(cache)
        bob = self.opened(self.user("bob"))
        self.assertEqual(len(cache), before + 2)
        bob.socket.cut()
        bob.turn()
        self.assertEqual(len(cache), before)


class ServerEndsTests(TcpCase):
    """
    CLOSE from the server, and closing a socket so that it is read.
    """

    def test_codes(self) -> None:
        """
        Each code that a session ends with reaches its client, readable, and ends the connection.
        """
        for code in CloseCode:
            user = self.user(f"user {code}")
            client = self.opened(user)
            user.remove(code)
            self.assertClosed(client, code)
            self.assertEqual(self.left.count(user.uid), 1)

    def test_acceptedOnly(self) -> None:
        """
        A session that ends before its connection is confirmed is UNKNOWN to its first record.
        """
        user = self.user()
        client = self.accepted(user)
        user.remove(CloseCode.KICKED)
        client.request(ECHO)
        self.assertClosed(client, CloseCode.UNKNOWN)
        self.assertEqual(self.left, [])

    def test_sendAfterEnd(self) -> None:
        """
        Nothing is sent behind a CLOSE.
        """
        user = self.user()
        client = self.opened(user)
        connection = client.connection
        user.disconnect()
        self.assertFalse(user.server_push(2, 1))
        connection.close(CloseCode.TIMEOUT)
        connection.terminate(CloseCode.TIMEOUT)
        client.turn()
        self.assertEqual(client.received, [Close(CloseCode.KICKED, "")])

    def test_fromAHandler(self) -> None:
        """
        What a handler sent before it kicked its user arrives before the CLOSE.
        """
        user = self.user()
        client = self.opened(user)
        client.request(SLOW)
        user.server_push(2, 1, b"goodbye")
        user.disconnect()
        client.turn()
        self.assertEqual(client.received, [Push(2, 1, b"goodbye"), Close(CloseCode.KICKED, "")])

    def test_commandsInTheSameChunk(self) -> None:
        """
        Commands behind the one whose handler kicked the user do not run.
        """
        user = self.user()
        client = self.opened(user)
        self.at_echo = user.disconnect
        client.send(*(client.raw.request(2, ECHO, b"%d" % n) for n in range(3)))
        self.assertEqual(self.echoed, [b"0"])
        self.assertClosed(client, CloseCode.KICKED)
        self.assertEqual(client.payloads(), [])

    def test_linger(self) -> None:
        """
        The server keeps reading what it throws away until the peer closes, so that the peer
        is not reset before it has read why.
        """
        user = self.user()
        client = self.opened(user)
        user.disconnect()
        client.turn()
        self.assertTrue(client.socket.shut)
        self.assertFalse(client.socket.ended)
        client.send(client.raw.request(2, ECHO, bytes(5000)))
        self.advance(LINGER - 0.5)
        self.assertFalse(client.socket.aborted)
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(client.socket.ended)
        self.advance(5)
        self.assertFalse(client.socket.aborted)

    def test_lingersNotForEver(self) -> None:
        """
        A peer that does not close is cut off after the linger.
        """
        user = self.user()
        client = self.opened(user)
        user.disconnect()
        client.turn()
        self.advance(LINGER + 1)
        self.assertTrue(client.socket.aborted)
        client.turn()
        self.assertTrue(client.socket.ended)

    def test_refusedStrangersLingerToo(self) -> None:
        """
        The same holds after TERMINATE.
        """
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.of(Terminate)[0].code, CloseCode.UNKNOWN)
        self.advance(LINGER - 0.5)
        self.assertFalse(client.socket.aborted)
        self.advance(1.5)
        self.assertTrue(client.socket.aborted)

    def test_whenClosed(self) -> None:
        """
        The factory tells when its last connection is gone, whichever phase it was in.
        """
        self.successResultOf(self.factory.when_closed())
        clients = [self.client(), self.accepted(self.user("bob")), self.opened(self.user("carl"))]
        closed = self.factory.when_closed()
        for client in clients:
            self.assertNoResult(closed)
            client.socket.cut()
            client.turn()
        self.successResultOf(closed)

    def test_abortAll(self) -> None:
        """
        All connections can be cut at once.
        """
        clients = [self.client(), self.accepted(self.user("bob")), self.opened(self.user("carl"))]
        self.factory.abort_all()
        for client in clients:
            client.turn()
            self.assertTrue(client.socket.ended)
        self.successResultOf(self.factory.when_closed())


class ReplacementTests(TcpCase):
    """
    A second connection of a session, and a second session of a player.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.peer = self.opened(self.alice)

    def assertSilent(self, client: TcpClient) -> None:
        """
        The client was told nothing and is served.
        """
        client.turn()
        self.assertEqual(client.received, [])
        self.assertIs(client.connection.phase, Phase.OPEN)

    def test_sameSession(self) -> None:
        """
        A second connection takes over when it is confirmed, not before; the first gets REPLACED.
        """
        second = self.client(self.alice)
        self.assertSilent(self.peer)
        second.send(second.raw.hello())
        self.assertSilent(self.peer)
        second.request(ECHO, b"here")
        self.assertClosed(self.peer, CloseCode.REPLACED)
        self.assertState(self.alice, UserState.CONNECTED)
        self.assertTrue(second.alive())
        self.assertEqual(self.left, [])

    def test_forgedSecondConnection(self) -> None:
        """
        Who knows the sid but not the keys replaces nobody.
        """
        second = self.accepted(self.alice)
        second.send(b"\x10\x00\x00\x15" + bytes(21))
        self.assertRefused(second, CloseCode.PROTOCOL)
        self.assertSilent(self.peer)
        self.assertTrue(self.peer.alive())

    def test_newSession(self) -> None:
        """
        A new session of the same uid replaces the old one when its connection is confirmed.
        """
        newer = self.user("alice")
        second = self.accepted(newer)
        self.assertSilent(self.peer)
        second.request(ECHO, b"here")
        self.assertClosed(self.peer, CloseCode.REPLACED)
        self.assertEqual(self.left, ["alice"])
        self.assertState(self.alice, UserState.GONE)
        self.assertIs(self.server.users.find_uid("alice"), newer)
        self.assertTrue(second.alive())

    def test_lateLossOfTheFirst(self) -> None:
        """
        That the replaced socket closes later does not touch the user.
        """
        second = self.opened(self.alice)
        self.peer.socket.cut()
        self.peer.turn()
        self.assertState(self.alice, UserState.CONNECTED)
        self.assertTrue(second.alive())

    def test_manyAccepted(self) -> None:
        """
        Of several accepted connections the one that confirms last is the user's.
        """
        others = [self.accepted(self.alice) for _ in range(3)]
        for other in others:
            other.request(ECHO)
        self.assertClosed(others[0], CloseCode.REPLACED)
        self.assertClosed(others[1], CloseCode.REPLACED)
        self.assertTrue(others[2].alive())

    def test_answerGoesToTheNewConnection(self) -> None:
        """
        A command that was running when the connection was replaced is answered on the new one.
        """
        self.peer.request(SLOW, request_id=7)
        second = self.accepted(self.alice)
        second.send(second.raw.request(2, ECHO, b"second", 8))
        self.assertEqual(second.received, [])
        self.slow[b""].callback(b"slow")
        second.turn()
        self.assertEqual(
            [(found.request_id, found.payload) for found in second.of(Response)],
            [(7, b"slow"), (8, b"second")],
        )


class ReconnectTests(TcpCase):
    """
    The same session on a new connection.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.user()
        self.alice.data["score"] = 7
        client = self.opened(self.alice)
        client.socket.cut()
        client.turn()

    def test_continues(self) -> None:
        """
        Within the grace the same user goes on, with its data, and nobody is told that it left.
        """
        self.advance(9)
        client = self.opened(self.alice)
        self.assertTrue(client.alive())
        self.assertEqual(self.alice.data, {"score": 7})
        self.advance(5)
        self.assertState(self.alice, UserState.CONNECTED)
        self.assertEqual(self.left, [])

    def test_waitingMessages(self) -> None:
        """
        Reliable pushes of the meantime come first, in order; unreliable ones do not.
        """
        self.assertTrue(self.alice.server_push(2, 1, b"1"))
        self.assertFalse(self.alice.server_push(2, 1, b"x", reliable=False))
        self.assertTrue(self.alice.server_push(2, 1, b"2"))
        client = self.accepted(self.alice)
        self.assertEqual(client.received, [])
        client.request(ECHO, b"3")
        self.assertEqual(client.payloads(), [b"1", b"2", b"3"])

    def test_whileTakenOrOffline(self) -> None:
        """
        A user who comes back is not new: TAKEN and OFFLINE do not hinder it.
        """
        self.server.taken()
        client = self.opened(self.alice)
        self.assertTrue(client.alive())
        client.socket.cut()
        client.turn()
        self.server.offline()
        client = self.accepted(self.alice)
        client.request(ECHO, b"back")
        self.assertEqual(client.received[0], Push(0, 6, b"\2"))
        self.assertEqual(client.payloads()[1:], [b"back"])

    def test_tooLate(self) -> None:
        """
        After the grace the session is UNKNOWN.
        """
        self.advance(11)
        client = self.client(self.alice)
        client.send(client.raw.hello())
        self.assertRefused(client, CloseCode.UNKNOWN)

    def test_afterAGoodbye(self) -> None:
        """
        After fin, CLOSE or a kick the session is UNKNOWN at once.
        """
        client = self.opened(self.alice)
        client.send(client.raw.close())
        client = self.client(self.alice)
        client.send(client.raw.hello())
        self.assertRefused(client, CloseCode.UNKNOWN)

    def test_otherKeys(self) -> None:
        """
        The new connection has keys of its own: not even the same client nonce makes them equal.
        """
        first = self.accepted(self.alice)
        again = TcpClient(self, type(first.raw)(self.alice.keys, seed=1), "127.0.0.1", 1)
        same = TcpClient(self, type(first.raw)(self.alice.keys, seed=1), "127.0.0.1", 2)
        for client in (again, same):
            client.send(client.raw.hello())
        self.assertEqual(again.raw.nonce, same.raw.nonce)
        self.assertNotEqual(again.raw.request(2, ECHO), same.raw.request(2, ECHO))
