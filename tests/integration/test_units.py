"""
The units for systemd in C{deploy/systemd}.
"""

import shlex
import shutil
import signal
import subprocess
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SkipTest

from diarkis_tw.config.settings import NodeSettings
from tests.integration.process import ROOT, ProcessCase, program
from tests.mesh.nats_server import free_port

UNITS = ROOT / "deploy" / "systemd"
NODE, BROKER = "diarkis@.service", "diarkis-broker.service"


class UnitTests(ProcessCase):
    """
    A node and a broker.
    """

    def unit(self, name: str) -> ConfigParser:
        """
        What a unit says.
        """
        unit = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string((UNITS / name).read_text())
        return unit

    def command(self, name: str) -> list[str]:
        """
        What a unit runs, as it is called here.
        """
        line = self.unit(name)["Service"]["ExecStart"].replace("%i", "game")
        line = line.replace("/opt/diarkis/venv/bin/", "")
        return shlex.split(line.replace("/etc/diarkis", str(self.folder)))

    def test_node(self) -> None:
        """
        The node's command serves, and ends with its signal and status 0 in the time
        that it is given.
        """
        service = self.unit(NODE)["Service"]
        demo = {"module": "diarkis_tw.demo"}
        self.write("game.json", {"TCP": {"port": 0}, "HTTP": {"port": 0}, "app": demo})
        process = self.start(*self.command(NODE), "--ready-file", self.ready_file)
        self.assertServes(self.serving(process))
        process.signal(signal.Signals[service["KillSignal"]])
        self.assertEqual(process.wait(), 0, process.output())
        self.assertGreater(int(service["TimeoutStopSec"]), NodeSettings().shutdown_timeout)

    def test_broker(self) -> None:
        """
        The broker's command listens, and ends with its signal and status 0.
        """
        port = str(free_port())
        process = self.start(*self.command(BROKER), "--port", port)
        process.until(lambda: "Server is ready" in process.output())
        process.signal(signal.Signals[self.unit(BROKER)["Service"]["KillSignal"]])
        self.assertEqual(process.wait(), 0, process.output())

    def test_verify(self) -> None:
        """
        systemd has nothing to say against them.
        """
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            raise SkipTest("there is no systemd-analyze here")
        paths = []
        for name in (NODE, BROKER):
            text = (UNITS / name).read_text()
            # It wants to see the program and the folders that the document has one make.
            text = text.replace("/opt/diarkis/venv/bin/", f"{Path(program('twistd')).parent}/")
            paths.append(str(self.write(name.replace("@", "@game"), text)))
        done = subprocess.run(
            [analyze, "verify", "--man=no", *paths],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
