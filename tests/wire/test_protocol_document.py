"""
C{docs/protocol.md} against the golden vectors and the constants.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import UID_MAX_BYTES, Builtin, CloseCode, ErrorCode, Status
from diarkis_tw.transports import ws
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.handshake import REASON_MAX_BYTES
from diarkis_tw.wire.json_text import DEPTH_MAX
from diarkis_tw.wire.record import RecordType
from diarkis_tw.wire.websocket import BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL, close_status
from tests.wire.protocol_document import DOCUMENT, load, rows, section, unfold


class WorkedExampleTests(SynchronousTestCase):
    """
    The connections in hex.
    """

    def expected_tcp(self) -> dict[str, str]:
        """
        Every block of the TCP example by its name, from the vectors.
        """
        plain = load("tcp-encrypted.json")["conversations"][0]
        integrity = load("tcp-integrity.json")["conversations"][0]
        (keys,) = (c for c in load("keys.json")["cases"] if c["name"] == "TCP, no ephemerals")
        (terminate,) = (
            case["record"]
            for case in load("endings.json")["terminates"]
            if case["code_name"] == "UNKNOWN" and case["client_nonce"] == plain["client_nonce"]
        )
        blocks = {
            name: plain[name]
            for name in (
                *("sid", "encryptionKey", "encryptionIV", "encryptionMacKey", "client_nonce"),
                *("hello", "accept", "terms"),
            )
        }
        blocks |= {
            name: keys[name]
            for name in (
                *("master", "hello_key", "secret", "context", "accept_key"),
                *("c2s_key", "c2s_iv", "s2c_key", "s2c_iv"),
            )
        }
        records = {record["name"]: record for record in plain["records"]}
        for title, name in (
            ("keep-alive", "the first keep-alive, which confirms the connection"),
            ("keep-alive answer", "its answer"),
            ("request", "a request"),
            ("response", "its response"),
            ("push", "a push"),
            ("close", "a close"),
        ):
            blocks[f"{title} plaintext"] = records[name]["plaintext"]
            blocks[f"{title} record"] = records[name]["record"]
        blocks["request nonce"] = f"{int(keys['c2s_iv'], 16) ^ 1:024x}"
        (blocks["request record, integrity only"],) = (
            record["record"] for record in integrity["records"] if record["name"] == "a request"
        )
        blocks["terminate record"] = terminate
        return blocks

    def expected_ws(self) -> dict[str, str]:
        """
        Every block of the binary WebSocket example by its name, from the vectors.
        """
        plain = load("ws-encrypted.json")["conversations"][0]
        (request,) = (each for each in plain["records"] if each["name"] == "a request")
        return {
            "ws hello": plain["hello"],
            "ws accept": plain["accept"],
            "ws request record": request["record"],
        }

    def expected_udp(self) -> dict[str, str]:
        """
        Every block of the UDP example by its name, from the vectors.
        """
        plain = load("udp-encrypted.json")["conversations"][0]
        integrity = load("udp-integrity.json")["conversations"][0]
        (keys,) = (c for c in load("keys.json")["cases"] if c["name"] == "UDP, no ephemerals")
        blocks = {
            "udp first hello": plain["first_hello"],
            "udp cookie": plain["cookie_datagram"],
            "udp second hello": plain["second_hello"],
            "udp accept": plain["accept"],
            "udp terms": plain["terms"],
        }
        for name in ("context", "accept_key", "c2s_key", "c2s_iv", "s2c_key", "s2c_iv"):
            blocks[f"udp {name}"] = keys[name]
        packets = {each["name"]: each for each in plain["packets"]}
        for title, name in (
            ("ping", "the first PING, which confirms the connection"),
            ("ping acknowledged", "its acknowledgement"),
            ("keep-alive", "a keep-alive"),
            ("keep-alive answer", "its answer, with the client's address"),
            ("request", "a reliable request"),
            ("response", "its response behind an acknowledgement"),
            ("fragments", "a request's first and second fragment, on channel 3"),
            ("last fragment", "its last fragment"),
            ("push", "a push, unreliable"),
            ("no frames", "a packet without frames"),
            ("challenge", "is the new address true?"),
            ("challenge answered", "it is"),
            ("close", "a close"),
        ):
            blocks[f"udp {title} plaintext"] = packets[name]["plaintext"]
            blocks[f"udp {title} datagram"] = packets[name]["datagram"]
        del blocks["udp no frames plaintext"]
        # Nothing to read in 213 sealed bytes.
        del blocks["udp fragments datagram"]
        blocks["udp ping datagram, integrity only"] = integrity["packets"][0]["datagram"]
        datagrams = load("datagrams.json")
        (blocks["udp terminate"],) = (
            case["datagram"] for case in datagrams["terminates"] if case["code_name"] == "UNKNOWN"
        )
        blocks["udp reset"] = datagrams["resets"][0]["datagram"]
        return blocks

    def test_hexDiffers(self) -> None:
        """
        Every hex block of the document is the vector of its name, and every part of
        the examples is there, once.
        """
        found = re.findall(r"^```hex ([^\n]+)\n(.*?)^```$", DOCUMENT, re.M | re.S)
        blocks = {name: unfold(text) for name, text in found}
        self.assertEqual(len(blocks), len(found))
        self.assertEqual(blocks, self.expected_tcp() | self.expected_ws() | self.expected_udp())

    def test_jsonDiffers(self) -> None:
        """
        Every JSON block of the document is the vector of its name, said the same way.
        """
        found = re.findall(r"^```json ([^\n]+)\n(.*?)\n```$", DOCUMENT, re.M | re.S)
        vectors = load("json-messages.json")
        expected = {name: vectors[name] for name in ("hello", "auth", "ready")}
        (expected["terminate"],) = (
            case["text"] for case in vectors["terminates"] if case["reason"] == "UNKNOWN"
        )
        for name in ("request", "response"):
            (expected[name],) = (
                case["text"]
                for case in vectors[f"{name}s"]
                if (case["request_id"], case["bytes"]) == (7, b"hello".hex())
            )
        expected["push"] = vectors["pushes"][0]["text"]
        self.assertEqual(dict(found), expected)
        self.assertEqual(len(found), len(expected))

    def test_sharedKeysDiffer(self) -> None:
        """
        What the UDP example takes over from the TCP one is the same.
        """
        tcp, udp = (load(f"{name}-encrypted.json")["conversations"][0] for name in ("tcp", "udp"))
        for name in (
            *("sid", "encryptionKey", "encryptionIV", "encryptionMacKey"),
            *("client_nonce", "client_ephemeral"),
        ):
            self.assertEqual(tcp[name], udp[name])
        cases = {case["name"]: case for case in load("keys.json")["cases"]}
        for name in ("master", "hello_key", "secret"):
            self.assertEqual(cases["TCP, no ephemerals"][name], cases["UDP, no ephemerals"][name])

    def test_sharedKeysOfWebSocketDiffer(self) -> None:
        """
        The WebSocket examples have the keys and nonces of the TCP one.
        """
        tcp = load("tcp-encrypted.json")["conversations"][0]
        json = load("json-messages.json")
        for other in (json, load("ws-encrypted.json")["conversations"][0]):
            for name in (
                *("sid", "encryptionKey", "encryptionIV", "encryptionMacKey"),
                *("client_nonce", "server_nonce"),
            ):
                self.assertEqual(tcp[name], other[name])
        (keys,) = (c for c in load("keys.json")["cases"] if c["name"] == "TCP, no ephemerals")
        self.assertEqual(keys["hello_key"], json["hello_key"])

    def test_packetNumbersDiffer(self) -> None:
        """
        The packet numbers that the text speaks of are those of the vectors.
        """
        numbers = {
            record["name"]: record["packet_number"]
            for record in load("tcp-encrypted.json")["conversations"][0]["records"]
        }
        self.assertEqual(
            (numbers["its answer"], numbers["a request"], numbers["a close"]), (0, 1, 3)
        )


class TableTests(SynchronousTestCase):
    """
    Numbers that the document repeats.
    """

    def test_closeCodesDiffer(self) -> None:
        """
        The table of close codes is the enumeration.
        """
        self.assertEqual(
            [(int(code), name) for code, name, _ in rows(section("Close codes"))[2:]],
            [(int(code), code.name) for code in CloseCode],
        )

    def test_recordTypesDiffer(self) -> None:
        """
        The table of record types is the enumeration.
        """
        self.assertEqual(
            [
                (int(cells[0], 16), cells[1])
                for cells in rows(section("TCP"))
                if cells[0].startswith("0x")
            ],
            [(int(type), type.name) for type in RecordType],
        )

    def test_statusesDiffer(self) -> None:
        """
        Statuses and the server's own error codes are the enumerations.
        """
        text = section("Messages")
        self.assertEqual(
            [(int(cells[0]), cells[1].split(":")[0]) for cells in rows(text) if cells[0].isdigit()],
            [(int(status), status.name) for status in Status],
        )
        for code in ErrorCode:
            if not 2000 <= code <= 5000:  # those of the modules
                self.assertIn(f"{int(code)} ({code.name.lower().replace('_', ' ')}", text)

    def test_commandsDiffer(self) -> None:
        """
        The built-in commands are those of the enumeration.
        """
        names = {builtin.name.lower().replace("_", " "): int(builtin) for builtin in Builtin}
        found = {
            cells[1].replace("-", " "): int(cells[0])
            for cells in rows(section("Built-in commands"))
            if cells[0].isdigit()
        }
        described = {"fin", "keep alive", "ping", "node state", "notification"}
        self.assertEqual(set(found), described)
        for name, number in found.items():
            self.assertEqual(names[name], number)
        debug = {
            int(number): f"debug {name}"
            for cells in rows(section("Built-in commands"))
            if cells[1].startswith("debug: ")
            for number, name in zip(
                cells[0].split(", "), cells[1].removeprefix("debug: ").split(", "), strict=True
            )
        }
        self.assertEqual(debug, {names[name]: name for name in names if "debug" in name})

    def test_limitsDiffer(self) -> None:
        """
        The limits of the wire are the constants.
        """
        limits = {cells[0]: cells[1] for cells in rows(section("Limits"))}
        self.assertEqual(limits["reason of a CLOSE"], f"{REASON_MAX_BYTES} bytes")
        self.assertEqual(limits["uid"], f"{UID_MAX_BYTES} bytes")
        self.assertEqual(limits["records of one direction on TCP and WebSocket"], "2^23")
        self.assertEqual(STREAM_NUMBER_LIMIT + 1, 2**23)

    def test_limitsOfWebSocketDiffer(self) -> None:
        """
        So are those of WebSocket, and the close statuses that the text names.
        """
        (found,) = re.findall(r"On WebSocket also:\n\n(.*?)\n\n", section("Limits"), re.S)
        self.assertEqual(
            {cells[0]: cells[1] for cells in rows(found)[2:]},
            {
                "opening handshake": f"{ws.HEADER_BYTES} bytes",
                "message before the connection is open": f"{ws.STRANGER_BYTES} bytes",
                "fragments of a message": f"{ws.FRAGMENTS}",
                "pings and pongs per second": f"{ws.CONTROL_FRAMES}",
                "depth of JSON": f"{DEPTH_MAX}",
            },
        )
        self.assertEqual(ws.CONTROL_PERIOD, 1)
        for status, name in re.findall(r"\b(4\d\d\d) ([A-Z_]+)", section("WebSocket")):
            self.assertEqual(int(status), close_status(CloseCode[name]))
        text = section("WebSocket") + section("The JSON subprotocol")
        for name in (JSON_SUBPROTOCOL, BINARY_SUBPROTOCOL, "diarkis_tw/1 ws"):
            self.assertIn(name, text)
