"""
C{enableEncryption}, from the settings to what is on the wire.
"""

from dataclasses import replace

from diarkis_tw.client import Disconnected
from diarkis_tw.constants import CloseCode, ServerType
from tests.server.whole import WholeCase

SECRET = b"the cake is a lie"
OFF = {"enableEncryption": False}


class EncryptionTests(WholeCase):
    """
    Servers and clients of both kinds.
    """

    def legible(self) -> bool:
        """
        Whether somebody on the way can read what is said.
        """
        client = self.client()
        wire: list[bytes] = []
        for link in self.links():
            for end in (link.client, link.server):
                vars(end)["write"] = self.tapped(wire, end.write)
        self.assertEqual(self.echo(client, SECRET), SECRET)
        wire += [datagram.data for datagram in self.reactor.sent]
        return any(SECRET in data for data in wire)

    def tapped(self, wire: list[bytes], write: object) -> object:
        """
        A C{write} that notes what is written.
        """

        def tap(data: bytes) -> None:
            wire.append(data)
            write(data)  # type: ignore[operator]

        return tap

    def test_on(self) -> None:
        """
        By default nothing can be read on the way.
        """
        self.serve()
        self.assertFalse(self.legible())

    def test_off(self) -> None:
        """
        Switched off everywhere everything works, and can be read.
        """
        self.prepare(OFF, OFF)
        self.start()
        self.assertTrue(self.legible())
        self.reactor.advance(60)
        self.assertEqual(self.left, [])

    def test_refused_at_start(self) -> None:
        """
        A section that differs keeps the server from starting, in a sentence that names both.
        """
        for game, http in ((OFF, {}), ({}, OFF)):
            self.setUp()
            self.prepare(game, http)
            refusal = str(self.assertRaises(SystemExit, self.service.startService))
            for word in ("enableEncryption", self.kind.value, "HTTP", "Make them equal"):
                self.assertIn(word, refusal)

    def test_refused_at_connecting(self) -> None:
        """
        A client that was told otherwise is refused with ENCRYPTION at once, not met with silence;
        told rightly it comes in.
        """
        for keys in ({}, OFF):
            self.setUp()
            self.prepare(keys, keys)
            self.start()
            endpoint = self.endpoint()
            wrong = replace(endpoint, encryption=not endpoint.encryption)
            refusal = self.failureResultOf(self.entering(wrong), Disconnected).value
            self.assertIs(refusal.code, CloseCode.ENCRYPTION)
            self.assertIn("ENCRYPTION", str(refusal))
            self.successResultOf(self.entering(endpoint))
            self.stop()


class UdpEncryptionTests(EncryptionTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP
