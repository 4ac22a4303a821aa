"""
What the tests of the UDP server share: a whole server on a clock, without
sockets, and clients of it made of the codecs and the sans-IO RUDP machine, which
say whatever a test wants them to say, legal or not.
"""

import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import TypeVar, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import NodeSettings, Settings
from diarkis_tw.constants import PROTOCOL_VERSION, CloseCode
from diarkis_tw.core.user import User, UserState
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.server.server import Server
from diarkis_tw.transports.udp import UdpServer
from diarkis_tw.transports.udp_connection import UdpConnection
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.datagram import (
    ACCEPT_BYTE,
    COOKIE_BYTE,
    COOKIE_SIZE,
    TERMINATE_BYTE,
    TERMINATE_SIZE,
)
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    decode_accept,
    decode_cookie,
    decode_terminate,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.frame import CLOSE, PING, Frame, parse_frames
from diarkis_tw.wire.handshake import Hello, Terms, decode_close
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import Push, Response, decode_server_message, encode_request
from diarkis_tw.wire.packet import CLIENT_DATA_MIN, DATA_BYTE, SERVER_HEADER_SIZE

ECHO, SLOW, SHOUT = 10, 11, 12
"""Commands of version 2: answer; answer when C{case.slow} fires; answer with so many bytes."""

SERVER_PORT = 7000
STEP = 1 / 256
"""How finely time passes: a client looks at its deadlines that often. Exact in binary."""

Address = tuple[str, int]
_R = TypeVar("_R")


class FakeUdpSocket:
    """
    The system's side of a UDP port.

    @ivar arrived: what there is to read; L{None} is what nobody expects of a socket.
    @ivar sent: everything the server sent, in order.
    @ivar fault: what C{sendto} fails with, if it shall.
    """

    family = socket.AF_INET

    def __init__(self) -> None:
        self.arrived: deque[tuple[bytes, Address]] = deque()
        self.sent: list[tuple[bytes, Address]] = []
        self.fault: OSError | None = None

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        if not self.arrived:
            raise BlockingIOError
        datagram, address = self.arrived.popleft()
        return datagram[:size], address

    def sendto(self, datagram: bytes, address: Address) -> int:
        if self.fault is not None:
            raise self.fault
        self.sent.append((datagram, address))
        return len(datagram)


class FakeUdpPort:
    """
    A bound UDP port, as Twisted shows it.
    """

    def __init__(self, protocol: DatagramProtocol, host: str, port: int) -> None:
        self.protocol = protocol
        self.socket = FakeUdpSocket()
        self.listening = True
        self._address = IPv4Address("UDP", host, port or SERVER_PORT)

    def getHost(self) -> IPv4Address:
        return self._address

    def doRead(self) -> None:
        raise AssertionError("the server reads by itself")

    def stopListening(self) -> Deferred[None]:
        assert self.listening
        self.listening = False
        self.protocol.doStop()
        return succeed(None)


