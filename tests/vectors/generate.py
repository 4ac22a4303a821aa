"""
Writes the golden vectors anew, from the package and fixed inputs::

    python -m tests.vectors.generate

The files it writes are those beside it, byte for byte: a difference is a change
of the protocol. L{tests.wire.test_vectors} also derives their contents by other
means.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from diarkis_tw.constants import (
    NODE_STATE_BYTE,
    PROTOCOL_VERSION,
    CloseCode,
    NodeState,
    Status,
)
from diarkis_tw.wire import ephemeral
from diarkis_tw.wire.handshake import (
    NO_NONCE,
    TERMINATE_BODY_SIZE,
    encode_close,
    encode_terminate,
)
from diarkis_tw.wire.keep_alive import encode_keep_alive_request, encode_keep_alive_response
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    HandshakeContext,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import encode_push, encode_request, encode_response
from diarkis_tw.wire.record import RecordType, record_header
from diarkis_tw.wire.value import encode_error
from tests.vectors.inputs import (
    CLIENT_NONCE,
    CLIENT_PRIVATE,
    SERVER_NONCE,
    SERVER_PRIVATE,
    SESSION,
    Json,
    repeated,
    session_inputs,
)
from tests.vectors.stream import stream_vectors
from tests.vectors.text import json_vectors
from tests.vectors.udp import (
    datagram_vectors,
    frame_vectors,
    packet_number_vectors,
    udp_vectors,
)

FOLDER = Path(__file__).parent


def key_case(name: str, context: HandshakeContext, shared: bytes) -> Json:
    """
    One run of the key schedule, with every step.
    """
    master = SESSION.master()
    secret = connection_secret(master, shared)
    keys = connection_keys(secret, context)
    return {
        "name": name,
        **session_inputs(),
        "version": context.version,
        "flags": context.flags,
        "transport": int(context.transport),
        "client_nonce": context.client_nonce.hex(),
        "server_nonce": context.server_nonce.hex(),
        "client_ephemeral": context.client_ephemeral.hex(),
        "server_ephemeral": context.server_ephemeral.hex(),
        "shared": shared.hex(),
        "master": master.hex(),
        "hello_key": SESSION.hello_key().hex(),
        "secret": secret.hex(),
        "context": context.encode().hex(),
        "accept_key": accept_key(secret, context).hex(),
        "c2s_key": keys.c2s_key.hex(),
        "c2s_iv": keys.c2s_iv.hex(),
        "s2c_key": keys.s2c_key.hex(),
        "s2c_iv": keys.s2c_iv.hex(),
    }


def key_vectors() -> Json:
    """
    The key schedule for each transport, without and with forward secrecy.
    """
    cases = []
    for transport in TransportId:
        plain = HandshakeContext(
            PROTOCOL_VERSION, FLAG_ENCRYPTED, transport, CLIENT_NONCE, SERVER_NONCE
        )
        secret = HandshakeContext(
            PROTOCOL_VERSION,
            FLAG_ENCRYPTED | FLAG_EPHEMERAL,
            transport,
            CLIENT_NONCE,
            SERVER_NONCE,
            repeated(0x0A, 32),
            repeated(0x0B, 32),
        )
        cases.append(key_case(f"{transport.name}, no ephemerals", plain, b""))
        # Not an agreed secret of these two keys, only three recognisable inputs.
        cases.append(key_case(f"{transport.name}, ephemerals", secret, repeated(0x09, 32)))
    return {"cases": cases}


def ephemeral_vectors() -> Json:
    """
    X25519 as the handshake uses it, and public keys that have to be refused.
    """
    client_public = ephemeral.public_key(CLIENT_PRIVATE)
    server_public = ephemeral.public_key(SERVER_PRIVATE)
    shared = ephemeral.shared_secret(CLIENT_PRIVATE, server_public)
    assert shared is not None
    p = 2**255 - 19
    return {
        "client_private": CLIENT_PRIVATE.hex(),
        "client_public": client_public.hex(),
        "server_private": SERVER_PRIVATE.hex(),
        "server_public": server_public.hex(),
        "shared": shared.hex(),
        "refused_public": [point.to_bytes(32, "little").hex() for point in (0, 1, p - 1, p, p + 1)],
    }


def ending_vectors() -> Json:
    """
    TERMINATE records and CLOSE plaintexts, for every code.
    """
    header = record_header(RecordType.TERMINATE, TERMINATE_BODY_SIZE)
    long_reason = "ü" * 99 + "€€"
    return {
        "terminates": [
            {
                "client_nonce": nonce.hex(),
                "code": int(code),
                "code_name": code.name,
                "record": (header + encode_terminate(nonce, code)).hex(),
            }
            for code in CloseCode
            for nonce in (
                (NO_NONCE, CLIENT_NONCE) if code == CloseCode.UNKNOWN else (CLIENT_NONCE,)
            )
        ],
        "closes": [
            {"code": int(code), "reason": reason, "sent_reason": sent, "plaintext": plain.hex()}
            for code, reason, sent, plain in (
                (code, reason, plain[1:].decode(), plain)
                for code, reason in (
                    (CloseCode.NORMAL, ""),
                    (CloseCode.SERVER_OFFLINE, "going down"),
                    (CloseCode.INTERNAL, long_reason),
                )
                for plain in (encode_close(code, reason),)
            )
        ],
    }


def message_vectors() -> Json:
    """
    Requests, responses, pushes, and messages that have to be refused.
    """
    payloads = (b"", b"\x00", b"hello")
    limits = ((0, 0, 0), (2, 10, 7), (255, 65535, 65535))
    return {
        "requests": [
            {
                "ver": ver,
                "cmd": cmd,
                "request_id": request_id,
                "payload": payload.hex(),
                "message": encode_request(ver, cmd, request_id, payload).hex(),
            }
            for (ver, cmd, request_id), payload in zip(limits, payloads, strict=True)
        ],
        "responses": [
            {
                "ver": ver,
                "cmd": cmd,
                "status": int(status),
                "request_id": request_id,
                "payload": payload.hex(),
                "message": encode_response(ver, cmd, status, request_id, payload).hex(),
            }
            for (ver, cmd, request_id), payload in zip(limits, payloads, strict=True)
            for status in Status
        ],
        "pushes": [
            {
                "ver": ver,
                "cmd": cmd,
                "payload": payload.hex(),
                "message": encode_push(ver, cmd, payload).hex(),
            }
            for (ver, cmd, _), payload in zip(limits, payloads, strict=True)
        ],
        "refused_requests": ["", "02", "02000a00"],
        "refused_server_messages": [
            "",
            "02000a",
            "02000a01",
            "02000a0100",
            "02000a000007",
            "02000a020007",
            "02000a060007",
            "02000afe0007",
        ],
    }


def keep_alive_vectors() -> Json:
    """
    Payloads of the keep-alive command, and some that have to be refused.
    """
    times = (0, 1000, 2**64 - 1)
    return {
        "requests": [
            {
                "time_ms": time,
                "rtt_ms": rtt,
                "payload": encode_keep_alive_request(time, rtt).hex(),
            }
            for time, rtt in zip(times, (None, 0, 65534), strict=True)
        ],
        "responses": [
            {
                "time_ms": time,
                "state": NODE_STATE_BYTE[state],
                "address": address,
                "payload": encode_keep_alive_response(time, NODE_STATE_BYTE[state], address).hex(),
            }
            for time, state, address in zip(
                times,
                (NodeState.ONLINE, NodeState.OFFLINE, NodeState.TAKEN),
                ("", "192.0.2.1:50000", "[2001:db8::1]:50000"),
                strict=True,
            )
        ],
        "refused_requests": ["", "00" * 9, "00" * 11],
        "refused_responses": ["", "00" * 8, "00" * 9, "00" * 8 + "04", "00" * 8 + "01ff"],
    }


def error_vectors() -> Json:
    """
    Payloads of BAD and ERR responses, and payloads that are none.
    """
    return {
        "errors": [
            {"code": code, "message": message, "payload": encode_error(code, message).hex()}
            for code, message in (
                (0, ""),
                (1004, "unknown command"),
                (9999, "internal error"),
                (65535, "Zoë ist müde"),
            )
        ],
        "not_errors": [
            "",
            "c0",
            "80",
            "81a4636f646501",
            "82a4636f6465a131a76d657373616765a0",
            "82a4636f646501a76d657373616765a1ff",
            "ff",
        ],
    }


def vectors() -> Iterator[tuple[str, str]]:
    """
    All vectors.

    @return: name and text of each file.
    """
    for name, content in (
        ("keys.json", key_vectors()),
        ("ephemeral.json", ephemeral_vectors()),
        ("tcp-encrypted.json", stream_vectors(TransportId.TCP, FLAG_ENCRYPTED, "encrypted")),
        ("tcp-integrity.json", stream_vectors(TransportId.TCP, 0, "integrity only")),
        ("ws-encrypted.json", stream_vectors(TransportId.WS, FLAG_ENCRYPTED, "encrypted")),
        ("ws-integrity.json", stream_vectors(TransportId.WS, 0, "integrity only")),
        ("json-messages.json", json_vectors()),
        ("udp-encrypted.json", udp_vectors(FLAG_ENCRYPTED, "encrypted")),
        ("udp-integrity.json", udp_vectors(0, "integrity only")),
        ("datagrams.json", datagram_vectors()),
        ("frames.json", frame_vectors()),
        ("packet-numbers.json", packet_number_vectors()),
        ("endings.json", ending_vectors()),
        ("messages.json", message_vectors()),
        ("keep-alive.json", keep_alive_vectors()),
        ("errors.json", error_vectors()),
    ):
        yield name, json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """
    Write every file.
    """
    for name, text in vectors():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
