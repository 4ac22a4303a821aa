"""
Tests of L{diarkis_tw.connector.external}: what the external server says, and what
the node becomes.
"""

from twisted.logger import LogLevel, capturedLogs

from diarkis_tw.config.settings import ConnectorSettings, NodeSettings, TcpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.errors import ConfigError
from tests.connector.case import PORT, ConnectorCase

ONLINE, TAKEN, OFFLINE = NodeState.ONLINE, NodeState.TAKEN, NodeState.OFFLINE


class LifeTests(ConnectorCase):
    """
    A life in order.
    """

    def test_life(self) -> None:
        """
        OFFLINE, port, ready = ONLINE, allocate = TAKEN, ready = ONLINE, shutdown = OFFLINE.
        """
        self.assertState(OFFLINE)
        self.say("port")
        self.assertState(OFFLINE)
        self.say("ready")
        self.assertState(ONLINE)
        self.be_well(3, ccu=2)
        self.say("allocate")
        self.assertState(TAKEN)
        self.be_well(3, ccu=2)
        self.assertState(TAKEN)
        self.say("ready")
        self.assertState(ONLINE)
        self.say("shutdown")
        self.assertState(OFFLINE)
        self.assertEqual(self.ended, [])

    def test_nextLife(self) -> None:
        """
        After a shutdown the node waits for another server, on any port.
        """
        self.be_ready()
        self.say("shutdown")
        self.say("port", 8888)
        self.say("ready", 8888)
        self.assertState(ONLINE)
        self.assertEqual(self.endpoint().json()["serverPort"], 8888)

    def test_repeated(self) -> None:
        """
        Saying ready or allocate again changes nothing.
        """
        self.say("port")
        for _ in range(2):
            self.say("ready")
            self.assertState(ONLINE)
        for _ in range(2):
            self.say("allocate")
            self.assertState(TAKEN)

    def test_ccu(self) -> None:
        """
        Players of the health report are those of the node, until they are gone.
        """
        self.be_ready()

        def ccu() -> int:
            (node,) = self.server._mesh.nodes()
            return node.ccu

        self.assertEqual(ccu(), 0)
        self.say("health", ccu=7)
        self.assertEqual(ccu(), 7)
        self.say("health", ccu=3)
        self.assertEqual(ccu(), 3)
        self.say("shutdown")
        self.assertEqual(ccu(), 0)

    def test_sharedNode(self) -> None:
        """
        A node has one state: with a connector its own transports wait for ready, too.
        """
        self.serve(tcp=TcpSettings())
        self.assertEqual(self.endpoint("TCP").status, 503)
        self.be_ready()
        self.assertEqual(self.endpoint("TCP").json()["serverPort"], 7200)
        self.assertEqual(self.endpoint().json()["serverPort"], PORT)

    def test_operatorOffline(self) -> None:
        """
        A node that the operator takes OFFLINE stays so, whatever its server's health.
        """
        self.be_ready()
        self.server.offline()
        self.be_well(2)
        self.advance(10)
        self.say("health", ccu=0)
        self.assertState(OFFLINE)


class OrderTests(ConnectorCase):
    """
    What is said too early, or by somebody else.
    """

    def test_beforePort(self) -> None:
        """
        Nothing may be said before port.
        """
        for name in ("ready", "health", "allocate", "shutdown"):
            body = {"port": PORT} | ({"ccu": 0} if name == "health" else {})
            self.assertRefused(self.post(name, body), 409, "no_port", "call port")
        self.assertState(OFFLINE)

    def test_afterShutdown(self) -> None:
        """
        After shutdown the server is unknown.
        """
        self.be_ready()
        self.say("shutdown")
        self.assertRefused(self.post("ready", {"port": PORT}), 409, "no_port")
        self.assertState(OFFLINE)

    def test_allocateBeforeReady(self) -> None:
        """
        Nobody can be full before having been ready.
        """
        self.say("port")
        self.assertRefused(self.post("allocate", {"port": PORT}), 409, "not_ready", "ready")
        self.assertState(OFFLINE)

    def test_somebodyElse(self) -> None:
        """
        Who names another port is refused, and no sign of life.
        """
        self.be_ready()
        for _ in range(10):
            for name in ("ready", "health", "allocate", "shutdown"):
                body = {"port": 8888} | ({"ccu": 0} if name == "health" else {})
                self.assertRefused(self.post(name, body), 409, "other_port", "7777", "8888")
            self.assertState(ONLINE)
            self.advance(1)
        self.assertState(OFFLINE)

    def test_busy(self) -> None:
        """
        A second server does not push out one that is ready or allocated.
        """
        self.be_ready()
        for body in ({"port": 8888}, {"from": 8888}, {"from": PORT}):
            self.assertRefused(self.post("port", body), 409, "busy", "7777", "shutdown")
        self.say("allocate")
        self.assertRefused(self.post("port", {"port": 8888}), 409, "busy")
        self.assertState(TAKEN)

    def test_notReadyYet(self) -> None:
        """
        Before ready the port may change: it could not be bound, say.
        """
        self.say("port")
        self.say("port", 7778)
        self.assertRefused(self.post("ready", {"port": PORT}), 409, "other_port")
        self.say("ready", 7778)
        self.assertState(ONLINE)

    def test_restarted(self) -> None:
        """
        A server that comes back on its port begins anew, at once.
        """
        self.be_ready()
        self.say("health", ccu=5)
        self.say("allocate")
        self.assertEqual(self.say("port")["ccu"], 0)
        self.assertState(OFFLINE)
        self.assertRefused(self.post("allocate", {"port": PORT}), 409, "not_ready")
        self.say("ready")
        self.assertState(ONLINE)


