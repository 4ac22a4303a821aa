"""
TLS and SIGHUP with real processes: they serve over TLS, read their configuration
again, and nobody who is connected notices.
"""

import json
import os
import pty
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from diarkis_tw.constants import CloseCode
from diarkis_tw.testing.certificates import DAY, Authority
from diarkis_tw.wire.message import Push
from tests.integration.process import PATIENCE, Player, Process, ProcessCase, program, wait_until
from tests.raw_client import Close

CONFIG = "server.json"
SEND = ("--send", "2", "10", "hello")


class TlsCase(ProcessCase):
    """
    A configuration with TLS everywhere.

    @ivar config: what its file has.
    """

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        self.ca = self.authority.write(self.folder)
        self.issue()
        tls = {"tlsCertificate": "server.pem", "tlsPrivateKey": "server-key.pem"}
        self.config: dict[str, dict[str, object]] = {
            "TCP": {"noDelay": True, **tls},
            "HTTP": dict(tls),
            "app": {"module": "diarkis_tw.demo"},
        }
        self.save()

    def issue(self, *names: str, authority: Authority | None = None) -> None:
        """
        Put a new certificate and key into the folder.
        """
        issued = (authority or self.authority).issue("127.0.0.1", "localhost", *names)
        issued.write(self.folder)

    def save(self) -> Path:
        """
        Write the configuration.
        """
        return self.write(CONFIG, self.config)

    def begin(self) -> tuple[Process, str]:
        """
        Start a node.

        @return: it, and the URL of its endpoint API.
        """
        process = self.foreground("--config", CONFIG)
        return process, self.serving(process)

    def leave(self, player: Player) -> None:
        """
        Have a player leave for good, so that nobody waits for it to come back.
        """
        player.send(player.raw.close())
        self.assertTrue(player.at_end())
        player.close()

    def client(self, url: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """
        Run the command line's client.
        """
        return subprocess.run(
            [program("diarkis-tw"), "client", "--uid", "zoe", "--url", url, *options, *SEND],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            text=True,
            check=False,
        )


class ServingTests(TlsCase):
    """
    Over TLS, from end to end.
    """

    def test_serves(self) -> None:
        """
        The endpoint API and the players' connections are verified and work; the end too.
        """
        process, url = self.begin()
        self.assertTrue(url.startswith("https://"), url)
        ready = json.loads(self.ready_file.read_text())
        self.assertEqual((ready["TCP"]["tls"], ready["HTTP"]["tls"]), (True, True))
        self.assertServes(url, b"x" * 8000, b"x" * 8000)
        player = self.player(url)
        assert isinstance(player.socket, ssl.SSLSocket)
        self.assertEqual(player.socket.version(), "TLSv1.3")
        self.leave(player)
        self.assertStops(process)

    def test_client(self) -> None:
        """
        C{diarkis-tw client} needs C{--ca} for this authority, and says so without.
        """
        _, url = self.begin()
        done = self.client(url, "--ca", "ca.pem")
        self.assertIn('payload="hello"', done.stdout)
        self.assertEqual(done.returncode, 0)
        done = self.client(url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no authority that this machine trusts", done.stdout)
        self.assertIn("--ca FILE", done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_run(self) -> None:
        """
        C{diarkis-tw run} shows a command that works as it stands.
        """
        with (self.folder / "server.pem").open("ab") as chain:
            chain.write(self.authority.pem)
        process = self.start(
            "diarkis-tw", "run", "--config", CONFIG, "--ready-file", self.ready_file
        )
        self.serving(process)
        process.until(lambda: "Control-C stops it." in process.output())
        self.assertIn("HTTP  https://127.0.0.1:", process.output())
        (line,) = [line for line in process.output().splitlines() if " client --type " in line]
        self.assertIn("--url https://127.0.0.1:", line)
        done = subprocess.run(
            [*line.split(), *SEND],
            env=self.environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            text=True,
            check=False,
        )
        self.assertIn('payload="hello"', done.stdout, done.stderr)
        self.assertStops(process)

    def test_drained(self) -> None:
        """
        SIGTERM: the last words arrive through TLS, then the connection is closed in order.
        """
        self.environ["DIARKIS_SHUTDOWN_TIMEOUT"] = "0"
        process, url = self.begin()
        player = self.player(url)
        self.assertEqual(player.request(2, 10, b"x" * 8000), b"x" * 8000)
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push).payload, b"\2")
        self.assertEqual(player.next(Close), Close(CloseCode.SERVER_OFFLINE, ""))
        self.assertTrue(player.at_end())
        player.close()
        self.assertEqual(process.wait(), 0)
        self.assertNotIn("Traceback", process.output())

    def test_opensslClient(self) -> None:
        """
        OpenSSL's own client is of the same opinion, and old versions are refused.
        """
        openssl = shutil.which("openssl")
        if openssl is None:
            raise SkipTest("there is no openssl command")
        _, url = self.begin()
        address = url.removeprefix("https://")

        def connect(*options: str) -> str:
            done = subprocess.run(
                [openssl, "s_client", "-connect", address, "-CAfile", "ca.pem", *options],
                cwd=self.folder,
                input="",
                capture_output=True,
                timeout=PATIENCE,
                text=True,
                check=False,
            )
            return done.stdout + done.stderr

        good = connect("-verify_return_error", "-verify_ip", "127.0.0.1")
        self.assertIn("Verify return code: 0 (ok)", good)
        self.assertIn("TLSv1.3", good)
        self.assertIn("TLSv1.2", connect("-tls1_2"))
        self.assertIn("Compression: NONE", connect("-tls1_2"))
        for old in ("-tls1", "-tls1_1"):
            found = connect(old, "-cipher", "ALL:@SECLEVEL=0")
            self.assertIn("alert protocol version", found)


class RefusingTests(TlsCase):
    """
    Files that are wrong: nothing is bound.
    """

    def assertRefused(self, *parts: str) -> None:
        """
        The process ends with status 1 and one sentence.
        """
        process = self.foreground("--config", CONFIG)
        self.assertEqual(process.wait(), 1)
        for part in parts:
            self.assertIn(part, process.output())
        self.assertNotIn("Traceback", process.output())
        self.assertNotIn("starting on", process.output())

    def test_expired(self) -> None:
        """
        An expired certificate.
        """
        self.authority.issue("127.0.0.1", since=-2 * DAY, until=-DAY).write(self.folder)
        self.assertRefused(f"TCP.tlsCertificate {self.folder}/server.pem: expired on", "Renew it.")

    def test_wrongPair(self) -> None:
        """
        A certificate with another's key, in the section bound last.
        """
        other = self.authority.issue("x").write(self.folder, "other")
        self.config["HTTP"]["tlsPrivateKey"] = Path(other[1]).name
        self.save()
        self.assertRefused("HTTP.tlsCertificate", "another key than HTTP.tlsPrivateKey")

    def test_half(self) -> None:
        """
        A certificate without a key.
        """
        del self.config["TCP"]["tlsPrivateKey"]
        self.save()
        self.assertRefused("TCP.tlsCertificate and TCP.tlsPrivateKey need each other")


class ReloadTests(TlsCase):
    """
    SIGHUP.
    """

    def reload(self, process: Process, text: str) -> str:
        """
        Send the signal and wait for what it must log.

        @return: what it logged.
        """
        before = len(process.output())
        process.signal(signal.SIGHUP)
        process.until(lambda: text in process.output()[before:])
        return process.output()[before:]

    def certificate(self, player: Player) -> bytes | None:
        """
        Which certificate a player was shown.
        """
        assert isinstance(player.socket, ssl.SSLSocket)
        return player.socket.getpeercert(binary_form=True)

    def test_certificate(self) -> None:
        """
        New connections get the new certificate, old ones go on, twice.
        """
        process, url = self.begin()
        players = [self.player(url, "p0")]
        for n in (1, 2):
            self.issue()
            logged = self.reload(process, "reload:")
            self.assertIn("TCP has a new certificate", logged)
            self.assertIn("HTTP has a new certificate", logged)
            players.append(self.player(url, f"p{n}"))
        self.assertEqual(len({self.certificate(player) for player in players}), 3)
        for player in players:
            self.assertEqual(player.request(2, 10, b"still here"), b"still here")
            self.leave(player)
        self.assertStops(process)

    def test_wrongCertificate(self) -> None:
        """
        A wrong one is logged; the old one goes on.
        """
        process, url = self.begin()
        before = self.player(url, "p0")
        (self.folder / "server-key.pem").write_text("")
        logged = self.reload(process, "HTTP goes on with its old certificate")
        self.assertIn("TCP goes on with its old certificate: TCP.tlsPrivateKey", logged)
        after = self.player(url, "p1")
        self.assertEqual(self.certificate(before), self.certificate(after))
        self.assertEqual(before.request(2, 10, b"x"), b"x")

    def test_settings(self) -> None:
        """
        The log's level and the command rate change, back again too; what needs a restart is
        listed; a wrong file changes nothing.
        """
        process, url = self.begin()
        player = self.player(url)
        self.config["node"] = {"maxCommandRate": 5, "reconnectGrace": 1}
        self.config["TCP"]["maxRcvSize"] = 500
        self.save()
        logged = self.reload(process, "needs a restart")
        self.assertIn("reload: node.maxCommandRate is 5 now\n", logged)
        self.assertIn("needs a restart: TCP.maxRcvSize, node.reconnectGrace\n", logged)
        self.write(CONFIG, "{")
        self.assertIn(f"{self.folder}/{CONFIG}", self.reload(process, "nothing was changed"))
        del self.config["node"], self.config["TCP"]["maxRcvSize"]
        self.config["log"] = {"level": "error"}
        self.save()
        # with that level it has nothing to say any more
        process.signal(signal.SIGHUP)
        (self.folder / "server.pem").rename(self.folder / "away.pem")
        logged = self.reload(process, "HTTP goes on with its old")
        self.assertNotIn("nothing to change", logged)
        (self.folder / "away.pem").rename(self.folder / "server.pem")
        del self.config["log"]
        self.save()
        self.reload(process, "log.level is info now")
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        self.leave(player)
        self.assertStops(process)

    def test_run(self) -> None:
        """
        Under C{diarkis-tw run}.
        """
        process = self.start(
            "diarkis-tw", "run", "--config", CONFIG, "--ready-file", self.ready_file
        )
        url = self.serving(process)
        player = self.player(url, "bob")
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        self.issue()
        self.reload(process, "TCP has a new certificate")
        self.assertServes(url)
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        self.leave(player)
        self.assertStops(process)

    def test_daemon(self) -> None:
        """
        As a daemon, which has gone to another folder; its log is begun anew by SIGUSR1.
        """
        (self.folder / "elsewhere").mkdir()
        log, pid_file = self.folder / "twistd.log", self.folder / "twistd.pid"
        launcher = self.start(
            "twistd",
            f"--pidfile={pid_file}",
            f"--logfile={log}",
            "--rundir=elsewhere",
            "diarkis",
            "--config",
            CONFIG,
            "--ready-file",
            self.ready_file,
        )
        self.assertEqual(launcher.wait(), 0, launcher.output())
        wait_until(self.ready_file.exists, log.read_text)
        pid = int(pid_file.read_text())
        self.addCleanup(lambda: pid_file.exists() and os.kill(pid, signal.SIGKILL))
        player = self.player(self.serving(launcher))
        self.issue()
        self.config["log"] = {"level": "debug"}
        self.save()
        os.kill(pid, signal.SIGHUP)
        wait_until(
            lambda: "log.level is debug now; TCP has a new" in log.read_text(), log.read_text
        )
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: (self.folder / "twistd.log.1").exists(), log.read_text)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "nothing to change" in log.read_text(), log.read_text)
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        self.leave(player)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), log.read_text)
        self.assertNotIn("Traceback", log.read_text())

    def test_terminalCloses(self) -> None:
        """
        The same signal from a terminal that is gone is the end, as Control-C is.
        """
        command = [program("diarkis-tw"), "run", "--ready-file", str(self.ready_file)]
        master, slave = pty.openpty()
        with (self.folder / "terminal.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", ON_TERMINAL, os.ttyname(slave), *command],
                env=self.environ,
                cwd=self.folder,
                stdin=slave,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        os.close(slave)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        log = self.folder / "terminal.log"
        wait_until(self.ready_file.exists, log.read_text)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload: nothing to change" in log.read_text(), log.read_text)
        os.close(master)
        self.assertEqual(process.wait(PATIENCE), 0, log.read_text())
        self.assertNotIn("Traceback", log.read_text())


ON_TERMINAL = """
import os, sys
os.close(os.open(sys.argv[1], os.O_RDWR))  # a session's first terminal becomes its own
os.execv(sys.argv[2], sys.argv[2:])
"""
