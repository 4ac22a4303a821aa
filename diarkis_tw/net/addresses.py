"""
Which local address a section binds.
"""

import errno
import json
import socket
import struct
import sys
from typing import Final

from diarkis_tw.errors import ConfigError

DEFAULT_ADDRESS: Final = "127.0.0.1"
"""What is bound if a section says nothing: only this machine can connect."""

_SIOCGIFADDR: Final = 0x8915
"""netdevice(7): the IPv4 address of an interface."""

_INTERFACE_NAME_MAX: Final = 15
"""Bytes: IFNAMSIZ without the terminator."""

_IFREQ: Final = struct.Struct("16s24x")
"""C{struct ifreq}: the name, then a union that the answer is written to."""

_IFREQ_IPV4: Final = struct.Struct("16s4x4s16x")
"""The same with a C{sockaddr_in}: its family and port are skipped."""


def bind_address(address: str, nic: str, *, section: str = "", platform: str = sys.platform) -> str:
    """
    The address to bind for the keys C{address} and C{nic} of a section.
    C{address} wins, and C{nic} is then not looked up, because the Go doc's
    sample has both; with neither it is loopback.

    @param section: whose keys they are, for errors.
    @param nic: name of an interface; its first IPv4 address is taken. On Linux
        only: other systems have no call for it in Python's library.
    @raise ConfigError: the interface does not exist or has no IPv4 address.
    """
    if address:
        return address
    if not nic:
        return DEFAULT_ADDRESS
    # JSON's spelling, as in the file, and safe to print whatever is in it.
    label = f"{section}{'.' if section else ''}nic {json.dumps(nic)}"
    if platform != "linux":
        raise ConfigError(f"{label}: looking up an interface works on Linux only. Set address.")
    try:
        return _interface_address(nic)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            problem = "this interface has no IPv4 address"
        else:
            problem = "this machine has no such interface"
        raise ConfigError(
            f"{label}: {problem}. Set nic to one of {', '.join(_interfaces())}, or set address."
        ) from None


def _interfaces() -> list[str]:
    """
    The interfaces of this machine that can be bound, with their addresses.
    """
    found = []
    for _, name in socket.if_nameindex():
        try:
            found.append(f"{name} ({_interface_address(name)})")
        except OSError:
            continue  # no IPv4 address
    return found


def _interface_address(name: str) -> str:
    import fcntl  # not everywhere

    encoded = name.encode()
    if len(encoded) > _INTERFACE_NAME_MAX or b"\0" in encoded:
        raise OSError(errno.ENODEV, "no such interface")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, _IFREQ.pack(encoded))
    _, address = _IFREQ_IPV4.unpack(answer)
    return socket.inet_ntoa(address)
