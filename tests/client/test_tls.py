"""
Tests of L{diarkis_tw.client.tls}: whom the client believes, and what it says.
"""

from datetime import timedelta
from pathlib import Path

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from diarkis_tw.client import (
    ClientState,
    ConfigError,
    Disconnected,
    EndpointError,
    ask_endpoint,
    connect,
    connect_to,
    http_client,
)
from diarkis_tw.client.tls import ClientTls, tls_fault
from diarkis_tw.constants import CloseCode
from diarkis_tw.net.tls import ServerTls, ServerTlsFactory
from diarkis_tw.server import Server
from diarkis_tw.testing.certificates import DAY, Authority, Issued
from tests.client.scripted import ClientCase


class TlsClientCase(ClientCase):
    """
    A scripted server below TLS.
    """

    def setUp(self):
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = Authority()
        self.ca = self.authority.write(self.folder)

    def serve(self, issued):
        """
        Listen with a certificate.
        """
        # Unchecked, because some of these would not be let through.
        names = issued.write(self.folder)
        tls = ServerTls("TCP", *self.authority.issue("x").write(self.folder, "good"))
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(names[0])
        context.use_privatekey_file(names[1])
        tls._context = context
        self.tls = tls
        factory = ServerTlsFactory(tls, self.server, self.reactor)
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")

    def attempt(self, host="a.example", **options):
        options = {"ca": self.ca, **options}
        endpoint = self.endpoint(host=host, tls=True)
        connecting = connect_to(endpoint, "alice", reactor=self.reactor, **options)
        self.reactor.pump()
        return connecting

    def fault(self, issued, **options):
        """
        The sentence with which a certificate is refused.
        """
        self.serve(issued)
        error = self.refused(self.attempt(**options), Disconnected)
        self.assertIs(error.code, CloseCode.PROTOCOL)
        self.assertEqual([end.hello for end in self.server.ends], [None])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        return str(error)


