"""
The client's end of a TCP connection.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.records import SealedRecords
from diarkis_tw.client.stream import RECEIVE_MAX_BYTES, Congestion, StreamTransport
from diarkis_tw.client.tls import ClientTls
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.net.stream_transport import StreamTransport as Wire
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.handshake import ACCEPT_BODY_SIZE, Terms
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.record import RecordReader, record_header


class TcpTransport(StreamTransport):
    """
    A L{diarkis_tw.client.transport.Transport} over TCP records.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        random: Callable[[int], bytes],
        *,
        forward_secrecy: bool = True,
        tls: ClientTls | None = None,
        number_limit: int = STREAM_NUMBER_LIMIT,
    ) -> None:
        """
        @param reactor: see L{StreamTransport}.
        @param clock: see L{StreamTransport}.
        @param random: see L{SealedRecords}.
        @param forward_secrecy: see L{SealedRecords}.
        @param tls: see L{StreamTransport}.
        @param number_limit: see L{SealedRecords}.
        """
        self._records = SealedRecords(
            TransportId.TCP,
            record_header,
            random,
            forward_secrecy=forward_secrecy,
            number_limit=number_limit,
        )
        super().__init__(reactor, clock, self._records, tls)
        self._reader = RecordReader(ACCEPT_BODY_SIZE)

    def _make_factory(self, endpoint: Endpoint) -> ClientFactory:
        return _Factory(self)

    def bytes_received(self, data: bytes) -> None:
        """
        Read what came.

        @param data: any bytes at all.
        """
        if self.is_closed():
            return
        try:
            self._reader.feed(data)
            while (record := self._reader.next()) is not None:
                heard = self._records.receive(*record)
                if isinstance(heard, Terms):
                    self._reader.limit = RECEIVE_MAX_BYTES
                self.heard(heard)
                if self.is_closed():
                    return
        except RemoteProtocolError as error:
            self.leave(error.code, str(error))


class _Protocol(Protocol):
    """
    A L{diarkis_tw.client.stream.Socket}.
    """

    def __init__(self, transport: TcpTransport) -> None:
        self._owner = transport

    def connectionMade(self) -> None:
        self._wire = cast(Wire, self.transport)
        self._wire.setTcpNoDelay(True)
        self._wire.registerProducer(Congestion(self._owner), True)
        self._owner.connected(self)
        self._owner.greet()

    def dataReceived(self, data: bytes) -> None:
        self._owner.bytes_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.socket_lost(reason)

    def say(self, words: bytes) -> None:
        self._wire.write(words)

    def finish(self, code: CloseCode, reason: str) -> None:
        # A registered producer would keep loseConnection from finishing.
        self._wire.unregisterProducer()
        self._wire.loseConnection()

    def abort(self) -> None:
        self._wire.abortConnection()


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, transport: TcpTransport) -> None:
        self._owner = transport

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Protocol(self._owner)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._owner.connecting_failed(reason)
