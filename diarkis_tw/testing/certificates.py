"""
Certificates for tests of TLS: an authority of one's own, and what it signs::

    authority = Authority()
    folder = Path(self.mktemp())
    folder.mkdir()
    certificate, key = authority.issue("localhost", "127.0.0.1").write(folder)
    server.setup_as_tcp_server({"tlsCertificate": certificate, "tlsPrivateKey": key})
    connect("https://localhost:7000", "alice", ca=authority.write(folder))
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

DAY: Final = timedelta(days=1)

_SIGNS: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Issued:
    """
    A certificate, those above it up to the authority, and its key.

    @ivar chain: certificates in PEM form, the server's own first.
    @ivar key: the private key in PEM form.
    """

    chain: bytes
    key: bytes

    def write(self, folder: Path, name: str = "server") -> tuple[str, str]:
        """
        Write NAME.pem and NAME-key.pem.

        @return: the two paths.
        """
        certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        certificate.write_bytes(self.chain)
        key.write_bytes(self.key)
        return str(certificate), str(key)


class Authority:
    """
    Signs certificates. Nobody trusts it who is not told to.
    """

    def __init__(
        self, name: str = "An authority for tests", above: "Authority | None" = None
    ) -> None:
        """
        @param name: common name of the authority.
        @param above: signs its certificate; L{None} = it does so itself.
        """
        self._key: CertificateIssuerPrivateKeyTypes = generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._above = above
        now = datetime.now(UTC)
        signer = above or self
        self._certificate = (
            signer._begin(self._name, now - DAY, now + 3650 * DAY)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(signer._key, SHA256())
        )

    @property
    def pem(self) -> bytes:
        """
        The authority's own certificate.
        """
        return self._certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path, name: str = "ca") -> str:
        """
        Write NAME.pem.

        @return: its path.
        """
        path = folder / f"{name}.pem"
        path.write_bytes(self.pem)
        return str(path)

    def issue(
        self,
        *names: str,
        since: timedelta = -DAY,
        until: timedelta = 30 * DAY,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        passphrase: bytes = b"",
    ) -> Issued:
        """
        Make a certificate for a server.

        @param names: host names and IP addresses.
        @param since: when it becomes valid, from now.
        @param until: when it expires, from now.
        @param key: the server's; L{None} = a new one.
        @param passphrase: locks the key that is written.
        """
        key = key or generate_private_key(SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server for tests")])
        builder = self._begin(subject, now + since, now + until).public_key(key.public_key())
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        chain = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)
        authority = self
        while authority._above is not None:  # the topmost one the client has itself
            chain += authority.pem
            authority = authority._above
        locked = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return Issued(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))

    def _begin(
        self, subject: x509.Name, since: datetime, until: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
