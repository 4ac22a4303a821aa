"""
Tests of L{diarkis_tw.rudp.outgoing}.
"""

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.outgoing import PATH_RESPONSES_MOST, QUEUE_BYTES, QUEUE_FRAMES, Outgoing
from diarkis_tw.rudp.rtt import RoundTrip
from diarkis_tw.rudp.sent import SentPackets
from diarkis_tw.wire.frame import (
    CHANNEL_MASK,
    MESSAGE_WITH_LENGTH,
    PATH_RESPONSE,
    PING,
    RELIABLE,
    Frame,
    parse_frames,
)

ROOM = 200
MOST = 100
NOW = 1_000_000


class OutgoingTestCase(SynchronousTestCase):
    """
    Packets of 200 bytes, frames of 100.
    """

    def setUp(self) -> None:
        round_trip = RoundTrip(1_000_000, 20_000)
        round_trip.sample(100_000)
        self.congestion = Congestion(1200, round_trip)
        self.sent = SentPackets(round_trip, self.congestion)
        self.outgoing = Outgoing(ROOM, MOST, 16, True, self.sent)

    def fill(self, size: int = 0, reliable: bool = True, loss: float = 0.0) -> list[Frame]:
        """
        Fill a packet and send it.

        @param size: bytes in it that are there already.
        """
        parts: list[bytes] = []
        frames, copy = self.outgoing.fill(parts, size, reliable, loss, NOW)
        packet = b"".join(parts)
        self.assertLessEqual(size + len(packet), ROOM)
        parsed, error = parse_frames(packet)
        self.assertIsNone(error)
        self.assertEqual(len(frames), sum(kind >= RELIABLE for kind, _, _, _ in parsed))
        self.sent.add((NOW, frames, copy, -1, len(packet)) if frames else None)
        return parsed

    def packets(self) -> Iterator[list[Frame]]:
        """
        Fill packets until nothing is left.
        """
        while frames := self.fill():
            yield frames

    def add(self, message: bytes, channel: int = 0) -> bool:
        """
        Queue a reliable message.
        """
        return self.outgoing.add_reliable(message, channel)

    def lose_first(self, count: int = 1) -> None:
        """
        All that is in flight arrives but for the first C{count} packets.
        """
        top = self.sent.next_number - 1
        bits = (1 << top - count) - 1
        self.sent.acked(top, 0, bits.to_bytes(32, "little"), NOW)
        self.outgoing.retransmit += self.sent.lost_frames
        self.sent.lost_frames.clear()


class FillTests(OutgoingTestCase):
    """
    L{Outgoing.fill}.
    """

    def test_order(self) -> None:
        """
        PING and control frames come first, then what was lost, unreliable, new.
        """
        self.add(b"lost" * 20)
        self.fill()
        for _ in range(3):
            self.add(bytes(MOST))
            self.fill()
        self.lose_first()
        self.add(b"new")
        self.outgoing.add_unreliable(b"unreliable")
        self.outgoing.respond(b"response")
        self.outgoing.ping = True
        frames = self.fill()
        self.assertEqual(
            [data for _, _, _, data in frames],
            [b"", b"response", b"lost" * 20, b"unreliable", b"new"],
        )
        self.assertEqual([kind for kind, _, _, _ in frames[:2]], [PING, PATH_RESPONSE])
        self.assertEqual(self.outgoing.retransmitted, 1)
        self.assertEqual(self.fill(), [])

    def test_lengths(self) -> None:
        """
        Only the last frame of a packet goes without a length.
        """
        self.outgoing.add_unreliable(b"a")
        self.add(b"b")
        self.add(b"c")
        parts: list[bytes] = []
        self.outgoing.fill(parts, 0, True, 0.0, NOW)
        self.assertEqual(
            b"".join(parts),
            bytes((MESSAGE_WITH_LENGTH, 0, 1)) + b"a\x78\x00\x00\x00\x01b\x58\x00\x01c",
        )

    def test_notAllowed(self) -> None:
        """
        Without leave for reliable frames only the others go.
        """
        self.add(b"reliable")
        self.outgoing.add_unreliable(b"unreliable")
        self.assertEqual([data for *_, data in self.fill(reliable=False)], [b"unreliable"])
        self.assertEqual([data for *_, data in self.fill()], [b"reliable"])

    def test_manyPackets(self) -> None:
        """
        What does not fit goes into the next packets, nothing twice and nothing too large.
        """
        for number in range(10):
            self.outgoing.add_unreliable(b"%d" % number + bytes(60))
            self.add(b"%d" % number + bytes(60))
        sent = [
            (kind >= RELIABLE, data[:1]) for frames in self.packets() for kind, _, _, data in frames
        ]
        self.assertEqual(
            sent, [(reliable, b"%d" % n) for reliable in (False, True) for n in range(10)]
        )
        self.assertEqual(self.outgoing.size, 10 * 61)

    def test_channelsTakeTurns(self) -> None:
        """
        A long transfer on one channel does not hold up a message on another one.
        """
        for _ in range(12):
            self.add(bytes(MOST), 1)
        self.fill()
        self.add(b"quick", 0)
        channels = [
            {kind & CHANNEL_MASK for kind, _, _, _ in frames}
            for frames in (self.fill(), self.fill())
        ]
        self.assertIn(0, channels[0] | channels[1])
        self.assertIn(1, channels[0] | channels[1])

    def test_channelsWithFullFrames(self) -> None:
        """
        Channels with frames of which one fills a packet alternate.
        """
        for channel in (6, 2):
            for _ in range(3):
                self.add(bytes(MOST), channel)
        channels = [frames[0][0] & CHANNEL_MASK for frames in self.packets()]
        self.assertEqual(channels, [6, 2, 6, 2, 6, 2])

    def test_blockedChannel(self) -> None:
        """
        A channel with a full window does not keep another one from sending.
        """
        for _ in range(20):
            self.add(b"x", 2)
        self.assertEqual(len([frame for frames in self.packets() for frame in frames]), 16)
        self.assertFalse(self.outgoing.has_reliable())
        self.add(b"y", 5)
        self.assertTrue(self.outgoing.has_reliable())
        self.assertEqual([data for *_, data in self.fill()], [b"y"])

    def test_arrivedMeanwhile(self) -> None:
        """
        A lost frame that arrived after all is not sent again, nor an empty packet for it.
        """
        self.add(b"late")
        self.fill()
        for _ in range(3):
            self.add(bytes(MOST))
            self.fill()
        self.lose_first()
        self.assertTrue(self.outgoing.has_reliable())
        self.sent.acked(3, 0, b"\x07", NOW)
        self.assertFalse(self.outgoing.has_reliable())
        self.assertEqual(self.outgoing.retransmit, [])

    def test_sendAgain(self) -> None:
        """
        The frames of the oldest packets go again in their order, before others, and each once.
        """
        for number in range(4):
            self.add(b"%d" % number)
            self.add(b"%d'" % number)
            self.fill()
        self.outgoing.send_again(2)
        self.outgoing.send_again(1)
        self.add(b"new")
        self.assertEqual(
            [data for *_, data in self.fill()], [b"2", b"2'", b"0", b"0'", b"1", b"1'", b"new"]
        )

    def test_copy(self) -> None:
        """
        With loss a recent frame rides again behind others, not alone and not if the
        flight is full.
        """
        self.add(b"first")
        self.fill(loss=0.1)
        self.assertEqual(self.fill(loss=0.1), [])
        self.outgoing.add_unreliable(b"second")
        self.assertEqual([data for *_, data in self.fill(loss=0.1)], [b"second", b"first"])
        for number in range(1000, 1256):
            self.sent.packets[number] = (NOW, (), None, -1, 0)
        self.outgoing.add_unreliable(b"third")
        self.assertEqual([data for *_, data in self.fill(loss=0.1)], [b"third"])


