"""
The server's push to connect elsewhere (ver 0 cmd 2), a value::

    ===========  ====================================================
    key          value
    ===========  ====================================================
    endpoint     C{host:port}, an IPv6 address in brackets
    type         kind of transport there: C{UDP}, C{TCP} or C{WS}
    ===========  ====================================================

The session's id and keys stay, and whether there is encryption and TLS.
"""

from dataclasses import replace
from typing import Final

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.constants import ServerType
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.value import Value

HOST_MAX_BYTES: Final = 255
"""As in the answer of the endpoint API."""


def moved_endpoint(endpoint: Endpoint, value: Value) -> Endpoint:
    """
    Read where to connect.

    @param endpoint: where the client is connected now.
    @param value: the push's.
    @return: where it shall connect.

    @raise RemoteProtocolError: it does not say that.
    """
    address, type = value.get("endpoint"), value.get("type")
    if isinstance(address, str) and isinstance(type, str):
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if (
            1 <= len(host.encode("utf-8", "replace")) <= HOST_MAX_BYTES
            and port.isascii()
            and port.isdigit()
            and len(port) <= 5
            and 1 <= int(port) <= 65535
            and type in ServerType.__members__
        ):
            return replace(endpoint, host=host, port=int(port), server_type=ServerType(type))
    raise RemoteProtocolError("a reconnect push without endpoint and type")
