"""
Vectors of JSON WebSocket. Texts are compared as what they say, not byte by byte.
"""

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.wire.json_message import (
    JsonAuth,
    JsonReady,
    encode_json_auth,
    encode_json_hello,
    encode_json_push,
    encode_json_ready,
    encode_json_request,
    encode_json_response,
    encode_json_terminate,
    json_proof,
)
from diarkis_tw.wire.keep_alive import keep_alive_request_value, keep_alive_response_value
from diarkis_tw.wire.value import Payload
from tests.vectors.inputs import CLIENT_NONCE, SERVER_NONCE, SESSION, Json, session_inputs

BODIES: tuple[Payload, ...] = (
    b"",
    b"hello",
    b"\xfb\xff\x00",
    {},
    {"name": "Zo\u00eb", "hp": [3, 2.5, -1], "more": {"none": None, "yes": True}},
)

REFUSED_REQUESTS = (
    "",
    "{}",
    "[2,10]",
    '{"ver":2}',
    '{"ver":2,"cmd":10,"x":1}',
    '{"ver":256,"cmd":10}',
    '{"ver":2,"cmd":65536}',
    '{"ver":2.5,"cmd":10}',
    '{"ver":"2","cmd":10}',
    '{"ver":2,"cmd":10,"id":0}',
    '{"ver":2,"cmd":10,"id":65536}',
    '{"ver":2,"cmd":10,"payload":null}',
    '{"ver":2,"cmd":10,"payload":[1]}',
    '{"ver":2,"cmd":10,"payload":{"base64":"YQ"}}',
    '{"ver":2,"cmd":10,"payload":{"base64":"_-8="}}',
    '{"ver":2,"cmd":10,"payload":{"base64":1}}',
    '{"ver":2,"ver":2,"cmd":10}',
    '{"ver":2,"cmd":10,"payload":{"a":1,"\\u0061":2}}',
    '{"ver":2,"cmd":10,"payload":{"a":NaN}}',
    '{"ver":2,"cmd":10,"payload":{"a":1e400}}',
    '{"ver":2,"cmd":10,"payload":{"a":"\\ud800"}}',
    '{"ver":2,"cmd":10,"payload":{"a":' + "[" * 15 + "]" * 15 + "}}",
)


def body_fields(body: Payload) -> Json:
    """
    A body: C{bytes} in hex, or C{value}.
    """
    if isinstance(body, bytes):
        return {"bytes": body.hex(), "value": None}
    return {"bytes": None, "value": body}


def json_vectors() -> Json:
    """
    Handshake, commands, and texts that have to be refused.
    """
    proof = json_proof(SESSION.hello_key(), SERVER_NONCE, CLIENT_NONCE)
    floats = '{"ver":2.0,"cmd":1e1,"id":7.0,"payload":{"at":"12:30"}}'
    return {
        **session_inputs(),
        "server_nonce": SERVER_NONCE.hex(),
        "client_nonce": CLIENT_NONCE.hex(),
        "hello_key": SESSION.hello_key().hex(),
        "proof": proof.hex(),
        "hello": encode_json_hello(SERVER_NONCE).decode(),
        "auth": encode_json_auth(JsonAuth(SESSION.sid, CLIENT_NONCE, proof)).decode(),
        "ready": encode_json_ready(JsonReady(10, 3333)).decode(),
        "terminates": [
            {
                "code": int(code),
                "reason": code.name,
                "close_status": 4000 + code,
                "text": encode_json_terminate(code, code.name).decode(),
            }
            for code in CloseCode
        ],
        "requests": [
            {
                "ver": 2,
                "cmd": 10,
                "request_id": request_id,
                **body_fields(body),
                "text": encode_json_request(2, 10, request_id, body).decode(),
            }
            for request_id, body in zip((0, 7, 65535, 0, 1), BODIES, strict=True)
        ]
        + [
            {
                "ver": 2,
                "cmd": 10,
                "request_id": 7,
                **body_fields({"at": "12:30"}),
                "text": floats,
            },
            {
                "ver": 0,
                "cmd": 1,
                "request_id": 0,
                **body_fields(keep_alive_request_value(1000, None)),
                "text": encode_json_request(0, 1, 0, keep_alive_request_value(1000, None)).decode(),
            },
        ],
        "responses": [
            {
                "ver": ver,
                "cmd": cmd,
                "status": int(status),
                "request_id": request_id,
                **body_fields(body),
                "text": encode_json_response(ver, cmd, status, request_id, body).decode(),
            }
            for ver, cmd, status, request_id, body in (
                *((2, 10, Status.OK, 7, body) for body in BODIES),
                (2, 10, Status.BAD, 7, {"code": 1004, "message": "unknown command"}),
                (2, 10, Status.ERR, 0, {"code": 9999, "message": "internal error"}),
                (0, 1, Status.OK, 0, keep_alive_response_value(1000, 1, "")),
            )
        ],
        "pushes": [
            {
                "ver": ver,
                "cmd": cmd,
                **body_fields(body),
                "text": encode_json_push(ver, cmd, body).decode(),
            }
            for ver, cmd, body in (
                (2, 11, b"news"),
                (255, 65535, {"a": 1}),
                (0, 6, {"state": 2}),
            )
        ],
        "refused_requests": list(REFUSED_REQUESTS),
    }
