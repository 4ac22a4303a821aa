"""
The dialect of the binary WebSocket subprotocol: the records of TCP, with the type
alone for a header.
"""

from collections.abc import Callable

from diarkis_tw.client.records import SealedRecords
from diarkis_tw.client.stream import WS_MESSAGE_MAX_BYTES, Heard
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import BINARY_SUBPROTOCOL, split_ws_record, ws_header


class BinaryDialect(SealedRecords):
    """
    A L{diarkis_tw.client.ws.WsDialect}.
    """

    subprotocol = BINARY_SUBPROTOCOL

    def __init__(
        self,
        random: Callable[[int], bytes],
        *,
        forward_secrecy: bool = True,
        number_limit: int = STREAM_NUMBER_LIMIT,
    ) -> None:
        """
        @param random: see L{SealedRecords}.
        @param forward_secrecy: see L{SealedRecords}.
        @param number_limit: see L{SealedRecords}.
        """
        super().__init__(
            TransportId.WS,
            _header,
            random,
            forward_secrecy=forward_secrecy,
            number_limit=number_limit,
        )

    def receive_message(self, message: bytes) -> Heard:
        """
        See L{diarkis_tw.client.ws.WsDialect.receive_message}.
        """
        return self.receive(*split_ws_record(message))


def _header(type: RecordType, length: int) -> bytes:
    if length >= WS_MESSAGE_MAX_BYTES:
        raise LocalProtocolError(f"a message of {length} bytes is too large for any server")
    return ws_header(type)
