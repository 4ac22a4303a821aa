"""
Tests of L{diarkis_tw.modules.session}.
"""

from diarkis_tw.constants import NODE_STATE_BYTE, Builtin, ErrorCode, NodeState, Status
from diarkis_tw.core.user import User
from diarkis_tw.modules.session import SessionCommands
from diarkis_tw.wire.keep_alive import decode_keep_alive_response, encode_keep_alive_request
from diarkis_tw.wire.message import Response
from tests.core.fakes import CoreTestCase

KEEP_ALIVE = int(Builtin.KEEP_ALIVE)


class SessionTestCase(CoreTestCase):
    """
    A user of a node with the session's commands.
    """

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[tuple[User, int | None, int]] = []
        SessionCommands(self.core.registry, self.core.node)
        self.core.registry.on_keep_alive(
            lambda user: self.heard.append((user, user.latency, len(self.client.sent)))
        )
        self.user, self.client = self.serve()

    def keep_alive(self, time: int = 1, round_trip: int | None = None) -> tuple[int, int, str]:
        """
        Send a keep-alive as clients do.

        @return: what the answer to it says.
        """
        payload = encode_keep_alive_request(time, round_trip)
        self.client.command(payload, ver=0, cmd=KEEP_ALIVE, reliable=False)
        return decode_keep_alive_response(self.client.answers()[-1][2])


class KeepAliveTests(SessionTestCase):
    """
    ver 0 cmd 1.
    """

    def test_answer(self) -> None:
        """
        The client gets its time back, unreliably and without an id.
        """
        time = 2**63 + 5
        self.assertEqual(self.keep_alive(time), (time, 1, ""))
        [answer] = self.client.sent
        assert isinstance(answer, Response)
        self.assertEqual(
            (answer.ver, answer.cmd, answer.status, answer.request_id), (0, 1, Status.OK, 0)
        )
        self.assertEqual(self.client.reliable, [False])

    def test_state(self) -> None:
        """
        The answer says the node's state.
        """
        for enter, state in (
            (self.core.node.taken, NodeState.TAKEN),
            (self.core.node.offline, NodeState.OFFLINE),
            (self.core.node.online, NodeState.ONLINE),
        ):
            enter()
            self.assertEqual(self.keep_alive()[1], NODE_STATE_BYTE[state])

    def test_latency(self) -> None:
        """
        The round trip that the client measured is the user's latency from then on.
        """
        self.assertIsNone(self.user.latency)
        self.keep_alive()
        self.assertIsNone(self.user.latency)
        self.keep_alive(round_trip=40)
        self.assertEqual(self.user.latency, 40)
        self.keep_alive()
        self.assertEqual(self.user.latency, 40)
        self.keep_alive(round_trip=0)
        self.assertEqual(self.user.latency, 0)

    def test_handlers(self) -> None:
        """
        The application's handlers run on each keep-alive, once it is answered and the
        latency is known.
        """
        self.keep_alive(round_trip=40)
        self.keep_alive(round_trip=50)
        self.assertEqual(self.heard, [(self.user, 40, 1), (self.user, 50, 2)])

    def test_bad_payload(self) -> None:
        """
        A payload of another size is BAD 1001, and no keep-alive.
        """
        for payload in (b"", bytes(9), bytes(11)):
            self.client.command(payload, 7, ver=0, cmd=KEEP_ALIVE)
            id, status, code, text = self.client.errors()[-1]
            self.assertEqual((id, status, code), (7, Status.BAD, ErrorCode.INVALID_PARAMETERS))
            self.assertIn(f"{len(payload)} bytes", text)
        self.assertEqual((self.heard, self.user.latency), ([], None))


class PingTests(SessionTestCase):
    """
    ver 0 cmd 3.
    """

    def test_echo(self) -> None:
        """
        The payload comes back with the request's id, also when it is empty.
        """
        for payload in (b"hello", b""):
            self.client.command(payload, 7, ver=0, cmd=Builtin.PING)
            self.assertEqual(self.client.answers()[-1], (7, Status.OK, payload))
        self.assertEqual(len(self.client.sent), 2)


class ValueTests(SessionTestCase):
    """
    The same over JSON.
    """

    def setUp(self) -> None:
        super().setUp()
        self.client.text = True

    def test_keepAlive(self) -> None:
        """
        Time comes back, the state is told, the round trip is noted, on_keep_alive runs.
        """
        for rtt, latency in ((17, 17), (65535, 17), (3.0, 3)):
            self.client.command({"time": 5.0, "rtt": rtt}, ver=0, cmd=KEEP_ALIVE)
            self.assertEqual(self.client.answers()[-1], (0, Status.OK, {"time": 5, "state": 1}))
            self.assertEqual(self.user.latency, latency)
        self.client.command({"time": 5}, ver=0, cmd=KEEP_ALIVE)
        self.assertEqual(len(self.heard), 4)

    def test_badKeepAlive(self) -> None:
        """
        Anything else is BAD 1001, with nothing logged.
        """
        for body in (
            b"",
            bytes(10),
            {},
            {"rtt": 1},
            {"time": -1},
            {"time": 2**64},
            {"time": 1.5},
            {"time": "1"},
            {"time": True},
            {"time": 1, "rtt": 65536},
            {"time": 1, "rtt": None},
            {"time": 1e300},
        ):
            self.client.command(body, ver=0, cmd=KEEP_ALIVE)
            _, status, error = self.client.answers()[-1]
            self.assertEqual((status, error["code"]), (Status.BAD, 1001), body)  # type: ignore[index]

    def test_ping(self) -> None:
        """
        Values and bytes come back as they are.
        """
        for body in ({"x": [1]}, b"abc", b""):
            self.client.command(body, 7, ver=0, cmd=Builtin.PING)
            self.assertEqual(self.client.answers()[-1], (7, Status.OK, body))
