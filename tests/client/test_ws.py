"""
Tests of the client over WebSocket: connecting, talking and ending, with both
subprotocols.
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
from diarkis_tw.client.stream import RECEIVE_MAX_BYTES, UNSENT_MAX_BYTES
from diarkis_tw.client.ws import UPGRADE_MAX_BYTES
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.value import encode_error, encode_value
from tests.client.scripted import KEEP_ALIVE, TTL, silent
from tests.client.scripted_ws import Fixed, Silent, WsCase


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

    # The handshake

    def test_refused(self):
        """Nobody listening fails with a sentence, at once."""
        self.port.stopListening()
        connecting = self.begin()
        self.reactor.pump()
        self.assertIn("refused", str(self.refused(connecting, Disconnected)))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_terminated(self):
        """A refusal in the handshake is the error's code."""
        for code in CloseCode:
            self.server.greet = lambda end, code=code: end.terminate(code)
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, code)
            self.reactor.advance(3)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_silent(self):
        """A server that does not answer is given up after 5 seconds."""
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.advance(4.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TIMEOUT)
        self.reactor.advance(2)
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_upgrade(self):
        """A server that takes the connection and says nothing at all is given up, too."""
        self.server.buildProtocol = lambda addr: Silent()
        connecting = self.begin()
        self.reactor.advance(5.1)
        self.assertIn("no connection within 5 s", str(self.refused(connecting, Disconnected)))
        self.reactor.advance(2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancelled(self):
        """An attempt cancelled at any stage leaves nothing behind."""
        for greet, build in ((silent, None), (silent, lambda addr: Silent())):
            self.server.greet = greet
            if build is not None:
                self.server.buildProtocol = build
            connecting = self.begin()
            self.reactor.pump()
            connecting.addErrback(lambda failure: None)
            connecting.cancel()
            self.reactor.advance(3)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertFalse(self.link.client.connected)

    def test_another_subprotocol(self):
        """A server that does not take up the subprotocol is refused."""
        self.server.choose = lambda offered: None
        connecting = self.begin()
        self.reactor.pump()
        error = self.refused(connecting, Disconnected)
        self.assertEqual(error.code, CloseCode.PROTOCOL)
        self.assertIn(self.subprotocol, str(error))

    def test_http_answers(self):
        """What is no answer to an upgrade fails with a sentence, without a traceback."""
        for answer, text in (
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
            (b"HTTP/1.1 101 \xff\xfe\r\n\r\n", "HTTP"),
            (b"\xff\r\n\r\n", "HTTP"),
            (b"\r\n\r\n", ""),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "Upgrade"),
            (b"SSH-2.0-OpenSSH_9.2\r\n" + b"x" * UPGRADE_MAX_BYTES, "does not end"),
        ):
            self.server.buildProtocol = lambda addr, answer=answer: Fixed(answer)
            connecting = self.begin()
            self.reactor.pump()
            error = self.refused(connecting, Disconnected)
            self.assertEqual(error.code, CloseCode.TIMEOUT)
            self.assertIn(text, str(error))
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    # Slow networks and hostile servers

    def test_unreliable_dropped(self):
        """While the network takes nothing, unreliable messages are dropped."""
        client = self.connect()
        self.link.server.stalled = True
        self.assertTrue(client.send(2, 9, bytes(70_000), reliable=False))
        self.assertFalse(client.send(2, 9, b"", reliable=False))
        self.assertTrue(client.send(2, 9, b""))

    def test_reliable_bounded(self):
        """Reliable messages are refused once too much waits, and sent again afterwards."""
        client = self.connect()
        self.link.server.stalled = True
        sent = sum(client.send(2, 9, bytes(10_000)) for _ in range(300))
        self.assertLess(sent, 300)
        self.assertLess(self.link.client.buffered, UNSENT_MAX_BYTES + 200_000)
        self.link.server.stalled = False
        self.reactor.pump()
        self.assertTrue(client.send(2, 9, b"", reliable=False))

    def test_pings(self):
        """A ping is answered, and not while the network takes nothing."""
        client = self.connect()
        self.server.end.sendPing(b"hello")
        self.reactor.pump()
        self.assertEqual(self.server.end.pongs, [b"hello"])
        self.link.server.stalled = True
        client.send(2, 9, bytes(200_000))
        self.reactor.pump()
        before = self.link.client.buffered
        for _ in range(1000):
            self.server.end.sendPing(b"x" * 125)
        self.reactor.pump()
        self.assertEqual(self.link.client.buffered, before)

    def assertEnded(self, code):
        self.reactor.advance(3)
        self.assertEqual(self.events, [code])
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_too_large(self):
        """A message beyond the limit ends the client with TOO_LARGE."""
        self.connect()
        self.server.end.sendMessage(b"x" * (RECEIVE_MAX_BYTES + 65), self.is_binary)
        self.assertEnded(CloseCode.TOO_LARGE)

    def test_other_kind(self):
        """Text on the binary subprotocol, and the reverse, end the client with PROTOCOL."""
        self.connect()
        self.server.end.sendMessage(b"{}", not self.is_binary)
        self.assertEnded(CloseCode.PROTOCOL)

    def test_garbage(self):
        """A message that is none ends the client with PROTOCOL, and the server is told."""
        for message in (b"", b"{}", b"[1]", b'{"ver": 2', b"\x10", b"\x7fabc", b"null"):
            self.events.clear()
            self.connect()
            self.server.end.sendMessage(message, self.is_binary)
            self.reactor.pump()
            self.assertEqual(self.server.end.statuses, [4000 + CloseCode.PROTOCOL])
            self.assertEnded(CloseCode.PROTOCOL)

    def test_bad_frames(self):
        """Frames against the rules of WebSocket end the client with PROTOCOL."""
        for frame in (
            b"\x83\x00",  # an opcode that does not exist
            b"\xc1\x00",  # a reserved bit
            b"\x09\x00",  # a control frame in pieces
            b"\x89\x7e\x00\x80" + bytes(128),  # a control frame too long
            b"\x80\x00",  # a continuation of nothing
            b"\x81\x81abcdx",  # masked, by a server
            b"\x88\x01x",  # half a close status
            b"\x88\x02\x00\x01",  # a close status that does not exist
            b"\x81\x01\xff",  # a text that is no UTF-8
        ):
            self.events.clear()
            self.connect()
            self.server.end.transport.write(frame)
            self.assertEnded(CloseCode.PROTOCOL)

    def test_nothing_after_end(self):
        """What follows the message that ended the client is not looked at."""
        client = self.connect()
        pushes = []
        client.on_any_push(pushes.append)
        self.server.end.sendMessage(b"", self.is_binary)
        self.server.end.push(2, 11, b"x")
        self.assertEnded(CloseCode.PROTOCOL)
        self.assertEqual(pushes, [])

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
        client.close()
        self.reactor.advance(5)
        self.assertEqual(len(real_reactor.getDelayedCalls()), before)
        self.server.ends.clear()
        random.seed(7)
        self.begin()
        self.assertEqual(random.random(), expected)
        self.reactor.advance(5)


