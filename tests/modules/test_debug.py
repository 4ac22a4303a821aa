"""
Tests of L{diarkis_tw.modules.debug}.
"""

import json
from typing import cast

from twisted.internet.defer import Deferred, succeed

from diarkis_tw.constants import Builtin, ErrorCode, NodeState, Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, RegistrationError
from diarkis_tw.modules.debug import COMMANDS, DebugCommands, Respond
from diarkis_tw.wire.message import Push
from tests.core.fakes import CoreTestCase, GameFault

ONLINE, TAKEN, OFFLINE, TERMINATE, ROOMS, USERS = COMMANDS


class DebugCase(CoreTestCase):
    """
    A node with debug commands, not exposed yet.

    @ivar terminated: how often the node was told to end.
    """

    def setUp(self) -> None:
        super().setUp()
        self.terminated = 0
        self.debug = DebugCommands(
            self.core.registry, self.core.node, self.core.users, self.terminate
        )

    def terminate(self) -> None:
        """
        End the node as the life cycle does.
        """
        self.terminated += 1
        self.core.node.terminate()

    def begin(self, *, exposed: bool = True) -> None:
        """
        Start the node and let alice come.
        """
        if exposed:
            self.debug.expose()
        self.user, self.client = self.serve()

    def ask(self, cmd: int, payload: bytes = b"", id: int = 7) -> None:
        """
        Alice sends a command.
        """
        self.client.command(payload, id, ver=0, cmd=cmd)

    def answer(self, cmd: int, payload: bytes = b"") -> bytes:
        """
        The payload of the one answer to it, which is OK.
        """
        before = len(self.client.answers())
        self.ask(cmd, payload)
        [(id, status, answer)] = self.client.answers()[before:]
        self.assertEqual((id, status), (7, Status.OK), answer)
        return answer

    def refused(self, cmd: int, code: int, *parts: str, payload: bytes = b"") -> None:
        """
        Assert that it is BAD, with these words.
        """
        before = len(self.client.answers())
        self.ask(cmd, payload)
        self.assertEqual(len(self.client.answers()), before + 1)
        id, status, found, text = self.client.errors()[-1]
        self.assertEqual((id, status, found), (7, Status.BAD, code), text)
        for part in parts:
            self.assertIn(part, text)


class OffTests(DebugCase):
    """
    Debug commands that nobody exposed.
    """

    def test_off(self) -> None:
        """
        They are BAD 1005 with a sentence, and do nothing, whatever callback there is.
        """
        called: list[bytes] = []
        self.debug.set_callback(ROOMS, lambda user, payload, respond: called.append(payload))
        self.begin(exposed=False)
        for cmd in COMMANDS:
            self.refused(cmd, ErrorCode.REFUSED, "not exposed")
        self.assertIs(self.core.node.state, NodeState.ONLINE)
        self.assertEqual((self.terminated, called), (0, []))
        self.assertFalse(self.debug.exposed)

    def test_late(self) -> None:
        """
        After the start it is too late to expose them, or to set a callback.
        """
        self.begin(exposed=False)
        self.assertRaises(RegistrationError, self.debug.expose)
        self.assertRaises(
            RegistrationError, self.debug.set_callback, ROOMS, lambda user, payload, respond: None
        )
        self.assertFalse(self.debug.exposed)


class StateTests(DebugCase):
    """
    900 to 903.
    """

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def test_states(self) -> None:
        """
        The node enters the state; a request with an id is answered by an empty OK.
        """
        for cmd, state in (
            (TAKEN, NodeState.TAKEN),
            (OFFLINE, NodeState.OFFLINE),
            (ONLINE, NodeState.ONLINE),
        ):
            self.assertEqual(self.answer(cmd), b"")
            self.assertIs(self.core.node.state, state)

    def test_no_answer(self) -> None:
        """
        Without an id there is none, as the Go doc says.
        """
        for cmd in (TAKEN, ONLINE, TERMINATE):
            self.ask(cmd, id=0)
        self.assertEqual(self.client.sent, [])

    def test_terminate(self) -> None:
        """
        903 ends the node in good order; being told again does not end it at once.
        """
        self.answer(TERMINATE)
        self.answer(TERMINATE)
        self.assertEqual(self.terminated, 1)
        self.assertIs(self.core.node.state, NodeState.OFFLINE)
        self.assertEqual(self.client.closed, [])

    def test_terminating(self) -> None:
        """
        A node on its way out cannot be brought back, and says so.
        """
        self.core.node.terminate()
        for cmd in (ONLINE, TAKEN):
            self.refused(cmd, ErrorCode.REFUSED, "terminating")
        self.answer(OFFLINE)

    def test_payload(self) -> None:
        """
        A payload is not what they expect: BAD 1001, and nothing happens.
        """
        for cmd in COMMANDS:
            self.refused(cmd, ErrorCode.INVALID_PARAMETERS, "3 bytes", payload=b"abc")
        self.assertEqual((self.core.node.state, self.terminated), (NodeState.ONLINE, 0))

    def test_empty_object(self) -> None:
        """
        The empty object of a WebSocket user, which comes as MessagePack, is no payload.
        """
        self.assertEqual(self.answer(TAKEN, b"\x80"), b"")

    def test_others(self) -> None:
        """
        The client's neighbours learn of OFFLINE and of nothing else.
        """
        _, bob = self.core.connect("bob")
        self.core.node.observe(self.core.users.tell_state)
        for cmd in (TAKEN, ONLINE, USERS, OFFLINE):
            self.ask(cmd)
        self.assertEqual(bob.sent, [Push(0, Builtin.NODE_STATE, b"\2")])


