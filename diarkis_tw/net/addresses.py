"""
Which local address a section binds.
"""

import json
import os
import socket
import struct
import sys
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from diarkis_tw.config.hosts import DEFAULT_ADDRESS
from diarkis_tw.errors import ConfigError

_SIOCGIFADDR: Final = 0x8915
"""netdevice(7): the IPv4 address of an interface."""

_IFREQ: Final = struct.Struct("16s24x")
"""C{struct ifreq}: the name, then a union that the answer is written to."""

_IPV6_TABLE: Final = Path("/proc/net/if_inet6")
"""A line for each IPv6 address: 32 hexadecimal digits, then index, prefix, scope and
flags in hexadecimal, and the interface."""

_SCOPES: Final = {0x00: 0, 0x10: 1}
"""Global ones (these include unique local ones) before that of loopback; others, such
as link-local ones, mean nothing without the name of an interface."""

_UNUSABLE: Final = 0x08 | 0x20 | 0x40
"""IFA_F_DADFAILED, _DEPRECATED, _TENTATIVE of linux/if_addr.h."""

_TEMPORARY: Final = 0x01
"""IFA_F_TEMPORARY: for privacy; gone tomorrow."""

_IFREQ_IPV4: Final = struct.Struct("16s4x4s16x")
"""The same with a C{sockaddr_in}: its family and port are skipped."""


def bind_address(address: str, nic: str, *, section: str = "", platform: str = sys.platform) -> str:
    """
    The address to bind for the keys C{address} and C{nic} of a section.
    C{address} wins, and C{nic} is then not looked up, because the Go doc's
    sample has both; with neither it is loopback.

    @param section: whose keys they are, for errors.
    @param nic: name of an interface; its first IPv4 address is taken, or, if it has
        none, its first IPv6 address that needs no interface beside it. On Linux only:
        other systems have no call for it in Python's library.
    @raise ConfigError: the interface does not exist or has no address.
    """
    if address:
        return address
    if not nic:
        return DEFAULT_ADDRESS
    # JSON's spelling, as in the file, and safe to print whatever is in it.
    label = f"{section}{'.' if section else ''}nic {json.dumps(nic)}"
    if platform != "linux":
        raise ConfigError(f"{label}: looking up an interface works on Linux only. Set address.")
    interfaces = _interfaces()
    if interfaces.get(nic):
        return interfaces[nic][0]
    problem = "this interface has no address" if nic in interfaces else "there is no such interface"
    listed = ", ".join(
        f"{name} ({', '.join(addresses)})" for name, addresses in interfaces.items() if addresses
    )
    raise ConfigError(f"{label}: {problem}. Set nic to one of {listed}, or set address.")


def _interfaces() -> dict[str, list[str]]:
    """
    The interfaces of this machine with their addresses that can be bound.
    """
    try:
        table = _IPV6_TABLE.read_text()
    except OSError:
        table = ""  # a machine without IPv6
    ipv6 = ipv6_addresses(table)
    return {
        name: [*_ipv4_addresses(name), *ipv6.get(name, ())] for _, name in socket.if_nameindex()
    }


def ipv6_addresses(table: str) -> dict[str, list[str]]:
    """
    Read the system's table of IPv6 addresses.

    @param table: the content of C{/proc/net/if_inet6}.
    @return: by interface those that can be bound, the most lasting ones first.
    """
    found: dict[str, list[tuple[int, int, str]]] = {}
    for line in table.splitlines():
        digits, _, _, scope, flags, name = line.split()
        rank, bits = _SCOPES.get(int(scope, 16)), int(flags, 16)
        if rank is not None and not bits & _UNUSABLE:
            address = str(IPv6Address(bytes.fromhex(digits)))
            found.setdefault(name, []).append((rank, bits & _TEMPORARY, address))
    return {
        name: [address for _, _, address in sorted(entries, key=lambda entry: entry[:2])]
        for name, entries in found.items()
    }


def _ipv4_addresses(name: str) -> list[str]:
    try:
        return [_ipv4_address(name)]
    except OSError:
        return []


def _ipv4_address(name: str) -> str:
    import fcntl  # not everywhere

    encoded = os.fsencode(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, _IFREQ.pack(encoded))
    _, address = _IFREQ_IPV4.unpack(answer)
    return socket.inet_ntoa(address)
