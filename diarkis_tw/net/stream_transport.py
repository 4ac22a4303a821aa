"""
What a stream protocol needs of Twisted's TCP transports, as one type: they
provide it by several zope interfaces at once, which types cannot say.
"""

from typing import Protocol


class FlowControlled(Protocol):
    """
    A streaming producer: told to pause while the transport's buffer is full.
    """

    def pauseProducing(self) -> None:
        """
        The buffer is full.
        """

    def resumeProducing(self) -> None:
        """
        The buffer is empty.
        """

    def stopProducing(self) -> None:
        """
        The transport is gone.
        """


class StreamTransport(Protocol):
    """
    C{ITCPTransport}, C{IConsumer} and C{IPushProducer} in one.
    """

    def write(self, data: bytes) -> None:
        """
        Send bytes.
        """

    def registerProducer(self, producer: FlowControlled, streaming: bool) -> None:
        """
        Tell C{producer} when the buffer is full and when it is empty.
        """

    def unregisterProducer(self) -> None:
        """
        Tell nobody.
        """

    def pauseProducing(self) -> None:
        """
        Read no more.
        """

    def resumeProducing(self) -> None:
        """
        Read on.
        """

    def loseConnection(self) -> None:
        """
        Close once everything is sent.
        """

    def loseWriteConnection(self) -> None:
        """
        Shut the sending side once everything is sent.
        """

    def abortConnection(self) -> None:
        """
        Close now.
        """

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Send small segments at once.
        """
