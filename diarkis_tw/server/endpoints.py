"""
Where clients reach this node: what is bound, under the name that is announced.
"""

from collections.abc import Mapping
from typing import Protocol

from diarkis_tw.config.hosts import ip_address, is_host_name, is_wildcard
from diarkis_tw.constants import ServerType
from diarkis_tw.errors import ConfigError
from diarkis_tw.mesh.interface import PublicEndpoint
from diarkis_tw.net.tls import ServerTls


def host_port(host: str, port: int) -> str:
    """
    C{host:port}, with brackets around an IPv6 address.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Bound(Protocol):
    """
    A listener: the host and port it has bound, port 0 before, and its TLS, if any.
    """

    host: str
    port: int

    @property
    def tls(self) -> ServerTls | None:
        """
        L{None} = without TLS.
        """


class Endpoints:
    """
    Bound and announced addresses of the client transports.

    @ivar host: the host that clients are told; L{None} = the bound one.
    """

    def __init__(self, public_host: str | None, listeners: Mapping[str, Bound]) -> None:
        """
        @param public_host: the host that clients are told; L{None} = the bound one.
        @param listeners: by section; those of client transports count.
        """
        self._listeners = listeners
        self.host = public_host
        self._explicit: dict[ServerType, tuple[str, int]] = {}

    def announce(self, address: str, kinds: list[ServerType], kind: ServerType | None) -> None:
        """
        Set what clients are told. Go: C{server.SetPublicEndPoint}.

        @param address: C{host}, which serves all kinds with their bound ports,
            or C{host:port}, for one kind.
        @param kinds: the kinds that this server has.
        @param kind: which one C{host:port} is for; needed if there are several.
        @raise ConfigError: the address is none, or it is not clear which kind is meant.
        """
        host, port = _parse(address)
        if port is None:
            self.host = host
            return
        if kind is None:
            if not kinds:
                raise ConfigError(
                    f"set_public_endpoint({address!r}): this node has no port of its own to "
                    "announce; give the host alone"
                )
            if len(kinds) != 1:
                raise ConfigError(
                    f"set_public_endpoint({address!r}): say which kind it is for, "
                    f"as in type=ServerType.{kinds[0]}"
                )
            kind = kinds[0]
        elif kind not in kinds:
            raise ConfigError(f"set_public_endpoint({address!r}, {kind}): this is no {kind} server")
        self._explicit[kind] = (host, port)

    def public(self, kind: ServerType) -> tuple[str, int]:
        """
        The host and port that clients of that kind are told.

        @raise ConfigError: that kind is not bound.
        """
        if kind in self._explicit:
            return self._explicit[kind]
        listener = self._listeners.get(kind.value)
        if listener is None or not listener.port:
            raise ConfigError(f"this server has no {kind} address: it is not bound")
        host, port = listener.host, listener.port
        if self.host is None and is_wildcard(host):
            raise ConfigError(
                f"{kind}: {host} is no address that a client can connect to; "
                "set DIARKIS_CLOUD_ENV=<host> to the one that it can"
            )
        return self.host or host, port

    def bound_hosts(self) -> list[str]:
        """
        The addresses that the client transports have bound, once they have.
        """
        return [
            self._listeners[kind.value].host for kind in ServerType if kind.value in self._listeners
        ]

    def describe(self, custom_type: str) -> dict[str, PublicEndpoint]:
        """
        What the mesh is told.

        @param custom_type: C{node.type}; it takes the place of the one kind.
        """
        return {
            custom_type or kind.value: PublicEndpoint(
                *self.public(kind), kind.value, self._listeners[kind.value].tls is not None
            )
            for kind in ServerType
            if kind.value in self._listeners
        }


def _parse(address: str) -> tuple[str, int | None]:
    if address.startswith("[") and "]" in address:
        host, _, rest = address[1:].partition("]")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
        rest = f":{port}"
    else:
        host, rest = address, ""
    if is_wildcard(host) or not (is_host_name(host) or ip_address(host) is not None):
        raise ConfigError(
            f"{address!r} is neither a host nor host:port that a client could connect to"
        )
    if not rest:
        return host, None
    digits = rest[1:]
    if rest[0] != ":" or not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        raise ConfigError(f"{address!r} does not end with a port")
    if not 1 <= int(digits) <= 65535:
        raise ConfigError(f"{address!r}: a port is from 1 to 65535")
    return host, int(digits)
