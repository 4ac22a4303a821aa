"""
Messages of the WebSocket subprotocol C{diarkis.v1.json}, each a text::

    ===========  ===============================================================
    message      JSON
    ===========  ===============================================================
    hello        {"hello": {"nonce": 32 hex digits, "protocol": 1}}
    auth         {"auth": {"sid": 32, "nonce": 32, "proof": 64 hex digits}}
    ready        {"ready": {"connectionTTL": seconds, "keepAlive": milliseconds}}
    terminate    {"terminate": {"code": close code, "reason": text}}
    request      {"ver": u8, "cmd": u16, "payload": body, "id": 1..65535}
    response     {"ver", "cmd", "status": 1, 4 or 5, "payload", "id"}
    push         {"ver", "cmd", "push": true, "payload"}
    ===========  ===============================================================

The client sends auth and requests, the server the others. Numbers may be written
as floats without a fraction, C{payload} and C{id} may be absent; nothing else may
be, and nothing else may be there. Bodies are those of L{diarkis_tw.wire.json_text}::

    proof = HMAC-SHA256(hello key, "diarkis_tw/1 ws" || server nonce || client nonce)
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode, Status
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.handshake import cut_reason
from diarkis_tw.wire.json_text import (
    body_from_json,
    body_to_json,
    check_text,
    encode_json,
    refuse_duplicates,
)
from diarkis_tw.wire.keys import NONCE_SIZE, SID_SIZE
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.sizes import require_size
from diarkis_tw.wire.value import Payload

PROOF_SIZE: Final = 32

_LABEL: Final = b"diarkis_tw/1 ws"
_CLOSE_CODE: Final = {int(code): code for code in CloseCode}
_STATUS: Final = {int(status): status for status in Status}

_T = TypeVar("_T")
_Number: TypeAlias = int | float


# What the decoders look for. Numbers are floats to msgspec because 2.0 is one for it.


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    ver: _Number
    cmd: _Number
    payload: dict[str, object] | UnsetType = UNSET
    id: _Number | UnsetType = UNSET


class _ServerMessage(msgspec.Struct, forbid_unknown_fields=True):
    ver: _Number
    cmd: _Number
    status: _Number | UnsetType = UNSET
    push: bool | UnsetType = UNSET
    payload: dict[str, object] | UnsetType = UNSET
    id: _Number | UnsetType = UNSET


class _AuthFields(msgspec.Struct, forbid_unknown_fields=True):
    sid: str
    nonce: str
    proof: str


class _Auth(msgspec.Struct, forbid_unknown_fields=True):
    auth: _AuthFields


class _HelloFields(msgspec.Struct, forbid_unknown_fields=True):
    nonce: str
    protocol: _Number


class _ReadyFields(msgspec.Struct, forbid_unknown_fields=True):
    connection_ttl: _Number = msgspec.field(name="connectionTTL")
    keep_alive: _Number = msgspec.field(name="keepAlive")


class _TerminateFields(msgspec.Struct, forbid_unknown_fields=True):
    code: _Number
    reason: Annotated[str, msgspec.Meta(max_length=1000)]


class _Handshake(msgspec.Struct, forbid_unknown_fields=True):
    hello: _HelloFields | UnsetType = UNSET
    ready: _ReadyFields | UnsetType = UNSET
    terminate: _TerminateFields | UnsetType = UNSET


_decode_request: Final = msgspec.json.Decoder(_Request).decode
_decode_server_message: Final = msgspec.json.Decoder(_ServerMessage).decode
_decode_auth: Final = msgspec.json.Decoder(_Auth).decode
_decode_handshake: Final = msgspec.json.Decoder(_Handshake).decode


@dataclass(frozen=True, slots=True)
class JsonHello:
    """
    What a server opens a connection with.

    @ivar nonce: the server's, 16 bytes.
    @ivar protocol: its version of the protocol.
    """

    nonce: bytes
    protocol: int


@dataclass(frozen=True, slots=True)
class JsonAuth:
    """
    What a client answers hello with.

    @ivar sid: 16 bytes.
    @ivar nonce: the client's, 16 bytes.
    @ivar proof: L{json_proof}, 32 bytes.
    """

    sid: bytes = field(repr=False)
    nonce: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class JsonReady:
    """
    What a server grants.

    @ivar connection_ttl: seconds of silence, at least 1.
    @ivar keep_alive: milliseconds between keep-alives, at least 1.
    """

    connection_ttl: int
    keep_alive: int


@dataclass(frozen=True, slots=True)
class JsonTerminate:
    """
    A server's refusal.

    @ivar code: why; INTERNAL if the code is not known here.
    @ivar reason: for people, 200 bytes of UTF-8 at most.
    """

    code: CloseCode
    reason: str


def json_proof(hello_key: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """
    Compute what shows that a client has the session's keys.

    @param hello_key: L{diarkis_tw.wire.keys.SessionKeys.hello_key}.
    @param server_nonce: of hello, 16 bytes.
    @param client_nonce: of auth, 16 bytes.
    @return: 32 bytes.
    """
    return hmac.digest(hello_key, _LABEL + server_nonce + client_nonce, "sha256")


def verify_auth(auth: JsonAuth, server_nonce: bytes, hello_key: bytes) -> bool:
    """
    Check in constant time that the client has the session's keys.

    @param auth: as received.
    @param server_nonce: of the hello that it answers.
    @param hello_key: of the session that it names.
    @return: whether the proof is right.
    """
    return hmac.compare_digest(json_proof(hello_key, server_nonce, auth.nonce), auth.proof)


# Handshake


def encode_json_hello(nonce: bytes) -> bytes:
    """
    Write hello.

    @param nonce: the server's, 16 bytes.
    @return: UTF-8, as of all functions here.

    @raise LocalProtocolError: the nonce has another size.
    """
    require_size("server nonce", nonce, NONCE_SIZE)
    return encode_json({"hello": {"nonce": nonce.hex(), "protocol": PROTOCOL_VERSION}})


def encode_json_auth(auth: JsonAuth) -> bytes:
    """
    Write auth.

    @param auth: what to say.
    @return: the message.

    @raise LocalProtocolError: a field has another size.
    """
    require_size("sid", auth.sid, SID_SIZE)
    require_size("client nonce", auth.nonce, NONCE_SIZE)
    require_size("proof", auth.proof, PROOF_SIZE)
    fields = {"sid": auth.sid.hex(), "nonce": auth.nonce.hex(), "proof": auth.proof.hex()}
    return encode_json({"auth": fields})


def encode_json_ready(ready: JsonReady) -> bytes:
    """
    Write ready.

    @param ready: what to grant.
    @return: the message.

    @raise LocalProtocolError: a period does not fit 1..65535.
    """
    if not (1 <= ready.connection_ttl <= 0xFFFF and 1 <= ready.keep_alive <= 0xFFFF):
        raise LocalProtocolError(f"{ready} does not fit its fields")
    fields = {"connectionTTL": ready.connection_ttl, "keepAlive": ready.keep_alive}
    return encode_json({"ready": fields})


def encode_json_terminate(code: CloseCode, reason: str) -> bytes:
    """
    Write terminate.

    @param code: why.
    @param reason: for people; cut to 200 bytes between characters.
    @return: the message.
    """
    fields = {"code": int(code), "reason": cut_reason(reason).decode()}
    return encode_json({"terminate": fields})


def decode_json_auth(text: bytes) -> JsonAuth:
    """
    Read auth; nothing in it is proven until L{verify_auth}.

    @param text: any bytes are safe.
    @return: what the client says.

    @raise RemoteProtocolError: it is no auth.
    """
    auth = _decode(_decode_auth, text).auth
    refuse_duplicates(text)
    return JsonAuth(
        _unhex(auth.sid, SID_SIZE), _unhex(auth.nonce, NONCE_SIZE), _unhex(auth.proof, PROOF_SIZE)
    )


def decode_json_handshake(text: bytes) -> JsonHello | JsonReady | JsonTerminate:
    """
    Read what a server says before there are responses and pushes.

    @param text: any bytes are safe.
    @return: one of the three.

    @raise RemoteProtocolError: it is none of them, or a period is not 1..65535.
    """
    found = _decode(_decode_handshake, text)
    refuse_duplicates(text)
    if sum(part is not UNSET for part in (found.hello, found.ready, found.terminate)) != 1:
        raise RemoteProtocolError("not one of hello, ready and terminate")
    if found.hello is not UNSET:
        protocol = _integer(found.hello.protocol, 0, 0xFFFF)
        return JsonHello(_unhex(found.hello.nonce, NONCE_SIZE), protocol)
    if found.ready is not UNSET:
        return JsonReady(
            _integer(found.ready.connection_ttl, 1, 0xFFFF),
            _integer(found.ready.keep_alive, 1, 0xFFFF),
        )
    assert found.terminate is not UNSET
    code = _CLOSE_CODE.get(_integer(found.terminate.code, 0, 0xFFFF), CloseCode.INTERNAL)
    return JsonTerminate(code, cut_reason(found.terminate.reason).decode())


# Commands


def encode_json_request(ver: int, cmd: int, request_id: int, body: Payload) -> bytes:
    """
    Write a request.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param request_id: 0..65535; 0 = no answer is waited for.
    @param body: bytes or a value.
    @return: the message.

    @raise LocalProtocolError: a number is out of range, or the body cannot be
        written.
    """
    return _message({"ver": ver, "cmd": cmd}, request_id, body)


def encode_json_response(ver: int, cmd: int, status: int, request_id: int, body: Payload) -> bytes:
    """
    Write a response.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param status: one of L{Status}.
    @param request_id: of the request answered, 0 if it had none.
    @param body: bytes or a value.
    @return: the message.

    @raise LocalProtocolError: a number is out of range, or the body cannot be
        written.
    """
    if status not in _STATUS:
        raise LocalProtocolError(f"status {status}")
    return _message({"ver": ver, "cmd": cmd, "status": int(status)}, request_id, body)


def encode_json_push(ver: int, cmd: int, body: Payload) -> bytes:
    """
    Write a push.

    @param ver: 0..255.
    @param cmd: 0..65535.
    @param body: bytes or a value.
    @return: the message.

    @raise LocalProtocolError: a number is out of range, or the body cannot be
        written.
    """
    return _message({"ver": ver, "cmd": cmd, "push": True}, 0, body)


def decode_json_request(text: bytes) -> tuple[int, int, int, Payload]:
    """
    Read a request.

    @param text: any bytes are safe.
    @return: ver, cmd, request id (0 = none) and body.

    @raise RemoteProtocolError: it is no request.
    """
    found = _decode(_decode_request, text)
    payload = found.payload
    request_id = found.id
    check_text(text, 2 + (payload is not UNSET) + (request_id is not UNSET), payload)
    return (
        _integer(found.ver, 0, 0xFF),
        _integer(found.cmd, 0, 0xFFFF),
        0 if request_id is UNSET else _integer(request_id, 1, 0xFFFF),
        body_from_json(payload),
    )


def decode_json_server_message(text: bytes) -> Response | Push:
    """
    Read what a server sends after ready.

    @param text: any bytes are safe.
    @return: a response or a push.

    @raise RemoteProtocolError: it is neither.
    """
    found = _decode(_decode_server_message, text)
    payload = found.payload
    optional = (found.status, found.push, payload, found.id)
    check_text(text, 2 + sum(member is not UNSET for member in optional), payload)
    ver = _integer(found.ver, 0, 0xFF)
    cmd = _integer(found.cmd, 0, 0xFFFF)
    body = body_from_json(payload)
    if found.status is UNSET:
        if found.push is not True or found.id is not UNSET:
            raise RemoteProtocolError("neither a response nor a push")
        return Push(ver, cmd, body)
    status = _STATUS.get(_integer(found.status, 0, 0xFF))
    if status is None or found.push is not UNSET:
        raise RemoteProtocolError("neither a response nor a push")
    request_id = 0 if found.id is UNSET else _integer(found.id, 1, 0xFFFF)
    return Response(ver, cmd, status, request_id, body)


def _message(message: dict[str, object], request_id: int, body: Payload) -> bytes:
    ver = message["ver"]
    cmd = message["cmd"]
    if not (
        isinstance(ver, int)
        and isinstance(cmd, int)
        and 0 <= ver <= 0xFF
        and 0 <= cmd <= 0xFFFF
        and 0 <= request_id <= 0xFFFF
    ):
        raise LocalProtocolError(f"ver {ver}, cmd {cmd} or request id {request_id} is out of range")
    if body != b"":
        message["payload"] = body_to_json(body)
    if request_id:
        message["id"] = request_id
    return encode_json(message)


def _decode(decode: Callable[[bytes], _T], text: bytes) -> _T:
    try:
        return decode(text)
    except RecursionError:
        raise RemoteProtocolError("a message nested too deeply") from None
    except (msgspec.MsgspecError, ValueError):
        raise RemoteProtocolError("not a message, or not one that belongs here") from None


def _integer(number: _Number, least: int, most: int) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise RemoteProtocolError(f"{number} is no integer")
    if not least <= number <= most:
        raise RemoteProtocolError(f"{number} is not in {least}..{most}")
    return int(number)


def _unhex(text: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    # The length of the text is looked at too: fromhex() skips white space.
    if len(value) != size or len(text) != 2 * size:
        raise RemoteProtocolError(f"not {2 * size} hex digits")
    return value
