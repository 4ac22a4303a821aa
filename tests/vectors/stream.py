"""
Vectors of the byte streams: connections over TCP and over binary WebSocket.
"""

from diarkis_tw.constants import Builtin, CloseCode, Status
from diarkis_tw.wire.cipher import TAG_SIZE
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    HELLO_BODY_SIZE,
    Terms,
    encode_accept,
    encode_close,
    encode_hello,
)
from diarkis_tw.wire.keep_alive import encode_keep_alive_request, encode_keep_alive_response
from diarkis_tw.wire.keys import (
    FLAG_EPHEMERAL,
    TransportId,
)
from diarkis_tw.wire.message import encode_push, encode_request, encode_response
from diarkis_tw.wire.record import RecordType, record_header
from diarkis_tw.wire.websocket import ws_header
from tests.vectors.agreed import Agreed
from tests.vectors.inputs import (
    SERVER_NONCE,
    SESSION,
    Json,
)

TERMS = Terms(bytes(8), bytes(16), 0, 0, 0, 0, 10, 3333, 0)
"""On streams only the connection TTL (s) and the keep-alive interval (ms) are used."""


def stream_conversation(transport: TransportId, name: str, flags: int) -> Json:
    """
    A connection from HELLO to CLOSE, record by record.
    """

    def header_of(type: int, length: int) -> bytes:
        if transport is TransportId.WS:
            return ws_header(RecordType(type))
        return record_header(type, length)

    agreed = Agreed(transport, flags)

    def forged(name: str, record: bytes) -> Json:
        return {"name": name, "direction": "c2s", "packet_number": 1, "record": record.hex()}

    def sealed(name: str, direction: str, number: int, type: RecordType, plaintext: bytes) -> Json:
        header = header_of(type, len(plaintext) + TAG_SIZE)
        body = agreed.ciphers[direction].seal(number, header, plaintext)
        return {
            "name": name,
            "direction": direction,
            "packet_number": number,
            "type": int(type),
            "plaintext": plaintext.hex(),
            "record": (header + body).hex(),
        }

    hello_header = header_of(RecordType.HELLO, HELLO_BODY_SIZE)
    accept_header = header_of(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
    size = len(hello_header)
    data, close = RecordType.DATA, RecordType.CLOSE
    keep_alive = Builtin.KEEP_ALIVE
    records = [
        sealed(
            "the first keep-alive, which confirms the connection",
            "c2s",
            0,
            data,
            encode_request(0, keep_alive, 0, encode_keep_alive_request(1000, None)),
        ),
        sealed(
            "its answer",
            "s2c",
            0,
            data,
            encode_response(0, keep_alive, Status.OK, 0, encode_keep_alive_response(1000, 1, "")),
        ),
        sealed("a request", "c2s", 1, data, encode_request(2, 10, 7, b"hello")),
        sealed("its response", "s2c", 1, data, encode_response(2, 10, Status.OK, 7, b"hello")),
        sealed("a push", "s2c", 2, data, encode_push(2, 11, b"news")),
        sealed("a request without payload", "c2s", 2, data, encode_request(2, 12, 0, b"")),
        sealed(
            "the last request of these keys", "c2s", 2**23 - 2, data, encode_request(0, 3, 1, b"")
        ),
        sealed(
            "the close in its place", "c2s", 2**23 - 1, close, encode_close(CloseCode.REKEY, "")
        ),
        sealed("a close", "s2c", 3, close, encode_close(CloseCode.KICKED, "bye, Zoë")),
    ]
    request = bytes.fromhex(str(records[2]["record"]))
    refused = [
        forged("last bit of the tag", request[:-1] + bytes((request[-1] ^ 1,))),
        forged(
            "first bit of the body",
            request[:size] + bytes((request[size] ^ 128,)) + request[size + 1 :],
        ),
        forged("another type", bytes((close,)) + request[1:]),
        forged("a byte less", header_of(data, len(request) - size - 1) + request[size:-1]),
        forged("shorter than a tag", header_of(data, 15) + request[-15:]),
        forged("empty", header_of(data, 0)),
        forged("the number before", bytes.fromhex(str(records[0]["record"]))),
        forged("the other direction", bytes.fromhex(str(records[3]["record"]))),
    ]
    return {
        "name": name,
        **agreed.inputs(),
        "connection_ttl_s": TERMS.connection_ttl,
        "keep_alive_ms": TERMS.keep_alive,
        "terms": TERMS.encode().hex(),
        "hello": (
            hello_header + encode_hello(hello_header, agreed.hello, SESSION.hello_key())
        ).hex(),
        "accept": (
            accept_header
            + encode_accept(
                accept_header, SERVER_NONCE, agreed.server_ephemeral, TERMS, agreed.accept_key
            )
        ).hex(),
        "records": records,
        "refused": refused,
    }


def stream_vectors(transport: TransportId, flags: int, name: str) -> Json:
    """
    Both handshakes, without and with forward secrecy, of one encryption mode.
    """
    return {
        "conversations": [
            stream_conversation(transport, name, flags),
            stream_conversation(transport, f"{name}, forward secrecy", flags | FLAG_EPHEMERAL),
        ],
    }
