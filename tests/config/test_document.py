"""
Tests of L{diarkis_tw.config.document}.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.document import document
from diarkis_tw.config.environment import VARIABLES
from diarkis_tw.config.section import keys
from diarkis_tw.config.settings import SECTIONS

SHIPPED = Path(__file__).resolve().parent.parent.parent / "docs" / "configuration.md"


def chapter(title: str) -> str:
    """
    One chapter of the page.
    """
    return document().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


class DocumentTests(SynchronousTestCase):
    """
    The page.
    """

    maxDiff = 1000

    def test_shipped(self) -> None:
        """
        C{docs/configuration.md} is the page of this version.
        """
        self.assertTrue(
            SHIPPED.read_text() == document(),
            "Run: .venv/bin/diarkis-tw config doc > docs/configuration.md",
        )

    def test_every_key(self) -> None:
        """
        Every key of every section has a row of its own in its chapter.
        """
        for name, section in SECTIONS.items():
            rows = [row.split(" | ") for row in chapter(name).splitlines() if row.startswith("| `")]
            self.assertEqual([row[0] for row in rows], [f"| `{key}`" for key in keys(section)])
            for row in rows:
                self.assertEqual(len(row), 4, row)

    def test_row(self) -> None:
        """
        A row says default, unit, range, meaning and when to change it.
        """
        self.assertIn(
            "| `connectionTTL` | `10` | a whole number of seconds from 10 to 65535 | How long a "
            "client may give no sign of life before its connection ends. Raise it to forgive",
            chapter("TCP"),
        )
        self.assertIn('| `app` | `"diarkis"` | a string, a word of', chapter("mesh"))
        self.assertIn("| `allowedOrigins` | `[]` | a list of strings, each an", chapter("WS"))

    def test_reload(self) -> None:
        """
        What SIGHUP applies is said at the key and in one list.
        """
        self.assertIn("SIGHUP applies it.", chapter("log"))
        self.assertIn("- `log.level`\n", chapter("Changes without a restart"))
        self.assertNotIn("log.format", chapter("Changes without a restart"))

    def test_variables(self) -> None:
        """
        Every variable with a name of its own has a row.
        """
        for name in VARIABLES:
            self.assertIn(f"\n| `{name}` | ", chapter("Environment variables"))

    def test_go_doc(self) -> None:
        """
        A difference from the Go doc stands there once, whatever sections have
        the key.
        """
        self.assertEqual(chapter("Where this differs from the Go doc").count("| `address` |"), 1)
