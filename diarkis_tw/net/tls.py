"""
TLS for whatever listens on a stream: below the transports, which do not notice.

  - TLS 1.2 and 1.3, forward secret AEAD ciphers, no compression, renegotiation or
    session tickets: Mozilla's "intermediate" recommendation, without the
    Diffie-Hellman groups that no client since 2014 needs.
  - The handshake must be done within L{HANDSHAKE_TIME}, and a connection that was
    closed is gone after L{CLOSE_TIME}, whether the peer answers or not.
  - A new certificate is for new connections; the others go on with theirs.
"""

from typing import Any, Final, cast

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import (
    BufferingTLSTransport,
    TLSMemoryBIOFactory,
    TLSMemoryBIOProtocol,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from diarkis_tw.errors import ConfigError
from diarkis_tw.net.certificate import CertifiedKey, read_certified_key
from diarkis_tw.units import Seconds

HANDSHAKE_TIME: Final[Seconds] = 5.0
"""From the connection to the end of its TLS handshake; a slow phone needs two."""

CLOSE_TIME: Final[Seconds] = 5.0
"""How long a closed connection waits for the peer to close too."""

CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Of TLS 1.2; those of TLS 1.3 are all good. The client's preference decides: it
knows whether its processor has AES."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """
    Certificate and key of one section, and what OpenSSL makes of them.

    @ivar pair: certificate and key in use.
    @ivar certificate_file: where the certificate was read from.
    @ivar key_file: where the key was read from.
    """

    pair: CertifiedKey

    def __init__(self, section: str, certificate_file: str, key_file: str) -> None:
        """
        @param section: of the configuration, for errors.
        @raise ConfigError: the files are not what is needed; see
            L{read_certified_key}.
        """
        self._section = section
        self.load(certificate_file, key_file)

    def load(self, certificate_file: str, key_file: str) -> None:
        """
        Read the files, perhaps others than before, and use what they hold for new
        connections.

        @raise ConfigError: they are not what is needed; all stays as it was.
        """
        pair = read_certified_key(self._section, certificate_file, key_file)
        try:
            self._context = _make_context(pair)
        except SSL.Error as error:
            raise ConfigError(
                f"{self._section}.tlsCertificate {certificate_file}: OpenSSL refuses it: "
                f"{reason_of(error)}. Have it made anew, with a key of today's size."
            ) from None
        self.pair = pair
        self.certificate_file = certificate_file
        self.key_file = key_file

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """
        Make OpenSSL's side of a new connection.
        """
        return SSL.Connection(self._context)


def reason_of(error: SSL.Error) -> str:
    """
    OpenSSL's own word for what went wrong.
    """
    queue = error.args[0] if error.args else ()
    return str(queue[-1][2]) if isinstance(queue, list) and queue else "no reason given"


def _make_context(pair: CertifiedKey) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # 34 KB less for a connection that is idle
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.use_certificate(pair.certificate)
    for other in pair.chain[1:]:
        context.add_extra_chain_cert(other)
    context.use_privatekey(cast(Any, pair.key))
    context.check_privatekey()
    return context


class ServerTlsTransport(BufferingTLSTransport):
    """
    One TLS connection, as the transport of the protocol above.
    """

    factory: "ServerTlsFactory"

    _timer: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        self._abort_in(HANDSHAKE_TIME)
        super().makeConnection(transport)

    def loseWriteConnection(self) -> None:
        """
        Say that nothing more comes. TLS has a word for that of its own, and goes on
        reading until the peer says it too; shutting the socket below would cut off
        what is still on its way through TLS.
        """
        self.loseConnection()

    def loseConnection(self) -> None:
        if self.disconnecting or not self.connected:
            return
        if not self._handshakeDone:  # twisted/protocols/tls.py, Twisted 26.10
            # Nothing can be said to this peer, nor would it answer.
            self.abortConnection()
            return
        self._abort_in(CLOSE_TIME)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        super().connectionLost(reason)

    def _abort_in(self, delay: Seconds) -> None:
        self._stop_timer()
        self._timer = self.factory.clock.callLater(delay, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        if self.disconnecting or not self._handshakeDone:
            self.abortConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class ServerTlsFactory(TLSMemoryBIOFactory):
    """
    Puts TLS below the protocols of another factory.

    @ivar clock: measures the time limits.
    """

    protocol = ServerTlsTransport

    def __init__(self, tls: ServerTls, factory: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(tls, False, factory, clock)
        self.clock = clock

    def buildProtocol(  # type: ignore[override]  # WrappingFactory knows no refusal
        self, addr: IAddress | None
    ) -> TLSMemoryBIOProtocol | None:
        # twisted/protocols/policies.py, Twisted 26.10, would wrap a refusal as well.
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.protocol(self, protocol)
