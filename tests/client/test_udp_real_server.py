"""
The client against the real server over UDP, both in memory.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import ClientState, ServerType, connect, connect_to
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor, Nat, RoughPath

URL = "http://127.0.0.1:7000"
ADDRESS = ("127.0.0.1", 7100)


class UdpRealServerTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = LoopbackUdpReactor()
        self.users = {}
        self.heard = []
        self.events = []
        self.left = []
        self.addCleanup(self.stop)

    def start(self, **settings):
        self.server = Server(self.reactor)
        self.server.setup_as_udp_server({"port": ADDRESS[1], **settings})
        self.server.setup_as_http_server({"port": 7000})
        self.server.handle_command(2, 10, self.echo)
        self.server.on_disconnect(lambda sid, user: self.left.append(user.uid))
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()

    def stop(self):
        stopping = self.service.stopService()
        self.reactor.advance(40)
        self.successResultOf(stopping)

    def echo(self, ver, cmd, payload, user):
        self.users[user.uid] = user
        self.heard.append(payload)
        return payload

    def connect(self, uid="alice", wait=2, **options):
        connecting = connect(URL, uid, type=ServerType.UDP, reactor=self.reactor, **options)
        self.reactor.advance(wait)
        client = self.successResultOf(connecting)
        client.on_reconnecting(lambda: self.events.append("reconnecting"))
        client.on_reconnected(lambda: self.events.append("reconnected"))
        client.on_disconnected(self.events.append)
        return client

    def answer(self, asking, seconds=0.0):
        self.reactor.advance(seconds)
        return self.successResultOf(asking)

    def test_commands(self):
        """Commands are answered: reliable and not, one packet and many, with both kinds of keys."""
        self.start()
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
        self.start(forwardSecrecy="required")
        connecting = connect(
            URL, "bob", type=ServerType.UDP, forward_secrecy=False, reactor=self.reactor
        )
        self.reactor.advance(2)
        self.assertEqual(self.failureResultOf(connecting).value.code, CloseCode.FORWARD_SECRECY)
        self.connect()

    def test_stays(self):
        """A client that has nothing to say stays, by keep-alive alone."""
        self.start()
        client = self.connect()
        self.reactor.advance(300)
        self.assertEqual((client.state, self.events), (ClientState.CONNECTED, []))

    def test_public_address(self):
        """With enableP2P the client learns its public address, without it not."""
        for enabled, address in ((True, "192.0.2.1:1024"), (False, None)):
            self.start(enableP2P=enabled)
            self.reactor.hops[:] = [Nat(ADDRESS)]
            client = self.connect()
            self.assertEqual(client.public_address, address)
            self.answer(client.close(), 1)
            self.stop()
        self.start()

    def test_rough_path(self):
        """At 30 % loss, 10 % duplication and 5 % reordering all reliable arrives once, in order."""
        self.start()
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
        self.start()
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
        self.start()
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
        self.start()
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
        self.start()
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

    def test_replaced(self):
        """A second connection of a uid ends the first, which does not come back."""
        self.start()
        self.connect()
        self.connect()
        self.reactor.advance(30)
        self.assertEqual(self.events, [CloseCode.REPLACED])

    def test_same_session_twice(self):
        """A second connection with the same keys replaces the first once it is confirmed."""
        self.start()
        client = self.connect()
        second = connect_to(client.endpoint, "alice", reactor=self.reactor)
        self.reactor.advance(1)
        self.successResultOf(second)
        self.assertEqual(self.events, [CloseCode.REPLACED])

    def test_kicked(self):
        """A user whom the application disconnects is told, and does not come back."""
        self.start()
        client = self.connect()
        self.answer(client.request(2, 10, b""))
        self.users["alice"].disconnect()
        self.reactor.advance(30)
        self.assertEqual(self.events, [CloseCode.KICKED])

    def test_server_stops(self):
        """A server that stops ends the client with SERVER_OFFLINE."""
        self.start()
        self.connect()
        self.stop()
        self.assertEqual(self.events, [CloseCode.SERVER_OFFLINE])

    def test_leaves_at_once(self):
        """A client that closes is forgotten at once, and nothing is left of it."""
        self.start()
        client = self.connect()
        self.answer(client.close(), 0.5)
        self.assertEqual((self.left, self.server.users.ccu()), (["alice"], 0))
        self.assertEqual(list(self.reactor.udp_ports), [ADDRESS])
