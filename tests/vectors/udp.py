"""
The vectors of UDP: datagrams, frames and packet numbers.
"""

from diarkis_tw.constants import Builtin, CloseCode, Status
from diarkis_tw.rudp.cookie import Cookies
from diarkis_tw.rudp.reset_token import reset_token
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, TAG_SIZE
from diarkis_tw.wire.datagram import MTU_MAX
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    WINDOW_MAX,
    encode_accept,
    encode_cookie,
    encode_hello,
    encode_terminate,
)
from diarkis_tw.wire.frame import (
    CLOSE,
    MESSAGE,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    encode_ack,
    parse_frames,
    reliable_header,
    with_length,
)
from diarkis_tw.wire.handshake import Terms, encode_close
from diarkis_tw.wire.keep_alive import encode_keep_alive_request, encode_keep_alive_response
from diarkis_tw.wire.keys import (
    FLAG_EPHEMERAL,
    TransportId,
)
from diarkis_tw.wire.message import encode_push, encode_request, encode_response
from diarkis_tw.wire.packet import CLIENT_DATA_MIN, CLIENT_HEADER_SIZE, DATA_BYTE, restore_number
from diarkis_tw.wire.reset import RESET_RANDOM_MAX, RESET_RANDOM_MIN, encode_reset
from tests.vectors.agreed import Agreed
from tests.vectors.inputs import (
    CLIENT_NONCE,
    SERVER_NONCE,
    SESSION,
    Json,
    repeated,
)

COOKIE_KEY = repeated(0x0C, 32)
COOKIE_TIME = 123_456
RESET_KEY = repeated(0x0D, 32)
CID = repeated(0x0E, 8)
CLIENT = ("192.0.2.1", 50000)

TERMS = Terms(CID, reset_token(RESET_KEY, CID), 1000, 20, MTU_MAX, WINDOW_MAX, 10, 3333, 10)

CLIENT_OVERHEAD = CLIENT_HEADER_SIZE + TAG_SIZE


def message(body: bytes) -> bytes:
    """
    An unreliable MESSAGE that ends its packet.
    """
    return bytes((MESSAGE,)) + body


def reliable(channel: int, seq: int, data: bytes, first: bool = True, last: bool = True) -> bytes:
    """
    A RELIABLE frame that ends its packet.
    """
    return reliable_header(channel, seq, first, last) + data


