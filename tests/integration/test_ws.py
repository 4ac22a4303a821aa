"""
WebSocket clients with sockets and frames of their own against a server process.
"""

import json
import signal
import socket
import ssl
from collections.abc import Mapping

from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.json_message import JsonAuth, encode_json_auth, json_proof
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.message import Response
from diarkis_tw.wire.websocket import BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL
from tests.integration.process import PATIENCE, ROOT, ProcessCase
from tests.raw_client import Accept, RawWsClient
from tests.transports.ws_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    parse_frames,
    upgrade,
)

APPLICATION = """
from diarkis_tw.demo import setup as demo

def setup(server):
    demo(server)
    server.handle_ws_command(2, 20, shout)

def shout(ver, cmd, payload, user):
    for n in range(payload["count"]):
        user.server_push(2, 21, {"n": n, "x": "x" * 8000})
"""


class WsPlayer:
    """
    A client with a blocking socket.
    """

    def __init__(
        self,
        endpoint: Mapping[str, object],
        protocol: str = JSON_SUBPROTOCOL,
        *,
        ca: str | None = None,
        **headers: str,
    ) -> None:
        """
        @param endpoint: the endpoint API's answer.
        @param ca: whom to trust if the server has TLS.
        """
        names = ("sid", "encryptionKey", "encryptionIV", "encryptionMacKey")
        self.keys = SessionKeys.from_hex(*(str(endpoint[name]) for name in names))
        address = (str(endpoint["serverHost"]), int(str(endpoint["serverPort"])))
        self.socket = socket.create_connection(address, PATIENCE)
        if endpoint["tls"]:
            trusting = ssl.create_default_context(cafile=ca)
            self.socket = trusting.wrap_socket(self.socket, server_hostname=address[0])
        self.send(upgrade(protocol, **headers))
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(65536)
        head, _, self._rest = data.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])
        self._frames: list[tuple[int, bytes]] = []

    def send(self, *data: bytes) -> None:
        """
        Send bytes.
        """
        self.socket.sendall(b"".join(data))

    def next(self, opcode: int = TEXT) -> bytes:
        """
        The payload of the next frame, which must have that opcode.
        """
        found, payload = self.next_frame()
        assert found == opcode, (found, payload)
        return payload

    def next_frame(self) -> tuple[int, bytes]:
        """
        Opcode and payload of the next frame.
        """
        while not self._frames:
            self._frames, self._rest = parse_frames(self._rest)
            if not self._frames:
                data = self.socket.recv(65536)
                assert data, "the server has closed"
                self._rest += data
        first, payload = self._frames.pop(0)
        assert first & 0xF0 == 0x80, "the server sends whole messages"
        return first & 0x0F, payload

    def enter(self) -> None:
        """
        Prove to be the user.
        """
        nonce = bytes.fromhex(json.loads(self.next())["hello"]["nonce"])
        proof = json_proof(self.keys.hello_key(), nonce, bytes(16))
        self.send(frame(TEXT, encode_json_auth(JsonAuth(self.keys.sid, bytes(16), proof))))
        assert "ready" in json.loads(self.next())

    def ask(self, cmd: int, payload: object) -> object:
        """
        Send a command of version 2 and take its answer's payload.
        """
        self.send(frame(TEXT, json.dumps({"ver": 2, "cmd": cmd, "payload": payload}).encode()))
        return json.loads(self.next())["payload"]

    def close_status(self) -> int:
        """
        The status of the close frame, which comes next; behind it the server has closed.
        """
        payload = self.next(CLOSE)
        assert self.socket.recv(65536) == b""
        return int.from_bytes(payload[:2])


