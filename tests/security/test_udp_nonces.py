"""
No key and nonce of AES-GCM is ever used twice: that would give the key away.
"""

from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from diarkis_tw.core.user import UserState
from diarkis_tw.wire import cipher
from tests.transports.udp_client import ECHO, UdpCase


class NonceTests(UdpCase):
    """
    Server and clients with an instrumented AES-GCM.
    """

    def setUp(self) -> None:
        used: set[tuple[bytes, bytes]] = set()
        keys: dict[bytes, int] = {}
        self.used, self.keys = used, keys

        class Recording:
            """
            AES-GCM that notes what it seals with.
            """

            def __init__(self, key: bytes) -> None:
                self._key = key
                self._real = AESGCM(key)
                self.decrypt = self._real.decrypt

            def encrypt(self, nonce: bytes, data: bytes, associated: Any) -> bytes:
                """
                Seal once.
                """
                assert (self._key, nonce) not in used, "a nonce was used twice"
                used.add((self._key, nonce))
                keys[self._key] = keys.get(self._key, 0) + 1
                return self._real.encrypt(nonce, data, associated)

        self.patch(cipher, "AESGCM", Recording)
        super().setUp()

    def talk(self, encrypted: bool = True) -> None:
        """
        A user connects, talks under loss, moves, reconnects, is replaced and leaves.
        """
        alice = self.user()
        for attempt in range(4):
            client = self.client(alice, encrypted=encrypted, ephemeral=bool(attempt % 2))
            client.get_cookie()
            hello = client.hello()
            first = client.ask(hello)
            self.assertEqual(client.ask(hello), first)
            client.accept(first[0])
            client.rudp.ping()
            client.turn()
            for n in range(15):
                client.request(ECHO, bytes(n * 200))
                if n % 5 == 2:
                    client.take()
                    client.address = (client.address[0], client.address[1] + 100)
                if n % 4 == 1:
                    for _ in range(20):
                        self.advance(0.05)
                    client.take()
                    alice.server_push(2, 1, b"lost")
                self.settle(0.05)
            if attempt == 1:
                self.advance(12)
        client.command(0, 0, id=0)
        client.turn()
        for _ in range(10):
            client.put(client.packet(b""))
            self.advance(0.4)

    def test_neverTwice(self) -> None:
        """
        Over reconnects, retransmissions, moves, stored ACCEPTs, tombstones and restarts no
        (key, nonce) pair is used twice.
        """
        for _ in range(2):
            self.talk()
            self.serve()
        self.assertGreater(len(self.used), 300)
        self.assertGreater(len(self.keys), 8 * 3 - 1)

    def test_integrityOnly(self) -> None:
        """
        Nor without encryption.
        """
        for _ in range(2):
            self.serve({"enableEncryption": False})
            self.talk(encrypted=False)
        self.assertGreater(len(self.used), 300)

    def test_sameSessionKeys(self) -> None:
        """
        Two connections of one session with one client nonce still have different keys.
        """
        alice = self.user()
        seen = set()
        for _ in range(3):
            client = self.client(alice, ephemeral=False)
            client.nonce = bytes(16)
            client.hello(client_nonce=bytes(16))
            client.shake_hands()
            seen.add(self.end(client).keys)
            self.advance(6)
        self.assertEqual(len({key for keys in seen for key in keys}), 6)

    def test_endsAtTheLimit(self) -> None:
        """
        Packet numbers end before they could wrap, with REKEY.
        """
        alice = self.user()
        client = self.raw(alice)
        sent = self.end(client).rudp._sent
        sent.next_number = 2**28 - 4096 - 20
        for _ in range(40):
            alice.server_push(2, 1, b"x", reliable=False)
            self.reactor.advance(0.01)
        self.advance(3)
        self.assertLessEqual(sent.next_number, 2**28 - 4096)
        self.assertEqual(self.sizes()["connections"], 0)
        self.assertState(alice, UserState.AWAY)
