"""
A NATS server for benchmarks: a process on loopback that tells how many frames
have come to it.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.request import urlopen

from diarkis_tw.cli.broker import find_server

START_TIME: Final = 10.0
"""Seconds it may take to listen, and to answer."""


class NatsBroker:
    """
    A context manager: the server runs inside it.

    @ivar url: where nodes reach it.
    """

    url: str

    def __init__(self, folder: Path, core: int | None) -> None:
        """
        @param folder: where it writes which ports it has.
        @param core: where it may run; L{None} = anywhere.
        """
        self._folder = folder
        self._core = core

    def __enter__(self) -> "NatsBroker":
        command = [find_server(), "-a", "127.0.0.1", "-p", "-1", "-m", "-1"]
        self._process = subprocess.Popen(
            [*command, "--ports_file_dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if self._core is not None:
                os.sched_setaffinity(self._process.pid, {self._core})
            ports = self._ports()
        except BaseException:
            self._end()
            raise
        self.url = ports["nats"][0]
        self._monitoring = ports["monitoring"][0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def frames(self) -> int:
        """
        How many frames clients have sent so far, whoever got them.
        """
        with urlopen(f"{self._monitoring}/varz", timeout=START_TIME) as answer:
            return int(json.load(answer)["in_msgs"])

    def cpu_time(self) -> float:
        """
        Read the seconds of CPU of the process so far; see
        L{bench.process.ServerProcess.cpu_time}.
        """
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def _ports(self) -> dict[str, Any]:
        name = self._folder / f"nats-server_{self._process.pid}.ports"
        limit = time.monotonic() + START_TIME
        while True:
            try:
                ports: dict[str, Any] = json.loads(name.read_text())
                return ports
            except (OSError, ValueError):  # not there yet, or not whole
                if self._process.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError("no NATS server came up") from None
                time.sleep(0.02)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
