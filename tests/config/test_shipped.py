"""
Tests of the configuration files that come with the project.
"""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.load import load_settings

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
FILES = sorted(path for path in CONFIGS.glob("*.json") if path.name != "schema.json")


class ShippedTests(SynchronousTestCase):
    """
    C{configs/*.json}.
    """

    def test_all_load(self) -> None:
        """
        Each file is right as it is, in an empty environment.
        """
        names = {path.name for path in FILES}
        self.assertTrue({"all.json", "tcp.json", "udp.json", "ws.json", "http.json"} <= names)
        for path in FILES:
            load_settings(path, environ={})

    def test_schema(self) -> None:
        """
        Each file names the JSON Schema beside it.
        """
        for path in FILES:
            self.assertEqual(json.loads(path.read_text())["$schema"], "schema.json", path.name)

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
            ("connector.json", {"CONNECTOR", "HTTP"}),
        ):
            sections = json.loads((CONFIGS / name).read_text())
            self.assertEqual({section for section in sections if section.isupper()}, servers)

    def test_cluster(self) -> None:
        """
        The files of the cluster are right, have the endpoint API once and no port
        twice, and are one mesh.
        """
        files = sorted((CONFIGS / "cluster").glob("*.json"))
        self.assertEqual(len(files), 4)
        ports: list[int] = []
        for path in files:
            settings = load_settings(path, environ={})
            self.assertEqual(settings.mesh.engine, "nats")
            self.assertEqual(settings.http is not None, path.name == "http.json")
            self.assertEqual(json.loads(path.read_text())["$schema"], "../schema.json")
            ports += [section.port for section in settings.transports().values()]
        self.assertEqual(len(set(ports)), 4)
