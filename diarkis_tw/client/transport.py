"""
The seam between the client and its transports.

Rules:

  - A transport object is one connection; a reconnect makes a new one.
  - L{Transport.connect} is called once, first. Of the events, C{connected} comes at
    most once, then any number of C{message_received}, then C{closed} exactly once.
  - After L{Transport.close} no event comes, C{closed} neither.
  - An event may call any method of the transport, L{Transport.close} included.
"""

from typing import Protocol

from twisted.internet.defer import Deferred

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.handshake import Terms


class TransportEvents(Protocol):
    """
    What a transport tells the client.
    """

    def connected(self, terms: Terms) -> None:
        """
        The server accepted; messages may be sent.

        @param terms: what it granted.
        """

    def message_received(self, message: bytes) -> None:
        """
        A message came, authentic and complete.

        @param message: see L{diarkis_tw.wire.message}.
        """

    def closed(self, code: CloseCode | None, reason: str) -> None:
        """
        The connection is over, or never came to be.

        @param code: what the server said, or would have to be told; L{None} if it
            was lost without a word.
        @param reason: for people.
        """


class Transport(Protocol):
    """
    One connection to a server.
    """

    def connect(self, endpoint: Endpoint, events: TransportEvents) -> None:
        """
        Begin to connect.

        @param endpoint: where to, and the session's keys.
        @param events: what to call.
        """

    def send(self, message: bytes, reliable: bool) -> bool:
        """
        Send one message.

        @param message: see L{diarkis_tw.wire.message}.
        @param reliable: whether it has to arrive; streams deliver everything,
            but drop an unreliable one rather than buffer it for a slow network.
        @return: false if it was refused because too much waits to be sent, or
            there is no connection.

        @raise LocalProtocolError: the message is too large for any server.
        """

    def close(self, code: CloseCode) -> Deferred[None]:
        """
        Tell the server why, and end. Harmless if it is over already.

        @param code: why.
        @return: fires once nothing is left of it, sockets and timers included.
        """
