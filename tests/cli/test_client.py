"""
Tests of C{diarkis-tw client}: with the real server in memory, and as a process.
"""

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.cli.client import run_conversation, run_script
from diarkis_tw.cli.conversation import Conversation, ExpectationFailed
from diarkis_tw.cli.main import build_parser, main
from diarkis_tw.client import Disconnected, EndpointError, LocalProtocolError, connect
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import CommandError, Server
from diarkis_tw.testing.loopback import LoopbackReactor


class ServerCase(SynchronousTestCase):
    """
    The real server with the demo and a few commands more, in memory.
    """

    def setUp(self):
        self.reactor = LoopbackReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.setup_as_http_server({"port": 7000})
        demo.setup(self.server)
        self.server.handle_command(2, 12, self.refuse)
        self.server.handle_command(2, 13, lambda ver, cmd, payload, user: Deferred())
        self.commands, self.users = [], []
        self.server.hook_all_commands(self.hook)
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(30)
        self.successResultOf(stopping)

    def hook(self, user):
        self.commands.append(user.request.cmd)
        self.users.append(user)

    def refuse(self, ver, cmd, payload, user):
        raise CommandError(7, "no")

    def arguments(self, *words):
        return build_parser().parse_args(["client", "--uid", "alice", *words])


class ScriptTests(ServerCase):
    def script(self, *words, seconds=1):
        """
        What a command line's work came to, and what it printed.
        """
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            work = Deferred.fromCoroutine(run_script(self.reactor, self.arguments(*words)))
            self.reactor.advance(seconds)
        self.lines = out.getvalue().splitlines()
        return work

    def test_send(self):
        """Each response is a line, and when all came the status is 0."""
        work = self.script("--send", "2", "10", "hello", "--send", "2", "12", "x")
        self.assertEqual(self.successResultOf(work), 0)
        self.assertEqual(
            self.lines,
            [
                'response ver=2 cmd=10 status=OK payload="hello"',
                'response ver=2 cmd=12 status=BAD code=7 message="no"',
            ],
        )

    def test_leaves(self):
        """At the end the user has left for good, and no timer of the client is left."""
        before = len(self.reactor.getDelayedCalls())
        self.successResultOf(self.script("--send", "2", "10", "hello"))
        self.assertEqual(self.server.users.ccu(), 0)
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)

    def test_expect_pushes(self):
        """Pushes count as what is expected."""
        work = self.script("--send", "2", "11", "x", "--expect", "2")
        self.assertEqual(self.successResultOf(work), 0)
        self.assertEqual(self.lines[0], 'push ver=2 cmd=11 payload="x"')

    def test_no_more_than_expected(self):
        """What comes beyond the expected number is not printed."""
        work = self.script("--send", "2", "11", "x", "--send", "2", "11", "y", "--expect", "1")
        self.assertEqual(self.successResultOf(work), 0)
        self.assertEqual(len(self.lines), 1)

    def test_expect_nothing(self):
        """Expecting nothing, it sends and leaves, and what was sent is carried out."""
        work = self.script("--send", "2", "10", "x", "--expect", "0")
        self.assertEqual((self.successResultOf(work), self.lines), (0, []))
        self.assertIn(10, self.commands)

    def test_too_few(self):
        """Fewer than expected within the time-out is a failure that counts them."""
        work = self.script("--send", "2", "10", "x", "--expect", "3", "--timeout", "2", seconds=1.9)
        self.assertNoResult(work)
        self.reactor.advance(2)
        self.assertIn("1 of 3", str(self.failureResultOf(work, ExpectationFailed).value))

    def test_no_answer(self):
        """A request that is not answered is one that did not come."""
        work = self.script("--send", "2", "13", "x", "--timeout", "2", seconds=5)
        self.failureResultOf(work, ExpectationFailed)

    def test_put_out(self):
        """Put out by the server, it fails with the code, at once."""
        work = self.script("--expect", "1")
        self.assertNoResult(work)
        self.successResultOf(self.script("--send", "2", "10", "x"))
        self.assertEqual(self.failureResultOf(work, Disconnected).value.code, CloseCode.REPLACED)

    def test_interrupted(self):
        """Cancelled, it leaves the server properly before it ends."""
        work = self.script("--expect", "1")
        work.cancel()
        self.reactor.advance(1)
        self.failureResultOf(work, CancelledError)
        self.assertEqual(self.server.users.ccu(), 0)

    def test_data(self):
        """--data becomes the user's data."""
        self.script("--data", '{"level": 3}', "--send", "2", "10", "x")
        self.assertEqual(self.users[-1].data, {"level": 3})

    def test_bad_words(self):
        """Words that cannot be meant fail before anything is asked."""
        for words in (
            ("--send", "300", "1", "x"),
            ("--send", "2", "10", "hex:x"),
            ("--data", "[1]"),
            ("--data", "{"),
            ("--binary",),
            ("--uid", ""),
        ):
            self.failureResultOf(self.script("--expect", "0", *words), LocalProtocolError)
        self.assertEqual(self.reactor.links, [])

    def test_no_server(self):
        """No server is said with what to do."""
        work = self.script("--url", "http://127.0.0.1:1", "--expect", "0")
        self.assertIn("diarkis-tw run", str(self.failureResultOf(work, EndpointError).value))