class HookTests(DebugCase):
    """
    Who may use them.
    """

    def test_hook(self) -> None:
        """
        A hook of the application can refuse them to some.
        """

        def operators_only(user: User) -> None:
            if user.request is not None and user.request.cmd in COMMANDS and user.uid != "op":
                raise CommandError(3, "operators only")

        self.core.registry.hook(operators_only)
        self.begin()
        self.refused(TAKEN, 3, "operators only")
        self.assertIs(self.core.node.state, NodeState.ONLINE)
        _, self.client = self.core.connect("op")
        self.answer(TAKEN)
        self.assertIs(self.core.node.state, NodeState.TAKEN)


class DumpTests(DebugCase):
    """
    904 and 905.
    """

    def dump(self, cmd: int) -> list[dict[str, object]]:
        """
        The dump as a client reads it.
        """
        return cast("list[dict[str, object]]", json.loads(self.answer(cmd)))

    def test_no_rooms(self) -> None:
        """
        Without rooms the room dump is an empty list.
        """
        self.begin()
        self.assertEqual(self.answer(ROOMS), b"[]")

    def test_rooms(self) -> None:
        """
        What there is to say of rooms comes from whoever has them.
        """
        self.debug.room_dump = lambda: [{"ID": "r1", "Members": 2}]
        self.begin()
        self.assertEqual(self.dump(ROOMS), [{"ID": "r1", "Members": 2}])

    def test_users(self) -> None:
        """
        The user dump has the Go doc's keys for each user, those who are away included; a latency
        not measured yet is 0.
        """
        self.begin()
        bob, connection = self.core.connect("bob")
        bob.latency = 40
        bob.data |= {"rank": 3, "raw": b"\0", "where": {"x": [1.5]}}
        connection.drop()
        self.core.create("pending")
        self.assertEqual(
            self.dump(USERS),
            [
                {"ID": "alice", "SID": self.user.sid, "Data": {}, "Latency": 0},
                {
                    "ID": "bob",
                    "SID": bob.sid,
                    "Data": {"rank": 3, "raw": "AA==", "where": {"x": [1.5]}},
                    "Latency": 40,
                },
            ],
        )

    def test_odd_data(self) -> None:
        """
        Objects of the application are shown as text; data that is no JSON at all spoils only
        itself.
        """
        self.begin()

        class Sword:
            def __repr__(self) -> str:
                return "<Sword>"

        self.user.data["hand"] = Sword()
        bob, _ = self.core.connect("bob")
        bob.data["self"] = bob.data
        carol, _ = self.core.connect("carol")
        carol.data["text"] = "\ud800"
        self.assertEqual(
            [user["Data"] for user in self.dump(USERS)],
            [
                {"hand": "<Sword>"},
                {"error": "no JSON: RecursionError"},
                {"error": "no JSON: UnicodeEncodeError"},
            ],
        )

    def test_too_large(self) -> None:
        """
        A dump that no message can carry is BAD 1006, with the number of users and bytes.
        """
        self.begin()
        self.user.data["x"] = "x" * (1 << 20)
        self.core.connect("bob")
        self.refused(USERS, ErrorCode.ANSWER_TOO_LARGE, "2 user(s), 1048", "bytes")
        self.user.data.clear()
        self.assertEqual(len(self.dump(USERS)), 2)

    def test_unasked(self) -> None:
        """
        A dump is answered with id 0, too.
        """
        self.begin()
        self.ask(ROOMS, id=0)
        self.assertEqual(self.client.answers(), [(0, Status.OK, b"[]")])


