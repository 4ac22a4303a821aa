"""
Tests of L{diarkis_tw.rudp.channel}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.rudp.channel import (
    EARLY_OVERHEAD,
    LENGTH_SIZE,
    ReassemblyBudget,
    ReceiveChannel,
    ReliableFrame,
    SendChannel,
)
from diarkis_tw.wire.frame import FIRST, LAST, RELIABLE, parse_frames
from tests.rudp.peer import memory

WINDOW = 16
MOST = 100
WHOLE = RELIABLE | FIRST | LAST


def content(frame: ReliableFrame) -> tuple[bool, bool, int, bytes]:
    """
    First, last, seq and data of a frame as the peer reads it.
    """
    [(kind, seq, _, data)], _ = parse_frames(frame.encoded)
    return bool(kind & FIRST), bool(kind & LAST), seq, data


class SendTests(SynchronousTestCase):
    """
    L{SendChannel}.
    """

    def setUp(self) -> None:
        self.channel = SendChannel(3, WINDOW)

    def take(self) -> ReliableFrame:
        """
        Send the next frame.
        """
        frame = self.channel.next_frame()
        assert frame is not None
        taken: list[ReliableFrame] = []
        self.channel.take(taken, 0, len(frame.encoded) + LENGTH_SIZE)
        self.assertEqual(taken, [frame])
        return frame

    def arrive(self, frame: ReliableFrame) -> None:
        """
        Acknowledge a frame.
        """
        self.channel.arrived(frame)

    def test_fragments(self) -> None:
        """
        A message is cut into consecutive frames, its first and last marked.
        """
        for message in (b"0123456789", b"abcd", b""):
            self.channel.add(message, 4)
        self.assertEqual(
            [content(self.take()) for _ in range(5)],
            [
                (True, False, 0, b"0123"),
                (False, False, 1, b"4567"),
                (False, True, 2, b"89"),
                (True, True, 3, b"abcd"),
                (True, True, 4, b""),
            ],
        )
        self.assertFalse(self.channel.has_unsent())
        self.assertIsNone(self.channel.next_frame())

    def test_window(self) -> None:
        """
        A frame is sent only below the oldest unacknowledged one + window.
        """
        for _ in range(WINDOW + 3):
            self.channel.add(b"x", MOST)
        frames = [self.take() for _ in range(WINDOW)]
        self.assertIsNone(self.channel.next_frame())
        self.assertTrue(self.channel.has_unsent())
        self.arrive(frames[1])
        self.assertIsNone(self.channel.next_frame())
        self.arrive(frames[0])
        self.assertEqual([self.take().seq, self.take().seq], [WINDOW, WINDOW + 1])
        self.assertIsNone(self.channel.next_frame())

    def test_seqWrap(self) -> None:
        """
        The number goes on counting behind its 16 bits on the wire.
        """
        for _ in range(70_000):
            self.channel.add(b"x", MOST)
            self.arrive(self.take())
        self.channel.add(b"x", MOST)
        frame = self.take()
        self.assertEqual((frame.seq, content(frame)[2]), (70_000, 70_000 - 65_536))

    @given(st.lists(st.integers(0, 30), max_size=60))
    def test_anyAcks(self, choices: list[int]) -> None:
        """
        Whatever the order of acknowledgements, all frames go out once and in order.
        """
        channel = SendChannel(0, WINDOW)
        for _ in range(40):
            channel.add(b"x", MOST)
        sent: list[ReliableFrame] = []
        for choice in [*choices, *[0] * 40]:
            while channel.next_frame() is not None:
                channel.take(sent, 0, 20)
            pending = [frame for frame in sent if not frame.acked]
            if pending:
                self.assertLess(pending[-1].seq, pending[0].seq + WINDOW)
                channel.arrived(pending[choice % len(pending)])
        self.assertEqual([frame.seq for frame in sent], list(range(40)))


class ReceiveTestCase(SynchronousTestCase):
    """
    A receiving channel.
    """

    def setUp(self) -> None:
        self.budget = ReassemblyBudget(10_000)
        self.channel = ReceiveChannel(WINDOW, MOST, self.budget)
        self.messages: list[tuple[bytes, bool]] = []

    def give(self, seq: int, data: bytes, kind: int = WHOLE) -> None:
        """
        Let a frame come.
        """
        self.channel.receive(kind, seq & 0xFFFF, data, self.messages)

    def delivered(self) -> list[bytes]:
        """
        Take the messages that are complete.
        """
        messages = [message for message, reliable in self.messages if reliable]
        self.messages.clear()
        return messages

    def refused(self, seq: int, data: bytes = b"", kind: int = WHOLE) -> CloseCode:
        """
        Let a frame come that is the peer's fault.
        """
        return self.assertRaises(RemoteProtocolError, self.give, seq, data, kind).code


class OrderTests(ReceiveTestCase):
    """
    Order, duplicates and the window.
    """

    @given(st.permutations(range(WINDOW)), st.lists(st.integers(0, WINDOW - 1)))
    def test_anyOrder(self, order: list[int], again: list[int]) -> None:
        """
        In whatever order and how often frames come, each message is delivered once and in order.
        """
        channel = ReceiveChannel(WINDOW, MOST, self.budget)
        messages: list[tuple[bytes, bool]] = []
        for seq in [*again[:8], *order, *again]:
            channel.receive(WHOLE, seq, b"%d" % seq, messages)
        self.assertEqual(messages, [(b"%d" % seq, True) for seq in range(WINDOW)])
        self.assertEqual((channel.held, self.budget.used), (0, 0))

    def test_windowOffByOne(self) -> None:
        """
        The last seq of the window is kept, the next one is the peer's fault.
        """
        self.give(0, b"0")
        self.give(WINDOW, b"early")
        self.assertEqual(self.refused(WINDOW + 1), CloseCode.PROTOCOL)

    def test_belowZero(self) -> None:
        """
        65535 is not the frame before the first, but far beyond the window.
        """
        self.assertEqual(self.refused(65_535), CloseCode.PROTOCOL)

    def test_seqWrap(self) -> None:
        """
        Order and duplicates survive the wrap of the 16 bits, more than once.
        """
        for seq in range(0, 140_000, 2):
            self.give(seq + 1, b"b")
            self.give(seq, b"a")
            self.give(max(seq - 3, 0), b"old")
        self.assertEqual(self.delivered(), [b"a", b"b"] * 70_000)

    def test_firstCopyCounts(self) -> None:
        """
        A duplicate of an early frame changes nothing.
        """
        self.give(1, b"one")
        held = self.channel.held
        self.give(1, b"other")
        self.assertEqual(self.channel.held, held)
        self.give(0, b"zero")
        self.assertEqual(self.delivered(), [b"zero", b"one"])


class FragmentTests(ReceiveTestCase):
    """
    Messages of several frames.
    """

    @given(st.permutations(range(4)))
    def test_anyOrder(self, order: list[int]) -> None:
        """
        Fragments make their message in whatever order they come.
        """
        channel = ReceiveChannel(WINDOW, MOST, self.budget)
        messages: list[tuple[bytes, bool]] = []
        parts = [(FIRST, b"ab"), (0, b""), (0, b"cd"), (LAST, b"e")]
        for seq in order:
            channel.receive(RELIABLE | parts[seq][0], seq, parts[seq][1], messages)
        self.assertEqual(messages, [(b"abcde", True)])
        self.assertEqual((channel.held, self.budget.used), (0, 0))

    def test_firstWhileOpen(self) -> None:
        """
        A first fragment, or a whole message, while a message is open is the peer's fault.
        """
        for kind in (RELIABLE | FIRST, WHOLE):
            self.setUp()
            self.give(0, b"a", RELIABLE | FIRST)
            self.assertEqual(self.refused(1, b"b", kind), CloseCode.PROTOCOL)

    def test_noFirst(self) -> None:
        """
        A middle or last fragment without a first is the peer's fault, also after a
        complete message.
        """
        for kind in (RELIABLE, RELIABLE | LAST):
            self.setUp()
            self.assertEqual(self.refused(0, b"a", kind), CloseCode.PROTOCOL)
        self.setUp()
        self.give(0, b"a", RELIABLE | FIRST)
        self.give(1, b"b", RELIABLE | LAST)
        self.assertEqual(self.refused(2, b"c", RELIABLE | LAST), CloseCode.PROTOCOL)

    def test_faultWaitsForOrder(self) -> None:
        """
        A wrong fragment that came early is found when its turn comes.
        """
        self.give(1, b"b", RELIABLE | LAST)
        self.assertEqual(self.refused(0, b"a"), CloseCode.PROTOCOL)
        self.assertEqual(self.delivered(), [b"a"])

    def test_tooLarge(self) -> None:
        """
        A message of the limit is delivered, one of a byte more is TOO_LARGE, whole or cut.
        """
        self.give(0, bytes(MOST))
        self.give(1, bytes(MOST - 1), RELIABLE | FIRST)
        self.give(2, b"x", RELIABLE | LAST)
        self.assertEqual([len(message) for message in self.delivered()], [MOST, MOST])
        self.assertEqual(self.refused(3, bytes(MOST + 1)), CloseCode.TOO_LARGE)
        for kind in (RELIABLE, RELIABLE | LAST):
            self.setUp()
            self.give(0, bytes(MOST), RELIABLE | FIRST)
            self.assertEqual(self.refused(1, b"x", kind), CloseCode.TOO_LARGE)
        self.setUp()
        self.assertEqual(self.refused(0, bytes(MOST + 1), RELIABLE | FIRST), CloseCode.TOO_LARGE)

    def test_endlessMessage(self) -> None:
        """
        A message of empty fragments without end takes no memory.
        """
        self.give(0, b"a", RELIABLE | FIRST)

        def endless() -> None:
            for seq in range(1, 20_000):
                self.give(seq, b"", RELIABLE)

        self.assertLess(memory(endless), 2_000)


class BudgetTests(ReceiveTestCase):
    """
    What is held counts in the budget.
    """

    def test_early(self) -> None:
        """
        An early frame counts with what Python takes for it, since it may be empty.
        """
        self.give(1, b"")
        self.give(2, b"1234")
        self.assertEqual(self.budget.used, 2 * EARLY_OVERHEAD + 4)

    def test_overheadIsTrue(self) -> None:
        """
        Empty early frames do not take more than the budget believes.
        """
        channel = ReceiveChannel(256, MOST, self.budget)

        def early() -> None:
            for seq in range(1, 256):
                channel.receive(WHOLE, seq, b"", self.messages)

        self.assertLess(memory(early), self.budget.used)

    def test_open(self) -> None:
        """
        An open message counts until it is complete.
        """
        self.give(0, b"12", RELIABLE | FIRST)
        self.give(1, b"345", RELIABLE)
        self.assertEqual(self.budget.used, 5)
        self.give(2, b"6", RELIABLE | LAST)
        self.assertEqual(self.budget.used, 0)

    def test_release(self) -> None:
        """
        All that is held is given back, also after the peer's fault.
        """
        self.give(0, b"12", RELIABLE | FIRST)
        self.give(2, b"", RELIABLE)
        self.refused(1, b"1", WHOLE)
        self.channel.release()
        self.assertEqual((self.channel.held, self.budget.used), (0, 0))

    def test_hasRoom(self) -> None:
        """
        From three quarters of the budget on nothing new is kept, from all of it on no
        fragment; what ends a message, or is a duplicate, is always taken.
        """
        self.give(0, b"0")
        cases = {
            "duplicate": (WHOLE, 0, 0),
            "whole": (WHOLE, 1, 0),
            "whole behind others": (WHOLE, 3, 2),
            "last": (RELIABLE | LAST, 1, 0),
            "middle": (RELIABLE, 1, 0),
            "first": (RELIABLE | FIRST, 1, 0),
            "early": (WHOLE, 2, 0),
        }
        taken = {}
        for used in (7_500, 7_501, 10_000, 10_001):
            self.budget.used = used
            taken[used] = {name for name, case in cases.items() if self.channel.has_room(*case)}
        always = {"duplicate", "whole", "whole behind others", "last"}
        self.assertEqual(taken[7_500], set(cases))
        self.assertEqual(taken[7_501], always | {"middle"})
        self.assertEqual(taken[10_000], always | {"middle"})
        self.assertEqual(taken[10_001], always)