class ConversationTests(ServerCase):
    def setUp(self):
        super().setUp()
        connecting = connect("http://127.0.0.1:7000", "alice", reactor=self.reactor)
        self.reactor.pump()
        self.client = self.successResultOf(connecting)
        self.out, self.notes = [], []
        self.conversation = Conversation(
            self.client, self.reactor, 2.0, out=self.out.append, note=self.notes.append
        )

    def line(self, text, seconds=0):
        carrying = Deferred.fromCoroutine(self.conversation.line(text))
        self.reactor.advance(seconds)
        return self.successResultOf(carrying)

    def greet(self):
        greeting = Deferred.fromCoroutine(self.conversation.greet())
        self.reactor.pump()
        self.successResultOf(greeting)

    def test_greeting(self):
        """At first it says where it is, as whom, and the round-trip time."""
        self.greet()
        self.assertEqual(
            self.notes, ["connected to TCP 127.0.0.1:7200 as alice, round trip 0.0 ms"]
        )

    def test_command(self):
        """A command's response is shown with its time."""
        self.assertTrue(self.line("2 10 hello world"))
        self.assertTrue(self.line("  2 10"))
        self.assertEqual(
            self.out,
            [
                'response ver=2 cmd=10 status=OK payload="hello world" (0.0 ms)',
                'response ver=2 cmd=10 status=OK payload="" (0.0 ms)',
            ],
        )

    def test_push(self):
        """Pushes are shown as they come."""
        self.line("2 11 x")
        self.assertEqual(self.out[0], 'push ver=2 cmd=11 payload="x"')

    def test_words(self):
        """help explains, ping measures, an empty line does nothing."""
        self.assertTrue(self.line("help"))
        self.assertIn("VER CMD", self.notes[-1])
        for word in ("ping", "rtt"):
            self.assertTrue(self.line(word))
            self.assertEqual(self.notes[-1], "round trip 0.0 ms")
        count = len(self.notes)
        self.assertTrue(self.line(""))
        self.assertEqual(len(self.notes), count)

    def test_wrong_words(self):
        """What cannot be carried out is answered with a sentence, and it goes on."""
        for text in ("foo", "2 x", "2 10 hex:0", "help me please"):
            self.assertFalse(self.line(text))
        self.assertEqual(len(self.notes), 4)
        self.assertFalse(self.line("2 13 never answered", seconds=3))
        self.assertIn("no answer", self.notes[-1])

    def test_quit(self):
        """quit ends it."""
        self.line("quit")
        self.successResultOf(Deferred.fromCoroutine(self.conversation.until_end()))
        self.line("exit")

    def test_reconnecting(self):
        """Losing and finding the connection again is told."""
        self.reactor.links[-1].cut()
        self.reactor.advance(1)
        self.assertEqual(self.notes, ["connection lost, reconnecting ...", "reconnected"])
        self.assertTrue(self.line("2 10 x"))

    def test_state(self):
        """A change of the node's state is told, that it is ONLINE is not."""
        self.greet()
        del self.notes[:]
        self.server.taken()
        self.reactor.advance(5)
        self.assertEqual(self.notes, ["the node is TAKEN"])

    def test_put_out(self):
        """Being put out ends it with the code."""
        other = connect("http://127.0.0.1:7000", "alice", reactor=self.reactor)
        self.reactor.pump()
        ended = self.failureResultOf(
            Deferred.fromCoroutine(self.conversation.until_end()), Disconnected
        )
        self.assertEqual(ended.value.code, CloseCode.REPLACED)
        self.assertFalse(self.line("2 10 x"))
        self.successResultOf(other).close()
        self.reactor.advance(1)


class LinesTests(ServerCase):
    def test_bad_server(self):
        """A conversation with nobody fails like a script."""
        arguments = self.arguments("--url", "http://127.0.0.1:1")
        work = Deferred.fromCoroutine(run_conversation(self.reactor, arguments))
        self.reactor.advance(1)
        self.failureResultOf(work, EndpointError)


