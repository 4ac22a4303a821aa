"""
Listening on a port, or on the next free one above it.

Several nodes share one machine by this search: each has the same configuration
and takes the next port.
"""

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.error import CannotListenError

from diarkis_tw.errors import StartError

PORTS_SEARCHED: Final = 100
"""More nodes than that on one machine are a mistake in a loop somewhere."""

PORT_MAX: Final = 65_535

_P = TypeVar("_P")


def listen_upward(listen: Callable[[int], _P], port: int, *, fixed: bool = False) -> _P:
    """
    Call C{listen} with C{port}, and with the next ones while they are in use.
    Only that leads to another port: any other failure would be the same there,
    so it is reported at once.

    @param listen: binds the port given, or raises C{CannotListenError}, as
        C{reactor.listenTCP} does.
    @param port: the first to try; 0 = any free one, chosen by the system.
    @param fixed: try this one only.
    @return: what C{listen} returned.
    @raise StartError: nothing could be bound; says what to do.
    """
    last = port if fixed or port == 0 else min(port + PORTS_SEARCHED - 1, PORT_MAX)
    for candidate in range(port, last + 1):
        try:
            return listen(candidate)
        except CannotListenError as error:
            if getattr(error.socketError, "errno", None) != errno.EADDRINUSE:
                raise StartError(_refused(error)) from error
            interface = _shown(error)
    if fixed:
        raise StartError(
            f"Port {port} of {interface} is in use, and useFixedPort allows no other. "
            "Stop what uses it, or set another port."
        )
    raise StartError(
        f"All ports from {port} to {last} of {interface} are in use. "
        "Set another port, or 0 for any free one."
    )


def _refused(error: CannotListenError) -> str:
    number = getattr(error.socketError, "errno", None)
    where = f"Cannot listen on {_shown(error)} port {error.port}"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{where}: permission denied. Set a port above 1023, or give the process the right to "
            "bind this one."
        )
    if number == errno.EADDRNOTAVAIL:
        return (
            f"{where}: this machine has no such address. Set address to one of its own, or to "
            "0.0.0.0 for all of them; where clients connect to is said by DIARKIS_CLOUD_ENV."
        )
    reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
    return f"{where}: {reason}. Correct address and port."


def _shown(error: CannotListenError) -> str:
    return str(error.interface or "all interfaces")
