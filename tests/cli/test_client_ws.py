"""
Tests of C{diarkis-tw client --type ws}, with the real server in memory.
"""

import contextlib
import io

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.cli.client import run_script
from diarkis_tw.cli.conversation import Conversation
from diarkis_tw.cli.main import build_parser
from diarkis_tw.client import connect
from diarkis_tw.server import CommandError, Server
from diarkis_tw.testing.loopback import LoopbackReactor


class WsServerCase(SynchronousTestCase):
    """
    The real server with the demo and two commands more, in memory.
    """

    def setUp(self):
        self.reactor = LoopbackReactor()
        server = Server(self.reactor)
        server.setup_as_websocket_server({"port": 7300})
        server.setup_as_http_server({"port": 7000})
        demo.setup(server)
        server.handle_command(2, 12, self.refuse)
        server.handle_command(2, 13, lambda ver, cmd, payload, user: {"bytes": len(payload)})
        self.service = server.service()
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(30)
        self.successResultOf(stopping)

    def refuse(self, ver, cmd, payload, user):
        raise CommandError(7, "no")


class ScriptTests(WsServerCase):
    def script(self, *words):
        """
        What a command line printed, if it exited with 0.
        """
        arguments = build_parser().parse_args(["client", "--type", "ws", "--uid", "alice", *words])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            work = Deferred.fromCoroutine(run_script(self.reactor, arguments))
            self.reactor.advance(1)
        self.assertEqual(self.successResultOf(work), 0)
        return out.getvalue().splitlines()

    def test_json(self):
        """An object is a value, all else is bytes, and errors are shown."""
        self.assertEqual(
            self.script(
                "--send", "2", "10", '{"a": [1]}', "--send", "2", "10", "hello",
                "--send", "2", "10", "hex:00ff", "--send", "2", "12", "",
            ),
            [
                'response ver=2 cmd=10 status=OK payload={"a":[1]}',
                'response ver=2 cmd=10 status=OK payload="hello"',
                "response ver=2 cmd=10 status=OK payload=hex:00ff",
                'response ver=2 cmd=12 status=BAD code=7 message="no"',
            ],
        )  # fmt: skip

    def test_binary(self):
        """With --binary an object is text, unless json: says otherwise."""
        self.assertEqual(
            self.script(
                "--binary", "--send", "2", "13", '{"a": 1}', "--send", "2", "13", 'json:{"a": 1}'
            ),
            [
                'response ver=2 cmd=13 status=OK payload={"bytes":8}',
                'response ver=2 cmd=13 status=OK payload={"bytes":4}',
            ],
        )

    def test_push(self):
        """Pushes are shown as values and as bytes."""
        lines = self.script("--send", "2", "11", '{"a": 1}', "--expect", "2")
        self.assertIn('push ver=2 cmd=11 payload={"a":1}', lines)
        lines = self.script("--send", "2", "11", "x", "--expect", "2")
        self.assertIn('push ver=2 cmd=11 payload="x"', lines)


class ConversationTests(WsServerCase):
    def test_lines(self):
        """What a person types is sent likewise."""
        connecting = connect("http://127.0.0.1:7000", "alice", type="WS", reactor=self.reactor)
        self.reactor.advance(1)
        out = []
        conversation = Conversation(
            self.successResultOf(connecting),
            self.reactor,
            2.0,
            out=out.append,
            note=out.append,
            speaks_json=True,
        )
        for line in ('2 10 {"a": 1}', "2 10 hello", "2 13", "ping"):
            carrying = Deferred.fromCoroutine(conversation.line(line))
            self.reactor.advance(0.1)
            self.assertTrue(self.successResultOf(carrying))
        self.assertIn('payload={"a":1}', out[0])
        self.assertIn('payload="hello"', out[1])
        self.assertIn('payload={"bytes":0}', out[2])
        self.assertIn("round trip", out[3])
