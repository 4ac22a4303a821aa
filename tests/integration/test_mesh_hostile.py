"""
Too much, and what is not true, on the subjects of a cluster of real processes:
whoever reaches the broker can publish there.
"""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import nats

from diarkis_tw.mesh.envelope import FRAME_MAX, Envelope, Kind, Sealing
from diarkis_tw.mesh.nats_link import QUEUE_BYTES
from tests.integration.cluster import APP, KEY, ClusterCase
from tests.integration.process import PATIENCE, wait_until

ALL = "diarkis.1.test.all"
TO = "diarkis.1.test.to."

MORE = 2 * QUEUE_BYTES + 32 * 1024 * 1024
"""Bytes by which a node may ever grow: both queues full, and what Python and the NATS
client keep beside them."""

FLOODED = 3.0
"""Seconds that an answer of a node may take that is flooded, as fast as this process can."""

MEGABYTES = 48
"""What a node is flooded with at a time: three times what may wait."""

FLOODING = (
    APP
    + """
    import msgspec, time

    class Junk(msgspec.Struct):
        text: bytes

    def flood(ver, cmd, payload, user):
        for _ in range(50):
            server._mesh.broadcast(Junk(bytes(100_000)))

    server.handle_command(2, 4, flood)
    server.handle_command(2, 5, lambda ver, cmd, payload, user: time.sleep(1.5))
"""
)
"""2/4 broadcasts 5 MB to the other nodes; 2/5 has the node stand still."""


class HostileCase(ClusterCase):
    """
    Two nodes besides that of the endpoint API, a player on each who measures, and
    one who asks what the first node counts.
    """

    app = APP

    def setUp(self) -> None:
        super().setUp()
        self.write("game.py", self.app)
        self.one, self.two = self.cluster("one", "two")
        self.measure("one", "alice")
        self.measure("two", "bob")
        self.carol = self.player_on("one", "carol")
        self.until_told(self.carol, lambda told: len(told.others) == 2)

    def as_stranger(self, talk: Callable[[Any], Awaitable[None]]) -> None:
        """
        Talk to the broker as anybody can.
        """

        async def connected() -> None:
            client: Any = await nats.connect(self.broker.url)
            await talk(client)
            await client.flush()
            await client.close()

        asyncio.run(connected())

    def assertWell(self) -> None:
        """
        Messages cross, players are unharmed, and logs are short.
        """
        self.assertEqual(self.carol.answer(2, 2, b"bob").payload, b"sent")
        self.assertUnharmed()
        for node in (self.one, self.two):
            log = node.process.output()
            self.assertNotIn("Traceback", log)
            self.assertLess(len(log.splitlines()), 60)


class StrangerTests(HostileCase):
    """
    Somebody who has no key, and somebody who has.
    """

    def test_garbage_and_forgeries(self) -> None:
        """
        Bytes of any kind, frames cut, changed, made with another key, or repeated, and
        messages of a node gone mad do nothing but count.
        """
        captured: list[tuple[str, bytes]] = []
        before = self.told(self.carol)

        async def overhear(client: Any) -> None:
            enough = asyncio.Event()

            async def heard(message: Any) -> None:
                captured.append((message.subject, message.data))
                if len({subject for subject, _ in captured}) == 3:
                    enough.set()

            await client.subscribe("diarkis.>", cb=heard)
            await client.flush()
            await asyncio.to_thread(self.carol.request, 2, 2, b"bob")
            await asyncio.to_thread(self.endpoint, "one")
            await asyncio.wait_for(enough.wait(), PATIENCE)

        self.as_stranger(overhear)
        random = Random(1)
        frame = captured[-1][1]
        forging = Sealing("test", ["another key, as long as it"], os.urandom)
        mad = Sealing("test", [KEY], os.urandom)
        sender = before.others[0]
        incarnation = self.incarnation_of(sender, captured)
        here = before.own, self.incarnation_of(before.own, captured)
        lies = [
            Envelope(sender, life, 2**40, to, to_life, kind, 1, topic, False, body)
            for life in (incarnation, incarnation + 1)
            for to, to_life in (("", 0), here)
            for kind in Kind
            for topic in ("mesh.Beat", "mesh.Leave", "mesh.GivenUp", "UserArrived")
            for body in (b"\x90", b"\x80")
        ]
        garbage = [random.randbytes(random.randrange(2000)) for _ in range(500)]
        garbage += [frame[:cut] for cut in range(len(frame))]
        garbage += [frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :] for at in range(80)]
        garbage += [forging.frame(lie) for lie in lies]
        nonsense = [
            Envelope("mad", 1, number, *here, Kind.MESSAGE, 0, topic, False, b"\xc1" * number)
            for number, topic in enumerate(("mesh.Beat", "UserArrived") * 10)
        ]

        async def attack(client: Any) -> None:
            for subject in (ALL, TO + before.own):
                for piece in garbage:
                    await client.publish(subject, piece)
            for _ in range(3):
                for subject, repeated in captured:
                    await client.publish(subject, repeated)
            await client.publish(ALL, bytes(FRAME_MAX + 1))
            for envelope in nonsense:
                await client.publish(TO + before.own, mad.frame(envelope))

        self.as_stranger(attack)
        after = self.until_told(
            self.carol, lambda told: told.counts["malformed"] - before.counts["malformed"] == 20
        )
        grown = {name: count - before.counts[name] for name, count in after.counts.items()}
        self.assertEqual(grown["strangers"], 2 * len(garbage))
        self.assertGreaterEqual(grown["repeated"], 3)
        self.assertEqual(grown["dropped_in"], 1)
        self.assertLessEqual(set(before.others), set(after.others))
        self.assertWell()
        for node in (self.one, self.two):
            for words in ("was given up", *(f"node {other} is silent" for other in before.others)):
                self.assertNotIn(words, node.process.output())

    def incarnation_of(self, address: str, captured: list[tuple[str, bytes]]) -> int:
        """
        Which life of a node was overheard.
        """
        opening = Sealing("test", [KEY], os.urandom)
        envelopes = [opening.open(frame) for _, frame in captured]
        (found, *_) = (e.incarnation for e in envelopes if e is not None and e.sender == address)
        return found


