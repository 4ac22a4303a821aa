"""
Tests of L{diarkis_tw.wire.keys} and L{diarkis_tw.wire.ephemeral}; the figures
themselves are held by L{tests.wire.test_vectors}.
"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.keys import (
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from tests.strategies import ephemerals, nonces, u8

SESSION = SessionKeys(bytes(range(16)), b"k" * 16, b"i" * 16, b"m" * 16)
HEX = ("00112233445566778899aabbccddeeff", "01" * 16, "02" * 16, "03" * 16)
CONTEXT = HandshakeContext(1, 1, TransportId.TCP, b"c" * 16, b"s" * 16)


class SessionKeysTests(SynchronousTestCase):
    """
    The keys of an endpoint answer.
    """

    def test_hexNotRead(self) -> None:
        """
        Four strings of hex digits become the bytes they say, in their order.
        """
        keys = SessionKeys.from_hex(*HEX)
        self.assertEqual(
            (keys.sid, keys.encryption_key, keys.encryption_iv, keys.encryption_mac_key),
            tuple(bytes.fromhex(text) for text in HEX),
        )

    def test_upperCaseRefused(self) -> None:
        """
        Hex digits of either case are accepted.
        """
        self.assertEqual(
            SessionKeys.from_hex(*(text.upper() for text in HEX)), SessionKeys.from_hex(*HEX)
        )

    def test_badHexAccepted(self) -> None:
        """
        What is not 32 hex digits is refused by its name, in each of the four places,
        without showing a secret.
        """
        bad = (
            "",
            "01" * 15,
            "01" * 17,
            "0" * 31,
            "xy" * 16,
            "01 " * 10 + "01",
            " ".join(["01"] * 16),
            "\u0661" * 32,
        )
        for place, name in enumerate(("sid", "encryptionKey", "encryptionIV", "encryptionMacKey")):
            for text in bad:
                given = list(HEX)
                given[place] = text
                error = self.assertRaises(LocalProtocolError, SessionKeys.from_hex, *given)
                self.assertEqual(str(error), f"{name} must be 32 hex digits")

    def test_sizesUnchecked(self) -> None:
        """
        A key of any other size than 16 bytes is refused.
        """
        for place in range(4):
            for size in (0, 15, 17):
                parts = [bytes(16)] * 4
                parts[place] = bytes(size)
                self.assertRaises(LocalProtocolError, SessionKeys, *parts)

    def test_secretsShown(self) -> None:
        """
        The representation shows the start of the sid and no secret.
        """
        self.assertEqual(repr(SESSION), "<SessionKeys of 00010203>")

    def test_connectionKeysShown(self) -> None:
        """
        The representation of a connection's keys shows none of them.
        """
        self.assertEqual(repr(connection_keys(bytes(32), CONTEXT)), "ConnectionKeys()")


class ContextTests(SynchronousTestCase):
    """
    What a connection's keys depend on.
    """

    def test_fieldWithoutEffect(self) -> None:
        """
        Each part of the context, and the secret, changes every key.
        """
        secret = connection_secret(SESSION.master(), b"")
        others = [
            (secret, replace(CONTEXT, version=2)),
            (secret, replace(CONTEXT, flags=0)),
            (secret, replace(CONTEXT, transport=TransportId.WS)),
            (secret, replace(CONTEXT, client_nonce=b"C" * 16)),
            (secret, replace(CONTEXT, server_nonce=b"S" * 16)),
            (secret, replace(CONTEXT, client_ephemeral=b"e" * 32)),
            (secret, replace(CONTEXT, server_ephemeral=b"e" * 32)),
            (connection_secret(SESSION.master(), bytes(32)), CONTEXT),
        ]
        seen = set()
        for case in [(secret, CONTEXT), *others]:
            keys = connection_keys(*case)
            seen |= {keys.c2s_key, keys.c2s_iv, keys.s2c_key, keys.s2c_iv, accept_key(*case)}
        self.assertEqual(len(seen), 5 * (1 + len(others)))

    def test_sizesUnchecked(self) -> None:
        """
        A nonce or ephemeral of another size, or a number above a byte, is refused,
        because two contexts could then be written alike.
        """
        good: tuple[int, int, TransportId, bytes, bytes, bytes, bytes] = (
            *(1, 1, TransportId.TCP),
            *(bytes(16), bytes(16), bytes(32), bytes(32)),
        )
        for place, value in (
            *((0, 256), (0, -1), (1, 256), (1, -1)),
            *((3, bytes(15)), (4, bytes(17)), (5, bytes(31)), (6, bytes(33))),
        ):
            parts: list[object] = list(good)
            parts[place] = value
            self.assertRaises(LocalProtocolError, HandshakeContext, *parts)

    @given(u8, u8, st.sampled_from(TransportId), nonces, nonces, ephemerals, ephemerals)
    def test_encodingUneven(
        self,
        version: int,
        flags: int,
        transport: TransportId,
        client_nonce: bytes,
        server_nonce: bytes,
        client_ephemeral: bytes,
        server_ephemeral: bytes,
    ) -> None:
        """
        The encoded context is 99 bytes that hold every field at its place.
        """
        data = HandshakeContext(
            version,
            flags,
            transport,
            client_nonce,
            server_nonce,
            client_ephemeral,
            server_ephemeral,
        ).encode()
        self.assertEqual(len(data), 99)
        self.assertEqual(tuple(data[:3]), (version, flags, transport))
        self.assertEqual((data[3:19], data[19:35]), (client_nonce, server_nonce))
        self.assertEqual((data[35:67], data[67:]), (client_ephemeral, server_ephemeral))


class EphemeralTests(SynchronousTestCase):
    """
    X25519.
    """

    def test_publishedFigures(self) -> None:
        """
        The agreement of RFC 7748, 6.1, comes out.
        """
        alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
        bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
        for own, other in ((alice, bob), (bob, alice)):
            found = shared_secret(own, public_key(other))
            assert found is not None
            self.assertEqual(found.hex(), shared)

    @given(ephemerals, ephemerals)
    def test_anyKeyRaises(self, private: bytes, peer: bytes) -> None:
        """
        Any 32 bytes as the peer's key give a secret or nothing.
        """
        shared = shared_secret(private, peer)
        self.assertTrue(shared is None or (len(shared) == 32 and any(shared)))

    def test_sizesUnchecked(self) -> None:
        """
        Keys of another size are the caller's fault.
        """
        self.assertRaises(LocalProtocolError, public_key, bytes(31))
        self.assertRaises(LocalProtocolError, shared_secret, bytes(33), bytes(32))
        self.assertRaises(LocalProtocolError, shared_secret, bytes(32), bytes(31))
