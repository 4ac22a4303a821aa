"""
The mesh benchmark: it runs, and its simulated nodes are nodes.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import row
from bench.mesh_crowd import CrowdProcess
from bench.nats_broker import NatsBroker
from tests.bench.whole import run_bench

TINY = [
    "mesh",
    "--rounds=1",
    "--seconds=0.3",
    "--messages=50",
    "--slice=0.001",
    "--clients=2",
    "--rate=200",
    "--traffic=100",
    "--crowd=3",
    "--nodes=2",
    "--users=3",
]


class MeshBenchmarkTests(SynchronousTestCase):
    """
    C{python -m bench mesh}.
    """

    def test_whole(self) -> None:
        """
        With tiny settings it ends by itself with a table of each part.
        """
        said = run_bench(*TINY)
        rows = [line for line in said.splitlines() if line.startswith("| ")]
        for name in (
            "own node, idle",
            "other node, both 60 % busy",
            "no mesh",
            "NATS, 100 messages/s each way",
            "as many as it can answer",
            "NATS, 3 other nodes",
            "received by all users of all nodes",
        ):
            found = [line for line in rows if line.startswith(f"| {name} |")]
            self.assertTrue(found, name)
            for line in found:
                self.assertRegex(line, r"\d \(\d[\d.]*-[\d.]+\)")

    def test_directory(self) -> None:
        """
        So does C{python -m bench directory}.
        """
        said = run_bench("directory", "--rounds=1", "--count=100", "--messages=20")
        for name in ("of that, each node that hears", "directory", "subject"):
            self.assertRegex(said, rf"(?m)^\| {name} \| -?\d.*\| -?\d.*\|$")

    def test_row(self) -> None:
        """
        Tables are those of Markdown.
        """
        self.assertEqual(row("a", "1"), "| a | 1 |")


class CrowdTests(SynchronousTestCase):
    """
    L{bench.mesh_crowd} and L{NatsBroker}.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def test_frames(self) -> None:
        """
        What simulated nodes say comes to the NATS server, which counts it.
        """
        with NatsBroker(self.folder, None) as broker:
            self.assertEqual(broker.frames(), 0)
            with CrowdProcess(broker.url, 2) as crowd:
                self.assertEqual(crowd.types, ["SIM0", "SIM1"])
                crowd.talk(1000)
                while broker.frames() < 100:
                    pass

    def test_no_broker(self) -> None:
        """
        Without a NATS server no crowd comes, which is an error.
        """
        with NatsBroker(self.folder, None) as broker:
            url = broker.url
        with self.assertRaises(RuntimeError), CrowdProcess(url, 1):
            pass