def udp_conversation(name: str, flags: int) -> Json:
    """
    A connection from the first HELLO to CLOSE, datagram by datagram.
    """
    agreed = Agreed(TransportId.UDP, flags)
    hello_key = SESSION.hello_key()
    cookie = Cookies(COOKIE_KEY).make(COOKIE_TIME, *CLIENT, SESSION.sid, CLIENT_NONCE)

    def sealed(name: str, direction: str, number: int, *frames: bytes) -> Json:
        cid = CID if direction == "c2s" else b""
        header = bytes((DATA_BYTE,)) + cid + (number & 0xFFFF).to_bytes(2)
        plaintext = b"".join(frames)
        if direction == "c2s":
            plaintext = plaintext.rjust(CLIENT_DATA_MIN - CLIENT_OVERHEAD, b"\0")
        return {
            "name": name,
            "direction": direction,
            "packet_number": number,
            "plaintext": plaintext.hex(),
            "datagram": (header + agreed.ciphers[direction].seal(number, header, plaintext)).hex(),
        }

    def forged(name: str, number: int, datagram: bytes) -> Json:
        return {
            "name": name,
            "direction": "c2s",
            "packet_number": number,
            "datagram": datagram.hex(),
        }

    keep_alive = Builtin.KEEP_ALIVE
    fragments = [b"a" * 100, b"b" * 100, b"c" * 3]
    last = DATAGRAM_NUMBER_LIMIT - 1
    packets = [
        sealed("the first PING, which confirms the connection", "c2s", 0, bytes((PING,))),
        sealed("its acknowledgement", "s2c", 0, encode_ack(0, 0, 0)),
        sealed(
            "a keep-alive",
            "c2s",
            1,
            message(encode_request(0, keep_alive, 0, encode_keep_alive_request(1000, None))),
        ),
        sealed(
            "its answer, with the client's address",
            "s2c",
            1,
            message(
                encode_response(
                    *(0, keep_alive, Status.OK, 0),
                    encode_keep_alive_response(1000, 1, "192.0.2.1:50000"),
                )
            ),
        ),
        sealed("a reliable request", "c2s", 2, reliable(0, 0, encode_request(2, 10, 7, b"hello"))),
        sealed(
            "its response behind an acknowledgement",
            "s2c",
            2,
            encode_ack(2, 3, 0b11),
            reliable(0, 0, encode_response(2, 10, Status.OK, 7, b"hello")),
        ),
        sealed(
            "a request's first and second fragment, on channel 3",
            "c2s",
            3,
            with_length(reliable(3, 0, encode_request(2, 12, 0, b"") + fragments[0], True, False)),
            reliable(3, 1, fragments[1], False, False),
        ),
        sealed("its last fragment", "c2s", 4, reliable(3, 2, fragments[2], False, True)),
        sealed("a push, unreliable", "s2c", 3, message(encode_push(2, 11, b"news"))),
        sealed("a packet without frames", "s2c", 4),
        sealed("a packet of padding", "c2s", 5),
        sealed("is the new address true?", "s2c", 5, bytes((PATH_CHALLENGE,)) + b"12345678"),
        sealed("it is", "c2s", 6, bytes((PATH_RESPONSE,)) + b"12345678"),
        sealed(
            "as large as can be",
            "c2s",
            7,
            message(encode_request(2, 12, 0, b"").ljust(TERMS.mtu - CLIENT_OVERHEAD - 1, b"x")),
        ),
        sealed("the last packet number of 16 bits", "c2s", 0xFFFF, bytes((PING,))),
        sealed("the first of more", "c2s", 0x10000, bytes((PING,))),
        sealed("the last of these keys", "c2s", last, bytes((PING,))),
        sealed("a close", "s2c", 6, bytes((CLOSE,)) + encode_close(CloseCode.KICKED, "bye, Zoë")),
    ]
    request = bytes.fromhex(str(packets[4]["datagram"]))
    refused = [
        forged("last bit of the tag", 2, request[:-1] + bytes((request[-1] ^ 1,))),
        forged("first bit of the frames", 2, request[:11] + flip(request[11]) + request[12:]),
        forged("another cid", 2, request[:1] + flip(request[1]) + request[2:]),
        forged("another number in the header", 2, request[:10] + b"\x03" + request[11:]),
        forged("the number before", 1, request),
        forged("a turn of the number later", 2 + 0x10000, request),
        forged("a byte less", 2, request[:-1]),
        forged("the other direction", 2, bytes.fromhex(str(packets[5]["datagram"]))),
    ]
    return {
        "name": name,
        **agreed.inputs(),
        "cid": TERMS.cid.hex(),
        "reset_token": TERMS.reset_token.hex(),
        "retry_interval_ms": TERMS.retry_interval,
        "ack_delay_ms": TERMS.ack_delay,
        "mtu": TERMS.mtu,
        "window": TERMS.window,
        "connection_ttl_s": TERMS.connection_ttl,
        "keep_alive_ms": TERMS.keep_alive,
        "max_retry": TERMS.max_retry,
        "terms": TERMS.encode().hex(),
        "cookie": cookie.hex(),
        "first_hello": encode_hello(agreed.hello, NO_COOKIE, hello_key).hex(),
        "cookie_datagram": encode_cookie(CLIENT_NONCE, cookie).hex(),
        "second_hello": encode_hello(agreed.hello, cookie, hello_key).hex(),
        "accept": encode_accept(
            CLIENT_NONCE, SERVER_NONCE, agreed.server_ephemeral, TERMS, agreed.accept_key
        ).hex(),
        "packets": packets,
        "refused": refused,
    }


def flip(byte: int) -> bytes:
    """
    A byte with its first bit turned.
    """
    return bytes((byte ^ 0x80,))


def udp_vectors(flags: int, name: str) -> Json:
    """
    Both handshakes, without and with forward secrecy, of one encryption mode.
    """
    return {
        "conversations": [
            udp_conversation(name, flags),
            udp_conversation(f"{name}, forward secrecy", flags | FLAG_EPHEMERAL),
        ],
    }


def datagram_vectors() -> Json:
    """
    Datagrams outside of a connection, and what this server makes of its own keys.
    """
    cookies = Cookies(COOKIE_KEY)
    return {
        "terminates": [
            {
                "client_nonce": CLIENT_NONCE.hex(),
                "code": int(code),
                "code_name": code.name,
                "datagram": encode_terminate(CLIENT_NONCE, code).hex(),
            }
            for code in CloseCode
        ],
        "cookie_key": COOKIE_KEY.hex(),
        "cookies": [
            {
                "time_ms": time,
                "host": host,
                "port": port,
                "sid": SESSION.sid.hex(),
                "client_nonce": CLIENT_NONCE.hex(),
                "cookie": cookies.make(time, host, port, SESSION.sid, CLIENT_NONCE).hex(),
            }
            for time, host, port in (
                (COOKIE_TIME, *CLIENT),
                (0, "192.0.2.1", 0),
                (2**32 - 1, "2001:db8::1", 65535),
                (2**32 + 5000, "192.0.2.1", 1),
            )
        ],
        "reset_key": RESET_KEY.hex(),
        "resets": [
            {
                "cid": cid.hex(),
                "token": reset_token(RESET_KEY, cid).hex(),
                "random": random.hex(),
                "datagram": encode_reset(reset_token(RESET_KEY, cid), random).hex(),
            }
            for cid in (CID, bytes(8))
            for random in (repeated(0xAA, RESET_RANDOM_MIN), repeated(0xBB, RESET_RANDOM_MAX))
        ],
    }


