"""
From a server's name to an address.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer


def look_up(reactor: object, host: str, port: int, done: Callable[[str | None], None]) -> None:
    """
    Find the address of a UDP server.

    @param reactor: has the resolver.
    @param host: name or address.
    @param port: of the server.
    @param done: called once, at once if C{host} is an address; with L{None} if there
        is none of that name.
    """
    if isIPAddress(host) or isIPv6Address(host):
        done(host)
        return
    resolver = IReactorPluggableNameResolver(reactor).nameResolver
    receiver = cast(IResolutionReceiver, _Lookup(done))
    resolver.resolveHostName(receiver, host, port, transportSemantics="UDP")


@implementer(IResolutionReceiver)
class _Lookup:
    """
    Collects the addresses of a name.
    """

    def __init__(self, done: Callable[[str | None], None]) -> None:
        self._done = done
        self._addresses: list[IAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        See L{IResolutionReceiver.resolutionBegan}.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        See L{IResolutionReceiver.addressResolved}.
        """
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """
        See L{IResolutionReceiver.resolutionComplete}.
        """
        # Servers bind IPv4 unless told otherwise, whatever else the name has.
        for kind in (IPv4Address, IPv6Address):
            for address in self._addresses:
                if isinstance(address, kind):
                    self._done(address.host)
                    return
        self._done(None)
