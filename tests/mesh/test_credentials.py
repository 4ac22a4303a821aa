"""
Tests of L{diarkis_tw.mesh.credentials}.
"""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import ConfigError
from diarkis_tw.mesh.credentials import Credentials

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
"""The two halves of one key, as the documentation of NATS has them."""


class CredentialsTests(SynchronousTestCase):
    """
    The file of a user.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def write(self, jwt: str, seed: str, end: str = "\n") -> str:
        self.path.write_text(
            f"-----BEGIN NATS USER JWT-----{end}{jwt}{end}------END NATS USER JWT------{end}"
            f"-----BEGIN USER NKEY SEED-----{end}{seed}{end}------END USER NKEY SEED------"
        )
        return str(self.path)

    def test_signs(self) -> None:
        """
        The server's challenge is signed with the key in the file, whose lines may end as
        on any system.
        """
        for end in ("\n", "\r\n"):
            credentials = Credentials(self.write("a.b.c", SEED, end))
            self.assertEqual(credentials.jwt(), b"a.b.c")
            signature = base64.b64decode(credentials.sign("nonce"))
            raw = base64.b32decode(PUBLIC)[1:33]
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, b"nonce")

    def test_renewed(self) -> None:
        """
        The file is read anew each time.
        """
        credentials = Credentials(self.write("a", SEED))
        self.write("b", SEED)
        self.assertEqual(credentials.jwt(), b"b")

    def test_wrong(self) -> None:
        """
        A file that is not there, or another one, or damaged, is refused with what is
        wrong with it, and without its content.
        """
        damaged = SEED[:-1] + "X"
        for content, reason in (
            (None, "cannot be read"),
            ("", "no user JWT"),
            ("-----BEGIN NATS USER JWT-----\na\n", "no user seed"),
        ):
            if content is not None:
                self.path.write_text(content)
            error = self.assertRaises(ConfigError, Credentials, str(self.path))
            self.assertIn(reason, str(error))
        error = self.assertRaises(ConfigError, Credentials, self.write("a", damaged))
        self.assertIn("typing error", str(error))
        self.assertNotIn(damaged, str(error))
        self.path.write_bytes(b"\xff")
        error = self.assertRaises(ConfigError, Credentials, str(self.path))
        self.assertIn("no user JWT", str(error))
