"""
UDP clients and server over real sockets on loopback.
"""

import os
import sys
from random import Random
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUDP, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from diarkis_tw.config.settings import Settings
from diarkis_tw.constants import CloseCode
from diarkis_tw.core.user import User
from diarkis_tw.net.datagram_socket import DONT_FRAGMENT
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.server.server import Server
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.datagram import ACCEPT_BYTE, COOKIE_BYTE
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    decode_accept,
    decode_cookie,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import Hello
from diarkis_tw.wire.keys import (
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import decode_server_message, encode_request
from diarkis_tw.wire.reset import matches_reset

PATIENCE = 20
"""Seconds that a test may take on a slow machine."""


class RealClient(DatagramProtocol):
    """
    A client on a socket of its own, which it may change.

    @ivar payloads: of all answers and pushes.
    @ivar loss: share of datagrams that get lost, each way.
    """

    noisy = False

    def __init__(self, keys: SessionKeys, server: tuple[str, int], seed: int = 0) -> None:
        self.keys = keys
        self.server = server
        self.random = Random(seed)
        self.loss = 0.0
        self.nonce = os.urandom(16)
        self.private = os.urandom(32)
        self.hello = Hello(1, 3, keys.sid, self.nonce, public_key(self.private))
        self.rudp: Connection | None = None
        self.payloads: list[bytes] = []
        self.reset = False
        self.ports: list[IUDPTransport] = []
        self._timer: IDelayedCall | None = None
        self.rebind()

    def rebind(self) -> None:
        """
        Go on from another port.
        """
        if self.transport is not None:
            self.transport = None
            self.numPorts = 0
            old = self.ports.pop()
            old.stopReading()  # type: ignore[attr-defined]
            old.socket.close()  # type: ignore[attr-defined]
        port = cast(IReactorUDP, reactor).listenUDP(0, self, "127.0.0.1", 2048)
        self.ports.append(cast(IUDPTransport, port))

    def close(self) -> Deferred[None] | None:
        """
        Use the network no more.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.rudp = None
        return self.ports.pop().stopListening()

    def connect(self) -> None:
        """
        Begin.
        """
        self._write(encode_hello(self.hello, NO_COOKIE, self.keys.hello_key()))

    def command(self, cmd: int, payload: bytes) -> None:
        """
        Send a reliable command.
        """
        assert self.rudp is not None
        assert self.rudp.send(encode_request(2, cmd, 1, payload), True, 0, self._now())
        self._go()

    def datagramReceived(self, datagram: bytes, address: object) -> None:
        if self.random.random() < self.loss:
            return
        if datagram[0] == COOKIE_BYTE:
            cookie = decode_cookie(datagram)[1]
            self._write(encode_hello(self.hello, cookie, self.keys.hello_key()))
        elif datagram[0] == ACCEPT_BYTE and self.rudp is None:
            self._accept(datagram)
        elif self.rudp is not None:
            if not self.rudp.receive(datagram, self._now()):
                self.reset = self.reset or matches_reset(datagram, self.terms.reset_token)
            self._go()

    def _accept(self, accept: bytes) -> None:
        _, nonce, ephemeral = decode_accept(accept)
        shared = shared_secret(self.private, ephemeral)
        assert shared is not None
        secret = connection_secret(self.keys.master(), shared)
        context = HandshakeContext(
            1, 3, TransportId.UDP, self.nonce, nonce, self.hello.client_ephemeral, ephemeral
        )
        terms = open_accept_terms(accept, accept_key(secret, context))
        assert terms is not None
        self.terms = terms
        keys = connection_keys(secret, context)
        cache = AeadCache()
        self.rudp = Connection(
            Limits(),
            terms.cid,
            True,
            Cipher(keys.s2c_key, keys.s2c_iv, True, cache),
            Cipher(keys.c2s_key, keys.c2s_iv, True, cache),
            ReassemblyBudget(1 << 26),
            self._now(),
        )
        self.rudp.ping()
        self._go()

    def _now(self) -> int:
        return microseconds(cast(IReactorTime, reactor).seconds())

    def _go(self) -> None:
        rudp = self.rudp
        if rudp is None:
            return
        now = self._now()
        rudp.tick(now)
        for message, _ in rudp.delivered:
            self.payloads.append(decode_server_message(message).payload)
        rudp.delivered = []
        for datagram in rudp.flush(now):
            self._write(datagram)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        deadline = rudp.deadline()
        if deadline is not None:
            delay = max(0.0, (deadline - now) / 1e6)
            self._timer = cast(IReactorTime, reactor).callLater(delay, self._go)

    def _write(self, datagram: bytes) -> None:
        if self.random.random() >= self.loss:
            self.ports[-1].write(datagram, self.server)


class RealTests(TestCase):
    """
    A server on a port of its own.
    """

    timeout = 60

    def setUp(self) -> None:
        self.server, self.address = self.serve({})

    def serve(self, udp: dict[str, object], port: int = 0) -> tuple[Server, tuple[str, int]]:
        """
        Start a server.
        """
        server = Server(cast(IReactorTime, reactor), Settings())
        server.setup_as_udp_server({"port": port, **udp})
        server.handle_command(2, 10, self._echo)
        server.service().startService()
        self.addCleanup(server.service().stopService)
        return server, server.bound_addresses()["UDP"]

    def _echo(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        return payload

    def client(self, server: Server | None = None) -> RealClient:
        """
        A client that begins to connect.
        """
        user = (server or self.server).users.create("alice", "UDP", {})
        client = RealClient(user.keys, self.address)
        self.addCleanup(client.close)
        client.connect()
        return client

    @inlineCallbacks
    def until(self, condition):  # type: ignore[no-untyped-def]
        """
        Wait for something to become true.
        """
        end = cast(IReactorTime, reactor).seconds() + PATIENCE
        while not condition():
            assert cast(IReactorTime, reactor).seconds() < end, "nothing comes"
            yield deferLater(reactor, 0.005, lambda: None)

    @inlineCallbacks
    def test_echo(self):  # type: ignore[no-untyped-def]
        """
        Small and large commands come back whole.
        """
        client = self.client()
        yield self.until(lambda: client.rudp is not None)
        large = os.urandom(64 * 1024)
        client.command(10, b"small")
        client.command(10, large)
        yield self.until(lambda: len(client.payloads) == 2)
        self.assertEqual(client.payloads, [b"small", large])

    @inlineCallbacks
    def test_end(self):  # type: ignore[no-untyped-def]
        """
        When the node ends its clients hear it, and the port is free at once.
        """
        client = self.client()
        yield self.until(lambda: self.server.users.ccu())
        yield self.server.service().stopService()
        rudp = client.rudp
        assert rudp is not None
        yield self.until(lambda: rudp.state is not State.OPEN)
        self.assertIs(rudp.code, CloseCode.SERVER_OFFLINE)
        _, address = self.serve({}, self.address[1])
        self.assertEqual(address, self.address)

    @inlineCallbacks
    def test_reset(self):  # type: ignore[no-untyped-def]
        """
        A client whose connection the server has forgotten is told so by RESET.
        """
        client = self.client()
        yield self.until(lambda: self.server.users.ccu())
        udp = self.server._listeners.by_section["UDP"]._listening.protocol  # type: ignore[union-attr]
        connections = udp._connections
        udp._connections = {}
        client.command(10, b"lost")
        yield self.until(lambda: client.reset)
        self.assertGreaterEqual(udp.resets, 1)
        udp._connections = connections

    @inlineCallbacks
    def test_rebinding(self):  # type: ignore[no-untyped-def]
        """
        A client that changes its port again and again under loss loses no reliable message.
        """
        client = self.client()
        yield self.until(lambda: client.rudp is not None)
        client.loss = 0.1
        count = 120
        for n in range(count):
            client.command(10, b"%d" % n)
            if n % 40 == 39:
                client.rebind()
            yield deferLater(reactor, 0.03, lambda: None)
        yield self.until(lambda: len(client.payloads) == count)
        self.assertEqual([int(payload) for payload in client.payloads], list(range(count)))

    @inlineCallbacks
    def test_tuned(self):  # type: ignore[no-untyped-def]
        """
        The real socket takes the options, and what is too large for the path counts as loss.
        """
        udp = self.server._listeners.by_section["UDP"]._listening.protocol  # type: ignore[union-attr]
        udp.write(bytes(70_000), self.address)
        self.assertEqual(udp.unsent, 1)
        option = DONT_FRAGMENT.get(sys.platform)
        if option is not None:
            level, name, value = option
            self.assertEqual(udp.transport.socket.getsockopt(level, name), value)
        yield deferLater(reactor, 0, lambda: None)
