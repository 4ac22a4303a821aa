"""
A NATS server on loopback, for tests.
"""

import socket
import subprocess
import time

from diarkis_tw.cli.broker import find_server


def free_port() -> int:
    """
    A port that nobody uses.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class NatsServer:
    """
    One server process. It can be started again on the same port.

    @ivar url: where nodes find it.
    """

    def __init__(self, *options: str) -> None:
        """
        @param options: more of the command line.
        """
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options

    def start(self) -> None:
        """
        Start, and wait until it listens, 10 s at most.
        """
        self.process = subprocess.Popen(
            [find_server(), "-a", "127.0.0.1", "-p", str(self.port), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > limit or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.005)

    def stop(self) -> None:
        """
        Kill it, if it runs.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def brokers(count: int) -> list[NatsServer]:
    """
    Servers that are one NATS cluster, not started yet.
    """
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(count)]
    joined = ",".join(routes)
    cluster = ("--cluster_name", "test", "--routes", joined)
    return [NatsServer(*cluster, "--cluster", route) for route in routes]
