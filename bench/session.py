"""
A TCP client as small as the protocol allows: it shakes hands and hands out sealed
records. Unlike C{diarkis_tw.client} it costs the load generator next to
nothing, because records are sealed before they are needed and answers are
opened afterwards.
"""

import os
import socket
from typing import Final

from bench.endpoint import IO_TIME
from diarkis_tw.constants import PROTOCOL_VERSION, Status
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import HELLO_BODY_SIZE, Hello, decode_accept, encode_hello
from diarkis_tw.wire.keep_alive import encode_keep_alive_request
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    HandshakeContext,
    SessionKeys,
    TransportId,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import Response, decode_server_message, encode_request
from diarkis_tw.wire.record import RecordReader, RecordType, record_header

ECHO: Final = (2, 10)
"""The demo's echo command."""

PAYLOAD_SIZE: Final = 64
"""Bytes of an echo."""

FLAGS: Final = FLAG_ENCRYPTED | FLAG_EPHEMERAL


class Session:
    """
    The sealing side of one user's connection, without the connection itself.
    """

    transport = TransportId.TCP

    def __init__(self, keys: SessionKeys, payload: bytes, ciphers: AeadCache) -> None:
        """
        @param payload: of every request; the answers are compared with it.
        @param ciphers: shared by all sessions.
        """
        self._keys = keys
        self._payload = payload
        self._ciphers = ciphers
        self._nonce = os.urandom(16)
        self._private = os.urandom(32)
        self._sent = 0
        self._opened = 0
        self._echoes = 0
        self._answers = 0

    def header(self, kind: RecordType, size: int) -> bytes:
        """
        The header of a record.

        @param size: of its body in bytes.
        """
        return record_header(kind, size)

    def hello(self) -> bytes:
        """
        Write the HELLO record.
        """
        header = self.header(RecordType.HELLO, HELLO_BODY_SIZE)
        ephemeral = public_key(self._private)
        hello = Hello(PROTOCOL_VERSION, FLAGS, self._keys.sid, self._nonce, ephemeral)
        return header + encode_hello(header, hello, self._keys.hello_key())

    def accept(self, body: bytes) -> None:
        """
        Take ACCEPT's body and agree on the keys.
        """
        server_nonce, server_ephemeral, _ = decode_accept(body)
        context = HandshakeContext(
            PROTOCOL_VERSION,
            FLAGS,
            self.transport,
            self._nonce,
            server_nonce,
            public_key(self._private),
            server_ephemeral,
        )
        shared = shared_secret(self._private, server_ephemeral) or b""
        keys = connection_keys(connection_secret(self._keys.master(), shared), context)
        self._sealer = Cipher(keys.c2s_key, keys.c2s_iv, True, self._ciphers)
        self._opener = Cipher(keys.s2c_key, keys.s2c_iv, True, self._ciphers)

    def keep_alive(self) -> bytes:
        """
        Seal a keep-alive, the first record of every connection.
        """
        return self.seal(encode_request(0, 1, 0, encode_keep_alive_request(0, None)))

    def echo(self) -> bytes:
        """
        Seal the next echo request.
        """
        self._echoes += 1
        return self.seal(encode_request(*ECHO, _request_id(self._echoes), self._payload))

    def opened(self, header: bytes, body: bytes) -> bytes:
        """
        Open the next record.
        """
        plaintext = self._opener.open(self._opened, header, body)
        if plaintext is None:
            raise RuntimeError("the server's record does not open")
        self._opened += 1
        return plaintext

    def check(self, header: bytes, body: bytes) -> None:
        """
        Open the next record, which must be the answer to the next echo.
        """
        self._answers += 1
        expected = Response(*ECHO, Status.OK, _request_id(self._answers), self._payload)
        if (answer := decode_server_message(self.opened(header, body))) != expected:
            raise RuntimeError(f"{answer!r} instead of {expected!r}")

    def seal(self, message: bytes) -> bytes:
        """
        Seal the next message, header in front.
        """
        header = self.header(RecordType.DATA, len(message) + TAG_SIZE)
        record = header + self._sealer.seal(self._sent, header, message)
        self._sent += 1
        return record


def shake_hands(session: Session, address: tuple[str, int]) -> socket.socket:
    """
    Connect and come as far as the answer to the first keep-alive.
    """
    connection = socket.create_connection(address, IO_TIME)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = RecordReader(1024)
        connection.sendall(session.hello())
        kind, _, body = _read(connection, reader)
        if kind != RecordType.ACCEPT:
            raise RuntimeError(f"record {kind} instead of ACCEPT")
        session.accept(body)
        connection.sendall(session.keep_alive())
        _, header, body = _read(connection, reader)
        session.opened(header, body)
    except BaseException:
        connection.close()
        raise
    return connection


def _request_id(count: int) -> int:
    return count % 0xFFFF + 1


def _read(connection: socket.socket, reader: RecordReader) -> tuple[int, bytes, bytes]:
    while (record := reader.next()) is None:
        data = connection.recv(4096)
        if not data:
            raise RuntimeError("the server closed the connection")
        reader.feed(data)
    return record
