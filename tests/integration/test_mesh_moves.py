"""
Players who come to another node while theirs is away, in a cluster of real processes.
"""

import signal
import time

from diarkis_tw.constants import CloseCode
from tests.integration.cluster import ClusterCase
from tests.integration.process import Player
from tests.raw_client import Close

STANDS_STILL = 5.0
"""Seconds that a node is stopped for."""

SOON = 3.0
"""Seconds within which all is settled, on a busy machine too."""


class MoveTests(ClusterCase):
    """
    One uid, two nodes.
    """

    def test_frozen(self) -> None:
        """
        Who came elsewhere while a node stood still is replaced there when it goes on,
        and stays where it came; who did not stays.
        """
        _, frozen = self.cluster("one", "frozen")
        old, stays = self.player_on("frozen", "alice"), self.player_on("frozen", "bob")
        frozen.process.signal(signal.SIGSTOP)
        self.addCleanup(frozen.process.kill)
        begun = time.monotonic()
        new = self.player_on("one", "alice")
        time.sleep(max(0.0, begun + STANDS_STILL - time.monotonic()))
        frozen.process.signal(signal.SIGCONT)
        resumed = time.monotonic()
        self.assertEqual(old.next(Close).code, CloseCode.REPLACED)
        self.assertLess(time.monotonic() - resumed, SOON)
        self.assertEqual(new.request(2, 10, b"here"), b"here")
        self.assertEqual(stays.request(2, 10, b"here"), b"here")
        self.assertEqual(stays.request(2, 2, b"alice"), b"sent")

    def test_broker_restart(self) -> None:
        """
        Who came elsewhere while the broker was away is replaced when it is back.
        """
        self.cluster("one", "two")
        old = self.player_on("one", "alice")
        endpoint = self.endpoint("two", "alice")
        self.broker.stop()
        new = Player(endpoint)
        self.addCleanup(new.close)
        self.assertEqual(new.request(2, 10, b"here"), b"here")
        self.assertEqual(old.request(2, 10, b"still"), b"still")
        self.broker.start()
        begun = time.monotonic()
        self.assertEqual(old.next(Close).code, CloseCode.REPLACED)
        self.assertLess(time.monotonic() - begun, 2 * SOON)
        self.assertEqual(new.request(2, 10, b"here"), b"here")
