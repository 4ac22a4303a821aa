"""
Nodes and brokers that break in a cluster of real processes, while players on its
healthy nodes measure their round trips and must not notice.
"""

import itertools
import signal
import threading
import time

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.wire.message import Push
from tests.integration.cluster import KEY, LONGEST, ClusterCase
from tests.integration.process import Player, wait_until
from tests.mesh.nats_server import brokers
from tests.raw_client import Close

GONE_WITHIN = 3.5
"""Seconds after which a killed node is gone everywhere."""

BUSY = 0.5
"""Seconds that a busy machine may take to say so."""

STANDS_STILL = 5.0
"""Seconds that a node is stopped for."""

RESTARTS = 20

LOST = "no NATS server is reached"
"""In the log of a node."""


class NodeFaultTests(ClusterCase):
    """
    A node breaks.
    """

    def test_killed_and_frozen(self) -> None:
        """
        A node that was killed and one that stands still are gone from every other one
        within 3.5 s; the latter learns, when it goes on, that it was given up, is offered
        again, and lets go of the player who went elsewhere meanwhile.
        """
        one, two, killed, frozen = self.cluster("one", "two", "killed", "frozen")
        self.measure("one", "alice")
        self.measure("two", "bob")
        carol, dave = looking = [self.player_on("one", "carol"), self.player_on("two", "dave")]
        erin, frank = (self.player_on("frozen", uid) for uid in ("erin", "frank"))
        for player in looking:
            self.until_told(player, lambda told: len(told.others) == 4)
        killed.process.signal(signal.SIGKILL)
        frozen.process.signal(signal.SIGSTOP)
        begun = time.monotonic()
        self.addCleanup(frozen.process.kill)
        self.assertEqual(killed.process.wait(), -signal.SIGKILL)
        for player in looking:
            self.until_told(player, lambda told: len(told.others) == 2)
        self.assertLess(time.monotonic() - begun, GONE_WITHIN + BUSY)
        time.sleep(max(0.0, begun + GONE_WITHIN - time.monotonic()))
        for kind in ("killed", "frozen"):
            asked = time.monotonic()
            self.assertIn("error", self.endpoint(kind))
            self.assertLess(time.monotonic() - asked, LONGEST)
        elsewhere = self.player_on("one", "frank")
        time.sleep(max(0.0, begun + STANDS_STILL - time.monotonic()))
        frozen.process.signal(signal.SIGCONT)
        resumed = time.monotonic()
        self.until_offered("frozen", frozen.port("TCP"))
        for player in looking:
            self.until_told(player, lambda told: len(told.others) == 3)
        self.assertLess(time.monotonic() - resumed, 2 + BUSY)
        self.assertIs(frank.next(Close).code, CloseCode.REPLACED)
        self.assertEqual(elsewhere.request(2, 10, b"here now"), b"here now")
        self.assertIn("this node was given up by others", frozen.process.output())
        self.assertEqual(erin.request(2, 10, b"still here"), b"still here")
        self.assertEqual(carol.request(2, 2, b"erin"), b"sent")
        self.assertIn(b"for one", erin.next(Push).payload)
        self.assertEqual(dave.request(2, 10, b"nothing"), b"nothing")
        self.assertUnharmed()
        for node in (one, two, frozen):
            self.assertNotIn("Traceback", node.process.output())


class Talkative(threading.Thread):
    """
    A player who has the server send something to others all the time.

    @ivar taken: how many of its commands were answered with OK.
    """

    def __init__(self, player: Player, cmd: int, payload: bytes) -> None:
        """
        @param cmd: what to ask for, of version 2.
        @param payload: with it; %d is the number of the request.
        """
        super().__init__(daemon=True)
        self.taken = 0
        self._player = player
        self._cmd = cmd
        self._payload = payload
        self._wrong: list[object] = []
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        """
        Talk, until the end.
        """
        try:
            for number in itertools.count():
                if self._over.wait(0.02):
                    return
                payload = self._payload.replace(b"%d", b"%d" % number)
                answer = self._player.answer(2, self._cmd, payload)
                self.taken += answer.status is Status.OK
        except Exception as error:
            self._wrong.append(error)

    def until_more(self) -> None:
        """
        Wait until some more were.
        """
        enough = self.taken + 3
        wait_until(lambda: self.taken >= enough or not self.is_alive())

    def finish(self) -> None:
        """
        Talk no more; every command was answered.
        """
        self._over.set()
        self.join()
        assert not self._wrong, self._wrong


