"""
What the tests of the WebSocket server share.
"""

from typing import cast

from diarkis_tw.config.settings import NodeSettings, Settings, WsSettings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import User
from diarkis_tw.transports.stream_connection import Phase
from diarkis_tw.transports.ws import WsServer
from diarkis_tw.wire.websocket import BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL
from tests.raw_client import Accept, RawWsClient
from tests.transports.case import ServerCase
from tests.transports.ws_client import BINARY, PING, WsClient, frame, upgrade

ASK = b'{"ver":2,"cmd":10,"payload":{"base64":"YWJj"},"id":7}'
ANSWER = {"ver": 2, "cmd": 10, "status": 1, "payload": {"base64": "YWJj"}, "id": 7}
"""A command with bytes as JSON, and its answer."""


class BinaryClient:
    """
    A client of the binary subprotocol.

    @ivar raw: its keys and what it received.
    """

    def __init__(self, ws: WsClient, raw: RawWsClient) -> None:
        self.ws = ws
        self.raw = raw

    def turn(self) -> None:
        """
        Let everything come to rest.
        """
        self.ws.turn()
        for opcode, payload in self.ws.frames:
            if opcode == BINARY:
                self.raw.feed(payload)
        self.ws.frames = [kept for kept in self.ws.frames if kept[0] != BINARY]

    def send(self, *records: bytes) -> None:
        """
        Send records, each as a message, and let everything come to rest.
        """
        self.ws.send(*(frame(BINARY, record) for record in records))
        self.turn()

    def request(self, cmd: int, payload: bytes = b"", request_id: int = 1) -> None:
        """
        Send a command of version 2.
        """
        self.send(self.raw.request(2, cmd, payload, request_id))


class WsCase(ServerCase):
    """
    A WebSocket server.
    """

    kind = "WS"

    def serve(self, ws: WsSettings | None = None, *, grace: int = 10, rate: int = 0) -> None:
        """
        Start a server.

        @param rate: maxCommandRate.
        """
        node = NodeSettings(reconnect_grace=grace, max_command_rate=rate)
        self.start_server(Settings(ws=ws or WsSettings(), node=node))
        self.factory = cast(WsServer, self.reactor.tcpServers[0][1])
        self.factory.doStart()

    def client(self, host: str = "127.0.0.1") -> WsClient:
        """
        Connect; nothing is said yet.
        """
        self._clients += 1
        return WsClient(self.factory, host, 40_000 + self._clients)

    def upgraded(
        self, protocols: str | None = JSON_SUBPROTOCOL, host: str = "127.0.0.1"
    ) -> WsClient:
        """
        Connect and upgrade.
        """
        client = self.client(host)
        client.send(upgrade(protocols))
        assert client.head.startswith(b"HTTP/1.1 101 "), client.head
        return client

    def greeted(self, host: str = "127.0.0.1") -> tuple[WsClient, bytes]:
        """
        Upgrade to JSON and read hello.

        @return: the client, and the server's nonce.
        """
        client = self.upgraded(host=host)
        (hello,) = client.texts()
        return client, bytes.fromhex(hello["hello"]["nonce"])  # type: ignore[index]

    def opened(self, user: User | None = None) -> WsClient:
        """
        Come in over JSON.
        """
        client, nonce = self.greeted()
        client.text(client.auth((user or self.user()).keys, nonce))
        (ready,) = client.texts()
        assert list(ready) == ["ready"], ready  # type: ignore[call-overload]
        return client

    def binary(self, user: User | None = None, **how: bool) -> BinaryClient:
        """
        Upgrade to the binary subprotocol and shake hands; not confirmed yet.
        """
        ws = self.upgraded(BINARY_SUBPROTOCOL)
        raw = RawWsClient((user or self.user()).keys, seed=self._clients, **how)
        client = BinaryClient(ws, raw)
        client.send(raw.hello())
        (accept,) = raw.received
        assert isinstance(accept, Accept)
        raw.received.clear()
        return client

    def assertClosing(self, client: WsClient, status: int, reason: str | None = None) -> None:
        """
        The client got a close frame with that status, nothing after it, and the server
        throws away what comes until the client closes.
        """
        client.turn()
        found = client.closed_with()
        assert found is not None, client.frames
        self.assertEqual(found[0], status)
        if reason is not None:
            self.assertEqual(found[1], reason)
        self.assertEnding(client)

    def assertTold(self, client: WsClient, code: CloseCode) -> None:
        """
        The same with a close code of this protocol.
        """
        self.assertClosing(client, 4000 + code, code.name)

    def assertEnding(self, client: WsClient) -> None:
        """
        The server says no more, throws away what comes, and sees the client close.
        """
        self.assertIs(client.connection.phase, Phase.CLOSED)
        self.assertTrue(client.socket.shut)
        count = len(client.frames)
        client.send(frame(PING, b"still there?"), bytes(1000))
        self.assertEqual(len(client.frames), count)
        client.socket.peer_closes()
        client.turn()
        self.assertTrue(client.socket.ended)
        self.assertFalse(client.socket.aborted)
