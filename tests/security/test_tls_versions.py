"""
What the TCP server speaks below TLS, asked byte for byte.
"""

import contextlib
from typing import Any, cast

from OpenSSL import SSL

from tests.transports.test_tcp_tls import TlsCase


def client_hello(version: bytes) -> bytes:
    """
    A client's first words in the form of RFC 5246, which likes old ciphers best.
    """
    ciphers = bytes.fromhex("c009c00ac013c02b002f")
    groups = bytes.fromhex("000a000400020017")
    points = bytes.fromhex("000b00020100")
    signatures = bytes.fromhex("000d0006000404030401")
    extensions = groups + points + signatures
    body = version + bytes(32) + b"\0" + len(ciphers).to_bytes(2) + ciphers + b"\1\0"
    body += len(extensions).to_bytes(2) + extensions
    message = b"\1" + len(body).to_bytes(3) + body
    return b"\x16\3\1" + len(message).to_bytes(2) + message


class VersionTests(TlsCase):
    """
    What is spoken.
    """

    def first_answer(self, version: bytes) -> bytes:
        """
        The first record that a client of one version gets.
        """
        peer = self.peer(tls=False)
        self.send(peer, client_hello(version))
        return bytes(peer.data)

    def test_old(self) -> None:
        """
        TLS 1.0 and 1.1 are refused by their proper alert; 1.2 is not, with a cipher of today.
        """
        for version in (b"\3\1", b"\3\2"):
            answer = self.first_answer(version)
            # an alert (21): fatal (2), protocol_version (70)
            self.assertEqual((answer[0], answer[5:]), (21, b"\2\x46"))
        answer = self.first_answer(b"\3\3")
        # a handshake message (22): ServerHello (2), of TLS 1.2
        self.assertEqual((answer[0], answer[5], answer[9:11]), (22, 2, b"\3\3"))
        # without a session id, ECDHE-ECDSA-AES128-GCM-SHA256
        self.assertEqual(answer[43:46], b"\0\xc0\x2b")

    def test_today(self) -> None:
        """
        A client of today gets TLS 1.3.
        """
        self.player()
        handle = cast(Any, self.connection().transport).getHandle()
        self.assertEqual(handle.get_protocol_version_name(), "TLSv1.3")

    def test_renegotiation(self) -> None:
        """
        A client of TLS 1.2 that wants to shake hands again and again is refused that.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context)
        client.set_connect_state()
        peer = self.peer(tls=False)

        def exchange() -> None:
            for step in (client.do_handshake, lambda: client.recv(1)):
                with contextlib.suppress(SSL.WantReadError):
                    step()
            try:
                self.send(peer, client.bio_read(2**16))
            except SSL.WantReadError:
                self.reactor.pump()
            data, peer.data = bytes(peer.data), bytearray()
            if data:
                client.bio_write(data)

        for _ in range(4):
            exchange()
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.2")
        before = client.get_finished()
        client.renegotiate()
        try:
            for _ in range(4):
                exchange()
        except SSL.Error as error:
            self.assertIn("no renegotiation", str(error))
        self.assertEqual(client.get_finished(), before)
