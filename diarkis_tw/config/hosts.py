"""
What the text of a host name or IP address means, without asking the network.
"""

import ipaddress
import re
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_ADDRESS: Final = "127.0.0.1"
"""What is bound if a section says nothing: only this machine can connect."""

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)

_NAME_MAX_LENGTH: Final = 253
"""Longest host name, as text. RFC 1035, 2.3.4."""


def ip_address(host: str) -> IpAddress | None:
    """
    Read an IP address; one of IPv4 written as IPv6 counts as IPv4, because it
    binds and compares like that.

    @return: None if C{host} is none.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(host: str) -> bool:
    """
    Whether only this machine can reach a socket bound to C{host}.
    """
    if host.lower() == "localhost":
        return True
    address = ip_address(host)
    return address is not None and address.is_loopback


def is_wildcard(host: str) -> bool:
    """
    Whether a socket bound to C{host} listens on every interface, so that
    C{host} is nothing a client could connect to.
    """
    address = ip_address(host)
    return host == "" or (address is not None and address.is_unspecified)


def is_bindable(text: str) -> bool:
    """
    Whether C{text} is of the form a socket is bound to: an IP address or
    C{localhost}. Other names are refused because resolving them blocks, and
    what they give is decided elsewhere.
    """
    return text == "localhost" or ip_address(text) is not None


def is_host_name(text: str) -> bool:
    """
    Whether C{text} has the form of a host name. RFC 1123, 2.1: the last label
    is not a number, else it would be an address with a mistake in it.
    """
    if len(text) > _NAME_MAX_LENGTH:
        return False
    labels = text.split(".")
    return all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
