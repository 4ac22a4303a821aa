"""
The seam between the client and its transports. What a message looks like on the
wire is the transport's affair.

Rules:

  - A transport object is one connection; a reconnect makes a new one.
  - L{Transport.connect} is called once, first. Of the events, C{connected} comes at
    most once, then any number of C{message_received} and C{reconnected}, then
    C{closed} exactly once.
  - After L{Transport.close} no event comes, C{closed} neither.
  - An event may call any method of the transport, L{Transport.close} included.
"""

from typing import Protocol

from twisted.internet.defer import Deferred

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.constants import CloseCode
from diarkis_tw.units import Seconds
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.message import Push, Request, Response


class TransportEvents(Protocol):
    """
    What a transport tells the client.
    """

    def connected(self, terms: Terms) -> None:
        """
        The server accepted; messages may be sent.

        @param terms: what it granted.
        """

    def message_received(self, message: Response | Push) -> None:
        """
        A message came, authentic and complete.

        @param message: what it says.
        """

    def reconnected(self, terms: Terms, discarded: int) -> None:
        """
        The server had forgotten the connection, and took the client as if it were
        new; messages may be sent.

        @param terms: what it granted this time.
        @param discarded: bytes of messages that were not sent, or are not known to
            have arrived, and are not sent again.
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

    @property
    def is_text(self) -> bool:
        """
        Whether messages are JSON texts. Built-in commands then carry values where
        they have packed bytes otherwise.
        """

    def connect(self, endpoint: Endpoint, events: TransportEvents) -> None:
        """
        Begin to connect.

        @param endpoint: where to, and the session's keys.
        @param events: what to call.
        """

    def send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        """
        Send one message.

        @param request: what to say.
        @param reliable: whether it has to arrive; streams deliver everything,
            but drop an unreliable one rather than buffer it for a slow network.
        @param channel: 0..7; reliable messages arrive in order within each. Streams
            have one order for all.
        @return: false if it was refused because too much waits to be sent, or
            there is no connection.

        @raise LocalProtocolError: a number is out of range, the value cannot be
            written, the message is too large for any server, or an unreliable one
            for a packet.
        """

    def timeout(self) -> Seconds | None:
        """
        Look up after how long an unreliable message that is not answered may be
        taken for lost.

        @return: in seconds; L{None} if nothing is lost but the connection.
        """

    def drained(self) -> Deferred[None]:
        """
        Wait until the server has everything that has to arrive; streams need not
        wait, because what is sent last arrives last.

        @return: fires then, never if the connection is lost before.
        """

    def close(self, code: CloseCode) -> Deferred[None]:
        """
        Tell the server why, and end. Harmless if it is over already.

        @param code: why.
        @return: fires once nothing is left of it, sockets and timers included.
        """
