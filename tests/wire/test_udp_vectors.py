"""
The golden vectors of UDP: the code against the files, and the files against a
second derivation that uses nothing of the package.
"""

import hashlib
import hmac
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.cookie import Cookies
from diarkis_tw.rudp.reset_token import reset_token
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.datagram import client_datagram_kind, server_datagram_kind
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    cookie_fields,
    decode_accept,
    decode_cookie,
    decode_hello,
    decode_terminate,
    open_accept_terms,
    verify_hello,
)
from diarkis_tw.wire.ephemeral import shared_secret
from diarkis_tw.wire.frame import parse_frames
from diarkis_tw.wire.handshake import Hello, Terms
from diarkis_tw.wire.keys import (
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.packet import restore_number
from diarkis_tw.wire.reset import matches_reset
from tests.wire.test_frame import by_the_table
from tests.wire.test_packet import nearest
from tests.wire.test_vectors import agreed, derive, gcm, load, unhex

HEADER_SIZE = {"c2s": 11, "s2c": 3}


def conversations() -> list[Any]:
    """
    The UDP connections of both encryption modes.
    """
    return [
        conversation
        for name in ("udp-encrypted.json", "udp-integrity.json")
        for conversation in load(name)["conversations"]
    ]


def seal(conversation: Any, keys: dict[str, bytes], packet: Any) -> bytes:
    """
    A whole DATA packet.
    """
    direction, number = packet["direction"], packet["packet_number"]
    cid = unhex(conversation["cid"]) if direction == "c2s" else b""
    header = b"\x80" + cid + struct.pack(">H", number % 65536)
    mask = struct.pack(">IQ", 0, number)
    nonce = bytes(a ^ b for a, b in zip(keys[f"{direction}_iv"], mask, strict=True))
    key, plain = keys[f"{direction}_key"], unhex(packet["plaintext"])
    if conversation["flags"] & 1:
        return header + gcm(key, nonce, header, plain)
    return header + plain + gcm(key, nonce, header + plain, b"")


def as_tuples(frames: list[Any]) -> list[tuple[int, int, int, bytes]]:
    """
    A file's frames as the package gives them.
    """
    return [
        (frame["type"], frame["number"], frame["delay"], unhex(frame["bytes"])) for frame in frames
    ]


class SecondDerivationTests(SynchronousTestCase):
    """
    What the files say, derived without the package.
    """

    def test_handshakeWrong(self) -> None:
        """
        Both HELLOs, COOKIE and ACCEPT are what hand-made fields, HMAC and seal give.
        """
        for conversation in conversations():
            keys = derive({**conversation, "shared": agreed(conversation).hex()})
            nonce, cookie = unhex(conversation["client_nonce"]), unhex(conversation["cookie"])
            for name, value in (("first_hello", bytes(20)), ("second_hello", cookie)):
                hello = struct.pack(
                    ">BB16s16s20sB32s",
                    *(1, conversation["version"], unhex(conversation["sid"]), nonce, value),
                    *(conversation["flags"], unhex(conversation["client_ephemeral"])),
                ).ljust(1184, b"\x00")
                hello += hmac.new(keys["hello_key"], hello, hashlib.sha256).digest()[:16]
                self.assertEqual(conversation[name], hello.hex())
            self.assertEqual(conversation["cookie_datagram"], (b"\x02" + nonce + cookie).hex())
            terms = struct.pack(
                ">8s16sHHHHHHHH",
                *(unhex(conversation["cid"]), unhex(conversation["reset_token"])),
                *(conversation["retry_interval_ms"], conversation["ack_delay_ms"]),
                *(conversation["mtu"], conversation["window"]),
                *(conversation["connection_ttl_s"], conversation["keep_alive_ms"]),
                *(conversation["max_retry"], 0),
            )
            self.assertEqual(conversation["terms"], terms.hex())
            accept = b"\x03" + nonce[:8] + unhex(conversation["server_nonce"])
            accept += unhex(conversation["server_ephemeral"])
            self.assertEqual(len(accept), 57)
            accept += gcm(keys["accept_key"], bytes(12), accept, terms)
            self.assertEqual(conversation["accept"], accept.hex())

    def test_packetsWrong(self) -> None:
        """
        Every packet is what a hand-made seal gives, and none of a client is smaller
        than 44 bytes.
        """
        for conversation in conversations():
            keys = derive({**conversation, "shared": agreed(conversation).hex()})
            for packet in conversation["packets"]:
                expected = seal(conversation, keys, packet)
                self.assertEqual(packet["datagram"], expected.hex(), packet["name"])
                self.assertGreaterEqual(len(expected), {"c2s": 44, "s2c": 19}[packet["direction"]])
                self.assertLessEqual(len(expected), conversation["mtu"])

    def test_otherDatagramsWrong(self) -> None:
        """
        TERMINATE, cookies and RESET are their fields and digests.
        """
        found = load("datagrams.json")
        for case in found["terminates"]:
            self.assertEqual(
                case["datagram"], f"04{case['client_nonce']}{bytes([case['code']]).hex()}"
            )
        for case in found["cookies"]:
            time = struct.pack(">I", case["time_ms"] % 2**32)
            data = time + case["host"].encode() + struct.pack(">H", case["port"])
            data += unhex(case["sid"]) + unhex(case["client_nonce"])
            key = unhex(found["cookie_key"])
            digest = hashlib.blake2s(data, digest_size=16, key=key).digest()
            self.assertEqual(case["cookie"], (time + digest).hex())
        for case in found["resets"]:
            digest = hmac.new(unhex(found["reset_key"]), unhex(case["cid"]), "sha256").digest()
            self.assertEqual(case["token"], digest[:16].hex())
            self.assertEqual(case["datagram"], f"80{case['random']}{case['token']}")
            self.assertLess(len(case["datagram"]), 2 * 44)

    def test_framesWrong(self) -> None:
        """
        Every packet's frames are those that a reading field by field finds.
        """
        found = load("frames.json")
        for case in found["packets"]:
            frames, bad = by_the_table(unhex(case["plaintext"]))
            self.assertEqual((as_tuples(case["frames"]), False), (frames, bad), case["name"])
        for case in found["refused"]:
            frames, bad = by_the_table(unhex(case["plaintext"]))
            self.assertEqual((as_tuples(case["frames_before"]), True), (frames, bad), case["name"])
            self.assertEqual(len(frames), 2, case["name"])

    def test_framesIncomplete(self) -> None:
        """
        Every documented type byte stands somewhere, the RELIABLE ones with each
        combination of their flags.
        """
        found = load("frames.json")
        first = {unhex(case["plaintext"])[:1] for case in found["packets"]}
        expected = {0, 1, 2, 3, 4, 5, 0x20, 0x21, *range(0x40, 0x80, 8)}
        self.assertLessEqual({bytes((kind,)) for kind in expected}, first)

    def test_packetNumbersWrong(self) -> None:
        """
        Every number is the nearest one to the number after the largest.
        """
        for case in load("packet-numbers.json")["cases"]:
            self.assertEqual(case["packet_number"], nearest(case["pn"], case["largest"] + 1), case)


class DecodingTests(SynchronousTestCase):
    """
    What the files say, read by the package.
    """

    def test_connectionNotOpened(self) -> None:
        """
        Both sides read a whole connection, one datagram after the other.
        """
        for conversation in conversations():
            session = SessionKeys.from_hex(
                conversation["sid"],
                conversation["encryptionKey"],
                conversation["encryptionIV"],
                conversation["encryptionMacKey"],
            )
            nonce, cookie = unhex(conversation["client_nonce"]), unhex(conversation["cookie"])
            hello = Hello(
                1,
                conversation["flags"],
                session.sid,
                nonce,
                unhex(conversation["client_ephemeral"]),
            )
            for name, value in (("first_hello", NO_COOKIE), ("second_hello", cookie)):
                datagram = unhex(conversation[name])
                self.assertEqual(client_datagram_kind(datagram, 1200), 1)
                self.assertEqual(cookie_fields(datagram), (session.sid, nonce, value))
                self.assertEqual(decode_hello(datagram), hello)
                self.assertTrue(verify_hello(datagram, session.hello_key()))
            datagram = unhex(conversation["cookie_datagram"])
            self.assertEqual(server_datagram_kind(datagram, 1200), 2)
            self.assertEqual(decode_cookie(datagram), (nonce, cookie))

            datagram = unhex(conversation["accept"])
            self.assertEqual(server_datagram_kind(datagram, 1200), 3)
            prefix, server_nonce, server_ephemeral = decode_accept(datagram)
            self.assertEqual(prefix, nonce[:8])
            context = HandshakeContext(
                *(1, hello.flags, TransportId.UDP, nonce, server_nonce),
                *(hello.client_ephemeral, server_ephemeral),
            )
            shared: bytes | None = b""
            if hello.flags & 2:
                shared = shared_secret(unhex(conversation["client_private"]), server_ephemeral)
            assert shared is not None
            secret = connection_secret(session.master(), shared)
            terms = open_accept_terms(datagram, accept_key(secret, context))
            cid, token = unhex(conversation["cid"]), unhex(conversation["reset_token"])
            self.assertEqual(terms, Terms(cid, token, 1000, 20, 1200, 256, 10, 3333, 10))

            keys = connection_keys(secret, context)
            cache = AeadCache()
            encrypted = bool(hello.flags & 1)
            ciphers = {
                "c2s": Cipher(keys.c2s_key, keys.c2s_iv, encrypted, cache),
                "s2c": Cipher(keys.s2c_key, keys.s2c_iv, encrypted, cache),
            }
            kinds = {"c2s": client_datagram_kind, "s2c": server_datagram_kind}
            for case in conversation["packets"]:
                datagram, direction = unhex(case["datagram"]), case["direction"]
                self.assertEqual(kinds[direction](datagram, 1200), 0x80)
                size = HEADER_SIZE[direction]
                number = case["packet_number"]
                self.assertEqual(
                    restore_number(int.from_bytes(datagram[size - 2 : size]), number), number
                )
                plaintext = ciphers[direction].open(number, datagram[:size], datagram[size:])
                assert plaintext is not None, case["name"]
                self.assertEqual(plaintext.hex(), case["plaintext"])
                self.assertIsNone(parse_frames(plaintext)[1])
                self.assertFalse(matches_reset(datagram, token))
            for case in conversation["refused"]:
                datagram, direction = unhex(case["datagram"]), case["direction"]
                size = HEADER_SIZE[direction]
                self.assertIsNone(
                    ciphers[direction].open(
                        case["packet_number"], datagram[:size], datagram[size:]
                    ),
                    case["name"],
                )

    def test_otherDatagramsNotRead(self) -> None:
        """
        TERMINATE is read for every code, cookies are good for their clients, and
        each RESET ends the connection of its token alone.
        """
        found = load("datagrams.json")
        self.assertEqual(
            [case["code"] for case in found["terminates"]], [int(c) for c in CloseCode]
        )
        for case in found["terminates"]:
            self.assertEqual(
                decode_terminate(unhex(case["datagram"])),
                (unhex(case["client_nonce"]), CloseCode[case["code_name"]]),
            )
        cookies = Cookies(unhex(found["cookie_key"]))
        for case in found["cookies"]:
            client = (case["host"], case["port"], unhex(case["sid"]), unhex(case["client_nonce"]))
            self.assertEqual(
                cookies.check(unhex(case["cookie"]), case["time_ms"] + 4321, *client), 4321
            )
        for case in found["resets"]:
            token = reset_token(unhex(found["reset_key"]), unhex(case["cid"]))
            self.assertEqual(token.hex(), case["token"])
            for other in found["resets"]:
                self.assertEqual(
                    matches_reset(unhex(other["datagram"]), token), other["cid"] == case["cid"]
                )

    def test_framesNotRead(self) -> None:
        """
        Frames are read, and of packets with a bad one those before it.
        """
        found = load("frames.json")
        for case in found["packets"]:
            self.assertEqual(
                parse_frames(unhex(case["plaintext"])), (as_tuples(case["frames"]), None)
            )
        for case in found["refused"]:
            frames, fault = parse_frames(unhex(case["plaintext"]))
            self.assertEqual(frames, as_tuples(case["frames_before"]))
            self.assertIsNotNone(fault, case["name"])

    def test_packetNumbersNotRestored(self) -> None:
        """
        Numbers are restored from their low 16 bits.
        """
        for case in load("packet-numbers.json")["cases"]:
            self.assertEqual(restore_number(case["pn"], case["largest"] + 1), case["packet_number"])
