"""
Tests of L{diarkis_tw.tap}.
"""

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.logger import LogLevel
from twisted.python.usage import UsageError
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.server.lifecycle import Lifecycle
from diarkis_tw.tap import Options, banner, makeService, write_ready_file
from diarkis_tw.testing.certificates import Authority, Issued

ROOT = Path(__file__).resolve().parent.parent


class TapCase(SynchronousTestCase):
    """
    An environment without settings, and a folder.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        kept = {name: text for name, text in os.environ.items() if not name.startswith("DIARKIS")}
        self.environ = kept
        self.patch(os, "environ", kept)
        self.patch(sys, "path", sys.path[:])
        self.patch(reactor, "seconds", reactor.seconds)

    def write(self, name: str, content: object) -> str:
        """
        Write a file, as JSON unless it is text.

        @return: its path.
        """
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def parse(self, *arguments: str) -> Options:
        """
        Parse a command line as a tac file does.
        """
        options = Options()
        options.parseOptions(list(arguments))
        return options


class OptionsTests(TapCase):
    """
    Options, right and wrong.
    """

    def refused(self, *arguments: str, parts: tuple[object, ...] = ()) -> None:
        """
        Assert that parsing ends the process with one sentence: a SystemExit with
        a text, which Python prints before it ends with status 1.
        """
        ended = self.assertRaises(SystemExit, self.parse, *arguments)
        assert isinstance(ended, SystemExit)
        assert isinstance(ended.code, str)
        self.assertTrue(ended.code.startswith("diarkis: "), ended.code)
        self.assertNotIn("\n", ended.code)
        for part in parts:
            self.assertIn(str(part), ended.code)

    def test_default(self) -> None:
        """
        Without options it is the demo on loopback.
        """
        options = self.parse()
        self.assertIs(options.setup, demo.setup)
        assert options.settings.tcp is not None
        assert options.settings.http is not None

    def test_config(self) -> None:
        """
        With a file and no application there is none.
        """
        options = self.parse("--config", self.write("a.json", {"TCP": {"port": 7345}}))
        assert options.settings.tcp is not None
        self.assertEqual(options.settings.tcp.port, 7345)
        self.assertIsNone(options.setup)
        self.assertIsNone(options.settings.http)

    def test_flat(self) -> None:
        """
        C{--type} says what a flat file is.
        """
        path = self.write("tcp.json", {"port": "7345"})
        options = self.parse("--config", path, "--type", "tcp")
        assert options.settings.tcp is not None
        self.assertEqual(options.settings.tcp.port, 7345)

    def test_application(self) -> None:
        """
        C{--app} wins over the file's application and is looked for in C{--app-dir}.
        """
        self.write("tap_game.py", "def setup(server): return 'mine'\n")
        self.addCleanup(sys.modules.pop, "tap_game", None)
        path = self.write("a.json", {"TCP": {}, "app": {"module": "diarkis_tw.demo"}})
        self.assertIs(self.parse("--config", path).setup, demo.setup)
        options = self.parse("--config", path, "--app", "tap_game", "--app-dir", str(self.folder))
        assert options.setup is not None
        self.assertEqual(options.setup(cast(Any, None)), "mine")

    def test_application_beside_the_file(self) -> None:
        """
        C{--app} alone is looked for where the file says that applications are.
        """
        (self.folder / "games").mkdir()
        self.write("games/tap_game4.py", "def setup(server): return 'beside'\n")
        self.addCleanup(sys.modules.pop, "tap_game4", None)
        path = self.write("a.json", {"TCP": {}, "app": {"module": "x", "dir": "games"}})
        options = self.parse("--config", path, "--app", "tap_game4")
        assert options.setup is not None
        self.assertEqual(options.setup(cast(Any, None)), "beside")
        self.assertEqual(options.settings.app.module, "tap_game4")

    def test_environment(self) -> None:
        """
        The environment is applied, and its errors end the process too.
        """
        self.environ["DIARKIS_SET_TCP__port"] = "7346"
        options = self.parse()
        assert options.settings.tcp is not None
        self.assertEqual(options.settings.tcp.port, 7346)
        self.environ["DIARKIS_SET_TCP__prot"] = "7346"
        self.refused(parts=("DIARKIS_SET_TCP__prot", "port"))

    def test_wrong(self) -> None:
        """
        Whatever is wrong ends the process with one sentence that names it.
        """
        missing = str(self.folder / "missing.json")
        self.refused("--config", missing, parts=(missing,))
        broken = self.write("broken.json", "{")
        self.refused("--config", broken, parts=(broken,))
        unknown = self.write("unknown.json", {"TCP": {"prot": 1}})
        self.refused("--config", unknown, parts=("prot", "port"))
        flat = self.write("flat.json", {"port": 1})
        self.refused("--config", flat, parts=("--type",))
        self.refused("--config", flat, "--type", "tpc", parts=("tcp",))
        self.refused("--type", "tcp", parts=("--config",))
        self.refused("--app", "no.such.module", parts=("no.such.module",))
        self.refused("--app", "diarkis_tw.units", parts=("setup",))

    def test_unknownOption(self) -> None:
        """
        An option that does not exist is twistd's to report.
        """
        self.assertRaises(UsageError, self.parse, "--cofnig", "x")
        self.assertRaises(UsageError, self.parse, "argument")

    def test_relativeReadyFile(self) -> None:
        """
        The ready file's path is made absolute: a daemon changes its directory.
        """
        options = self.parse("--ready-file", "r.json")
        self.assertEqual(options["ready-file"], str(Path("r.json").absolute()))

    def test_logOfTwistd(self) -> None:
        """
        Below twistd the section log decides, unless twistd's command line does.
        """
        path = self.write("a.json", {"TCP": {}, "log": {"level": "warn"}})
        for arguments, expected in ((["-n"], True), (["-n", "--logger", "io.StringIO"], False)):
            parent = ServerOptions()
            parent.parseOptions([*arguments, "--pidfile=", "diarkis", "--config", path])
            service = cast(Lifecycle, makeService(parent.subOptions))
            self.assertEqual(service.log_observer is not None, expected)

    def test_logOfTwist(self) -> None:
        """
        Below twist the level is set in twist's own options.
        """
        path = self.write("a.json", {"TCP": {}, "log": {"level": "warn"}})
        options = Options()
        parent: dict[str, object] = {"logLevel": LogLevel.info}
        options.parent = cast(Any, parent)
        options.parseOptions(["--config", path])
        self.assertEqual(parent["logLevel"], LogLevel.warn)


class MakeServiceTests(TapCase):
    """
    The service that twistd runs.
    """

    def test_nothingStarts(self) -> None:
        """
        Making it opens no socket and logs nothing; the application is set up.
        """
        self.write("tap_game2.py", "made = []\ndef setup(server): made.append(server)\n")
        self.addCleanup(sys.modules.pop, "tap_game2", None)
        before = set(reactor.getReaders())
        options = self.parse("--app", "tap_game2", "--app-dir", str(self.folder))
        service = cast(Lifecycle, makeService(options))
        self.assertEqual(set(reactor.getReaders()), before)
        self.assertEqual(len(sys.modules["tap_game2"].made), 1)
        self.assertEqual(service.listeners, [])

    def test_steadyTime(self) -> None:
        """
        The node's time does not follow the system's clock, which may be set.
        """
        makeService(self.parse("--app", "diarkis_tw.demo"))
        self.assertIs(reactor.seconds, time.monotonic)

    def test_asynchronousSetup(self) -> None:
        """
        A setup that nothing would wait for is refused, not half run.
        """
        self.write("tap_game3.py", "async def setup(server): pass\n")
        self.addCleanup(sys.modules.pop, "tap_game3", None)
        options = self.parse("--app", "tap_game3", "--app-dir", str(self.folder))
        ended = self.assertRaises(SystemExit, makeService, options)
        self.assertIn("app tap_game3: its setup is asynchronous", str(ended))

    def test_announced(self) -> None:
        """
        The ready file and the banner come when the node is announced, the file first.
        """
        ready = self.folder / "r.json"
        output = io.StringIO()
        self.patch(sys, "__stdout__", output)
        service = cast(Lifecycle, makeService(self.parse("--ready-file", str(ready), "--banner=x")))
        self.assertFalse(ready.exists())
        self.assertEqual(len(service.on_online), 2)
        for callback in service.on_online:
            callback()
        self.assertEqual(json.loads(ready.read_text()), {"pid": os.getpid()})
        self.assertIn("ONLINE", output.getvalue())


class ReadyFileTests(TapCase):
    """
    C{--ready-file}.
    """

    def test_content(self) -> None:
        """
        It has host and port of each server, whether it speaks TLS, and the process's id.
        """
        path = self.folder / "r.json"
        write_ready_file(path, {"TCP": ("127.0.0.1", 7200), "HTTP": ("::1", 7000)}, {"HTTP"})
        self.assertEqual(
            json.loads(path.read_text()),
            {
                "TCP": {"host": "127.0.0.1", "port": 7200},
                "HTTP": {"host": "::1", "port": 7000, "tls": True},
                "pid": os.getpid(),
            },
        )

    def test_replaced(self) -> None:
        """
        An old file is replaced as a whole, and nothing else is left in the folder.
        """
        path = self.folder / "r.json"
        path.write_text("x" * 10_000)
        os.link(path, self.folder / "old")
        write_ready_file(path, {})
        self.assertEqual(json.loads(path.read_text()), {"pid": os.getpid()})
        self.assertEqual((self.folder / "old").stat().st_size, 10_000)
        self.assertEqual(sorted(os.listdir(self.folder)), ["old", "r.json"])


class BannerTests(TapCase):
    """
    What a person sees.
    """

    def test_all(self) -> None:
        """
        It has the addresses and the next command, complete.
        """
        text = banner("bin/diarkis-tw", {"TCP": ("127.0.0.1", 7201), "HTTP": ("127.0.0.1", 7002)})
        self.assertIn("TCP   127.0.0.1:7201", text)
        self.assertIn("HTTP  http://127.0.0.1:7002", text)
        self.assertIn(
            "bin/diarkis-tw client --type tcp --uid alice --url http://127.0.0.1:7002", text
        )

    def test_withoutHttp(self) -> None:
        """
        Without an endpoint API there is no next command to type.
        """
        text = banner("diarkis-tw", {"TCP": ("127.0.0.1", 7201)})
        self.assertIn("7201", text)
        self.assertNotIn("client", text)

    def test_connector(self) -> None:
        """
        A connector waits for its server, and for no client of ours.
        """
        addresses = {"CONNECTOR": ("127.0.0.1", 9001), "HTTP": ("127.0.0.1", 7002)}
        text = banner("diarkis-tw", addresses)
        self.assertIn("OFFLINE until the external server is ready", text)
        self.assertIn("http://127.0.0.1:9001/connector/v1/", text)
        self.assertNotIn("client", text)

    def test_ipv6(self) -> None:
        """
        An IPv6 address has brackets, in the URL too.
        """
        text = banner("diarkis-tw", {"TCP": ("::1", 7201), "HTTP": ("::1", 7002)})
        self.assertIn("[::1]:7201", text)
        self.assertIn("--url http://[::1]:7002", text)

    def tls(self, *names: str, private: bool = True) -> ServerTls:
        """
        A certificate of the server.
        """
        above = Authority()
        issued = above.issue(*names)
        if private:
            issued = Issued(issued.chain + above.pem, issued.key)
        return ServerTls("HTTP", *issued.write(self.folder))

    def test_tls(self) -> None:
        """
        With TLS it is https, by a name of the certificate, with its own authority if that is there.
        """
        tls = {"HTTP": self.tls("*.example", "localhost"), "TCP": self.tls("localhost")}
        addresses = {"TCP": ("127.0.0.1", 7201), "HTTP": ("127.0.0.1", 7002)}
        text = banner("diarkis-tw", addresses, tls)
        self.assertIn("TCP   127.0.0.1:7201 (TLS)", text)
        self.assertIn("HTTP  https://127.0.0.1:7002\n", text)
        path = self.folder / "server.pem"
        self.assertIn(f"--url https://localhost:7002 --ca {path}\n", text)

    def test_publicTls(self) -> None:
        """
        A certificate of an authority that is not there is left to the client's system.
        """
        tls = {"HTTP": self.tls("127.0.0.1", private=False)}
        text = banner("x", {"TCP": ("127.0.0.1", 7201), "HTTP": ("127.0.0.1", 7002)}, tls)
        self.assertIn("--url https://127.0.0.1:7002\n", text)
        self.assertNotIn("(TLS)", text)

    def test_wildcard(self) -> None:
        """
        What is bound to all interfaces is reached from here by loopback.
        """
        text = banner("diarkis-tw", {"TCP": ("0.0.0.0", 7201), "HTTP": ("0.0.0.0", 7002)})
        self.assertIn("--url http://127.0.0.1:7002", text)