class SilenceTests(ConnectorCase):
    """
    A server that reports no health.
    """

    def warnings(self, seconds: int) -> int:
        """
        Let time pass and count what is warned of.
        """
        with capturedLogs() as logs:
            self.advance(seconds)
        return sum(event["log_level"] is LogLevel.warn for event in logs)

    def test_ttl(self) -> None:
        """
        OFFLINE after connectionTTL, not before; logged once; back when it reports.
        """
        self.be_ready()
        self.assertEqual(self.warnings(9), 0)
        self.assertState(ONLINE)
        self.assertEqual(self.warnings(1), 1)
        self.assertState(OFFLINE)
        self.assertEqual(self.warnings(60), 0)
        self.say("health", ccu=0)
        self.assertState(ONLINE)

    def test_setting(self) -> None:
        """
        C{connectionTTL} says how long.
        """
        self.serve(ConnectorSettings(connection_ttl=60))
        self.be_ready()
        self.advance(59)
        self.assertState(ONLINE)
        self.advance(1)
        self.assertState(OFFLINE)

    def test_reports(self) -> None:
        """
        Each report counts anew, and so does each other call.
        """
        self.be_ready()
        for _ in range(3):
            self.advance(9)
            self.assertState(ONLINE)
            self.say("health", ccu=0)
        self.say("allocate")
        for _ in range(3):
            self.advance(9)
            self.assertState(TAKEN)
            self.say("allocate")

    def test_silentAgain(self) -> None:
        """
        Every silence is reported.
        """
        self.be_ready()
        for _ in range(3):
            self.assertEqual(self.warnings(15), 1)
            self.assertState(OFFLINE)
            self.say("health", ccu=0)
            self.assertState(ONLINE)

    def test_allocated(self) -> None:
        """
        A server that was full comes back full.
        """
        self.be_ready()
        self.say("allocate")
        self.advance(10)
        self.assertState(OFFLINE)
        self.say("health", ccu=2)
        self.assertState(TAKEN)

    def test_neverReady(self) -> None:
        """
        A report does not make anybody ready who was not.
        """
        self.say("port")
        self.assertEqual(self.warnings(10), 1)
        self.say("health", ccu=0)
        self.assertState(OFFLINE)

    def test_players(self) -> None:
        """
        While it is silent its players do not count, and the endpoint API sends nobody.
        """
        self.be_ready()
        self.say("health", ccu=4)
        self.advance(10)
        (node,) = self.server._mesh.nodes()
        self.assertEqual(node.ccu, 0)
        self.assertRefused(self.endpoint(), 503, "no_node", "OFFLINE")

    def test_another(self) -> None:
        """
        Another server may take the place of a silent one, who is then a stranger.
        """
        self.be_ready()
        self.advance(10)
        self.say("port", 8888)
        self.say("ready", 8888)
        late = self.post("health", {"port": PORT, "ccu": 1})
        self.assertRefused(late, 409, "other_port", "8888")
        self.assertEqual(self.endpoint().json()["serverPort"], 8888)

    def test_restarted(self) -> None:
        """
        The same server, started again, is ONLINE once it is ready.
        """
        self.be_ready()
        self.advance(10)
        self.say("port")
        self.assertState(OFFLINE)
        self.say("ready")
        self.assertState(ONLINE)


