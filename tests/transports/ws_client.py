"""
A WebSocket client made by hand: it says whatever a test wants it to say, frame by
frame, and looks at every byte that comes.
"""

import json
from base64 import b64encode
from random import Random

from twisted.internet.address import IPv4Address

from diarkis_tw.wire.json_message import JsonAuth, encode_json_auth, json_proof
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.websocket import JSON_SUBPROTOCOL
from tests.transports.fake_socket import FakeSocket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0

KEY = b64encode(bytes(16)).decode()
ACCEPT_KEY = "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
"""The answer to it, RFC 6455, 4.2.2."""


def upgrade(protocols: str | None = JSON_SUBPROTOCOL, **changes: str | None) -> bytes:
    """
    An opening handshake.

    @param changes: headers with other values, L{None} = left out; C{_} stands for C{-}.
    """
    headers: dict[str, str | None] = {
        "Host": "game.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Protocol": protocols,
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = ["GET /anything?x=1 HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x01\x80\x33\xfe",
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """
    A frame of a client.

    @param mask: L{None} = not masked, which clients must not do.
    @param length: what it says, if not the truth.
    @param width: bits that the length takes, if not as few as possible.
    """
    size = len(payload) if length is None else length
    bits = width or (7 if size < 126 else 16 if size < 2**16 else 64)
    masked = 0x80 if mask else 0
    head = bytes((fin << 7 | rsv << 4 | opcode,))
    if bits == 7:
        head += bytes((masked | size,))
    else:
        head += bytes((masked | (126 if bits == 16 else 127),)) + size.to_bytes(bits // 8)
    if mask:
        head += mask
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + payload


def parse_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """
    Take apart what a server sent.

    @return: first byte and payload of each whole frame, and the rest.
    """
    frames = []
    while len(data) >= 2:
        size, start = data[1], 2
        assert size < 128, "a server does not mask"
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start])
        if len(data) < start + size:
            break
        frames.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return frames, data


class WsClient:
    """
    A client and the server's end of its connection.

    @ivar head: the answer to the opening handshake.
    @ivar frames: opcode and payload of what came since; all of it in one frame each.
    """

    def __init__(self, factory: object, host: str, port: int) -> None:
        self.socket = FakeSocket()
        built = factory.buildProtocol(IPv4Address("TCP", host, port))  # type: ignore[attr-defined]
        assert built is not None, "turned away"
        self.connection = built
        self.socket.protocol = built
        built.makeConnection(self.socket)
        self.head = b""
        self.frames: list[tuple[int, bytes]] = []
        self._rest = b""
        self._random = Random(port)

    def turn(self) -> None:
        """
        Let everything come to rest.
        """
        while self.socket.turn():
            pass
        self._rest += bytes(self.socket.taken)
        self.socket.taken.clear()
        if not self.head and b"\r\n\r\n" in self._rest:
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            self.head = head
        if self.head:
            frames, self._rest = parse_frames(self._rest)
            for first, payload in frames:
                assert first & 0xF0 == 0x80, "the server sends whole messages"
                self.frames.append((first & 0x0F, payload))

    def send(self, *data: bytes) -> None:
        """
        Send bytes and let everything come to rest.
        """
        self.socket.arrive(b"".join(data))
        self.turn()

    def text(self, message: object) -> None:
        """
        Send a text: as it is, or what it is as JSON.
        """
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.send(frame(TEXT, text))

    def request(self, cmd: int, payload: object = None, request_id: int = 1, ver: int = 2) -> None:
        """
        Send a JSON command.
        """
        message = {"ver": ver, "cmd": cmd, "id": request_id, "payload": payload}
        if payload is None:
            del message["payload"]
        self.text(message)

    def texts(self) -> list[object]:
        """
        The JSON that came, as Python's own decoder reads it; it is forgotten then.
        """
        found = [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]
        self.frames = [kept for kept in self.frames if kept[0] != TEXT]
        return found

    def auth(self, keys: SessionKeys, server_nonce: bytes, **changes: bytes) -> bytes:
        """
        An auth, right but for the changes.
        """
        nonce = self._random.randbytes(16)
        proof = json_proof(keys.hello_key(), server_nonce, nonce)
        fields = {"sid": keys.sid, "nonce": nonce, "proof": proof} | changes
        return encode_json_auth(JsonAuth(**fields))

    def closed_with(self) -> tuple[int, str] | None:
        """
        Status and reason of the close frame, which is the last one that came.
        """
        if not self.frames or self.frames[-1][0] != CLOSE:
            return None
        payload = self.frames[-1][1]
        return int.from_bytes(payload[:2]), payload[2:].decode()
