"""
UDP datagrams: which kinds there are, and how large each may be::

    ==========  =========  ==================  ==============
    first byte  name       direction           size, bytes
    ==========  =========  ==================  ==============
    0x01        HELLO      client to server    1200
    0x02        COOKIE     server to client    37
    0x03        ACCEPT     server to client    113
    0x04        TERMINATE  server to client    18
    0x80        DATA       client to server    44 to the MTU
    0x80        DATA       server to client    19 to the MTU
    0x80        RESET      server to client    22 to 43
    ==========  =========  ==================  ==============

Any other first byte and any other size is junk, to be dropped and counted.
RESET is meant to be taken for DATA by everybody but the client whose token
ends it, see L{diarkis_tw.wire.reset}.
"""

from typing import Final

from diarkis_tw.wire.packet import CLIENT_DATA_MIN, DATA_BYTE, SERVER_DATA_MIN

HELLO_BYTE: Final = 0x01
COOKIE_BYTE: Final = 0x02
ACCEPT_BYTE: Final = 0x03
TERMINATE_BYTE: Final = 0x04

HELLO_SIZE: Final = 1200
"""
Large, so that a forged sender gets less than was sent in its name, and so that a
path too narrow for the default MTU shows in the handshake.
"""
COOKIE_SIZE: Final = 37
ACCEPT_SIZE: Final = 113
TERMINATE_SIZE: Final = 18

MTU_MIN: Final = 576
"""What every IPv4 host takes (RFC 791)."""
MTU_MAX: Final = 1200
"""What nearly every path carries (RFC 9000, 14)."""

JUNK: Final = 0x00
"""No datagram begins with it: the kind of what is to be dropped and counted."""

_FROM_SERVER: Final = {
    COOKIE_SIZE: COOKIE_BYTE,
    ACCEPT_SIZE: ACCEPT_BYTE,
    TERMINATE_SIZE: TERMINATE_BYTE,
}


def client_datagram_kind(datagram: bytes, mtu: int) -> int:
    """
    Tell what a server received, before it spends more on it.

    @param datagram: any bytes are safe.
    @param mtu: greatest size of DATA in bytes.
    @return: L{DATA_BYTE}, L{HELLO_BYTE}, or L{JUNK}.
    """
    size = len(datagram)
    if CLIENT_DATA_MIN <= size <= mtu and datagram[0] == DATA_BYTE:
        return DATA_BYTE
    if size == HELLO_SIZE and datagram[0] == HELLO_BYTE:
        return HELLO_BYTE
    return JUNK


def server_datagram_kind(datagram: bytes, mtu: int) -> int:
    """
    Tell what a client received.

    @param datagram: any bytes are safe.
    @param mtu: greatest size of DATA in bytes.
    @return: L{DATA_BYTE} (which may be a RESET), L{COOKIE_BYTE}, L{ACCEPT_BYTE},
        L{TERMINATE_BYTE}, or L{JUNK}.
    """
    size = len(datagram)
    if SERVER_DATA_MIN <= size <= mtu and datagram[0] == DATA_BYTE:
        return DATA_BYTE
    kind = _FROM_SERVER.get(size)
    if kind is not None and datagram[0] == kind:
        return kind
    return JUNK
