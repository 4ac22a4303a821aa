"""
Tests of a connected client: requests, pushes, keep-alive, and its end.
"""

import gc

from twisted.internet.defer import Deferred, fail

from diarkis_tw.client import (
    Client,
    ClientState,
    Disconnected,
    LocalProtocolError,
    NodeState,
    Push,
    RequestTimeout,
    Response,
    ResponseError,
)
from diarkis_tw.client.requests import ID_MAX, PendingRequests
from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.wire.value import decode_value, encode_error
from tests.client.scripted import KEEP_ALIVE, TTL, ClientCase, silent, terms


class RequestTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def test_answer(self):
        """A request gives the payload of its answer."""
        answer = self.client.request(2, 10, b"hello")
        self.assertNoResult(answer)
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"hello")
        self.assertEqual(self.reactor.getDelayedCalls().__len__(), 2)

    def test_map(self):
        """A map as payload travels as MessagePack."""
        answer = self.client.request(2, 10, {"a": [1, "b"]})
        self.reactor.pump()
        self.assertEqual(decode_value(self.successResultOf(answer)), {"a": [1, "b"]})

    def test_out_of_order(self):
        """Answers find their requests in any order."""
        self.server.message = silent
        answers = [self.client.request(2, 10, b"%d" % n) for n in range(3)]
        self.reactor.pump()
        for ver, cmd, request_id, payload in reversed(self.server.end.messages):
            self.server.end.respond(ver, cmd, request_id, payload)
        self.reactor.pump()
        self.assertEqual([self.successResultOf(a) for a in answers], [b"0", b"1", b"2"])

    def test_bad(self):
        """An answer with status BAD or ERR is an error with its code and text."""
        for status in (Status.BAD, Status.ERR):
            self.server.message = lambda end, ver, cmd, id, payload, status=status: end.respond(
                ver, cmd, id, encode_error(1234, "no such thing"), status
            )
            answer = self.client.request(2, 10)
            self.reactor.pump()
            error = self.refused(answer, ResponseError)
            self.assertEqual(
                (error.status, error.code, error.message), (status, 1234, "no such thing")
            )

    def test_timeout(self):
        """A request without an answer ends at its time-out, and not before."""
        self.server.message = silent
        answer = self.client.request(2, 10, timeout=1)
        self.reactor.advance(0.99)
        self.assertNoResult(answer)
        self.reactor.advance(0.02)
        self.assertIn("2/10", str(self.refused(answer, RequestTimeout)))

    def test_late_answer(self):
        """An answer that comes after the time-out goes to on_response."""
        late = []
        self.client.on_response(late.append)
        self.server.message = silent
        answer = self.client.request(2, 10, timeout=1)
        self.reactor.advance(1.1)
        self.refused(answer, RequestTimeout)
        request_id = self.server.end.messages[0][2]
        self.server.end.respond(2, 10, request_id, b"late")
        self.reactor.pump()
        self.assertEqual(late, [Response(2, 10, Status.OK, request_id, b"late")])

    def test_cancel(self):
        """A cancelled request is forgotten: its answer finds nobody, no timer is left."""
        late = []
        self.client.on_response(late.append)
        timers = len(self.reactor.getDelayedCalls())
        answer = self.client.request(2, 10, b"x")
        answer.addErrback(lambda failure: None)
        answer.cancel()
        self.assertEqual(len(self.reactor.getDelayedCalls()), timers)
        self.reactor.pump()
        self.assertEqual(len(late), 1)

    def test_illegal(self):
        """Numbers out of range and payloads that cannot be sent fail, and nothing is sent."""
        for arguments in ((256, 1), (2, 65536), (2, 10, {"x": object()}), (-1, 0)):
            self.refused(self.client.request(*arguments), LocalProtocolError)
            self.assertRaises(LocalProtocolError, self.client.send, *arguments)
        self.reactor.pump()
        self.assertEqual(self.server.end.messages, [])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 2)

    def test_too_much_unsent(self):
        """A request that the write buffer has no room for fails at once."""
        self.link.server.stalled = True
        answers = [self.client.request(2, 10, bytes(100_000)) for _ in range(15)]
        self.assertIn("too much", str(self.refused(answers.pop(), LocalProtocolError)))
        for answer in answers:
            answer.addErrback(lambda failure: failure.trap(LocalProtocolError, Disconnected))

    def test_send(self):
        """send has id 0, and an answer to it goes to on_response."""
        answers = []
        self.client.on_response(answers.append)
        self.assertTrue(self.client.send(2, 10, b"x"))
        self.reactor.pump()
        self.assertEqual(self.server.end.messages, [(2, 10, 0, b"x")])
        self.assertEqual(answers, [Response(2, 10, Status.OK, 0, b"x")])

    def test_ping(self):
        """ping measures the round trip, which the client then shows."""
        self.server.message = silent
        round_trip = Deferred.fromCoroutine(self.client.ping())
        self.reactor.advance(0.25)
        self.server.end.respond(0, 3, self.server.end.messages[0][2], b"")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(round_trip), 0.25)
        self.assertEqual(self.client.round_trip, 0.25)

    def test_after_end(self):
        """After the end requests fail with the code, and sends are dropped."""
        self.server.end.close(CloseCode.KICKED)
        self.reactor.pump()
        self.assertEqual(
            self.refused(self.client.request(2, 10), Disconnected).code, CloseCode.KICKED
        )
        self.assertFalse(self.client.send(2, 10))

    def test_in_flight_at_end(self):
        """Requests in flight fail with the connection, each with an error of its own."""
        self.server.message = silent
        answers = [self.client.request(2, 10) for _ in range(2)]
        self.reactor.pump()
        self.server.end.close(CloseCode.KICKED, "for cheating")
        self.reactor.pump()
        first, second = (self.refused(answer, Disconnected) for answer in answers)
        self.assertEqual(first.code, CloseCode.KICKED)
        self.assertIn("for cheating", str(first))
        self.assertIsNot(first, second)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class RequestIdTests(ClientCase):
    def test_ids(self):
        """Ids run from 1 to 65535, round again, and skip those in flight."""
        requests = PendingRequests(self.reactor)
        first, kept = requests.begin("first", 1e6)
        self.assertEqual(first, 1)
        seen = set()
        for _ in range(ID_MAX - 1):
            request_id, answer = requests.begin("x", 5)
            seen.add(request_id)
            requests.answered(Response(2, 1, Status.OK, request_id, b""))
            self.successResultOf(answer)
        self.assertEqual(seen, set(range(2, ID_MAX + 1)))
        self.assertEqual(requests.begin("y", 5)[0], 2)
        self.assertNoResult(kept)

    def test_all_in_use(self):
        """When every id is in flight a request fails at once."""
        requests = PendingRequests(self.reactor)
        requests._waiting = dict.fromkeys(range(1, ID_MAX + 1))
        self.assertRaises(LocalProtocolError, requests.begin, "x", 5)
        del requests._waiting[777]
        self.assertEqual(requests._free_id(), 777)

    def test_answer_to_nobody(self):
        """An answer with id 0, or one that is unknown, belongs to no request."""
        requests = PendingRequests(self.reactor)
        self.assertFalse(requests.answered(Response(2, 1, Status.OK, 0, b"")))
        self.assertFalse(requests.answered(Response(2, 1, Status.OK, 5, b"")))


class PushTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()
        self.got = []

    def push(self, *args):
        self.server.end.push(*args)
        self.reactor.pump()

    def test_one_kind(self):
        """A handler gets the payloads of its own pushes only."""
        self.client.on_push(2, 11, self.got.append)
        self.push(2, 11, b"mine")
        self.push(2, 12, b"other command")
        self.push(3, 11, b"other version")
        self.assertEqual(self.got, [b"mine"])

    def test_notification(self):
        """on_notification gets the message of the notification push, and no other."""
        self.client.on_notification(self.got.append)
        self.client.on_notification(lambda message: self.got.append(message[::-1]))
        for ver, cmd in ((0, 400), (2, 400), (2, 11)):
            self.push(ver, cmd, b"news")
        self.assertEqual(self.got, [b"news", b"swen"])

    def test_any(self):
        """on_any_push gets every push, also one with a handler of its own."""
        self.client.on_push(2, 11, lambda payload: self.got.append(payload))
        self.client.on_any_push(self.got.append)
        self.push(2, 11, b"a")
        self.push(3, 1, b"b")
        self.assertEqual(self.got, [b"a", Push(2, 11, b"a"), Push(3, 1, b"b")])

    def test_right_after_accept(self):
        """A push that follows ACCEPT in one segment reaches a handler registered at once."""

        def greet(end):
            end.accept()
            end.push(2, 11, b"early")

        self.server.greet = greet
        connecting = self.begin()
        connecting.addCallback(lambda client: client.on_push(2, 11, self.got.append))
        self.reactor.pump()
        self.assertEqual(self.got, [b"early"])

    def test_coroutine(self):
        """A handler may be a coroutine function."""

        async def handler(payload):
            self.got.append(await self.client.request(2, 10, payload))

        self.client.on_push(2, 11, handler)
        self.push(2, 11, b"x")
        self.assertEqual(self.got, [b"x"])

    def test_failures(self):
        """Failing handlers of any form are logged, and the others are called."""

        def sync(payload):
            raise ValueError("sync")

        async def coroutine(payload):
            raise ValueError("coroutine")

        self.client.on_push(2, 11, sync)
        self.client.on_push(2, 11, coroutine)
        self.client.on_push(2, 11, lambda payload: fail(ValueError("deferred")))
        self.client.on_push(2, 11, self.got.append)
        self.push(2, 11, b"x")
        gc.collect()
        self.assertEqual(
            [str(failure.value) for failure in self.flushLoggedErrors(ValueError)],
            ["sync", "coroutine", "deferred"],
        )
        self.assertEqual(self.got, [b"x"])
        self.assertEqual(self.client.state, ClientState.CONNECTED)

    def test_close_in_handler(self):
        """A handler may close the client."""
        self.client.on_push(2, 11, lambda payload: self.client.close())
        self.push(2, 11, b"")
        self.assertEqual(self.events, [CloseCode.NORMAL])


class NodeStateTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.client = self.connect()
        self.states = []
        self.client.on_node_state(self.states.append)

    def test_keep_alive(self):
        """Keep-alive answers tell the node's state, and a change is reported once."""
        self.assertEqual(self.client.node_state, NodeState.ONLINE)
        for state in (1, 3, 3, 2):
            self.server.end.answer_keep_alive(state)
        self.reactor.pump()
        self.assertEqual(self.states, [NodeState.TAKEN, NodeState.OFFLINE])

    def test_push(self):
        """The node state push is reported as the state, not as a push."""
        pushes = []
        self.client.on_any_push(pushes.append)
        self.server.end.push(0, 6, b"\x02")
        self.reactor.pump()
        self.assertEqual((self.states, pushes), ([NodeState.OFFLINE], []))

    def test_bad_push(self):
        """A node state push without a state ends the client with PROTOCOL."""
        self.server.end.push(0, 6, b"\x09")
        self.reactor.pump()
        self.assertEqual(self.events, [CloseCode.PROTOCOL])


class KeepAliveTests(ClientCase):
    def test_interval(self):
        """Keep-alives follow at the interval that ACCEPT grants."""
        self.server.terms = terms(keep_alive_ms=1500)
        self.connect()
        self.reactor.advance(6.1)
        self.assertEqual(
            [time for time, _ in self.server.end.keep_alives], [0, 1500, 3000, 4500, 6000]
        )

    def test_round_trip(self):
        """The round trip is measured, shown, and told to the server with the next one."""
        self.server.answer_keep_alive = False
        client = self.connect()
        self.assertIsNone(client.round_trip)
        self.reactor.advance(0.04)
        self.server.end.answer_keep_alive()
        self.reactor.advance(KEEP_ALIVE)
        self.assertAlmostEqual(client.round_trip, 0.04)
        self.assertEqual([rtt for _, rtt in self.server.end.keep_alives], [None, 40])

    def test_foreign_time(self):
        """An answer with a time that was not sent measures nothing, nor does a second one."""
        self.server.answer_keep_alive = False
        client = self.connect()
        self.server.end.answer_keep_alive(time=12345)
        self.reactor.pump()
        self.assertIsNone(client.round_trip)
        self.server.end.answer_keep_alive()
        self.reactor.advance(1)
        self.server.end.answer_keep_alive()
        self.reactor.pump()
        self.assertEqual(client.round_trip, 0)

    def test_not_for_the_application(self):
        """Answers to keep-alives do not reach on_response."""
        client = self.connect()
        got = []
        client.on_response(got.append)
        self.reactor.advance(20)
        self.assertEqual(got, [])

    def test_answers_keep_it(self):
        """As long as keep-alives are answered the client stays."""
        client = self.connect()
        self.reactor.advance(10 * TTL)
        self.assertEqual((client.state, self.events), (ClientState.CONNECTED, []))

    def test_gives_up(self):
        """After the whole TTL without an answer the client looks for another connection."""
        self.connect()
        self.link.stall()
        self.reactor.advance(TTL - 0.1)
        self.assertEqual(self.events, [])
        self.reactor.advance(0.3)
        self.assertEqual(self.events, ["reconnecting", "reconnected"])

    def test_pushes_do_not_count(self):
        """Other messages do not make up for missing answers."""
        self.server.answer_keep_alive = False
        self.connect()
        for _ in range(TTL):
            self.server.end.push(2, 11, b"")
            self.reactor.advance(1.01)
        self.assertEqual(self.events[0], "reconnecting")

    def test_busy_link(self):
        """A link that is merely slow is not given up: keep-alives queue up behind the data."""
        client = self.connect()
        self.link.server.stalled = True
        client.send(2, 9, bytes(300_000))
        self.reactor.advance(TTL - 1)
        self.link.server.stalled = False
        self.reactor.advance(TTL - 1)
        self.assertEqual(self.events, [])


