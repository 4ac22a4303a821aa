"""
Tests of the configuration files that come with the project.
"""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.load import load_settings

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"


class ShippedTests(SynchronousTestCase):
    """
    C{configs/*.json}.
    """

    def test_all_load(self) -> None:
        """
        Each file is right as it is, in an empty environment.
        """
        paths = sorted(CONFIGS.glob("*.json"))
        names = {path.name for path in paths}
        self.assertTrue({"all.json", "tcp.json", "udp.json", "http.json"} <= names)
        for path in paths:
            load_settings(path, environ={})

    def test_no_delay(self) -> None:
        """
        The files switch Nagle's algorithm off, which the Go doc's default
        leaves on.
        """
        for name in ("all.json", "tcp.json"):
            tcp = load_settings(CONFIGS / name, environ={}).tcp
            assert tcp is not None
            self.assertTrue(tcp.no_delay)

    def test_servers(self) -> None:
        """
        Each file starts what its name says; players get in through HTTP.
        """
        for name, servers in (
            ("all.json", {"UDP", "TCP", "HTTP"}),
            ("udp.json", {"UDP", "HTTP"}),
            ("tcp.json", {"TCP", "HTTP"}),
            ("http.json", {"HTTP"}),
        ):
            sections = json.loads((CONFIGS / name).read_text())
            self.assertEqual({section for section in sections if section.isupper()}, servers)
