"""
Messages: what DATA carries once it is opened, the same on every binary
transport::

    ==========  ====  =====  ===============  ============  =======
    message     ver   cmd    status           request id    payload
    ==========  ====  =====  ===============  ============  =======
    request     u8    u16    absent           u16, 0 none   rest
    response    u8    u16    u8: 1, 4 or 5    u16           rest
    push        u8    u16    u8: 255          absent        rest
    ==========  ====  =====  ===============  ============  =======

Requests go from client to server, the others from server to client, so the
direction says which table row to read. A response carries the id of the
request that it answers.

The three classes are the same whatever a transport makes of them.
"""

from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from diarkis_tw.constants import Status
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.value import Payload, Value, encode_payload, value_of

REQUEST_HEADER_SIZE: Final = 5
RESPONSE_HEADER_SIZE: Final = 6
PUSH_HEADER_SIZE: Final = 4

PUSH_MARK: Final = 0xFF
"""Where a response has its status, a push has this."""

_REQUEST: Final = Struct(">BHH")
_RESPONSE: Final = Struct(">BHBH")
_PUSH: Final = Struct(">BHB")
# Bound once: an attribute look-up is a tenth of such a call.
_pack_request: Final = _REQUEST.pack
_pack_response: Final = _RESPONSE.pack
_pack_push: Final = _PUSH.pack
_unpack_request: Final = _REQUEST.unpack_from
_unpack_response: Final = _RESPONSE.unpack_from
_unpack_push: Final = _PUSH.unpack_from

_STATUS: Final = {int(status): status for status in Status}


@dataclass(slots=True)
class Request:
    """
    A command as the client sends it. Not frozen, which would triple the time to
    make one; nor are the others.

    @ivar ver: 0..255.
    @ivar cmd: 0..65535.
    @ivar request_id: 0..65535; 0 = no answer is waited for.
    @ivar payload: bytes or a value.
    """

    ver: int
    cmd: int
    request_id: int
    payload: Payload

    def encode(self) -> bytes:
        """
        Write it as the binary transports do.

        @return: the message.

        @raise LocalProtocolError: a number is out of range, or the value cannot be
            written.
        """
        return encode_request(self.ver, self.cmd, self.request_id, encode_payload(self.payload))


@dataclass(slots=True)
class Response:
    """
    A command's answer as the client gets it.

    @ivar ver: of the command.
    @ivar cmd: of the command.
    @ivar status: its outcome.
    @ivar request_id: of the request answered, 0 = it had none.
    @ivar payload: bytes, or over a transport of texts the value that was sent.
    """

    ver: int
    cmd: int
    status: Status
    request_id: int
    payload: Payload

    def value(self) -> Value:
        """
        Read the value that was sent, over whichever transport it came.

        @return: the map.

        @raise RemoteProtocolError: the payload is none.
        """
        return value_of(self.payload)


@dataclass(slots=True)
class Push:
    """
    What the server sends unasked, as the client gets it.

    @ivar ver: of the command.
    @ivar cmd: of the command.
    @ivar payload: bytes, or over a transport of texts the value that was sent.
    """

    ver: int
    cmd: int
    payload: Payload

    def value(self) -> Value:
        """
        Read the value that was sent, over whichever transport it came.

        @return: the map.

        @raise RemoteProtocolError: the payload is none.
        """
        return value_of(self.payload)


def encode_request(ver: int, cmd: int, request_id: int, payload: bytes) -> bytes:
    """
    Write a request.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param request_id: 0..65535; 0 = no answer is waited for.
    @param payload: raw bytes.
    @return: the message.

    @raise LocalProtocolError: a number is out of range.
    """
    try:
        return _pack_request(ver, cmd, request_id) + payload
    except error:
        raise LocalProtocolError(
            f"ver {ver}, cmd {cmd} or request id {request_id} is out of range"
        ) from None


def decode_request(message: bytes) -> tuple[int, int, int, bytes]:
    """
    Read a request.

    @param message: as opened.
    @return: ver, cmd, request id (0 = none) and payload.

    @raise RemoteProtocolError: it is shorter than its header.
    """
    try:
        ver, cmd, request_id = _unpack_request(message)
    except error:
        raise RemoteProtocolError(f"request of {len(message)} bytes") from None
    return ver, cmd, request_id, message[5:]


def encode_response(ver: int, cmd: int, status: int, request_id: int, payload: bytes) -> bytes:
    """
    Write a response.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param status: one of L{Status}.
    @param request_id: of the request answered, 0 if it had none.
    @param payload: raw bytes.
    @return: the message.

    @raise LocalProtocolError: a number is out of range.
    """
    try:
        if status in _STATUS:
            return _pack_response(ver, cmd, status, request_id) + payload
    except error:
        pass
    raise LocalProtocolError(
        f"ver {ver}, cmd {cmd}, status {status} or request id {request_id} is out of range"
    )


def encode_push(ver: int, cmd: int, payload: bytes) -> bytes:
    """
    Write a push.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param payload: raw bytes.
    @return: the message.

    @raise LocalProtocolError: a number is out of range.
    """
    try:
        return _pack_push(ver, cmd, PUSH_MARK) + payload
    except error:
        raise LocalProtocolError(f"ver {ver} or cmd {cmd} is out of range") from None


def decode_server_message(message: bytes) -> Response | Push:
    """
    Read what a server sent.

    @param message: as opened.
    @return: a response or a push.

    @raise RemoteProtocolError: it is shorter than its header, or its status is
        none of those in the table.
    """
    try:
        ver, cmd, mark = _unpack_push(message)
        if mark == PUSH_MARK:
            return Push(ver, cmd, message[PUSH_HEADER_SIZE:])
        ver, cmd, mark, request_id = _unpack_response(message)
    except error:
        raise RemoteProtocolError(f"server message of {len(message)} bytes") from None
    status = _STATUS.get(mark)
    if status is None:
        raise RemoteProtocolError(f"status {mark}")
    return Response(ver, cmd, status, request_id, message[RESPONSE_HEADER_SIZE:])
