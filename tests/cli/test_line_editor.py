"""
Tests of the editable line.
"""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.cli.line_editor import HISTORY_MAX, LINE_MAX, LineEditor

LEFT, RIGHT, UP, DOWN = b"\x1b[D", b"\x1b[C", b"\x1b[A", b"\x1b[B"
HOME, END, DELETE, BACKSPACE = b"\x1b[H", b"\x1b[F", b"\x1b[3~", b"\x7f"


class Screen:
    """
    As much of a terminal as the editor uses: rows, a cursor, and few sequences.
    """

    def __init__(self):
        self.rows = [""]
        self.column = 0

    def write(self, text):
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", text, re.DOTALL):
            row = self.rows[-1]
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self.rows.append("")
                self.column = 0
            elif token == "\x1b[K":
                self.rows[-1] = row[: self.column]
            elif token == "\x1b[H":
                self.rows, self.column = [""], 0
            elif token == "\x1b[2J":
                self.rows = [""]
            elif token.startswith("\x1b["):
                assert token.endswith("D"), token
                self.column -= int(token[2:-1])
            else:
                assert token.isprintable(), token
                row = row.ljust(self.column)
                self.rows[-1] = row[: self.column] + token + row[self.column + 1 :]
                self.column += 1


class EditorCase(SynchronousTestCase):
    def setUp(self):
        self.make()

    def make(self, columns=80, history=()):
        self.screen = Screen()
        self.entered = []
        self.ended = 0
        self.editor = LineEditor(
            "> ",
            write=self.screen.write,
            columns=lambda: columns,
            entered=self.entered.append,
            ended=self.end,
            history=history,
        )
        self.editor.show()

    def end(self):
        self.ended += 1

    def type(self, *keys):
        for key in keys:
            self.editor.feed(key)

    def assertLine(self, text, column=None):
        self.assertEqual(self.screen.rows[-1], "> " + text)
        self.assertEqual(self.screen.column, 2 + (len(text) if column is None else column))

    def assertEnters(self, text, *keys):
        self.type(*keys, b"\r")
        self.assertEqual(self.entered[-1:], [text])


class EditingTests(EditorCase):
    def test_typing(self):
        """What is typed is shown, and entered with the enter key."""
        self.type(b"2 10 hello")
        self.assertLine("2 10 hello")
        self.assertEnters("2 10 hello")
        self.assertLine("")
        self.assertEqual(self.screen.rows[-2], "> 2 10 hello")

    def test_newline(self):
        """A line feed enters as well as a carriage return."""
        self.type(b"a\n")
        self.assertEqual(self.entered, ["a"])

    def test_moving(self):
        """Characters are inserted where the cursor is, and it stays within the line."""
        self.type(b"ac", LEFT, b"b")
        self.assertLine("abc", 2)
        self.type(LEFT, LEFT, LEFT, LEFT, b"0", RIGHT, RIGHT, RIGHT, RIGHT, b"9")
        self.assertLine("0abc9")

    def test_home_and_end(self):
        """Every way that terminals send home and end works."""
        for home, end in (
            (b"\x1b[H", b"\x1b[F"),
            (b"\x1bOH", b"\x1bOF"),
            (b"\x1b[1~", b"\x1b[4~"),
            (b"\x01", b"\x05"),
        ):
            self.make()
            self.assertEnters("<x>", b"x", home, b"<", end, b">")

    def test_deleting(self):
        """Backspace deletes before the cursor, delete behind it; at the ends neither does."""
        self.assertEnters("bd", b"abcd", BACKSPACE, b"d", LEFT, BACKSPACE, HOME, DELETE, BACKSPACE)
        self.assertEnters("a", b"a", DELETE)

    def test_deleting_more(self):
        """^U, ^K and ^W delete what stands before, after, and the word before."""
        self.assertEnters("cd", b"abcd", LEFT, LEFT, b"\x15")
        self.assertEnters("ab", b"abcd", LEFT, LEFT, b"\x0b")
        self.assertEnters("a  d", b"a  bc  d", LEFT, b"\x17")
        self.assertEnters("", b"word", b"\x17")

    def test_unicode(self):
        """UTF-8 that arrives in pieces is one character."""
        self.type(*(bytes((byte,)) for byte in "é漢".encode()))
        self.assertEnters("é", BACKSPACE)

    def test_wide_characters(self):
        """The cursor moves by two columns over characters that are two columns wide."""
        written = []
        self.editor._write = written.append
        self.type("漢字".encode(), LEFT)
        self.assertTrue(written[-1].endswith("漢字\x1b[2D"))

    def test_split_sequence(self):
        """A key's sequence that arrives in pieces is one key."""
        self.type(b"b", b"\x1b", b"[", b"D", b"a")
        self.assertEnters("ab")

    def test_unknown_keys(self):
        """Keys without a meaning do nothing, and leave no trace."""
        for key in (b"\x1b[15~", b"\x1bx", b"\x1bOP", b"\x00", b"\t", b"\x1b[1;5C", b"\x1b"):
            self.make()
            self.type(b"a", key, b"\x1b[1~")
            self.type(END)
            self.assertLine("a")

    def test_bounded(self):
        """A line does not grow without end."""
        self.type(b"x" * (LINE_MAX + 10))
        self.type(b"\r")
        self.assertEqual(len(self.entered[0]), LINE_MAX)

    def test_clear(self):
        """^L clears the screen and keeps the line."""
        self.type(b"abc", b"\x0c")
        self.assertEqual(self.screen.rows, ["> abc"])

    def test_several_lines_at_once(self):
        """Lines that are pasted are entered one after another."""
        self.type(b"a\rb\rc")
        self.assertEqual(self.entered, ["a", "b"])
        self.assertLine("c")

    @given(st.lists(st.binary(max_size=12) | st.sampled_from((LEFT, UP, DOWN, HOME, DELETE))))
    def test_any_keys(self, keys):
        """Whatever the terminal sends, one line with a cursor in it is shown."""
        self.make(columns=10)
        self.type(*keys)
        self.assertTrue(self.screen.rows[-1].startswith("> "))
        self.assertGreaterEqual(self.screen.column, 2)


