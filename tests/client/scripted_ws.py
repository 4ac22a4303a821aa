"""
A WebSocket server end made of Autobahn and the codecs alone, which does what a test
tells it to.
"""

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.protocol import Protocol

from diarkis_tw.client import ServerType, connect_to
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.testing.loopback import LoopbackReactor
from diarkis_tw.wire.json_message import (
    JsonReady,
    decode_json_auth,
    decode_json_request,
    encode_json_hello,
    encode_json_push,
    encode_json_ready,
    encode_json_response,
    encode_json_terminate,
    verify_auth,
)
from diarkis_tw.wire.keys import TransportId
from diarkis_tw.wire.websocket import close_status, split_ws_record, ws_header
from tests.client.scripted import KEEP_ALIVE, KEYS, TTL, ClientCase, RecordEnd, terms


class WsEnd(WebSocketServerProtocol):
    """
    What both kinds have in common.

    @ivar statuses: close status and reason of each close frame of the client.
    @ivar pongs: what was ponged.
    """

    def __init__(self, server):
        super().__init__()
        self.statuses = []
        self.pongs = []
        self.begin(server)

    def onConnect(self, request):
        self.request = request
        return self.server.choose(request.protocols), {}

    def onPong(self, payload):
        self.pongs.append(payload)

    def onCloseFrame(self, code, reason):
        self.statuses.append(code)
        return super().onCloseFrame(code, reason)

    def onClose(self, clean, code, reason):
        self.lost = True

    def hang_up(self, code):
        self.sendClose(close_status(code))


class BinaryEnd(WsEnd, RecordEnd):
    """
    One connection of the binary subprotocol.
    """

    transport_id = TransportId.WS

    def onMessage(self, message, is_binary):
        assert is_binary
        self.record(*split_ws_record(message))

    def header(self, type, length):
        return ws_header(type)

    def put(self, record):
        self.sendMessage(record, True)


class JsonEnd(WsEnd):
    """
    One connection of the JSON subprotocol, with the attributes of L{RecordEnd}.
    """

    def begin(self, server):
        self.server = server
        self.auth = None
        self.messages = []
        self.keep_alives = []
        self.lost = False

    @property
    def closed_with(self):
        return [CloseCode(code - 4000 if code >= 4000 else 0) for code in self.statuses]

    def onOpen(self):
        self.server.hello(self)

    def onMessage(self, message, is_binary):
        assert not is_binary
        if self.auth is None:
            self.auth = decode_json_auth(message)
            self.auth_is_good = verify_auth(self.auth, b"N" * 16, KEYS.hello_key())
            self.server.greet(self)
            return
        ver, cmd, request_id, payload = decode_json_request(message)
        if (ver, cmd) == (0, 1):
            self.keep_alives.append((payload["time"], payload["rtt"]))
            if self.server.answer_keep_alive:
                self.answer_keep_alive()
            return
        self.messages.append((ver, cmd, request_id, payload))
        self.server.message(self, ver, cmd, request_id, payload)

    def put(self, text):
        self.sendMessage(text if isinstance(text, bytes) else text.encode(), False)

    def accept(self):
        self.put(encode_json_ready(self.server.ready))

    def terminate(self, code, nonce=None):
        self.put(encode_json_terminate(code, "so it is"))
        self.hang_up(code)

    def push(self, ver, cmd, payload):
        self.put(encode_json_push(ver, cmd, payload))

    def respond(self, ver, cmd, request_id, payload, status=Status.OK):
        self.put(encode_json_response(ver, cmd, status, request_id, payload))

    def answer_keep_alive(self, state=1, time=None):
        if time is None:
            time = self.keep_alives[-1][0]
        self.respond(0, 1, 0, {"time": time, "state": state})

    def close(self, code, reason=""):
        self.terminate(code)


class ScriptedWsServer(WebSocketServerFactory):
    """
    Like L{tests.client.scripted.ScriptedServer}, over WebSocket.

    @ivar ends: every connection, oldest first.
    """

    noisy = False

    def __init__(self, reactor, is_binary):
        super().__init__(reactor=reactor)
        # Autobahn's timers would run on the process's reactor.
        self.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0)
        self.is_binary = is_binary
        self.ends = []
        self.encryption = True
        self.answer_keep_alive = True
        self.terms = terms()
        self.ready = JsonReady(TTL, KEEP_ALIVE * 1000)
        self.choose = lambda offered: offered[0]
        self.hello = lambda end: end.put(encode_json_hello(b"N" * 16))
        self.greet = lambda end: end.accept()
        self.message = self.serve

    def buildProtocol(self, addr):
        end = (BinaryEnd if self.is_binary else JsonEnd)(self)
        end.factory = self
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


class WsCase(ClientCase):
    """
    A scripted WebSocket server that listens, and clients that connect to it in
    memory.
    """

    is_binary = False

    def setUp(self):
        self.reactor = LoopbackReactor()
        self.server = ScriptedWsServer(self.reactor, self.is_binary)
        self.port = self.reactor.listenTCP(0, self.server, interface="127.0.0.1")
        self.events = []

    def endpoint(self, **changes):
        return super().endpoint(**{"server_type": ServerType.WS, **changes})

    def begin(self, **options):
        return super().begin(**{"binary": self.is_binary, **options})

    def begin_to(self, endpoint):
        return connect_to(endpoint, reactor=self.reactor, binary=self.is_binary)


class Silent(Protocol):
    """
    Takes a connection and says nothing.
    """


class Fixed(Protocol):
    """
    Says always the same.
    """

    def __init__(self, words):
        self.words = words

    def connectionMade(self):
        self.transport.write(self.words)
