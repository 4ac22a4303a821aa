"""
Tests of L{diarkis_tw.mesh.nats}: messages and requests, genuine and hostile.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.calls import CALLS_LIMIT
from diarkis_tw.mesh.envelope import FRAME_MAX, Envelope, Kind, Sealing
from diarkis_tw.mesh.interface import REQUEST_TIMEOUT
from tests.mesh.nats_case import Answer, Ask, HandlerFault, NatsMeshTestCase, Other


class MessageTests(NatsMeshTestCase):
    """
    What nodes say to each other.
    """

    def test_send(self) -> None:
        """
        A message reaches its node, or this one, and nobody else.
        """
        self.assertTrue(self.a.mesh.send(self.b.address, Ask("there")))
        self.assertTrue(self.a.mesh.send(self.a.address, Ask("here")))
        self.broker.settle()
        self.assertEqual(self.got, [(self.a.address, Ask("here")), (self.b.address, Ask("there"))])

    def test_send_to_nobody(self) -> None:
        """
        A message to an unknown node, or without a broker, is dropped.
        """
        self.assertFalse(self.a.mesh.send("nobody", Ask("x")))
        self.assertEqual(self.a.mesh.dropped, 1)
        self.broker.is_up = False
        self.assertFalse(self.a.mesh.send(self.b.address, Ask("x")))

    def test_looking_sends_nothing(self) -> None:
        """
        However often one looks at the other nodes, no frame is sent.
        """
        before = len(self.broker.frames)
        for _ in range(1000):
            self.assertEqual(len(list(self.a.mesh.nodes())), 3)
        self.assertEqual(len(self.broker.frames), before)

    def test_broadcast(self) -> None:
        """
        A broadcast reaches every other node once.
        """
        self.a.mesh.broadcast(Ask("all"))
        self.broker.settle()
        self.assertEqual(
            sorted(self.got), sorted((n.address, Ask("all")) for n in (self.b, self.c))
        )

    def test_request(self) -> None:
        """
        A request is answered, from another node as from this one.
        """
        for node in (self.b, self.a):
            self.assertEqual(self.successResultOf(self.ask(node)), Answer("hello back"))

    def test_later(self) -> None:
        """
        A handler may answer later, here as a coroutine.
        """
        work: Deferred[str] = Deferred()

        async def handler(ask: Other) -> Answer:
            return Answer(await work)

        self.b.mesh.handle(Other, handler)
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertNoResult(asked)
        work.callback("late")
        self.broker.settle()
        self.assertEqual(self.successResultOf(asked), Answer("late"))

    def test_timeout(self) -> None:
        """
        A request without an answer fails in time; an answer after it is dropped.
        """
        work: Deferred[Answer] = Deferred()
        self.b.mesh.handle(Other, lambda other: work)
        asked = self.a.mesh.request(self.b.address, Other(), Answer, 0.899994)
        self.broker.advance(1)
        self.assertEqual(self.failed(asked), f"Other: no answer from {self.b.address} in 0.9 s")
        work.callback(Answer("late"))
        self.broker.settle()
        self.assertEqual(self.a.mesh.unhandled, 1)
        self.assertEqual(len(self.a.mesh._calls._waiting), 0)

    def test_node_goes(self) -> None:
        """
        Requests to a node that leaves or dies fail as soon as that is known.
        """
        self.b.mesh.handle(Other, lambda other: Deferred[Answer]())
        asked = self.a.mesh.request(self.b.address, Other(), Answer, 60)
        self.b.killed = True
        self.broker.advance(3.5)
        self.assertIn("is gone", self.failed(asked))
        self.assertEqual(self.failed(self.ask(self.b)), f"no node {self.b.address}")

    def test_connection_lost(self) -> None:
        """
        Nor when the broker goes, which takes the answers with it.
        """
        self.b.frozen = True
        asked = self.ask(self.b)
        self.broker.set_up(False)
        self.assertIn("lost", self.failed(asked))

    def test_leaving_as_a_node_is_gone(self) -> None:
        """
        Whoever leaves the mesh because a request has failed ends all others as well, once
        each.
        """
        self.b.killed = True
        first, second = self.ask(self.b), self.ask(self.b)
        first.addErrback(lambda failure: self.a.mesh.leave())
        self.broker.advance(4)
        self.assertIn("leaving", self.failed(second))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_own_end(self) -> None:
        """
        Requests under way fail when this node leaves.
        """
        asked = self.a.mesh.request(self.b.address, Ask("x"), Answer)
        self.a.mesh.leave()
        self.assertIn("leaving", self.failed(asked))

    def test_no_handler(self) -> None:
        """
        A request that nobody handles fails by name; a message is counted.
        """
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertIn("does not handle Other", self.failed(asked))
        self.a.mesh.broadcast(Other())
        self.broker.settle()
        self.assertEqual((self.b.mesh.unhandled, self.c.mesh.unhandled), (2, 1))

    def test_failing_handler(self) -> None:
        """
        A failing handler is logged where it fails; the asker learns no details, but
        the sentence of a MeshError.
        """
        errors: list[Exception] = [MeshError("not today"), HandlerFault("secret")]

        def handler(other: Other) -> Answer:
            raise errors.pop()

        self.b.mesh.handle(Other, handler)
        texts = []
        for _ in range(2):
            asked = self.a.mesh.request(self.b.address, Other(), Answer)
            self.broker.settle()
            texts.append(self.failed(asked))
        self.assertEqual(texts, [f"Other: {self.b.address} failed to handle it", "not today"])
        self.assertEqual(len(self.flushLoggedErrors(HandlerFault)), 1)

    def test_wrong_answer(self) -> None:
        """
        An answer of another class, or none, is an error.
        """
        answers: list[Other | None] = [None, Other()]
        self.b.mesh.handle(Other, lambda other: answers.pop())
        for text in ("answered with Other, not Answer", "Other was answered with NoneType"):
            asked = self.a.mesh.request(self.b.address, Other(), Answer)
            self.broker.settle()
            self.assertEqual(self.failed(asked), text)

    def test_too_large(self) -> None:
        """
        What is too large is the caller's error.
        """
        large = Ask("x" * FRAME_MAX)
        self.assertIn("is the most", self.failed(self.ask(self.b, large.text)))
        self.assertRaises(MeshError, self.a.mesh.send, self.b.address, large)
        self.assertRaises(MeshError, self.a.mesh.broadcast, large)

    def test_too_large_an_answer(self) -> None:
        """
        An answer that is too large is a failure, not silence.
        """
        self.b.mesh.handle(Other, lambda other: Answer("x" * FRAME_MAX))
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        self.broker.settle()
        self.assertIn("is the most", self.failed(asked))

    def test_calls_are_bounded(self) -> None:
        """
        So many requests wait and no more.
        """
        self.a.mesh._calls._waiting = dict.fromkeys(range(-CALLS_LIMIT, 0))  # type: ignore[arg-type]
        self.assertIn("wait for answers already", self.failed(self.ask(self.b)))
        self.a.mesh._calls._waiting = {}

    def test_second_handler(self) -> None:
        """
        A class of messages has one handler.
        """
        self.assertRaises(MeshError, self.a.mesh.handle, Ask, lambda ask: Answer(""))


class HostileTests(NatsMeshTestCase):
    """
    Somebody else on the broker.
    """

    def test_repeated(self) -> None:
        """
        Whatever was said is taken once, however often it is repeated.
        """
        self.a.mesh.broadcast(Ask("all"))
        self.a.mesh.send(self.b.address, Ask("one"))
        self.broker.settle()
        self.assertEqual(len(self.got), 3)
        frames = list(self.broker.frames)
        for subject, frame in frames * 3:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(len(self.got), 3)
        self.assertGreater(self.b.mesh.repeated, 0)
        self.all_see_all(self.a, self.b, self.c)

    def test_sent_elsewhere(self) -> None:
        """
        A frame for one node is nothing to another one, nor to all.
        """
        self.a.mesh.send(self.b.address, Ask("one"))
        subject, frame = self.broker.frames[-1]
        self.broker.settle()
        self.assertEqual(len(self.got), 1)
        self.broker.publish(subject.replace(self.b.address, self.c.address), frame)
        self.broker.publish(self.c.link.subjects[0], frame)
        self.broker.settle()
        self.assertEqual(len(self.got), 1)
        self.assertGreaterEqual(self.c.mesh.misdirected, 2)

    def test_repeated_to_a_new_node(self) -> None:
        """
        What a node said that has died since means nothing to a node that came later.
        """
        self.b.mesh.broadcast(Ask("old"))
        self.broker.advance(2)
        old = list(self.broker.frames)
        self.b.killed = True
        self.broker.advance(5)
        self.listen(late := self.broker.node())
        self.broker.join(late)
        self.got.clear()
        for subject, frame in old:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(self.got, [])
        self.assertNotIn(self.b.address, late.seen())
        self.all_see_all(self.a, self.c, late)

    def test_repeating_makes_nobody_talk(self) -> None:
        """
        A flood of repeated frames is not answered by a flood.
        """
        self.broker.advance(2)
        old = [frame for frame in self.broker.frames if frame[0] == self.a.link.subjects[0]]
        self.b.killed = True
        self.broker.advance(5)
        self.broker.join(self.broker.node())
        before = len(self.broker.frames)
        for subject, frame in old * 100:
            self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertLess(len(self.broker.frames) - before, len(old) * 100 + 20)

    def test_garbage(self) -> None:
        """
        Garbage and forged frames are counted and change nothing.
        """
        forged = Sealing("game", ["guess"], self.broker.random_bytes)
        leave = Envelope(
            self.b.address, 2**62, 1, "", 0, Kind.MESSAGE, 0, "mesh.Leave", False, b"\x80"
        )
        for subject in self.a.link.subjects:
            for frame in (b"", b"x", bytes(100), b"\x01" * 1000, forged.frame(leave)):
                self.broker.publish(subject, frame)
        self.broker.settle()
        self.assertEqual(self.a.mesh.strangers, 10)
        self.all_see_all(self.a, self.b, self.c)

    def test_malformed_member(self) -> None:
        """
        A member that sends nonsense gets failures, and nothing else happens.
        """
        mesh = self.a.mesh
        peer = mesh._peers.find(self.b.address)
        assert peer is not None
        for topic in ("Ask", "mesh.Beat", "mesh.Hello", "nothing"):
            for kind in Kind:
                mesh._post_body(
                    self.b.address, peer.incarnation, kind, 1, topic, False, b"\xc1nonsense"
                )
        mesh._post_body("", 0, Kind.REQUEST, 1, "Ask", False, b"\x81\xa4text\xa1x")
        self.broker.settle()
        self.assertEqual(self.b.mesh.malformed, 6)
        self.all_see_all(self.a, self.b, self.c)
        self.assertEqual(self.successResultOf(self.ask(self.b)), Answer("hello back"))

    def test_somebody_elses_answer(self) -> None:
        """
        Only who was asked can answer.
        """
        self.b.mesh.handle(Other, lambda other: Deferred[Answer]())
        asked = self.a.mesh.request(self.b.address, Other(), Answer)
        (number,) = self.a.mesh._calls._waiting
        peer = self.c.mesh._peers.find(self.a.address)
        assert peer is not None
        self.c.mesh._post(self.a.address, peer.incarnation, Kind.ANSWER, number, Answer("mine"))
        self.broker.settle()
        self.assertNoResult(asked)
        self.broker.advance(REQUEST_TIMEOUT + 0.1)
        self.failed(asked)
