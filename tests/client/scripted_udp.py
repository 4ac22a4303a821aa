"""
A UDP server made of the codecs and of the reliable UDP connection alone, which does
what a test tells it to.
"""

from twisted.internet.protocol import DatagramProtocol

from diarkis_tw.client import ServerType
from diarkis_tw.client.udp import UdpTransport
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection, State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.testing.loopback_udp import Datagram, LoopbackUdpReactor
from diarkis_tw.units import microseconds
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.datagram import HELLO_BYTE, client_datagram_kind
from diarkis_tw.wire.datagram_handshake import (
    NO_COOKIE,
    cookie_fields,
    decode_hello,
    encode_accept,
    encode_cookie,
    encode_terminate,
    verify_hello,
)
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keep_alive import decode_keep_alive_request, encode_keep_alive_response
from diarkis_tw.wire.keys import (
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    HandshakeContext,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import decode_request, encode_push, encode_response
from diarkis_tw.wire.packet import DATA_BYTE
from diarkis_tw.wire.reset import encode_reset
from tests.client.scripted import KEYS, PRIVATE, ClientCase

PORT = 7000
TTL = 10
KEEP_ALIVE = 3


class UdpServerEnd:
    """
    One connection, seen from the server.

    @ivar hello: the HELLO that it came from.
    @ivar datagrams: DATA that came, as received.
    @ivar messages: (ver, cmd, id, payload) of what came, keep-alive left out.
    @ivar reliable: whether each of them was.
    @ivar keep_alives: (time, round trip) of each.
    """

    def __init__(self, server, hello, address, terms, connection, sealer):
        self.server = server
        self.hello = hello
        self.address = address
        self.terms = terms
        self.connection = connection
        self.sealer = sealer
        self.datagrams = []
        self.messages = []
        self.reliable = []
        self.keep_alives = []

    def receive(self, datagram, address):
        self.datagrams.append(datagram)
        self.address = address
        self.connection.receive(datagram, self.server.now())
        delivered, self.connection.delivered = self.connection.delivered, []
        for message, reliable in delivered:
            ver, cmd, request_id, payload = decode_request(message)
            if (ver, cmd) == (0, 1):
                self.keep_alives.append(decode_keep_alive_request(payload))
                if self.server.answer_keep_alive:
                    self.answer_keep_alive()
                continue
            self.messages.append((ver, cmd, request_id, payload))
            self.reliable.append(reliable)
            self.server.message(self, ver, cmd, request_id, payload, reliable)
        self.flush()

    def payloads(self):
        return [payload for *_, payload in self.messages]

    # Talking

    def push(self, ver, cmd, payload, reliable=True, channel=0):
        self.send(encode_push(ver, cmd, payload), reliable, channel)

    def respond(self, ver, cmd, request_id, payload, status=Status.OK, reliable=True):
        self.send(encode_response(ver, cmd, status, request_id, payload), reliable)

    def answer_keep_alive(self, state=1, time=None):
        if time is None:
            time = self.keep_alives[-1][0]
        payload = encode_keep_alive_response(time, state, self.server.public_address)
        self.respond(0, 1, 0, payload, reliable=False)

    def send(self, message, reliable=True, channel=0):
        assert self.connection.send(message, reliable, channel, self.server.now())
        self.flush()

    def close(self, code, reason=""):
        self.connection.close(code, self.server.now(), reason)
        self.flush()

    def seal(self, plaintext):
        """
        A datagram with these frames, right or wrong.
        """
        number = self.connection._sent.next_number
        self.connection._sent.add(None)
        header = b"\x80" + (number & 0xFFFF).to_bytes(2)
        return header + self.sealer.seal(number, header, plaintext)

    def write(self, datagram):
        self.server.write(datagram, self.address)

    def flush(self):
        now = self.server.now()
        for datagram in self.connection.flush(now):
            self.write(datagram)
        deadline = self.connection.deadline()
        if deadline is not None:
            self.server.reactor.callLater(max(0, deadline - now) / 1e6, self.tick, deadline)

    def tick(self, armed):
        deadline = self.connection.deadline()
        if deadline is not None and deadline <= armed and self.server.is_up(self):
            self.connection.tick(max(armed, self.server.now()))
            self.flush()


class ScriptedUdpServer(DatagramProtocol):
    """
    Gives cookies, accepts, echoes 2/10 the way it came, answers keep-alive and
    ping, closes on fin, unless told otherwise.

    @ivar hellos: (time, datagram, address) of each.
    @ivar ends: every connection, oldest first.
    @ivar unknown: (time, datagram) of DATA for a connection that is none.
    @ivar token: the reset token that ACCEPT gives.
    """

    noisy = False

    def __init__(self, reactor):
        self.reactor = reactor
        self.hellos = []
        self.ends = []
        self.unknown = []
        self.known = {}
        self.token = b"T" * 16
        self.private = PRIVATE
        self.encryption = True
        self.answer_keep_alive = True
        self.public_address = ""
        self.terms = {}
        self.greet = self.give_cookie_and_accept
        self.message = self.serve
        self.on_unknown = lambda datagram, address: None

    def now(self):
        return microseconds(self.reactor.seconds())

    def write(self, datagram, address):
        if self.transport is not None:
            self.transport.write(datagram, address)

    def is_up(self, end):
        return end in self.known.values() and self.transport is not None

    @property
    def end(self):
        return self.ends[-1]

    def hello_times(self):
        return [round(time, 6) for time, *_ in self.hellos]

    def restart(self):
        """
        Forget everything, as a new process.
        """
        self.known.clear()
        self.token = b"U" * 16

    def datagramReceived(self, datagram, address):
        kind = client_datagram_kind(datagram, 1200)
        if kind == HELLO_BYTE:
            assert verify_hello(datagram, KEYS.hello_key())
            self.hellos.append((self.reactor.seconds(), datagram, address))
            self.greet(datagram, address)
            return
        assert kind == DATA_BYTE, datagram
        end = self.known.get(datagram[1:9])
        if end is None:
            self.unknown.append((self.reactor.seconds(), datagram))
            self.on_unknown(datagram, address)
        else:
            end.receive(datagram, address)

    # Answers to HELLO

    def give_cookie_and_accept(self, datagram, address):
        if cookie_fields(datagram)[2] == NO_COOKIE:
            self.give_cookie(datagram, address)
        else:
            self.accept(datagram, address)

    def give_cookie(self, datagram, address, cookie=b"C" * 20, nonce=None):
        nonce = decode_hello(datagram).client_nonce if nonce is None else nonce
        self.write(encode_cookie(nonce, cookie), address)

    def terminate(self, datagram, address, code, nonce=None):
        nonce = decode_hello(datagram).client_nonce if nonce is None else nonce
        self.write(encode_terminate(nonce, code), address)

    def accept(self, datagram, address, **changes):
        """
        Answer HELLO with ACCEPT, and open the connection.
        """
        hello = decode_hello(datagram)
        for end in self.known.values():
            if end.hello == hello:
                self.write(end.accept, address)
                return
        self.write(self.make_accept(hello, address, **changes), address)

    def make_accept(
        self,
        hello,
        address=None,
        *,
        ephemeral=None,
        secret=None,
        keys=KEYS,
        encode=encode_accept,
        **terms,
    ):
        """
        @param ephemeral: what to answer; L{None} = what is right.
        @param secret: what the exchange gave; L{None} = what is right.
        @param encode: what writes the datagram.
        """
        shared, public = b"", NO_EPHEMERAL
        if hello.flags & FLAG_EPHEMERAL:
            public = public_key(self.private)
            shared = shared_secret(self.private, hello.client_ephemeral)
        if ephemeral is not None:
            public = ephemeral
        if secret is not None:
            shared = secret
        nonce = b"N" * 16
        context = HandshakeContext(
            hello.version,
            hello.flags,
            TransportId.UDP,
            hello.client_nonce,
            nonce,
            hello.client_ephemeral,
            public,
        )
        secret = connection_secret(keys.master(), shared)
        derived = connection_keys(secret, context)
        cid = len(self.ends).to_bytes(8)
        granted = Terms(
            **{
                "cid": cid,
                "reset_token": self.token,
                "retry_interval": 1000,
                "ack_delay": 20,
                "mtu": 1200,
                "window": 256,
                "connection_ttl": TTL,
                "keep_alive": KEEP_ALIVE * 1000,
                "max_retry": 10,
                **self.terms,
                **terms,
            }
        )
        cache = AeadCache()
        sealer = Cipher(derived.s2c_key, derived.s2c_iv, self.encryption, cache)
        connection = Connection(
            Limits(mtu=min(granted.mtu, 1200)),
            cid,
            False,
            Cipher(derived.c2s_key, derived.c2s_iv, self.encryption, cache),
            sealer,
            ReassemblyBudget(2**26),
            self.now(),
            0,
        )
        end = UdpServerEnd(self, hello, address, granted, connection, sealer)
        end.accept = encode(hello.client_nonce, nonce, public, granted, accept_key(secret, context))
        self.ends.append(end)
        self.known[cid] = end
        return end.accept

    # Answers to DATA

    def serve(self, end, ver, cmd, request_id, payload, reliable):
        if (ver, cmd) == (0, 0):
            end.close(CloseCode.NORMAL)
        elif (ver, cmd) in ((2, 10), (0, 3)):
            end.respond(ver, cmd, request_id, payload, reliable=reliable)

    def reset(self, datagram, address):
        """
        Say RESET for a cid, as the server that is meant by L{token}.
        """
        random = bytes((len(self.unknown) & 0xFF,)) * 20
        self.write(encode_reset(self.token, random), address)


class Events:
    """
    What a transport tells, in order.
    """

    def __init__(self):
        self.log = []
        self.messages = []
        self.on_message = lambda message: None

    def connected(self, terms):
        self.log.append("connected")
        self.terms = terms

    def message_received(self, message):
        self.messages.append(message)
        self.on_message(message)

    def reconnected(self, terms, discarded):
        self.log.append(("reconnected", discarded))
        self.terms = terms

    def closed(self, code, reason):
        self.log.append(("closed", code))
        self.reason = reason


class UdpClientCase(ClientCase):
    """
    A scripted UDP server that listens, and clients that connect to it in memory.
    """

    def setUp(self):
        self.reactor = LoopbackUdpReactor()
        self.server = ScriptedUdpServer(self.reactor)
        self.port = self.reactor.listenUDP(PORT, self.server, "127.0.0.1")
        self.events = []

    def endpoint(self, **changes):
        return super().endpoint(**{"server_type": ServerType.UDP, **changes})

    def transport(self, **options):
        """
        A transport of its own, without a client, that has begun to connect.
        """
        options = {"clock": self.reactor, "random": bytes_from(0), **options}
        transport = UdpTransport(self.reactor, **options)
        transport.connect(self.endpoint(), self.told)
        return transport

    def opened(self, **options):
        transport = self.transport(**options)
        self.reactor.pump()
        self.assertEqual(self.told.log, ["connected"])
        return transport

    @property
    def told(self):
        if not hasattr(self, "_told"):
            self._told = Events()
        return self._told

    def client_port(self):
        """
        Where the only client listens.
        """
        (address,) = [found for found in self.reactor.udp_ports if found[1] != PORT]
        return address

    def to_client(self, data, source=("127.0.0.1", PORT)):
        """
        Let a datagram come to the only client.
        """
        self.reactor.put_in(Datagram(data, source, self.client_port()))

    def from_client(self):
        return [d for d in self.reactor.sent if d.destination == ("127.0.0.1", PORT)]

    def assertNothingLeft(self):
        """
        Neither sockets of clients nor their timers.
        """
        self.assertEqual(list(self.reactor.udp_ports), [("127.0.0.1", PORT)])
        left = [call for call in self.reactor.getDelayedCalls() if "ServerEnd" not in str(call)]
        self.assertEqual(left, [])

    def is_over(self, end):
        return end.connection.state is State.CLOSED


def bytes_from(first):
    """
    Random bytes of a test: never the same twice.
    """
    count = first

    def make(size):
        nonlocal count
        count += 1
        return bytes((count + n) % 256 for n in range(size))

    return make
