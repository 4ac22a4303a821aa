"""
Reading a UDP socket batch by batch, in place of what Twisted's port does.

Rules:

  - A batch is read as a whole before its first datagram is looked at: so one clock
    reading serves all of it, what answers one client leaves together, and reading,
    handling and sending each find their code in the processor's caches.
  - A turn of the reactor has a bounded number of them.
  - What the system says of one datagram or one client ends the batch, and costs
    nothing that was read before: only a socket that is none any more is an error.
"""

import errno
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

BATCH: Final = 64
"""Datagrams: to read so many takes a tenth of a millisecond, so none waits for long."""

BATCHES_MOST: Final = 4
"""Before timers and others run: 256 commands take some 5 ms."""

UNUSABLE: Final = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EINVAL})
"""The reactor closes a port that raises, so nothing that a datagram can cause may be
one of these: Windows has errors for one that is too large, and for what ICMP says."""

Address: TypeAlias = tuple[str, int]
Arrived: TypeAlias = list[tuple[bytes, Address]]


class DatagramReader:
    """
    Reads one socket.
    """

    def __init__(
        self, system_socket: socket.socket, size: int, take: Callable[[Arrived], None]
    ) -> None:
        """
        @param system_socket: does not block.
        @param size: bytes of a datagram that are looked at.
        @param take: called with the datagrams of a batch; must not raise.
        """
        self._recvfrom = system_socket.recvfrom
        self._has_scope = system_socket.family == socket.AF_INET6
        self._size = size
        self._take = take

    def read(self) -> None:
        """
        Read what there is. See C{IReadDescriptor.doRead}.

        @raise OSError: the socket is unusable.
        """
        recvfrom, size = self._recvfrom, self._size
        for _ in range(BATCHES_MOST):
            arrived: Arrived = []
            try:
                while len(arrived) < BATCH:
                    arrived.append(recvfrom(size))
            except BlockingIOError:
                pass
            except OSError as error:
                if not arrived and error.errno in UNUSABLE:
                    raise
            if self._has_scope:
                arrived = [(datagram, address[:2]) for datagram, address in arrived]
            if arrived:
                self._take(arrived)
            if len(arrived) < BATCH:
                return
