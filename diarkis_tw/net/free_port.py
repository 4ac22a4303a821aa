"""
Finding a port that another program can bind.
"""

import socket

from twisted.internet.error import CannotListenError

from diarkis_tw.net.listening import listen_upward


def free_port(transport: str, first: int) -> int:
    """
    Find a port that is free on all interfaces. It is not kept: whoever asked binds
    it, and may find that somebody else was faster.

    @param transport: UDP or TCP.
    @param first: where to begin; 0 = any port, chosen by the system.
    @return: the port.
    @raise StartError: none is free within the reach of L{listen_upward}.
    """
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM

    def listen(port: int) -> int:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # as servers do: connections that have ended do not keep their port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise CannotListenError("", port, error) from error
            found: int = probe.getsockname()[1]
            return found

    return listen_upward(listen, first)
