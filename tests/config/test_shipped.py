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
        self.assertTrue({"all.json", "tcp.json", "udp.json", "ws.json", "http.json"} <= names)
        for path in paths:
            load_settings(path, environ={})

    def test_no_delay(self) -> None:
        """
        The files switch Nagle's algorithm off, which the Go doc's default
        leaves on.
        """
        for name, section in (("all", "tcp"), ("tcp", "tcp"), ("all", "ws"), ("ws", "ws")):
            settings = load_settings(CONFIGS / f"{name}.json", environ={})
            self.assertTrue(getattr(settings, section).no_delay)

    def test_servers(self) -> None:
        """
        Each file starts what its name says; players get in through HTTP.
        """
        for name, servers in (
            ("all.json", {"UDP", "TCP", "WS", "HTTP"}),
            ("udp.json", {"UDP", "HTTP"}),
            ("tcp.json", {"TCP", "HTTP"}),
            ("ws.json", {"WS", "HTTP"}),
            ("http.json", {"HTTP"}),
        ):
            sections = json.loads((CONFIGS / name).read_text())
            self.assertEqual({section for section in sections if section.isupper()}, servers)
