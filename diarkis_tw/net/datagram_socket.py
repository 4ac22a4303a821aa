"""
What the system is asked for on a UDP socket.
"""

import socket
import sys
from typing import Final

READ_MOST: Final = 64 * 1024
"""Bytes read in one go before timers run; Twisted's 256 KiB are thousands of
small datagrams."""

DONT_FRAGMENT: Final = {
    "linux": (socket.IPPROTO_IP, 10, 2),
    "darwin": (socket.IPPROTO_IP, 28, 1),
    "win32": (socket.IPPROTO_IP, 14, 1),
}
"""By platform, since Python 3.11 has no names for them: IP_MTU_DISCOVER and
IP_PMTUDISC_DO (ip(7)), IP_DONTFRAG, IP_DONTFRAGMENT. Of IPv4 alone: over IPv6 no
datagram of ours is too large for any link (RFC 8200, 5)."""


def tune(port: object, buffer_size: int, platform: str = sys.platform) -> None:
    """
    Ask for large buffers and for datagrams in one piece. What the system does not
    grant is done without.

    @param port: a Twisted UDP port; one without a socket, as tests have, is left
        alone.
    @param buffer_size: of both directions, in bytes.
    @param platform: as C{sys.platform}.
    """
    system_socket = getattr(port, "socket", None)
    if not isinstance(system_socket, socket.socket):
        return
    port.maxThroughput = READ_MOST  # type: ignore[attr-defined]
    options = [
        (socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_size),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size),
    ]
    dont_fragment = DONT_FRAGMENT.get(platform)
    if dont_fragment is not None and system_socket.family == socket.AF_INET:
        options.append(dont_fragment)
    for option in options:
        try:
            system_socket.setsockopt(*option)
        except OSError:
            continue
