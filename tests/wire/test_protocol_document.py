"""
C{docs/protocol.md} against the golden vectors and the constants.
"""

import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import UID_MAX_BYTES, Builtin, CloseCode, ErrorCode, Status
from diarkis_tw.wire.cipher import STREAM_NUMBER_LIMIT
from diarkis_tw.wire.handshake import REASON_MAX_BYTES
from diarkis_tw.wire.record import RecordType

TESTS = Path(__file__).parent.parent
DOCUMENT = (TESTS.parent / "docs" / "protocol.md").read_text(encoding="utf-8")


def load(name: str) -> Any:
    """
    Read a vector file.
    """
    return json.loads((TESTS / "vectors" / name).read_text(encoding="utf-8"))


def section(title: str) -> str:
    """
    The text below a heading, up to the next heading of any level.
    """
    found = re.search(rf"^##+ [\d. ]*{re.escape(title)}\n(.*?)(?=^##)", DOCUMENT, re.M | re.S)
    assert found is not None, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """
    The cells of a section's tables.
    """
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


class WorkedExampleTests(SynchronousTestCase):
    """
    The connection in hex.
    """

    def expected(self) -> dict[str, str]:
        """
        Every block of the example by its name, from the vectors.
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

    def test_hexDiffers(self) -> None:
        """
        Every hex block of the document is the vector of its name, and every part of
        the example is there.
        """
        blocks = {
            name: "".join(re.sub(r"#.*", "", text).split())
            for name, text in re.findall(r"^```hex ([^\n]+)\n(.*?)^```$", DOCUMENT, re.M | re.S)
        }
        self.assertEqual(blocks, self.expected())

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
        self.assertEqual(set(found), {"fin", "keep alive", "ping", "node state"})
        for name, number in found.items():
            self.assertEqual(names[name], number)

    def test_limitsDiffer(self) -> None:
        """
        The limits of the wire are the constants.
        """
        limits = {cells[0]: cells[1] for cells in rows(section("Limits"))}
        self.assertEqual(limits["reason of a CLOSE"], f"{REASON_MAX_BYTES} bytes")
        self.assertEqual(limits["uid"], f"{UID_MAX_BYTES} bytes")
        self.assertEqual(limits["records of one direction"], "2^23")
        self.assertEqual(STREAM_NUMBER_LIMIT + 1, 2**23)
