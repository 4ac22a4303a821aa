"""
Tests of L{diarkis_tw.core.dispatch}: commands that are refused or fail.
"""

from twisted.internet.defer import Deferred, fail

from diarkis_tw.constants import ErrorCode, Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, LocalProtocolError
from tests.core.fakes import CMD, VER, CoreTestCase, FakeConnection, GameFault

INTERNAL = (7, Status.ERR, 9999, "internal error")


class FailureTests(CoreTestCase):
    """
    Answers to commands whose handler fails.
    """

    def setUp(self) -> None:
        super().setUp()
        self.events = self.log_events()

    def raising(self, error: Exception) -> FakeConnection:
        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            raise error

        return self.serve(handler)[1]

    def test_command_error(self) -> None:
        """
        CommandError is BAD with its code and sentence, and nothing is logged.
        """
        client = self.raising(CommandError(2001, "no such item"))
        client.command(id=7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 2001, "no such item")])
        self.assertEqual(self.core.dispatcher.refused, 1)
        self.assertEqual(self.core.dispatcher.failed, 0)

    def test_command_error_without_id(self) -> None:
        """
        A refusal is told to a command without an id too.
        """
        client = self.raising(CommandError(2001, "no such item"))
        client.command()
        self.assertEqual(client.errors(), [(0, Status.BAD, 2001, "no such item")])

    def test_command_error_that_cannot_be_sent(self) -> None:
        """
        A CommandError that no payload can carry is an internal error, and the
        user's queue goes on.
        """
        refusals = [CommandError(2**70, "too great"), CommandError(1, "lone \udc80 surrogate")]

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            raise refusals.pop()

        _, client = self.serve(handler)
        client.command(id=7)
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL, INTERNAL])
        self.assertEqual(len(self.logged(LocalProtocolError)), 2)

    def test_internal_error(self) -> None:
        """
        Any other exception is ERR 9999, and no detail reaches the client.
        """
        client = self.raising(GameFault("secret table name"))
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertNotIn(b"secret", client.answers()[0][2])
        self.assertEqual(self.core.dispatcher.failed, 1)
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_internal_error_is_logged(self) -> None:
        """
        The log names ver, cmd, uid and handler of a failure, with its traceback.
        """
        self.raising(GameFault("why")).command(b"payload", id=7)
        [event] = [event for event in self.events if "log_failure" in event]
        self.assertEqual((event["ver"], event["cmd"], event["uid"]), (VER, CMD, "alice"))
        self.assertIn("raising", event["handler"])
        self.assertIn("in handler", event["log_failure"].getTraceback())
        self.assertNotIn("payload", str(event["log_format"]))
        self.logged(GameFault)

    def test_queue_goes_on(self) -> None:
        """
        A failure ends its own command only.
        """
        client = self.raising(GameFault())
        client.command(id=7)
        client.command(id=8)
        self.assertEqual([id for id, *_ in client.errors()], [7, 8])
        self.assertEqual(len(self.logged(GameFault)), 2)

    def test_after_a_handler_with_next(self) -> None:
        """
        A handler that fails after one with next_ has ended is answered for itself.
        """

        def first(ver: int, cmd: int, payload: bytes, user: User, next_: object) -> None:
            assert callable(next_)
            next_()

        def second(ver: int, cmd: int, payload: bytes, user: User) -> None:
            raise GameFault

        _, client = self.serve(first, second)
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_failed_deferred(self) -> None:
        """
        A Deferred that fails is like an exception.
        """
        work: Deferred[bytes] = Deferred()
        _, client = self.serve(lambda ver, cmd, payload, user: work)
        client.command(id=7)
        work.errback(GameFault())
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_deferred_failed_already(self) -> None:
        """
        So is one that has failed already.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: fail(CommandError(5, "no")))
        client.command(id=7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])

    def test_failed_coroutine(self) -> None:
        """
        A coroutine may raise CommandError after it waited.
        """
        work: Deferred[None] = Deferred()

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            await work
            raise CommandError(5, "no")

        _, client = self.serve(handler)
        client.command(id=7)
        work.callback(None)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])

    def test_str(self) -> None:
        """
        A returned text is the application's mistake, and the log says what to do.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: "hello")
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertIn("encode the text", str(self.logged(TypeError)[0]))

    def test_str_later(self) -> None:
        """
        So is a text that a coroutine returns.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> str:
            return "hello"

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertIn("encode the text", str(self.logged(TypeError)[0]))

    def test_other_result(self) -> None:
        """
        Anything else is a mistake too, named by its type.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: 5)
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertIn("not int", str(self.logged(TypeError)[0]))

    def test_value_that_cannot_be_encoded(self) -> None:
        """
        A value that MessagePack cannot say is an internal error, answered once.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: {"set": object()})
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(len(client.sent), 1)
        self.assertEqual(len(self.logged(LocalProtocolError)), 1)

    def test_unknown(self) -> None:
        """
        A pair without a handler is BAD 1004, which says the pair.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: None)
        client.command(id=7, cmd=11)
        [(id, status, code, text)] = client.errors()
        self.assertEqual((id, status, code), (7, Status.BAD, ErrorCode.UNKNOWN_COMMAND))
        self.assertIn("ver 2 cmd 11", text)
        self.assertEqual(self.core.dispatcher.unknown, 1)

    def test_unknown_does_not_run_hooks(self) -> None:
        """
        There are no handlers to run hooks before.
        """
        seen: list[User] = []
        self.core.registry.hook(seen.append)
        _, client = self.serve(lambda ver, cmd, payload, user: None)
        client.command(id=7, cmd=11)
        self.assertEqual(seen, [])
