"""
Tests of L{diarkis_tw.rudp.connection}: the end.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.frame import ACK, CLOSE
from tests.rudp.peer import (
    MILLISECOND,
    SECOND,
    Peer,
    ack,
    acks,
    closes,
    datas,
    reliable,
    unreliable,
)

RTO = 170 * MILLISECOND


def close(code: int, reason: bytes = b"") -> bytes:
    """
    A CLOSE frame.
    """
    return bytes((CLOSE, code)) + reason


class ClosingTests(SynchronousTestCase):
    """
    L{Connection.close}.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def test_repeated(self) -> None:
        """
        CLOSE is sent three times, a time-out apart, and then it is over.
        """
        self.connection.close(CloseCode.KICKED, self.peer.now, "be gone")
        self.assertIs(self.connection.state, State.CLOSING)
        for _ in range(3):
            self.assertEqual(closes(self.peer.wait(RTO - 1)), [b"\x07be gone"])
            self.assertIs(self.connection.state, State.CLOSING)
            self.assertEqual(self.connection.deadline(), self.peer.now + 1)
            self.peer.now += 1
            self.connection.tick(self.peer.now)
        self.assertIs(self.connection.state, State.CLOSED)
        self.assertEqual(self.peer.wait(SECOND), [])
        self.assertIsNone(self.connection.deadline())

    def test_answered(self) -> None:
        """
        It is sent no more once the peer's comes, whatever that says.
        """
        self.connection.close(CloseCode.KICKED, self.peer.now)
        self.peer.flush()
        self.peer.give(close(99, b"why"))
        self.assertIs(self.connection.state, State.CLOSED)
        self.assertEqual(self.connection.code, CloseCode.KICKED)
        self.assertEqual(self.peer.wait(SECOND), [])

    def test_answeredBeforeSent(self) -> None:
        """
        If both close at once, ours is sent all the same.
        """
        self.connection.close(CloseCode.KICKED, self.peer.now)
        self.peer.give(close(0))
        self.assertEqual(closes(self.peer.wait(SECOND)), [b"\x07"])
        self.assertIs(self.connection.state, State.CLOSED)

    def test_nothingElse(self) -> None:
        """
        CLOSE waits for no data, and nothing is sent, taken or acknowledged after it.
        """
        self.connection.send(bytes(50_000), True, 0, self.peer.now)
        self.connection.send(b"u", False, 0, self.peer.now)
        self.connection.ping()
        self.peer.give(reliable(0))
        self.peer.delivered()
        self.connection.close(CloseCode.NORMAL, self.peer.now)
        self.assertFalse(self.connection.send(b"x", True, 0, self.peer.now))
        self.assertFalse(self.connection.send(b"x", False, 0, self.peer.now))
        self.assertEqual(self.connection.queued, 0)
        self.peer.give(reliable(1), unreliable(b"x"))
        self.assertEqual(self.peer.delivered(), [])
        self.peer.give(ack(200))
        self.peer.give(b"\xff")
        packets = self.peer.wait(SECOND)
        self.assertEqual((datas(packets), acks(packets)), ([], []))
        self.assertTrue(all(frames[0][0] == CLOSE for frames in packets))
        self.assertEqual(self.connection.code, CloseCode.NORMAL)

    def test_twice(self) -> None:
        """
        The first code stands.
        """
        self.connection.close(CloseCode.REPLACED, self.peer.now)
        self.connection.close(CloseCode.KICKED, self.peer.now)
        self.assertEqual(self.connection.code, CloseCode.REPLACED)

    def test_budget(self) -> None:
        """
        What was held of the process's budget is given back.
        """
        self.peer.give(reliable(0, bytes(500), last=False), reliable(5, bytes(300), channel=3))
        self.assertGreater(self.peer.budget.used, 800)
        self.connection.close(CloseCode.TIMEOUT, self.peer.now)
        self.assertEqual(self.peer.budget.used, 0)

    def test_longReason(self) -> None:
        """
        A reason is cut to 200 bytes between characters.
        """
        self.connection.close(CloseCode.INTERNAL, self.peer.now, "ä" * 150)
        self.assertEqual(closes(self.peer.flush()), [b"\xff" + "ä".encode() * 100])


