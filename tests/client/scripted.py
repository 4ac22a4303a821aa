"""
A server end made of the codecs alone, which does what a test tells it to.
"""

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import Endpoint, ServerType, connect_to
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.testing.loopback import LoopbackReactor
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    TERMINATE_BODY_SIZE,
    Terms,
    decode_close,
    decode_hello,
    encode_accept,
    encode_close,
    encode_terminate,
    verify_hello,
)
from diarkis_tw.wire.keep_alive import decode_keep_alive_request, encode_keep_alive_response
from diarkis_tw.wire.keys import (
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.message import decode_request, encode_push, encode_response
from diarkis_tw.wire.record import RecordReader, RecordType, record_header
from diarkis_tw.wire.value import encode_payload

KEYS = SessionKeys(b"s" * 16, b"k" * 16, b"i" * 16, b"m" * 16)
TTL = 10
KEEP_ALIVE = 3
PRIVATE = b"\x07" * 32


def terms(ttl=TTL, keep_alive_ms=KEEP_ALIVE * 1000):
    return Terms(bytes(8), bytes(16), 0, 0, 0, 0, ttl, keep_alive_ms, 0)


class RecordEnd:
    """
    One connection that carries sealed records, seen from the server.

    @ivar messages: what came: (ver, cmd, id, payload), keep-alive left out.
    @ivar keep_alives: (time, round trip) of each.
    @ivar closed_with: codes of CLOSE records that came.
    """

    transport_id = TransportId.TCP

    def begin(self, server):
        self.server = server
        self.hello = None
        self.messages = []
        self.keep_alives = []
        self.closed_with = []
        self.lost = False
        self.c2s = self.s2c = 0

    def header(self, type, length):
        return record_header(type, length)

    def put(self, record):
        self.transport.write(record)

    def hang_up(self, code):
        self.transport.loseConnection()

    def record(self, type, header, body):
        if type == RecordType.HELLO:
            self.hello = decode_hello(body)
            self.hello_is_good = verify_hello(header, body, KEYS.hello_key())
            self.server.greet(self)
            return
        plaintext = self.opener.open(self.c2s, header, body)
        assert plaintext is not None, "the client sealed wrongly"
        self.c2s += 1
        if type == RecordType.CLOSE:
            self.closed_with.append(decode_close(plaintext)[0])
            self.hang_up(CloseCode.NORMAL)
            return
        assert type == RecordType.DATA
        ver, cmd, request_id, payload = decode_request(plaintext)
        if (ver, cmd) == (0, 1):
            self.keep_alives.append(decode_keep_alive_request(payload))
            if self.server.answer_keep_alive:
                self.answer_keep_alive()
            return
        self.messages.append((ver, cmd, request_id, payload))
        self.server.message(self, ver, cmd, request_id, payload)

    # Talking

    def accept(self, *, ephemeral=None, keys=KEYS, terms=None, context=None):
        """
        Answer HELLO with ACCEPT, and derive the keys.

        @param ephemeral: what to answer; L{None} = what is right.
        """
        hello = self.hello
        shared, public = b"", NO_EPHEMERAL
        if hello.flags & FLAG_EPHEMERAL:
            public = public_key(PRIVATE)
            shared = shared_secret(PRIVATE, hello.client_ephemeral)
        if ephemeral is not None:
            public = ephemeral
        nonce = b"N" * 16
        found = HandshakeContext(
            hello.version,
            hello.flags,
            self.transport_id,
            hello.client_nonce,
            nonce,
            hello.client_ephemeral,
            public,
        )
        secret = connection_secret(keys.master(), shared)
        derived = connection_keys(secret, found)
        cache = AeadCache()
        encrypted = self.server.encryption
        self.opener = Cipher(derived.c2s_key, derived.c2s_iv, encrypted, cache)
        self.sealer = Cipher(derived.s2c_key, derived.s2c_iv, encrypted, cache)
        header = self.header(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
        key = accept_key(secret, found)
        granted = self.server.terms if terms is None else terms
        self.put(header + encode_accept(header, nonce, public, granted, key))

    def terminate(self, code, nonce=None):
        body = encode_terminate(self.hello.client_nonce if nonce is None else nonce, code)
        self.put(self.header(RecordType.TERMINATE, TERMINATE_BODY_SIZE) + body)
        self.hang_up(code)

    def sealed(self, type, plaintext):
        header = self.header(type, len(plaintext) + TAG_SIZE)
        record = header + self.sealer.seal(self.s2c, header, plaintext)
        self.s2c += 1
        return record

    def push(self, ver, cmd, payload):
        self.put(self.sealed(RecordType.DATA, encode_push(ver, cmd, encode_payload(payload))))

    def respond(self, ver, cmd, request_id, payload, status=Status.OK):
        message = encode_response(ver, cmd, status, request_id, encode_payload(payload))
        self.put(self.sealed(RecordType.DATA, message))

    def answer_keep_alive(self, state=1, time=None):
        if time is None:
            time = self.keep_alives[-1][0]
        self.respond(0, 1, 0, encode_keep_alive_response(time, state, ""))

    def close(self, code, reason=""):
        self.put(self.sealed(RecordType.CLOSE, encode_close(code, reason)))
        self.hang_up(code)


class ServerEnd(RecordEnd, Protocol):
    """
    The same over TCP.
    """

    def __init__(self, server):
        self.begin(server)
        self.reader = RecordReader(2**24)

    def dataReceived(self, data):
        self.reader.feed(data)
        while (record := self.reader.next()) is not None:
            self.record(*record)

    def connectionLost(self, reason):
        self.lost = True


class ScriptedServer(Factory):
    """
    Accepts, echoes 2/10, answers keep-alive and ping, closes on fin, unless told
    otherwise.

    @ivar ends: every connection, oldest first.
    """

    noisy = False

    def __init__(self):
        self.ends = []
        self.encryption = True
        self.answer_keep_alive = True
        self.terms = terms()
        self.greet = lambda end: end.accept()
        self.message = self.serve

    def buildProtocol(self, addr):
        end = ServerEnd(self)
        self.ends.append(end)
        return end

    @property
    def end(self):
        return self.ends[-1]

    def serve(self, end, ver, cmd, request_id, payload):
        if (ver, cmd) == (0, 0):
            end.close(CloseCode.NORMAL)
        elif (ver, cmd) in ((2, 10), (0, 3)):
            end.respond(ver, cmd, request_id, payload)


def silent(*args):
    """
    A server that does nothing.
    """


class ClientCase(SynchronousTestCase):
    """
    A scripted server that listens, and clients that connect to it in memory.
    """

    def setUp(self):
        self.reactor = LoopbackReactor()
        self.server = ScriptedServer()
        self.port = self.reactor.listenTCP(0, self.server, interface="127.0.0.1")
        self.events = []

    @property
    def link(self):
        return self.reactor.links[-1]

    def endpoint(self, **changes):
        fields = {
            "server_type": ServerType.TCP,
            "host": "127.0.0.1",
            "port": self.port.getHost().port,
            "keys": KEYS,
            "encryption": self.server.encryption,
        }
        return Endpoint(**{**fields, **changes})

    def begin(self, **options):
        return connect_to(self.endpoint(), "alice", reactor=self.reactor, **options)

    def connect(self, **options):
        connecting = self.begin(**options)
        self.reactor.pump()
        return self.watch(self.successResultOf(connecting))

    def watch(self, client):
        client.on_reconnecting(lambda: self.events.append("reconnecting"))
        client.on_reconnected(lambda: self.events.append("reconnected"))
        client.on_disconnected(lambda code: self.events.append(code))
        return client

    def refused(self, connecting, error):
        """
        The error that a Deferred failed with.
        """
        return self.failureResultOf(connecting, error).value
