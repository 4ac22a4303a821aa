"""
One end of a TCP connection as Twisted shows it, without a socket.

Rules, which are those of C{twisted.internet.abstract.FileDescriptor}:

  - What is written waits; a producer is paused above L{HIGH_WATER} bytes and
    resumed once nothing waits.
  - Nothing is called back inside C{write}; all of it happens in L{FakeSocket.turn}.
  - While reading is paused neither bytes nor the peer's end are noticed.
"""

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from diarkis_tw.net.stream_transport import FlowControlled

HIGH_WATER = 2**16
CHUNK = 2**16


class FakeSocket:
    """
    A L{diarkis_tw.net.stream_transport.StreamTransport}, and what the peer does.

    @ivar room: how many bytes the peer's side still takes; L{None} = all.
    @ivar taken: what the peer has got and not yet looked at.
    @ivar reading: not paused.
    @ivar shut: the write side is shut, and everything before was sent.
    @ivar ended: the protocol was told that the connection is over.
    """

    def __init__(self) -> None:
        self.protocol: IProtocol | None = None
        self.room: int | None = None
        self.taken = bytearray()
        self.reading = True
        self.no_delay = False
        self.shut = False
        self.ended = False
        self.aborted = False
        self._buffer = bytearray()
        self._arriving = bytearray()
        self._producer: FlowControlled | None = None
        self._producer_paused = False
        self._shutting = False
        self._losing = False
        self._peer_closed = False
        self._end: Exception | None = None

    # What the protocol calls

    def write(self, data: bytes) -> None:
        if self.ended or self.shut:
            return
        self._buffer += data
        if self._producer is not None and len(self._buffer) > HIGH_WATER:
            self._producer_paused = True
            self._producer.pauseProducing()

    def registerProducer(self, producer: FlowControlled, streaming: bool) -> None:
        assert streaming
        assert self._producer is None
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseConnection(self) -> None:
        self._losing = True

    def loseWriteConnection(self) -> None:
        self._shutting = True

    def abortConnection(self) -> None:
        self.aborted = True
        self._end = self._end or ConnectionAborted()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    # What the peer does

    def arrive(self, data: bytes) -> None:
        """
        The peer sends.
        """
        self._arriving += data

    def peer_closes(self) -> None:
        """
        The peer closes after what it has sent.
        """
        self._peer_closed = True

    def cut(self) -> None:
        """
        The network breaks.
        """
        self._end = self._end or ConnectionLost()

    def turn(self) -> bool:
        """
        Do what the reactor does in one turn.

        @return: whether anything happened.
        """
        if self.ended or self.protocol is None:
            return False
        if self._end is not None:
            return self._finish(self._end)
        moved = self._flush()
        if self.ended:
            return True
        if self.reading and self._arriving:
            data = bytes(self._arriving[:CHUNK])
            del self._arriving[:CHUNK]
            self.protocol.dataReceived(data)
            return True
        if self.reading and self._peer_closed:
            return self._finish(ConnectionDone())
        return moved

    def _flush(self) -> bool:
        size = len(self._buffer) if self.room is None else min(self.room, len(self._buffer))
        self.taken += self._buffer[:size]
        del self._buffer[:size]
        if self.room is not None:
            self.room -= size
        if self._buffer:
            return size > 0
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
            return True
        if self._producer is None and self._losing:
            return self._finish(ConnectionDone())
        if self._producer is None and self._shutting and not self.shut:
            self.shut = True
            return True
        return size > 0

    def _finish(self, reason: Exception) -> bool:
        self.ended = True
        assert self.protocol is not None
        self.protocol.connectionLost(Failure(reason))
        return True