class EndTests(ConnectorCase):
    """
    The end of the node.
    """

    def test_empty(self) -> None:
        """
        A node whose server has no players ends at once.
        """
        self.be_ready()
        self.service.terminate()
        self.assertEqual(self.ended, [0])

    def test_players(self) -> None:
        """
        Players of the server are waited for; it is told, and nobody is sent to it.
        """
        self.be_ready()
        self.say("health", ccu=2)
        self.service.terminate()
        self.assertState(OFFLINE)
        self.assertIs(self.say("health", ccu=1)["stopping"], True)
        self.assertEqual(self.endpoint().status, 503)
        self.assertEqual(self.ended, [])
        self.say("health", ccu=0)
        self.assertEqual(self.ended, [0])

    def test_shutdownWhileStopping(self) -> None:
        """
        A server that shuts down has no players, even if it asks for the end of the node again.
        """
        self.be_ready()
        self.say("health", ccu=2)
        self.service.terminate()
        self.say("shutdown", endNode=True)
        self.assertEqual(self.ended, [0])

    def test_timeout(self) -> None:
        """
        They are waited for at most C{shutdownTimeout}.
        """
        self.serve(ConnectorSettings(connection_ttl=60))
        self.be_ready()
        self.say("health", ccu=2)
        with capturedLogs() as logs:
            self.service.terminate()
            self.advance(9)
            self.assertEqual(self.ended, [])
            self.advance(1)
        self.assertEqual(self.ended, [0])
        self.assertIn("did not leave", " ".join(str(event.get("log_format")) for event in logs))

    def test_silent(self) -> None:
        """
        A server that goes silent is not waited for.
        """
        self.serve(node=NodeSettings(shutdown_timeout=60))
        self.be_ready()
        self.say("health", ccu=2)
        self.service.terminate()
        self.advance(9)
        self.assertEqual(self.ended, [])
        self.advance(1)
        self.assertEqual(self.ended, [0])

    def test_stopsAtOnce(self) -> None:
        """
        A service that is stopped while it waits, waits no more and leaves no timer.
        """
        self.be_ready()
        self.say("health", ccu=2)
        self.service.terminate()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_noReturn(self) -> None:
        """
        A node that stops takes no server and becomes no other state.
        """
        self.be_ready()
        self.say("health", ccu=2)
        self.service.terminate()
        for name in ("port", "ready"):
            self.assertRefused(self.post(name, {"port": PORT}), 503, "stopping")
        self.say("allocate")
        self.assertState(OFFLINE)
        self.say("health", ccu=2)
        self.advance(3)
        self.assertState(OFFLINE)

    def test_endNode(self) -> None:
        """
        With C{endNode} the node ends, too, and the server gets its answer.
        """
        self.be_ready()
        self.say("health", ccu=2)
        answer = self.say("shutdown", endNode=True)
        self.assertEqual((answer["state"], answer["stopping"]), ("OFFLINE", True))
        self.assertEqual(self.ended, [0])


class EndpointTests(ConnectorCase):
    """
    What players are told.
    """

    def test_form(self) -> None:
        """
        Address and transport, protocol 0, no key of ours, and no user for it.
        """
        self.be_ready()
        self.assertEqual(
            self.endpoint().json(),
            {
                "serverType": "CONNECTOR",
                "serverHost": "127.0.0.1",
                "serverPort": PORT,
                "transport": "UDP",
                "protocol": 0,
            },
        )
        self.assertEqual(self.server.users._by_sid, {})

    def test_v1(self) -> None:
        """
        The older form has host and port in one.
        """
        self.be_ready()
        found = self.endpoint(ResponseVersion="v1").json()
        expected = {"CONNECTOR": f"127.0.0.1:{PORT}", "transport": "UDP", "protocol": 0}
        self.assertEqual(found, expected)

    def test_post(self) -> None:
        """
        Data of a user is checked as ever, and kept by nobody.
        """
        self.be_ready()
        path = "/endpoint/type/connector/user/alice"
        self.assertEqual(self.ask(path, "POST", b'{"a":1}', section="HTTP").status, 200)
        self.assertEqual(self.ask(path, "POST", b"[]", section="HTTP").status, 400)

    def test_clientKey(self) -> None:
        """
        The client key guards it, too.
        """
        self.serve(client_key="k")
        self.be_ready()
        self.assertRefused(self.endpoint(), 401, "client_key")
        self.assertEqual(self.endpoint(ClientKey="k").status, 200)

    def test_states(self) -> None:
        """
        Nobody is sent there unless the node is ONLINE.
        """
        self.assertRefused(self.endpoint(), 503, "no_node")
        self.say("port")
        self.assertRefused(self.endpoint(), 503, "no_node", "OFFLINE")
        self.say("ready")
        self.assertEqual(self.endpoint().status, 200)
        self.say("allocate")
        self.assertRefused(self.endpoint(), 503, "no_node", "TAKEN")
        self.say("shutdown")
        self.assertRefused(self.endpoint(), 503, "no_node")

    def test_type(self) -> None:
        """
        C{node.type} takes the place of CONNECTOR.
        """
        self.serve(node=NodeSettings(type="Match"))
        self.be_ready()
        self.assertEqual(self.endpoint("Match").json()["serverType"], "Match")
        self.assertRefused(self.endpoint(), 503, "no_node")

    def test_publicHost(self) -> None:
        """
        The public host of the node is that of the server, with the server's port.
        """
        self.serve(public_host="198.51.100.7")
        self.assertEqual(self.ask("/connector/v1/address").json()["host"], "198.51.100.7")
        self.be_ready()
        found = self.endpoint().json()
        self.assertEqual((found["serverHost"], found["serverPort"]), ("198.51.100.7", PORT))
        self.server.set_public_endpoint("game.example.com")
        self.assertEqual(self.endpoint().json()["serverHost"], "game.example.com")
        self.assertEqual(self.server.get_endpoint(), f"game.example.com:{PORT}")

    def test_publicPort(self) -> None:
        """
        The port is the server's own: only a host can be announced.
        """
        error = self.assertRaises(ConfigError, self.server.set_public_endpoint, "a.example:1")
        self.assertIn("host alone", str(error))

    def test_noEndpoint(self) -> None:
        """
        Without a registered server there is no endpoint to get.
        """
        error = self.assertRaises(ConfigError, self.server.get_endpoint)
        self.assertIn("registered", str(error))
