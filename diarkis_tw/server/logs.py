"""
Section C{log} of the configuration: level and format of twistd's log.
"""

import sys
from collections.abc import Callable, MutableMapping
from typing import IO, Any, Final, cast

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


def log_observer(settings: LogSettings, file: IO[Any]) -> ILogObserver:
    """
    An observer that writes what the settings let through.
    """
    level = LogLevel.levelWithName(settings.level)
    observer = OBSERVERS[settings.format](file)
    return FilteringLogObserver(observer, [LogLevelFilterPredicate(level)])


def application_observer(
    settings: LogSettings, options: MutableMapping[str, Any] | None
) -> ILogObserver | None:
    """
    What twistd shall log with, where its own command line does not say so.

    @param options: the options of twistd; L{None} in a tac file, whose log
        file is not known.
    @return: L{None} if its own observer does.
    """
    if settings == LogSettings() or options is None or "nodaemon" not in options:
        return None
    if options.get("logger") or options.get("syslog"):
        return None
    return log_observer(settings, _file(options))


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
