"""
Tests of L{diarkis_tw.cloud.metadata}: what happens when, on a clock.
"""

from itertools import pairwise

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from diarkis_tw.cloud.exchange import BODY_MAX_BYTES, metadata_client
from diarkis_tw.cloud.metadata import Lookup
from diarkis_tw.cloud.sources import CLOUDS
from diarkis_tw.errors import CloudError
from diarkis_tw.testing.loopback import LoopbackReactor
from tests.cloud.fakes import PUBLIC

NAMES = ("metadata.google.internal", "metadata.tencentyun.com")


def response(status, text="", **headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", text]).encode()


@implementer(IHostnameResolver)
class Resolver:
    """
    Knows addresses, and names unless it shall not.
    """

    def __init__(self, resolver):
        self.resolver = resolver
        self.knows_names = True

    def resolveHostName(self, receiver, hostName, *args, **kwargs):
        if hostName in NAMES and not self.knows_names:
            receiver.resolutionBegan(self)
            receiver.resolutionComplete()
            return self
        return self.resolver.resolveHostName(receiver, hostName, *args, **kwargs)


class Reactor(LoopbackReactor):
    """
    @ivar is_hole: whether connections are neither made nor refused.
    """

    def __init__(self):
        super().__init__()
        self.nameResolver = Resolver(self.nameResolver)
        self.is_hole = False
        self.connectors = []

    def connectTCP(self, *args, **kwargs):
        connector = super().connectTCP(*args, **kwargs)
        self.connectors.append(connector)
        if self.is_hole:
            self.attempts.remove(connector)
        return connector


class Server(Protocol):
    """
    Answers each request as the test says: bytes at once, C{None} never.
    """

    def dataReceived(self, data):
        request = data.decode().partition(" HTTP/")[0]
        self.factory.requests.append((self.factory.reactor.seconds(), request, self))
        reply = self.factory.reply(request)
        if reply is not None:
            self.transport.write(reply)
            self.transport.loseConnection()


class TimeTests(SynchronousTestCase):
    """
    A metadata server in memory.
    """

    def setUp(self):
        self.reactor = Reactor()
        self.server = Factory.forProtocol(Server)
        self.server.reactor = self.reactor
        self.server.requests = []
        self.server.reply = lambda request: None
        self.reactor.listenTCP(80, self.server)
        self.exchanges = []

    def find(self, cloud):
        source = CLOUDS[cloud]
        http = metadata_client(self.reactor)
        note = self.exchanges.append
        lookup = Lookup(cloud, source.advice, http, self.reactor, note=note)
        finding = lookup.run(source.find)
        self.reactor.pump()
        return finding

    def failing(self, finding, *parts):
        text = str(self.failureResultOf(finding, CloudError).value)
        for part in parts:
            self.assertIn(part, text)
        return text

    def asked(self):
        return [request for _, request, _ in self.server.requests]

    def assertQuiet(self):
        """
        No connection and no timer is left.
        """
        self.reactor.pump()
        self.assertFalse([link for link in self.reactor.links if link.open])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_blackHole(self):
        """
        Elsewhere than on the cloud nobody may answer at all: given up after 2 seconds.
        """
        self.reactor.is_hole = True
        for cloud in ("AWS", "AZURE", "ALIBABA", "LINODE"):
            finding = self.find(cloud)
            self.reactor.advance(1.99)
            self.assertNoResult(finding)
            self.reactor.advance(0.02)
            self.failing(finding, cloud, "no connection within 2 s", "DIARKIS_CLOUD_ENV=<host>")
            self.assertQuiet()

    def test_blackHoleTwice(self):
        """
        Those with two ways to be reached are tried by both.
        """
        self.reactor.is_hole = True
        for cloud in ("GCP", "TENCENT"):
            finding = self.find(cloud)
            self.reactor.advance(3.99)
            self.assertNoResult(finding)
            self.reactor.advance(0.02)
            self.failing(finding, cloud, "no connection within 2 s")
            self.assertQuiet()

    def test_connectTimeout(self):
        """
        The system is told of the limit for connecting.
        """
        self.find("AWS")
        self.assertEqual([c._timeout for c in self.reactor.connectors], [2.0])

    def test_byAddress(self):
        """
        Where the name of a metadata service is not known, it is asked by its address.
        """
        self.reactor.nameResolver.knows_names = False
        self.server.reply = lambda request: response(200, PUBLIC, Metadata_Flavor="Google")
        for cloud, address in (("GCP", "169.254.169.254"), ("TENCENT", "169.254.0.23")):
            self.exchanges.clear()
            found = self.successResultOf(self.find(cloud))
            self.assertEqual(found.host, PUBLIC)
            by_name, by_address = self.exchanges
            self.assertIn(next(n for n in NAMES if n in by_name.url), by_name.url)
            self.assertIn("no host of that name", by_name.outcome)
            self.assertTrue(by_address.url.startswith(f"http://{address}/"))

    def test_byName(self):
        """
        Where it is known, the address is not asked.
        """
        self.server.reply = lambda request: response(404, Metadata_Flavor="Google")
        for cloud in ("GCP", "TENCENT"):
            self.exchanges.clear()
            self.failureResultOf(self.find(cloud), CloudError)
            self.assertEqual(len(self.exchanges), 1)

    def test_hopLimit(self):
        """
        A token that never comes is what a container behind a hop limit of 1 sees.
        """
        finding = self.find("AWS")
        self.reactor.advance(4.99)
        self.assertNoResult(finding)
        self.reactor.advance(0.02)
        self.failing(finding, "no answer within 5 s", "hop limit", "http-put-response-hop-limit 2")
        self.assertEqual(self.asked(), ["PUT /latest/api/token"])
        self.assertQuiet()

    def test_noHopLimit(self):
        """
        Where not even the connection is made, that is not the explanation.
        """
        self.reactor.is_hole = True
        finding = self.find("AWS")
        self.reactor.advance(2.1)
        self.assertNotIn("hop limit", self.failing(finding))

    def test_trickle(self):
        """
        A byte now and then does not keep the look-up alive.
        """
        finding = self.find("TENCENT")
        _, _, server = self.server.requests[0]
        server.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        for _ in range(4):
            self.reactor.advance(1)
            server.transport.write(b"1")
        self.assertEqual(len(self.asked()), 1)
        self.reactor.advance(1.1)
        self.assertEqual([e.outcome for e in self.exchanges], ["no answer within 5 s"])
        self.assertFalse(self.reactor.links[0].open)
        self.reactor.advance(5)
        self.failing(finding)
        self.assertQuiet()

    def test_endless(self):
        """
        A body without end is cut off, and so is its connection.
        """
        finding = self.find("AZURE")
        _, _, server = self.server.requests[0]
        server.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1 + BODY_MAX_BYTES // 1024):
            self.assertTrue(self.reactor.links[0].open)
            server.transport.write(b"1" * 1024)
            self.reactor.pump()
        self.assertFalse(self.reactor.links[0].open)
        self.failing(finding, "more than")

    def test_budget(self):
        """
        Everything together takes 10 seconds at most, and the step that it ended at is
        named.
        """
        finding = self.find("AWS")
        for text in ("token", ""):
            self.reactor.advance(4.9)
            _, _, server = self.server.requests[-1]
            server.transport.write(response(200, text))
            self.reactor.pump()
        self.assertEqual(len(self.asked()), 3)
        self.assertNoResult(finding)
        self.reactor.advance(0.21)
        self.failing(finding, "asking for the public address", "not done within 10 s")
        self.assertQuiet()

    def test_budgetEndsSecondWay(self):
        """
        When the budget is used up, no second way is tried any more.
        """
        finding = self.find("GCP")
        self.reactor.advance(9.99)
        self.assertEqual(len(self.asked()), 2)
        self.assertNoResult(finding)
        self.reactor.advance(0.02)
        self.failing(finding, "GCP")
        self.assertEqual(len(self.asked()), 2)
        self.assertQuiet()

    def test_backOff(self):
        """
        Throttling and faults are waited out, longer each time.
        """
        replies = [429, 500, 503, 410]
        self.server.reply = lambda request: (
            response(replies.pop(0)) if replies else response(200, PUBLIC)
        )
        finding = self.find("TENCENT")
        for _ in range(400):
            self.reactor.advance(0.01)
        self.assertEqual(self.successResultOf(finding).host, PUBLIC)
        times = [time for time, _, _ in self.server.requests]
        pauses = [round(after - before, 1) for before, after in pairwise(times)]
        self.assertEqual(pauses, [0.2, 0.4, 0.8, 1.6])
        self.assertQuiet()

    def test_backOffEnds(self):
        """
        Not for ever.
        """
        self.server.reply = lambda request: response(503)
        finding = self.find("TENCENT")
        self.reactor.advance(5)
        self.failing(finding, "503 Service Unavailable", "several times")
        self.assertEqual(len(self.asked()), 5)
        self.assertQuiet()

    def test_final(self):
        """
        Other statuses are final.
        """
        for status in (400, 401, 403, 404, 418, 501, 599 + 1):
            self.server.requests.clear()
            self.server.reply = lambda request, status=status: response(status)
            self.failing(self.find("TENCENT"))
            self.reactor.advance(10)
            self.assertEqual(len(self.asked()), 1, status)

    def test_cancelled(self):
        """
        A look-up that nobody wants any more leaves nothing behind, wherever it was.
        """
        self.server.reply = lambda request: None
        waiting = self.find("GCP")
        self.server.reply = lambda request: response(503)
        pausing = self.find("TENCENT")
        self.reactor.is_hole = True
        connecting = self.find("GCP")
        for finding in (waiting, pausing, connecting):
            finding.cancel()
            self.failureResultOf(finding, CancelledError)
        count = len(self.asked())
        self.assertQuiet()
        self.reactor.advance(20)
        self.assertEqual(len(self.asked()), count)

    def test_notes(self):
        """
        Each request is noted with what came of it and how long it took.
        """
        finding = self.find("AWS")
        self.reactor.advance(0.25)
        self.server.reply = lambda request: response(404)
        _, _, server = self.server.requests[0]
        server.transport.write(response(404, "no"))
        self.reactor.pump()
        self.failing(finding)
        first = self.exchanges[0]
        self.assertEqual(first.method, "PUT")
        self.assertEqual(first.url, "http://169.254.169.254/latest/api/token")
        self.assertEqual(first.outcome, "404 Not Found, 2 characters")
        self.assertAlmostEqual(first.duration, 0.25)
        self.assertEqual(len(self.exchanges), 3)
