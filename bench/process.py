"""
A server process under measurement: pinned to one core, its CPU time and memory
read from outside, ended by its pid.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent

CONFIG: Final[dict[str, Any]] = {
    # The clients of most benchmarks send no keep-alive.
    "UDP": {"address": "127.0.0.1", "port": 0, "connectionTTL": 600},
    "TCP": {"address": "127.0.0.1", "port": 0, "noDelay": True, "connectionTTL": 600},
    "WS": {"address": "127.0.0.1", "port": 0, "noDelay": True, "connectionTTL": 600},
    "HTTP": {"address": "127.0.0.1", "port": 0},
    "node": {"maxCommandRate": 0, "reconnectGrace": 0, "shutdownTimeout": 0},
    "log": {"level": "warn"},
}

START_TIME: Final = 20.0
"""Seconds a process may take to write its ready file, and as many to end."""


class ServerProcess:
    """
    A context manager: the process runs and listens inside it.

    @ivar addresses: the ready file, see C{--ready-file}.
    """

    addresses: dict[str, Any]

    def __init__(self, arguments: Sequence[str], folder: Path, name: str, core: int | None) -> None:
        """
        @param arguments: command line; C{--ready-file} is added.
        @param folder: for its ready file and its log.
        @param core: where it may run; L{None} = anywhere.
        """
        self._ready = folder / f"{name}.ready.json"
        self._log = folder / f"{name}.log"
        self._core = core
        self._command = [sys.executable, *arguments, "--ready-file", str(self._ready)]

    def __enter__(self) -> "ServerProcess":
        self._ready.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            if self._core is not None:
                os.sched_setaffinity(self._process.pid, {self._core})
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def cpu_time(self) -> float:
        """
        Read the seconds of CPU, user and system, of all its threads so far. The
        process's CPU clock (clock_getcpuclockid(3)) counts nanoseconds,
        C{/proc/<pid>/stat} hundredths of a second.
        """
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def user_and_system(self) -> tuple[float, float]:
        """
        Read the same in its two parts, in steps of a hundredth of a second.
        """
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        tick = os.sysconf("SC_CLK_TCK")
        return int(user) / tick, int(system) / tick

    def resident_bytes(self) -> int:
        """
        Read the memory it holds.
        """
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIME
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no server came up:\n{self._log.read_text()}")
            time.sleep(0.02)
        self.addresses = json.loads(self._ready.read_text())

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(START_TIME)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def game_server(
    folder: Path,
    name: str,
    core: int | None,
    connection_ttl: int = 600,
    app: str = "diarkis_tw.demo",
) -> ServerProcess:
    """
    Describe a real server.

    @param connection_ttl: of UDP, in seconds.
    @param app: the module of its application.
    """
    udp = CONFIG["UDP"] | {"connectionTTL": connection_ttl}
    return configured_server(CONFIG | {"UDP": udp, "app": {"module": app}}, folder, name, core)


def configured_server(
    config: dict[str, Any], folder: Path, name: str, core: int | None
) -> ServerProcess:
    """
    Describe a real server with a configuration.
    """
    file = folder / f"{name}.config.json"
    file.write_text(json.dumps(config))
    program = "from twisted.scripts.twistd import run; run()"
    command = ["-c", program, "-n", "--pidfile=", "diarkis", "--config", str(file)]
    return ServerProcess(command, folder, name, core)


def cores() -> tuple[int | None, int | None]:
    """
    Choose a core for the servers and another one for the load.

    @return: L{None} twice if there is only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    return (usable[-1], usable[0]) if len(usable) > 1 else (None, None)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """
    Run on one core for a while.

    @param core: L{None} = anywhere.
    """
    usable = os.sched_getaffinity(0)
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        yield
    finally:
        os.sched_setaffinity(0, usable)
