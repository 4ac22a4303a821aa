"""
The dialect of sealed records, on TCP and on binary WebSocket.

Rules:

  - Before ACCEPT there may be an ACCEPT or a TERMINATE, nothing else; after it DATA
    and CLOSE, sealed, and TERMINATE.
  - Whoever does not prove the session's keys is refused: an ACCEPT that does not
    open, a record that does not, a record that may not come: PROTOCOL.
  - Packet numbers count DATA and CLOSE per direction. The last legal one is that
    of the CLOSE that says REKEY.
"""

from collections.abc import Callable

from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.offer import Offer
from diarkis_tw.client.stream import Ending, Heard
from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT, TAG_SIZE, AeadCache
from diarkis_tw.wire.handshake import (
    HELLO_BODY_SIZE,
    NO_NONCE,
    Terms,
    decode_accept,
    decode_close,
    decode_terminate,
    encode_close,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.message import Request, decode_server_message
from diarkis_tw.wire.record import RecordType


class SealedRecords:
    """
    A L{diarkis_tw.client.stream.Dialect}.
    """

    is_text = False

    def __init__(
        self,
        transport: TransportId,
        header: Callable[[RecordType, int], bytes],
        random: Callable[[int], bytes],
        *,
        forward_secrecy: bool = True,
        number_limit: int = STREAM_NUMBER_LIMIT,
    ) -> None:
        """
        @param transport: what carries the records.
        @param header: writes the header of a record of a type and a length.
        @param random: C{os.urandom}, or a test's.
        @param forward_secrecy: offer an X25519 exchange.
        @param number_limit: packet number of a CLOSE for REKEY.
        """
        self._transport = transport
        self._header = header
        self._random = random
        self._forward_secrecy = forward_secrecy
        self._number_limit = number_limit
        self._accepted = False
        self._send_number = 0
        self._receive_number = 0

    def begin(self, endpoint: Endpoint) -> bytes:
        """
        Write HELLO; see L{diarkis_tw.client.stream.Dialect.begin}.
        """
        self._encrypted = endpoint.encryption
        self._offer = Offer(endpoint, self._transport, self._random, self._forward_secrecy)
        header = self._header(RecordType.HELLO, HELLO_BODY_SIZE)
        return header + encode_hello(header, self._offer.hello, self._offer.hello_key)

    def encode(self, request: Request) -> bytes:
        """
        See L{diarkis_tw.client.stream.Dialect.encode}.
        """
        return self._seal(RecordType.DATA, request.encode())

    def end(self, code: CloseCode, reason: str) -> bytes:
        """
        See L{diarkis_tw.client.stream.Dialect.end}.
        """
        return self._seal(RecordType.CLOSE, encode_close(code, reason))

    def is_used_up(self) -> bool:
        """
        See L{diarkis_tw.client.stream.Dialect.is_used_up}.
        """
        return self._send_number >= self._number_limit

    def receive(self, type: int, header: bytes, body: bytes) -> Heard:
        """
        Read a record.

        @param type: its first byte.
        @param header: as received.
        @param body: as received.
        @return: what it means.

        @raise RemoteProtocolError: it is not the server's, or may not come now.
        """
        if type == RecordType.TERMINATE:
            nonce, code = decode_terminate(body)
            if nonce not in (self._offer.hello.client_nonce, NO_NONCE):
                raise RemoteProtocolError("a TERMINATE for somebody else")
            return Ending(code, "the server terminated the connection")
        if not self._accepted:
            if type != RecordType.ACCEPT:
                raise RemoteProtocolError(f"record type {type} instead of ACCEPT")
            return self._accept(header, body)
        if type == RecordType.DATA:
            message = self._open(header, body)
            if self._receive_number > self._number_limit:
                raise RemoteProtocolError("the server did not renew its keys in time")
            return decode_server_message(message)
        if type == RecordType.CLOSE:
            return Ending(*decode_close(self._open(header, body)))
        raise RemoteProtocolError(f"record type {type}")

    def _accept(self, header: bytes, body: bytes) -> Terms:
        server_nonce, server_ephemeral, _ = decode_accept(body)
        agreement = self._offer.answered(server_nonce, server_ephemeral)
        terms = open_accept_terms(header, body, agreement.accept_key())
        if terms is None:
            raise RemoteProtocolError("the server does not have the keys of this session")
        self._opener, self._sealer = agreement.ciphers(self._encrypted, AeadCache(4))
        self._accepted = True
        return terms

    def _open(self, header: bytes, body: bytes) -> bytes:
        plaintext = self._opener.open(self._receive_number, header, body)
        if plaintext is None:
            raise RemoteProtocolError("a record is not the server's")
        self._receive_number += 1
        return plaintext

    def _seal(self, type: RecordType, plaintext: bytes) -> bytes:
        header = self._header(type, len(plaintext) + TAG_SIZE)
        sealed = self._sealer.seal(self._send_number, header, plaintext)
        self._send_number += 1
        return header + sealed