class LongLineTests(EditorCase):
    def test_scrolls(self):
        """A line longer than the terminal shows the part around the cursor."""
        self.make(columns=10)
        self.type(b"0123456789")
        self.assertLine("3456789")
        self.type(HOME)
        self.assertLine("0123456", 0)

    def test_narrow(self):
        """Not even a terminal without columns is too narrow."""
        self.make(columns=0)
        self.type(b"abc", LEFT)
        self.assertEnters("abc")


class OutputTests(EditorCase):
    def test_above(self):
        """Output stands above the line, which stays as it is, cursor included."""
        self.type(b"abc", LEFT)
        self.editor.print("push")
        self.assertEqual(self.screen.rows, ["push", "> abc"])
        self.assertLine("abc", 2)
        self.type(b"X")
        self.assertLine("abXc", 3)

    def test_hide(self):
        """hide leaves an empty row."""
        self.type(b"abc")
        self.editor.hide()
        self.assertEqual((self.screen.rows[-1], self.screen.column), ("", 0))


class HistoryTests(EditorCase):
    def test_earlier_and_later(self):
        """Up and down walk through the lines entered, back to the one being written."""
        self.make(history=["first"])
        self.type(b"second\r", b"draft", UP)
        self.assertLine("second")
        self.type(UP, UP)
        self.assertLine("first")
        self.type(DOWN, DOWN, DOWN)
        self.assertLine("draft")

    def test_edited(self):
        """An earlier line can be changed and entered, and is kept as it was, too."""
        self.type(b"one\r", UP, b"!\r")
        self.assertEqual(self.entered, ["one", "one!"])
        self.assertEqual(self.editor.history, ["one", "one!"])

    def test_not_kept(self):
        """Empty lines and repetitions are not kept."""
        self.type(b"a\r", b"\r", b"  \r", b"a\r")
        self.assertEqual(self.editor.history, ["a"])

    def test_bounded(self):
        """Only so many lines are kept."""
        self.make(history=[str(n) for n in range(HISTORY_MAX + 5)])
        self.type(b"last\r")
        self.assertEqual(len(self.editor.history), HISTORY_MAX)
        self.assertEqual(self.editor.history[-1], "last")


class LeavingTests(EditorCase):
    def test_empty_line(self):
        """^C and ^D on an empty line are the wish to leave."""
        self.type(b"\x03", b"\x04")
        self.assertEqual(self.ended, 2)

    def test_line(self):
        """^C on a line drops it, ^D on a line deletes, and neither leaves."""
        self.type(b"abc", b"\x03")
        self.assertLine("")
        self.type(b"abc", HOME, b"\x04")
        self.assertLine("bc", 0)
        self.assertEqual(self.ended, 0)