class FloodTests(HostileCase):
    """
    More than a node can handle.
    """

    app = FLOODING

    def test_flood(self) -> None:
        """
        What is too much is dropped and counted and takes no memory, whether a node
        handles it as fast as it can, or not at all for a while, or does not even read it,
        or has a broker that does not; afterwards all is well.
        """
        alice = self.measured.pop(0)
        before = self.told(self.carol)
        memory = self.memory("VmRSS")
        until = alice.answers + 30

        async def while_she_measures(client: Any) -> None:
            while alice.answers < until and alice.is_alive():
                await self.flood(client, before.own, 500, 25_000)

        self.as_stranger(while_she_measures)
        alice.finish()
        self.assertLess(alice.worst, FLOODED)
        # What comes now is more than her node can take.
        with self.during(lambda client: self.flood(client, before.own, FRAME_MAX, MEGABYTES << 20)):
            self.carol.request(2, 5)
        told = self.told(self.carol)
        self.assertGreater(told.counts["dropped_in"], 0)
        self.one.process.signal(signal.SIGSTOP)
        try:
            self.as_stranger(
                lambda client: self.flood(client, before.own, FRAME_MAX, MEGABYTES << 21)
            )
        finally:
            self.one.process.signal(signal.SIGCONT)
        self.until_connected()
        assert self.broker.process is not None
        self.broker.process.send_signal(signal.SIGSTOP)
        for _ in range(MEGABYTES // 5):
            self.carol.request(2, 4)
        self.broker.process.send_signal(signal.SIGCONT)
        self.assertGreater(self.told(self.carol).counts["dropped_out"], 0)
        self.until_connected()
        self.assertLess(self.memory("VmHWM") - memory, MORE)
        self.until_told(self.carol, lambda told: sorted(told.others) == sorted(before.others))
        self.assertWell()

    async def flood(self, client: Any, address: str, size: int, total: int) -> None:
        """
        Send as much to one node, and see the broker take it.
        """
        frame = os.urandom(size)
        for _ in range(total // size):
            await client.publish(TO + address, frame)
        await client.flush()

    @contextmanager
    def during(self, talk: Callable[[Any], Awaitable[None]]) -> Iterator[None]:
        """
        Do something while a stranger talks.
        """
        thread = threading.Thread(target=self.as_stranger, args=(talk,))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def until_connected(self) -> None:
        """
        Wait until messages cross again.
        """
        wait_until(lambda: self.carol.answer(2, 2, b"bob").payload == b"sent")

    def memory(self, name: str) -> int:
        """
        Bytes that the first node has (VmRSS), or had at most (VmHWM).
        """
        status = Path(f"/proc/{self.one.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return 1024 * int(found.group(1))
