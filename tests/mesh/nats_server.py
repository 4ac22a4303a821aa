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
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Start, and wait until it listens, 10 s at most.
        """
        self.process = subprocess.Popen(
            [find_server(), "-a", "127.0.0.1", "-p", str(self.port)],
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
                time.sleep(0.02)

    def stop(self) -> None:
        """
        Kill it, if it runs.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
