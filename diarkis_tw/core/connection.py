"""
The seam between users and transports.

Rules:

  - A transport hands each command to C{user.inbox.receive}. When that returns
    False it reads no further until L{Connection.resume_reading} is called.
  - It sets L{Connection.heard} whenever something authenticated arrives; the
    sweep of L{diarkis_tw.core.users} clears it and keeps C{last_heard}.
  - When a connection ends, for whatever reason, it calls C{users.lost} once.
  - L{Connection.close} never calls back into the application by itself.
"""

from typing import Protocol

from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.units import Seconds


class Connection(Protocol):
    """
    The live transport of one user.

    @ivar heard: something authenticated arrived since this was last cleared.
    @ivar last_heard: when the sweep last saw C{heard}.
    @ivar ttl: silence after which the connection is dropped.
    """

    heard: bool
    last_heard: Seconds
    ttl: Seconds

    @property
    def full_since(self) -> Seconds | None:
        """
        When the client's slowness first made C{send} refuse; L{None} once it
        has read on.
        """

    @property
    def type(self) -> ServerType:
        """
        The kind of transport.
        """

    @property
    def address(self) -> str:
        """
        The client's C{ip:port} as this server sees it.
        """

    @property
    def queued(self) -> int:
        """
        Bytes accepted and not yet given to the network.
        """

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        """
        Send one message.

        @param reliable: without meaning on streams but for back-pressure: an
            unreliable message is dropped, a reliable one refused.
        @return: False if it was dropped or refused; never an exception for
            what the peer or the network does.
        """

    def close(self, code: CloseCode) -> None:
        """
        Tell the peer why and end the connection. Harmless on a closed one.
        """

    def resume_reading(self) -> None:
        """
        The user can take commands again.
        """
