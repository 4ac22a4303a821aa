"""
Tests of L{diarkis_tw.core.registry}.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import Status
from diarkis_tw.core.registry import COMMAND_FORMS, HOOK_FORMS, CommandRegistry, Step
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, RegistrationError
from tests.core.fakes import CMD, VER, CoreTestCase


def done_on_return(ver: int, cmd: int, payload: bytes, user: object) -> None:
    """
    A handler of the first form.
    """


def done_on_next(ver: int, cmd: int, payload: bytes, user: object, next_: object) -> None:
    """
    A handler of the second form.
    """


class Game:
    """
    Handlers as an application has them.
    """

    def move(self, ver: int, cmd: int, payload: bytes, user: object) -> None: ...

    def trade(self, ver: int, cmd: int, payload: bytes, user: object, next_: object) -> None: ...

    @classmethod
    def score(cls, ver: int, cmd: int, payload: bytes, user: object) -> None: ...

    @staticmethod
    def shout(ver: int, cmd: int, payload: bytes, user: object, next_: object) -> None: ...

    async def load(self, ver: int, cmd: int, payload: bytes, user: object) -> bytes:
        return b""

    def __call__(self, ver: int, cmd: int, payload: bytes, user: object) -> None: ...


class RegistryTestCase(SynchronousTestCase):
    """
    Something registered with one registry.
    """

    def setUp(self) -> None:
        self.registry = CommandRegistry()

    def chain(self, ver: int = 2, cmd: int = 10) -> tuple[Step, ...]:
        self.registry.freeze()
        chain = self.registry.chain(ver, cmd)
        assert chain is not None
        return chain

    def refused(self, register: Callable[..., None], *arguments: object) -> str:
        return str(self.assertRaises(RegistrationError, register, *arguments))


class FormTests(RegistryTestCase):
    """
    How the form of a handler is recognised.
    """

    def takes_next(self, handler: Callable[..., object]) -> bool:
        registry = CommandRegistry()
        registry.handle(2, 10, handler)
        registry.freeze()
        chain = registry.chain(2, 10)
        assert chain is not None
        return chain[0].takes_next

    def test_functions(self) -> None:
        """
        Four parameters are the first form, five the second.
        """
        self.assertFalse(self.takes_next(done_on_return))
        self.assertTrue(self.takes_next(done_on_next))

    def test_lambda(self) -> None:
        """
        A lambda is a handler like another.
        """
        self.assertFalse(self.takes_next(lambda v, c, p, u: None))
        self.assertTrue(self.takes_next(lambda v, c, p, u, n: n()))

    def test_methods(self) -> None:
        """
        C{self} and C{cls} do not count.
        """
        game = Game()
        self.assertFalse(self.takes_next(game.move))
        self.assertTrue(self.takes_next(game.trade))
        self.assertFalse(self.takes_next(Game.score))
        self.assertTrue(self.takes_next(game.shout))

    def test_coroutine_function(self) -> None:
        """
        An C{async def} counts like a plain one.
        """
        self.assertFalse(self.takes_next(Game().load))

    def test_callable_object(self) -> None:
        """
        An object with C{__call__} is a handler.
        """
        self.assertFalse(self.takes_next(Game()))

    def test_partial(self) -> None:
        """
        Arguments bound beforehand do not count.
        """

        def with_world(world: str, ver: int, cmd: int, payload: bytes, user: object) -> None: ...

        self.assertFalse(self.takes_next(functools.partial(with_world, "world")))

    def test_decorated(self) -> None:
        """
        A decorated function counts as the function it wraps.
        """

        @functools.wraps(done_on_next)
        def wrapper(*args: object) -> object:
            return None

        self.assertTrue(self.takes_next(wrapper))

    def test_default_does_not_count(self) -> None:
        """
        A fifth parameter with a default is not next_.
        """

        def handler(
            ver: int, cmd: int, payload: bytes, user: object, log: object = None
        ) -> None: ...

        self.assertFalse(self.takes_next(handler))

    def test_optional_keywords_do_not_count(self) -> None:
        """
        Keywords that need not be given change nothing.
        """

        def handler(
            v: int, c: int, p: bytes, u: object, n: object, *, fast: bool = False, **more: object
        ) -> None: ...

        self.assertTrue(self.takes_next(handler))

    def test_args(self) -> None:
        """
        With C{*args} nobody can tell the form, so it is refused.
        """

        def handler(ver: int, *args: object) -> None: ...

        text = self.refused(self.registry.handle, 2, 10, handler)
        self.assertIn("any number of parameters", text)
        self.assertIn(COMMAND_FORMS, text)

    def test_without_signature(self) -> None:
        """
        So is a built-in function that tells nobody its parameters.
        """
        self.assertIn("any number of", self.refused(self.registry.handle, 2, 10, max))

    def test_required_keyword(self) -> None:
        """
        A keyword that must be given is refused, because nobody would give it.
        """

        def handler(v: int, c: int, p: bytes, u: object, *, speed: int) -> None: ...

        self.refused(self.registry.handle, 2, 10, handler)

    def test_too_few_and_too_many(self) -> None:
        """
        The refusal says how many parameters there are, and where the handler is.
        """

        def three(ver: int, cmd: int, payload: bytes) -> None: ...

        def six(a: int, b: int, c: int, d: int, e: int, f: int) -> None: ...

        text = self.refused(self.registry.handle, 2, 10, three)
        self.assertIn("3 parameter(s)", text)
        self.assertIn("three", text)
        self.assertIn(Path(__file__).name, text)
        self.assertIn("6 parameter(s)", self.refused(self.registry.handle, 2, 10, six))

    def test_not_callable(self) -> None:
        """
        What cannot be called is refused by its name.
        """
        text = self.refused(self.registry.handle, 2, 10, "handler")
        self.assertIn("'handler'", text)
        self.assertIn(COMMAND_FORMS, text)

    def test_refused_is_not_registered(self) -> None:
        """
        A refused handler leaves no trace.
        """
        self.refused(self.registry.handle, 2, 10, len)
        self.assertFalse(self.registry.is_duplicate(2, 10))


class PairTests(RegistryTestCase):
    """
    Which pairs can be registered.
    """

    def test_edges(self) -> None:
        """
        The application has versions 2 to 255 and all commands.
        """
        for ver, cmd in ((2, 0), (255, 0xFFFF)):
            self.registry.handle(ver, cmd, done_on_return)
            self.assertTrue(self.registry.is_duplicate(ver, cmd))

    def test_builtin_versions(self) -> None:
        """
        Versions 0 and 1 are the server's; the refusal says what to do.
        """
        for ver in (0, 1):
            text = self.refused(self.registry.handle, ver, 10, done_on_return)
            self.assertIn(f"version {ver} belongs to the server", text)
            self.assertIn("from 2 to 255", text)
            self.assertIn("done_on_return", text)

    def test_server_registers_builtin(self) -> None:
        """
        The server itself can use its versions.
        """
        self.registry.handle_builtin(0, 3, done_on_return)
        self.registry.handle_builtin(1, 100, done_on_return)
        self.assertTrue(self.registry.is_duplicate(0, 3))
        self.assertTrue(self.registry.is_duplicate(1, 100))

    def test_out_of_range(self) -> None:
        """
        A number that the wire cannot carry is refused with the range.
        """
        for ver, cmd, word in (
            (-1, 1, "ver is from 0 to 255, not -1"),
            (256, 1, "ver is from 0 to 255, not 256"),
            (2, -1, "cmd is from 0 to 65535, not -1"),
            (2, 65536, "cmd is from 0 to 65535, not 65536"),
        ):
            self.assertEqual(self.refused(self.registry.handle, ver, cmd, done_on_return), word)
        self.refused(self.registry.handle_builtin, 0, 65536, done_on_return)

    def test_not_an_integer(self) -> None:
        """
        A float, a string or a truth value is no number of a command.
        """
        for number in (2.0, "2", True, None):
            text = self.refused(self.registry.handle, number, 1, done_on_return)
            self.assertEqual(text, f"ver is an integer from 0 to 255, not {number!r}")
            text = self.refused(self.registry.handle, 2, number, done_on_return)
            self.assertEqual(text, f"cmd is an integer from 0 to 65535, not {number!r}")

    def test_duplicate(self) -> None:
        """
        A pair is a duplicate once it has a handler; its neighbours are not.
        """
        self.assertFalse(self.registry.is_duplicate(2, 10))
        self.registry.handle(2, 10, done_on_return)
        self.assertTrue(self.registry.is_duplicate(2, 10))
        self.assertFalse(self.registry.is_duplicate(2, 11))
        self.assertFalse(self.registry.is_duplicate(3, 10))

    def test_duplicate_of_no_pair(self) -> None:
        """
        Asking for what can be no pair is refused, too, instead of meeting another one.
        """
        self.registry.handle(3, 0, done_on_return)
        for ver, cmd in ((2, 65536), (2.5, 0), (2, "0")):
            self.refused(self.registry.is_duplicate, ver, cmd)

    def test_error_is_a_value_error(self) -> None:
        """
        Those who do not know this package catch a ValueError.
        """
        self.assertRaises(ValueError, self.registry.handle, 0, 1, done_on_return)


class ChainTests(RegistryTestCase):
    """
    What runs for a pair.
    """

    def test_order(self) -> None:
        """
        Hooks come first, then handlers in order of registration.
        """
        game = Game()
        self.registry.handle(2, 10, game.trade)
        self.registry.handle(2, 10, game.move)
        self.registry.handle(2, 11, done_on_return)
        self.registry.hook(lambda user: None)
        self.registry.hook(lambda user, next_: next_())
        chain = self.chain()
        self.assertEqual([step.takes_next for step in chain], [False, True, True, False])
        self.assertEqual([step.call for step in chain[2:]], [game.trade, game.move])

    def test_unknown(self) -> None:
        """
        A pair without handlers has no chain, hooks or not.
        """
        self.registry.hook(lambda user: None)
        self.registry.freeze()
        self.assertIsNone(self.registry.chain(2, 10))

    def test_before_start(self) -> None:
        """
        Nothing runs before the server starts.
        """
        self.registry.handle(2, 10, done_on_return)
        self.assertIsNone(self.registry.chain(2, 10))

    def test_hooks_before_builtin(self) -> None:
        """
        Hooks run before built-in commands too.
        """
        self.registry.handle_builtin(0, 3, done_on_return)
        self.registry.hook(lambda user: None)
        self.assertEqual(len(self.chain(0, 3)), 2)

    def test_keep_alive_after_the_answer(self) -> None:
        """
        Keep-alive handlers come after the built-in one.
        """
        self.registry.handle_builtin(0, 1, done_on_return)
        self.registry.on_keep_alive(lambda user: None)
        self.registry.on_keep_alive(lambda user, next_: next_())
        chain = self.chain(0, 1)
        self.assertIs(chain[0].call, done_on_return)
        self.assertEqual([step.takes_next for step in chain], [False, False, True])

    def test_hook_gets_user_and_next(self) -> None:
        """
        A hook is called with the user, and with next_ if it asks for it.
        """
        seen: list[tuple[object, ...]] = []
        self.registry.handle(2, 10, done_on_return)
        self.registry.hook(lambda user: seen.append((user,)))
        self.registry.hook(lambda user, next_: seen.append((user, next_)))
        short, long, _ = self.chain()
        short.call(2, 10, b"", "alice")
        long.call(2, 10, b"", "alice", "next")
        self.assertEqual(seen, [("alice",), ("alice", "next")])

    def test_hook_form(self) -> None:
        """
        A hook of another form is refused with the forms of hooks.
        """
        for register in (self.registry.hook, self.registry.on_keep_alive):
            for wrong in (done_on_return, lambda: None, lambda *users: None, 7):
                self.assertIn(HOOK_FORMS, self.refused(register, wrong))

    def test_late(self) -> None:
        """
        After start every registration is refused, and says where to do it.
        """
        self.registry.freeze()
        for register, arguments in (
            (self.registry.handle, (2, 10, done_on_return)),
            (self.registry.handle_builtin, (0, 3, done_on_return)),
        ):
            text = self.refused(register, *arguments)
            self.assertIn("done_on_return", text)
            self.assertIn("comes too late", text)
            self.assertIn("setup(server)", text)
        for hook in (self.registry.hook, self.registry.on_keep_alive):
            self.assertIn("comes too late", self.refused(hook, lambda user: None))

    def test_where(self) -> None:
        """
        A step says its function's name, file and line, for the log.
        """

        def hook(user: object) -> None: ...

        self.registry.handle(2, 10, Game().move)
        self.registry.handle(2, 10, functools.partial(done_on_next, 2))
        self.registry.hook(hook)
        hooked, moved, partial = (step.where for step in self.chain())
        self.assertRegex(hooked, rf"hook \({re.escape(__file__)}:\d+\)$")
        self.assertRegex(moved, rf"^Game\.move \({re.escape(__file__)}:\d+\)$")
        self.assertIn("done_on_next", partial)


class WsTests(RegistryTestCase):
    """
    Handlers for users of JSON WebSocket.
    """

    def test_floats(self) -> None:
        """
        1 and 1.0 are one key.
        """
        self.registry.handle_ws(2.0, 10.0, done_on_return)
        self.registry.handle_ws(2, 10, done_on_return)
        self.registry.freeze()
        steps = self.registry.ws_chain(2, 10)
        assert steps is not None
        self.assertEqual(len(steps), 2)
        self.assertIsNone(self.registry.chain(2, 10))
        self.assertIsNone(self.registry.ws_chain(2, 11))

    def test_duplicate(self) -> None:
        """
        A pair is a duplicate if it has a handler of either kind, asked for in floats too.
        """
        self.registry.handle_ws(2, 10, done_on_return)
        self.registry.handle(2, 11, done_on_return)
        for cmd in (10, 11):
            self.assertTrue(self.registry.is_duplicate(2, cmd))
            self.assertTrue(self.registry.is_duplicate(2.0, float(cmd)))
        self.assertFalse(self.registry.is_duplicate(2, 12))

    def test_refused(self) -> None:
        """
        Fractions, other things than numbers, numbers out of range, built-in versions and
        other forms of handlers are refused.
        """
        for ver, cmd in (
            (2.5, 1),
            (2, 0.1),
            (float("nan"), 1),
            (float("inf"), 1),
            (True, 1),
            ("2", 1),
            (256.0, 1),
            (2, 65536.0),
            (-1.0, 1),
            (0.0, 1),
            (1, 1),
        ):
            self.refused(self.registry.handle_ws, ver, cmd, done_on_return)
        self.refused(self.registry.handle_ws, 2, 1, len)
        self.registry.freeze()
        self.refused(self.registry.handle_ws, 2, 1, done_on_return)

    def test_hooksAndKeepAlive(self) -> None:
        """
        Hooks run before these handlers too, and on_keep_alive concerns both kinds.
        """
        self.registry.handle_builtin(0, 1, done_on_return)
        self.registry.handle_ws_builtin(0, 1, done_on_return)
        self.registry.on_keep_alive(lambda user: None)
        self.registry.hook(lambda user: None)
        self.registry.freeze()
        for chain in (self.registry.chain(0, 1), self.registry.ws_chain(0, 1)):
            assert chain is not None
            self.assertEqual(len(chain), 3)


class OldFormTests(CoreTestCase):
    """
    Handlers of the deprecated C{command}.
    """

    def test_run(self) -> None:
        """
        They find the command in C{user.request}, and run in order with those of the newer form.
        """
        ran: list[object] = []

        def old(user: User, next_: Callable[[], None]) -> None:
            request = user.request
            assert request is not None
            ran.append((request.ver, request.cmd, request.body))
            user.server_respond(b"old", request.ver, request.cmd)
            next_()

        self.core.registry.command(VER, CMD, old)
        self.core.registry.command(VER, CMD, lambda user: ran.append("short"))
        self.assertTrue(self.core.registry.is_duplicate(VER, CMD))
        _, client = self.serve(lambda ver, cmd, payload, user: ran.append("new"))
        client.command(b"hello", 7)
        self.assertEqual(ran, [(VER, CMD, b"hello"), "short", "new"])
        self.assertEqual(client.answers(), [(7, Status.OK, b"old")])

    def test_returned(self) -> None:
        """
        What they return is the answer, as with the newer form.
        """
        self.core.registry.command(VER, CMD, lambda user: b"returned")
        _, client = self.serve()
        client.command(b"", 7)
        self.assertEqual(client.answers(), [(7, Status.OK, b"returned")])

    def test_error(self) -> None:
        """
        C{next_(error)} ends the command, as with the newer form.
        """
        self.core.registry.command(VER, CMD, lambda user, next_: next_(CommandError(5, "no")))
        _, client = self.serve(lambda ver, cmd, payload, user: b"not reached")
        client.command(b"", 7)
        self.assertEqual(client.errors(), [(7, Status.BAD, 5, "no")])

    def test_wrong(self) -> None:
        """
        Pairs and forms are checked as with the newer form.
        """
        command = self.core.registry.command
        for arguments in (
            (1, CMD, lambda user: None),
            (VER, 65536, lambda user: None),
            (VER, CMD, lambda: None),
            (VER, CMD, lambda a, b, c: None),
            (VER, CMD, None),
        ):
            self.assertRaises(RegistrationError, command, *arguments)
        self.assertFalse(self.core.registry.is_duplicate(VER, CMD))
        self.core.start()
        self.assertRaises(RegistrationError, command, VER, CMD, lambda user: None)
