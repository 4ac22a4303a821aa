"""
The golden vectors: the code against the files, and the files against a second
derivation that uses nothing of the package.
"""

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import (
    Hello,
    Terms,
    decode_accept,
    decode_close,
    decode_hello,
    decode_terminate,
    open_accept_terms,
    verify_hello,
)
from diarkis_tw.wire.keep_alive import decode_keep_alive_request, decode_keep_alive_response
from diarkis_tw.wire.keys import (
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import Push, Response, decode_request, decode_server_message
from diarkis_tw.wire.record import RecordReader
from diarkis_tw.wire.value import decode_error
from tests.vectors.generate import vectors

FOLDER = Path(__file__).parent.parent / "vectors"

unhex = bytes.fromhex


def load(name: str) -> Any:
    """
    Read a vector file.
    """
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def conversations() -> list[Any]:
    """
    The TCP connections of both encryption modes.
    """
    return [
        conversation
        for name in ("tcp-encrypted.json", "tcp-integrity.json")
        for conversation in load(name)["conversations"]
    ]


# The second derivation: RFC 5869, AES-GCM by block cipher mode, struct formats
# written out again.


def extract(salt: bytes, key_material: bytes) -> bytes:
    """
    RFC 5869, 2.2.
    """
    return hmac.new(salt, key_material, hashlib.sha256).digest()


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """
    RFC 5869, 2.3.
    """
    okm = block = b""
    counter = 1
    while len(okm) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        okm += block
        counter += 1
    return okm[:length]


def gcm(key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
    """
    AES-128-GCM: ciphertext and tag.
    """
    encryptor = BlockCipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    ciphertext = encryptor.update(plaintext) + encryptor.finalize()
    return ciphertext + encryptor.tag


def seal(key: bytes, iv: bytes, number: int, encrypted: bool, type: int, plain: bytes) -> bytes:
    """
    A whole sealed TCP record.
    """
    header = struct.pack(">I", type << 24 | len(plain) + 16)
    nonce = bytes(a ^ b for a, b in zip(iv, struct.pack(">IQ", 0, number), strict=True))
    if encrypted:
        return header + gcm(key, nonce, header, plain)
    return header + plain + gcm(key, nonce, header + plain, b"")


def derive(case: Any) -> dict[str, bytes]:
    """
    The key schedule from the inputs of a case or conversation.
    """
    master = extract(
        unhex(case["encryptionIV"]), unhex(case["encryptionKey"]) + unhex(case["encryptionMacKey"])
    )
    secret = extract(master, unhex(case["shared"]))
    context = struct.pack(">BBB", case["version"], case["flags"], case["transport"]) + b"".join(
        unhex(case[name])
        for name in ("client_nonce", "server_nonce", "client_ephemeral", "server_ephemeral")
    )
    keys = expand(secret, b"diarkis_tw/1 connection" + context, 56)
    return {
        "master": master,
        "hello_key": expand(master, b"diarkis_tw/1 hello", 32),
        "secret": secret,
        "context": context,
        "accept_key": expand(secret, b"diarkis_tw/1 accept" + context, 16),
        "c2s_key": keys[:16],
        "c2s_iv": keys[16:28],
        "s2c_key": keys[28:44],
        "s2c_iv": keys[44:56],
    }


def agreed(conversation: Any) -> bytes:
    """
    The X25519 result of a conversation, empty without forward secrecy.
    """
    if conversation["client_private"] is None:
        return b""
    return X25519PrivateKey.from_private_bytes(unhex(conversation["client_private"])).exchange(
        X25519PublicKey.from_public_bytes(unhex(conversation["server_ephemeral"]))
    )


class DocumentedTableTests(SynchronousTestCase):
    """
    The figures that the protocol was published with, written out here so that no
    run of the generator can change them.
    """

    tables = {
        "UDP, no ephemerals": {
            "master": "a608664c1b65ad572f02c4ee775bfccc3cb1284f8370a0ba3fc0bb63366619ac",
            "hello_key": "c415dbd4d731cd7f2e7075a736a8a998c2bb6c7622ec1f13d1d590159f15eb90",
            "secret": "1ea507adba5fb25bd9ba83e55cdae03d9fb3894f6430a46f834466f75e3f478a",
            "accept_key": "55754cf8e5e9dd898402f14bbe54e4bb",
            "c2s_key": "9426a328a37d21935e09b0d0bc4d621d",
            "c2s_iv": "f80512fabb8a4e7dabde7c20",
            "s2c_key": "a9df1fe782cfa8c5076eeb7edaa76c95",
            "s2c_iv": "743230bfd63dd9d4d0ea25f3",
        },
        "UDP, ephemerals": {
            "master": "a608664c1b65ad572f02c4ee775bfccc3cb1284f8370a0ba3fc0bb63366619ac",
            "hello_key": "c415dbd4d731cd7f2e7075a736a8a998c2bb6c7622ec1f13d1d590159f15eb90",
            "secret": "6a5ac991a37f9bd20fc526ccdba6a45926a00e3b9019a40492bebf62cb944930",
            "accept_key": "fd2ead37f4b0b606b30a715b385ae63b",
            "c2s_key": "f1ccc4010b9ec004d4bdadb1685a45be",
            "c2s_iv": "ac45bd44d47ac977396f46b7",
            "s2c_key": "be0f6e85d0435ee0a601dccc1759a41e",
            "s2c_iv": "73d3331babf95423c43a390b",
        },
    }

    def test_keyScheduleDiffersFromTheTable(self) -> None:
        """
        The key schedule gives the published figures.
        """
        cases = {case["name"]: case for case in load("keys.json")["cases"]}
        for name, table in self.tables.items():
            case = cases[name]
            self.assertEqual({field: case[field] for field in table}, table)


class FileTests(SynchronousTestCase):
    """
    The files and their generator.
    """

    def test_generatorWritesOtherFiles(self) -> None:
        """
        The generator writes the very files that are there, and no others are
        there.
        """
        generated = dict(vectors())
        self.assertEqual(
            generated, {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
        )


class SecondDerivationTests(SynchronousTestCase):
    """
    What the files say, derived without the package.
    """

    def test_keysWrong(self) -> None:
        """
        Every step of the key schedule is what HKDF by hand gives.
        """
        for case in load("keys.json")["cases"]:
            for name, value in derive(case).items():
                self.assertEqual(case[name], value.hex(), (case["name"], name))

    def test_handshakeWrong(self) -> None:
        """
        HELLO and ACCEPT are what hand-made fields, HMAC and seal give.
        """
        for conversation in conversations():
            keys = derive({**conversation, "shared": agreed(conversation).hex()})
            hello = struct.pack(
                ">IBB16s16s32s",
                0x01000000 | 82,
                1,
                conversation["flags"],
                unhex(conversation["sid"]),
                unhex(conversation["client_nonce"]),
                unhex(conversation["client_ephemeral"]),
            )
            hello += hmac.new(keys["hello_key"], hello, hashlib.sha256).digest()[:16]
            self.assertEqual(conversation["hello"], hello.hex())
            accept = struct.pack(
                ">I16s32s",
                0x03000000 | 104,
                unhex(conversation["server_nonce"]),
                unhex(conversation["server_ephemeral"]),
            )
            self.assertEqual(len(accept), 52)
            terms = struct.pack(
                ">24xHHHHHHHH",
                *(0, 0, 0, 0),
                conversation["connection_ttl_s"],
                conversation["keep_alive_ms"],
                *(0, 0),
            )
            self.assertEqual(conversation["terms"], terms.hex())
            accept += gcm(keys["accept_key"], bytes(12), accept, terms)
            self.assertEqual(conversation["accept"], accept.hex())

    def test_recordsWrong(self) -> None:
        """
        Every DATA and CLOSE record is what a hand-made seal gives.
        """
        for conversation in conversations():
            keys = derive({**conversation, "shared": agreed(conversation).hex()})
            for record in conversation["records"]:
                direction = record["direction"]
                expected = seal(
                    keys[f"{direction}_key"],
                    keys[f"{direction}_iv"],
                    record["packet_number"],
                    bool(conversation["flags"] & 1),
                    record["type"],
                    unhex(record["plaintext"]),
                )
                self.assertEqual(record["record"], expected.hex(), record["name"])

    def test_messagesWrong(self) -> None:
        """
        Every message is its fields, one after the other.
        """
        found = load("messages.json")
        for case in found["requests"]:
            header = struct.pack(">BHH", case["ver"], case["cmd"], case["request_id"])
            self.assertEqual(case["message"], header.hex() + case["payload"])
        for case in found["responses"]:
            header = struct.pack(
                ">BHBH", case["ver"], case["cmd"], case["status"], case["request_id"]
            )
            self.assertEqual(case["message"], header.hex() + case["payload"])
        for case in found["pushes"]:
            header = struct.pack(">BHB", case["ver"], case["cmd"], 255)
            self.assertEqual(case["message"], header.hex() + case["payload"])

    def test_payloadsWrong(self) -> None:
        """
        Keep-alive payloads and endings are their fields, one after the other.
        """
        found = load("keep-alive.json")
        for case in found["requests"]:
            rtt = 65535 if case["rtt_ms"] is None else case["rtt_ms"]
            self.assertEqual(case["payload"], struct.pack(">QH", case["time_ms"], rtt).hex())
        for case in found["responses"]:
            head = struct.pack(">QB", case["time_ms"], case["state"])
            self.assertEqual(case["payload"], (head + case["address"].encode()).hex())
        found = load("endings.json")
        for case in found["terminates"]:
            self.assertEqual(
                case["record"], f"04000011{case['client_nonce']}{bytes([case['code']]).hex()}"
            )
        for case in found["closes"]:
            reason = case["sent_reason"]
            self.assertEqual(case["plaintext"], (bytes([case["code"]]) + reason.encode()).hex())
            self.assertTrue(case["reason"].startswith(reason))
            if reason != case["reason"]:
                following = case["reason"][len(reason)]
                self.assertLessEqual(len(reason.encode()), 200)
                self.assertGreater(len((reason + following).encode()), 200)

    def test_errorsWrong(self) -> None:
        """
        Every error payload is the MessagePack map of its code and message.
        """
        for case in load("errors.json")["errors"]:
            code, text = case["code"], case["message"].encode()
            number = bytes([code]) if code < 128 else struct.pack(">BH", 0xCD, code)
            expected = b"\x82\xa4code" + number + b"\xa7message" + bytes([0xA0 | len(text)]) + text
            self.assertEqual(case["payload"], expected.hex())


class DecodingTests(SynchronousTestCase):
    """
    What the files say, read by the package.
    """

    def test_connectionNotOpened(self) -> None:
        """
        Both sides read a whole connection, one record after the other.
        """
        for conversation in conversations():
            session = SessionKeys.from_hex(
                conversation["sid"],
                conversation["encryptionKey"],
                conversation["encryptionIV"],
                conversation["encryptionMacKey"],
            )
            reader = RecordReader(82)
            reader.feed(unhex(conversation["hello"]))
            record = reader.next()
            assert record is not None
            self.assertEqual(record[0], 1)
            hello = decode_hello(record[2])
            self.assertEqual(
                hello,
                Hello(
                    1,
                    conversation["flags"],
                    session.sid,
                    unhex(conversation["client_nonce"]),
                    unhex(conversation["client_ephemeral"]),
                ),
            )
            self.assertTrue(verify_hello(record[1], record[2], session.hello_key()))

            reader = RecordReader(104)
            reader.feed(unhex(conversation["accept"]))
            record = reader.next()
            assert record is not None
            self.assertEqual(record[0], 3)
            server_nonce, server_ephemeral, sealed = decode_accept(record[2])
            self.assertEqual(len(sealed), 56)
            context = HandshakeContext(
                1,
                hello.flags,
                TransportId.TCP,
                hello.client_nonce,
                server_nonce,
                hello.client_ephemeral,
                server_ephemeral,
            )
            shared: bytes | None = b""
            if hello.flags & 2:
                private = unhex(conversation["client_private"])
                self.assertEqual(public_key(private), hello.client_ephemeral)
                shared = shared_secret(private, server_ephemeral)
            assert shared is not None
            secret = connection_secret(session.master(), shared)
            terms = open_accept_terms(record[1], record[2], accept_key(secret, context))
            self.assertEqual(terms, Terms(bytes(8), bytes(16), 0, 0, 0, 0, 10, 3333, 0))

            keys = connection_keys(secret, context)
            cache = AeadCache()
            encrypted = bool(hello.flags & 1)
            ciphers = {
                "c2s": Cipher(keys.c2s_key, keys.c2s_iv, encrypted, cache),
                "s2c": Cipher(keys.s2c_key, keys.s2c_iv, encrypted, cache),
            }
            reader = RecordReader(1000)
            for case in conversation["records"]:
                reader.feed(unhex(case["record"]))
                record = reader.next()
                assert record is not None
                type, header, body = record
                self.assertEqual(type, case["type"])
                plaintext = ciphers[case["direction"]].open(case["packet_number"], header, body)
                self.assertEqual(plaintext, unhex(case["plaintext"]), case["name"])
            for case in conversation["refused"]:
                reader.feed(unhex(case["record"]))
                record = reader.next()
                assert record is not None
                _, header, body = record
                self.assertIsNone(
                    ciphers[case["direction"]].open(case["packet_number"], header, body),
                    case["name"],
                )

    def test_ephemeralsWrong(self) -> None:
        """
        Both sides of the agreement come to the same secret, and the public keys
        that force one are refused.
        """
        found = load("ephemeral.json")
        client, server = unhex(found["client_private"]), unhex(found["server_private"])
        self.assertEqual(public_key(client).hex(), found["client_public"])
        self.assertEqual(public_key(server).hex(), found["server_public"])
        for private, public in ((client, "server_public"), (server, "client_public")):
            self.assertEqual(shared_secret(private, unhex(found[public])), unhex(found["shared"]))
        for point in found["refused_public"]:
            self.assertIsNone(shared_secret(client, unhex(point)))

    def test_messagesNotRead(self) -> None:
        """
        Messages are read as the fields they were written from, and malformed
        ones refused.
        """
        found = load("messages.json")
        for case in found["requests"]:
            self.assertEqual(
                decode_request(unhex(case["message"])),
                (case["ver"], case["cmd"], case["request_id"], unhex(case["payload"])),
            )
        for case in found["responses"]:
            self.assertEqual(
                decode_server_message(unhex(case["message"])),
                Response(
                    case["ver"],
                    case["cmd"],
                    Status(case["status"]),
                    case["request_id"],
                    unhex(case["payload"]),
                ),
            )
        for case in found["pushes"]:
            self.assertEqual(
                decode_server_message(unhex(case["message"])),
                Push(case["ver"], case["cmd"], unhex(case["payload"])),
            )
        for message in found["refused_requests"]:
            self.assertRaises(RemoteProtocolError, decode_request, unhex(message))
        for message in found["refused_server_messages"]:
            self.assertRaises(RemoteProtocolError, decode_server_message, unhex(message))

    def test_payloadsNotRead(self) -> None:
        """
        Keep-alive and error payloads are read as the fields they were written
        from; malformed keep-alives are refused, malformed errors read as none.
        """
        found = load("keep-alive.json")
        for case in found["requests"]:
            self.assertEqual(
                decode_keep_alive_request(unhex(case["payload"])), (case["time_ms"], case["rtt_ms"])
            )
        for case in found["responses"]:
            self.assertEqual(
                decode_keep_alive_response(unhex(case["payload"])),
                (case["time_ms"], case["state"], case["address"]),
            )
        for payload in found["refused_requests"]:
            self.assertRaises(RemoteProtocolError, decode_keep_alive_request, unhex(payload))
        for payload in found["refused_responses"]:
            self.assertRaises(RemoteProtocolError, decode_keep_alive_response, unhex(payload))
        found = load("errors.json")
        for case in found["errors"]:
            self.assertEqual(decode_error(unhex(case["payload"])), (case["code"], case["message"]))
        for payload in found["not_errors"]:
            self.assertEqual(decode_error(unhex(payload)), (0, ""))

    def test_endingsNotRead(self) -> None:
        """
        TERMINATE and CLOSE are read for every code.
        """
        found = load("endings.json")
        self.assertEqual(
            {case["code"] for case in found["terminates"]}, {int(c) for c in CloseCode}
        )
        for case in found["terminates"]:
            self.assertEqual(
                decode_terminate(unhex(case["record"])[4:]),
                (unhex(case["client_nonce"]), CloseCode[case["code_name"]]),
            )
        for case in found["closes"]:
            self.assertEqual(
                decode_close(unhex(case["plaintext"])),
                (CloseCode(case["code"]), case["sent_reason"]),
            )
