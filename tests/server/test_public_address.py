"""
Tests of L{diarkis_tw.server.public_address}, through L{diarkis_tw.server.Server}, with
metadata servers in memory.
"""

from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.cloud.sources import WHAT_IS_MY_IP
from diarkis_tw.config.settings import HttpSettings, NodeSettings, Settings, TcpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.errors import CloudError, ConfigError, StartError
from diarkis_tw.server import Server
from diarkis_tw.server.public_address import doubts
from diarkis_tw.testing.loopback import LoopbackReactor

BASE = "http://127.0.0.1:81"


class Metadata(Protocol):
    """
    Answers with whatever is at a path, else 404.
    """

    def dataReceived(self, data):
        path = data.decode().split(" ")[1]
        self.factory.asked.append(path)
        text = self.factory.items.get(path)
        if text is Deferred:
            return  # never
        status = 404 if text is None else 200
        flavor = "Metadata-Flavor: Google"
        head = f"HTTP/1.1 {status} X\r\n{flavor}\r\nContent-Length: {len(text or '')}\r\n\r\n"
        self.transport.write((head + (text or "")).encode())
        self.transport.loseConnection()


AWS = "/latest/meta-data/public-ipv4"
GCP = "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"
AZURE = (
    "/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress"
    "?api-version=2021-02-01&format=text"
)
ALIBABA = "/latest/meta-data/eipv4"
GENERIC = "/ip"


class PublicAddressCase(SynchronousTestCase):
    """
    A server, and a metadata server.

    @ivar metadata: C{items} by path, and what was C{asked}.
    @ivar messages: warnings and errors of the log.
    """

    def setUp(self):
        self.reactor = LoopbackReactor()
        self.metadata = Factory.forProtocol(Metadata)
        self.metadata.items = {AWS: "198.51.100.1", GCP: "198.51.100.2"}
        self.metadata.asked = []
        for port in (80, 81):
            self.reactor.listenTCP(port, self.metadata)
        self.stopped = []
        self.messages = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if event.get("log_level") in (LogLevel.warn, LogLevel.error, LogLevel.critical):
            self.messages.append(event["log_format"].format(**event))

    def make(self, cloud=None, *, address="", port=7200, base=BASE, **settings):
        node = NodeSettings(**settings.pop("node", {}))
        self.server = Server(
            self.reactor,
            Settings(
                tcp=TcpSettings(address=address, port=port),
                http=HttpSettings(),
                node=node,
                cloud=cloud,
                metadata_base=base,
                **settings,
            ),
        )
        self.service = self.server.service()
        self.service.stop_process = self.stopped.append
        self.addCleanup(self.stop)
        return self.server

    def stop(self):
        done = self.service.stopService()
        self.reactor.advance(30)
        if done is not None:
            self.successResultOf(done)

    def start(self):
        self.service.startService()
        self.reactor.pump()

    def assertAnnounced(self, expected):
        self.assertIs(self.server.state, NodeState.ONLINE)
        self.assertEqual(self.server.get_endpoint(), expected)
        (node,) = self.server._mesh.nodes()
        endpoint = node.endpoints["TCP"]
        self.assertEqual(f"{endpoint.host}:{endpoint.port}", expected)


