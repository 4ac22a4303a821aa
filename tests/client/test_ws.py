"""
Tests of the client over WebSocket: talking and ending, with both subprotocols.
"""

import random

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred

from diarkis_tw.client import (
    ClientState,
    Disconnected,
    LocalProtocolError,
    NodeState,
    RequestTimeout,
    ResponseError,
    ServerType,
    value_of,
)
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.value import encode_error, encode_value
from tests.client.scripted import KEEP_ALIVE, TTL, silent
from tests.client.scripted_ws import Silent, WsCase


class BothKinds:
    """
    What does not depend on the subprotocol.
    """

    def test_subprotocol(self):
        """The client asks for its subprotocol alone, at the address it connects to."""
        self.connect()
        request = self.server.end.request
        self.assertEqual(request.protocols, [self.subprotocol])
        self.assertEqual(request.headers["host"], f"127.0.0.1:{self.port.getHost().port}")
        self.assertNotIn("sec-websocket-extensions", request.headers)
        self.assertTrue(self.link.client.no_delay)

    def test_ipv6(self):
        """An IPv6 address stands in brackets in the request."""
        self.begin_to(self.endpoint(host="::1"))
        self.reactor.pump()
        self.assertIn("[::1]:", self.server.end.request.headers["host"])

    def test_requests(self):
        """Bytes and values are answered, in any chunks."""
        for chunk_size in (2**16, 1):
            self.reactor.chunk_size = chunk_size
            client = self.connect()
            answers = [
                client.request(2, 10, payload)
                for payload in (b"", b"\xff" * 1000, {"a": [1, "b"]}, {})
            ]
            self.reactor.pump()
            empty, raw, value, none = (self.successResultOf(answer) for answer in answers)
            self.assertEqual((empty, raw), (b"", b"\xff" * 1000))
            self.assertEqual((value_of(value), value_of(none)), ({"a": [1, "b"]}, {}))

    def test_pushes(self):
        """Pushes are bytes or values."""
        client = self.connect()
        got, all_of_them = [], []
        client.on_push(2, 11, got.append)
        client.on_any_push(all_of_them.append)
        self.server.end.push(2, 11, b"\xff")
        self.server.end.push(2, 11, {"a": 1})
        self.reactor.pump()
        self.assertEqual(got[0], b"\xff")
        self.assertEqual(value_of(got[1]), {"a": 1})
        self.assertEqual(all_of_them[0], Push(2, 11, b"\xff"))
        self.assertEqual(all_of_them[1].value(), {"a": 1})

    def test_send(self):
        """An answer to send goes to on_response."""
        client = self.connect()
        answers = []
        client.on_response(answers.append)
        self.assertTrue(client.send(2, 10, {"a": 1}))
        self.reactor.pump()
        self.assertEqual(answers[0].value(), {"a": 1})
        self.assertEqual((answers[0].status, answers[0].request_id), (Status.OK, 0))

    def test_error(self):
        """A request answered with BAD or ERR fails with code and message."""
        client = self.connect()
        for status in (Status.BAD, Status.ERR):
            self.server.message = lambda end, ver, cmd, id, payload, status=status: end.respond(
                ver, cmd, id, self.error(7, "no"), status
            )
            answer = client.request(2, 10)
            self.reactor.pump()
            error = self.refused(answer, ResponseError)
            self.assertEqual((error.status, error.code, error.message), (status, 7, "no"))

    def test_foreign_error(self):
        """An error payload that is something else gives code 0 and no message."""
        client = self.connect()
        for payload in (b"text", {"code": "7"}, {"code": 1.5, "message": ""}, {}):
            self.server.message = lambda end, ver, cmd, id, _, payload=payload: end.respond(
                ver, cmd, id, payload, Status.ERR
            )
            answer = client.request(2, 10)
            self.reactor.pump()
            error = self.refused(answer, ResponseError)
            self.assertEqual((error.code, error.message), (0, ""))

    def test_illegal(self):
        """Numbers and payloads that cannot be sent fail, nothing is sent, and all goes on."""
        client = self.connect()
        for arguments in ((256, 1), (2, 65536), (2, 10, {"x": object()}), (2, 9, b"x" * 2**21)):
            self.refused(client.request(*arguments), LocalProtocolError)
            self.assertRaises(LocalProtocolError, client.send, *arguments)
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(len(self.server.end.messages), 1)

    def test_keep_alive(self):
        """Keep-alives go out at once and at the interval, and measure the round trip."""
        self.server.answer_keep_alive = False
        client = self.connect()
        self.assertEqual(len(self.server.end.keep_alives), 1)
        self.reactor.advance(0.04)
        self.server.end.answer_keep_alive(3)
        self.reactor.advance(KEEP_ALIVE)
        self.assertAlmostEqual(client.round_trip, 0.04)
        self.assertEqual(client.node_state, NodeState.TAKEN)
        self.assertEqual(len(self.server.end.keep_alives), 2)

    def test_gives_up(self):
        """A server that answers no keep-alive is left, with TIMEOUT, for another connection."""
        self.server.answer_keep_alive = False
        client = self.connect()
        self.reactor.advance(TTL + 0.3)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(self.server.ends[0].closed_with, [CloseCode.TIMEOUT])
        self.assertEqual(client.state, ClientState.CONNECTED)

    def test_lost(self):
        """A lost connection is made again, and what was asked is answered there."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10, {"a": 1})
        self.reactor.pump()
        request_id = self.server.end.messages[0][2]
        self.link.cut()
        self.reactor.pump()
        waiting = client.send(2, 9, {"b": 2})
        self.reactor.advance(0.2)
        self.assertEqual((waiting, self.events), (True, ["reconnecting", "reconnected"]))
        self.server.end.respond(2, 10, request_id, {"kept": True})
        self.reactor.pump()
        self.assertEqual(value_of(self.successResultOf(answer)), {"kept": True})
        self.assertEqual([m[:2] for m in self.server.end.messages], [(2, 9)])

    def test_move(self):
        """A reconnect push leads elsewhere, over WebSocket or anything else."""
        client = self.connect()
        number = self.port.getHost().port
        self.server.end.push(0, 2, {"endpoint": f"localhost:{number}", "type": "WS"})
        self.reactor.advance(0.2)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])
        self.assertEqual(client.endpoint.host, "localhost")
        self.assertEqual(self.server.ends[0].statuses, [4000 + CloseCode.MOVED])

    def test_node_state(self):
        """The node state push is reported as the state, not as a push."""
        client = self.connect()
        states, pushes = [], []
        client.on_node_state(states.append)
        client.on_any_push(pushes.append)
        self.server.end.push(0, 6, self.state(2))
        self.reactor.pump()
        self.assertEqual((states, pushes), ([NodeState.OFFLINE], []))
        self.server.end.push(0, 6, self.state(9))
        self.reactor.pump()
        self.assertEqual(self.events, [CloseCode.PROTOCOL])

    def test_timeout(self):
        """A request without an answer ends at its time-out."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10, timeout=1)
        self.reactor.advance(1.1)
        self.refused(answer, RequestTimeout)

    def test_send_from_handler(self):
        """A handler may close the client in the middle of what arrives."""
        client = self.connect()
        got = []

        def first(payload):
            got.append(payload)
            client.close()

        client.on_push(2, 11, first)
        self.server.end.push(2, 11, b"1")
        self.server.end.push(2, 11, b"2")
        self.reactor.advance(5)
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_leaves_the_process_alone(self):
        """Neither the process's reactor nor its random numbers are touched."""
        random.seed(7)
        expected = random.random()
        random.seed(7)
        before = len(real_reactor.getDelayedCalls())
        client = self.connect()
        self.server.end.dropConnection = lambda abort=False: None
        client.close()
        self.reactor.pump()
        self.assertEqual(len(real_reactor.getDelayedCalls()), before)
        self.reactor.advance(5)
        self.server.buildProtocol = lambda addr: Silent()
        random.seed(7)
        connecting = self.begin()
        self.assertEqual(random.random(), expected)
        self.reactor.pump()
        self.assertEqual(len(real_reactor.getDelayedCalls()), before)
        self.reactor.advance(6)
        self.refused(connecting, Disconnected)

    # Endings

    def test_close(self):
        """close says fin and 1000, and leaves nothing behind."""
        client = self.connect()
        closing = client.close()
        self.assertNoResult(closing)
        self.reactor.pump()
        self.successResultOf(closing)
        self.assertEqual(self.server.end.messages, [(0, 0, 0, b"")])
        self.assertEqual(self.server.end.statuses, [1000])
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_at_deaf_server(self):
        """A server that reads nothing delays the end, and nothing is left then."""
        client = self.connect()
        self.link.stall()
        client.send(2, 9, bytes(300_000))
        closing = client.close()
        self.reactor.advance(3.9)
        self.assertNoResult(closing)
        self.reactor.advance(0.2)
        self.successResultOf(closing)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_async_with(self):
        """Leaving async with closes the client."""

        async def use():
            async with await self.begin() as client:
                return await client.request(2, 10, b"x")

        using = Deferred.fromCoroutine(use())
        self.reactor.pump()
        self.assertEqual(self.successResultOf(using), b"x")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_ended(self):
        """An end that the server announces is the client's, reported once."""
        mended = {CloseCode.TIMEOUT, CloseCode.REKEY, CloseCode.HANDSHAKE}
        for how in ("close", "terminate"):
            for code in set(CloseCode) - mended:
                self.events.clear()
                self.connect()
                getattr(self.server.end, how)(code)
                self.reactor.advance(10)
                self.assertEqual(self.events, [code])
                self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_status_alone(self):
        """A close status of 4000 + n says it, even if nothing was said before."""
        self.connect()
        self.server.end.sendClose(4000 + CloseCode.KICKED, "for cheating")
        self.reactor.advance(5)
        self.assertEqual(self.events, [CloseCode.KICKED])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_other_status(self):
        """Any other close status is a loss, which the client mends."""
        for status in (None, 1000, 1001, 1011, 3000):
            self.events.clear()
            client = self.connect()
            self.server.end.sendCloseFrame(status)
            self.reactor.advance(0.3)
            self.assertEqual(self.events, ["reconnecting", "reconnected"])
            client.close()
            self.reactor.advance(5)

    def test_close_status_without_end(self):
        """A server that closes the WebSocket and not the socket is left all the same."""
        self.connect()
        self.server.end.dropConnection = lambda abort=False: None
        self.server.end.sendClose(4000 + CloseCode.KICKED)
        self.reactor.advance(0.1)
        self.assertEqual(self.events, [CloseCode.KICKED])
        self.assertTrue(self.link.client.connected)
        self.reactor.advance(2)
        self.assertFalse(self.link.client.connected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class JsonTests(BothKinds, WsCase):
    """
    JSON texts.
    """

    subprotocol = "diarkis.v1.json"

    def error(self, code, message):
        return {"code": code, "message": message}

    def state(self, number):
        return {"state": number}

    def test_keeps_its_kind(self):
        """Values arrive as maps, and bytes as bytes."""
        client = self.connect()
        answers = [client.request(2, 10, payload) for payload in (b"x", {"a": b"x"})]
        self.reactor.pump()
        self.assertEqual(
            [self.successResultOf(answer) for answer in answers], [b"x", {"a": "eA=="}]
        )

    def test_json_only(self):
        """A value that JSON cannot say fails, also if it waited for a connection."""
        client = self.connect()
        value = {"x": float("nan")}
        self.refused(client.request(2, 10, value), LocalProtocolError)
        self.link.cut()
        self.reactor.pump()
        answer = client.request(2, 10, value)
        self.assertTrue(client.send(2, 9, value))
        after = client.request(2, 10, b"x")
        self.assertNoResult(answer)
        self.reactor.advance(0.2)
        self.refused(answer, LocalProtocolError)
        self.assertEqual(self.successResultOf(after), b"x")

    def test_error_as_float(self):
        """An error code that is a float without a fraction is an integer."""
        client = self.connect()
        self.server.message = lambda end, ver, cmd, id, payload: end.put(
            f'{{"ver":2.0,"cmd":10.0,"status":4.0,"id":{id}.0,'
            '"payload":{"code":7.0,"message":"no"}}'
        )
        answer = client.request(2, 10)
        self.reactor.pump()
        self.assertEqual(self.refused(answer, ResponseError).code, 7)

    def test_address(self):
        """The keep-alive answer may tell the client's address."""
        client = self.connect()
        self.server.end.respond(0, 1, 0, {"time": 1.0, "state": 1.0, "address": "1.2.3.4:5"})
        self.reactor.pump()
        self.assertEqual(client.public_address, "1.2.3.4:5")

    def test_reason(self):
        """The server's reason is in the error."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10)
        self.server.end.terminate(CloseCode.KICKED)
        self.reactor.pump()
        self.assertIn("so it is", str(self.refused(answer, Disconnected)))


class BinaryTests(BothKinds, WsCase):
    """
    Sealed records.
    """

    is_binary = True
    subprotocol = "diarkis.v1.bin"

    def error(self, code, message):
        return encode_error(code, message)

    def state(self, number):
        return bytes((number,))

    def test_options(self):
        """Without forward secrecy or encryption it works all the same."""
        for encryption in (True, False):
            self.server.encryption = encryption
            client = self.connect(forward_secrecy=False)
            answer = client.request(2, 10, b"legible")
            self.reactor.pump()
            self.assertEqual(self.successResultOf(answer), b"legible")

    def test_values_are_bytes(self):
        """A value arrives as MessagePack, as over TCP."""
        client = self.connect()
        answers = []
        client.on_response(answers.append)
        client.send(2, 10, {"a": 1})
        self.reactor.pump()
        self.assertEqual(answers, [Response(2, 10, Status.OK, 0, encode_value({"a": 1}))])

    def test_close_is_sealed(self):
        """A client that leaves says so in a record, too."""
        self.server.answer_keep_alive = False
        self.connect()
        self.reactor.advance(TTL + 0.1)
        self.assertEqual(self.server.ends[0].closed_with, [CloseCode.TIMEOUT])


class KindTests(WsCase):
    def test_type(self):
        """The endpoint's type says WebSocket."""
        client = self.connect()
        self.assertEqual(client.endpoint.server_type, ServerType.WS)