class ClosingTests(ClientCase):
    def test_fin(self):
        """close says fin, and fires once the server's CLOSE came and all is gone."""
        client = self.connect()
        closing = client.close()
        self.assertNoResult(closing)
        self.assertEqual(client.state, ClientState.CLOSING)
        self.reactor.pump()
        self.successResultOf(closing)
        self.assertEqual(self.server.end.messages, [(0, 0, 0, b"")])
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertEqual(client.state, ClientState.CLOSED)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_twice(self):
        """Further calls of close wait for the same end."""
        client = self.connect()
        first, second = client.close(), client.close()
        self.reactor.pump()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(client.close())
        self.assertEqual(len(self.server.end.messages), 1)
        self.assertEqual(self.events, [CloseCode.NORMAL])

    def test_deaf_server(self):
        """A server that does not answer fin delays the end by 2 seconds at most."""
        client = self.connect()
        self.server.message = silent
        closing = client.close()
        self.reactor.advance(1.9)
        self.assertNoResult(closing)
        self.reactor.advance(0.2)
        self.successResultOf(closing)
        self.assertEqual(self.server.end.closed_with, [CloseCode.NORMAL])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stuck_socket(self):
        """Not even a socket that takes nothing keeps close from finishing."""
        client = self.connect()
        self.link.stall()
        client.send(2, 9, bytes(300_000))
        closing = client.close()
        self.reactor.advance(4.1)
        self.successResultOf(closing)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lost_meanwhile(self):
        """A connection lost after fin is an end like any other; nothing reconnects."""
        client = self.connect()
        self.server.message = silent
        closing = client.close()
        self.link.cut()
        self.reactor.advance(10)
        self.successResultOf(closing)
        self.assertEqual(self.events, [CloseCode.NORMAL])
        self.assertEqual(len(self.server.ends), 1)

    def test_pending(self):
        """Requests in flight fail when the client is closed."""
        client = self.connect()
        self.server.message = silent
        answer = client.request(2, 10)
        client.close()
        late = self.refused(client.request(2, 10), Disconnected)
        self.assertEqual(late.code, CloseCode.NORMAL)
        self.reactor.advance(3)
        self.assertEqual(self.refused(answer, Disconnected).code, CloseCode.NORMAL)

    def test_async_with(self):
        """Leaving async with closes the client."""

        async def use():
            async with await self.begin() as client:
                return client, await client.request(2, 10, b"x")

        using = Deferred.fromCoroutine(use())
        self.reactor.pump()
        client, answer = self.successResultOf(using)
        self.assertEqual((client.state, answer), (ClientState.CLOSED, b"x"))

    def test_shows_no_secret(self):
        """The text of a client and of its endpoint contain no key."""
        client = self.connect()
        for text in (repr(client), repr(client.endpoint), str(client.endpoint)):
            for secret in (b"k" * 16, b"i" * 16, b"m" * 16):
                self.assertNotIn(secret.hex(), text)
                self.assertNotIn(repr(secret), text)


class ConnectToTests(ClientCase):
    def test_timeout(self):
        """The time-out covers the handshake, and leaves nothing behind."""
        self.server.greet = silent
        connecting = self.begin(timeout=1)
        self.reactor.advance(1.1)
        self.assertIn("within 1 s", str(self.refused(connecting, Disconnected)))
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancel(self):
        """A cancelled attempt leaves nothing behind."""
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.pump()
        connecting.addErrback(lambda failure: None)
        connecting.cancel()
        self.reactor.pump()
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_client(self):
        """The client knows its uid and endpoint."""
        client = self.connect()
        self.assertIsInstance(client, Client)
        self.assertEqual((client.uid, client.endpoint), ("alice", self.endpoint()))