class AutomaticTests(PublicAddressCase):
    """
    C{DIARKIS_CLOUD_ENV} and C{node.publicAddressUrl}.
    """

    def test_cloud(self):
        """
        The cloud's address is announced, with the port that is really bound.
        """
        self.make("AWS", address="0.0.0.0", port=0)
        self.start()
        host, port = self.server.bound_addresses()["TCP"]
        self.assertEqual(host, "0.0.0.0")
        self.assertIn(port, self.reactor.ports)
        self.assertAnnounced(f"198.51.100.1:{port}")

    def test_quiet(self):
        """
        The log says what was found, and nothing about the connections it took.
        """
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.make("GCP", base=None)
        self.start()
        self.assertAnnounced("198.51.100.2:7200")
        said = [event["log_format"] for event in events]
        self.assertTrue([text for text in said if "the public address is" in text])
        self.assertEqual([text for text in said if "factory" in text], [])

    def test_order(self):
        """
        Bound, then the address, then on_ready; not ONLINE before.
        """
        self.metadata.items[GCP] = Deferred
        self.make("GCP")
        self.server.on_ready(lambda: self.metadata.asked.append("on_ready"))
        self.start()
        self.assertIs(self.server.state, NodeState.STARTING)
        self.assertIn(7200, self.reactor.ports)
        self.assertEqual(self.metadata.asked, [GCP])
        self.assertEqual(list(self.server._mesh.nodes()), [])
        for link in self.reactor.links:
            link.server.write(b"HTTP/1.1 200 X\r\nMetadata-Flavor: Google\r\nContent-Length: 7")
            link.server.write(b"\r\n\r\n1.2.3.4")
        self.reactor.pump()
        self.assertEqual(self.metadata.asked, [GCP, "on_ready"])
        self.assertAnnounced("1.2.3.4:7200")

    def test_host(self):
        """
        With a host in C{DIARKIS_CLOUD_ENV} nobody is asked, whatever else is set.
        """
        self.make(public_host="a.example", node={"public_address_url": "http://b.example/ip"})
        self.start()
        self.assertAnnounced("a.example:7200")
        self.assertEqual(self.metadata.asked, [])

    def test_url(self):
        """
        C{node.publicAddressUrl} is asked where no cloud is named, and makes a bind to all
        interfaces legal.
        """
        self.metadata.items[GENERIC] = "198.51.100.9\n"
        self.make(address="0.0.0.0", base=None, node={"public_address_url": "http://b.example/ip"})
        self.start()
        self.assertAnnounced("198.51.100.9:7200")

    def test_cloudBeforeUrl(self):
        """
        The environment wins over the file.
        """
        self.make("GCP", node={"public_address_url": "http://b.example/ip"})
        self.start()
        self.assertAnnounced("198.51.100.2:7200")
        self.assertEqual(self.metadata.asked, [GCP])

    def test_ownAddress(self):
        """
        Without a base the cloud's own address is asked.
        """
        self.make("GCP", base=None)
        self.start()
        self.assertAnnounced("198.51.100.2:7200")
        self.assertEqual(self.messages, [])

    def test_base(self):
        """
        C{DIARKIS_METADATA_BASE} is logged loudly.
        """
        self.make("GCP")
        self.start()
        (message,) = self.messages
        self.assertIn("DIARKIS_METADATA_BASE", message)
        self.assertIn(BASE, message)

    def test_failure(self):
        """
        An address that is not found ends the process with status 1 and a sentence that
        names the cloud, the step and the remedy, without a traceback.
        """
        self.metadata.items.clear()
        self.make("AWS", base=None)
        self.start()
        self.assertEqual(self.stopped, [1])
        self.assertIs(self.server.state, NodeState.STARTING)
        (message,) = self.messages
        for part in ("cannot start: AWS: asking for the public address failed", "Elastic IP"):
            self.assertIn(part, message)

    def test_silence(self):
        """
        The same happens when nobody answers.
        """
        self.metadata.items[GCP] = Deferred
        self.make("GCP")
        self.start()
        self.reactor.advance(4.9)
        self.assertEqual(self.stopped, [])
        self.reactor.advance(0.2)
        self.assertEqual(self.stopped, [1])

    def test_ended(self):
        """
        A node that is ended while it asks ends in order.
        """
        self.metadata.items[GCP] = Deferred
        self.make("GCP")
        self.start()
        self.server.service().terminate()
        self.reactor.advance(5)
        self.assertEqual(self.stopped, [0])
        self.assertFalse([link for link in self.reactor.links if link.open])

    def test_private(self):
        """
        An address that not everybody reaches is announced, with a warning.
        """
        self.metadata.items[GCP] = "10.0.0.5"
        self.make("GCP", base=None)
        self.start()
        self.assertAnnounced("10.0.0.5:7200")
        (message,) = self.messages
        self.assertIn("private network", message)


