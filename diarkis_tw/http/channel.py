"""
One HTTP connection, bounded in time and work.

Rules:

  - It I{waits} from its opening, or the last answer, until a request has come in
    whole. That lasts L{WAIT_MOST}, however slowly it trickles.
  - It is I{busy} until that request is answered. How long is up to whoever
    answers; all of them have a time limit.
  - It does not outlive its end: what a client has not read L{LINGER} later is lost.
  - In one turn of the reactor it gets L{READ_SIZE} bytes and L{REQUESTS_A_READ}
    requests at most, and ends after so many. A larger read may hold thousands, or
    tens of thousands of chunks, and would hold up everybody.
"""

from typing import Final, Protocol, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from diarkis_tw.units import Seconds

WAIT_MOST: Final[Seconds] = 30
"""Longer than health checks are usually apart, so they can keep their connection."""

LINGER: Final[Seconds] = 15

READ_SIZE: Final = 8 * 1024
"""Twisted's own is eight times that. Logging in takes a few hundred bytes."""

REQUESTS_A_READ: Final = 16
"""Few clients send a request before the last one is answered."""


class Connections(Protocol):
    """
    Who keeps count of connections.
    """

    def waits(self, channel: "BoundedChannel") -> None:
        """
        The connection waits from now on.
        """

    def works(self, channel: "BoundedChannel") -> None:
        """
        The connection is busy from now on.
        """

    def gone(self, channel: "BoundedChannel") -> None:
        """
        The connection is closed.
        """


class BoundedChannel(HTTPChannel):
    """
    The protocol of one connection.

    @ivar site: set by the site that makes it.
    """

    maxHeaders = 100
    site: Connections

    def __init__(self) -> None:
        super().__init__()
        self._cut: IDelayedCall | None = None
        self._receiving = False
        self._in_this_read = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        # of the socket, which with TLS lies one below
        stream = getattr(self.transport, "transport", self.transport)
        cast(FileDescriptor, stream).bufferSize = READ_SIZE
        self.site.waits(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.gone(self)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._receiving:  # it comes back from answering
            super().dataReceived(data)
            return
        self._receiving = True
        self._in_this_read = 0
        try:
            super().dataReceived(data)
        finally:
            self._receiving = False

    def resetTimeout(self) -> None:
        """
        Do nothing: a byte now and then must not keep the connection alive.
        """

    def timeoutConnection(self) -> None:
        """
        Close without the log line that each would get otherwise.
        """
        self.loseConnection()

    def allContentReceived(self) -> None:
        self._in_this_read += 1
        if self._in_this_read >= REQUESTS_A_READ:
            self.end_after_answer()
        self.site.works(self)
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        # before: the next request may be here already, and answered in there
        self.site.waits(self)
        super().requestDone(request)

    def end_after_answer(self) -> None:
        """
        Being busy, close once that is answered.
        """
        self.persistent = 0
        request = cast(Request, self.requests[-1])
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])

    def loseConnection(self) -> None:
        if self._cut is None:
            self._cut = self.callLater(LINGER, self.abort)
        super().loseConnection()

    def abort(self) -> None:
        """
        Close without waiting for what is unsent.
        """
        # A real transport says so in the reactor's next turn only. If the process ends before,
        # whoever makes an answer would not be told.
        for request in self.requests:
            request.connectionLost(Failure(ConnectionAborted()))
        cast(ITCPTransport, self.transport).abortConnection()
