"""
The process's own terminal, for a line editor, and the file with its history.
"""

import os
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_LOCAL_FLAGS: Final = 3
"""Where tcgetattr's list has them."""


@contextmanager
def key_by_key(descriptor: int) -> Iterator[None]:
    """
    Make a terminal deliver each key at once, ^C included, and show none of them;
    afterwards everything is as it was, also for the shell that shares it.

    @param descriptor: of the terminal.
    """
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        # A terminal that is gone, such as a closed window, needs none of this.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@implementer(IReadDescriptor)
class _Reader:
    def __init__(
        self,
        reactor: IReactorFDSet,
        descriptor: int,
        keys: Callable[[bytes], object],
        ended: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._keys = keys
        self._ended = ended

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:
            data = b""
        if data:
            self._keys(data)
        else:
            self._reactor.removeReader(self)
            self._ended()

    def connectionLost(self, reason: Failure) -> None:
        self._ended()

    def logPrefix(self) -> str:
        return "terminal"


@contextmanager
def watch_terminal(
    reactor: IReactorFDSet,
    descriptor: int,
    keys: Callable[[bytes], object],
    ended: Callable[[], object],
) -> Iterator[None]:
    """
    Read a terminal.

    @param reactor: watches it.
    @param descriptor: of the terminal.
    @param keys: gets what is typed.
    @param ended: called when the terminal is gone.
    """
    # Twisted's StandardIO would make the descriptor non-blocking, which the shell
    # and whatever else writes to this terminal share.
    reader = _Reader(reactor, descriptor, keys, ended)
    reactor.addReader(reader)
    try:
        yield
    finally:
        reactor.removeReader(reader)


def columns() -> int:
    """
    Ask for the terminal's width.

    @return: in characters, 80 if it does not say.
    """
    with suppress(OSError):
        width = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1).columns
        if width > 0:
            return width
    return 80


def history_path(environ: Mapping[str, str]) -> Path:
    """
    Choose the file of lines typed earlier, by the XDG base directory specification.

    @param environ: the process's.
    @return: it need not exist.
    """
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path("~/.local/state")
    return base / "diarkis-tw" / "client-history"


def read_history(path: Path) -> list[str]:
    """
    Read the lines typed earlier.

    @param path: of the file.
    @return: none if they cannot be read.
    """
    try:
        text = path.expanduser().read_text("utf-8", "replace")
    except (OSError, RuntimeError):
        return []
    return [line for line in text.split("\n") if line and line.isprintable()]


def write_history(path: Path, lines: Sequence[str]) -> None:
    """
    Keep the lines for the next time, for the eyes of this user alone. A history
    that cannot be written is no reason to complain.

    @param path: of the file.
    @param lines: oldest first.
    """
    with suppress(OSError, RuntimeError):
        path = path.expanduser()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{line}\n" for line in lines)