class WsTests(ProcessCase):
    """
    A whole server.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write("mine.py", APPLICATION)
        self.environ["DIARKIS_SHUTDOWN_TIMEOUT"] = "1"
        self.process = self.foreground("--config", ROOT / "configs/ws.json", "--app", "mine")
        self.url = self.serving(self.process)

    def ws_player(
        self, uid: str, protocol: str = JSON_SUBPROTOCOL, *, enter: bool = True, **headers: str
    ) -> WsPlayer:
        """
        Have a player log in and connect.
        """
        endpoint = self.ask(f"{self.url}/endpoint/type/WS/user/{uid}")
        player = WsPlayer(endpoint, protocol, **headers)
        self.addCleanup(player.socket.close)
        if enter:
            player.enter()
        return player

    def test_json(self) -> None:
        """
        Values and bytes are echoed and pushed, pings answered, fragments put together;
        the end of the server is told.
        """
        player = self.ws_player("alice")
        for payload in ({"name": "Zoë", "more": [1, {"a": None}]}, {"base64": "aGVsbG8="}, {}):
            self.assertEqual(player.ask(10, payload), payload)
            self.assertEqual(player.ask(11, payload), payload)
        player.send(frame(PING, b"?"))
        self.assertEqual(player.next(PONG), b"?")
        text = b'{"ver":2,"cmd":10,"payload":{"n":1},"id":5}'
        player.send(frame(TEXT, text[:7], fin=False), frame(PING, b"!"))
        self.assertEqual(player.next(PONG), b"!")
        player.send(*(frame(CONTINUATION, text[n : n + 1], fin=False) for n in range(7, 20)))
        player.send(frame(CONTINUATION, text[20:]))
        self.assertEqual(json.loads(player.next())["id"], 5)
        self.process.signal(signal.SIGINT)
        state = {"ver": 0, "cmd": 6, "push": True, "payload": {"state": 2}}
        self.assertEqual(json.loads(player.next()), state)
        self.assertEqual(player.close_status(), 4000 + CloseCode.SERVER_OFFLINE)
        player.socket.close()
        self.assertEqual(self.process.wait(), 0)

    def test_binary(self) -> None:
        """
        The records of TCP, in binary messages.
        """
        player = self.ws_player("bob", BINARY_SUBPROTOCOL, enter=False)
        raw = RawWsClient(player.keys)
        player.send(frame(BINARY, raw.hello()))
        raw.feed(player.next(BINARY))
        self.assertIsInstance(raw.received.pop(), Accept)
        for payload in (b"", b"hello", bytes(8000)):
            player.send(frame(BINARY, raw.request(2, 10, payload)))
            raw.feed(player.next(BINARY))
            found = raw.received.pop()
            assert isinstance(found, Response)
            self.assertEqual(found.payload, payload)
        player.send(frame(BINARY, raw.close()))
        self.assertEqual(player.close_status(), 1000)

    def test_hostile(self) -> None:
        """
        Whatever a client does wrong, it alone is told, and nothing is logged.
        """
        bystander = self.ws_player("bystander")
        before = self.process.output()
        text = b'{"ver":2,"cmd":10}'
        for n, (status, stream) in enumerate(
            (
                (1002, frame(TEXT, text, mask=None)),
                (1002, frame(TEXT, text, rsv=1)),
                (1002, frame(5, text)),
                (1002, frame(PING, b"x", fin=False)),
                (1002, frame(CLOSE, b"x")),
                (1002, frame(CONTINUATION, text)),
                (1007, frame(TEXT, b"\xff")),
                (4003, frame(BINARY, text)),
                (4003, frame(TEXT, b"[" * 8000)),
                (4004, frame(TEXT, b"x" * 100_000)),
                (4011, frame(PING) * 5000),
                (1000, frame(CLOSE, b"\x03\xe8") + frame(TEXT, text) * 5000),
            )
        ):
            player = self.ws_player(f"u{n}")
            player.send(stream)
            while (found := player.next_frame())[0] == PONG:
                pass
            self.assertEqual((found[0], int.from_bytes(found[1][:2])), (CLOSE, status), n)
            self.assertEqual(bystander.ask(10, {"n": n}), {"n": n})
        for n, protocol in enumerate(("mqtt", JSON_SUBPROTOCOL.upper())):
            self.assertEqual(self.ws_player(f"v{n}", protocol, enter=False).status, 400)
        self.assertEqual(self.process.output(), before)
        self.assertStops(self.process)

    def test_slowReader(self) -> None:
        """
        A client that asks for a lot and does not read gets what there was room for, in
        order; others are not kept waiting meanwhile.
        """
        bystander = self.ws_player("bystander")
        slow = self.ws_player("slow")
        ask = b'{"ver":2,"cmd":20,"payload":{"count":1000}}'
        slow.send(frame(TEXT, ask))
        for n in range(50):
            self.assertEqual(bystander.ask(10, {"n": n}), {"n": n})
        # What was taken is sent in order; what came on top of QUEUE_BYTES was refused.
        found = [json.loads(slow.next())["payload"]["n"] for _ in range(100)]
        self.assertEqual(found, list(range(100)))
        self.assertStops(self.process)


class OriginTests(ProcessCase):
    """
    allowedOrigins in a configuration.
    """

    def test_origin(self) -> None:
        """
        Pages of other origins are refused before they have said anything.
        """
        config = {"HTTP": {}, "WS": {"allowedOrigins": ["https://game.example"]}}
        path = self.write("ws.json", config)
        process = self.foreground("--config", path, "--app", "diarkis_tw.demo")
        url = self.serving(process)
        endpoint = self.ask(f"{url}/endpoint/type/WS/user/alice")
        for origin, status in (("https://game.example", 101), ("https://evil.example", 403)):
            player = WsPlayer(endpoint, Origin=origin)
            self.addCleanup(player.socket.close)
            self.assertEqual(player.status, status)