class BoundTests(OutgoingTestCase):
    """
    What may wait.
    """

    def test_frames(self) -> None:
        """
        4096 frames may wait, also as fragments of messages.
        """
        for _ in range(QUEUE_FRAMES - 2):
            self.assertTrue(self.add(b"x"))
        self.assertFalse(self.add(bytes(2 * MOST + 1)))
        self.assertTrue(self.add(bytes(2 * MOST)))
        self.assertFalse(self.add(b"x"))
        self.assertFalse(self.outgoing.add_unreliable(b"x"))
        self.assertEqual(self.sent.pending_frames, QUEUE_FRAMES)

    def test_bytes(self) -> None:
        """
        1 MB may wait, and what is in flight counts.
        """
        outgoing = Outgoing(100_000, 65_536, 256, False, self.sent)
        for _ in range(16):
            self.assertTrue(outgoing.add_reliable(bytes(65_536), 0))
        self.assertEqual(outgoing.size, QUEUE_BYTES)
        outgoing.fill([], 0, True, 0.0, NOW)
        self.assertFalse(outgoing.add_reliable(b"x", 1))
        self.assertFalse(outgoing.add_unreliable(b"x"))
        self.assertTrue(outgoing.add_reliable(b"", 1))

    def test_unreliableCounts(self) -> None:
        """
        Unreliable messages count until they are sent.
        """
        for _ in range(QUEUE_FRAMES):
            self.assertTrue(self.outgoing.add_unreliable(bytes(10)))
        self.assertEqual(self.outgoing.size, 10 * QUEUE_FRAMES)
        self.assertFalse(self.add(b"x"))
        list(self.packets())
        self.assertEqual(self.outgoing.size, 0)
        self.assertTrue(self.add(b"x"))

    def test_unreliableTooLarge(self) -> None:
        """
        An unreliable message that does not fit one packet is the caller's fault.
        """
        self.assertTrue(self.outgoing.add_unreliable(bytes(MOST)))
        self.assertRaises(LocalProtocolError, self.outgoing.add_unreliable, bytes(MOST + 1))

    def test_noSuchChannel(self) -> None:
        """
        There are eight channels.
        """
        for channel in (-1, 8):
            self.assertRaises(LocalProtocolError, self.add, b"x", channel)

    def test_responses(self) -> None:
        """
        Few answers to challenges wait for one packet.
        """
        for number in range(100):
            self.outgoing.respond(b"%08d" % number)
        self.assertEqual(len(self.fill()), PATH_RESPONSES_MOST)
        self.outgoing.respond(bytes(8))
        self.assertEqual(len(self.fill()), 1)

    def test_forget(self) -> None:
        """
        Nothing is left of an ended connection.
        """
        self.add(b"x")
        self.outgoing.add_unreliable(b"y")
        self.outgoing.respond(bytes(8))
        self.outgoing.ping = True
        self.outgoing.forget()
        self.sent.forget()
        self.assertEqual((self.fill(), self.outgoing.size), ([], 0))
