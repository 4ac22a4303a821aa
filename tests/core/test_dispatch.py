"""
Tests of L{diarkis_tw.core.dispatch}: chains, and what a command is answered with.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from twisted.internet.defer import Deferred, succeed

from diarkis_tw.constants import Status
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, LocalProtocolError
from diarkis_tw.wire.value import decode_value
from tests.core.fakes import CMD, VER, CoreTestCase, GameFault

OK = Status.OK
INTERNAL = (7, Status.ERR, 9999, "internal error")


class ReturnTests(CoreTestCase):
    """
    Answers by returning.
    """

    def answered(self, result: object) -> list[tuple[int, Status, bytes]]:
        _, client = self.serve(lambda ver, cmd, payload, user: result)
        client.command(id=7)
        return client.answers()

    def test_bytes(self) -> None:
        """
        Returned bytes are the answer, with the request's id and status OK.
        """
        self.assertEqual(self.answered(b"hello"), [(7, OK, b"hello")])

    def test_bytearray(self) -> None:
        """
        A bytearray is bytes too.
        """
        self.assertEqual(self.answered(bytearray(b"hello")), [(7, OK, b"hello")])

    def test_memoryview(self) -> None:
        """
        A memoryview is bytes too.
        """
        self.assertEqual(self.answered(memoryview(b"hello")), [(7, OK, b"hello")])

    def test_empty_bytes(self) -> None:
        """
        Empty bytes are an answer like others, and the only one.
        """
        self.assertEqual(self.answered(b""), [(7, OK, b"")])

    def test_mapping(self) -> None:
        """
        A returned mapping, of whatever class, is the answer as a value.
        """
        value: Mapping[str, object] = MappingProxyType({"hp": 3})
        [(id, status, payload)] = self.answered(value)
        self.assertEqual((id, status, decode_value(payload)), (7, OK, {"hp": 3}))

    def test_none(self) -> None:
        """
        A request that nobody answered is answered OK and empty at the end.
        """
        self.assertEqual(self.answered(None), [(7, OK, b"")])

    def test_none_without_id(self) -> None:
        """
        A command without an id is not answered unless a handler does.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: None)
        client.command()
        self.assertEqual(client.sent, [])

    def test_bytes_without_id(self) -> None:
        """
        What a handler returns is sent to a command without an id too.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: b"hello")
        client.command()
        self.assertEqual(client.answers(), [(0, OK, b"hello")])

    def test_fired_deferred(self) -> None:
        """
        A Deferred that has fired already is as good as its result.
        """
        self.assertEqual(self.answered(succeed(b"hello")), [(7, OK, b"hello")])

    def test_deferred(self) -> None:
        """
        A Deferred is waited for, and its result is the answer.
        """
        work: Deferred[bytes] = Deferred()
        _, client = self.serve(lambda ver, cmd, payload, user: work)
        client.command(id=7)
        self.assertEqual(client.sent, [])
        work.callback(b"hello")
        self.assertEqual(client.answers(), [(7, OK, b"hello")])

    def test_deferred_mapping(self) -> None:
        """
        A Deferred may fire with a mapping.
        """
        [(_, _, payload)] = self.answered(succeed({"hp": 3}))
        self.assertEqual(decode_value(payload), {"hp": 3})

    def test_deferred_none(self) -> None:
        """
        A Deferred that fires with None answers nothing, so the end does.
        """
        self.assertEqual(self.answered(succeed(None)), [(7, OK, b"")])

    def test_coroutine(self) -> None:
        """
        An C{async def} handler may await, and what it returns is the answer.
        """
        work: Deferred[bytes] = Deferred()

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            return await work + payload

        _, client = self.serve(handler)
        client.command(b"!", id=7)
        self.assertEqual(client.sent, [])
        work.callback(b"hello")
        self.assertEqual(client.answers(), [(7, OK, b"hello!")])

    def test_coroutine_that_never_waits(self) -> None:
        """
        An C{async def} handler that awaits nothing is done at once.
        """

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> dict[str, object]:
            return {"hp": 3}

        _, client = self.serve(handler)
        client.command(id=7)
        [(_, _, payload)] = client.answers()
        self.assertEqual(decode_value(payload), {"hp": 3})

    def test_arguments(self) -> None:
        """
        A handler gets ver, cmd, the payload and the user.
        """
        seen: list[tuple[object, ...]] = []
        user, client = self.serve(
            lambda ver, cmd, payload, user: seen.append((ver, cmd, payload, user))
        )
        client.command(b"payload")
        self.assertEqual(seen, [(VER, CMD, b"payload", user)])

    def test_answered_as_asked(self) -> None:
        """
        An unreliable command is answered unreliably, a reliable one reliably.
        """
        _, client = self.serve(lambda ver, cmd, payload, user: payload)
        client.command(b"a", reliable=False)
        client.command(b"b", reliable=True)
        self.assertEqual(client.reliable, [False, True])


class ChainTests(CoreTestCase):
    """
    Commands with several handlers, and hooks.
    """

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[str] = []

    def test_order(self) -> None:
        """
        Handlers run in order of registration, each once the one before is done.
        """
        work: Deferred[None] = Deferred()

        async def waits(ver: int, cmd: int, payload: bytes, user: User) -> None:
            self.seen.append("begun")
            await work
            self.seen.append("ended")

        def last(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            self.seen.append("last")
            return b"hello"

        _, client = self.serve(waits, last)
        client.command(id=7)
        self.assertEqual(self.seen, ["begun"])
        work.callback(None)
        self.assertEqual(self.seen, ["begun", "ended", "last"])
        self.assertEqual(client.answers(), [(7, OK, b"hello")])

    def test_two_that_wait(self) -> None:
        """
        A chain may wait more than once.
        """
        first: Deferred[None] = Deferred()
        second: Deferred[bytes] = Deferred()
        _, client = self.serve(
            lambda ver, cmd, payload, user: first, lambda ver, cmd, payload, user: second
        )
        client.command(id=7)
        first.callback(None)
        self.assertEqual(client.sent, [])
        second.callback(b"hello")
        self.assertEqual(client.answers(), [(7, OK, b"hello")])

    def test_second_answer(self) -> None:
        """
        The id goes with the first answer; further ones have none.
        """
        _, client = self.serve(
            lambda ver, cmd, payload, user: b"one", lambda ver, cmd, payload, user: b"two"
        )
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, OK, b"one"), (0, OK, b"two")])

    def test_error_stops_the_chain(self) -> None:
        """
        After an error no further handler of this command runs.
        """

        def refuses(ver: int, cmd: int, payload: bytes, user: User) -> None:
            raise CommandError(5, "no")

        _, client = self.serve(refuses, lambda ver, cmd, payload, user: self.seen.append("ran"))
        client.command(id=7)
        self.assertEqual(self.seen, [])
        self.assertEqual(len(client.sent), 1)

    def test_late_error_stops_the_chain(self) -> None:
        """
        So it is with an error that comes later.
        """
        work: Deferred[None] = Deferred()
        _, client = self.serve(
            lambda ver, cmd, payload, user: work,
            lambda ver, cmd, payload, user: self.seen.append("ran"),
        )
        client.command(id=7)
        work.errback(CommandError(5, "no"))
        self.assertEqual(self.seen, [])
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])

    def test_error_after_the_answer(self) -> None:
        """
        A request that has its answer gets no second one for an error.
        """

        def fails(ver: int, cmd: int, payload: bytes, user: User) -> None:
            raise GameFault

        _, client = self.serve(lambda ver, cmd, payload, user: b"one", fails)
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, OK, b"one")])
        self.assertEqual(len(self.logged(GameFault)), 1)

    def test_hooks_come_first(self) -> None:
        """
        Hooks run before the handlers of every command, with user.request set.
        """

        def hook(user: User) -> None:
            assert user.request is not None
            self.seen.append(f"hook of {user.request.cmd}")

        self.core.registry.hook(hook)
        self.core.registry.handle(VER, 11, lambda v, c, p, u: self.seen.append("eleven"))
        _, client = self.serve(lambda ver, cmd, payload, user: self.seen.append("ten"))
        client.command()
        client.command(cmd=11)
        self.assertEqual(self.seen, ["hook of 10", "ten", "hook of 11", "eleven"])

    def test_hook_that_waits(self) -> None:
        """
        Handlers wait for a hook's next_.
        """
        turns: list[object] = []

        def hook(user: User, next_: object) -> None:
            turns.append(next_)

        self.core.registry.hook(hook)
        _, client = self.serve(lambda ver, cmd, payload, user: b"hello")
        client.command(id=7)
        self.assertEqual(client.sent, [])
        [next_] = turns
        assert callable(next_)
        next_()
        self.assertEqual(client.answers(), [(7, OK, b"hello")])

    def test_hook_answers_nothing(self) -> None:
        """
        What a hook returns is no answer, whatever it is and however it comes.
        """

        async def later(user: User) -> bytes:
            return b"later"

        self.core.registry.hook(lambda user: user.server_push(2, 12, b"seen"))
        self.core.registry.hook(later)
        _, client = self.serve(lambda ver, cmd, payload, user: b"hello")
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, OK, b"hello")])

    def test_hook_that_kicks(self) -> None:
        """
        Once a hook has ended the user, no handler runs for it.
        """
        self.core.registry.hook(lambda user: user.disconnect())
        _, client = self.serve(lambda ver, cmd, payload, user: self.seen.append("ran"))
        client.command(id=7)
        self.assertEqual(self.seen, [])
        self.assertEqual(client.answers(), [])

    def test_hook_error(self) -> None:
        """
        An error in a hook ends the chain before any handler runs.
        """

        def hook(user: User) -> None:
            raise CommandError(5, "banned")

        self.core.registry.hook(hook)
        _, client = self.serve(lambda ver, cmd, payload, user: self.seen.append("ran"))
        client.command(id=7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "banned")])
        self.assertEqual(self.seen, [])

    def test_hook_fault(self) -> None:
        """
        A bug in a hook does the same, without details.
        """

        def hook(user: User) -> None:
            raise GameFault

        self.core.registry.hook(hook)
        _, client = self.serve(lambda ver, cmd, payload, user: self.seen.append("ran"))
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(self.seen, [])
        self.assertEqual(len(self.logged(GameFault)), 1)


class ExitTests(CoreTestCase):
    """
    What would end a program of its own, or a task of asyncio.
    """

    def assertFault(self, fault: type[BaseException], result: Callable[[], object]) -> None:
        _, client = self.serve(lambda ver, cmd, payload, user: result())
        client.command(id=7)
        self.assertEqual(client.errors(), [INTERNAL])
        self.assertEqual(len(self.logged(fault)), 1)

    def test_plain(self) -> None:
        """
        A handler that calls sys.exit fails like one with any other fault, or the reactor
        would close the socket that is being read.
        """
        self.assertFault(SystemExit, sys.exit)

    def test_coroutine(self) -> None:
        """
        So does one that is a coroutine.
        """

        async def handle() -> None:
            sys.exit()

        self.assertFault(SystemExit, handle)

    def test_cancelled(self) -> None:
        """
        A task of asyncio that was cancelled fails its command, no more.
        """

        def handle() -> None:
            raise asyncio.CancelledError

        self.assertFault(asyncio.CancelledError, handle)


class RespondTests(CoreTestCase):
    """
    Answers by C{user.server_respond}.
    """

    def test_carries_the_id(self) -> None:
        """
        server_respond answers the running command, and the end adds nothing.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            user.server_respond(b"no", ver, cmd, Status.BAD)

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, Status.BAD, b"no")])

    def test_twice(self) -> None:
        """
        Only the first answer carries the id.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            user.server_respond(b"one", ver, cmd)
            user.server_respond(b"two", ver, cmd)
            return b"three"

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, OK, b"one"), (0, OK, b"two"), (0, OK, b"three")])

    def test_another_command(self) -> None:
        """
        An answer to another pair is not this command's.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            user.server_respond(b"other cmd", ver, cmd + 1)
            user.server_respond(b"other ver", ver + 1, cmd)

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertEqual(
            client.answers(), [(0, OK, b"other cmd"), (0, OK, b"other ver"), (7, OK, b"")]
        )

    def test_while_waiting(self) -> None:
        """
        A handler that waits can answer before it is done.
        """
        work: Deferred[None] = Deferred()

        async def handler(ver: int, cmd: int, payload: bytes, user: User) -> None:
            await work
            user.server_respond(b"soon", ver, cmd)

        _, client = self.serve(handler)
        client.command(id=7)
        work.callback(None)
        self.assertEqual(client.answers(), [(7, OK, b"soon")])

    def test_outside_of_handlers(self) -> None:
        """
        Without a running command an answer has no id.
        """
        user, client = self.serve(lambda ver, cmd, payload, user: None)
        self.assertIsNone(user.request)
        user.server_respond({"hp": 3}, VER, CMD)
        [(id, _, payload)] = client.answers()
        self.assertEqual((id, decode_value(payload)), (0, {"hp": 3}))

    def test_refused_message(self) -> None:
        """
        What cannot be encoded leaves the request open for another answer.
        """

        def handler(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
            self.assertRaises(LocalProtocolError, user.server_respond, {"a": object()}, ver, cmd)
            return b"hello"

        _, client = self.serve(handler)
        client.command(id=7)
        self.assertEqual(client.answers(), [(7, OK, b"hello")])