class ExplicitTests(PublicAddressCase):
    """
    C{setup_server_for_aws} and the like.
    """

    def test_each(self):
        """
        Each asks its own cloud.
        """
        items = {
            "aws": {AWS: "198.51.100.11"},
            "gcp": {GCP: "198.51.100.12"},
            "azure": {AZURE: "198.51.100.13"},
            "alibaba": {ALIBABA: "198.51.100.14"},
            "tencent": {AWS: "198.51.100.15"},
            "linode": {
                "/v1/token": "t",
                "/v1/network": '{"ipv4": {"public": ["198.51.100.16/32"]}}',
            },
        }
        for cloud, found in items.items():
            self.metadata.items = found
            server = self.make(base=None)
            getattr(server, f"setup_server_for_{cloud}")()
            self.start()
            self.assertAnnounced(
                f"{next(iter(found.values()))}:7200" if cloud != "linode" else "198.51.100.16:7200"
            )
            self.stop()

    def test_replaces(self):
        """
        Called before the start it replaces what C{DIARKIS_CLOUD_ENV} says, and its Deferred
        fires when the address is announced.
        """
        server = self.make("AWS")
        done = server.setup_server_for_gcp()
        self.assertNoResult(done)
        self.assertEqual(self.metadata.asked, [])
        self.start()
        self.successResultOf(done)
        self.assertAnnounced("198.51.100.2:7200")
        self.assertEqual(self.metadata.asked, [GCP])

    def test_replacesHost(self):
        """
        A host, too.
        """
        self.make(public_host="a.example").setup_server_for_gcp()
        self.start()
        self.assertAnnounced("198.51.100.2:7200")

    def test_wildcard(self):
        """
        It makes a bind to all interfaces legal, as an address that the application sets
        does.
        """
        self.make(address="0.0.0.0").setup_server_for_gcp()
        self.start()
        self.assertAnnounced("198.51.100.2:7200")
        self.stop()
        self.make(address="0.0.0.0").set_public_endpoint("a.example")
        self.start()
        self.assertAnnounced("a.example:7200")

    def test_onStart(self):
        """
        In on_start it is asked at once, and not again.
        """
        server = self.make("AWS")
        server.on_start(server.setup_server_for_gcp)
        self.start()
        self.assertAnnounced("198.51.100.2:7200")
        self.assertEqual(self.metadata.asked, [GCP])

    def test_onReady(self):
        """
        In on_ready, as in the Go doc, the node waits for it.
        """
        self.metadata.items[GCP] = Deferred
        server = self.make()
        server.on_ready(server.setup_server_for_gcp)
        self.start()
        self.assertIs(server.state, NodeState.STARTING)
        (link,) = self.reactor.links
        link.server.write(
            b"HTTP/1.1 200 X\r\nMetadata-Flavor: Google\r\nContent-Length: 7\r\n\r\n1.2.3.4"
        )
        self.reactor.pump()
        self.assertAnnounced("1.2.3.4:7200")

    def test_onReadyFails(self):
        """
        What fails there ends the process like any on_ready callback.
        """
        server = self.make()
        server.on_ready(server.setup_server_for_azure)
        self.start()
        self.assertEqual(self.stopped, [1])
        self.assertEqual(len(self.flushLoggedErrors(CloudError)), 1)
        self.assertIn("setup_server_for_azure failed: CloudError: AZURE: ", self.messages[-1])

    def test_later(self):
        """
        A serving node asks at once, tells the mesh, and lives on if that fails.
        """
        server = self.make()
        self.start()
        done = server.setup_server_for_gcp()
        self.reactor.pump()
        self.successResultOf(done)
        self.assertAnnounced("198.51.100.2:7200")
        done = server.setup_server_for_azure()
        self.reactor.pump()
        self.failureResultOf(done, CloudError)
        self.assertAnnounced("198.51.100.2:7200")
        self.assertEqual(self.stopped, [])

    def test_setByHand(self):
        """
        An address that the application sets replaces the look-up.
        """
        self.make("AWS").set_public_endpoint("a.example")
        self.start()
        self.assertAnnounced("a.example:7200")
        self.assertEqual(self.metadata.asked, [])

    def test_portByHand(self):
        """
        One with a port is for its kind, and the look-up for the others.
        """
        self.make("GCP").set_public_endpoint("a.example:17200")
        self.start()
        self.assertAnnounced("a.example:17200")
        self.assertEqual(self.metadata.asked, [GCP])

    def test_generic(self):
        """
        Generic asks the URL of the configuration, else a service on the internet.
        """
        self.metadata.items[GENERIC] = "198.51.100.9"
        self.make("AWS", node={"public_address_url": "http://b.example/ip"})
        self.server.setup_generic_cloud_server()
        self.start()
        self.assertAnnounced("198.51.100.9:7200")
        self.stop()
        self.metadata.items[urlsplit(WHAT_IS_MY_IP).path] = "198.51.100.10"
        self.make().setup_generic_cloud_server()
        self.start()
        self.assertAnnounced("198.51.100.10:7200")

    def test_failsBeforeStart(self):
        """
        The Deferred of a start that fails stays silent: the process ends with the reason.
        """
        self.metadata.items.clear()
        done = self.make().setup_server_for_gcp()
        self.start()
        self.assertEqual(self.stopped, [1])
        self.assertNoResult(done)


