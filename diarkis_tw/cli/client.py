"""
C{diarkis-tw client}: a client to try a server with, for a person or a script.

With C{--send} or C{--expect} it is for scripts: sends, prints what comes, and exits
with 0 if all that was expected came, else with 1. Otherwise it talks with whoever
types, line by line; lines that do not come from a terminal are carried out one after
another.
"""

import argparse
import json
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure

from diarkis_tw.cli.conversation import Conversation, expect
from diarkis_tw.cli.line_editor import LineEditor
from diarkis_tw.cli.message_text import parse_command
from diarkis_tw.cli.terminal import (
    columns,
    history_path,
    key_by_key,
    read_history,
    watch_terminal,
    write_history,
)
from diarkis_tw.client import (
    Client,
    CloseCode,
    DiarkisError,
    Disconnected,
    LocalProtocolError,
    ServerType,
    connect,
)
from diarkis_tw.net.steady_time import count_steadily

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PROMPT: Final = "> "

HINTS: Final = {
    CloseCode.UNKNOWN: "The server does not know the session: it was restarted, or forgot it.",
    CloseCode.REPLACED: "The same user connected from elsewhere.",
    CloseCode.KICKED: "The server put the user out.",
    CloseCode.SERVER_OFFLINE: "The server is about to stop.",
    CloseCode.ENCRYPTION: "enableEncryption of the game server is not what the endpoint API said.",
    CloseCode.TAKEN: "The server takes no new users.",
    CloseCode.TOO_LARGE: "The payload is larger than the server's maxRcvSize, on UDP "
    "maxMessageSize.",
    CloseCode.RATE: "The user sent more commands than the server's maxCommandRate.",
    CloseCode.OVERFLOW: "The user's commands or messages piled up on the server.",
}
"""What an ending means, where the code alone does not say it."""


def add_parser(subparsers: "Subparsers") -> None:
    """
    Declare the options of this subcommand.

    @param subparsers: where to add the parser.
    """
    parser = subparsers.add_parser(
        "client",
        help="connect to a server as a user, to try it",
        description="Connect to a server as a user. Without --send and --expect: type commands, "
        "see what comes; help tells how.",
        epilog='PAYLOAD is text, hex:00ff or json:{"a": 1}: a value, sent as MessagePack, over '
        "--type ws as JSON. There the prefix may be left out.",
    )
    parser.add_argument(
        "--type",
        default="tcp",
        choices=[kind.value.lower() for kind in ServerType],
        help="kind of server (default: %(default)s)",
    )
    parser.add_argument(
        "--binary",
        action="store_true",
        help="with --type ws: sealed records instead of JSON texts",
    )
    parser.add_argument("--uid", required=True, help="the user's id")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:7000",
        help="address of the endpoint API (default: %(default)s)",
    )
    parser.add_argument(
        "--client-key",
        metavar="KEY",
        help="what the server has as DIARKIS_CLIENT_KEY (default: that variable here)",
    )
    parser.add_argument(
        "--ca",
        metavar="FILE",
        help="PEM file of the authorities whose TLS certificates to trust "
        "(default: those that the system trusts)",
    )
    parser.add_argument("--data", metavar="JSON", help="an object, becomes the user's data")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_positive,
        default=10.0,
        help="for connecting, for a response, and for all that --expect says (default: 10)",
    )
    parser.add_argument(
        "--send",
        nargs=3,
        metavar=("VER", "CMD", "PAYLOAD"),
        action=_Send,
        const=True,
        help="send a command; may be repeated",
    )
    parser.add_argument(
        "--send-unreliable",
        nargs=3,
        metavar=("VER", "CMD", "PAYLOAD"),
        dest="send",
        action=_Send,
        const=False,
        help="the same, but over UDP it may be lost, and its response too",
    )
    parser.add_argument(
        "--expect",
        metavar="N",
        type=_count,
        help="wait for N responses and pushes (default: one for each --send)",
    )
    parser.set_defaults(run=run)


