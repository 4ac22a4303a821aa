"""
A client end made of the codecs alone: bytes in, records out, and it says
whatever a test wants it to say, legal or not.
"""

from dataclasses import dataclass, replace
from random import Random

from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import (
    HELLO_BODY_SIZE,
    Hello,
    Terms,
    decode_accept,
    decode_close,
    decode_terminate,
    encode_close,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    ConnectionKeys,
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import Push, Response, decode_server_message, encode_request
from diarkis_tw.wire.record import BODY_LENGTH_MAX, RecordReader, RecordType, record_header


@dataclass(frozen=True)
class Accept:
    """
    ACCEPT came and was authentic.
    """

    terms: Terms


@dataclass(frozen=True)
class Terminate:
    """
    TERMINATE came, for the HELLO of that nonce.
    """

    code: CloseCode
    nonce: bytes


@dataclass(frozen=True)
class Close:
    """
    CLOSE came and was authentic.
    """

    code: CloseCode
    reason: str


Received = Accept | Terminate | Close | Response | Push


class RawClient:
    """
    One connection's keys, counters and reader.

    @ivar received: everything that came, in order.
    @ivar sent: records sealed so far, the next packet number.
    @ivar opened: records opened so far.
    """

    transport = TransportId.TCP

    def __init__(
        self, keys: SessionKeys, *, encrypted: bool = True, ephemeral: bool = True, seed: int = 0
    ) -> None:
        """
        @param seed: makes nonce and ephemeral; another one for each connection.
        """
        random = Random(seed)
        self.keys = keys
        self.encrypted = encrypted
        self.nonce = random.randbytes(16)
        self.private = random.randbytes(32)
        flags = FLAG_ENCRYPTED * encrypted | FLAG_EPHEMERAL * ephemeral
        ours = public_key(self.private) if ephemeral else NO_EPHEMERAL
        self.greeting = Hello(PROTOCOL_VERSION, flags, keys.sid, self.nonce, ours)
        self.received: list[Received] = []
        self.sent = 0
        self.opened = 0
        self._reader = RecordReader(BODY_LENGTH_MAX)

    # Talking

    def header(self, kind: int, size: int) -> bytes:
        """
        The header of a record.
        """
        return record_header(kind, size)

    def hello(self, **changes: object) -> bytes:
        """
        A HELLO, with fields changed for good and its HMAC right all the same.
        """
        self.greeting = replace(self.greeting, **changes)  # type: ignore[arg-type]
        header = self.header(RecordType.HELLO, HELLO_BODY_SIZE)
        body = encode_hello(header, self.greeting, self.keys.hello_key())
        return header + body

    def record(self, kind: int, plaintext: bytes) -> bytes:
        """
        Seal a record under the next packet number.
        """
        header = self.header(kind, len(plaintext) + TAG_SIZE)
        number, self.sent = self.sent, self.sent + 1
        return header + self._sealer.seal(number, header, plaintext)

    def request(self, ver: int, cmd: int, payload: bytes = b"", request_id: int = 1) -> bytes:
        """
        A command.
        """
        return self.record(RecordType.DATA, encode_request(ver, cmd, request_id, payload))

    def close(self, code: CloseCode = CloseCode.NORMAL) -> bytes:
        """
        A CLOSE.
        """
        return self.record(RecordType.CLOSE, encode_close(code, ""))

    # Listening

    def feed(self, data: bytes) -> None:
        """
        Take what the server sent; everything must be authentic and in order.
        """
        self._reader.feed(data)
        while (record := self._reader.next()) is not None:
            self.take(*record)

    def take(self, kind: int, header: bytes, body: bytes) -> None:
        """
        Take one record.
        """
        if kind == RecordType.ACCEPT:
            self._accepted(header, body)
        elif kind == RecordType.TERMINATE:
            nonce, code = decode_terminate(body)
            self.received.append(Terminate(code, nonce))
        else:
            self._sealed(kind, header, body)

    def _accepted(self, header: bytes, body: bytes) -> None:
        server_nonce, server_ephemeral, _ = decode_accept(body)
        hello = self.greeting
        shared: bytes | None = b""
        if hello.flags & FLAG_EPHEMERAL:
            shared = shared_secret(self.private, server_ephemeral)
        assert shared is not None
        context = HandshakeContext(
            hello.version,
            hello.flags,
            self.transport,
            hello.client_nonce,
            server_nonce,
            hello.client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(self.keys.master(), shared)
        terms = open_accept_terms(header, body, accept_key(secret, context))
        assert terms is not None, "ACCEPT does not open"
        self.use(connection_keys(secret, context))
        self.received.append(Accept(terms))

    def use(self, keys: ConnectionKeys) -> None:
        """
        Seal and open with these keys from now on.
        """
        cache = AeadCache()
        self._sealer = Cipher(keys.c2s_key, keys.c2s_iv, self.encrypted, cache)
        self._opener = Cipher(keys.s2c_key, keys.s2c_iv, self.encrypted, cache)

    def _sealed(self, kind: int, header: bytes, body: bytes) -> None:
        plaintext = self._opener.open(self.opened, header, body)
        assert plaintext is not None, "the server's record does not open"
        self.opened += 1
        if kind == RecordType.CLOSE:
            self.received.append(Close(*decode_close(plaintext)))
        else:
            assert kind == RecordType.DATA, f"record type {kind}"
            self.received.append(decode_server_message(plaintext))


class RawWsClient(RawClient):
    """
    The same over binary WebSocket: what it writes and takes are whole messages.
    """

    transport = TransportId.WS

    def header(self, kind: int, size: int) -> bytes:
        """
        The header of a record.
        """
        return bytes((kind,))

    def feed(self, data: bytes) -> None:
        """
        Take a message.
        """
        self.take(data[0], data[:1], data[1:])
