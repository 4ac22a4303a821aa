"""
The client's end of a WebSocket (RFC 6455), by Autobahn.

Rules:

  - Autobahn's own timers stay off, because they run on the process's reactor: the
    time-outs are those of L{diarkis_tw.client.stream}.
  - The client asks for one subprotocol and speaks no other, and for no extension.
  - Close status 4000 + n means close code n, in both directions; the client says
    1000 for NORMAL. A server that breaks the rules of WebSocket is dropped, and
    reported with PROTOCOL or TOO_LARGE; an end without a status of ours is a loss.
  - What a server can make the client hold is bounded: the answer to the upgrade,
    one message, and no pongs that the network does not take.
"""

import random
from typing import Final, Protocol, cast

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.abstract import isIPv6Address
from twisted.internet.interfaces import IAddress, IConnector, IReactorTCP, IReactorTime
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.python.failure import Failure

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.stream import (
    WS_MESSAGE_MAX_BYTES,
    Congestion,
    Dialect,
    Heard,
    StreamTransport,
)
from diarkis_tw.client.tls import ClientTls
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.net.stream_transport import StreamTransport as Wire
from diarkis_tw.wire.websocket import STATUS_NORMAL, close_status, status_close_code

UPGRADE_MAX_BYTES: Final = 16 * 1024
"""Longest answer to the upgrade; a real one has some 200 bytes."""


class WsDialect(Dialect, Protocol):
    """
    How one WebSocket connection speaks.
    """

    @property
    def subprotocol(self) -> str:
        """
        Its name.
        """

    def receive_message(self, message: bytes) -> Heard:
        """
        Read a message, of the kind that C{is_text} says.

        @param message: as received.
        @return: what it means.

        @raise RemoteProtocolError: it is not the server's, or may not come now.
        """


class WsTransport(StreamTransport):
    """
    A L{diarkis_tw.client.transport.Transport} over WebSocket.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        dialect: WsDialect,
        *,
        tls: ClientTls | None = None,
    ) -> None:
        """
        @param reactor: see L{StreamTransport}.
        @param clock: see L{StreamTransport}.
        @param dialect: L{diarkis_tw.client.ws_json.JsonDialect} or
            L{diarkis_tw.client.ws_binary.BinaryDialect}.
        @param tls: see L{StreamTransport}.
        """
        super().__init__(reactor, clock, dialect, tls)
        self.dialect = dialect

    def _make_factory(self, endpoint: Endpoint) -> ClientFactory:
        return _Factory(self, endpoint, self._reactor)

    def message_received(self, message: bytes, is_binary: bool) -> None:
        """
        Read what came.

        @param message: any bytes at all.
        @param is_binary: they are no text.
        """
        if self.is_closed():
            return
        try:
            if is_binary is self.is_text:
                raise RemoteProtocolError("a message of the other subprotocol's kind")
            self.heard(self.dialect.receive_message(message))
        except RemoteProtocolError as error:
            self.leave(error.code, str(error))


class _Protocol(WebSocketClientProtocol):
    """
    A L{diarkis_tw.client.stream.Socket}.
    """

    def __init__(self, transport: WsTransport, endpoint: Endpoint) -> None:
        super().__init__()
        self._owner = transport
        self._endpoint = endpoint
        self._congestion = Congestion(transport)
        self._fault: str | None = None

    # Socket

    def say(self, words: bytes) -> None:
        # Dropped by Autobahn a moment ago, it has not told us yet.
        if self.state == self.STATE_OPEN:
            self.sendMessage(words, isBinary=not self._owner.is_text)

    def finish(self, code: CloseCode, reason: str) -> None:
        # A registered producer would keep loseConnection from finishing.
        self.unregisterProducer()
        if self.state == self.STATE_OPEN:
            status = STATUS_NORMAL if code is CloseCode.NORMAL else close_status(code)
            # The server answers with the same and closes the socket.
            self.sendClose(status, reason)
        elif self.state == self.STATE_CONNECTING:
            self._wire.loseConnection()

    def abort(self) -> None:
        self._wire.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._fault = self._owner.tls_fault(reason)
        super().connectionLost(reason)

    # What Autobahn tells

    def connectionMade(self) -> None:
        self._wire = cast(Wire, self.transport)
        # Autobahn 26.10 means to, but looks its option up before it has it.
        self._wire.setTcpNoDelay(True)
        self._owner.connected(self)
        super().connectionMade()

    def onConnecting(self, transport_details: object) -> ConnectingRequest:
        host = self._endpoint.host
        return ConnectingRequest(
            host=f"[{host}]" if isIPv6Address(host) else host,
            port=self._endpoint.port,
            resource="/",
            protocols=[self._owner.dialect.subprotocol],
        )

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except UnicodeDecodeError:
            # Of an answer to the upgrade that is none; of messages it takes care.
            if self.state != self.STATE_CONNECTING:
                raise
            self.failHandshake("the server does not speak HTTP")
        if self.state == self.STATE_CONNECTING and len(self.data) > UPGRADE_MAX_BYTES:
            self.failHandshake("the server's answer to the upgrade does not end")

    def onOpen(self) -> None:
        wanted = self._owner.dialect.subprotocol
        if self.websocket_protocol_in_use != wanted:
            self._owner.leave(CloseCode.PROTOCOL, f"the server does not speak {wanted}")
            return
        self.registerProducer(self._congestion, True)
        self._owner.greet()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._owner.message_received(payload, isBinary)

    def onPing(self, payload: bytes) -> None:
        if not self._owner.is_congested():
            super().onPing(payload)

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:
        over = super().onCloseFrame(code, reasonRaw)
        if not over:
            # Not first when the socket closes: the server may take its time.
            self._owner.ended(_close_code(code), self.remoteCloseReason or "")
        return over

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._fault is not None:
            self._owner.lost(CloseCode.PROTOCOL, self._fault)
        elif self.wasMaxMessagePayloadSizeExceeded:
            self._owner.lost(CloseCode.TOO_LARGE, "a message of the server is too large")
        elif self.failedByMe:
            self._owner.lost(CloseCode.PROTOCOL, self.wasNotCleanReason)
        else:
            self._owner.lost(None, self.wasNotCleanReason or "the server closed the connection")


def _close_code(status: int | None) -> CloseCode | None:
    # Who did not mean us, a proxy for instance, says 1000 too; the server has said
    # before why it closes.
    return None if status == STATUS_NORMAL else status_close_code(status)


class _Factory(WebSocketClientFactory):
    noisy = False

    def __init__(self, transport: WsTransport, endpoint: Endpoint, reactor: IReactorTCP) -> None:
        # Autobahn 26.10 seeds the process's generator anew, which is not its own.
        state = random.getstate()
        super().__init__(reactor=reactor)
        random.setstate(state)
        self.setProtocolOptions(
            maxMessagePayloadSize=WS_MESSAGE_MAX_BYTES,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=0,
        )
        self.protocols = [transport.dialect.subprotocol]
        self._owner = transport
        self._endpoint = endpoint

    def buildProtocol(self, addr: IAddress | None) -> _Protocol:
        protocol = _Protocol(self._owner, self._endpoint)
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._owner.connecting_failed(reason)