class CommandLineTests(SynchronousTestCase):
    def usage(self, *words):
        error = io.StringIO()
        with contextlib.redirect_stderr(error), self.assertRaises(SystemExit) as caught:
            build_parser().parse_args(["client", *words])
        self.assertEqual(caught.exception.code, 2)
        return error.getvalue()

    def test_bad_options(self):
        """Options that cannot be meant are refused with usage."""
        self.assertIn("--uid", self.usage())
        self.assertIn("--type", self.usage("--uid", "a", "--type", "fax"))
        for value in ("0", "-1", "x", "nan", "inf"):
            self.assertIn("--timeout", self.usage("--uid", "a", "--timeout", value))
        self.assertIn("--expect", self.usage("--uid", "a", "--expect", "-1"))
        self.assertIn("--send", self.usage("--uid", "a", "--send", "2", "10"))

    def test_main(self):
        """An expected failure is one sentence on standard error, and status 1."""
        # In a process of its own: the reactor of this one is the test runner's.
        found = subprocess.run(
            [sys.executable, "-c", MAIN, "client", "--uid", "a", "--send", "2", "10", "hex:x"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((found.returncode, found.stdout), (1, ""))
        self.assertEqual(found.stderr, "diarkis-tw client: 'hex:x' is not hexadecimal after hex:\n")
        self.assertTrue(callable(main))


MAIN = "import sys; from diarkis_tw.cli.main import main; sys.exit(main())"

CONFIG = '{"TCP": {"port": 0}, "HTTP": {"port": 0}, "app": {"module": "diarkis_tw.demo"}}'


class ProcessTests(SynchronousTestCase):
    """
    Server and client as processes, as a person uses them.
    """

    def setUp(self):
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "config.json").write_text(CONFIG)
        ready = folder / "ready.json"
        self.environ = {**os.environ, "XDG_STATE_HOME": str(folder), "TERM": "xterm"}
        self.environ.pop("DIARKIS_CLIENT_KEY", None)
        self.log = (folder / "log").open("wb")
        self.addCleanup(self.log.close)
        self.server = subprocess.Popen(
            [
                sys.executable,
                "-c",
                MAIN,
                "run",
                "--config",
                str(folder / "config.json"),
                "--ready-file",
                str(ready),
            ],
            stdout=self.log,
            stderr=self.log,
            env=self.environ,
            cwd=folder,
        )
        self.addCleanup(self.end, self.server)
        self.wait(ready.exists)
        http = json.loads(ready.read_text())["HTTP"]
        self.command = [
            sys.executable,
            "-c",
            MAIN,
            "client",
            "--uid",
            "alice",
            "--url",
            f"http://127.0.0.1:{http['port']}",
        ]
        self.history = folder / "diarkis-tw" / "client-history"

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait(10)

    def wait(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, "nothing happened for 30 s")
            time.sleep(0.02)

    def test_script(self):
        """A script's lines are on standard output, and nothing else is."""
        found = subprocess.run(
            [*self.command, "--send", "2", "10", "hello", "--expect", "1"],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environ,
        )
        self.assertEqual(found.stdout, 'response ver=2 cmd=10 status=OK payload="hello"\n')
        self.assertEqual((found.returncode, found.stderr), (0, ""))

    def test_lines(self):
        """Lines from a pipe are carried out in order; wrong ones show in the status."""
        for lines, status in (("2 10 a\n2 10 b", 0), ("2 10 a\nfoo\n2 10 b\n", 1)):
            found = subprocess.run(
                self.command,
                input=lines,
                capture_output=True,
                text=True,
                timeout=60,
                env=self.environ,
            )
            payloads = [line.split("payload=")[1][:3] for line in found.stdout.splitlines()]
            self.assertEqual((payloads, found.returncode), (['"a"', '"b"'], status))
            self.assertNotIn("Traceback", found.stderr)

    def test_signal(self):
        """SIGINT ends a waiting script with status 1 and without a traceback."""
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.addCleanup(self.end, process)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertIn("connected", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(process.stderr.read(), "")

    def test_terminal(self):
        """On a terminal it shows a prompt, edits lines, keeps them, and ends with ^D."""
        outer, inner = pty.openpty()
        self.addCleanup(os.close, outer)
        process = subprocess.Popen(
            self.command, stdin=inner, stdout=inner, stderr=inner, env=self.environ
        )
        os.close(inner)
        self.addCleanup(self.end, process)
        shown = b""

        def until(words):
            nonlocal shown
            deadline = time.monotonic() + 30
            while words not in shown:
                left = deadline - time.monotonic()
                self.assertTrue(select.select([outer], [], [], max(left, 0))[0], shown)
                shown += os.read(outer, 4096)
            shown = shown.partition(words)[2]

        until(b"round trip ")
        until(b"> ")
        os.write(outer, b"2 10 helo\x1b[Dl\r")
        until(b'payload="hello" (')
        os.write(outer, b"\x04")
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(self.history.read_text(), "2 10 hello\n")