class BrokerFaultTests(ClusterCase):
    """
    A broker breaks.
    """

    def test_restarts(self) -> None:
        """
        The broker restarts twenty times while players have messages and notifications
        sent; afterwards everything is as before, without a restart of a node.
        """
        one, two = self.cluster("one", "two")
        alice, bob = self.measure("one", "alice"), self.measure("two", "bob")
        talkers = [
            Talkative(self.player_on("one", "carol"), 2, b"bob"),
            Talkative(self.player_on("two", "dave"), 2, b"alice"),
            Talkative(self.player_on("one", "erin"), 1, b"news %d"),
        ]
        for talker in talkers:
            self.addCleanup(talker.finish)
            talker.until_more()
        for _ in range(RESTARTS):
            self.broker.stop()
            time.sleep(0.02)
            self.broker.start()
            time.sleep(0.1)
        for talker in talkers:
            talker.until_more()
            talker.finish()
        self.until_ready()
        for node in (one, two):
            node.reconnected()
            self.until_offered(node.name, node.port("TCP"))
            self.assertGreater(node.process.output().count("mesh: connected"), 2)
        after = [self.player_on("one", "frank"), self.player_on("two", "grace")]
        for player in after:
            self.until_told(player, lambda told: len(told.others) == 2)
        before = [len(alice.pushes), len(bob.pushes)]
        for number, player in enumerate(after):
            self.assertEqual(player.answer(2, 2, (b"bob", b"alice")[number]).payload, b"sent")
            player.answer(2, 1, b"at last %d" % number)
        for measured, count in zip((alice, bob), before, strict=True):
            wait_until(lambda m=measured, n=count: len(m.pushes) >= n + 3)  # type: ignore[misc]
        self.assertUnharmed()
        for node in (one, two):
            self.assertNotIn("Traceback", node.process.output())

    def test_away(self) -> None:
        """
        While the broker is away nodes are not ready, and say so once in the log; when
        it is back, all is well, and who went to another node meanwhile is there alone.
        """
        one, two = self.cluster("one", "two")
        self.measure("one", "alice")
        bob, elsewhere = self.player_on("one", "bob"), self.endpoint("two", "bob")
        self.broker.stop()
        self.until_ready(False)
        for node in (one, two):
            node.process.until(lambda node=node: LOST in node.process.output())  # type: ignore[misc]
        self.assertEqual(self.ask(f"{self.api}/healthcheck")["status"], "ok")
        self.assertEqual(self.endpoint("one")["code"], 503)
        bob_elsewhere = Player(elsewhere)
        self.addCleanup(bob_elsewhere.close)
        self.assertEqual(bob_elsewhere.request(2, 10, b"here"), b"here")
        self.assertEqual(bob.request(2, 10, b"still here"), b"still here")
        self.broker.start()
        self.until_ready()
        self.assertIs(bob.next(Close).code, CloseCode.REPLACED)
        self.assertEqual(bob_elsewhere.request(2, 10, b"here"), b"here")
        one.reconnected()
        self.until_offered("one", one.port("TCP"))
        self.assertUnharmed()
        for node in (one, two):
            log = node.process.output()
            self.assertEqual(log.count(LOST), 1)
            self.assertNotIn(KEY, log)
            self.assertNotIn("Traceback", log)

    def test_absent_at_start(self) -> None:
        """
        Nodes start without the broker and find each other when it comes.
        """
        self.broker.stop()
        http, one = self.launch("http", "HTTP"), self.launch("one", "TCP")
        self.api = f"http://127.0.0.1:{http.online().port('HTTP')}"
        self.assertEqual(self.ask(f"{self.api}/healthcheck/ready")["error"], "mesh_away")
        one.online()
        self.broker.start()
        one.reconnected()
        self.until_offered("one", one.port("TCP"))

    def test_one_of_three(self) -> None:
        """
        Of three brokers that are one cluster one is killed: the node that used it goes
        on with another one before anybody could give it up.
        """
        three = brokers(3)
        for broker in three:
            self.addCleanup(broker.stop)
            broker.start()
        urls = [broker.url for broker in three]
        http = self.launch("http", "HTTP", servers=urls[:1])
        one = self.launch("one", "TCP", servers=urls[:1])
        two = self.launch("two", "TCP", servers=urls[1:])
        self.all_offered(http, one, two)
        self.measure("one", "alice")
        bob = self.measure("two", "bob")
        carol = self.player_on("one", "carol")
        self.assertEqual(carol.request(2, 2, b"bob"), b"sent")
        (used,) = (b for b in three[1:] if f"connected to {b.url}" in two.process.output())
        used.stop()
        killed = time.monotonic()
        (other,) = (b for b in three[1:] if b is not used)
        two.process.until(lambda: f"connected to {other.url}" in two.process.output())
        wait_until(lambda: carol.request(2, 2, b"bob") == b"sent")
        self.assertLess(time.monotonic() - killed, 2)
        wait_until(lambda: len(bob.pushes) >= 2)
        self.assertUnharmed()
        for node in (http, one, two):
            self.assertNotIn("given up", node.process.output())
            self.assertNotIn("Traceback", node.process.output())
