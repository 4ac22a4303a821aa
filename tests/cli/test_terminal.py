"""
Tests of the terminal's modes, and of the history file.
"""

import os
import pty
import stat
import termios
from pathlib import Path

from twisted.internet.interfaces import IReactorFDSet
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from diarkis_tw.cli.terminal import (
    history_path,
    key_by_key,
    read_history,
    watch_terminal,
    write_history,
)


@implementer(IReactorFDSet)
class Readers:
    def __init__(self):
        self.readers = []

    def addReader(self, reader):
        self.readers.append(reader)

    def removeReader(self, reader):
        if reader in self.readers:
            self.readers.remove(reader)


class TerminalTests(SynchronousTestCase):
    def setUp(self):
        self.outer, self.inner = pty.openpty()
        self.addCleanup(os.close, self.inner)
        self.seen = []
        self.reactor = Readers()

    def watch(self):
        return watch_terminal(
            self.reactor, self.inner, self.seen.append, lambda: self.seen.append("ended")
        )

    def test_key_by_key(self):
        """Keys come at once, ^C as a byte, none is echoed; and all is restored after."""
        before = termios.tcgetattr(self.inner)
        with key_by_key(self.inner), self.watch():
            os.write(self.outer, b"a\x03\x04")
            for reader in self.reactor.readers:
                reader.doRead()
        self.assertEqual(b"".join(self.seen), b"a\x03\x04")
        self.assertEqual(termios.tcgetattr(self.inner), before)
        self.assertEqual(self.reactor.readers, [])
        os.set_blocking(self.outer, False)
        self.assertRaises(BlockingIOError, os.read, self.outer, 1)

    def test_restored_after_error(self):
        """The terminal is restored also after a failure."""
        before = termios.tcgetattr(self.inner)
        with self.assertRaises(ValueError), key_by_key(self.inner):
            raise ValueError
        self.assertEqual(termios.tcgetattr(self.inner), before)

    def test_gone(self):
        """A terminal that is closed ends the reading, once."""
        with key_by_key(self.inner), self.watch():
            reader = self.reactor.readers[0]
            self.assertEqual(reader.fileno(), self.inner)
            os.close(self.outer)
            reader.doRead()
            self.assertEqual(self.reactor.readers, [])
        self.assertEqual(self.seen, ["ended"])


class HistoryTests(SynchronousTestCase):
    def setUp(self):
        self.path = Path(self.mktemp()) / "a" / "b"

    def test_round_trip(self):
        """What was written is read, and is nobody else's business."""
        write_history(self.path, ["2 10 é", "ping"])
        self.assertEqual(read_history(self.path), ["2 10 é", "ping"])
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        write_history(self.path, ["x"])
        self.assertEqual(read_history(self.path), ["x"])

    def test_unreadable(self):
        """A file that is missing, a directory, or garbage is no error."""
        self.assertEqual(read_history(self.path), [])
        self.path.mkdir(parents=True)
        self.assertEqual(read_history(self.path), [])
        file = self.path / "file"
        file.write_bytes(b"good\n\x1b[2J\n\n\xff\n")
        self.assertEqual(read_history(file), ["good", "\ufffd"])

    def test_unwritable(self):
        """A history that cannot be written is no error."""
        self.path.mkdir(parents=True)
        write_history(self.path, ["x"])

    def test_path(self):
        """The file lies under XDG_STATE_HOME if that is an absolute path."""
        home = Path("~/.local/state/diarkis-tw/client-history")
        self.assertEqual(history_path({}), home)
        self.assertEqual(history_path({"XDG_STATE_HOME": "relative"}), home)
        self.assertEqual(
            history_path({"XDG_STATE_HOME": "/s"}), Path("/s/diarkis-tw/client-history")
        )
