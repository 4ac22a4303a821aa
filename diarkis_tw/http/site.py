"""
The HTTP server: all its connections, and how many there may be.
"""

from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from diarkis_tw.http.channel import WAIT_MOST, BoundedChannel
from diarkis_tw.http.json_resource import BoundedRequest

CONNECTIONS_MOST: Final = 256
"""HTTP connections at once: logging in takes milliseconds, and a usual limit of
1024 sockets leaves the rest to players."""


class JsonSite(Site):
    """
    A site without a log line a request, and with a cap on its connections, so
    that they cannot use up the process's sockets.

    At the cap a new connection takes the place of the one that has waited
    longest: who opens connections and is silent, or slow, shuts nobody out.

    @ivar displaced: connections that made room for another.
    @ivar turned_away: connections that found no room, because all were busy.
    """

    requestFactory = BoundedRequest
    protocol = BoundedChannel  # type: ignore[assignment]  # Twisted names a private class
    displayTracebacks = False
    noisy = False

    def __init__(self, root: Resource, clock: IReactorTime) -> None:
        super().__init__(root, timeout=WAIT_MOST, reactor=clock)
        self._waiting: dict[BoundedChannel, None] = {}
        """Ordered by when they began to."""
        self._busy: set[BoundedChannel] = set()
        self._closed: Deferred[None] | None = None
        self.displaced = 0
        self.turned_away = 0

    def buildProtocol(  # type: ignore[override]  # Twisted names a private class
        self, addr: IAddress | None
    ) -> Protocol | None:
        if len(self._waiting) + len(self._busy) >= CONNECTIONS_MOST:
            if not self._waiting:
                self.turned_away += 1
                return None
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self.displaced += 1
            oldest.abort()
        return cast(Protocol, super().buildProtocol(addr))

    def waits(self, channel: BoundedChannel) -> None:
        """
        Count it among those that may be displaced, as the newest one.
        """
        self._busy.discard(channel)
        self._waiting[channel] = None

    def works(self, channel: BoundedChannel) -> None:
        """
        Count it among those that may not.
        """
        self._waiting.pop(channel, None)
        self._busy.add(channel)

    def gone(self, channel: BoundedChannel) -> None:
        """
        Count it no more.
        """
        self._waiting.pop(channel, None)
        self._busy.discard(channel)
        if self._closed is not None and not self._waiting and not self._busy:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def when_closed(self) -> Deferred[None]:
        """
        Close each connection, the busy ones after their answer.

        @return: fires once none is left; cancellable.
        """
        for channel in [*self._waiting]:
            channel.loseConnection()
        for channel in self._busy:
            channel.end_after_answer()
        if not self._waiting and not self._busy:
            return succeed(None)
        self._closed = Deferred(lambda cancelled: setattr(self, "_closed", None))
        return self._closed

    def abort_all(self) -> None:
        """
        Cut the connections that are left, which cancels their handlers.
        """
        for channel in [*self._waiting, *self._busy]:
            channel.abort()

    def acceptableProtocols(self) -> list[bytes]:
        """
        Offer HTTP/1.1 alone over TLS: L{BoundedChannel} bounds nothing else.
        """
        return [b"http/1.1"]

    def log(self, request: object) -> None:
        """
        Write nothing.
        """