class CallbackTests(DebugCase):
    """
    Callbacks of the application.
    """

    def test_reply(self) -> None:
        """
        The callback runs after the command's work, with the client's payload, and its reply is the
        answer.
        """
        seen: list[tuple[str, bytes, NodeState]] = []

        def taken(user: User, payload: bytes, respond: Respond) -> None:
            seen.append((user.uid, payload, self.core.node.state))
            respond(None, b"it is")

        self.debug.set_callback(TAKEN, taken)
        self.begin()
        self.assertEqual(self.answer(TAKEN, b"please"), b"it is")
        self.assertEqual(seen, [("alice", b"please", NodeState.TAKEN)])

    def test_own_reply(self) -> None:
        """
        C{respond()} leaves the command's own answer.
        """
        for cmd in (ONLINE, ROOMS):
            self.debug.set_callback(cmd, lambda user, payload, respond: respond())
        self.begin()
        self.assertEqual((self.answer(ONLINE), self.answer(ROOMS)), (b"", b"[]"))
        self.ask(ONLINE, id=0)
        self.assertEqual(len(self.client.sent), 2)

    def test_errors(self) -> None:
        """
        C{respond(CommandError)} is BAD with its code; any other error is ERR and logged.
        """
        errors: list[Exception] = [CommandError(5, "not so fast"), GameFault()]
        self.debug.set_callback(
            OFFLINE, lambda user, payload, respond: respond(errors.pop(0), b"ignored")
        )
        self.begin()
        self.refused(OFFLINE, 5, "not so fast")
        self.ask(OFFLINE)
        self.assertEqual(self.client.errors()[-1][1:3], (Status.ERR, ErrorCode.INTERNAL))
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_raises(self) -> None:
        """
        A callback that raises, or whose coroutine fails, is ERR and logged; the user goes on.
        """

        def broken(user: User, payload: bytes, respond: Respond) -> None:
            raise GameFault

        async def broken_later(user: User, payload: bytes, respond: Respond) -> None:
            raise GameFault

        self.debug.set_callback(ONLINE, broken)
        self.debug.set_callback(TAKEN, broken_later)
        self.begin()
        for cmd in (ONLINE, TAKEN):
            self.ask(cmd)
            self.assertIs(self.client.errors()[-1][1], Status.ERR)
        self.assertEqual(len(self.logged(GameFault)), 2)
        self.answer(ROOMS)

    def test_wrong_reply(self) -> None:
        """
        A reply that is no bytes is the callback's fault: ERR and logged.
        """
        self.debug.set_callback(
            ONLINE,
            lambda user, payload, respond: respond(None, "text"),  # type: ignore[arg-type]
        )
        self.begin()
        self.ask(ONLINE)
        self.assertIs(self.client.errors()[-1][1], Status.ERR)
        self.assertEqual(len(self.logged(TypeError)), 1)

    def test_later(self) -> None:
        """
        The answer may come later; until then the user's next command waits.
        """
        waiting: list[Respond] = []
        self.debug.set_callback(ROOMS, lambda user, payload, respond: waiting.append(respond))
        self.begin()
        self.ask(ROOMS)
        self.ask(ONLINE)
        self.assertEqual(self.client.sent, [])
        waiting[0](None, b"late")
        self.assertEqual(self.client.answers(), [(7, Status.OK, b"late"), (7, Status.OK, b"")])

    def test_async(self) -> None:
        """
        A callback may be asynchronous; what it returns is no answer.
        """
        database: Deferred[bytes] = Deferred()

        async def look_up(user: User, payload: bytes, respond: Respond) -> bytes:
            respond(reply=await database)
            return b"no answer"

        def old_style(user: User, payload: bytes, respond: Respond) -> Deferred[bytes]:
            respond()
            return succeed(b"no answer")

        self.debug.set_callback(ROOMS, look_up)
        self.debug.set_callback(ONLINE, old_style)
        self.begin()
        self.ask(ROOMS)
        self.assertEqual(self.client.sent, [])
        database.callback(b"rows")
        self.assertEqual(self.client.answers(), [(7, Status.OK, b"rows")])
        self.assertEqual(self.answer(ONLINE), b"")

    def test_twice(self) -> None:
        """
        A second C{respond} is logged and answers nothing.
        """

        def eager(user: User, payload: bytes, respond: Respond) -> None:
            respond(None, b"one")
            respond(None, b"two")

        self.debug.set_callback(ONLINE, eager)
        self.begin()
        events = self.log_events()
        self.assertEqual(self.answer(ONLINE), b"one")
        self.assertEqual(len(events), 1)

    def test_replaced(self) -> None:
        """
        The last callback of a command is the one.
        """
        self.debug.set_callback(ONLINE, lambda user, payload, respond: respond(None, b"one"))
        self.debug.set_callback(ONLINE, lambda user, payload, respond: respond(None, b"two"))
        self.begin()
        self.assertEqual(self.answer(ONLINE), b"two")

    def test_wrong(self) -> None:
        """
        An id that is no debug command, and a function of another form, are refused at once.
        """

        def good(user: User, payload: bytes, respond: Respond) -> None: ...

        for cmd in (899, 906, 0, -1, 900.0, "900", None, True):
            error = self.assertRaises(RegistrationError, self.debug.set_callback, cmd, good)
            self.assertIn("900 to 905", str(error))
        for callback in (None, "good", lambda: None, lambda user, payload: None, lambda *a, b: 0):
            error = self.assertRaises(RegistrationError, self.debug.set_callback, 900, callback)
            self.assertIn("f(user, payload, respond)", str(error))
        self.debug.set_callback(Builtin.DEBUG_USERS, good)