class UdpReactor(MemoryReactorClock):
    """
    A clock with UDP ports that lead nowhere.

    @ivar udpPorts: all that were bound.
    @ivar later: how often C{callLater} was called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.udpPorts: list[FakeUdpPort] = []
        self.later = 0

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> IListeningPort:
        bound = FakeUdpPort(protocol, interface, port)
        self.udpPorts.append(bound)
        protocol.makeConnection(bound)  # type: ignore[arg-type]
        return cast(IListeningPort, bound)

    def callLater(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        self.later += 1
        return super().callLater(*args, **kwargs)  # type: ignore[arg-type]


class UdpClient:
    """
    A client at an address.

    @ivar address: where it sends from; change it to move.
    @ivar got: datagrams that came, in order.
    @ivar messages: what was delivered of them, once there is a connection.
    @ivar lost: what happens to datagrams: called with each, true = it gets lost.
    """

    def __init__(
        self,
        case: "UdpCase",
        keys: SessionKeys,
        address: Address,
        *,
        seed: int,
        encrypted: bool = True,
        ephemeral: bool = True,
    ) -> None:
        random = Random(seed)
        self.case = case
        self.keys = keys
        self.address = address
        self.encrypted = encrypted
        self.nonce = random.randbytes(16)
        self.private = random.randbytes(32)
        flags = FLAG_ENCRYPTED * encrypted | FLAG_EPHEMERAL * ephemeral
        ours = public_key(self.private) if ephemeral else NO_EPHEMERAL
        self.greeting = Hello(PROTOCOL_VERSION, flags, keys.sid, self.nonce, ours)
        self.cookie = NO_COOKIE
        self.got: list[bytes] = []
        self.messages: list[Response | Push] = []
        self.reliable: list[bool] = []
        self.terms: Terms | None = None
        self.accepted = b""
        self.silent = False
        self._seen = len(case.socket.sent)
        self._number = 100

    # Handshake

    def hello(self, **changes: object) -> bytes:
        """
        A HELLO, with fields changed for good and its HMAC right all the same.
        """
        self.greeting = replace(self.greeting, **changes)  # type: ignore[arg-type]
        return encode_hello(self.greeting, self.cookie, self.keys.hello_key())

    def get_cookie(self) -> None:
        """
        Ask for a cookie and keep it.
        """
        [answer] = self.ask(self.hello())
        nonce, self.cookie = decode_cookie(answer)
        assert nonce == self.nonce

    def shake_hands(self) -> None:
        """
        Get as far as ACCEPT.
        """
        self.get_cookie()
        [answer] = self.ask(self.hello())
        assert answer[0] == ACCEPT_BYTE, answer
        self.accept(answer)

    def accept(self, accept: bytes) -> None:
        """
        Make a connection of an ACCEPT.
        """
        self.accepted = accept
        half, server_nonce, server_ephemeral = decode_accept(accept)
        assert half == self.nonce[:8]
        hello = self.greeting
        shared: bytes | None = b""
        if hello.flags & FLAG_EPHEMERAL:
            shared = shared_secret(self.private, server_ephemeral)
        assert shared is not None
        context = HandshakeContext(
            hello.version,
            hello.flags,
            TransportId.UDP,
            hello.client_nonce,
            server_nonce,
            hello.client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(self.keys.master(), shared)
        self.terms = open_accept_terms(accept, accept_key(secret, context))
        assert self.terms is not None, "ACCEPT does not open"
        keys = connection_keys(secret, context)
        cache = AeadCache()
        self.cid = self.terms.cid
        self.sealer = Cipher(keys.c2s_key, keys.c2s_iv, self.encrypted, cache)
        self.opener = Cipher(keys.s2c_key, keys.s2c_iv, self.encrypted, cache)
        self.rudp = Connection(
            Limits(
                ack_delay=self.terms.ack_delay * 1000,
                retry_interval=self.terms.retry_interval * 1000,
                max_retry=self.terms.max_retry,
                max_message_size=1 << 19,
            ),
            self.cid,
            True,
            self.opener,
            self.sealer,
            ReassemblyBudget(1 << 26),
            self.case.now(),
        )

    # Datagrams

    def put(self, *datagrams: bytes) -> None:
        """
        Send datagrams; the server does nothing but receive them.
        """
        for datagram in datagrams:
            self.case.udp.datagramReceived(datagram, self.address)

    def take(self) -> list[bytes]:
        """
        The datagrams that came to the present address since the last time.
        """
        sent = self.case.socket.sent
        found = [datagram for datagram, address in sent[self._seen :] if address == self.address]
        self._seen = len(sent)
        self.got += found
        return found

    def ask(self, *datagrams: bytes) -> list[bytes]:
        """
        Send datagrams and take what came at once and at the end of the turn.
        """
        self.put(*datagrams)
        self.case.reactor.advance(0)
        return self.take()

    def packet(self, plaintext: bytes, number: int | None = None) -> bytes:
        """
        A DATA datagram of any frames, which the machine knows nothing of.

        @param number: the next of those above 100 by default.
        """
        if number is None:
            number, self._number = self._number, self._number + 1
        header = bytes((DATA_BYTE,)) + self.cid + (number & 0xFFFF).to_bytes(2)
        short = CLIENT_DATA_MIN - len(header) - len(plaintext) - 16
        plaintext = bytes(max(0, short)) + plaintext
        return header + self.sealer.seal(number, header, plaintext)

    def open(self, datagram: bytes) -> list[Frame]:
        """
        The frames of a DATA datagram of the server, which must be authentic.
        """
        header = datagram[:SERVER_HEADER_SIZE]
        number = int.from_bytes(header[1:])
        plaintext = self.opener.open(number, header, datagram[SERVER_HEADER_SIZE:])
        assert plaintext is not None, "the server's packet does not open"
        frames, error = parse_frames(plaintext)
        assert error is None, error
        return frames

    def frames(self, *datagrams: bytes) -> list[Frame]:
        """
        Send datagrams and open what comes back.
        """
        return [frame for datagram in self.ask(*datagrams) for frame in self.open(datagram)]

    # The machine

    def request(
        self, cmd: int, payload: bytes = b"", request_id: int = 1, *, reliable: bool = True
    ) -> None:
        """
        Send a command of version 2 and let everything come to rest.
        """
        self.command(2, cmd, payload, request_id, reliable=reliable)
        self.turn()

    def command(
        self, ver: int, cmd: int, payload: bytes = b"", id: int = 1, *, reliable: bool = True
    ) -> None:
        """
        Queue a command; L{turn} sends it.
        """
        message = encode_request(ver, cmd, id, payload)
        assert self.rudp.send(message, reliable, 0, self.case.now())

    def turn(self) -> None:
        """
        Let everything come to rest at the present time.
        """
        for _ in range(1000):
            self.case.reactor.advance(0)
            arrived = self.take()
            now = self.case.now()
            if not hasattr(self, "rudp"):
                return
            for datagram in arrived:
                self.rudp.receive(datagram, now)
            self.collect()
            deadline = self.rudp.deadline()
            if deadline is not None and deadline <= now:
                self.rudp.tick(now)
            datagrams = [] if self.silent else self.rudp.flush(now)
            if not datagrams and not arrived:
                return
            self.put(*datagrams)
        raise AssertionError("no rest")

    def collect(self) -> None:
        """
        Keep what the machine delivered.
        """
        delivered, self.rudp.delivered = self.rudp.delivered, []
        for message, reliable in delivered:
            self.messages.append(decode_server_message(message))
            self.reliable.append(reliable)

    def payloads(self) -> list[bytes]:
        """
        Payloads of all responses and pushes.
        """
        return [message.payload for message in self.messages]

    def alive(self) -> bool:
        """
        Whether the connection answers a command.
        """
        before = len(self.messages)
        self.request(ECHO, b"are you there?")
        return self.payloads()[before:] == [b"are you there?"]


class UdpCase(SynchronousTestCase):
    """
    A running server, real from the UDP protocol up.

    @ivar slow: what the command SLOW waits for, by its payload.
    @ivar echoed: payloads that the command ECHO got.
    @ivar left: uids of users whom on_disconnect was called for.
    """

    def setUp(self) -> None:
        self.serve()

    def serve(
        self, udp: Mapping[str, object] | None = None, *, grace: int = 10, rate: int = 0
    ) -> None:
        """
        Start a server.

        @param udp: keys of its section.
        @param rate: maxCommandRate.
        """
        if not hasattr(self, "random"):
            self.random = Random(1)
            self.clients: list[UdpClient] = []
        self.reactor = UdpReactor()
        self.reactor.advance(1000)
        node = NodeSettings(reconnect_grace=grace, max_command_rate=rate)
        self.server = Server(self.reactor, Settings(node=node), random_bytes=self.random.randbytes)
        self.server.setup_as_udp_server({"port": 0, **(udp or {})})
        self.slow: dict[bytes, Deferred[bytes]] = {}
        self.echoed: list[bytes] = []
        self.left: list[str] = []
        self.server.handle_command(2, ECHO, self._echo)
        self.server.handle_command(2, SLOW, self._slow)
        self.server.handle_command(2, SHOUT, self._shout)
        self.server.on_disconnect(lambda sid, user: self.left.append(user.uid))
        self.server.service().startService()
        [self.port] = self.reactor.udpPorts
        self.socket = self.port.socket
        self.udp = cast(UdpServer, self.port.protocol)
        self.clients.clear()

    def _echo(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        self.echoed.append(payload)
        return payload

    def _slow(self, ver: int, cmd: int, payload: bytes, user: User) -> Deferred[bytes]:
        return self.slow.setdefault(payload, Deferred())

    def _shout(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        return payload[:4].ljust(int.from_bytes(payload[4:]), b".")

    def now(self) -> int:
        """
        The clock, in microseconds.
        """
        return microseconds(self.reactor.seconds())

    def user(self, uid: str = "alice") -> User:
        """
        Have a user made, as the endpoint API does.
        """
        return self.server.users.create(uid, "UDP", {})

    def client(
        self,
        user: User | None = None,
        *,
        keys: SessionKeys | None = None,
        host: str = "192.0.2.1",
        encrypted: bool = True,
        ephemeral: bool = True,
    ) -> UdpClient:
        """
        A client that has said nothing yet.
        """
        if keys is None:
            keys = (user or self.user()).keys
        number = self.random.getrandbits(32)
        address = (host, 40_000 + len(self.clients))
        client = UdpClient(
            self, keys, address, seed=number, encrypted=encrypted, ephemeral=ephemeral
        )
        self.clients.append(client)
        return client

    def accepted(self, user: User | None = None, **how: bool) -> UdpClient:
        """
        A client that shook hands.
        """
        client = self.client(user, **how)  # type: ignore[arg-type]
        client.shake_hands()
        return client

    def opened(self, user: User | None = None, **how: bool) -> UdpClient:
        """
        A client whose connection is confirmed.
        """
        client = self.accepted(user, **how)
        client.rudp.ping()
        client.turn()
        self.settle(0.1)
        client.got.clear()
        return client

    def raw(self, user: User | None = None) -> UdpClient:
        """
        A client with a confirmed connection whose packets a test makes itself.
        """
        client = self.accepted(user)
        client.ask(client.packet(bytes((PING,))))
        client.got.clear()
        return client

    def end(self, client: UdpClient) -> UdpConnection:
        """
        The server's end of a client's connection.
        """
        return self.udp._connections[client.cid]

    def advance(self, seconds: float) -> None:
        """
        Let time pass for the server alone.
        """
        steps, rest = divmod(seconds, 1 / 32)
        self.reactor.pump([1 / 32] * int(steps) + [rest])

    def settle(self, seconds: float) -> None:
        """
        Let time pass for everybody.
        """
        for _ in range(round(seconds / STEP)):
            self.reactor.advance(STEP)
            for client in self.clients:
                client.turn()

    def sizes(self) -> dict[str, int]:
        """
        How much the server remembers of everybody.
        """
        udp = self.udp
        handshake = udp._handshake
        return {
            "connections": len(udp._connections),
            "unconfirmed": len(udp._unconfirmed),
            "tombstones": len(udp._tombstones),
            "handshakes": len(handshake._answered),
            "leaving": len(udp._leaving),
            "dirty": len(udp.dirty),
            "deadlines": len(udp._deadlines.armed),
            "ciphers": len(udp._ciphers),
            "sources": len(udp._reset_buckets),
            "users": len(self.server.users._by_sid),
            "reassembly": udp._budget.used,
        }

    def assertState(self, user: User, state: UserState) -> None:
        """
        The user is PENDING, CONNECTED, AWAY or GONE.
        """
        self.assertIs(user.state, state)

    def assertTerminated(self, answers: list[bytes], client: UdpClient, code: CloseCode) -> None:
        """
        The only answer is TERMINATE for this client's nonce.
        """
        [answer] = answers
        self.assertEqual((answer[0], len(answer)), (TERMINATE_BYTE, TERMINATE_SIZE))
        self.assertEqual(decode_terminate(answer), (client.nonce, code))

    def assertCookie(self, answers: list[bytes]) -> None:
        """
        The only answer is COOKIE.
        """
        [answer] = answers
        self.assertEqual((answer[0], len(answer)), (COOKIE_BYTE, COOKIE_SIZE))

    def assertClosed(self, client: UdpClient, code: CloseCode) -> None:
        """
        The client's machine heard CLOSE.
        """
        client.turn()
        self.assertIsNot(client.rudp.state, State.OPEN)
        self.assertIs(client.rudp.code, code)

    def closes(self, client: UdpClient, datagrams: list[bytes]) -> list[CloseCode]:
        """
        The codes of the CLOSEs in the server's packets.
        """
        return [
            decode_close(data)[0]
            for datagram in datagrams
            for kind, _, _, data in client.open(datagram)
            if kind == CLOSE
        ]
