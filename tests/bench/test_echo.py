"""
The whole benchmark, as C{make bench} runs it, and its processes.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.process import CHECKOUT, ServerProcess

TINY = ["--seconds=0.1", "--rounds=1", "--clients=2", "--rate=200", "--idle=10"]


class EchoTests(SynchronousTestCase):
    """
    C{python -m bench}.
    """

    def test_whole(self) -> None:
        """
        With tiny settings it ends by itself with figures of all its parts.
        """
        ended = subprocess.run(
            [sys.executable, "-m", "bench", *TINY],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        for part in ("Closed loop: 2 clients", "Fixed rate: 200", "KiB resident per user"):
            self.assertIn(part, ended.stdout)
        self.assertEqual(ended.stdout.count("\nabove"), 2)


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
            self.assertGreater(floor.addresses["TCP"]["port"], 0)
            self.assertGreater(floor.cpu_time(), 0)
            difference = floor.cpu_time() - sum(floor.user_and_system())
            self.assertLess(abs(difference), 1)
            self.assertGreater(floor.resident_bytes(), 1_000_000)
            pid = floor.addresses["pid"]
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def folder(self) -> Path:
        """
        Make a folder for a process.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder.absolute()
