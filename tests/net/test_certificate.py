"""
Tests of L{diarkis_tw.net.certificate}.
"""

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import ConfigError
from diarkis_tw.net.certificate import names_of, read_certified_key
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.testing.certificates import Authority, Issued

NOBODY = 65534
"""A user with no rights."""


class CertificateCase(SynchronousTestCase):
    """
    An authority, and a folder.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = Authority()

    def write(self, name: str, data: bytes) -> str:
        """
        Write a file.
        """
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def refused(self, certificate: str, key: str) -> str:
        """
        The sentence with which two files are refused.
        """
        error = self.assertRaises(ConfigError, read_certified_key, "TCP", certificate, key)
        return str(error)

    def refused_bytes(self, certificate: bytes, key: bytes) -> str:
        """
        The same for what two files contain.
        """
        return self.refused(self.write("c.pem", certificate), self.write("k.pem", key))


class ReadTests(CertificateCase):
    """
    What is accepted.
    """

    def test_pair(self) -> None:
        """
        A certificate and its key are read.
        """
        found = read_certified_key("TCP", *self.authority.issue("a.example").write(self.folder))
        self.assertEqual(names_of(found.certificate), ["a.example"])
        self.assertEqual(found.certificate.public_key(), found.key.public_key())
        self.assertFalse(found.is_self_signed)

    def test_chain(self) -> None:
        """
        The whole chain is read, in its order.
        """
        middle = Authority("middle", above=Authority("upper", above=self.authority))
        issued = middle.issue("a.example")
        found = read_certified_key("TCP", *issued.write(self.folder))
        self.assertEqual(
            [certificate.issuer.rfc4514_string() for certificate in found.chain],
            ["CN=middle", "CN=upper", "CN=An authority for tests"],
        )
        whole = Issued(issued.chain + self.authority.pem, issued.key).write(self.folder)
        self.assertTrue(read_certified_key("TCP", *whole).is_self_signed)

    def test_oneFile(self) -> None:
        """
        Both may be in one file.
        """
        issued = self.authority.issue("a.example")
        path = self.write("both.pem", issued.key + issued.chain)
        self.assertEqual(len(read_certified_key("TCP", path, path).chain), 1)

    def test_expiredAuthority(self) -> None:
        """
        An expired certificate further up is the client's to judge: old ones need it, new ones
        know another way.
        """
        issued = self.authority.issue("a.example")
        old = self.authority.issue("an old root", until=timedelta(days=-0.5))
        both = Issued(issued.chain + old.chain, issued.key)
        read_certified_key("TCP", *both.write(self.folder))

    def test_names(self) -> None:
        """
        Names and addresses of a certificate are known; without any there are none.
        """
        for names in (["a.example", "127.0.0.1", "::1"], []):
            chain = self.authority.issue(*names).chain
            self.assertEqual(names_of(load_pem_x509_certificate(chain)), names)


class RefuseTests(CertificateCase):
    """
    What is refused, and the sentence: where, what is wrong, what to do.
    """

    def setUp(self) -> None:
        super().setUp()
        self.good = self.authority.issue("a.example")
        self.certificate, self.key = self.good.write(self.folder)

    def assertSays(self, text: str, label: str, *parts: str) -> None:
        """
        A sentence names the key of the configuration and the file, and ends with the remedy.
        """
        self.assertTrue(text.startswith(f"TCP.{label}"), text)
        for part in parts:
            self.assertIn(part, text)
        self.assertTrue(text.endswith("."), text)
        self.assertNotIn("\n", text)

    def test_missing(self) -> None:
        """
        A file that is not there.
        """
        missing = str(self.folder / "no.pem")
        text = self.refused(missing, self.key)
        self.assertSays(text, f"tlsCertificate {missing}", "no such file", "relative to")
        text = self.refused(self.certificate, missing)
        self.assertSays(text, f"tlsPrivateKey {missing}", "no such file")

    def test_unreadable(self) -> None:
        """
        A file that this process must not read.
        """
        # Root may read everything, and its folders are not for others.
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        certificate = shutil.copy(self.certificate, folder / "certificate.pem")
        key = shutil.copy(self.key, folder / "key.pem")
        certificate.chmod(0o644)
        key.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        text = self.refused(str(certificate), str(key))
        self.assertSays(text, f"tlsPrivateKey {key}", "no permission", "Give its user")

    def test_folder(self) -> None:
        """
        A folder.
        """
        text = self.refused(str(self.folder), self.key)
        self.assertSays(text, f"tlsCertificate {self.folder}", "directory", "Name a PEM file")

    def test_exchanged(self) -> None:
        """
        The two paths exchanged, one by one.
        """
        text = self.refused(self.key, self.key)
        self.assertSays(text, "tlsCertificate", "a private key and no certificate", "Exchange")
        text = self.refused(self.certificate, self.certificate)
        self.assertSays(text, "tlsPrivateKey", "a certificate and no private key", "Exchange")

    def test_noPem(self) -> None:
        """
        Something else altogether.
        """
        self.assertSays(
            self.refused_bytes(b"hello", self.good.key), "tlsCertificate", "BEGIN CERTIFICATE"
        )
        self.assertSays(
            self.refused_bytes(self.good.chain, b""), "tlsPrivateKey", "BEGIN PRIVATE KEY"
        )

    def test_damaged(self) -> None:
        """
        PEM around bytes that are no certificate, or no key.
        """
        damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        self.assertSays(self.refused_bytes(damaged, self.good.key), "tlsCertificate", "PEM")
        damaged = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        self.assertSays(self.refused_bytes(self.good.chain, damaged), "tlsPrivateKey", "PEM")

    def test_der(self) -> None:
        """
        DER instead of PEM: the command that converts it is named.
        """
        certificate = load_pem_x509_certificate(self.good.chain).public_bytes(Encoding.DER)
        text = self.refused_bytes(certificate, self.good.key)
        self.assertSays(text, "tlsCertificate", "openssl x509 -inform DER")
        key = load_pem_private_key(self.good.key, None)
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        text = self.refused_bytes(self.good.chain, der)
        self.assertSays(text, "tlsPrivateKey", "openssl pkey -inform DER")

    def test_passphrase(self) -> None:
        """
        A key with a passphrase.
        """
        locked = self.authority.issue("a.example", passphrase=b"secret")
        text = self.refused(*locked.write(self.folder))
        self.assertSays(text, "tlsPrivateKey", "passphrase", "openssl pkey")

    def test_otherKey(self) -> None:
        """
        A certificate and the key of another.
        """
        other = self.authority.issue("a.example")
        text = self.refused_bytes(self.good.chain, other.key)
        self.assertSays(text, "tlsCertificate", "another key than TCP.tlsPrivateKey", "k.pem")

    def test_order(self) -> None:
        """
        A chain in the wrong order.
        """
        text = self.refused_bytes(self.authority.pem + self.good.chain, self.good.key)
        self.assertSays(text, "tlsCertificate", "must begin with", "number 2", "Put that first")

    def test_expired(self) -> None:
        """
        A certificate whose time is over.
        """
        old = self.authority.issue("a.example", until=timedelta(hours=-1))
        text = self.refused(*old.write(self.folder))
        self.assertSays(text, "tlsCertificate", "expired on 2", "UTC", "Renew it")

    def test_notYetValid(self) -> None:
        """
        A certificate whose time has not come.
        """
        early = self.authority.issue("a.example", since=timedelta(hours=1))
        text = self.refused(*early.write(self.folder))
        self.assertSays(text, "tlsCertificate", "not valid before 2", "clock")

    def test_weak(self) -> None:
        """
        A key that OpenSSL holds for too short.
        """
        key = generate_private_key(65537, 1024)
        paths = self.authority.issue("a.example", key=key).write(self.folder)
        text = str(self.assertRaises(ConfigError, ServerTls, "TCP", *paths))
        self.assertSays(text, "tlsCertificate", "key too small", "made anew")
