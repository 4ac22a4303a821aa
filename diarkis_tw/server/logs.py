"""
Section C{log} of the configuration: level and format of twistd's log.
"""

import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import IO, Any, Final, cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile

from diarkis_tw.config.settings import LogSettings

OBSERVERS: Final[dict[str, Callable[[IO[Any]], ILogObserver]]] = {
    "text": textFileLogObserver,
    "json": jsonFileLogObserver,
}


class Log:
    """
    A log that writes what its level lets through.

    @ivar observer: writes the events.
    """

    def __init__(self, settings: LogSettings, file: IO[Any]) -> None:
        """
        @param file: where to write.
        """
        self._file = file
        self._predicate = LogLevelFilterPredicate()
        self.set_level(settings.level)
        self.observer: ILogObserver = FilteringLogObserver(
            OBSERVERS[settings.format](file), [self._predicate]
        )

    def set_level(self, level: str) -> None:
        """
        Write what is of this level or above from now on.
        """
        self._predicate.setLogLevelForNamespace("", LogLevel.levelWithName(level))

    def rotate_on_signal(self, reactor: IReactorFromThreads) -> None:
        """
        Begin a new file at SIGUSR1, as twistd's own log does.
        """
        file = self._file
        if isinstance(file, LogFile) and not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))


def application_log(settings: LogSettings, options: MutableMapping[str, Any] | None) -> Log | None:
    """
    What twistd shall log with, where its own command line does not say so.

    @param options: the options of twistd; L{None} in a tac file, whose log
        file is not known.
    @return: L{None} if its own observer does.
    """
    if options is None or "nodaemon" not in options:
        return None
    if options.get("logger") or options.get("syslog"):
        return None
    return Log(settings, _file(options))


def use_twist_log(settings: LogSettings, options: MutableMapping[str, Any]) -> None:
    """
    Have twist, which has no application, log as the settings say.

    @param options: the options of twist.
    """
    if settings == LogSettings() or "logLevel" not in options:
        return
    options["logLevel"] = LogLevel.levelWithName(settings.level)
    if settings.format == "json":
        options["fileLogObserverFactory"] = jsonFileLogObserver


def _file(options: MutableMapping[str, Any]) -> IO[Any]:
    """
    Where twistd would write: C{--logfile}, else the terminal, else twistd.log.
    """
    name = options.get("logfile")
    if name == "-" or (not name and options.get("nodaemon")):
        return sys.stdout
    return cast("IO[Any]", LogFile.fromFullPath(name or "twistd.log"))
