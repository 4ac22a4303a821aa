"""
Tests of the reactor in memory.
"""

import treq
from treq.client import HTTPClient
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from diarkis_tw.testing.link import HIGH_WATER, LINK_CAPACITY
from diarkis_tw.testing.loopback import TURNS_MAX, LoopbackReactor, StillBusy


class Recorder(Protocol):
    def __init__(self):
        self.chunks = []
        self.reason = None

    @property
    def data(self):
        return b"".join(self.chunks)

    def dataReceived(self, data):
        self.chunks.append(data)

    def connectionLost(self, reason):
        self.reason = reason


class Recording(Factory):
    noisy = False
    starts = stops = 0

    def __init__(self, protocol=Recorder):
        self.protocol = protocol
        self.made = []

    def doStart(self):
        self.starts += 1

    def doStop(self):
        self.stops += 1

    def buildProtocol(self, addr):
        protocol = self.protocol()
        if protocol is not None:
            self.made.append(protocol)
        return protocol


class RecordingClient(Recording, ClientFactory):
    failure = None
    lost = None

    def clientConnectionFailed(self, connector, reason):
        self.failure = reason

    def clientConnectionLost(self, connector, reason):
        self.lost = reason


@implementer(IPushProducer)
class Producer:
    def __init__(self):
        self.calls = []

    def pauseProducing(self):
        self.calls.append("pause")

    def resumeProducing(self):
        self.calls.append("resume")

    def stopProducing(self):
        self.calls.append("stop")


class LoopbackCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackReactor()
        self.listening = Recording()
        self.port = self.reactor.listenTCP(0, self.listening, interface="127.0.0.1")
        self.connecting = RecordingClient()

    def connect(self, timeout=30):
        self.connector = self.reactor.connectTCP(
            "127.0.0.1", self.port.getHost().port, self.connecting, timeout
        )
        return self.connector

    def connected(self):
        self.connect()
        self.reactor.pump()
        return self.connecting.made[0], self.listening.made[0], self.reactor.links[-1]


class ConnectingTests(LoopbackCase):
    def test_delivers(self):
        """Both ends get what the other one writes."""
        client, server, _ = self.connected()
        client.transport.write(b"ping")
        server.transport.writeSequence([b"po", b"ng"])
        self.reactor.pump()
        self.assertEqual((server.data, client.data), (b"ping", b"pong"))

    def test_nothing_before_pump(self):
        """Neither connecting nor writing does anything until the reactor turns."""
        self.connect()
        self.assertEqual(self.listening.made, [])
        self.reactor.pump()
        self.connecting.made[0].transport.write(b"x")
        self.assertEqual(self.listening.made[0].data, b"")

    def test_refused(self):
        """A port that nobody listens on any more refuses."""
        self.port.stopListening()
        self.connect()
        self.reactor.pump()
        self.assertTrue(self.connecting.failure.check(ConnectionRefusedError))
        self.assertEqual((self.connecting.starts, self.connecting.stops), (1, 1))
        self.assertEqual((self.listening.starts, self.listening.stops), (1, 1))

    def test_port_taken(self):
        """A port can be listened on once at a time."""
        number = self.port.getHost().port
        with self.assertRaises(CannotListenError):
            self.reactor.listenTCP(number, Recording())
        self.port.stopListening()
        self.assertEqual(self.reactor.listenTCP(number, Recording()).getHost().port, number)

    def test_port_zero(self):
        """Port 0 gives a different port each time."""
        other = self.reactor.listenTCP(0, Recording())
        self.assertNotIn(other.getHost().port, (0, self.port.getHost().port))

    def test_addresses(self):
        """Each end's peer is the other one's host."""
        client, server, _ = self.connected()
        self.assertEqual(client.transport.getPeer(), server.transport.getHost())
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())
        self.assertEqual(client.transport.getPeer().port, self.port.getHost().port)

    def test_provides(self):
        """The transport has everything of ITCPTransport."""
        client, _, _ = self.connected()
        verifyObject(ITCPTransport, client.transport)

    def test_stop_connecting(self):
        """An attempt given up fails as the user's wish, and nothing connects."""
        connector = self.connect()
        connector.stopConnecting()
        self.reactor.pump()
        self.assertTrue(self.connecting.failure.check(UserError))
        self.assertEqual(self.listening.made, [])
        self.assertRaises(NotConnectingError, connector.stopConnecting)

    def test_timeout_of_attempt(self):
        """An attempt's time-out is called off once it is connected."""
        self.connected()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIsNone(self.connecting.failure)

    def test_attempt_times_out(self):
        """A connector whose time is up before its turn fails with a time-out."""
        self.connect(timeout=0)
        self.reactor.pump()
        self.assertTrue(self.connecting.failure.check(TimeoutError))

    def test_factory_refuses(self):
        """A listening factory that builds nothing closes on the client."""
        self.listening.protocol = lambda: None
        self.connect()
        self.reactor.pump()
        self.assertTrue(self.connecting.made[0].reason.check(ConnectionDone))

    def test_http(self):
        """Twisted's web server and client work over it."""

        class Hello(Resource):
            isLeaf = True

            def render_GET(self, request):
                return b"hello " + request.path

        port = self.reactor.listenTCP(0, Site(Hello(), reactor=self.reactor))
        url = f"http://127.0.0.1:{port.getHost().port}/x"
        answer = HTTPClient(Agent(self.reactor)).get(url).addCallback(treq.content)
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"hello /x")


