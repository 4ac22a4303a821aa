"""
Tests of L{diarkis_tw.mesh.envelope}.
"""

import os
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.core.creation import CreateUserReply, UserMade
from diarkis_tw.errors import MeshError
from diarkis_tw.mesh import envelope as module
from diarkis_tw.mesh.envelope import FRAME_MAX, WINDOW, Envelope, Kind, ReplayWindow, Sealing


class Plain(msgspec.Struct, frozen=True):
    """
    A message.
    """

    text: str


class Secret(msgspec.Struct, frozen=True):
    """
    A message with a secret in it.
    """

    sealed: ClassVar[bool] = True
    text: str


def make(*secrets: str, app: str = "game") -> Sealing:
    return Sealing(app, secrets, os.urandom)


def envelope(sealing: Sealing, message: msgspec.Struct, counter: int = 1) -> Envelope:
    body, sealed = sealing.encode(message)
    name = type(message).__name__
    return Envelope("a", 7, counter, "b", 9, Kind.MESSAGE, 0, name, sealed, body)


class SealingTests(SynchronousTestCase):
    """
    Frames.
    """

    def refused(self, receiver: Sealing, frames: Sequence[bytes]) -> None:
        for count, frame in enumerate(frames, 1):
            self.assertIsNone(receiver.open(frame))
            self.assertEqual(receiver.strangers, count)

    def test_there_and_back(self) -> None:
        """
        What a node with the same key sent arrives whole.
        """
        sent = envelope(make("k"), Plain("hello"))
        self.assertEqual(make("k").open(make("k").frame(sent)), sent)

    def test_stranger(self) -> None:
        """
        Another key, another application, no key: all are strangers.
        """
        strangers = [make("other"), make("k", app="other"), make()]
        self.refused(make("k"), [s.frame(envelope(s, Plain("x"))) for s in strangers])

    def test_every_byte_counts(self) -> None:
        """
        A frame that was changed anywhere, or cut, is refused.
        """
        sealing = make("k")
        frame = sealing.frame(envelope(sealing, Plain("x")))
        changed = [
            frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :] for at in range(len(frame))
        ]
        self.refused(make("k"), [*changed, *(frame[:size] for size in range(len(frame)))])

    @given(st.binary(max_size=200))
    def test_garbage(self, garbage: bytes) -> None:
        """
        Garbage is counted, and is no exception.
        """
        self.refused(make("k"), [garbage, b"\x01" + garbage])

    @given(st.binary(max_size=80))
    def test_garbage_of_a_member(self, garbage: bytes) -> None:
        """
        Neither is what somebody with the key makes up.
        """
        sealing = make("k")
        frame = b"\x01" + module._mac(sealing._macs[0], garbage) + garbage
        self.assertIsNone(sealing.open(frame))
        self.assertEqual(sealing.strangers, 1)

    def test_rotation(self) -> None:
        """
        Of two keys the first is used and both are accepted, so that nodes can go
        from one to the other one by one.
        """
        old, both, new = make("old"), make("new", "old"), make("new")
        by_old, by_both = (s.frame(envelope(s, Secret("x"))) for s in (old, both))
        for receiver, frame in ((both, by_old), (both, by_both), (new, by_both)):
            self.assertIsNotNone(receiver.open(frame))
        self.refused(new, [by_old])

    def test_three_keys(self) -> None:
        """
        Two keys are the most.
        """
        self.assertRaises(MeshError, make, "a", "b", "c")

    def test_sealed(self) -> None:
        """
        A message with a secret does not show it on the way, and arrives.
        """
        sealing = make("k")
        frame = sealing.frame(envelope(sealing, Secret("the secret")))
        self.assertNotIn(b"the secret", frame)
        opened = make("k").open(frame)
        assert opened is not None
        self.assertEqual(msgspec.msgpack.decode(opened.body, type=Secret), Secret("the secret"))

    def test_session_keys_are_sealed(self) -> None:
        """
        The keys of a session are not seen on the way.
        """
        sealing = make("k")
        made = UserMade(b"s" * 16, b"e" * 16, b"i" * 16, b"m" * 16, 30)
        frame = sealing.frame(envelope(sealing, CreateUserReply(made)))
        for key in (b"s" * 16, b"e" * 16, b"i" * 16, b"m" * 16):
            self.assertNotIn(key, frame)

    def test_seal_that_does_not_open(self) -> None:
        """
        A body that says it is sealed and is not is refused.
        """
        sealing = make("k")
        for body in (b"", b"short", bytes(40)):
            sent = Envelope("a", 7, 1, "b", 9, Kind.MESSAGE, 0, "Secret", True, body)
            self.assertIsNone(sealing.open(sealing.frame(sent)))
        self.assertEqual(sealing.strangers, 3)

    def test_too_large(self) -> None:
        """
        What is too large to send is an error that says so, and is refused when it
        comes.
        """
        sealing = make("k")
        large = envelope(sealing, Plain("x" * FRAME_MAX))
        error = self.assertRaises(MeshError, sealing.frame, large)
        self.assertIn("is the most", str(error))
        self.refused(sealing, [bytes(FRAME_MAX + 1)])

    def test_what_cannot_be_encoded(self) -> None:
        """
        An object that is no message is an error that names the message.
        """
        error = self.assertRaises(MeshError, make("k").encode, Plain(object()))  # type: ignore[arg-type]
        self.assertIn("Plain cannot be encoded", str(error))


class ReplayWindowTests(SynchronousTestCase):
    """
    Counters.
    """

    def test_once(self) -> None:
        """
        Each counter is taken once, in any order, and none from before the first.
        """
        window = ReplayWindow(5)
        self.assertEqual([window.take(n) for n in (6, 9, 7, 8)], [True] * 4)
        self.assertEqual([window.take(n) for n in (6, 9, 7, 8, 5, 4, 0)], [False] * 7)

    def test_too_old(self) -> None:
        """
        What is older than the window is not taken, however far it has moved.
        """
        window = ReplayWindow(0)
        self.assertTrue(window.take(2 * WINDOW))
        self.assertFalse(window.take(WINDOW))
        self.assertTrue(window.take(WINDOW + 1))
        self.assertTrue(window.take(2**62))
        self.assertFalse(window.take(2 * WINDOW))

    @given(st.lists(st.integers(1, 3000)))
    def test_never_twice(self, counters: list[int]) -> None:
        """
        Whatever the order, nothing is taken twice.
        """
        window = ReplayWindow(0)
        taken = [counter for counter in counters if window.take(counter)]
        self.assertEqual(len(taken), len(set(taken)))