class _Send(argparse.Action):
    """
    Collects what is to be sent in the order in which it stands.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.send = [*(namespace.send or ()), (values, self.const)]


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def run(args: argparse.Namespace) -> int:
    """
    Do what the command line says.

    @param args: what the parser made.
    @return: the exit status.

    @raise DiarkisError: what went wrong, as a sentence.
    """
    from twisted.internet import reactor  # noqa: TID251 - where the reactor enters

    count_steadily(IReactorTime(reactor))
    scripted = args.send is not None or args.expect is not None
    work = run_script(reactor, args) if scripted else run_conversation(reactor, args)
    try:
        return _drive(reactor, work)
    except Disconnected as error:
        hint = HINTS.get(error.code)
        raise DiarkisError(f"{error}. {hint}" if hint else str(error)) from None
    except CancelledError:
        # ^C: a person has what they wanted, a script has not.
        return 1 if scripted else 0


async def run_script(reactor: object, args: argparse.Namespace) -> int:
    """
    Connect, send, wait for what is expected, leave.

    @param reactor: does everything.
    @param args: what the parser made.
    @return: the exit status.
    """
    clock = IReactorTime(reactor)
    deadline = clock.seconds() + args.timeout
    commands = [
        (*parse_command(ver, cmd, payload, _speaks_json(args)), reliable)
        for (ver, cmd, payload), reliable in args.send or ()
    ]
    count = len(commands) if args.expect is None else args.expect
    async with await _connect(reactor, args) as client:
        left = max(deadline - clock.seconds(), 0.0)
        await expect(client, clock, commands, count, left, _say)
    return 0


async def run_conversation(reactor: object, args: argparse.Namespace) -> int:
    """
    Connect, and carry out lines until there are no more.

    @param reactor: does everything.
    @param args: what the parser made.
    @return: the exit status.
    """
    async with await _connect(reactor, args) as client:
        if sys.stdin.isatty() and sys.stdout.isatty():
            await _talk_on_terminal(reactor, client, args)
            return 0
        return await _carry_out_lines(reactor, client, args)


def _kind(args: argparse.Namespace) -> ServerType:
    return ServerType(args.type.upper())


def _speaks_json(args: argparse.Namespace) -> bool:
    return _kind(args) is ServerType.WS and not args.binary


def _connect(reactor: object, args: argparse.Namespace) -> Deferred[Client]:
    if args.binary and _kind(args) is not ServerType.WS:
        raise LocalProtocolError("--binary is for --type ws: the other kinds are binary anyway")
    client_key = args.client_key
    if client_key is None:
        client_key = os.environ.get("DIARKIS_CLIENT_KEY") or None
    return connect(
        args.url,
        args.uid,
        type=_kind(args),
        binary=args.binary,
        client_key=client_key,
        data=_parse_data(args.data),
        timeout=args.timeout,
        ca=args.ca,
        reactor=IReactorTCP(reactor),
    )


def _parse_data(text: str | None) -> Mapping[str, object] | None:
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"--data is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise LocalProtocolError("--data must be a JSON object, {...}")
    return data


async def _talk_on_terminal(reactor: object, client: Client, args: argparse.Namespace) -> None:
    path = history_path(os.environ)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def entered(line: str) -> None:
        carrying = Deferred.fromCoroutine(conversation.line(line))
        carrying.addErrback(conversation.fail)

    editor = LineEditor(
        PROMPT,
        write=write,
        columns=columns,
        entered=entered,
        ended=lambda: conversation.leave(),
        history=read_history(path),
    )
    conversation = Conversation(
        client,
        IReactorTime(reactor),
        args.timeout,
        out=editor.print,
        note=editor.print,
        speaks_json=_speaks_json(args),
    )
    with (
        key_by_key(sys.stdin.fileno()),
        watch_terminal(IReactorFDSet(reactor), sys.stdin.fileno(), editor.feed, conversation.leave),
    ):
        try:
            await conversation.greet()
            await conversation.until_end()
        finally:
            editor.hide()
            write_history(path, editor.history)


async def _carry_out_lines(reactor: object, client: Client, args: argparse.Namespace) -> int:
    threads = IReactorFromThreads(reactor)
    conversation = Conversation(
        client,
        IReactorTime(reactor),
        args.timeout,
        out=_say,
        note=_note,
        speaks_json=_speaks_json(args),
    )
    await conversation.greet()
    all_done = True

    def carry_out(line: str) -> Deferred[bool]:
        return Deferred.fromCoroutine(conversation.line(line))

    def read() -> None:
        nonlocal all_done
        # Not sys.stdin: its lock, held in a read that never ends, would keep the
        # process from exiting.
        with open(sys.stdin.fileno(), "rb", closefd=False) as lines:
            for line in lines:
                text = line.decode("utf-8", "surrogateescape")
                # Its annotation takes functions that return nothing only.
                if not blockingCallFromThread(threads, carry_out, text):  # type: ignore[arg-type]
                    all_done = False
        threads.callFromThread(conversation.leave)

    Thread(target=read, daemon=True).start()
    await conversation.until_end()
    return 0 if all_done else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _drive(reactor: Any, work: Coroutine[Deferred[Any], Any, int]) -> int:
    """
    Run the reactor until the work is done. Ended from outside, the work is
    cancelled first, which says good-bye to the server.
    """
    results: list[int | Failure] = []
    core = IReactorCore(reactor)
    stopping = False

    def start() -> None:
        working = Deferred.fromCoroutine(work).addBoth(done)
        if not results:
            core.addSystemEventTrigger("before", "shutdown", lambda: stop(working))

    def done(result: int | Failure) -> None:
        results.append(result)
        if not stopping:
            core.stop()

    def stop(working: Deferred[None]) -> Deferred[None]:
        nonlocal stopping
        stopping = True
        if not results:
            working.cancel()
        return working

    core.callWhenRunning(start)
    core.run()
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
