"""
The golden vectors of WebSocket: the code against the files, and the files against a
second derivation that uses nothing of the package.
"""

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.handshake import (
    decode_accept,
    decode_hello,
    open_accept_terms,
    verify_hello,
)
from diarkis_tw.wire.json_message import (
    JsonHello,
    JsonReady,
    JsonTerminate,
    decode_json_auth,
    decode_json_handshake,
    decode_json_request,
    decode_json_server_message,
    verify_auth,
)
from diarkis_tw.wire.keys import (
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.websocket import close_status, split_ws_record
from tests.wire.test_vectors import agreed, derive, expand, extract, gcm, load, unhex


def conversations() -> list[Any]:
    """
    The binary connections of both encryption modes.
    """
    return [
        conversation
        for name in ("ws-encrypted.json", "ws-integrity.json")
        for conversation in load(name)["conversations"]
    ]


def session_of(found: Any) -> SessionKeys:
    """
    The keys of an endpoint answer.
    """
    return SessionKeys.from_hex(
        found["sid"], found["encryptionKey"], found["encryptionIV"], found["encryptionMacKey"]
    )


def body_of(case: Any) -> Any:
    """
    A body: bytes or a value.
    """
    return unhex(case["bytes"]) if case["value"] is None else case["value"]


class BinaryTests(SynchronousTestCase):
    """
    Records with a header of one byte.
    """

    def test_derivedDiffers(self) -> None:
        """
        HELLO, ACCEPT and every record are what hand-made fields, HMAC and seals give,
        with the type alone as header.
        """
        for conversation in conversations():
            self.assertEqual(conversation["transport"], 3)
            keys = derive({**conversation, "shared": agreed(conversation).hex()})
            hello = b"\x01" + struct.pack(
                ">BB16s16s32s",
                1,
                conversation["flags"],
                unhex(conversation["sid"]),
                unhex(conversation["client_nonce"]),
                unhex(conversation["client_ephemeral"]),
            )
            hello += hmac.new(keys["hello_key"], hello, hashlib.sha256).digest()[:16]
            self.assertEqual(conversation["hello"], hello.hex())
            accept = (
                b"\x03"
                + unhex(conversation["server_nonce"])
                + unhex(conversation["server_ephemeral"])
            )
            accept += gcm(keys["accept_key"], bytes(12), accept, unhex(conversation["terms"]))
            self.assertEqual(conversation["accept"], accept.hex())
            for record in conversation["records"]:
                iv = keys[f"{record['direction']}_iv"]
                number = struct.pack(">IQ", 0, record["packet_number"])
                nonce = bytes(a ^ b for a, b in zip(iv, number, strict=True))
                header, plain = bytes([record["type"]]), unhex(record["plaintext"])
                key = keys[f"{record['direction']}_key"]
                if conversation["flags"] & 1:
                    sealed = gcm(key, nonce, header, plain)
                else:
                    sealed = plain + gcm(key, nonce, header + plain, b"")
                self.assertEqual(record["record"], (header + sealed).hex(), record["name"])

    def test_connectionNotOpened(self) -> None:
        """
        Both sides read a whole connection, and nothing that is refused opens.
        """
        for conversation in conversations():
            session = session_of(conversation)
            kind, header, body = split_ws_record(unhex(conversation["hello"]))
            self.assertEqual(kind, 1)
            hello = decode_hello(body)
            self.assertTrue(verify_hello(header, body, session.hello_key()))
            kind, header, body = split_ws_record(unhex(conversation["accept"]))
            server_nonce, server_ephemeral, _ = decode_accept(body)
            context = HandshakeContext(
                hello.version,
                hello.flags,
                TransportId.WS,
                hello.client_nonce,
                server_nonce,
                hello.client_ephemeral,
                server_ephemeral,
            )
            secret = connection_secret(session.master(), agreed(conversation))
            terms = open_accept_terms(header, body, accept_key(secret, context))
            assert terms is not None
            self.assertEqual((terms.connection_ttl, terms.keep_alive), (10, 3333))
            keys = connection_keys(secret, context)
            encrypted = bool(hello.flags & 1)
            ciphers = {
                "c2s": Cipher(keys.c2s_key, keys.c2s_iv, encrypted, AeadCache()),
                "s2c": Cipher(keys.s2c_key, keys.s2c_iv, encrypted, AeadCache()),
            }
            for case in conversation["records"] + conversation["refused"]:
                _, header, body = split_ws_record(unhex(case["record"]))
                opened = ciphers[case["direction"]].open(case["packet_number"], header, body)
                wanted = unhex(case["plaintext"]) if "plaintext" in case else None
                self.assertEqual(opened, wanted, case["name"])


class JsonTests(SynchronousTestCase):
    """
    Texts.
    """

    def setUp(self) -> None:
        self.found = load("json-messages.json")

    def test_proofDiffers(self) -> None:
        """
        The proof is what HKDF and HMAC by hand give, and the package takes it.
        """
        found = self.found
        master = extract(
            unhex(found["encryptionIV"]),
            unhex(found["encryptionKey"]) + unhex(found["encryptionMacKey"]),
        )
        key = expand(master, b"diarkis_tw/1 hello", 32)
        nonces = unhex(found["server_nonce"]) + unhex(found["client_nonce"])
        proof = hmac.new(key, b"diarkis_tw/1 ws" + nonces, hashlib.sha256).hexdigest()
        self.assertEqual((found["hello_key"], found["proof"]), (key.hex(), proof))
        auth = decode_json_auth(found["auth"].encode())
        self.assertTrue(
            verify_auth(auth, unhex(found["server_nonce"]), session_of(found).hello_key())
        )
        self.assertEqual(
            json.loads(found["auth"]),
            {"auth": {"sid": found["sid"], "nonce": found["client_nonce"], "proof": proof}},
        )

    def test_handshakeNotRead(self) -> None:
        """
        hello, ready and terminate for every code are read, and are what Python's own
        writer makes of them.
        """
        found = self.found
        self.assertEqual(
            decode_json_handshake(found["hello"].encode()),
            JsonHello(unhex(found["server_nonce"]), 1),
        )
        self.assertEqual(decode_json_handshake(found["ready"].encode()), JsonReady(10, 3333))
        self.assertEqual(
            json.loads(found["ready"]), {"ready": {"connectionTTL": 10, "keepAlive": 3333}}
        )
        self.assertEqual(
            {case["code"] for case in found["terminates"]}, {int(code) for code in CloseCode}
        )
        for case in found["terminates"]:
            code = CloseCode(case["code"])
            self.assertEqual(
                decode_json_handshake(case["text"].encode()), JsonTerminate(code, case["reason"])
            )
            self.assertEqual(close_status(code), case["close_status"])

    def written(self, case: Any, **fields: object) -> dict[str, object]:
        """
        What a text should say.
        """
        message = {"ver": case["ver"], "cmd": case["cmd"], **fields}
        if case["bytes"]:
            message["payload"] = {"base64": base64.b64encode(unhex(case["bytes"])).decode()}
        elif case["value"] is not None:
            message["payload"] = case["value"]
        if case.get("request_id"):
            message["id"] = case["request_id"]
        return message

    def test_messagesNotRead(self) -> None:
        """
        Requests, responses and pushes are read as the fields they were written from,
        and say them; the others are refused.
        """
        for case in self.found["requests"]:
            self.assertEqual(
                decode_json_request(case["text"].encode()),
                (case["ver"], case["cmd"], case["request_id"], body_of(case)),
            )
            self.assertEqual(json.loads(case["text"]), self.written(case))
        for case in self.found["responses"]:
            status = Status(case["status"])
            self.assertEqual(
                decode_json_server_message(case["text"].encode()),
                Response(case["ver"], case["cmd"], status, case["request_id"], body_of(case)),
            )
            self.assertEqual(json.loads(case["text"]), self.written(case, status=status))
        for case in self.found["pushes"]:
            self.assertEqual(
                decode_json_server_message(case["text"].encode()),
                Push(case["ver"], case["cmd"], body_of(case)),
            )
            self.assertEqual(json.loads(case["text"]), self.written(case, push=True))
        for text in self.found["refused_requests"]:
            self.assertRaises(RemoteProtocolError, decode_json_request, text.encode())
