"""
What may be announced to clients, of all that a metadata service could answer.
"""

import ipaddress
from typing import Final

from diarkis_tw.config.hosts import ip_address, is_host_name

_NARROW: Final = {
    network: f"an address of {kind}"
    for kind, networks in {
        "this machine alone": ("127.0.0.0/8", "::1/128"),
        "a private network": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        "a carrier's own network": ("100.64.0.0/10",),
    }.items()
    for network in map(ipaddress.ip_network, networks)
}
"""RFC 1122, 1918, 4193, 6598."""


def is_public_host(text: str) -> bool:
    """
    Whether C{text} is of the form of something a client could connect to: a full
    host name, or an IP address that is one machine's. Whether clients reach it
    nobody knows here.
    """
    address = ip_address(text)
    if address is None:
        return "." in text and is_host_name(text)
    return not (
        address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or "%" in text
        or str(address) == "255.255.255.255"
    )


def narrowness(host: str) -> str | None:
    """
    What kind of address C{host} is if not the whole internet can reach it.

    @return: such as C{"an address of a private network"}; L{None} otherwise.
    """
    address = ip_address(host)
    if address is None:
        return None
    for network, kind in _NARROW.items():
        if address.version == network.version and address in network:
            return kind
    return None
