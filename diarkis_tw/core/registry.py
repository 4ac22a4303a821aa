"""
Which handlers run for a command.

Rules:

  - Handlers of one C{(ver, cmd)} run in order of registration, after the hooks.
  - Versions 0 and 1 are the server's own; the application has 2..255.
  - Users of JSON WebSocket get the handlers of C{handle_ws} if a pair has any, else
    those of C{handle}; all others get those of C{handle}.
  - Nothing is registered after start, so that chains are computed once.
  - A handler's form is recognised once, at registration, by the number of its
    parameters: C{f(ver, cmd, payload, user)} is done when it returns (or its
    Deferred or coroutine is done), C{f(ver, cmd, payload, user, next_)} when
    it calls C{next_()}. Hooks are C{f(user)} or C{f(user, next_)}, and so are the
    handlers of the deprecated C{command}, which find the rest in C{user.request}.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from diarkis_tw.constants import BUILTIN_VERSIONS, Builtin
from diarkis_tw.core.callables import describe_callable, parameter_count
from diarkis_tw.errors import RegistrationError

Handler: TypeAlias = Callable[..., object]

COMMAND_FORMS = "f(ver, cmd, payload, user) or f(ver, cmd, payload, user, next_)"
HOOK_FORMS = "f(user) or f(user, next_)"


class Step:
    """
    One handler or hook of a chain.

    @ivar call: called with ver, cmd, payload, user and, if C{takes_next}, next_.
    @ivar where: the function's name, file and line, for the log.
    """

    __slots__ = ("call", "takes_next", "where")

    def __init__(self, call: Handler, takes_next: bool, where: str) -> None:
        self.call = call
        self.takes_next = takes_next
        self.where = where


class CommandRegistry:
    """
    The one registry of a node, shared by all transports.
    """

    def __init__(self) -> None:
        self._steps: dict[int, list[Step]] = {}
        self._ws_steps: dict[int, list[Step]] = {}
        self._hooks: list[Step] = []
        self._chains: dict[int, tuple[Step, ...]] | None = None
        self._ws_chains: dict[int, tuple[Step, ...]] = {}

    def handle(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        Register a handler of the application. Go: C{server.HandleCommand}.

        @param ver: 2..255.
        @param cmd: 0..65535.
        @raise RegistrationError: a number out of range, a built-in version, a
            handler of another form, or the server has started.
        """
        self._add(self._steps, _own_pair(ver, cmd, handler), _step(handler, 4, COMMAND_FORMS))

    def handle_ws(self, ver: float, cmd: float, handler: Handler) -> None:
        """
        Register a handler of the application for users of JSON WebSocket, whose
        payload is a mapping. Go: C{server.HandleWSCommand}.

        @param ver: 2..255; 2 and 2.0 are the same.
        @param cmd: 0..65535; likewise.
        @raise RegistrationError: as for L{handle}.
        """
        pair = _own_pair(_integral(ver), _integral(cmd), handler)
        self._add(self._ws_steps, pair, _step(handler, 4, COMMAND_FORMS))

    def command(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        Register a handler of the older form, C{f(user, next_)}, which finds the
        command in C{user.request}. What it returns is its answer, as with
        L{handle}. Go: C{server.Command}.

        @raise RegistrationError: as for L{handle}.
        """
        pair = _own_pair(ver, cmd, handler)
        step = _step(handler, 1, HOOK_FORMS)
        if step.takes_next:
            step.call = lambda ver, cmd, payload, user, next_: handler(user, next_)
        else:
            step.call = lambda ver, cmd, payload, user: handler(user)
        self._add(self._steps, pair, step)

    def handle_builtin(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        Register a command of the server itself, in version 0 or 1.
        """
        self._add(self._steps, _pair(ver, cmd), _step(handler, 4, COMMAND_FORMS))

    def handle_ws_builtin(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        The same for users of JSON WebSocket.
        """
        self._add(self._ws_steps, _pair(ver, cmd), _step(handler, 4, COMMAND_FORMS))

    def hook(self, handler: Handler) -> None:
        """
        Run C{handler} before the handlers of every command, built-in ones and
        keep-alive included (fin, which is not queued, excepted).
        Go: C{server.HookAllCommands}.

        @raise RegistrationError: wrong form, or the server has started.
        """
        self.check_open(describe_callable(handler))
        self._hooks.append(_user_step(handler))

    def on_keep_alive(self, handler: Handler) -> None:
        """
        Run C{handler} on every keep-alive, once it has been answered.
        Go: C{server.OnKeepAlive}.

        @raise RegistrationError: wrong form, or the server has started.
        """
        pair = _pair(0, Builtin.KEEP_ALIVE)
        step = _user_step(handler)
        self._add(self._steps, pair, step)
        self._add(self._ws_steps, pair, step)

    def is_duplicate(self, ver: float, cmd: float) -> bool:
        """
        Whether the pair has a handler, of either kind.
        Go: C{server.IsCommandDuplicate}.

        @raise RegistrationError: a number out of range.
        """
        pair = _pair(_integral(ver), _integral(cmd))
        return pair in self._steps or pair in self._ws_steps

    def freeze(self) -> None:
        """
        Compute the chains; no registration afterwards.
        """
        hooks = tuple(self._hooks)
        self._chains = {pair: hooks + tuple(steps) for pair, steps in self._steps.items()}
        self._ws_chains = {pair: hooks + tuple(steps) for pair, steps in self._ws_steps.items()}

    def chain(self, ver: int, cmd: int) -> tuple[Step, ...] | None:
        """
        The hooks and handlers of a pair; L{None} for an unknown one.
        """
        chains = self._chains
        return None if chains is None else chains.get(ver << 16 | cmd)

    def ws_chain(self, ver: int, cmd: int) -> tuple[Step, ...] | None:
        """
        The hooks and handlers that take a mapping; L{None} if a pair has none.
        """
        return self._ws_chains.get(ver << 16 | cmd)

    def _add(self, steps: dict[int, list[Step]], pair: int, step: Step) -> None:
        self.check_open(step.where)
        steps.setdefault(pair, []).append(step)

    def check_open(self, what: str) -> None:
        """
        Refuse what comes after the start.

        @param what: begins the sentence.
        @raise RegistrationError: the server has started.
        """
        if self._chains is not None:
            raise RegistrationError(
                f"{what} comes too late: it belongs into setup(server), before the server starts"
            )


def check_form(function: object, counts: Sequence[int], forms: str) -> int:
    """
    Count the parameters of a callback, which say what form it has.

    @param counts: those that it may have.
    @param forms: what they are, for the error's sentence.
    @raise RegistrationError: it is no function, or has another number.
    """
    if not callable(function):
        raise RegistrationError(f"expected is a function {forms}, not {function!r}")
    count = parameter_count(function)
    if count is None or count not in counts:
        found = "any number of parameters" if count is None else f"{count} parameter(s)"
        raise RegistrationError(f"{describe_callable(function)} takes {found}; expected is {forms}")
    return count


def _own_pair(ver: object, cmd: object, handler: Handler) -> int:
    """
    A pair that an application may register.
    """
    pair = _pair(ver, cmd)
    if ver in BUILTIN_VERSIONS:
        raise RegistrationError(
            f"command version {ver} belongs to the server; "
            f"register {describe_callable(handler)} with a version from 2 to 255"
        )
    return pair


def _integral(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _pair(ver: object, cmd: object) -> int:
    pair = 0
    for name, number, most in (("ver", ver, 0xFF), ("cmd", cmd, 0xFFFF)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise RegistrationError(f"{name} is an integer from 0 to {most}, not {number!r}")
        if not 0 <= number <= most:
            raise RegistrationError(f"{name} is from 0 to {most}, not {number}")
        pair = pair << 16 | number
    return pair


def _step(handler: Handler, parameters: int, forms: str) -> Step:
    count = check_form(handler, (parameters, parameters + 1), forms)
    return Step(handler, count > parameters, describe_callable(handler))


def _user_step(handler: Handler) -> Step:
    step = _step(handler, 1, HOOK_FORMS)
    if step.takes_next:
        step.call = lambda ver, cmd, payload, user, next_: _wait_only(handler(user, next_))
    else:
        step.call = lambda ver, cmd, payload, user: _wait_only(handler(user))
    return step


def _wait_only(result: object) -> Awaitable[None] | None:
    """
    What a hook returns answers nothing; it may only be waited for.
    """

    async def discard(awaitable: Awaitable[object]) -> None:
        await awaitable

    return discard(result) if isinstance(result, Awaitable) else None
