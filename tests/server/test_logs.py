"""
Tests of L{diarkis_tw.server.logs}.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.logger import ILogObserver, Logger, LogLevel, jsonFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import LogSettings
from diarkis_tw.server.logs import Log, application_log, use_twist_log


def written(settings: LogSettings) -> str:
    """
    What a log with these settings says about one event of each level.
    """
    file = io.StringIO()
    log = Logger(namespace="game", observer=Log(settings, file).observer)
    for level in LogLevel.iterconstants():
        log.emit(level, "{name} event", name=level.name)
    return file.getvalue()


class ObserverTests(SynchronousTestCase):
    """
    Level and format.
    """

    def test_levels(self) -> None:
        """
        The level set and those above are written.
        """
        names = ["debug", "info", "warn", "error", "critical"]
        for n, name in enumerate(names):
            text = written(LogSettings(level=name))  # type: ignore[arg-type]
            found = [name for name in names if f"{name} event" in text]
            self.assertEqual(found, names[n:])

    def test_text(self) -> None:
        """
        Text is a line an event.
        """
        lines = written(LogSettings(level="critical")).splitlines()
        self.assertEqual(len(lines), 1)
        self.assertTrue(lines[0].endswith("[game#critical] critical event"))

    def test_json(self) -> None:
        """
        JSON is an object an event.
        """
        text = written(LogSettings(level="critical", format="json"))
        (event,) = [json.loads(line) for line in text.replace("\x1e", "").splitlines()]
        self.assertEqual(event["name"], "critical")

    def test_change(self) -> None:
        """
        The level can be changed while the log is in use.
        """
        file = io.StringIO()
        log = Log(LogSettings(), file)
        writer = Logger(namespace="game", observer=log.observer)
        for level, expected in (("debug", "one"), ("error", "one"), ("info", "one\ntwo")):
            log.set_level(level)
            writer.debug("one" if level == "debug" else "hidden")
            writer.info("two" if level == "info" else "")
            found = [line.split("] ")[1] for line in file.getvalue().splitlines() if "] " in line]
            self.assertEqual("\n".join(word for word in found if word), expected)

    def make(self, settings: LogSettings, **options: object) -> ILogObserver | None:
        """
        Choose the observer for twistd's options.
        """
        given: dict[str, Any] = {"nodaemon": 0, "logfile": None, "logger": None, "syslog": False}
        log = application_log(settings, {**given, **options})
        return None if log is None else log.observer

    def test_twistdDecides(self) -> None:
        """
        A log of twistd's own command line, and tac files are left to twistd.
        """
        loud = LogSettings(level="debug")
        self.assertIsNone(self.make(loud, logger="a.b"))
        self.assertIsNone(self.make(loud, syslog=True))
        self.assertIsNone(application_log(loud, None))
        self.assertIsNone(application_log(loud, {"logLevel": LogLevel.info}))

    def test_foreground(self) -> None:
        """
        In the foreground the log goes to the terminal.
        """
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        for options in ({"nodaemon": 1}, {"nodaemon": 1, "logfile": "-"}, {"logfile": "-"}):
            observer = self.make(LogSettings(level="debug"), **options)
            assert observer is not None
            Logger(namespace="x", observer=observer).debug("hello")
        self.assertEqual(output.getvalue().count("hello"), 3)

    def test_file(self) -> None:
        """
        With --logfile, and for a daemon, the log goes to a file.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        before = os.getcwd()
        os.chdir(folder)
        self.addCleanup(os.chdir, before)
        for name, options in (("a.log", {"logfile": "a.log", "nodaemon": 1}), ("twistd.log", {})):
            observer = self.make(LogSettings(level="debug"), **options)
            assert observer is not None
            Logger(namespace="x", observer=observer).debug("hello")
            self.assertIn("hello", Path(name).read_text())

    def test_twist(self) -> None:
        """
        twist's log gets the level and the format; its own options stay if the settings say nothing.
        """
        options: dict[str, Any] = {"logLevel": LogLevel.info, "fileLogObserverFactory": None}
        use_twist_log(LogSettings(), options)
        self.assertEqual(options, {"logLevel": LogLevel.info, "fileLogObserverFactory": None})
        use_twist_log(LogSettings(level="warn"), options)
        self.assertEqual(options, {"logLevel": LogLevel.warn, "fileLogObserverFactory": None})
        use_twist_log(LogSettings(format="json"), options)
        self.assertEqual(
            options, {"logLevel": LogLevel.info, "fileLogObserverFactory": jsonFileLogObserver}
        )
        others: dict[str, Any] = {"nodaemon": 1}
        use_twist_log(LogSettings(level="warn"), others)
        self.assertEqual(others, {"nodaemon": 1})
