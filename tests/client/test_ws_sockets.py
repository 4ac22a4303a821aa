"""
The client over WebSocket on real sockets. Trial sees to it that nothing is left in the
reactor.
"""

from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from diarkis_tw.client import Disconnected, Endpoint, ServerType, connect_to
from diarkis_tw.constants import CloseCode
from diarkis_tw.server import Server
from diarkis_tw.testing.certificates import Authority


class SocketTests(TestCase):
    timeout = 30
    ca = None

    def setUp(self):
        server = self.server = Server(reactor)
        server.setup_as_websocket_server({"port": 0, "maxRcvSize": 200_000, **self.tls()})
        server.handle_command(2, 10, lambda ver, cmd, payload, user: payload)
        server.service().startService()
        self.addCleanup(server.service().stopService)

    def tls(self):
        return {}

    async def connect(self, binary, uid="alice", ca=None):
        host, port = self.server.bound_addresses()["WS"]
        keys = self.server.users.create(uid, "WS", {}).keys
        endpoint = Endpoint(ServerType.WS, host, port, keys, tls=bool(self.tls()))
        return await connect_to(endpoint, uid, binary=binary, ca=ca or self.ca, reactor=reactor)

    def test_echo(self):
        """Small and large messages come back whole, with both subprotocols at once."""

        async def talk():
            texts, records = await self.connect(False), await self.connect(True, "bob")
            for client in (texts, records):
                self.assertEqual(await client.request(2, 10, b"small"), b"small")
                large = bytes(range(256)) * 500
                self.assertEqual(await client.request(2, 10, large), large)
            self.assertLess(await texts.ping(), 5)
            await texts.close()
            await records.close()
            self.assertEqual(self.server.users.ccu(), 0)

        return Deferred.fromCoroutine(talk())

    def test_lost(self):
        """A connection that is cut is made again."""

        async def talk():
            for binary in (False, True):
                client = await self.connect(binary)
                mended = Deferred()
                client.on_reconnected(lambda mended=mended: mended.callback(None))
                client._transport._socket.abort()
                await mended
                self.assertEqual(await client.request(2, 10, b"x"), b"x")
                await client.close()

        return Deferred.fromCoroutine(talk())

    def test_kicked(self):
        """A user whom the server puts out is told why."""

        async def talk():
            for binary in (False, True):
                client = await self.connect(binary)
                await client.request(2, 10)
                ended = Deferred()
                client.on_disconnected(ended.callback)
                next(iter(self.server.users)).disconnect()
                self.assertEqual(await ended, CloseCode.KICKED)
                await client.close()

        return Deferred.fromCoroutine(talk())


class TlsSocketTests(SocketTests):
    """
    The same over TLS.
    """

    def setUp(self):
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority()
        self.ca = authority.write(folder)
        self.files = authority.issue("127.0.0.1").write(folder)
        self.other = Authority().write(folder, "other")
        super().setUp()

    def tls(self):
        return dict(zip(("tlsCertificate", "tlsPrivateKey"), self.files, strict=True))

    def test_wrong_authority(self):
        """A server of another authority is refused, and learns nothing of the session."""

        async def talk():
            for binary in (False, True):
                with self.assertRaisesRegex(Disconnected, "does not come from an authority in"):
                    await self.connect(binary, ca=self.other)
            self.assertEqual(self.server.users.ccu(), 0)

        return Deferred.fromCoroutine(talk())
