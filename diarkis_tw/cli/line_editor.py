"""
One editable line at the bottom of a terminal, above which output may appear at any
time without disturbing it.

Sans-IO: bytes from the terminal in, text for it out. The terminal has to deliver
keys one by one without echo. A line longer than the terminal scrolls sideways::

    ==========================  =============================================
    key                         does
    ==========================  =============================================
    arrows, ^B ^F               move
    home, end, ^A ^E            move to an end of the line
    backspace, delete, ^H       delete a character
    ^U, ^K, ^W                  delete all before, all after, the word before
    up, down, ^P ^N             earlier and later lines
    ^L                          clear the screen
    enter                       the line is entered
    ^C                          drops the line; on an empty one, the end
    ^D                          on an empty line, the end; else delete
    ==========================  =============================================
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

HISTORY_MAX: Final = 500
"""Lines remembered."""

LINE_MAX: Final = 20_000
"""Characters of one line; a payload beyond it is no longer typed."""

_ERASE: Final = "\r\x1b[K"

# A sequence of control characters as terminals send for keys, or one character.
_KEY: Final = re.compile(
    r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z]|[^\[O\x1b]|(?=\x1b))|[^\x1b]", re.DOTALL
)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;]{0,16}|O)?$")


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class LineEditor:
    """
    See the module.

    @ivar history: earlier lines, oldest first.
    """

    def __init__(
        self,
        prompt: str,
        *,
        write: Callable[[str], object],
        columns: Callable[[], int],
        entered: Callable[[str], object],
        ended: Callable[[], object],
        history: Sequence[str] = (),
    ) -> None:
        """
        @param prompt: stands before the line.
        @param write: gets what the terminal is to show.
        @param columns: asks for the terminal's width.
        @param entered: gets each line.
        @param ended: called for ^C and ^D on an empty line.
        @param history: lines of earlier times, oldest first.
        """
        self.history = list(history)[-HISTORY_MAX:]
        self._prompt = prompt
        self._write = write
        self._columns = columns
        self._entered = entered
        self._ended = ended
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._keys = ""
        self._line = ""
        self._cursor = 0
        # Where in the history; its length = the line being written, kept in _draft.
        self._at = len(self.history)
        self._draft = ""
        self._actions: dict[str, Callable[[], object]] = {}
        for keys, action in (
            (("\x01", "\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"), self._home),
            (("\x05", "\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"), self._end),
            (("\x02", "\x1b[D", "\x1bOD"), self._left),
            (("\x06", "\x1b[C", "\x1bOC"), self._right),
            (("\x10", "\x1b[A", "\x1bOA"), self._earlier),
            (("\x0e", "\x1b[B", "\x1bOB"), self._later),
            (("\x7f", "\x08"), self._backspace),
            (("\x1b[3~",), self._delete),
            (("\x15",), self._delete_before),
            (("\x0b",), self._delete_after),
            (("\x17",), self._delete_word),
            (("\x0c",), self._clear),
            (("\r", "\n"), self._enter),
            (("\x03",), self._interrupt),
            (("\x04",), self._end_of_input),
        ):
            self._actions.update(dict.fromkeys(keys, action))

    def show(self) -> None:
        """
        Draw prompt and line at the cursor's row.
        """
        available = max(self._columns() - len(self._prompt) - 1, 1)
        start = self._cursor
        used = 0
        while start > 0 and used + _width(self._line[start - 1]) <= available:
            start -= 1
            used += _width(self._line[start])
        end = self._cursor
        total = used
        while end < len(self._line) and total + _width(self._line[end]) <= available:
            total += _width(self._line[end])
            end += 1
        back = f"\x1b[{total - used}D" if total > used else ""
        self._write(f"{_ERASE}{self._prompt}{self._line[start:end]}{back}")

    def hide(self) -> None:
        """
        Take prompt and line off the terminal.
        """
        self._write(_ERASE)

    def print(self, text: str) -> None:
        """
        Show output above the line.

        @param text: one or several lines.
        """
        self._write(f"{_ERASE}{text}\n")
        self.show()

    def feed(self, data: bytes) -> None:
        """
        Take what the terminal sent.

        @param data: any bytes.
        """
        self._keys += self._decode(data)
        position = 0
        while (key := _KEY.match(self._keys, position)) is not None:
            position = key.end()
            self._key(key.group())
        self._keys = self._keys[position:]
        if self._keys and _UNFINISHED.match(self._keys) is None:
            self._keys = ""
        self.show()

    def _key(self, key: str) -> None:
        action = self._actions.get(key)
        if action is not None:
            action()
        elif key.isprintable() and len(self._line) < LINE_MAX:
            self._line = self._line[: self._cursor] + key + self._line[self._cursor :]
            self._cursor += 1

    def _set(self, line: str) -> None:
        self._line = line
        self._cursor = len(line)

    def _home(self) -> None:
        self._cursor = 0

    def _end(self) -> None:
        self._cursor = len(self._line)

    def _left(self) -> None:
        self._cursor = max(self._cursor - 1, 0)

    def _right(self) -> None:
        self._cursor = min(self._cursor + 1, len(self._line))

    def _earlier(self) -> None:
        if self._at > 0:
            if self._at == len(self.history):
                self._draft = self._line
            self._at -= 1
            self._set(self.history[self._at])

    def _later(self) -> None:
        if self._at < len(self.history):
            self._at += 1
            at_end = self._at == len(self.history)
            self._set(self._draft if at_end else self.history[self._at])

    def _backspace(self) -> None:
        if self._cursor:
            self._cursor -= 1
            self._delete()

    def _delete(self) -> None:
        self._line = self._line[: self._cursor] + self._line[self._cursor + 1 :]

    def _delete_before(self) -> None:
        self._line = self._line[self._cursor :]
        self._cursor = 0

    def _delete_after(self) -> None:
        self._line = self._line[: self._cursor]

    def _delete_word(self) -> None:
        before = self._line[: self._cursor].rstrip(" ")
        before = before[: before.rfind(" ") + 1]
        self._line = before + self._line[self._cursor :]
        self._cursor = len(before)

    def _clear(self) -> None:
        self._write("\x1b[H\x1b[2J")

    def _enter(self) -> None:
        line = self._line
        self._home()
        self._write(f"{_ERASE}{self._prompt}{line}\n")
        if line.strip() and (not self.history or self.history[-1] != line):
            self.history.append(line)
            del self.history[:-HISTORY_MAX]
        self._at = len(self.history)
        self._draft = ""
        self._set("")
        self._entered(line)

    def _interrupt(self) -> None:
        if not self._line:
            self._ended()
            return
        self._write("^C\n")
        self._at = len(self.history)
        self._set("")

    def _end_of_input(self) -> None:
        if self._line:
            self._delete()
        else:
            self._ended()