class EndingTests(LoopbackCase):
    def test_lose_connection(self):
        """What was written is delivered before both ends learn of a clean end."""
        client, server, link = self.connected()
        client.transport.write(b"x" * (3 * LINK_CAPACITY))
        client.transport.loseConnection()
        self.reactor.pump()
        self.assertEqual(len(server.data), 3 * LINK_CAPACITY)
        self.assertTrue(client.reason.check(ConnectionDone))
        self.assertTrue(server.reason.check(ConnectionDone))
        self.assertTrue(self.connecting.lost.check(ConnectionDone))
        self.assertFalse(link.open)

    def test_end_waits_for_reader(self):
        """An end that does not read learns of a clean end only when it reads again."""
        client, server, _ = self.connected()
        server.transport.pauseProducing()
        client.transport.write(b"bye")
        client.transport.loseConnection()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionDone))
        self.assertIsNone(server.reason)
        server.transport.resumeProducing()
        self.reactor.pump()
        self.assertEqual(server.data, b"bye")
        self.assertTrue(server.reason.check(ConnectionDone))

    def test_writing_to_the_gone(self):
        """An end that does not read learns of the peer's end by writing."""
        client, server, _ = self.connected()
        server.transport.pauseProducing()
        client.transport.loseConnection()
        self.reactor.pump()
        server.transport.write(b"x")
        self.reactor.pump()
        self.assertTrue(server.reason.check(ConnectionLost))

    def test_no_reading_while_disconnecting(self):
        """After loseConnection nothing is delivered to that end."""
        client, server, _ = self.connected()
        server.transport.stalled = True
        client.transport.write(b"x" * (2 * LINK_CAPACITY))
        client.transport.loseConnection()
        server.transport.write(b"too late")
        self.reactor.pump()
        self.assertIsNone(client.reason)
        self.assertEqual(client.data, b"")

    def test_abort(self):
        """An abort drops what is buffered and says so at both ends."""
        client, server, _ = self.connected()
        client.transport.write(b"never")
        client.transport.abortConnection()
        self.assertIsNone(client.reason)
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionAborted))
        self.assertTrue(server.reason.check(ConnectionLost))
        self.assertEqual(server.data, b"")

    def test_cut(self):
        """A cut link is lost at both ends, with what was on its way."""
        client, server, link = self.connected()
        client.transport.write(b"never")
        link.cut()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionLost))
        self.assertTrue(server.reason.check(ConnectionLost))
        self.assertEqual(server.data, b"")

    def test_cut_in(self):
        """A link can be cut after so many bytes of one direction, in the midst of a write."""
        client, server, link = self.connected()
        link.server.cut_in = 7
        client.transport.write(b"12345")
        server.transport.write(b"abc")
        self.reactor.pump()
        self.assertEqual((server.data, server.reason), (b"12345", None))
        client.transport.write(b"67890")
        self.reactor.pump()
        self.assertEqual((server.data, client.data), (b"1234567", b"abc"))
        self.assertTrue(client.reason.check(ConnectionLost))
        self.assertTrue(server.reason.check(ConnectionLost))

    def test_cut_before_anything(self):
        """A link can be cut at its first byte, as soon as it is opened."""
        self.reactor.opened = lambda link: setattr(link.server, "cut_in", 0)
        client, server, _ = self.connected()
        client.transport.write(b"never")
        self.reactor.pump()
        self.assertEqual(server.data, b"")
        self.assertTrue(client.reason.check(ConnectionLost))

    def test_half_close(self):
        """After loseWriteConnection an end still reads; a peer as usual closes in answer."""
        client, server, _ = self.connected()
        client.transport.write(b"last")
        client.transport.loseWriteConnection()
        client.transport.write(b" words")
        server.transport.write(b"answer")
        self.reactor.pump()
        self.assertEqual((server.data, client.data), (b"last words", b"answer"))
        self.assertTrue(server.reason.check(ConnectionDone))
        self.assertTrue(client.reason.check(ConnectionDone))

    def test_half_closed(self):
        """A half-closed end writes nothing more, and waits for a peer that does not read."""
        client, server, _ = self.connected()
        server.transport.pauseProducing()
        client.transport.loseWriteConnection()
        self.reactor.pump()
        client.transport.write(b"never")
        server.transport.write(b"x")
        self.reactor.pump()
        self.assertEqual((client.data, client.reason, server.reason), (b"x", None, None))
        client.transport.loseConnection()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionDone))
        server.transport.resumeProducing()
        self.reactor.pump()
        self.assertTrue(server.reason.check(ConnectionDone))
        self.assertEqual(server.data, b"")

    def test_half_closeable(self):
        """Protocols for half-closed connections learn of each half, and decide themselves."""

        @implementer(IHalfCloseableProtocol)
        class Halves(Recorder):
            def readConnectionLost(self):
                self.chunks.append(b"<read>")

            def writeConnectionLost(self):
                self.chunks.append(b"<write>")

        self.listening.protocol = self.connecting.protocol = Halves
        client, server, _ = self.connected()
        client.transport.loseWriteConnection()
        self.reactor.pump()
        self.assertEqual((client.chunks, server.chunks), ([b"<write>"], [b"<read>"]))
        server.transport.write(b"still")
        server.transport.loseWriteConnection()
        self.reactor.pump()
        self.assertEqual(client.data, b"<write>still<read>")
        self.assertIsNone(client.reason)
        server.transport.loseConnection()
        client.transport.loseConnection()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionDone))
        self.assertTrue(server.reason.check(ConnectionDone))

    def test_write_after_end(self):
        """Writing to an ended connection does nothing."""
        client, _, link = self.connected()
        link.cut()
        self.reactor.pump()
        client.transport.write(b"x")
        self.assertEqual(client.transport.buffered, 0)

    def test_failing_protocol(self):
        """A protocol that raises loses its connection, and the failure is logged."""

        class Broken(Recorder):
            def dataReceived(self, data):
                raise ValueError("broken")

        self.listening.protocol = Broken
        client, server, _ = self.connected()
        client.transport.write(b"x")
        self.reactor.pump()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(server.reason.check(ValueError))
        self.assertTrue(client.reason.check(ConnectionLost))


