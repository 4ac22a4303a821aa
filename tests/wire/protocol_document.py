"""
C{docs/protocol.md}, taken apart.
"""

import json
import re
from pathlib import Path
from typing import Any

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


def prose(title: str) -> str:
    """
    The text below a heading of the second level, with all its subsections, on
    one line and without emphasis.
    """
    found = re.search(rf"^## [\d. ]*{re.escape(title)}\n(.*?)(?=^## )", DOCUMENT, re.M | re.S)
    assert found is not None, title
    return re.sub(r"[*\s]+", " ", found[1])


def table(text: str, first: str) -> list[list[str]]:
    """
    The rows of the one table of a text whose first column has that heading.
    """
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    return rows(found)


def unfold(block: str) -> str:
    """
    A hex block without comments and spaces; C{00 x 3} is C{000000}.
    """
    digits = re.sub(r"#.*", "", block)
    digits = re.sub(r"([0-9a-f]{2}) x (\d+)", lambda found: found[1] * int(found[2]), digits)
    return "".join(digits.split())
