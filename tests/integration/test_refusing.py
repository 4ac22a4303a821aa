"""
Starts that fail: status 1, one sentence, nothing left behind.
"""

import socket

from tests.integration.process import Process, ProcessCase

FAILING = """
from twisted.internet import reactor
from twisted.internet.task import deferLater

def setup(server):
    server.on_ready(find_maps)

def find_maps():
    raise LookupError("no maps here")

def later(server):
    server.on_ready(lambda: deferLater(reactor, 0.01, find_maps))

def at_setup(server):
    server.handle_command(1, 2, lambda ver, cmd, payload, user: None)

async def asynchronous(server):
    pass
"""


class RefusingTests(ProcessCase):
    """
    What keeps a node from starting.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write("failing.py", FAILING)

    def refused(self, process: Process, *parts: str) -> str:
        """
        Assert status 1 and a line with these parts.

        @return: the output.
        """
        status = process.wait()
        output = process.output()
        self.assertEqual(status, 1, output)
        lines = [line for line in output.splitlines() if all(part in line for part in parts)]
        self.assertEqual(len(lines), 1, output)
        self.assertFalse(self.ready_file.exists())
        self.assertNotIn("ONLINE", output)
        return output

    def refused_at_once(self, process: Process, *parts: str) -> None:
        """
        Assert the same, and that this line is everything.
        """
        output = self.refused(process, *parts)
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertTrue(output.startswith("diarkis: "), output)

    def test_onReady(self) -> None:
        """
        A failing on_ready is told in one sentence; its traceback is in the log.
        """
        output = self.refused(
            self.foreground("--app", "failing"),
            "diarkis cannot start: on_ready callback find_maps failed: LookupError: no maps here",
        )
        self.assertEqual(output.count("Traceback"), 1)

    def test_onReadyLater(self) -> None:
        """
        So is one that fails when the reactor runs.
        """
        self.refused(
            self.foreground("--app", "failing.later"),
            "diarkis cannot start: on_ready callback",
            "no maps here",
        )

    def test_onReadyBelowTwist(self) -> None:
        """
        Below twist too, at once or later.
        """
        for app in ("failing", "failing.later"):
            process = self.start("twist", "diarkis", "--app", app)
            self.refused(process, "diarkis cannot start: on_ready callback", "no maps here")

    def test_daemon(self) -> None:
        """
        A daemon that cannot start says so where it was started, and leaves no pid file.
        """
        process = self.start("twistd", "diarkis", "--app", "failing")
        status = process.wait()
        self.assertEqual(status, 1, process.output())
        self.assertIn("diarkis cannot start: on_ready callback find_maps", process.output())
        # twistd passes on 100 bytes of it; its log, which it points to, has the whole sentence.
        self.assertIn(
            "diarkis cannot start: on_ready callback find_maps failed: LookupError: no maps here",
            (self.folder / "twistd.log").read_text(),
        )
        self.assertFalse((self.folder / "twistd.pid").exists())

    def test_portInUse(self) -> None:
        """
        A fixed port in use is one sentence, no traceback.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.environ["DIARKIS_SET_HTTP__port"] = str(port)
            self.environ["DIARKIS_SET_HTTP__useFixedPort"] = "true"
            for process in (self.foreground(), self.start("twist", "diarkis")):
                output = self.refused(
                    process, f"diarkis cannot start: Port {port} of 127.0.0.1 is in use"
                )
                self.assertNotIn("Traceback", output)

    def test_configErrors(self) -> None:
        """
        A wrong file, key or option is one sentence and nothing else, in every way to start.
        """
        path = self.write("a.json", {"TCP": {"prot": 1}})
        expected = ("a.json", "prot", "port")
        self.refused_at_once(self.foreground("--config", path), *expected)
        self.refused_at_once(self.start("twist", "diarkis", "--config", path), *expected)
        self.refused_at_once(self.start("twistd", "diarkis", "--config", path), *expected)
        self.refused_at_once(self.foreground("--app", "nowhere"), "app nowhere", "--app-dir")
        self.assertEqual(sorted(path.name for path in self.folder.glob("*.pid")), [])

    def test_wildcard(self) -> None:
        """
        All interfaces without a host to announce.
        """
        self.environ["DIARKIS_SET_TCP__address"] = "0.0.0.0"
        self.refused_at_once(self.foreground(), "DIARKIS_CLOUD_ENV=<host>")

    def test_anonymous(self) -> None:
        """
        An endpoint API that other machines reach, without a key.
        """
        self.environ["DIARKIS_SET_HTTP__address"] = "0.0.0.0"
        self.refused_at_once(self.foreground(), "DIARKIS_CLIENT_KEY", "allowAnonymous")

    def test_mesh(self) -> None:
        """
        NATS servers that others reach without a key, and files that are not there.
        """
        far = {"engine": "nats", "servers": ["nats://192.0.2.1:4222"]}
        near = {"engine": "nats", "servers": ["nats://127.0.0.1:4222"]}
        for mesh, part in (
            (far, "mesh.servers has 192.0.2.1, which is not on loopback: nodes need a mesh.key"),
            (near | {"credentials": "none.creds"}, "none.creds: cannot be read"),
            (near | {"tlsCa": "none.pem"}, "none.pem: cannot be read"),
        ):
            path = self.write("mesh.json", {"HTTP": {}, "mesh": mesh})
            self.refused_at_once(self.foreground("--config", path), part)

    def test_setup(self) -> None:
        """
        A setup that fails ends the start with status 1 and the place in the application.
        """
        process = self.foreground("--app", "failing.at_setup")
        self.assertEqual(process.wait(), 1)
        self.assertIn("failing.py", process.output())
        self.assertIn("RegistrationError", process.output())

    def test_asynchronousSetup(self) -> None:
        """
        A setup that would have to be waited for is refused in one sentence.
        """
        process = self.foreground("--app", "failing.asynchronous")
        self.refused(process, "diarkis: app failing.asynchronous", "asynchronous")
