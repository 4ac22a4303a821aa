"""
From the address of an endpoint API, or from an endpoint, to a connected client.
"""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from diarkis_tw.client.client import Client
from diarkis_tw.client.endpoint import Endpoint, ExternalEndpoint, ask_endpoint, http_client
from diarkis_tw.client.reconnect import ASK_AGAIN_MAX, ASKING_AGAIN, Backoff
from diarkis_tw.client.tcp import TcpTransport
from diarkis_tw.client.tls import ClientTls
from diarkis_tw.client.transport import Transport
from diarkis_tw.client.udp import UdpTransport
from diarkis_tw.client.ws import WsTransport
from diarkis_tw.client.ws_binary import BinaryDialect
from diarkis_tw.client.ws_json import JsonDialect
from diarkis_tw.constants import CloseCode, ServerType
from diarkis_tw.errors import Disconnected, LocalProtocolError
from diarkis_tw.units import Seconds


def connect(
    base_url: str,
    uid: str,
    *,
    type: ServerType | str = ServerType.TCP,
    binary: bool = False,
    client_key: str | None = None,
    data: Mapping[str, object] | None = None,
    forward_secrecy: bool = True,
    timeout: Seconds = 10.0,
    reconnect_for: Seconds = 30.0,
    ca: str | Path | None = None,
    reactor: IReactorTCP | None = None,
) -> Deferred[Client]:
    """
    Ask the endpoint API for a user's endpoint and connect to it::

        client = await connect("http://127.0.0.1:7000", "alice")
        print(await client.request(2, 10, b"hello"))
        await client.close()

    If the server it names takes no new users any more, the API is asked again, 3
    times at most.

    @param base_url: of the endpoint API.
    @param uid: the user's id, 1..128 bytes of UTF-8.
    @param type: the kind of server wanted, or a custom type of the server's C{node.type}.
    @param binary: over WebSocket: sealed records instead of JSON texts.
    @param client_key: what the server was given as C{DIARKIS_CLIENT_KEY}.
    @param data: becomes the user's data on the server.
    @param forward_secrecy: offer an X25519 exchange, so that whoever learns the
        session's keys later cannot read what was said.
    @param timeout: for all of it, in seconds.
    @param reconnect_for: how long a connection lost later is tried again, in
        seconds; 0 = not at all.
    @param ca: PEM file of the authorities whose certificates are trusted, over https
        and where the endpoint wants TLS; L{None} = those that the system trusts.
    @param reactor: L{None} = the process's.
    @return: fires with the connected client; cancellable.

    @raise EndpointError: the endpoint API gave none.
    @raise Disconnected: the server refused, or could not be reached in time.
    @raise LocalProtocolError: the uid cannot be one, or C{type} is that of external
        servers, which this client cannot talk to.
    @raise ConfigError: C{ca} is no file of certificates.
    """
    reactor = _or_global(reactor)
    clock = IReactorTime(reactor)

    async def connecting() -> Client:
        tls = ClientTls(ca)
        http = http_client(reactor, tls)
        backoff = Backoff(random.random)
        asked = 0
        while True:
            endpoint = await ask_endpoint(
                http, clock, base_url, uid, type, client_key=client_key, data=data
            )
            asked += 1
            try:
                return await connect_to(
                    endpoint,
                    uid,
                    binary=binary,
                    forward_secrecy=forward_secrecy,
                    timeout=timeout,
                    reconnect_for=reconnect_for,
                    ca=ca,
                    reactor=reactor,
                )
            except Disconnected as refusal:
                if refusal.code not in ASKING_AGAIN or asked > ASK_AGAIN_MAX:
                    raise
            await deferLater(clock, backoff.next())

    return _within(timeout, clock, Deferred.fromCoroutine(connecting()))


def connect_to(
    endpoint: Endpoint | ExternalEndpoint,
    uid: str = "",
    *,
    binary: bool = False,
    forward_secrecy: bool = True,
    timeout: Seconds = 10.0,
    reconnect_for: Seconds = 30.0,
    ca: str | Path | None = None,
    reactor: IReactorTCP | None = None,
) -> Deferred[Client]:
    """
    Connect to an endpoint that is known already, for instance from the game's own
    back end.

    @param endpoint: where to, and the session's keys.
    @param uid: what C{client.uid} shall be; the server knows it from the keys.
    @param binary: see L{connect}.
    @param forward_secrecy: see L{connect}.
    @param timeout: see L{connect}.
    @param reconnect_for: see L{connect}.
    @param ca: see L{connect}.
    @param reactor: see L{connect}.
    @return: fires with the connected client; cancellable.

    @raise Disconnected: the server refused, or could not be reached in time.
    @raise LocalProtocolError: it is an external server, which this client cannot talk
        to.
    @raise ConfigError: C{ca} is no file of certificates.
    """
    reactor = _or_global(reactor)
    clock = IReactorTime(reactor)

    async def connecting() -> Client:
        if isinstance(endpoint, ExternalEndpoint):
            raise LocalProtocolError(
                f"{endpoint} has a protocol of its own, which this client cannot talk; "
                "ask_endpoint tells where such a server is, and the game's own client connects"
            )
        client = Client(
            endpoint,
            uid,
            clock=clock,
            make_transport=_transport_maker(reactor, clock, binary, forward_secrecy, ClientTls(ca)),
            reconnect_for=reconnect_for,
        )
        await client.open()
        return client

    return _within(timeout, clock, Deferred.fromCoroutine(connecting()))


def _transport_maker(
    reactor: IReactorTCP,
    clock: IReactorTime,
    binary: bool,
    forward_secrecy: bool,
    tls: ClientTls,
) -> Callable[[ServerType], Transport]:
    def make(type: ServerType) -> Transport:
        if type is ServerType.UDP:
            udp = IReactorUDP(reactor)
            return UdpTransport(udp, clock, os.urandom, forward_secrecy=forward_secrecy)
        if type is ServerType.TCP:
            return TcpTransport(
                reactor, clock, os.urandom, forward_secrecy=forward_secrecy, tls=tls
            )
        if binary:
            dialect = BinaryDialect(os.urandom, forward_secrecy=forward_secrecy)
            return WsTransport(reactor, clock, dialect, tls=tls)
        return WsTransport(reactor, clock, JsonDialect(os.urandom), tls=tls)

    return make


def _within(timeout: Seconds, clock: IReactorTime, work: Deferred[Client]) -> Deferred[Client]:
    def too_late(_: object, __: float) -> Failure:
        return Failure(Disconnected(CloseCode.TIMEOUT, f"no connection within {timeout:g} s"))

    return work.addTimeout(timeout, clock, too_late)


def _or_global(reactor: IReactorTCP | None) -> IReactorTCP:
    if reactor is None:
        from twisted.internet import reactor as found  # noqa: TID251 - a game's convenience

        return cast(IReactorTCP, found)
    return reactor