class RefreshTests(PublicAddressCase):
    """
    C{node.endpointRefresh}.
    """

    def serve(self, cloud="GCP", **node):
        self.updates = 0
        server = self.make(cloud, base=None, node={"endpoint_refresh": 60, **node})
        original = server._mesh.updated

        def updated():
            self.updates += 1
            original()

        self.patch(server._public_address, "_changed", updated)
        self.start()
        return server

    def test_changed(self):
        """
        A new address is announced, and the mesh is told; the same one is not news.
        """
        self.serve()
        self.assertEqual(self.updates, 1)
        self.reactor.advance(60)
        self.assertEqual(self.updates, 1)
        self.assertEqual(self.metadata.asked, [GCP, GCP])
        self.metadata.items[GCP] = "198.51.100.22"
        self.reactor.advance(60)
        self.assertAnnounced("198.51.100.22:7200")
        self.assertEqual(self.updates, 2)

    def test_fails(self):
        """
        A look-up that fails is logged, the address stays, and the next one counts.
        """
        self.serve()
        del self.metadata.items[GCP]
        self.reactor.advance(60)
        self.assertAnnounced("198.51.100.2:7200")
        (message,) = self.messages
        self.assertIn("stays 198.51.100.2: GCP: ", message)
        self.metadata.items[GCP] = "198.51.100.22"
        self.reactor.advance(60)
        self.assertAnnounced("198.51.100.22:7200")

    def test_hanging(self):
        """
        Look-ups do not pile up, and none outlives the node.
        """
        self.serve()
        self.metadata.items[GCP] = Deferred
        self.reactor.advance(62)
        self.server.service().terminate()
        self.reactor.advance(30)
        self.assertEqual(self.stopped, [0])
        self.assertFalse([link for link in self.reactor.links if link.open])

    def test_setByHand(self):
        """
        An address that the application has set since stays.
        """
        server = self.serve()
        server.set_public_endpoint("a.example")
        self.reactor.advance(120)
        self.assertAnnounced("a.example:7200")
        self.assertEqual(self.metadata.asked, [GCP])

    def test_explicit(self):
        """
        What was chosen explicitly is what is asked again.
        """
        server = self.serve()
        server.setup_server_for_aws()
        self.reactor.advance(60)
        self.assertEqual(self.metadata.asked[-1], AWS)

    def test_off(self):
        """
        By default nothing is asked again.
        """
        self.make("GCP")
        self.start()
        self.reactor.advance(86_400)
        self.assertEqual(self.metadata.asked, [GCP])

    def test_nothingToAsk(self):
        """
        With nobody to ask, a period of asking is an error.
        """
        for host in (None, "a.example"):
            self.make(public_host=host, node={"endpoint_refresh": 60})
            error = self.assertRaises(SystemExit, self.start)
            self.assertIn("node.endpointRefresh repeats the look-up", str(error))
            self.assertIsNot(self.server.state, NodeState.ONLINE)
            self.stop()

    def test_chosenWhenReady(self):
        """
        Whoever is asked for the first time in on_ready is asked again, too.
        """
        server = self.make(base=None, node={"endpoint_refresh": 60})
        server.on_ready(server.setup_server_for_gcp)
        self.start()
        self.reactor.advance(60)
        self.assertEqual(self.metadata.asked, [GCP, GCP])
        self.assertEqual(self.messages, [])

    def test_setInstead(self):
        """
        An address that is set for one machine wins over a file for many; that is said.
        """
        server = self.make("GCP", base=None, node={"endpoint_refresh": 60})
        server.set_public_endpoint("a.example")
        self.start()
        self.stop()
        node = {"endpoint_refresh": 60, "public_address_url": "http://b.example/ip"}
        self.make(public_host="a.example", base=None, node=node)
        self.start()
        self.assertEqual(self.metadata.asked, [])
        for message in self.messages:
            self.assertIn("node.endpointRefresh has no effect", message)
        self.assertEqual(len(self.messages), 2)


class DoubtTests(SynchronousTestCase):
    """
    What is announced and might not be reached.
    """

    def test_family(self):
        """
        An IPv6 address does not lead to a socket for IPv4.
        """
        self.assertEqual(doubts("2001:db8::1", ["::"]), [])
        self.assertEqual(doubts("198.51.100.7", ["::", "0.0.0.0"]), [])
        self.assertEqual(doubts("a.example", ["0.0.0.0"]), [])
        (sentence,) = doubts("2001:db8::1", ["0.0.0.0", "10.0.0.1", "0.0.0.0"])
        self.assertIn("0.0.0.0, 10.0.0.1 is bound", sentence)


class WildcardTests(PublicAddressCase):
    """
    All interfaces, and nobody says what clients connect to.
    """

    def test_refused(self):
        """
        The node does not start, and the sentence has the ways out.
        """
        self.make(address="0.0.0.0")
        error = self.assertRaises(SystemExit, self.service.startService)
        self.assertIsInstance(error, StartError)
        self.assertIn("DIARKIS_CLOUD_ENV=<host>", str(error))
        self.assertRaises(ConfigError, self.server.get_endpoint)
