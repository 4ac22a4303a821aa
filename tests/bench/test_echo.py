"""
The whole benchmark, as C{make bench} runs it, and its processes.
"""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.datagrams import asker, open_socket
from bench.process import ServerProcess
from tests.bench.whole import run_bench

TINY = [
    "--seconds=0.1",
    "--rounds=1",
    "--clients=2",
    "--rate=200",
    "--idle=10",
    "--keep-alive=10",
    "--interval=0.2",
    "--notified=10",
]


class EchoTests(SynchronousTestCase):
    """
    C{python -m bench}.
    """

    def test_whole(self) -> None:
        """
        With tiny settings it ends by itself with figures of all its parts.
        """
        said = run_bench(*TINY)
        for part, count in (
            ("Closed loop: 2 clients", 4),
            ("Fixed rate: 200", 4),
            ("KiB resident per user", 3),
            ("sent to all", 2),
        ):
            self.assertEqual(said.count(part), count, part)
        above = [line.split()[-1] for line in said.splitlines() if line[:5] == "above"]
        names = ["diarkis_tw"], ["unreliable", "reliable"], ["json"], ["binary"]
        self.assertEqual(above, [name for part in names for name in 2 * part])
        self.assertIn("100.0 % answered", said)


class ServerProcessTests(SynchronousTestCase):
    """
    L{ServerProcess}.
    """

    def test_no_start(self) -> None:
        """
        A process that ends instead of listening is an error that shows what it said.
        """
        server = ServerProcess(
            ["-c", "raise SystemExit('no such port')"], self.folder(), "silent", None
        )
        with self.assertRaises(RuntimeError) as raised, server:
            pass
        self.assertIn("no such port", str(raised.exception))

    def test_process(self) -> None:
        """
        The floor listens, has used CPU and memory, and is gone afterwards.
        """
        with ServerProcess(["-m", "bench.floor"], self.folder(), "floor", None) as floor:
            for transport in ("TCP", "UDP", "WS"):
                self.assertGreater(floor.addresses[transport]["port"], 0)
            self.assertGreater(floor.cpu_time(), 0)
            difference = floor.cpu_time() - sum(floor.user_and_system())
            self.assertLess(abs(difference), 1)
            self.assertGreater(floor.resident_bytes(), 1_000_000)
            pid = floor.addresses["pid"]
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_again(self) -> None:
        """
        A second process of a name does not pass for the first one.
        """
        folder = self.folder()
        ports = []
        for _ in range(2):
            with ServerProcess(["-m", "bench.floor"], folder, "floor", None) as floor:
                with open_socket(**floor.addresses["UDP"]) as wire:
                    self.assertEqual(asker(wire)(b"are you there?"), b"are you there?")
                ports.append(floor.addresses["pid"])
        self.assertNotEqual(*ports)

    def folder(self) -> Path:
        """
        Make a folder for a process.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder.absolute()