class JsonTests(BothKinds, WsCase):
    """
    JSON texts.
    """

    subprotocol = "diarkis.v1.json"

    def error(self, code, message):
        return {"code": code, "message": message}

    def state(self, number):
        return {"state": number}

    def test_auth(self):
        """The client proves that it has the keys, with a nonce of its own each time."""
        self.connect()
        self.connect()
        first, second = (end.auth for end in self.server.ends)
        self.assertTrue(all(end.auth_is_good for end in self.server.ends))
        self.assertEqual(first.sid, b"s" * 16)
        self.assertNotEqual(first.nonce, second.nonce)

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

    def test_bad_keep_alive(self):
        """A keep-alive answer that is none ends the client with PROTOCOL."""
        for payload in (
            {},
            {"time": 1},
            {"time": "1", "state": 1},
            {"time": -1, "state": 1},
            {"time": 1, "state": 4},
            {"time": 1, "state": 1, "address": 5},
        ):
            self.events.clear()
            self.connect()
            self.server.end.respond(0, 1, 0, payload)
            self.assertEnded(CloseCode.PROTOCOL)

    def test_out_of_order(self):
        """A server that skips or repeats a step of the handshake is refused."""
        for texts in (
            ['{"ready": {"connectionTTL": 10, "keepAlive": 3000}}'],
            [HELLO, HELLO],
            ['{"ver": 2, "cmd": 11, "push": true}'],
            [HELLO, '{"ver": 2, "cmd": 11, "push": true}'],
            ["{}"],
            ['{"hello": {"nonce": "00", "protocol": 1}}'],
        ):
            self.server.hello = lambda end, texts=texts: [end.put(text) for text in texts]
            self.server.greet = silent
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)

    def test_version(self):
        """A server of another version of the protocol is refused with VERSION."""
        self.server.hello = lambda end: end.put(HELLO.replace("1}", "2}"))
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.VERSION)

    def test_ready_twice(self):
        """A second ready ends the client with PROTOCOL."""
        self.connect()
        self.server.end.accept()
        self.assertEnded(CloseCode.PROTOCOL)

    def test_reason(self):
        """The server's reason is in the error."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10)
        self.server.end.terminate(CloseCode.KICKED)
        self.reactor.pump()
        self.assertIn("so it is", str(self.refused(answer, Disconnected)))


HELLO = '{"hello": {"nonce": "' + "0" * 32 + '", "protocol": 1}}'


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

    def test_hello(self):
        """HELLO proves the keys."""
        self.connect()
        self.assertTrue(self.server.end.hello_is_good)

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

    def test_wrong_keys(self):
        """A server that does not have the session's keys is refused."""
        self.server.greet = lambda end: end.put(b"\x03" + b"g" * 104)
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)

    def test_replay(self):
        """A record that comes twice ends the client with PROTOCOL."""
        self.connect()
        record = self.server.end.sealed(0x10, b"\x02\x00\x0b\xffx")
        self.server.end.put(record)
        self.server.end.put(record)
        self.assertEnded(CloseCode.PROTOCOL)


class KindTests(WsCase):
    def test_type(self):
        """The endpoint's type says WebSocket."""
        client = self.connect()
        self.assertEqual(client.endpoint.server_type, ServerType.WS)

    def test_tls(self):
        """An endpoint that wants TLS is refused with a sentence."""
        connecting = self.begin_to(self.endpoint(tls=True))
        self.assertIn("TLS", str(self.refused(connecting, LocalProtocolError)))