class FlowTests(LoopbackCase):
    def test_chunks(self):
        """A link delivers in chunks of the size asked for."""
        self.reactor.chunk_size = 2
        client, server, _ = self.connected()
        client.transport.write(b"hello")
        self.reactor.pump()
        self.assertEqual(server.chunks, [b"he", b"ll", b"o"])

    def test_pause_within_chunks(self):
        """A protocol that pauses reading gets no further chunk of what has arrived."""

        class Sipping(Recorder):
            def dataReceived(self, data):
                super().dataReceived(data)
                self.transport.pauseProducing()

        self.listening.protocol = Sipping
        self.reactor.chunk_size = 1
        client, server, _ = self.connected()
        client.transport.write(b"abc")
        self.reactor.pump()
        self.assertEqual(server.data, b"a")
        server.transport.resumeProducing()
        self.reactor.pump()
        self.assertEqual(server.data, b"ab")

    def test_producer(self):
        """A producer is paused above the mark and resumed once the buffer is empty."""
        client, server, _ = self.connected()
        server.transport.stalled = True
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.transport.write(b"x" * LINK_CAPACITY)
        self.reactor.pump()
        client.transport.write(b"x" * HIGH_WATER)
        self.assertEqual(producer.calls, [])
        client.transport.write(b"x")
        self.assertEqual(producer.calls, ["pause"])
        self.reactor.pump()
        self.assertEqual(producer.calls, ["pause"])
        self.assertEqual(client.transport.buffered, HIGH_WATER + 1)
        server.transport.stalled = False
        self.reactor.pump()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_producer_stopped(self):
        """A producer is stopped with its connection, and one that comes later at once."""
        client, _, link = self.connected()
        first, late = Producer(), Producer()
        client.transport.registerProducer(first, True)
        self.assertRaises(RuntimeError, client.transport.registerProducer, late, True)
        link.cut()
        self.reactor.pump()
        client.transport.registerProducer(late, True)
        self.assertEqual((first.calls, late.calls), (["stop"], ["stop"]))

    def test_producer_delays_end(self):
        """A clean end waits for a paused producer to be unregistered."""
        client, server, _ = self.connected()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        server.transport.stalled = True
        client.transport.write(b"x" * (LINK_CAPACITY + HIGH_WATER + 1))
        client.transport.loseConnection()
        server.transport.stalled = False
        self.reactor.pump()
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.assertIsNone(client.reason)
        client.transport.unregisterProducer()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionDone))

    def test_producer_does_not_delay_end(self):
        """A producer that is not paused does not delay a clean end."""
        client, _, _ = self.connected()
        client.transport.registerProducer(Producer(), True)
        client.transport.loseConnection()
        self.reactor.pump()
        self.assertTrue(client.reason.check(ConnectionDone))

    def test_pull_producer(self):
        """A pull producer is asked again each time the buffer is empty."""
        client, server, _ = self.connected()

        class Pull(Producer):
            left = 3

            def resumeProducing(self):
                self.left -= 1
                client.transport.write(b"x")
                if not self.left:
                    client.transport.unregisterProducer()

        client.transport.registerProducer(Pull(), False)
        self.reactor.pump()
        self.assertEqual(server.data, b"xxx")

    def test_stall(self):
        """A stalled link delivers nothing and tells nobody."""
        client, server, link = self.connected()
        link.stall()
        client.transport.write(b"x")
        self.reactor.advance(60)
        self.assertEqual((server.data, server.reason, client.reason), (b"", None, None))


class TimeTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackReactor()
        self.seen = []

    def note(self, name):
        self.seen.append((name, self.reactor.seconds()))

    def test_own_instant(self):
        """Each timer runs at its own time, also those made on the way."""
        self.reactor.callLater(2, self.note, "b")
        self.reactor.callLater(1, lambda: self.reactor.callLater(0.5, self.note, "a"))
        self.reactor.advance(3)
        self.assertEqual(self.seen, [("a", 1.5), ("b", 2)])
        self.assertEqual(self.reactor.seconds(), 3)

    def test_not_early(self):
        """A timer does not run before its time."""
        self.reactor.callLater(1, self.note, "a")
        self.reactor.advance(0.999)
        self.assertEqual(self.seen, [])

    def test_delivery_between_timers(self):
        """What one timer sends is delivered before a later one runs."""
        listening, connecting = Recording(), RecordingClient()
        port = self.reactor.listenTCP(0, listening)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, connecting)
        self.reactor.pump()
        self.reactor.callLater(1, connecting.made[0].transport.write, b"x")
        self.reactor.callLater(2, lambda: self.note(listening.made[0].data))
        self.reactor.advance(5)
        self.assertEqual(self.seen, [(b"x", 2)])

    def test_cancelled_by_another(self):
        """A timer that another one of the same instant cancels does not run."""
        calls = []
        self.reactor.callLater(1, lambda: calls[0].cancel())
        calls.append(self.reactor.callLater(1, self.note, "never"))
        self.reactor.advance(2)
        self.assertEqual(self.seen, [])

    def test_endless(self):
        """A timer that repeats without time passing is an error, not a hang."""

        def again():
            self.seen.append(None)
            self.reactor.callLater(0, again)

        again()
        self.assertRaises(StillBusy, self.reactor.pump)
        self.assertLess(len(self.seen), TURNS_MAX + 2)
