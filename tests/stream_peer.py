"""
The other end of a connection, without any idea of its own.
"""

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure


class Peer(Protocol):
    """
    A client without any idea of its own.

    @ivar data: what came.
    @ivar lost: why the connection ended.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class PeerFactory(ClientFactory):
    """
    Makes one peer.
    """

    noisy = False

    def __init__(self) -> None:
        self.peer = Peer()

    def buildProtocol(self, addr: object) -> Protocol:
        return self.peer

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.peer.lost = reason
