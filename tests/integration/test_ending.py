"""
Signals: a node that ends in order, shortly, or at once.
"""

import signal

from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.message import Push
from tests.integration.process import Player, Process, ProcessCase
from tests.raw_client import Close

OFFLINE_PUSH = Push(0, 6, b"\2")

APPLICATION = """
import sys
from twisted.internet.defer import Deferred

def setup(server):
    server.handle_command(2, 10, lambda ver, cmd, payload, user: payload)
    server.on_disconnect(lambda sid, user: say("left", user.uid))
    server.on_terminate(lambda: say("terminated"))

def hangs(server):
    setup(server)
    server.on_terminate(Deferred)

def starts_slowly(server):
    from twisted.internet import reactor
    setup(server)
    server.on_start(Deferred)
    # After the server's own callback, which takes the signals over.
    reactor.callWhenRunning(reactor.callLater, 0, say, "running")

def fails_and_hangs(server):
    from twisted.internet import reactor
    from twisted.internet.task import deferLater
    server.on_ready(lambda: deferLater(reactor, 0, int, "x"))
    hangs(server)

def exits_slowly(server):
    setup(server)
    Last()

# Deleted when Python takes its modules apart; waits then for the test, 5 s at most.
class Last:
    def __init__(self):
        import os, time
        self.os, self.sleep = os, time.sleep
        sys.modules["zzz"] = self

    def __del__(self):
        self.os.write(1, b"exiting\\n")
        for _ in range(500):
            if self.os.access("signalled", self.os.F_OK):
                break
            self.sleep(0.01)

def say(*words):
    print(*words, file=sys.__stdout__, flush=True)
"""


class EndingTests(ProcessCase):
    """
    A node with one connected player.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write("mygame.py", APPLICATION)

    def begin(self, app: str = "mygame", timeout: int = 10) -> tuple[Process, Player]:
        """
        Start a node and let a player connect.

        @param timeout: shutdownTimeout.
        """
        self.environ["DIARKIS_SHUTDOWN_TIMEOUT"] = str(timeout)
        process = self.foreground("--app", app)
        player = self.player(self.serving(process))
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        return process, player

    def test_drained(self) -> None:
        """
        SIGTERM: the player is told at once, is served on, leaves, and the process ends with 0.
        """
        process, player = self.begin()
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        self.assertEqual(player.request(2, 10, b"still here"), b"still here")
        player.send(player.raw.close())
        self.assertTrue(player.at_end())
        player.close()
        self.assertEqual(process.wait(), 0)
        self.assertRegex(process.output(), r"(?s)left alice\n.*terminated\n")

    def test_timeout(self) -> None:
        """
        Who does not leave in time gets CLOSE(SERVER_OFFLINE), and the process ends with 0.
        """
        process, player = self.begin(timeout=0)
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        self.assertEqual(player.next(Close), Close(CloseCode.SERVER_OFFLINE, ""))
        self.assertTrue(player.at_end())
        player.close()
        self.assertEqual(process.wait(), 0)
        self.assertRegex(process.output(), r"(?s)left alice\n.*terminated\n")
        self.assertNotIn("Traceback", process.output())

    def test_closesNotItself(self) -> None:
        """
        A player who reads and does not close cannot keep the process.
        """
        process, player = self.begin(timeout=0)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        self.assertEqual(player.next(Close), Close(CloseCode.SERVER_OFFLINE, ""))

    def test_second(self) -> None:
        """
        A second SIGTERM ends the process at once.
        """
        process, player = self.begin(timeout=3600)
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertIn("ending at once", process.output())

    def test_secondWhileTerminating(self) -> None:
        """
        A second SIGTERM ends the process also if on_terminate hangs.
        """
        process, _ = self.begin("mygame.hangs", timeout=0)
        process.signal(signal.SIGTERM)
        process.until(lambda: "terminated" in process.output())
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_secondWhileExiting(self) -> None:
        """
        A second SIGTERM while Python itself ends does not change the status.
        """
        process, player = self.begin("mygame.exits_slowly", timeout=0)
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        player.close()
        process.until(lambda: "exiting" in process.output())
        process.signal(signal.SIGTERM)
        self.write("signalled", "")
        self.assertEqual(process.wait(), 0)

    def test_interrupt(self) -> None:
        """
        SIGINT, as Control-C sends it, waits shortly whatever shutdownTimeout says.
        """
        process, player = self.begin(timeout=3600)
        process.signal(signal.SIGINT)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        self.assertEqual(player.next(Close), Close(CloseCode.SERVER_OFFLINE, ""))
        player.close()
        self.assertEqual(process.wait(), 0)
        self.assertNotIn("Traceback", process.output())

    def test_twist(self) -> None:
        """
        The same below twist.
        """
        self.environ["DIARKIS_SHUTDOWN_TIMEOUT"] = "0"
        process = self.start("twist", "diarkis", "--app", "mygame", "--ready-file", self.ready_file)
        player = self.player(self.serving(process))
        self.assertEqual(player.request(2, 10, b"x"), b"x")
        process.signal(signal.SIGTERM)
        self.assertEqual(player.next(Push), OFFLINE_PUSH)
        self.assertEqual(player.next(Close), Close(CloseCode.SERVER_OFFLINE, ""))
        player.close()
        self.assertEqual(process.wait(), 0)
        self.assertRegex(process.output(), r"(?s)left alice\n.*terminated\n")

    def test_whileStarting(self) -> None:
        """
        SIGTERM during a start that waits gives it up, with 0 and without a complaint.
        """
        process = self.foreground("--app", "mygame.starts_slowly")
        process.until(lambda: "running" in process.output().splitlines())
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertIn("terminated", process.output())
        self.assertNotIn("Traceback", process.output())
        self.assertFalse(self.ready_file.exists())

    def test_failedStartHangs(self) -> None:
        """
        SIGTERM ends at once what a failed start could not end, with its status.
        """
        process = self.foreground("--app", "mygame.fails_and_hangs")
        process.until(lambda: "terminated" in process.output())
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 1)
