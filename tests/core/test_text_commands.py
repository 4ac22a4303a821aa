"""
Tests of L{diarkis_tw.core.dispatch}: commands that came as JSON.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.encoded import Body
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError
from tests.core.fakes import CMD, VER, CoreTestCase, FakeConnection, GameFault

OK = Status.OK


class TextCommandTests(CoreTestCase):
    """
    Handlers of C{handle_ws_command} and of C{handle_command}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.got: list[tuple[str, float, float, object]] = []

    def handler(self, name: str, result: object = None) -> Callable[..., object]:
        """
        A handler that notes what it gets.
        """

        def handle(ver: float, cmd: float, payload: object, user: User) -> object:
            self.got.append((name, ver, cmd, payload))
            return result

        return handle

    def text_user(self) -> tuple[User, FakeConnection]:
        """
        Start the node with a user who speaks JSON.
        """
        user, client = self.serve()
        client.text = True
        return user, client

    def test_wsHandlersFirst(self) -> None:
        """
        JSON goes to the handlers of handle_ws alone, in their order; binary to the others.
        """
        registry = self.core.registry
        registry.handle(VER, CMD, self.handler("bytes", b"bytes"))
        registry.handle_ws(VER, float(CMD), self.handler("first"))
        registry.handle_ws(float(VER), CMD, self.handler("second", {"a": 1}))
        _, client = self.text_user()
        client.command({"x": 1}, 7)
        self.assertEqual(self.got, [("first", VER, CMD, {"x": 1}), ("second", VER, CMD, {"x": 1})])
        self.assertEqual(client.answers(), [(7, OK, {"a": 1})])
        client.text = False
        client.command(b"x", 8)
        self.assertEqual(self.got[2:], [("bytes", VER, CMD, b"x")])

    def test_mapping(self) -> None:
        """
        They get a mapping whatever came, and what it is is what the request says.
        """
        bodies: list[object] = []
        self.core.registry.hook(lambda user: bodies.append(user.request.body))
        self.core.registry.handle_ws(VER, CMD, self.handler("ws"))
        _, client = self.text_user()
        sent: tuple[tuple[Body, object], ...] = (
            ({"x": [1]}, {"x": [1]}),
            (b"", {}),
            (b"abc", {"base64": "YWJj"}),
        )
        for body, _ in sent:
            client.command(body)
        self.assertEqual([found[3] for found in self.got], [wanted for _, wanted in sent])
        self.assertEqual(bodies, [wanted for _, wanted in sent])

    def test_bytes(self) -> None:
        """
        Where there are none, those of handle get bytes: a value as its MessagePack.
        """
        self.core.registry.handle(VER, CMD, self.handler("bytes", {"a": 1}))
        _, client = self.text_user()
        for body in ({"x": 1}, b"", b"abc"):
            client.command(body, 7)
        self.assertEqual([found[3] for found in self.got], [b"\x81\xa1x\x01", b"", b"abc"])
        self.assertEqual(client.answers(), [(7, OK, {"a": 1})] * 3)

    def test_unsayable(self) -> None:
        """
        A value that MessagePack cannot say is BAD, without a word in the log; nothing runs.
        """
        self.core.registry.handle(VER, CMD, self.handler("bytes"))
        _, client = self.text_user()
        client.command({"x": 2**64}, 7)
        ((id, status, error),) = client.answers()
        self.assertEqual((id, status), (7, Status.BAD))
        self.assertEqual(error["code"], ErrorCode.INVALID_PARAMETERS)  # type: ignore[index]
        self.assertEqual((self.got, self.core.dispatcher.refused), ([], 1))

    def test_unknown(self) -> None:
        """
        A pair with no handler of either kind is BAD 1004.
        """
        _, client = self.text_user()
        client.command({"x": 1}, 7)
        ((_, status, error),) = client.answers()
        self.assertEqual(status, Status.BAD)
        self.assertEqual(error["code"], ErrorCode.UNKNOWN_COMMAND)  # type: ignore[index]

    def test_wsHandlersAlone(self) -> None:
        """
        A pair that only handle_ws knows is unknown to binary users.
        """
        self.core.registry.handle_ws(VER, CMD, self.handler("ws"))
        _, client = self.serve()
        client.command(b"", 7)
        self.assertEqual(client.errors()[0][2], ErrorCode.UNKNOWN_COMMAND)

    def test_errors(self) -> None:
        """
        Errors are objects with code and message.
        """

        def refuse(ver: float, cmd: float, payload: object, user: User) -> None:
            raise CommandError(5, "no")

        def fail(ver: float, cmd: float, payload: object, user: User) -> None:
            raise GameFault

        self.core.registry.handle_ws(VER, 1, refuse)
        self.core.registry.handle_ws(VER, 2, fail)
        _, client = self.text_user()
        client.command(b"", 7, cmd=1)
        client.command(b"", 8, cmd=2)
        self.assertEqual(
            client.answers(),
            [
                (7, Status.BAD, {"code": 5, "message": "no"}),
                (8, Status.ERR, {"code": 9999, "message": "internal error"}),
            ],
        )
        self.logged(GameFault)

    def test_next(self) -> None:
        """
        A handler with next_ and one that answers later keep their place among commands.
        """
        later: Deferred[Body] = Deferred()
        self.core.registry.handle_ws(VER, 1, lambda ver, cmd, payload, user: later)
        self.core.registry.handle_ws(VER, 2, lambda ver, cmd, payload, user, next_: next_())
        _, client = self.text_user()
        client.command({"a": 1}, 1, cmd=1)
        client.command({"b": 1}, 2, cmd=2)
        self.assertEqual(client.answers(), [])
        later.callback({"c": 1})
        self.assertEqual(client.answers(), [(1, OK, {"c": 1}), (2, OK, b"")])

    def test_nan(self) -> None:
        """
        An answer that JSON cannot say is ERR for its client, and logged.
        """
        self.core.registry.handle(VER, CMD, self.handler("bytes", {"a": float("nan")}))
        _, client = self.text_user()
        client.command(b"", 7)
        ((_, status, error),) = client.answers()
        self.assertEqual((status, error["code"]), (Status.ERR, 9999))  # type: ignore[index]
        self.assertEqual(len(self.flushLoggedErrors()), 1)
