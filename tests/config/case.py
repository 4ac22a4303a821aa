"""
What the tests of settings share.
"""

import json
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import ConfigError


class ConfigCase(SynchronousTestCase):
    """
    A test that writes files and reads errors.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def write(self, content: object, name: str = "node.json") -> Path:
        """
        Write a file.

        @param content: bytes as they are, else what is written as JSON.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def refused(self, call: Callable[[], object], *parts: object) -> str:
        """
        Assert that a call gives one L{ConfigError} with all these parts in its
        text, which is one line.

        @return: the text.
        """
        text = str(self.assertRaises(ConfigError, call))
        for part in parts:
            self.assertIn(str(part), text)
        self.assertNotIn("\n", text)
        return text
