"""
A thousand cuts of each transport, at any byte.

The real client and the real server, in memory; the same seed cuts at the same place.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client.tcp import TcpTransport
from diarkis_tw.client.tls import ClientTls
from diarkis_tw.client.udp import UdpTransport
from diarkis_tw.client.ws import WsTransport
from diarkis_tw.client.ws_binary import BinaryDialect
from diarkis_tw.client.ws_json import JsonDialect
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.testing.certificates import Authority
from diarkis_tw.testing.link import Link
from diarkis_tw.testing.loopback_udp import Datagram, RoughPath
from tests.client.cuts import PORT, UID, CutRun

CUTS = 250
"""Of each test, of which each transport has four."""

BOTH: Final = frozenset((True, False))


class StreamRun(CutRun):
    """
    Over a stream.

    @ivar cuts: how often it was cut so far.
    @ivar early: how many bytes of a connection count as its beginning.
    """

    early = 600

    def start(self) -> None:
        """
        Cut some of the connections to come while they begin.
        """
        self.cuts = 0
        self.again = 0
        self.reactor.opened = self._opened

    def cut(self) -> None:
        """
        Cut the connection, and wait for what becomes of it.
        """
        self.again = self.random.choice((0, 0, 0, 1, 2))
        link = self.reactor.links[-1]
        listening = self.reactor.ports[PORT]
        if self.random.random() < 0.2:
            del self.reactor.ports[PORT]
        self.random.choice((self._cut_both, self._cut_both, self._cut_one))(link)
        while not self._is_settled(link):
            self.talk()
            self.reactor.advance(self.random.choice((0, 0.02, 0.2)))
            if self.random.random() < 0.3:
                self.reactor.ports[PORT] = listening
        self.reactor.ports[PORT] = listening
        self.reactor.advance(2)
        self.settle()

    def _is_settled(self, former: Link) -> bool:
        link = self.reactor.links[-1]
        if link is former or not link.open or "reconnected" not in self.events:
            return False
        # Cut early, but not early enough.
        link.client.cut_in = link.server.cut_in = None
        return self.events[-1] == "reconnected"

    def _cut_both(self, link: Link) -> None:
        end = self.random.choice((link.client, link.server))
        end.cut_in = self.random.randrange(8000)
        while link.open:
            self.talk()
            self.reactor.advance(self.random.choice((0, 0, 0.01)))
        self.cuts += 1

    def _cut_one(self, link: Link) -> None:
        """
        One end notices by itself, the other when it writes, or never.
        """
        knows, other = self.random.choice(((0, 1), (1, 0)))
        ends = (link.client, link.server)
        self.talk()
        ends[other].stalled = True
        self.talk()
        self.reactor.advance(0)
        self.talk()
        ends[knows].end(ConnectionLost())
        self.cuts += 1

    def _opened(self, link: Link) -> None:
        self.reactor.links[:] = [link for link in self.reactor.links if link.open]
        if self.again:
            self.again -= 1
            self.cuts += 1
            end = self.random.choice((link.client, link.server))
            end.cut_in = self.random.randrange(self.early)


class ManyCuts(ABC):
    """
    The same checks at four sets of places.
    """

    @abstractmethod
    def check(self, seed):
        """
        Cut at many places.
        """

    def test_first(self):
        """A user who is cut off anywhere comes back; what may be lost is bounded."""
        self.check(1)

    def test_second(self):
        """The same at other places."""
        self.check(2)

    def test_third(self):
        """And at others."""
        self.check(3)

    def test_fourth(self):
        """And at others."""
        self.check(4)


class StreamCutTests(ManyCuts):
    """
    What does not depend on the stream.
    """

    def check(self, seed):
        run = self.run_of(seed)
        self.addCleanup(run.stop)
        run.start()
        resting = len(run.reactor.calls)
        while run.cuts < CUTS:
            run.cut()
            self.assertEqual(run.wrong, [], f"after {run.cuts} cuts")
        run.finish()
        self.assertEqual(run.wrong, [])
        for direction in (run.up, run.down):
            self.assertGreater(direction.lost, CUTS // 10)
        self.assertGreater(len(run.given_up), CUTS // 10)
        self.assertLessEqual(len(run.reactor.calls), resting)
        self.assertEqual([link for link in run.reactor.links if link.open], [])


class TcpCutTests(StreamCutTests, SynchronousTestCase):
    """
    TCP.
    """

    def run_of(self, seed):
        run = StreamRun(seed, ServerType.TCP)
        run.connect(lambda reactor, clock: TcpTransport(reactor, clock, run.random.randbytes))
        return run


class TlsCutTests(StreamCutTests, SynchronousTestCase):
    """
    TCP within TLS.
    """

    def run_of(self, seed):
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        authority = Authority()
        certificate, key = authority.issue("127.0.0.1").write(folder)
        run = StreamRun(seed, ServerType.TCP, tlsCertificate=certificate, tlsPrivateKey=key)
        run.early = 6000
        random, tls = run.random.randbytes, ClientTls(authority.write(folder))
        run.connect(lambda reactor, clock: TcpTransport(reactor, clock, random, tls=tls))
        self.assertTrue(run.client.endpoint.tls)
        return run


class WsJsonCutTests(StreamCutTests, SynchronousTestCase):
    """
    WebSocket with JSON texts.
    """

    def run_of(self, seed):
        run = StreamRun(seed, ServerType.WS)
        random = run.random.randbytes
        run.connect(lambda reactor, clock: WsTransport(reactor, clock, JsonDialect(random)))
        return run


class WsBinaryCutTests(StreamCutTests, SynchronousTestCase):
    """
    WebSocket with sealed records.
    """

    def run_of(self, seed):
        run = StreamRun(seed, ServerType.WS)
        random = run.random.randbytes
        run.connect(lambda reactor, clock: WsTransport(reactor, clock, BinaryDialect(random)))
        return run


class UdpRun(CutRun):
    """
    Over UDP.

    @ivar cuts: how many connections were lost so far.
    @ivar healed: how many outlived a cut.
    """

    def start(self) -> None:
        """
        Let all datagrams pass here.
        """
        self.cuts = 0
        self.healed = 0
        self.left_to_pass: int | None = None
        self.swallowed: frozenset[bool] = frozenset()
        self.reactor.hops += [RoughPath(self.random.randrange(2**32), delay=0.02), self._hop]

    def cut(self) -> None:
        """
        Swallow everything from some byte on, for some time.
        """
        self.swallowed = self.random.choice((frozenset((True,)), frozenset((False,)), BOTH, BOTH))
        self.left_to_pass = self.random.randrange(8000)
        while self.left_to_pass > 0:
            self.talk()
            self.reactor.advance(self.random.choice((0, 0.01, 0.05)))
        self.is_dark = True
        # Longer, and the session would be over when the client comes back.
        left = self.random.uniform(*self.random.choice(((0, 2), (6, 15), (10, 15))))
        while left > 0:
            self.talk()
            self.reactor.advance(min(left, 1))
            left -= 1
        self.left_to_pass = None
        self.talk()
        self.reactor.advance(4)
        self.is_dark = False
        while self.events[-1:] == ["reconnecting"]:
            self.talk()
            self.reactor.advance(1)
        self.reactor.advance(3)
        if self.events:
            self.cuts += 1
        else:
            self.healed += 1
        self.settle()

    def _hop(self, datagram: Datagram) -> Iterable[tuple[float, Datagram]]:
        if self.left_to_pass is not None and (datagram.destination[1] == PORT) in self.swallowed:
            self.left_to_pass = max(0, self.left_to_pass - len(datagram.data))
            if not self.left_to_pass:
                return ()
        return ((0.0, datagram),)


class UdpCutTests(ManyCuts, SynchronousTestCase):
    """
    UDP.
    """

    def check(self, seed):
        run = UdpRun(seed, ServerType.UDP, handleRUDPInterval=500)
        self.addCleanup(run.stop)
        run.connect(lambda reactor, clock: UdpTransport(reactor, clock, run.random.randbytes))
        run.start()
        resting = len(run.reactor.calls)
        while run.cuts < CUTS:
            run.cut()
            self.assertEqual(run.wrong, [], f"after {run.cuts} cuts")
        run.finish()
        self.assertEqual(run.wrong, [])
        for direction in (run.up, run.down):
            self.assertGreater(direction.lost, CUTS // 10)
        self.assertGreater(run.healed, CUTS // 10)
        self.assertLessEqual(len(run.reactor.calls), resting)
        self.assertEqual(len(run.reactor.udp_ports), 1)

    def test_too_late(self):
        """A user whose datagrams vanish for too long is told that the session is over."""
        run = UdpRun(5, ServerType.UDP)
        self.addCleanup(run.stop)
        run.connect(lambda reactor, clock: UdpTransport(reactor, clock, run.random.randbytes))
        run.start()
        run.swallowed, run.left_to_pass = BOTH, 0
        run.request()
        run.reactor.advance(24)
        self.assertEqual((run.events, run.left), (["reconnecting"], [UID]))
        run.command()
        run.left_to_pass = None
        run.reactor.advance(8)
        self.assertEqual((run.events, run.left), (["reconnecting", CloseCode.UNKNOWN], [UID]))
        self.assertEqual((run.up.withdraw(2), run.wrong), (True, []))