class ClosedByPeerTests(SynchronousTestCase):
    """
    The peer's CLOSE.
    """

    def setUp(self) -> None:
        self.peer = Peer()
        self.connection = self.peer.connection

    def test_answered(self) -> None:
        """
        It is answered once with the same code and ends the connection; messages before it count.
        """
        self.peer.give(reliable(0, b"last words"), close(7, b"sorry"))
        self.assertIs(self.connection.state, State.CLOSED)
        self.assertEqual(
            (self.connection.code, self.connection.reason), (CloseCode.KICKED, "sorry")
        )
        self.assertEqual(self.peer.delivered(), [b"last words"])
        packets = self.peer.wait(10 * SECOND)
        self.assertEqual((len(packets), closes(packets)), (1, [b"\x07"]))
        self.assertIsNone(self.connection.deadline())

    def test_unknownCode(self) -> None:
        """
        A code that is not known here counts as INTERNAL and is answered as it came.
        """
        self.peer.give(close(200))
        self.assertEqual(self.connection.code, CloseCode.INTERNAL)
        self.assertEqual(closes(self.peer.flush()), [b"\xc8"])

    def test_afterwards(self) -> None:
        """
        What comes later is authentic and without effect.
        """
        self.peer.give(close(0))
        self.peer.flush()
        self.assertTrue(self.peer.give(reliable(0), close(7)))
        self.assertEqual((self.peer.delivered(), self.peer.flush()), ([], []))
        self.assertEqual(self.connection.code, CloseCode.NORMAL)

    def test_strangeReason(self) -> None:
        """
        A reason that is no UTF-8, or longer than 200 bytes, is made one.
        """
        self.peer.give(close(0, b"\xff" + b"a" * 300))
        self.assertEqual(self.connection.reason, "\ufffd" + "a" * 199)


class FaultTests(SynchronousTestCase):
    """
    Each fault of the peer closes with its code; what stood before it counts.
    """

    def fault(self, *frames: bytes, code: CloseCode = CloseCode.PROTOCOL) -> None:
        """
        The last of the frames is a fault.
        """
        peer = Peer()
        for _ in range(3):
            peer.connection.send(b"x", True, 0, peer.now)
            peer.flush()
        self.assertTrue(peer.give(unreliable(b"before"), *frames, unreliable(b"after")), frames)
        self.assertIs(peer.connection.state, State.CLOSING, frames)
        self.assertEqual(peer.connection.code, code, frames)
        self.assertNotEqual(peer.connection.reason, "")
        self.assertEqual(peer.connection.delivered[0], (b"before", False))
        self.assertNotIn((b"after", False), peer.connection.delivered)
        sent = closes(peer.flush())
        self.assertEqual(sent, [bytes((code,)) + peer.connection.reason.encode()])

    def test_frames(self) -> None:
        """
        An unknown type, a frame past the end, and an ACK with a longer bitmap.
        """
        for kind in (0x06, 0x1F, 0x22, 0x3F, 0x80, 0xFF):
            self.fault(bytes((kind,)))
        self.fault(b"\x21\xff\xff")
        self.fault(b"\x78\x00\x00\xff\xff")
        self.fault(b"\x02\x00\x02\x00\x21" + bytes(33))

    def test_acks(self) -> None:
        """
        An ACK of a packet never sent, or of one before the first.
        """
        self.fault(bytes((ACK, 0, 3, 0, 0)))
        self.fault(bytes((ACK, 0xFF, 0xFF, 0, 0)))
        self.fault(bytes((ACK, 0x80, 0x00, 0, 0)))
        self.fault(bytes((ACK, 0, 2, 0, 1, 0x04)))

    def test_reliable(self) -> None:
        """
        A seq beyond the window, wrong fragments.
        """
        self.fault(reliable(256))
        self.fault(reliable(0, channel=7), reliable(257, channel=7))
        self.fault(reliable(32_768))
        self.fault(reliable(0xFFFF))
        self.fault(reliable(0, last=False), reliable(1))
        self.fault(reliable(0, first=False))
        self.fault(reliable(0, first=False, last=False))

    def test_tooLarge(self) -> None:
        """
        A message above the limit.
        """
        peer = Peer()
        for seq in range(64):
            peer.give(reliable(seq, bytes(1_024), first=seq == 0, last=False))
        self.assertIs(peer.connection.state, State.OPEN)
        peer.give(reliable(64, bytes(5), first=False, last=False))
        self.assertIs(peer.connection.state, State.OPEN)
        peer.give(reliable(65, bytes(1), first=False))
        self.assertEqual(peer.connection.code, CloseCode.TOO_LARGE)
        self.assertEqual((peer.delivered(), peer.budget.used), ([], 0))

    def test_smallerWindow(self) -> None:
        """
        The window that was agreed on counts.
        """
        peer = Peer(limits=Limits(window=16))
        peer.give(reliable(15))
        self.assertIs(peer.connection.state, State.OPEN)
        peer.give(reliable(16))
        self.assertEqual(peer.connection.code, CloseCode.PROTOCOL)