def read_frames(plaintext: bytes) -> list[Json]:
    """
    The frames before the first bad one, as the files show them.
    """
    return [
        {"type": type, "number": number, "delay": delay, "bytes": content.hex()}
        for type, number, delay, content in parse_frames(plaintext)[0]
    ]


def frame_vectors() -> Json:
    """
    Every frame type, packets of several frames, and packets with a bad frame.
    """
    ping = bytes((PING,))
    packets = [
        ("no frame", b""),
        ("padding", bytes(3)),
        ("PING", ping),
        ("padding before and behind", bytes(2) + ping + bytes(2)),
        ("ACK of one packet", encode_ack(0xABCD, 7, 0)),
        ("ACK of nine packets, the delay capped", encode_ack(9, 1000, 0b1_0111_1111)),
        ("ACK of the widest gap", encode_ack(1000, 0, 1 << 255)),
        ("CLOSE", bytes((CLOSE,)) + encode_close(CloseCode.KICKED, "bye, Zoë")),
        ("CLOSE without a reason", bytes((CLOSE,)) + encode_close(CloseCode.NORMAL, "")),
        ("PATH_CHALLENGE", bytes((PATH_CHALLENGE,)) + b"12345678"),
        ("PATH_RESPONSE", bytes((PATH_RESPONSE,)) + b"12345678"),
        ("MESSAGE", message(b"abc")),
        ("MESSAGE, empty", message(b"")),
        ("MESSAGE with length", with_length(message(b"abc")) + ping),
        ("MESSAGE with length, empty", with_length(message(b"")) + ping),
        *(
            (f"RELIABLE, type 0x{0x40 | flags | channel:02x}", with_flags(flags, channel))
            for flags in range(0, 0x40, 8)
            for channel in ((0, 7) if flags == 0x18 else (0,))
        ),
        ("RELIABLE, empty", reliable(7, 0xFFFF, b"")),
        (
            "all that fit together",
            encode_ack(5, 1, 0b11)
            + bytes((PATH_RESPONSE,))
            + b"12345678"
            + with_length(reliable(0, 1, b"one"))
            + with_length(message(b"two"))
            + with_length(reliable(1, 0, b"three", True, False))
            + ping
            + reliable(1, 1, b"four", False, True),
        ),
    ]
    bad = [
        ("unknown type 0x06", "06"),
        ("unknown type 0x22", "22000161"),
        ("unknown type 0x3f", "3f"),
        ("unknown type 0x80", "80000061"),
        ("ACK without its count", "02000000"),
        ("ACK past the end", "0200000002ff"),
        ("ACK of 33 bytes", "0200000021" + "ff" * 33),
        ("CLOSE without a code", "03"),
        ("PATH_CHALLENGE of 7 bytes", "04" + "61" * 7),
        ("PATH_RESPONSE of 7 bytes", "05" + "61" * 7),
        ("MESSAGE past the end", "21000261"),
        ("MESSAGE without its whole length", "2100"),
        ("RELIABLE without its whole seq", "5800"),
        ("RELIABLE without its whole length", "78000000"),
        ("RELIABLE past the end", "780000000261"),
    ]
    return {
        "packets": [
            {"name": name, "plaintext": plaintext.hex(), "frames": read_frames(plaintext)}
            for name, plaintext in packets
        ],
        "refused": [
            {
                "name": name,
                "plaintext": plaintext.hex(),
                "frames_before": read_frames(plaintext),
            }
            for name, frame in bad
            for plaintext in (ping + with_length(message(b"before")) + bytes.fromhex(frame),)
        ],
    }


def with_flags(flags: int, channel: int) -> bytes:
    """
    A RELIABLE frame of any flags, with a PING behind it if it has a length.
    """
    frame = reliable(channel, 0xABCD, b"abc", bool(flags & 0x10), bool(flags & 0x08))
    return with_length(frame) + bytes((PING,)) if flags & 0x20 else frame


def packet_number_vectors() -> Json:
    """
    Numbers restored from their low 16 bits.
    """
    return {
        "cases": [
            {
                "largest": expected - 1,
                "pn": pn,
                "packet_number": restore_number(pn, expected),
            }
            for expected in (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x18000, 0xABCDEF)
            for pn in (0, 1, 0x7FFF, 0x8000, 0xCDEF, 0xFFFF)
        ],
    }
