"""
What C{diarkis-tw client} does once it is connected: a script's expectations, or a
conversation with a person.
"""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from diarkis_tw.cli import meeting
from diarkis_tw.cli.message_text import (
    parse_command,
    printable,
    show_error,
    show_push,
    show_response,
)
from diarkis_tw.client import (
    Client,
    CloseCode,
    DiarkisError,
    Disconnected,
    LocalProtocolError,
    NodeState,
    Payload,
    Response,
    ResponseError,
    Status,
)
from diarkis_tw.constants import ErrorCode
from diarkis_tw.units import Seconds

HELP: Final = f"""\
VER CMD [PAYLOAD]   send a command, such as: 2 10 hello
                    PAYLOAD is text, hex:00ff or json:{{"a": 1}} (a value: sent as
                    MessagePack, over ws without --binary as JSON, where json:
                    may be left out)
u VER CMD [PAYLOAD] the same unreliably: over UDP it may be lost, and its response too
{meeting.HELP}
ping                measure the round trip
help                this
quit                leave; so do ^D and ^C"""

Command = tuple[int, int, Payload, bool]
"""Ver, cmd, payload, and whether it is sent reliably."""


class ExpectationFailed(DiarkisError):
    """
    Not everything that a script expects came in time.
    """


async def expect(
    client: Client,
    clock: IReactorTime,
    commands: Sequence[Command],
    count: int,
    within: Seconds,
    out: Callable[[str], object],
) -> None:
    """
    Send commands and wait for a number of responses and pushes.

    @param client: connected just now.
    @param clock: measures the time-out.
    @param commands: to send, in order.
    @param count: of responses and pushes, in any order; each is printed.
    @param within: how long to wait, in seconds.
    @param out: gets each line.

    @raise ExpectationFailed: fewer came.
    @raise Disconnected: the connection ended before.
    """
    finished: Deferred[None] = Deferred()
    left = count

    def came(line: str) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            out(line)
        if left == 0 and not finished.called:
            finished.callback(None)

    def ended(code: CloseCode) -> None:
        if not finished.called:
            finished.errback(Disconnected(code))

    async def send(command: Command) -> None:
        came(await answer(client, command, within))

    client.on_any_push(lambda push: came(show_push(push)))
    client.on_response(lambda response: came(show_response(response)))
    client.on_disconnected(ended)
    if not count:
        finished.callback(None)
    for command in commands:
        # What goes wrong shows in the end, as something that did not come.
        Deferred.fromCoroutine(send(command)).addErrback(lambda failure: failure.trap(DiarkisError))
    try:
        await finished.addTimeout(within, clock)
    except TimeoutError:
        raise ExpectationFailed(
            f"{count - left} of {count} expected messages came in time"
        ) from None


async def answer(client: Client, command: Command, within: Seconds) -> str:
    """
    Run a command.

    @param client: connected.
    @param command: what to send.
    @param within: how long to wait, in seconds.
    @return: its response as a line.

    @raise RequestTimeout: there was none.
    @raise Disconnected: the client ended.
    """
    ver, cmd, payload, reliable = command
    try:
        body = await client.request(ver, cmd, payload, within, reliable)
    except ResponseError as error:
        return show_error(ver, cmd, error)
    return show_response(Response(ver, cmd, Status.OK, 0, body))


class Conversation:
    """
    Carries out what a person types, and shows what comes.
    """

    def __init__(
        self,
        client: Client,
        clock: IReactorTime,
        within: Seconds,
        *,
        out: Callable[[str], object],
        note: Callable[[str], object],
        speaks_json: bool = False,
    ) -> None:
        """
        @param client: connected just now.
        @param clock: measures times.
        @param within: how long to wait for a response, in seconds.
        @param out: gets each line about a message.
        @param note: gets all others.
        @param speaks_json: so does the transport.
        """
        self._ended: Deferred[None] = Deferred()
        self._failure: Failure | None = None
        self._client = client
        self._clock = clock
        self._within = within
        self._out = out
        self._note = note
        self._speaks_json = speaks_json
        client.on_any_push(lambda push: out(meeting.show_news(push) or show_push(push)))
        client.on_response(lambda response: out(show_response(response)))
        client.on_reconnecting(lambda: note("connection lost, reconnecting ..."))
        client.on_reconnected(lambda: note("reconnected"))
        client.on_disconnected(self._disconnected)

    async def greet(self) -> None:
        """
        Say where the client is.

        @raise DiarkisError: the server does not answer.
        """
        await self._client.ping(self._within)
        self._note(
            f"connected to {self._client.endpoint} as {self._client.uid}, "
            f"round trip {self._round_trip()}"
        )
        state = self._client.node_state
        if state is not None and state is not NodeState.ONLINE:
            self._node_state(state)
        self._client.on_node_state(self._node_state)

    async def line(self, text: str) -> bool:
        """
        Carry out one line.

        @param text: as typed.
        @return: whether it could be.
        """
        text = text.strip()
        reliable = not text.startswith("u ")
        words = (text if reliable else text[2:]).split(maxsplit=2)
        try:
            match words:
                case []:
                    pass
                case ["help" | "?"]:
                    self._note(HELP)
                case ["quit" | "exit"]:
                    self.leave()
                case ["ping" | "rtt"]:
                    await self._client.ping(self._within)
                    self._note(f"round trip {self._round_trip()}")
                case ["room" | "dm", *_] if reliable:
                    shown = await meeting.carry_out(self._client, text, self._speaks_json)
                    if shown is not None:
                        self._out(shown)
                case [ver, cmd, *payload]:
                    typed = payload[0] if payload else ""
                    parsed = parse_command(ver, cmd, typed, self._speaks_json)
                    await self._command((*parsed, reliable))
                case _:
                    raise LocalProtocolError(f"what is {text!r}? Type help for help")
        except Disconnected:
            return False
        except ResponseError as error:
            if error.code == ErrorCode.UNKNOWN_COMMAND:  # of ours: the person's give a line
                module = "rooms" if words[0] == "room" else "dm"
                self._note(
                    "refused: the application does not let clients do that; in its setup, "
                    f"server.{module}.expose_commands() would"
                )
                return False
            self._note(f"refused: {printable(error.message)} (code {error.code})")
            return False
        except DiarkisError as error:
            self._note(str(error))
            return False
        return True

    def leave(self) -> None:
        """
        The person wants to leave.
        """
        if not self._ended.called:
            self._ended.callback(None)

    async def until_end(self) -> None:
        """
        Wait for the end.

        @raise Disconnected: it was not the person's wish.
        """
        await self._ended
        if self._failure is not None:
            self._failure.raiseException()

    def fail(self, failure: Failure) -> None:
        """
        It cannot go on.

        @param failure: why.
        """
        if not self._ended.called:
            self._failure = failure
            self._ended.callback(None)

    async def _command(self, command: Command) -> None:
        began = self._clock.seconds()
        line = await answer(self._client, command, self._within)
        self._out(f"{line} ({_milliseconds(self._clock.seconds() - began)})")

    def _round_trip(self) -> str:
        return _milliseconds(self._client.round_trip or 0.0)

    def _node_state(self, state: NodeState) -> None:
        self._note(f"the node is {state.value}")

    def _disconnected(self, code: CloseCode) -> None:
        self.fail(Failure(Disconnected(code)))


def _milliseconds(time: Seconds) -> str:
    return f"{time * 1000:.1f} ms"
