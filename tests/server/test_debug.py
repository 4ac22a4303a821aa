"""
Debug commands in a whole server: who reaches them, and what they do to it.
"""

import json

from twisted.internet.defer import Deferred

from diarkis_tw.client import Client, ResponseError
from diarkis_tw.constants import CloseCode, ErrorCode, NodeState, ServerType, Status
from diarkis_tw.errors import RegistrationError
from diarkis_tw.wire.record import RecordType, record_header
from tests.server.whole import WholeCase
from tests.transports.case import TcpCase

ONLINE, TAKEN, OFFLINE, TERMINATE, ROOMS, USERS = range(900, 906)


class DebugTests(WholeCase):
    """
    Commands sent by a real client.
    """

    def begin(self, *, exposed: bool = True) -> Client:
        """
        Start a server and connect to it.
        """
        self.prepare()
        if exposed:
            self.server.expose_debug_commands()
        self.assertIs(self.server.is_debug_commands_enabled(), exposed)
        self.start()
        return self.client()

    def ask(self, client: Client, cmd: int) -> Deferred[bytes]:
        """
        Send a debug command.
        """
        asking = client.request(0, cmd)
        self.reactor.advance(1)
        return asking

    def test_off(self) -> None:
        """
        Unless they are exposed each is BAD with a sentence.
        """
        client = self.begin(exposed=False)
        for cmd in range(ONLINE, USERS + 1):
            error = self.failureResultOf(self.ask(client, cmd), ResponseError).value
            self.assertEqual((error.status, error.code), (Status.BAD, ErrorCode.REFUSED))
            self.assertIn("not exposed", error.message)
        self.assertEqual((self.server.state, self.ended), (NodeState.ONLINE, []))

    def test_states(self) -> None:
        """
        A client sets the node's state.
        """
        client = self.begin()
        for cmd, state in (
            (TAKEN, NodeState.TAKEN),
            (OFFLINE, NodeState.OFFLINE),
            (ONLINE, NodeState.ONLINE),
        ):
            self.assertEqual(self.successResultOf(self.ask(client, cmd)), b"")
            self.assertIs(self.server.state, state)

    def test_dumps(self) -> None:
        """
        A client reads the dumps as JSON, larger ones than a packet too.
        """
        client = self.begin()
        self.assertEqual(self.successResultOf(self.ask(client, ROOMS)), b"[]")
        self.user(client).set("story", "x" * 40_000)
        [user] = json.loads(self.successResultOf(self.ask(client, USERS)))
        self.assertEqual(list(user), ["ID", "SID", "Data", "Latency"])
        self.assertEqual((user["ID"], user["SID"]), ("alice", client.endpoint.keys.sid.hex()))
        self.assertEqual(len(user["Data"]["story"]), 40_000)

    def test_too_large(self) -> None:
        """
        A dump that this transport cannot carry is BAD with the counts, and harms nobody.
        """
        client = self.begin()
        self.user(client).set("story", "x" * (1 << 20))
        error = self.failureResultOf(self.ask(client, USERS), ResponseError).value
        self.assertEqual((error.status, error.code), (Status.BAD, ErrorCode.ANSWER_TOO_LARGE))
        self.assertRegex(error.message, r"1 user\(s\), 10486\d\d bytes")
        self.assertEqual(self.echo(client), b"hello")

    def test_terminate(self) -> None:
        """
        903 drains: the client is answered, told, served, and at the time limit sent away; the
        process ends with status 0. Asked for twice it does not end at once.
        """
        client = self.begin()
        states, ends = self.watch(client)
        self.assertEqual(self.successResultOf(self.ask(client, TERMINATE)), b"")
        self.assertEqual(states, [NodeState.OFFLINE])
        self.successResultOf(self.ask(client, TERMINATE))
        self.reactor.advance(6)
        self.assertEqual(self.echo(client), b"hello")
        self.assertEqual((self.ended, ends), ([], []))
        self.reactor.advance(2)
        self.assertEqual((self.ended, ends), ([0], [CloseCode.SERVER_OFFLINE]))

    def test_leaving_ends_it(self) -> None:
        """
        Nobody left, it ends before the time limit.
        """
        client = self.begin()
        self.ask(client, TERMINATE)
        client.close()
        self.reactor.advance(1)
        self.assertEqual(self.ended, [0])

    def test_callback(self) -> None:
        """
        The application's callback gives the answer.
        """
        self.prepare().expose_debug_commands()
        self.server.set_debug_command_callback(
            TAKEN, lambda user, payload, respond: respond(None, user.uid.encode())
        )
        self.assertRaises(
            RegistrationError, self.server.set_debug_command_callback, 906, lambda a, b, c: None
        )
        self.start()
        client = self.client()
        self.assertEqual(self.successResultOf(self.ask(client, TAKEN)), b"alice")
        self.assertIs(self.server.state, NodeState.TAKEN)


class UdpDebugTests(DebugTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP


class ExposedWhereTests(WholeCase):
    """
    Exposing them where other machines reach the node.
    """

    def test_refused(self) -> None:
        """
        The server does not start, and says which key allows it.
        """
        self.prepare({"address": "192.0.2.7"}).expose_debug_commands()
        refusal = str(self.assertRaises(SystemExit, self.service.startService))
        for word in ("192.0.2.7", "expose_debug_commands", "node.allowDebugCommands"):
            self.assertIn(word, refusal)
        self.assertEqual(self.reactor.ports, {})

    def test_allowed(self) -> None:
        """
        With that key it starts, and without debug commands it does so anyway.
        """
        self.prepare({"address": "192.0.2.7"}, allow_debug_commands=True).expose_debug_commands()
        self.start()
        self.assertTrue(self.server.is_debug_commands_enabled())
        self.stop()
        self.serve({"address": "192.0.2.7"})
        self.assertFalse(self.server.is_debug_commands_enabled())


class AuthenticationTests(TcpCase):
    """
    Who has not proved who it is.
    """

    def expose(self) -> None:
        """
        Serve again, with debug commands.
        """
        # What TcpCase serves has started; this one field decides.
        self.server._debug.exposed = True

    def test_before_hello(self) -> None:
        """
        A debug command instead of a handshake ends the connection and does nothing.
        """
        self.expose()
        for record in (
            record_header(RecordType.DATA, 5) + b"\0\x03\x87\0\1",
            b"\0\x03\x87\0\1",
        ):
            client = self.client()
            client.send(record)
            self.assertIs(self.server.state, NodeState.ONLINE)
            self.assertRefused(client, CloseCode.UNKNOWN)

    def test_forged(self) -> None:
        """
        One that is not sealed with the session's keys does nothing either.
        """
        self.expose()
        client = self.opened()
        record = bytearray(client.raw.request(0, TERMINATE, b"", 1))
        record[-1] ^= 1
        client.send(bytes(record))
        self.assertIs(self.server.state, NodeState.ONLINE)
        self.assertRefused(client, CloseCode.PROTOCOL)


class WsDebugTests(DebugTests):
    """
    The same over WebSocket.
    """

    kind = ServerType.WS
