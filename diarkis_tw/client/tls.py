"""
TLS of the client: who the server is gets verified, always.

  - The certificate must come from an authority that is trusted: those of the
    system, or instead of them those of a file.
  - It must be valid now, and for the host that was asked for.
  - TLS 1.2 at least.

What is wrong with a certificate is said in a sentence; OpenSSL alone would say
"certificate verify failed".
"""

from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from diarkis_tw.errors import ConfigError, DiarkisError
from diarkis_tw.net.certificate import day, names_of
from diarkis_tw.net.tls import CIPHERS, reason_of

Codes = SSL.X509VerificationCodes

UNTRUSTED: Final = frozenset(
    {
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
        Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
        Codes.ERR_CERT_SIGNATURE_FAILURE,
        Codes.ERR_CERT_UNTRUSTED,
        Codes.ERR_INVALID_CA,
    }
)
"""OpenSSL's ways to say that the chain does not end at a trusted authority."""


class CertificateRefused(DiarkisError):
    """
    The server did not prove who it is; the text says what is wrong and what to do.
    """


@implementer(IPolicyForHTTPS)
class ClientTls:
    """
    Whom a client trusts.
    """

    def __init__(self, ca: str | Path | None = None) -> None:
        """
        @param ca: PEM file of the authorities to trust instead of the system's.
        @raise ConfigError: it is none.
        """
        self._ca = ca
        self._authorities = [] if ca is None else _read_authorities(ca)
        self._context: SSL.Context | None = None

    def for_host(self, host: str) -> IOpenSSLClientConnectionCreator:
        """
        Make what begins TLS connections, each verified.

        @param host: name or IP address that the server must have a certificate for.
        """
        if self._context is None:  # once: the system's authorities are many
            self._context = self._make_context()
        return _Verifying(self._context, host, self._ca)

    def wrap(
        self, factory: IProtocolFactory, host: str, clock: IReactorTime
    ) -> TLSMemoryBIOFactory:
        """
        Put TLS below the protocols of a client's factory, for C{connectTCP}. What
        goes wrong arrives at their C{connectionLost}; L{tls_fault} says it in words.

        @param host: see L{for_host}.
        """
        return TLSMemoryBIOFactory(self.for_host(host), True, factory, clock)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """
        The same for C{twisted.web.client.Agent}.
        """
        return self.for_host(hostname.decode("ascii", "replace"))

    def _make_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        if self._ca is None:
            context.set_default_verify_paths()
        else:
            store = context.get_cert_store()
            assert store is not None
            for authority in self._authorities:
                store.add_cert(crypto.X509.from_cryptography(authority))
        return context


def _read_authorities(path: str | Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(
            f"ca {path}: cannot be read: {error.strerror}. Correct the path."
        ) from None
    except ValueError:
        raise ConfigError(
            f"ca {path}: holds no certificate in PEM form, which begins with "
            "-----BEGIN CERTIFICATE-----. Name the file of the authority's certificate."
        ) from None


def tls_fault(error: BaseException | None) -> str | None:
    """
    What was wrong with TLS, in words.

    @param error: with which a connection was lost.
    @return: a sentence; L{None} if TLS has no part in it.
    """
    if isinstance(error, CertificateRefused):
        return str(error)
    if not isinstance(error, SSL.Error):
        return None
    reason = reason_of(error)
    if reason in ("wrong version number", "packet length too long", "http request"):
        return "the server does not speak TLS there; ask it without (http://), or at another port"
    return (
        f"the TLS handshake failed: {reason}. Both sides must know TLS 1.2 or 1.3 and a cipher "
        "of today"
    )


@implementer(IOpenSSLClientConnectionCreator)
class _Verifying:
    def __init__(self, context: SSL.Context, host: str, ca: str | Path | None) -> None:
        self._context = context
        self._ca = ca
        self._is_address = _is_address(host)
        self._host = host if host.isascii() else _to_ascii(host)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context)
        if not self._is_address:  # RFC 6066: a server name is never an address
            connection.set_tlsext_host_name(self._host.encode())
        connection.set_verify(SSL.VERIFY_PEER, partial(self._verify, protocol))
        return connection

    def _verify(
        self,
        protocol: TLSMemoryBIOProtocol,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """
        Called by OpenSSL for each certificate of the chain and for each fault of one.
        """
        try:
            fault = self._fault(certificate.to_cryptography(), error, depth, bool(ok))
        except Exception as exc:  # whatever cannot be looked at is not trusted
            fault = f"the server's certificate cannot be read: {exc}"
        if fault is None:
            return True
        protocol.failVerification(Failure(CertificateRefused(fault)))
        return False

    def _fault(self, certificate: x509.Certificate, error: int, depth: int, ok: bool) -> str | None:
        whose = "the server's certificate" if depth == 0 else "an authority of the server"
        if ok:
            return self._wrong_host(certificate) if depth == 0 else None
        if error == Codes.ERR_CERT_HAS_EXPIRED:
            return (
                f"{whose} expired on {day(certificate.not_valid_after_utc)}. Its operator must "
                "renew it, or this machine's clock is wrong"
            )
        if error == Codes.ERR_CERT_NOT_YET_VALID:
            return (
                f"{whose} is not valid before {day(certificate.not_valid_before_utc)}. Its "
                "operator must exchange it, or this machine's clock is wrong"
            )
        if error not in UNTRUSTED:
            return f"{whose} is not fit for this (OpenSSL's verification error {error})"
        if self._ca is None:
            return (
                f"{whose} comes from no authority that this machine trusts. If you trust who "
                "runs the server, say so with the authority's certificate (ca, or --ca FILE)"
            )
        return (
            f"{whose} does not come from an authority in {self._ca}. Name the file of the right one"
        )

    def _wrong_host(self, certificate: x509.Certificate) -> str | None:
        check = verify_certificate_ip_address if self._is_address else verify_certificate_hostname
        try:
            check(certificate, self._host)
        except (VerificationError, CertificateError, ValueError):
            # A stranger wrote them, and somebody will read them on a terminal.
            names = ascii(", ".join(names_of(certificate)[:5]))[1:-1] or "no host at all"
            host = ascii(self._host)[1:-1]
            return (
                f"the server's certificate is for {names}, not for {host}. Connect by a name that "
                "it has; if the endpoint API sends you there, its operator must correct "
                "DIARKIS_CLOUD_ENV or the certificate"
            )
        return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _to_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:  # no certificate is for it
        return host.encode("ascii", "replace").decode()
