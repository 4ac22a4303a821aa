"""
The client against the real server over UDP, both in memory.
"""

from diarkis_tw.client import ClientState, ServerType, connect, connect_to
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor, Nat, RoughPath
from tests.client.real_server import URL, AnyTransport, RealServerCase

ADDRESS = ("127.0.0.1", 7100)


class UdpRealServerTests(AnyTransport, RealServerCase):
    """
    UDP.
    """

    type = ServerType.UDP
    make_reactor = LoopbackUdpReactor
    wait = 2

    def listen(self, **options):
        self.server.setup_as_udp_server({"port": ADDRESS[1], **options})

    def restart(self, **options):
        """
        Stop the server, and start one with other options.
        """
        self.stop()
        self.start(**options)

    def test_commands(self):
        """Commands are answered: reliable and not, one packet and many, with both kinds of keys."""
        for forward_secrecy in (True, False):
            client = self.connect(forward_secrecy=forward_secrecy)
            for size, reliable in ((0, True), (1128, False), (5000, True), (65536, True)):
                payload = bytes(range(256)) * (size // 256 + 1)
                payload = payload[:size]
                asking = client.request(2, 10, payload, reliable=reliable)
                self.assertEqual(self.answer(asking, 1), payload)
            self.answer(client.close(), 1)
        self.assertEqual(self.events, [CloseCode.NORMAL] * 2)
        self.assertEqual(self.left, ["alice"] * 2)

    def test_integrity_only(self):
        """Without encryption everything works, and messages are legible on the wire."""
        self.stop()
        self.server = Server(self.reactor)
        self.server.setup_as_udp_server({"port": ADDRESS[1], "enableEncryption": False})
        self.server.setup_as_http_server({"port": 7000, "enableEncryption": False})
        self.server.handle_command(2, 10, self.echo)
        self.service = self.server.service()
        self.service.startService()
        client = self.connect()
        self.assertEqual(self.answer(client.request(2, 10, b"legible"), 1), b"legible")
        self.assertTrue(any(b"legible" in d.data for d in self.reactor.sent))

    def test_forward_secrecy_required(self):
        """A client that offers no forward secrecy where it is required is told so."""
        self.restart(forwardSecrecy="required")
        connecting = connect(
            URL, "bob", type=ServerType.UDP, forward_secrecy=False, reactor=self.reactor
        )
        self.reactor.advance(2)
        self.assertEqual(self.failureResultOf(connecting).value.code, CloseCode.FORWARD_SECRECY)
        self.connect()

    def test_public_address(self):
        """With enableP2P the client learns its public address, without it not."""
        for enabled, address in ((True, "192.0.2.1:1024"), (False, None)):
            self.restart(enableP2P=enabled)
            self.reactor.hops[:] = [Nat(ADDRESS)]
            client = self.connect()
            self.assertEqual(client.public_address, address)
            self.answer(client.close(), 1)

    def test_rough_path(self):
        """At 30 % loss, 10 % duplication and 5 % reordering all reliable arrives once, in order."""
        rough = RoughPath(11, delay=0.03, loss=0.3, duplication=0.1, reordering=0.05)
        self.reactor.hops.append(rough)
        client = self.connect(wait=5)
        answers = [client.request(2, 10, b"%d" % n, 60) for n in range(500)]
        self.reactor.advance(50)
        want = [b"%d" % number for number in range(500)]
        self.assertEqual([self.successResultOf(answer) for answer in answers], want)
        self.assertEqual((self.heard, self.events), (want, []))

    def test_rebinding(self):
        """A client whose address changes each second under loss loses no reliable message."""
        nat = Nat(ADDRESS)
        self.reactor.hops += [nat, RoughPath(5, delay=0.02, loss=0.1)]
        client = self.connect()
        want = [b"%d" % number for number in range(80)]
        for number, payload in enumerate(want):
            if number % 10 == 9:
                nat.rebind()
            client.send(2, 10, payload)
            self.reactor.advance(0.11)
        self.reactor.advance(10)
        self.assertEqual((self.heard, self.events), (want, []))

    def test_black_hole(self):
        """After a black hole the client comes back, and gets what the server kept."""
        client = self.connect()
        pushes = []
        client.on_push(2, 20, pushes.append)
        self.answer(client.request(2, 10, b""))
        self.reactor.hops.append(lambda datagram: ())
        self.reactor.advance(13)
        self.assertEqual(self.events, ["reconnecting"])
        self.users["alice"].server_push(2, 20, b"kept")
        answer = client.request(2, 10, b"waited", 60)
        self.reactor.hops.clear()
        self.assertEqual(self.answer(answer, 8), b"waited")
        self.assertEqual((pushes, self.events), ([b"kept"], ["reconnecting", "reconnected"]))
        self.assertEqual(self.left, [])

    def test_restarted(self):
        """A client that goes on sending to a server that was restarted is terminated: UNKNOWN."""
        client = self.connect()
        self.crash()
        self.start()
        for _ in range(19):
            client.send(2, 10, b"x")
            self.reactor.advance(0.1)
        self.assertEqual(self.events, [])
        self.reactor.advance(0.2)
        self.assertEqual((self.events, client.state), ([CloseCode.UNKNOWN], ClientState.CLOSED))
        self.assertEqual(self.heard, [])

    def test_forgotten(self):
        """A connection that the server has given up is terminated by the next packet's RESET."""
        client = self.connect()
        server = self.reactor.udp_ports[ADDRESS].protocol
        server._connections.clear()
        client.send(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.events, [CloseCode.UNKNOWN])

    def crash(self):
        """
        The process ends without a word.
        """
        service = self.service
        del self.reactor.udp_ports[ADDRESS]
        del self.reactor.ports[7000]
        self.addCleanup(service.stopService)

    def test_same_session_twice(self):
        """A second connection with the same keys replaces the first once it is confirmed."""
        client = self.connect()
        second = connect_to(client.endpoint, "alice", reactor=self.reactor)
        self.reactor.advance(1)
        self.successResultOf(second)
        self.assertEqual(self.events, [CloseCode.REPLACED])

    def test_leaves_at_once(self):
        """A client that closes is forgotten at once, and nothing is left of it."""
        client = self.connect()
        self.answer(client.close(), 0.5)
        self.assertEqual((self.left, self.server.users.ccu()), (["alice"], 0))
        self.assertEqual(list(self.reactor.udp_ports), [ADDRESS])
