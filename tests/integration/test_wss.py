"""
WebSocket over TLS with real processes: wss, and https before it.
"""

import json
import signal
import socket
import ssl

from diarkis_tw.testing.certificates import Authority
from tests.integration.process import PATIENCE, Process
from tests.integration.test_tls import TlsCase
from tests.integration.test_ws import WsPlayer
from tests.transports.ws_client import BINARY, CLOSE, frame


class WssTests(TlsCase):
    """
    One authority for all.
    """

    def setUp(self) -> None:
        super().setUp()
        self.config["WS"] = self.config.pop("TCP")
        self.save()

    def ws_client(self, url: str, *options: str) -> tuple[int, str]:
        """
        Run the command line's client.

        @return: its exit status and what it printed.
        """
        done = self.client(url, "--type", "ws", *options)
        return done.returncode, done.stdout

    def ws_player(self, url: str, uid: str) -> WsPlayer:
        """
        Have a player log in and connect.
        """
        endpoint = self.ask(f"{url}/endpoint/type/WS/user/{uid}")
        self.assertIs(endpoint["tls"], True)
        player = WsPlayer(endpoint, ca=self.ca)
        self.addCleanup(player.socket.close)
        player.enter()
        return player

    def reload(self, process: Process) -> None:
        """
        Give the server another certificate.
        """
        self.issue()
        before = process.output().count("WS has a new certificate")
        process.signal(signal.SIGHUP)
        process.until(lambda: process.output().count("WS has a new certificate") > before)

    def test_client(self) -> None:
        """
        C{diarkis-tw client} talks JSON and records with a server that it believes.
        """
        process, url = self.begin()
        self.assertTrue(json.loads(self.ready_file.read_text())["WS"]["tls"])
        for options in ((), ("--binary",)):
            status, said = self.ws_client(url, "--ca", "ca.pem", *options)
            self.assertIn('payload="hello"', said)
            self.assertEqual(status, 0)
        self.assertStops(process)

    def test_wrongAuthority(self) -> None:
        """
        Of a server that another authority vouches for it says so in one line; the endpoint
        API, which is asked first, may be a right one.
        """
        other = Authority()
        other.write(self.folder, "other")
        _, url = self.begin()
        status, said = self.ws_client(url, "--ca", "other.pem")
        self.assertEqual((status, len(said.splitlines())), (1, 1))
        self.assertIn("does not come from an authority in other.pem", said)

        wrong = other.issue("127.0.0.1").write(self.folder, "wrong")
        self.config["WS"] |= dict(zip(("tlsCertificate", "tlsPrivateKey"), wrong, strict=True))
        self.save()
        self.ready_file.unlink()
        _, url = self.begin()
        for options in ((), ("--binary",)):
            status, said = self.ws_client(url, "--ca", "ca.pem", *options)
            self.assertEqual((status, len(said.splitlines())), (1, 1), said)
            self.assertIn("does not come from an authority in ca.pem", said)

    def test_frames(self) -> None:
        """
        Texts up to the limit in any number of TLS records, and what is wrong, go through TLS
        as without.
        """
        process, url = self.begin()
        player = self.ws_player(url, "alice")
        text = "x" * 7900
        self.assertEqual(player.ask(10, {"text": text}), {"text": text})
        for byte in frame(1, b'{"ver":2,"cmd":10,"payload":{"n":1}}'):
            player.send(bytes((byte,)))
        self.assertEqual(json.loads(player.next())["payload"], {"n": 1})
        player.send(frame(BINARY, b"no"))
        self.assertEqual(int.from_bytes(player.next(CLOSE)[:2]), 4003)
        player.socket.close()
        self.assertStops(process)

    def test_reload(self) -> None:
        """
        With a new certificate those who are connected go on, and new ones see the new one.
        """
        process, url = self.begin()
        players = []
        seen = set()
        for n in range(3):
            if n:
                self.reload(process)
            players.append(player := self.ws_player(url, f"p{n}"))
            assert isinstance(player.socket, ssl.SSLSocket)
            seen.add(player.socket.getpeercert(binary_form=True))
        self.assertEqual(len(seen), 3)
        for player in players:
            self.assertEqual(player.ask(10, {"still": "here"}), {"still": "here"})
            player.send(frame(CLOSE, b"\x03\xe8"))
            self.assertEqual(player.close_status(), 1000)
            player.socket.close()
        self.assertStops(process)

    def test_plain(self) -> None:
        """
        Who speaks without TLS there is not answered.
        """
        _, url = self.begin()
        endpoint = self.ask(f"{url}/endpoint/type/WS/user/alice")
        address = (str(endpoint["serverHost"]), int(str(endpoint["serverPort"])))
        with socket.create_connection(address, PATIENCE) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
            self.assertNotIn(b"HTTP", plain.recv(65536))
