"""
Tests of the reactor in memory with UDP.
"""

from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from diarkis_tw.testing.loopback import StillBusy
from diarkis_tw.testing.loopback_udp import (
    DATAGRAM_MAX,
    SENT_KEPT,
    Datagram,
    LoopbackUdpReactor,
    Nat,
    RoughPath,
)

SERVER = ("127.0.0.1", 7000)


class Recorder(DatagramProtocol):
    noisy = False

    def __init__(self):
        self.got = []
        self.refusals = 0
        self.stopped = False

    @property
    def data(self):
        return [data for data, _ in self.got]

    def datagramReceived(self, datagram, addr):
        self.got.append((datagram, addr))

    def connectionRefused(self):
        self.refusals += 1

    def stopProtocol(self):
        self.stopped = True


class Echo(Recorder):
    def datagramReceived(self, datagram, addr):
        super().datagramReceived(datagram, addr)
        self.transport.write(datagram, addr)


class UdpCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackUdpReactor()
        self.server = Echo()
        self.port = self.reactor.listenUDP(SERVER[1], self.server, SERVER[0])

    def client(self, connected=True):
        client = Recorder()
        self.reactor.listenUDP(0, client)
        if connected:
            client.transport.connect(*SERVER)
        return client


class DeliveryTests(UdpCase):
    def test_both_ways(self):
        """Datagrams go to a bound port, and back to where they came from."""
        client = self.client()
        client.transport.write(b"a")
        client.transport.write(b"b", SERVER)
        self.assertEqual(self.server.got, [])
        self.reactor.pump()
        address = client.transport.getHost()
        source = (address.host, address.port)
        self.assertEqual(self.server.got, [(b"a", source), (b"b", source)])
        self.assertEqual(client.got, [(b"a", SERVER), (b"b", SERVER)])

    def test_unconnected(self):
        """A port that is not connected talks with everybody."""
        client = self.client(connected=False)
        client.transport.write(b"a", SERVER)
        self.reactor.put_in(Datagram(b"b", ("192.0.2.1", 1), self.address_of(client)))
        self.reactor.pump()
        self.assertEqual(client.got, [(b"b", ("192.0.2.1", 1)), (b"a", SERVER)])

    def test_connected(self):
        """A port that is connected gets what comes from its peer only, and sends there only."""
        client = self.client()
        for source in (("192.0.2.1", SERVER[1]), (SERVER[0], 7001)):
            self.reactor.put_in(Datagram(b"x", source, self.address_of(client)))
        self.reactor.pump()
        self.assertEqual(client.got, [])
        self.assertRaises(ValueError, client.transport.write, b"x", ("127.0.0.1", 7001))
        self.assertRaises(RuntimeError, client.transport.connect, *SERVER)

    def test_family(self):
        """A port of one address family cannot be connected to the other one."""
        client = self.client(connected=False)
        self.assertRaises(OSError, client.transport.connect, "::1", 7000)

    def test_needs_address(self):
        """A port that is not connected must be told where to."""
        self.assertRaises(ValueError, self.client(connected=False).transport.write, b"x")

    def test_nobody(self):
        """A datagram to nobody vanishes; a connected sender is told, another not."""
        self.port.stopListening()
        connected, other = self.client(), self.client(connected=False)
        self.reactor.pump()
        connected.transport.write(b"x")
        other.transport.write(b"x", SERVER)
        self.reactor.pump()
        self.assertEqual((connected.refusals, other.refusals), (1, 0))

    def test_hosts_matter(self):
        """The same port of another host is another port."""
        other = Recorder()
        self.reactor.listenUDP(SERVER[1], other, "192.0.2.9")
        client = self.client(connected=False)
        client.transport.write(b"x", ("192.0.2.9", SERVER[1]))
        self.reactor.pump()
        self.assertEqual((self.server.data, other.data), ([], [b"x"]))

    def test_too_long(self):
        """A datagram longer than UDP can carry is refused, as by a socket."""
        client = self.client()
        client.transport.write(bytes(DATAGRAM_MAX))
        self.assertRaises(MessageLengthError, client.transport.write, bytes(DATAGRAM_MAX + 1))

    def test_cut(self):
        """A protocol sees as much of a datagram as it asked for."""
        short = Recorder()
        self.reactor.listenUDP(7001, short, "127.0.0.1", 10)
        self.client(connected=False).transport.write(bytes(50), ("127.0.0.1", 7001))
        self.reactor.pump()
        self.assertEqual(short.data, [bytes(10)])

    def test_failing_protocol(self):
        """An exception of a protocol is logged and ends nothing."""

        class Failing(Recorder):
            def datagramReceived(self, datagram, addr):
                super().datagramReceived(datagram, addr)
                raise RuntimeError("a bug")

        failing = Failing()
        self.reactor.listenUDP(7001, failing)
        client = self.client(connected=False)
        for _ in range(2):
            client.transport.write(b"x", ("127.0.0.1", 7001))
        self.reactor.pump()
        self.assertEqual(len(failing.got), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_for_ever(self):
        """Two ends that keep each other busy for ever are an error, not a hang."""
        other = Echo()
        self.reactor.listenUDP(7001, other)
        other.transport.write(b"x", SERVER)
        self.assertRaises(StillBusy, self.reactor.pump)

    def address_of(self, protocol):
        address = protocol.transport.getHost()
        return (address.host, address.port)


class PortTests(UdpCase):
    def test_interfaces(self):
        """Reactor and port are what Twisted expects."""
        for interface in (IReactorUDP, IReactorTCP, IReactorTime):
            verifyObject(interface, self.reactor)
        verifyObject(IListeningPort, self.port)
        verifyObject(IUDPTransport, self.port)

    def test_in_use(self):
        """An address cannot be bound twice, until it is closed."""
        self.assertRaises(CannotListenError, self.reactor.listenUDP, 7000, Echo(), "127.0.0.1")
        self.port.stopListening()
        self.assertRaises(CannotListenError, self.reactor.listenUDP, 7000, Echo(), "127.0.0.1")
        self.reactor.pump()
        self.reactor.listenUDP(7000, Echo(), "127.0.0.1")

    def test_any_port(self):
        """Port 0 gives each its own."""
        ports = [self.reactor.listenUDP(0, Recorder()).getHost().port for _ in range(5)]
        self.assertEqual(len(set(ports)), 5)

    def test_hosts(self):
        """A wildcard is loopback here, of either kind."""
        for interface, host in (("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            found = self.reactor.listenUDP(0, Recorder(), interface).getHost()
            self.assertEqual((found.type, found.host), ("UDP", host))

    def test_stops(self):
        """A port closes in the next turn; what comes meanwhile or later is not delivered."""
        client = self.client()
        client.transport.write(b"x")
        stopping = self.port.stopListening()
        self.assertNoResult(stopping)
        self.assertIs(self.port.stopListening(), stopping)
        self.reactor.pump()
        self.successResultOf(stopping)
        self.assertEqual((self.server.got, self.server.stopped), ([], True))
        self.assertIsNone(self.port.stopListening())

    def test_stops_meanwhile(self):
        """A protocol that closes its port gets nothing more, though it has arrived."""
        self.server.datagramReceived = lambda data, addr: (
            self.server.got.append((data, addr)),
            self.port.stopListening(),
        )
        client = self.client()
        for _ in range(3):
            client.transport.write(b"x")
        self.reactor.pump()
        self.assertEqual(len(self.server.got), 1)

    def test_last_words(self):
        """What was written before the port closes still leaves."""
        client = self.client()
        client.transport.write(b"x")
        client.transport.stopListening()
        self.reactor.pump()
        self.assertEqual(self.server.data, [b"x"])

    def test_silent_when_closed(self):
        """A closed port sends nothing."""
        client = self.client()
        port = client.transport
        port.stopListening()
        self.reactor.pump()
        port.write(b"x")
        self.reactor.pump()
        self.assertEqual(self.server.got, [])

    def test_broadcast(self):
        """Broadcast may be switched, as everywhere."""
        self.assertFalse(self.port.getBroadcastAllowed())
        self.port.setBroadcastAllowed(True)
        self.assertTrue(self.port.getBroadcastAllowed())

    def test_tcp_too(self):
        """TCP works on the same reactor, and its ports are others."""

        class Server(Protocol):
            def dataReceived(self, data):
                self.transport.write(data)

        listening = self.reactor.listenTCP(7000, Factory.forProtocol(Server))
        self.assertEqual(listening.getHost().port, 7000)


class HopTests(UdpCase):
    def test_loses_and_doubles(self):
        """A hop may drop, double and delay."""
        answers = {b"lose": [], b"twice": [0.0, 0.5], b"late": [1.0]}
        self.reactor.hops.append(lambda d: [(delay, d) for delay in answers[d.data]])
        self.server.datagramReceived = lambda data, addr: self.server.got.append((data, addr))
        client = self.client()
        for data in (b"late", b"lose", b"twice"):
            client.transport.write(data)
        self.reactor.pump()
        self.assertEqual(self.server.data, [b"twice"])
        self.reactor.advance(0.5)
        self.assertEqual(self.server.data, [b"twice", b"twice"])
        self.reactor.advance(0.5)
        self.assertEqual(self.server.data, [b"twice", b"twice", b"late"])

    def test_in_order(self):
        """Every hop sees what the one before lets out, and delays add up."""
        seen = []

        def first(datagram):
            return [(0.5, datagram), (0.25, Datagram(b"y", datagram.source, datagram.destination))]

        def second(datagram):
            seen.append(datagram.data)
            return [(0.25, datagram)]

        self.reactor.hops += [first, second]
        self.server.datagramReceived = lambda data, addr: self.server.got.append((data, addr))
        self.client().transport.write(b"x")
        self.assertEqual(seen, [b"x", b"y"])
        self.reactor.advance(0.5)
        self.assertEqual(self.server.data, [b"y"])
        self.reactor.advance(0.25)
        self.assertEqual(self.server.data, [b"y", b"x"])

    def test_sent(self):
        """What was written is recorded, lost or not, a bounded number of times."""
        self.reactor.hops.append(lambda datagram: ())
        client = self.client()
        for number in range(SENT_KEPT + 5):
            client.transport.write(b"%d" % number)
        self.assertEqual(len(self.reactor.sent), SENT_KEPT)
        self.assertEqual(self.reactor.sent[0].data, b"5")
        self.assertEqual(self.reactor.sent[-1].destination, SERVER)


class RoughPathTests(UdpCase):
    def outcome(self, seed, count=1000, **shares):
        path = RoughPath(seed, **shares)
        source = ("127.0.0.1", 1)
        return path, [
            list(path(Datagram(number.to_bytes(4), source, SERVER))) for number in range(count)
        ]

    def test_repeats(self):
        """The same seed treats the same datagrams the same way, another one otherwise."""
        shares = {"loss": 0.3, "duplication": 0.2, "reordering": 0.2, "corruption": 0.1}
        _, first = self.outcome(1, **shares)
        self.assertEqual(self.outcome(1, **shares)[1], first)
        self.assertNotEqual(self.outcome(2, **shares)[1], first)

    def test_clean(self):
        """Without shares it only delays."""
        _, found = self.outcome(1, delay=0.25)
        self.assertTrue(all(len(leaving) == 1 and leaving[0][0] == 0.25 for leaving in found))

    def test_loss(self):
        """The share of loss is lost, and counted."""
        path, found = self.outcome(1, loss=0.3)
        lost = found.count([])
        self.assertEqual(path.lost, lost)
        self.assertTrue(240 < lost < 360, lost)

    def test_duplication(self):
        """Of what is doubled the second comes not before the first."""
        _, found = self.outcome(1, duplication=0.3, reordering=0.5)
        doubled = [leaving for leaving in found if len(leaving) == 2]
        self.assertTrue(240 < len(doubled) < 360, len(doubled))
        self.assertTrue(all(first[0] <= second[0] for first, second in doubled))

    def test_reordering(self):
        """What is held back is so for the time allowed at most, and changes the order."""
        _, found = self.outcome(1, reordering=0.3, held_back=0.05, delay=0.1)
        late = [delay for ((delay, _),) in found if delay > 0.1]
        self.assertTrue(240 < len(late) < 360, len(late))
        self.assertLessEqual(max(late), 0.15)

    def test_corruption(self):
        """What is corrupted has exactly one bit turned."""
        _, found = self.outcome(1, corruption=0.3)
        turned = [
            (int.from_bytes(datagram.data) ^ number).bit_count()
            for number, ((_, datagram),) in enumerate(found)
        ]
        self.assertEqual(set(turned), {0, 1})
        self.assertTrue(240 < sum(turned) < 360, sum(turned))

    def test_empty(self):
        """A datagram without bytes cannot be corrupted."""
        path = RoughPath(1, corruption=1.0)
        datagram = Datagram(b"", SERVER, SERVER)
        self.assertEqual(list(path(datagram)), [(0.0, datagram)])


class NatTests(UdpCase):
    def setUp(self):
        super().setUp()
        self.nat = Nat(SERVER)
        self.reactor.hops.append(self.nat)

    def test_translates(self):
        """The server sees an address of the router per sender, and its answers arrive."""
        clients = [self.client(), self.client()]
        for number, client in enumerate(clients):
            client.transport.write(b"%d" % number)
            client.transport.write(b"%d" % number)
        self.reactor.pump()
        sources = [source for _, source in self.server.got]
        self.assertEqual(sources, [("192.0.2.1", 1024)] * 2 + [("192.0.2.1", 1025)] * 2)
        self.assertEqual([client.data for client in clients], [[b"0"] * 2, [b"1"] * 2])
        self.assertEqual(clients[0].got[0][1], SERVER)

    def test_rebinds(self):
        """After a rebinding the address is another, and the former one leads nowhere."""
        client = self.client()
        client.transport.write(b"before")
        self.reactor.pump()
        self.nat.rebind()
        self.server.transport.write(b"to the former", ("192.0.2.1", 1024))
        self.reactor.pump()
        self.assertEqual(client.data, [b"before"])
        client.transport.write(b"after")
        self.reactor.pump()
        self.assertEqual(client.data, [b"before", b"after"])
        self.assertEqual(self.server.got[-1][1], ("192.0.2.1", 1025))

    def test_other_host(self):
        """A rebinding may change the host too."""
        client = self.client()
        self.nat.rebind("198.51.100.7")
        client.transport.write(b"x")
        self.reactor.pump()
        self.assertEqual(self.server.got[0][1], ("198.51.100.7", 1024))
        self.assertEqual(client.data, [b"x"])

    def test_others(self):
        """What has nothing to do with the server passes unchanged."""
        other = Recorder()
        self.reactor.listenUDP(7001, other)
        client = self.client(connected=False)
        client.transport.write(b"x", ("127.0.0.1", 7001))
        self.reactor.pump()
        self.assertEqual(other.got[0][1][0], "127.0.0.1")
