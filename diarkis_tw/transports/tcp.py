"""
The TCP server: records of C{docs/protocol.md}, section "TCP", over what
L{diarkis_tw.transports.stream_connection} says of all streams.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.config.settings import TcpSettings
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.users import Users
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.transports.stream_connection import (
    ACCEPTED,
    CLOSED,
    HELLO,
    OPEN,
    StreamConnection,
)
from diarkis_tw.transports.stream_server import StreamServer
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT, TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    HELLO_BODY_SIZE,
    REASON_MAX_BYTES,
    TERMINATE_BODY_SIZE,
    decode_close,
    encode_close,
    encode_terminate,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, decode_request
from diarkis_tw.wire.record import RecordReader, RecordType, record_header

HELLO_HEADER: Final = record_header(RecordType.HELLO, HELLO_BODY_SIZE)
ACCEPT_HEADER: Final = record_header(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
DATA: Final = int(RecordType.DATA)
DATA_BITS: Final = DATA << 24


class TcpConnection(StreamConnection):
    """
    One client.
    """

    type = ServerType.TCP
    _opener: Cipher
    _sealer: Cipher

    def __init__(self, server: "TcpServer", host: str, address: str) -> None:
        super().__init__(server, host, address)
        self._record_limit = server.record_limit
        self._reader = RecordReader(HELLO_BODY_SIZE)
        self._received = 0
        self._sent = 0

    def dataReceived(self, data: bytes) -> None:
        if self.phase is CLOSED:
            return
        self._reader.feed(data)
        self._read()

    def send(self, encoded: Encoded, reliable: bool) -> bool:
        message = encoded.binary
        if self.phase is not OPEN:
            return False
        size = len(message) + TAG_SIZE
        if self._stuffed and not self._has_room(size):
            return False
        number = self._sent
        if number >= STREAM_NUMBER_LIMIT:
            self.close(CloseCode.REKEY)
            return self._user.send(encoded, reliable)
        self._sent = number + 1
        header = (DATA_BITS | size).to_bytes(4)
        record = header + self._sealer.seal(number, header, message)
        if self._stuffed or self._prompt:
            self.write(record, encoded.status is not None)
        else:
            self._socket.write(record)  # a call less for each receiver of a broadcast
        return True

    def _close_words(self, code: CloseCode) -> bytes:
        number = min(self._sent, STREAM_NUMBER_LIMIT)
        body = encode_close(code, "")
        header = record_header(RecordType.CLOSE, len(body) + TAG_SIZE)
        return header + self._sealer.seal(number, header, body)

    def _terminate_words(self, code: CloseCode) -> bytes:
        header = record_header(RecordType.TERMINATE, TERMINATE_BODY_SIZE)
        return header + encode_terminate(self.nonce, code)

    def _read(self) -> None:
        try:
            if self.phase is HELLO:
                self._read_hello()
            if self.phase is not HELLO:
                self._read_records()
        except RemoteProtocolError as error:
            self.terminate(error.code)

    def _read_hello(self) -> None:
        header = self._reader.peek_header()
        if header is None:
            return
        if header != HELLO_HEADER:
            self.terminate(CloseCode.UNKNOWN)
            return
        record = self._reader.next()
        if record is None:
            return
        admitted = self.admit_hello(TransportId.TCP, header, record[2], ACCEPT_HEADER)
        if admitted is None:
            return
        self._opener, self._sealer = self._server.sealing(admitted.keys)
        self._reader.limit = self._record_limit
        self._socket.write(ACCEPT_HEADER + admitted.accept)

    def _read_records(self) -> None:
        next_record = self._reader.next
        while self._reading:
            record = next_record()
            if record is None:
                return
            kind, header, body = record
            number = self._received
            opened = self._opener.open(number, header, body)
            if opened is None or number >= STREAM_NUMBER_LIMIT + (kind != DATA):
                raise RemoteProtocolError("a record that is not the client's")
            self._received = number + 1
            self.heard = True
            if self.phase is ACCEPTED and not self.confirm():
                return
            if kind == DATA:
                ver, cmd, request_id, payload = decode_request(opened)
                self._prompt = not self._reader.pending
                if not self._inbox.receive(ver, cmd, request_id, payload, True):
                    self.hold_for_user()
                self._prompt = False
            elif kind == RecordType.CLOSE:
                self._end(b"", decode_close(opened)[0])
            else:
                raise RemoteProtocolError(f"record type {kind}")


class TcpServer(StreamServer):
    """
    Factory of L{TcpConnection}s.

    @ivar record_limit: greatest legal length of a record's body, in bytes.
    """

    def __init__(
        self,
        settings: TcpSettings,
        users: Users,
        admission: Admission,
        ciphers: AeadCache,
        clock: IReactorTime,
    ) -> None:
        super().__init__(settings, users, admission, ciphers, clock)
        self.record_limit = max(
            settings.max_rcv_size + REQUEST_HEADER_SIZE + TAG_SIZE, 1 + REASON_MAX_BYTES + TAG_SIZE
        )

    def connection(self, host: str, address: str) -> TcpConnection:
        return TcpConnection(self, host, address)