class VerifyTests(TlsClientCase):
    """
    Certificates, good and bad. A refused server gets not even HELLO.
    """

    def test_good(self):
        """A certificate of the authority for the host is believed, with SNI."""
        self.serve(self.authority.issue("a.example"))
        asked = []
        self.tls._context.set_tlsext_servername_callback(
            lambda connection: asked.append(connection.get_servername())
        )
        self.assertIs(self.successResultOf(self.attempt()).state, ClientState.CONNECTED)
        self.assertEqual(asked, [b"a.example"])

    def test_names(self):
        """One of several names, a wildcard's, an address, an international name."""
        self.serve(self.authority.issue("x.example", "*.b.example", "::1", "xn--bcher-kva.example"))
        for host in ("x.example", "y.b.example", "::1", "bücher.example"):
            self.successResultOf(self.attempt(host))

    def test_address_without_name(self):
        """To an address no server name is sent."""
        self.serve(self.authority.issue("127.0.0.1"))
        asked = []
        self.tls._context.set_tlsext_servername_callback(
            lambda connection: asked.append(connection.get_servername())
        )
        self.successResultOf(self.attempt("127.0.0.1"))
        self.assertEqual(asked, [None])

    def test_chain(self):
        """An authority in between comes with the server's certificate."""
        self.serve(Authority("middle", above=self.authority).issue("a.example"))
        self.successResultOf(self.attempt())

    def test_incomplete_chain(self):
        """Without it the server is refused."""
        issued = Authority("middle", above=self.authority).issue("a.example")
        alone = issued.chain[: issued.chain.index(b"-----END") + len(b"-----END CERTIFICATE-----")]
        self.assertIn(
            f"not come from an authority in {self.ca}",
            self.fault(Issued(alone + b"\n", issued.key)),
        )

    def test_system(self):
        """Without C{ca} it is the system that says whom to trust, which is not this one."""
        text = self.fault(self.authority.issue("a.example"), ca=None)
        self.assertIn("no authority that this machine trusts", text)
        self.assertIn("--ca FILE", text)

    def test_self_signed_alone(self):
        """A server's own certificate vouches for itself only if it is the one named."""
        issued = Authority("a.example")
        self.assertIn("not come from", self.fault(issued.issue("a.example")))

    def test_wrong_host(self):
        """A certificate for others: the sentence names them."""
        text = self.fault(self.authority.issue("b.example", "127.0.0.2"))
        self.assertIn("is for b.example, 127.0.0.2, not for a.example", text)
        self.assertIn("DIARKIS_CLOUD_ENV", text)

    def test_wrong_address(self):
        """A name does not stand for an address, nor the common name for a name."""
        text = self.fault(self.authority.issue("localhost"), host="127.0.0.1")
        self.assertIn("is for localhost, not for 127.0.0.1", text)

    def test_no_names(self):
        """A certificate without names is for nobody."""
        text = self.fault(self.authority.issue(), host="a server for tests")
        self.assertIn("is for no host at all", text)

    def test_odd_hosts(self):
        """A host that can be none is not believed either."""
        self.serve(self.authority.issue("a.example"))
        for host in ("a..example", "é" * 70, "a b"):
            error = self.refused(self.attempt(host), Disconnected)
            self.assertIn("is for a.example, not for", str(error))

    def test_expired(self):
        """A certificate whose time is over."""
        text = self.fault(self.authority.issue("a.example", since=-2 * DAY, until=-DAY))
        self.assertIn("the server's certificate expired on 2", text)

    def test_early(self):
        """A certificate whose time has not come."""
        text = self.fault(self.authority.issue("a.example", since=timedelta(hours=1)))
        self.assertIn("is not valid before 2", text)
        self.assertIn("clock", text)

    def test_escapes(self):
        """What a certificate says cannot play with the terminal that shows it."""
        self.serve(self.authority.issue("b\x1b[2J.example"))
        text = str(self.refused(self.attempt("a\x1b[2J.example"), Disconnected))
        self.assertIn(r"is for b\x1b[2J.example, not for a\x1b[2J.example", text)

    def test_no_tls(self):
        """A server without TLS."""
        connecting = self.attempt()
        self.server.end.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.reactor.pump()
        error = self.refused(connecting, Disconnected)
        self.assertIs(error.code, CloseCode.PROTOCOL)
        self.assertIn("does not speak TLS", str(error))

    def test_old_server(self):
        """A server that knows old TLS only."""
        self.serve(self.authority.issue("a.example"))
        context = self.tls._context
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(SSL.TLS1_1_VERSION)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        error = self.refused(self.attempt(), Disconnected)
        self.assertIn("the TLS handshake failed", str(error))
        self.assertIn("TLS 1.2", str(error))

    def test_swallowed(self):
        """A handshake that does not come to an end is given up."""
        self.port = self.reactor.listenTCP(0, Factory.forProtocol(Protocol))
        connecting = self.attempt()
        self.reactor.advance(8)
        self.failureResultOf(connecting, Disconnected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_again(self):
        """A server that comes back with another's certificate is left for good."""
        self.serve(self.authority.issue("a.example"))
        client = self.watch(self.successResultOf(self.attempt()))
        other = Authority("another").issue("a.example").write(self.folder, "other")
        self.tls.load(*other)
        self.link.cut()
        self.reactor.advance(5)
        self.assertEqual(self.events, ["reconnecting", CloseCode.PROTOCOL])
        self.assertIs(client.state, ClientState.CLOSED)


class AuthorityFileTests(TlsClientCase):
    """
    The parameter C{ca}.
    """

    def test_several(self):
        """A file may have several authorities."""
        other = Authority("other")
        path = self.folder / "both.pem"
        path.write_bytes(other.pem + self.authority.pem)
        self.serve(self.authority.issue("a.example"))
        self.successResultOf(self.attempt(ca=path))

    def test_wrong(self):
        """A file that is none is refused before anything is sent, by both ways in."""
        empty = self.folder / "empty.pem"
        empty.write_text("")
        for path, words in ((self.folder / "no.pem", "No such file"), (empty, "no certificate")):
            for connecting in (
                self.attempt(ca=path),
                connect("https://a.example", "alice", ca=path, reactor=self.reactor),
            ):
                text = str(self.refused(connecting, ConfigError))
                self.assertIn(f"ca {path}: ", text)
                self.assertIn(words, text)
        self.assertEqual(self.server.ends, [])

    def test_others(self):
        """What TLS has no part in is not explained by it."""
        self.assertIsNone(tls_fault(ValueError("x")))
        self.assertIsNone(tls_fault(None))


class HttpsTests(TestCase):
    """
    The endpoint API over https, on real sockets, to its answer and beyond.
    """

    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = Authority()
        self.ca = self.authority.write(self.folder)
        names = self.authority.issue("localhost", "127.0.0.1").write(self.folder)
        keys = {"port": 0, "tlsCertificate": names[0], "tlsPrivateKey": names[1]}
        self.server = Server(reactor)
        self.server.setup_as_tcp_server(keys)
        self.server.setup_as_http_server(keys)
        self.server.handle_command(2, 10, lambda ver, cmd, payload, user: payload)
        service = self.server.service()
        service.startService()
        self.addCleanup(service.stopService)
        self.http = self.server.bound_addresses()["HTTP"][1]

    def url(self, host="127.0.0.1"):
        return f"https://{host}:{self.http}"

    async def fault(self, url, tls):
        asking = ask_endpoint(http_client(reactor, tls), reactor, url, "alice", "TCP")
        error = await self.assertFailure(Deferred.fromCoroutine(asking), EndpointError)
        return str(error)

    async def test_all(self):
        """Both the API and the connection are verified, and serve."""
        for host in ("127.0.0.1", "localhost"):
            client = await connect(self.url(host), "alice", ca=self.ca)
            self.assertTrue(client.endpoint.tls)
            payload = bytes(range(256)) * 30
            self.assertEqual(await client.request(2, 10, payload), payload)
            await client.close()

    async def test_refused(self):
        """The wrong authority or host is an error with the sentence."""
        text = await self.fault(self.url(), ClientTls())
        self.assertIn(f"cannot ask the endpoint API at {self.url()}: ", text)
        self.assertIn("no authority that this machine trusts", text)
        names = self.authority.issue("b.example").write(self.folder, "b")
        self.server.tls()["HTTP"].load(*names)
        text = await self.fault(self.url(), ClientTls(self.ca))
        self.assertIn("is for b.example, not for 127.0.0.1", text)

    async def test_plain_client(self):
        """http to a port of https ends soon."""
        url = self.url().replace("https", "http")
        self.assertIn("connection was lost", await self.fault(url, None))

    async def test_plain_server(self):
        """https to a port without TLS says so."""

        class Chatty(Protocol):
            def dataReceived(self, data):
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()

        port = reactor.listenTCP(0, Factory.forProtocol(Chatty), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"https://127.0.0.1:{port.getHost().port}"
        self.assertIn("does not speak TLS", await self.fault(url, None))
