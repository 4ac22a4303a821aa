"""
Every way to start the server that the documentation names, with a player.
"""

import os
import signal
from pathlib import Path

from tests.integration.process import ROOT, ProcessCase, wait_until

HELLO = b"Hello, bob!"


class TwistdTests(ProcessCase):
    """
    C{twistd diarkis}.
    """

    def test_example(self) -> None:
        """
        configs/all.json with examples.hello.
        """
        process = self.foreground(
            "--config", ROOT / "configs/all.json", "--app", "examples.hello", "--app-dir", ROOT
        )
        self.assertServes(self.serving(process), HELLO, b"bob")
        self.assertStops(process)

    def test_applicationHere(self) -> None:
        """
        The application is looked for in the current directory if nothing else is said.
        """
        self.write("mine.py", (ROOT / "examples/hello.py").read_text())
        process = self.foreground("--config", ROOT / "configs/tcp.json", "--app", "mine")
        self.assertServes(self.serving(process), HELLO, b"bob")

    def test_demo(self) -> None:
        """
        Without options it is the demo.
        """
        process = self.foreground()
        url = self.serving(process)
        self.assertServes(url)
        self.assertEqual(self.ask(f"{url}/healthcheck"), {"status": "ok", "state": "ONLINE"})
        self.assertStops(process)

    def test_asyncio(self) -> None:
        """
        On the asyncio reactor.
        """
        process = self.start(
            "twistd",
            "--reactor=asyncio",
            "-n",
            "--pidfile=",
            "diarkis",
            "--ready-file",
            self.ready_file,
        )
        self.assertServes(self.serving(process))
        self.assertStops(process)
        self.assertIn("AsyncioSelectorReactor", process.output())

    def test_flatFile(self) -> None:
        """
        A flat file with the Go doc's keys.
        """
        flat = {"port": "7200", "connectionTTL": 12, "maxRcvSize": 9000, "noDelay": True}
        path = self.write("tcp.json", flat)
        process = self.foreground("--config", path, "--type", "tcp", "--app", "diarkis_tw.demo")
        self.assertServes(self.serving(process), b"x" * 9000, b"x" * 9000)

    def test_logLevel(self) -> None:
        """
        The section log of the configuration decides what is logged.
        """
        path = self.write("a.json", {"TCP": {}, "HTTP": {}, "log": {"level": "error"}})
        process = self.foreground("--config", path)
        self.serving(process)
        self.assertStops(process)
        self.assertNotIn("ONLINE", process.output())

    def test_daemon(self) -> None:
        """
        As a daemon: started, serving, stopped by its pid file, which is gone then.
        """
        pid_file = self.folder / "twistd.pid"
        launcher = self.start("twistd", "diarkis", "--ready-file", "ready.json")
        self.assertEqual(launcher.wait(), 0, launcher.output())
        wait_until(self.ready_file.exists, self.log)
        pid = int(pid_file.read_text())
        self.addCleanup(self.kill, pid, pid_file)
        self.assertServes(self.serving(launcher))
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), self.log)
        self.assertIn("Server Shut Down", self.log())
        self.assertNotIn("Traceback", self.log())

    def log(self) -> str:
        """
        The daemon's log.
        """
        path = self.folder / "twistd.log"
        return path.read_text() if path.exists() else ""

    def kill(self, pid: int, pid_file: Path) -> None:
        """
        Make sure that the daemon is gone.
        """
        if pid_file.exists():
            os.kill(pid, signal.SIGKILL)


class OtherWaysTests(ProcessCase):
    """
    C{twist}, tac files and C{diarkis-tw run}.
    """

    def test_twist(self) -> None:
        """
        twist diarkis.
        """
        process = self.start("twist", "diarkis", "--ready-file", self.ready_file)
        self.assertServes(self.serving(process))
        self.assertStops(process)

    def test_allTac(self) -> None:
        """
        tac/all.tac, from any directory.
        """
        process = self.start("twistd", "-n", "--pidfile=", "-y", ROOT / "tac/all.tac")
        self.assertServes(self.serving_from_log(process))
        self.assertStops(process)

    def test_tcpTac(self) -> None:
        """
        tac/tcp.tac, from any directory.
        """
        process = self.start("twistd", "-n", "--pidfile=", "-y", ROOT / "tac/tcp.tac")
        self.assertServes(self.serving_from_log(process))
        self.assertStops(process)

    def test_run(self) -> None:
        """
        diarkis-tw run prints the addresses and the next command, which names this server.
        """
        process = self.start("diarkis-tw", "run", "--ready-file", self.ready_file)
        url = self.serving(process)
        process.until(lambda: "Control-C stops it." in process.output())
        self.assertIn("diarkis_tw is ONLINE", process.output())
        self.assertIn(f"client --type tcp --uid alice --url {url}", process.output())
        self.assertServes(url)
        self.assertStops(process)


class EnvironmentTests(ProcessCase):
    """
    What the environment says.
    """

    def test_announcedHost(self) -> None:
        """
        DIARKIS_CLOUD_ENV is the host that players are told.
        """
        self.environ["DIARKIS_CLOUD_ENV"] = "localhost"
        url = self.serving(self.foreground())
        found = self.ask(f"{url}/endpoint/type/TCP/user/alice")
        self.assertEqual(found["serverHost"], "localhost")
        self.assertServes(url)

    def test_clientKey(self) -> None:
        """
        DIARKIS_CLIENT_KEY is what the endpoint API wants, and is not in the log.
        """
        self.environ["DIARKIS_CLIENT_KEY"] = "s3cret-Key"
        process = self.foreground()
        path = f"{self.serving(process)}/endpoint/type/TCP/user/alice"
        self.assertEqual(self.ask(path)["code"], 401)
        self.assertEqual(self.ask(path, {"ClientKey": "wrong"})["code"], 401)
        self.assertIn("sid", self.ask(path, {"ClientKey": "s3cret-Key"}))
        self.assertStops(process)
        self.assertNotIn("s3cret-Key", process.output())

    def test_anyKey(self) -> None:
        """
        Any key of a section can be set.
        """
        self.environ["DIARKIS_SET_TCP__connectionTTL"] = "33"
        player = self.player(self.serving(self.foreground()))
        self.assertEqual(player.terms.connection_ttl, 33)
