"""
Server processes that ask metadata servers for their address, and several nodes on one
machine.
"""

import json
import socket
from pathlib import Path

from tests.cloud.fakes import FAKES, Alibaba, Aws, FakeMetadata, Gcp, Linode, Reply
from tests.integration.process import Process, ProcessCase

HOST = "127.0.0.1"
"""What the fakes say: other public addresses would not lead here."""


class CloudTests(ProcessCase):
    """
    C{DIARKIS_CLOUD_ENV}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.environ["DIARKIS_SET_TCP__address"] = "0.0.0.0"

    def serve(self, cloud: str) -> FakeMetadata:
        """
        Start a cloud's metadata server, which says that this machine is L{HOST}.
        """
        fake = FAKES[cloud]()
        self.addCleanup(fake.close)
        match fake:
            case Linode():
                fake.public = [f"{HOST}/32"]
            case Gcp():
                fake.external_ip = HOST
            case Aws():
                fake.items = {"public-ipv4": HOST}
            case Alibaba():
                fake.items = {"eipv4": HOST}
            case _:
                fake.instead = {"*": Reply(200, HOST)}
        self.environ["DIARKIS_CLOUD_ENV"] = cloud.lower()
        self.environ["DIARKIS_METADATA_BASE"] = fake.base
        return fake

    def test_serves(self) -> None:
        """
        A player gets the address that the cloud told and the port bound, and plays.
        """
        self.serve("AWS")
        process = self.foreground()
        url = self.serving(process)
        endpoint = self.ask(f"{url}/endpoint/type/TCP/user/bob")
        bound = json.loads(self.ready_file.read_text())["TCP"]
        self.assertEqual(bound["host"], "0.0.0.0")
        self.assertEqual(endpoint["serverHost"], HOST)
        self.assertEqual(endpoint["serverPort"], bound["port"])
        self.assertServes(url)
        self.assertIn("DIARKIS_METADATA_BASE is set", process.output())
        self.assertIn("public address is 127.0.0.1, says AWS (public-ipv4)", process.output())
        self.assertStops(process)

    def test_explicit(self) -> None:
        """
        An application may choose the cloud itself; nobody else is asked.
        """
        fake = self.serve("GCP")
        self.environ["DIARKIS_CLOUD_ENV"] = "AWS"
        self.write(
            "game.py",
            "from diarkis_tw import demo\n"
            "def setup(server):\n"
            "    demo.setup(server)\n"
            "    server.setup_server_for_gcp()\n",
        )
        process = self.foreground("--app", "game")
        self.assertServes(self.serving(process))
        self.assertEqual(len(fake.requests), 1)
        self.assertStops(process)

    def refused(self, process: Process, *parts: str) -> None:
        """
        Assert status 1, one line with these parts, no traceback and nothing served.
        """
        self.assertEqual(process.wait(), 1, process.output())
        lines = [line for line in process.output().splitlines() if "cannot start" in line]
        self.assertEqual(len(lines), 1, process.output())
        for part in parts:
            self.assertIn(part, lines[0])
        self.assertNotIn("Traceback", process.output())
        self.assertNotIn("Unhandled", process.output())
        self.assertFalse(self.ready_file.exists())

    def test_fails(self) -> None:
        """
        A cloud that does not tell ends the process with status 1 and a sentence with the
        cloud, the step and the remedy, below twistd and twist.
        """
        self.serve("AZURE").instead = {"*": Reply(400)}
        parts = ("AZURE: asking for the public address failed", "400", "primary interface")
        self.refused(self.foreground(), *parts)
        self.refused(self.start("twist", "diarkis"), *parts)

    def test_elsewhere(self) -> None:
        """
        So does one that is not there.
        """
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            self.environ["DIARKIS_CLOUD_ENV"] = "TENCENT"
            self.environ["DIARKIS_METADATA_BASE"] = f"http://{HOST}:{taken.getsockname()[1]}"
            self.refused(
                self.foreground(), "TENCENT: ", "connection refused", "DIARKIS_CLOUD_ENV=<host>"
            )

    def test_endedWhileAsking(self) -> None:
        """
        SIGTERM while the cloud does not answer ends the process in order.
        """
        fake = self.serve("TENCENT")
        fake.instead = {"*": Reply(delay=60)}
        process = self.foreground()
        process.until(lambda: bool(fake.requests))
        self.assertStops(process)


class TwoNodesTests(ProcessCase):
    """
    Two nodes of one configuration.
    """

    def test_ports(self) -> None:
        """
        The second takes the next ports, and both serve.
        """
        for name in ("TCP", "HTTP", "UDP"):
            self.environ.pop(f"DIARKIS_SET_{name}__port", None)
        config = self.write(
            "node.json",
            {
                "TCP": {"port": self.free(socket.SOCK_STREAM), "noDelay": True},
                "UDP": {"port": self.free(socket.SOCK_DGRAM)},
                "HTTP": {"port": self.free(socket.SOCK_STREAM)},
                "app": {"module": "diarkis_tw.demo"},
            },
        )
        processes, bound, urls = [], [], []
        for name in ("first.json", "second.json"):
            self.ready_file = Path(self.folder, name)
            process = self.foreground("--config", config)
            urls.append(self.serving(process))
            bound.append(json.loads(self.ready_file.read_text()))
            processes.append(process)
        for name in ("TCP", "UDP", "HTTP"):
            first, second = (node[name] for node in bound)
            self.assertEqual(first["host"], second["host"])
            self.assertGreater(second["port"], first["port"])
        for url, node in zip(urls, bound, strict=True):
            endpoint = self.ask(f"{url}/endpoint/type/TCP/user/bob")
            self.assertEqual(endpoint["serverPort"], node["TCP"]["port"])
            self.assertServes(url)
        for process in processes:
            self.assertStops(process)

    def free(self, kind: socket.SocketKind) -> int:
        """
        A port that is free now; if it is not any more, the search goes on above it.
        """
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])
