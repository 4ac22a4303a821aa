"""
A connection in memory: two transports and what is on its way between them.

Rules:

  - What is written waits in the transport's buffer, from which it moves to the
    link, which holds a bounded number of bytes as sockets do. A peer that does
    not read therefore fills the link first and the buffer then.
  - A producer is paused above L{HIGH_WATER} and resumed once the buffer is empty.
  - Nothing happens inside C{write}; all of it happens in L{LoopbackTransport.turn}.
"""

from collections.abc import Callable, Iterable
from typing import Final, ParamSpec, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

HIGH_WATER: Final = 2**16
"""Bytes in a transport's buffer above which its producer is paused, as in Twisted."""

LINK_CAPACITY: Final = 2**16
"""Bytes on their way in one direction of a link: the two sockets' buffers."""

CHUNK_SIZE: Final = 2**16
"""Bytes of one C{dataReceived}, as in Twisted."""

_P = ParamSpec("_P")


@implementer(ITCPTransport, IConsumer, IPushProducer)
class LoopbackTransport:
    """
    One end of a L{Link}, as its protocol sees it.

    @ivar protocol: whose transport this is.
    @ivar link: what it is an end of.
    @ivar stalled: a hook for tests: while true, this end does not read, as if
        its process hung; the peer's writes pile up.
    @ivar connected: false once the protocol has been told of the end.
    @ivar disconnecting: L{loseConnection} was called.
    @ivar no_delay: what C{setTcpNoDelay} was last called with.
    @ivar cut_in: a hook for tests: bytes that are still delivered to this end before
        the link is cut, in the middle of whatever they belong to; L{None} = all.
    """

    log = Logger()

    def __init__(self, link: "Link", host: IPv4Address, peer: IPv4Address) -> None:
        """
        @param link: what this is an end of.
        @param host: address of this end.
        @param peer: address of the other one.
        """
        self.link = link
        self.protocol: IProtocol = Protocol()
        self.stalled = False
        self.cut_in: int | None = None
        self.connected = True
        self.disconnecting = False
        self.no_delay = False
        self.keep_alive = False
        self._ended: Callable[[Failure], object] | None = None
        self._host = host
        self._peer = peer
        self._buffer = bytearray()
        self._incoming = bytearray()
        self._reading = True
        # Whether there is anything for _flush to do, as a selectable is in the
        # reactor's set of writers or not.
        self._writing = False
        self._half_closing = False
        self._half_closed = False
        self._read_to_end = False
        self._end: Failure | None = None
        self._producer: IProducer | None = None
        self._streaming = False
        self._producer_paused = False

    @property
    def other(self) -> "LoopbackTransport":
        """
        The other end.
        """
        return self.link.server if self is self.link.client else self.link.client

    @property
    def buffered(self) -> int:
        """
        Bytes written that are not even on the link yet.
        """
        return len(self._buffer)

    def attach(self, protocol: IProtocol, ended: Callable[[Failure], object] | None = None) -> None:
        """
        Give this end to its protocol.

        @param protocol: gets C{makeConnection}.
        @param ended: called after the protocol was told of the end.
        """
        self.protocol = protocol
        self._ended = ended
        self._guarded(protocol.makeConnection, self)

    # ITransport

    def write(self, data: bytes) -> None:
        """
        Buffer bytes for the peer.

        @param data: they are dropped once the connection is over.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError("Data must be bytes")
        if not self.connected or self._half_closed:
            return
        self._buffer += data
        self._writing = True
        if self._producer is not None and self._streaming and len(self._buffer) > HIGH_WATER:
            self._producer_paused = True
            cast(IPushProducer, self._producer).pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Buffer several chunks.

        @param data: the chunks.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Read no more and end once everything written is on its way.
        """
        if self._half_closed:
            self.end(ConnectionDone())
        self.disconnecting = True
        self._writing = True

    def loseWriteConnection(self) -> None:
        """
        Say that nothing more will be written, once everything is on its way, and go
        on reading. A peer that is no C{IHalfCloseableProtocol} closes in answer.
        """
        self._half_closing = True
        self._writing = True

    def abortConnection(self) -> None:
        """
        End without sending what is buffered; the peer loses what it has not read.
        """
        self._buffer.clear()
        self.end(ConnectionAborted())
        self.other.end(ConnectionLost())

    def end(self, reason: Exception) -> None:
        """
        Make the next turn tell the protocol that the connection is over.

        @param reason: the first one counts.
        """
        if self.connected and self._end is None:
            self._end = Failure(reason)

    def getHost(self) -> IPv4Address:
        """
        Look up the address of this end.
        """
        return self._host

    def getPeer(self) -> IPv4Address:
        """
        Look up the address of the other end.
        """
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """
        Look up what was set.
        """
        return self.no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Remember a setting without effect here.

        @param enabled: see L{no_delay}.
        """
        self.no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        Look up what was set.
        """
        return self.keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Remember a setting without effect here.

        @param enabled: anything true or false.
        """
        self.keep_alive = bool(enabled)

    # IConsumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let a producer be paused while more than L{HIGH_WATER} is buffered.

        @param producer: a push producer, or a pull producer if not C{streaming}.
        @param streaming: which of the two.
        """
        if self._producer is not None:
            raise RuntimeError("another producer is still registered")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            cast(IPullProducer, producer).resumeProducing()

    def unregisterProducer(self) -> None:
        """
        Forget the producer; as long as one is paused L{loseConnection} does not
        finish.
        """
        self._producer = None
        if self.disconnecting:
            self._writing = True

    # IPushProducer: reading from this end

    def pauseProducing(self) -> None:
        """
        Read no more until L{resumeProducing}.
        """
        self._reading = False

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        self._reading = True

    def stopProducing(self) -> None:
        """
        The same as L{loseConnection}.
        """
        self.loseConnection()

    # What the reactor does in a turn

    def turn(self) -> bool:
        """
        Move bytes onto the link and from the link to the protocol.

        @return: whether anything happened.
        """
        if not self.connected:
            return False
        if self._end is not None:
            return self._finish(self._end)
        moved = self._flush()
        return self._deliver() or moved

    def _flush(self) -> bool:
        if not self._writing:
            return False
        other = self.other
        count = min(LINK_CAPACITY - len(other._incoming), len(self._buffer))
        if count:
            if other.connected and other._end is None:
                other._incoming += self._buffer[:count]
            del self._buffer[:count]
            if not other.connected and (self.stalled or not self._reading):
                # Who reads learns of the end by reading, who does not by writing.
                self.end(ConnectionLost())
        if self._buffer:
            return count > 0
        self._writing = False
        if self._producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            cast(IPushProducer, self._producer).resumeProducing()
        elif self.disconnecting:
            self._finish(Failure(ConnectionDone()))
        elif self._half_closing and not self._half_closed:
            self._half_closed = True
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self._guarded(_half_closeable(self.protocol).writeConnectionLost)
        return True

    def _deliver(self) -> bool:
        moved = False
        count = len(self._incoming)
        while count > 0 and self._can_read() and self._incoming:
            size = min(count, self.link.chunk_size)
            if self.cut_in is not None:
                size = min(size, self.cut_in)
                self.cut_in -= size
            data = bytes(self._incoming[:size])
            del self._incoming[:size]
            count -= size
            moved = True
            if data:
                self._guarded(self.protocol.dataReceived, data)
            if self.cut_in == 0:
                self.cut_in = None
                self.link.cut()
        if self._can_read() and not self._incoming and self.other._half_closed:
            return self._reached_end() or moved
        return moved

    def _reached_end(self) -> bool:
        """
        The other end writes no more, and everything it wrote has been read.
        """
        if not IHalfCloseableProtocol.providedBy(self.protocol):
            return self._finish(Failure(ConnectionDone()))
        if self._read_to_end:
            return False
        self._read_to_end = True
        self._guarded(_half_closeable(self.protocol).readConnectionLost)
        return True

    def _can_read(self) -> bool:
        return (
            self.connected
            and self._end is None
            and self._reading
            and not self.stalled
            and not self.disconnecting
        )

    def _finish(self, reason: Failure) -> bool:
        self.connected = False
        self.disconnecting = False
        self._half_closed = True
        self._buffer.clear()
        self._incoming.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        try:
            self.protocol.connectionLost(reason)
        except Exception:
            self.log.failure("connectionLost failed")
        if self._ended is not None:
            self._ended(reason)
        return True

    def _guarded(self, function: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        # As Twisted does: an exception is logged and costs the connection.
        try:
            function(*args, **kwargs)
        except Exception as exc:
            self.log.failure("a protocol failed")
            self._buffer.clear()
            self.end(exc)
            self.other.end(ConnectionLost())


def _half_closeable(protocol: IProtocol) -> IHalfCloseableProtocol:
    return cast(IHalfCloseableProtocol, protocol)


class Link:
    """
    One connection, with hooks to disturb it.

    @ivar client: the end that connected.
    @ivar server: the end that listened.
    @ivar chunk_size: greatest number of bytes delivered at once.
    """

    def __init__(self, client: IPv4Address, server: IPv4Address, chunk_size: int) -> None:
        """
        @param client: address of that end.
        @param server: address of that end.
        @param chunk_size: in bytes, at least 1.
        """
        self.chunk_size = chunk_size
        self.client = LoopbackTransport(self, client, server)
        self.server = LoopbackTransport(self, server, client)

    @property
    def open(self) -> bool:
        """
        At least one end has not been told that the connection is over.
        """
        return self.client.connected or self.server.connected

    def cut(self) -> None:
        """
        Break the connection as a network does: both ends lose it with
        C{ConnectionLost} in the next turn, and what is on its way is gone.
        """
        self.client.end(ConnectionLost())
        self.server.end(ConnectionLost())

    def stall(self) -> None:
        """
        Make both ends stop reading, as if the network swallowed everything while
        the connection seems alive.
        """
        self.client.stalled = self.server.stalled = True
