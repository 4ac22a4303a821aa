"""
Writing once a turn of the reactor.

What a stream connection is given to write in one turn waits, and then goes to its
socket in one piece. Twisted's own write queue gathers too, but asks the system
twice for each connection (C{epoll_ctl}) and needs another pass of the reactor;
a message to many would pay that for each of its receivers. It takes over when
the socket is full.

Only plain TCP gains; TLS has a buffer of its own.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import Server

from diarkis_tw.net.stream_transport import FlowControlled, StreamTransport

GATHER_MOST: Final = 64 * 1024
"""Bytes that wait at most for the end of the turn: as many as Twisted takes before it
pauses a producer."""


class Gathering:
    """
    Those connections of a server that have something to write.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[GatheredTransport] = []

    def wrap(self, transport: StreamTransport) -> "StreamTransport | GatheredTransport":
        """
        Gather what is written to C{transport}, if that is of use.
        """
        # Exactly this class: those derived from it are TLS.
        return GatheredTransport(self, transport) if type(transport) is Server else transport

    def add(self, transport: "GatheredTransport") -> None:
        """
        Flush C{transport} at the end of this turn.
        """
        if not self._waiting:
            self._clock.callLater(0, self._flush)
        self._waiting.append(transport)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.flush()


class GatheredTransport:
    """
    A L{StreamTransport} around Twisted's.
    """

    __slots__ = ("_gathering", "_pieces", "_size", "_transport")

    def __init__(self, gathering: Gathering, transport: Server) -> None:
        self._gathering = gathering
        self._transport = transport
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """
        Send bytes at the end of the turn.
        """
        pieces = self._pieces
        if not pieces:
            self._gathering.add(self)
        pieces.append(data)
        self._size += len(data)
        if self._size > GATHER_MOST:
            self.flush()

    def write_now(self, data: bytes) -> None:
        """
        Send bytes now, unless others are waiting.
        """
        if self._pieces:
            self.write(data)
        else:
            self._send(data)

    def flush(self) -> None:
        """
        Send what waits.
        """
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._size = 0
            self._send(data)

    def _send(self, data: bytes) -> None:
        transport = self._transport
        sent = 0
        # twisted/internet/abstract.py, Twisted 26.10: both of FileDescriptor's buffers are empty.
        if transport.connected and not transport.dataBuffer and not transport._tempDataLen:
            try:
                sent = transport.socket.send(data)
            except OSError:
                sent = 0  # full, or broken: the reactor finds out which
        if sent < len(data):
            transport.write(data[sent:])

    # What goes on to the transport, behind what waits

    def registerProducer(self, producer: FlowControlled, streaming: bool) -> None:
        """
        See L{StreamTransport.registerProducer}.
        """
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See L{StreamTransport.unregisterProducer}.
        """
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """
        See L{StreamTransport.pauseProducing}.
        """
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{StreamTransport.resumeProducing}.
        """
        self._transport.resumeProducing()

    def loseConnection(self) -> None:
        """
        See L{StreamTransport.loseConnection}.
        """
        self.flush()
        self._transport.loseConnection()

    def loseWriteConnection(self) -> None:
        """
        See L{StreamTransport.loseWriteConnection}.
        """
        self.flush()
        self._transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """
        See L{StreamTransport.abortConnection}.
        """
        self._pieces.clear()
        self._size = 0
        self._transport.abortConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        See L{StreamTransport.setTcpNoDelay}.
        """
        self._transport.setTcpNoDelay(enabled)
