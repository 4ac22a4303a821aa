"""
Tests of C{diarkis-tw client --type udp}, with the real server in memory.
"""

import contextlib
import io

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.cli.client import run_script
from diarkis_tw.cli.conversation import Conversation
from diarkis_tw.cli.main import build_parser
from diarkis_tw.client import LocalProtocolError, ServerType, connect
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor


class UdpServerCase(SynchronousTestCase):
    """
    The real server with the demo, in memory.
    """

    def setUp(self):
        self.reactor = LoopbackUdpReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_udp_server({"port": 7100})
        self.server.setup_as_http_server({"port": 7000})
        demo.setup(self.server)
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(30)
        self.successResultOf(stopping)

    def lose(self):
        self.reactor.hops.append(lambda datagram: ())


class UdpScriptTests(UdpServerCase):
    def script(self, *words, seconds=1):
        """
        What a command line's work came to, and what it printed.
        """
        arguments = build_parser().parse_args(["client", "--type", "udp", "--uid", "alice", *words])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            work = Deferred.fromCoroutine(run_script(self.reactor, arguments))
            self.reactor.advance(seconds)
        self.lines = out.getvalue().splitlines()
        return work

    def test_send(self):
        """Both kinds of sending are answered, in the order in which they stand."""
        work = self.script(
            "--send-unreliable", "2", "10", "a", "--send", "2", "10", "b",
            "--send-unreliable", "2", "10", "c",
        )  # fmt: skip
        self.assertEqual(self.successResultOf(work), 0)
        self.assertEqual(
            sorted(self.lines),
            [f'response ver=2 cmd=10 status=OK payload="{letter}"' for letter in "abc"],
        )
        self.assertEqual(self.server.users.ccu(), 0)

    def test_parsed(self):
        """Each is sent as the option before it says."""
        arguments = build_parser().parse_args(
            ["client", "--uid", "a", "--send-unreliable", "2", "1", "x", "--send", "2", "2", "y"]
        )
        self.assertEqual(
            [(words, reliable) for words, reliable in arguments.send],
            [(["2", "1", "x"], False), (["2", "2", "y"], True)],
        )

    def test_bad_words(self):
        """Words that cannot be meant fail before anything is sent."""
        work = self.script("--send-unreliable", "300", "1", "x")
        self.failureResultOf(work, LocalProtocolError)
        self.assertEqual(len(self.reactor.sent), 0)


class UdpConversationTests(UdpServerCase):
    def setUp(self):
        super().setUp()
        connecting = connect(
            "http://127.0.0.1:7000", "alice", type=ServerType.UDP, reactor=self.reactor
        )
        self.reactor.advance(1)
        self.client = self.successResultOf(connecting)
        self.out, self.notes = [], []
        self.conversation = Conversation(
            self.client, self.reactor, 2.0, out=self.out.append, note=self.notes.append
        )

    def line(self, text, seconds=0.1):
        carrying = Deferred.fromCoroutine(self.conversation.line(text))
        self.reactor.advance(seconds)
        return carrying

    def test_both(self):
        """A command with u before it is sent unreliably, another reliably."""
        for text in ("2 10 hello world", "u 2 10 hello world", "  u   2 10"):
            self.assertTrue(self.successResultOf(self.line(text)))
        self.assertEqual(len(self.out), 3)
        self.assertIn('payload="hello world"', self.out[1])
        self.assertIn('payload=""', self.out[2])

    def test_lost(self):
        """What is lost is sent again if it was sent reliably, and only then."""
        for text, expected in (("u 2 10 x", False), ("2 10 x", True)):
            self.lose()
            carrying = self.line(text)
            self.reactor.hops.clear()
            self.reactor.advance(3)
            self.assertEqual(self.successResultOf(carrying), expected)
        self.assertIn("no answer", self.notes[0])

    def test_too_large(self):
        """What does not fit one packet is said, and the connection goes on."""
        self.assertFalse(self.successResultOf(self.line("u 2 10 " + "x" * 1200)))
        self.assertIn("does not fit one packet", self.notes[-1])
        self.assertTrue(self.successResultOf(self.line("2 10 " + "x" * 1200)))

    def test_wrong_words(self):
        """u alone, and u with something else behind it, are answered with a sentence."""
        for text in ("u", "u foo", "u 2", "u2 10 x"):
            self.assertFalse(self.successResultOf(self.line(text)), text)
        self.successResultOf(self.line("help"))
        self.assertIn("u VER CMD", self.notes[-1])
