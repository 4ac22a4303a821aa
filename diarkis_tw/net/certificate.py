"""
Certificate and private key of a TLS server, read from PEM files and checked for
everything that would otherwise fail with the first client only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from diarkis_tw.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """
    A key and the certificate for it.

    @ivar chain: the certificates as they are sent, the key's own first.
    @ivar key: the private key.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes

    @property
    def certificate(self) -> x509.Certificate:
        """
        The key's own.
        """
        return self.chain[0]

    @property
    def is_self_signed(self) -> bool:
        """
        Whether the chain ends with an authority that nobody else vouches for, so
        that the file can tell a client what to trust.
        """
        return self.chain[-1].issuer == self.chain[-1].subject


def read_certified_key(section: str, certificate_file: str, key_file: str) -> CertifiedKey:
    """
    Read a certificate with its chain, and its key.

    @param section: of the configuration, for errors.
    @raise ConfigError: a file cannot be read or is something else, the key has a
        passphrase, the two do not belong together, or the certificate is not
        valid today.
    """
    label = f"{section}.tlsCertificate {certificate_file}"
    key_label = f"{section}.tlsPrivateKey {key_file}"
    chain = _parse_chain(label, _read(label, certificate_file))
    key = _parse_key(key_label, _read(key_label, key_file))
    _check_match(label, key_label, chain, key)
    _check_dates(label, chain[0])
    return CertifiedKey(tuple(chain), key)


def _read(label: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{label}: there is no such file. Correct the path, which is relative to the "
            "configuration file."
        ) from None
    except PermissionError:
        raise ConfigError(
            f"{label}: this process has no permission to read it. Give its user that permission."
        ) from None
    except OSError as error:
        raise ConfigError(f"{label}: cannot be read: {error.strerror}. Name a PEM file.") from None


def _parse_chain(label: str, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        pass
    if b"PRIVATE KEY-----" in data:
        raise ConfigError(
            f"{label}: holds a private key and no certificate. Exchange the two paths if they are "
            "in the wrong place."
        )
    raise ConfigError(
        f"{label}: is not a certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----."
        f"{_from_der(data, 'openssl x509 -inform DER')}"
    )


def _parse_key(label: str, data: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise ConfigError(
            f"{label}: is locked with a passphrase, which nobody could type when the server "
            "starts. Unlock it with openssl pkey -in LOCKED -out UNLOCKED, and let only the "
            "server's user read that."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        pass
    if b"-----BEGIN CERTIFICATE-----" in data:
        raise ConfigError(
            f"{label}: holds a certificate and no private key. Exchange the two paths if they are "
            "in the wrong place."
        )
    raise ConfigError(
        f"{label}: is not a private key in PEM form, which begins with -----BEGIN PRIVATE KEY----- "
        f"or the like.{_from_der(data, 'openssl pkey -inform DER')}"
    )


def _from_der(data: bytes, command: str) -> str:
    if data[:1] == b"\x30":  # an ASN.1 sequence, as both are
        return f" It looks like DER; {command} -in DER -out PEM makes PEM of it."
    return " Name the right file."


def _check_match(
    label: str, key_label: str, chain: list[x509.Certificate], key: PrivateKeyTypes
) -> None:
    public = key.public_key()
    certified = [_public_key(certificate) == public for certificate in chain]
    if certified[0]:
        return
    if any(certified):
        raise ConfigError(
            f"{label}: must begin with the server's own certificate, but its number "
            f"{certified.index(True) + 1} is the one for {key_label}. Put that first, then the "
            "one that signed it, and so on."
        )
    raise ConfigError(
        f"{label}: is for another key than {key_label}. Name a certificate and the key that it "
        "was made for."
    )


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _check_dates(label: str, certificate: x509.Certificate) -> None:
    # Of the chain only this one counts: some chains carry an expired root for old clients.
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise ConfigError(
            f"{label}: expired on {day(certificate.not_valid_after_utc)}, and clients would "
            "refuse it. Renew it."
        )
    if now < certificate.not_valid_before_utc:
        raise ConfigError(
            f"{label}: is not valid before {day(certificate.not_valid_before_utc)}, and clients "
            "would refuse it. Name one that is valid, or set this machine's clock, which says "
            f"{day(now)}."
        )


def names_of(certificate: x509.Certificate) -> list[str]:
    """
    The host names and IP addresses that a certificate is for, in its order. Its
    subject's common name is none: clients have not looked at that for years.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in found if isinstance(name, x509.DNSName | x509.IPAddress)]


def day(when: datetime) -> str:
    """
    A date for people.
    """
    return f"{when:%Y-%m-%d %H:%M} UTC"
