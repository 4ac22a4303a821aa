"""
Tests of L{diarkis_tw.wire.frame}.
"""

import struct

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.frame import (
    Frame,
    encode_ack,
    parse_frames,
    reliable_header,
    with_length,
)
from tests.strategies import sized, u8, u16


class EndOfPacket(Exception):
    """
    A frame goes past the end, or is none.
    """


def by_the_table(packet: bytes) -> tuple[list[Frame], bool]:
    """
    Cut a packet as the documented table reads, field by field.

    @return: the frames before the first bad one, and whether there is a bad one.
    """
    frames: list[Frame] = []
    rest = packet

    def take(size: int) -> bytes:
        nonlocal rest
        if size > len(rest):
            raise EndOfPacket
        taken, rest = rest[:size], rest[size:]
        return taken

    def number(size: int) -> int:
        return int.from_bytes(take(size))

    try:
        while rest:
            kind = number(1)
            if kind == 0x00:
                continue
            if kind == 0x01:
                frames.append((kind, 0, 0, b""))
            elif kind == 0x02:
                largest, delay, count = number(2), number(1), number(1)
                if count > 32:
                    raise EndOfPacket
                frames.append((kind, largest, delay, take(count)))
            elif kind == 0x03:
                code = take(1)
                frames.append((kind, 0, 0, code + take(len(rest))))
            elif kind in (0x04, 0x05):
                frames.append((kind, 0, 0, take(8)))
            elif kind == 0x20:
                frames.append((0x20, 0, 0, take(len(rest))))
            elif kind == 0x21:
                frames.append((0x20, 0, 0, take(number(2))))
            elif 0x40 <= kind <= 0x7F:
                seq = number(2)
                size = number(2) if kind & 0x20 else len(rest)
                frames.append((kind, seq, 0, take(size)))
            else:
                raise EndOfPacket
    except EndOfPacket:
        return frames, True
    return frames, False


data = st.binary(max_size=40)

# Frames as they are written and as they are read, those that another can follow.
inner_frames: st.SearchStrategy[tuple[bytes, list[Frame]]] = st.one_of(
    st.integers(1, 20).map(lambda size: (bytes(size), [])),
    st.just((b"\x01", [(1, 0, 0, b"")])),
    st.builds(
        lambda largest, delay, bitmap: (
            struct.pack(">BHBB", 2, largest, delay, len(bitmap)) + bitmap,
            [(2, largest, delay, bitmap)],
        ),
        u16,
        u8,
        st.binary(max_size=32),
    ),
    st.builds(
        lambda kind, data: (bytes((kind,)) + data, [(kind, 0, 0, data)]),
        st.sampled_from((4, 5)),
        sized(8),
    ),
    data.map(lambda data: (struct.pack(">BH", 0x21, len(data)) + data, [(0x20, 0, 0, data)])),
    st.builds(
        lambda kind, seq, data: (
            struct.pack(">BHH", kind, seq, len(data)) + data,
            [(kind, seq, 0, data)],
        ),
        st.integers(0x60, 0x7F),
        u16,
        data,
    ),
)

# And those that reach to the packet's end.
last_frames: st.SearchStrategy[tuple[bytes, list[Frame]]] = st.one_of(
    st.just((b"", [])),
    st.binary(min_size=1, max_size=40).map(lambda body: (b"\x03" + body, [(3, 0, 0, body)])),
    data.map(lambda data: (b"\x20" + data, [(0x20, 0, 0, data)])),
    st.builds(
        lambda kind, seq, data: (struct.pack(">BH", kind, seq) + data, [(kind, seq, 0, data)]),
        st.integers(0x40, 0x5F),
        u16,
        data,
    ),
)

bad_frames = st.one_of(
    st.builds(
        lambda kind, rest: bytes((kind,)) + rest,
        st.sampled_from([*range(0x06, 0x20), *range(0x22, 0x40), *range(0x80, 0x100)]),
        data,
    ),
    st.sampled_from(
        (
            b"\x02",
            b"\x02\x00\x00\x00",
            b"\x02\x00\x00\x00\x01",
            b"\x02\x00\x00\x00\x21" + bytes(33),
            b"\x03",
            b"\x04" + bytes(7),
            b"\x05" + bytes(7),
            b"\x21",
            b"\x21\x00",
            b"\x21\x00\x01",
            b"\x40",
            b"\x58\x00",
            b"\x60\x00\x00",
            b"\x78\x00\x00\x00",
            b"\x78\x00\x00\x00\x01",
        )
    ),
)


class ParseTests(SynchronousTestCase):
    """
    L{parse_frames}.
    """

    @given(st.lists(inner_frames, max_size=8), last_frames)
    def test_roundTrip(
        self, inner: list[tuple[bytes, list[Frame]]], last: tuple[bytes, list[Frame]]
    ) -> None:
        """
        Frames are read in the order they were written, padding left out.
        """
        packet = b"".join(encoded for encoded, _ in inner) + last[0]
        expected = [frame for _, frames in [*inner, last] for frame in frames]
        self.assertEqual(parse_frames(packet), (expected, None))

    @given(st.lists(inner_frames, max_size=5), bad_frames)
    def test_badFrameSpoilsOthers(self, inner: list[tuple[bytes, list[Frame]]], bad: bytes) -> None:
        """
        The frames before a bad one stand, and what is wrong is a PROTOCOL.
        """
        packet = b"".join(encoded for encoded, _ in inner) + bad
        frames, fault = parse_frames(packet)
        self.assertEqual(frames, [frame for _, frames in inner for frame in frames])
        assert fault is not None
        self.assertEqual(fault.code, CloseCode.PROTOCOL)

    @given(st.binary(max_size=60) | st.lists(st.integers(0, 0x7F), max_size=60).map(bytes))
    @example(b"")
    @example(bytes(1200))
    @example(b"\x00\x01" * 600)
    def test_anyBytesRaise(self, packet: bytes) -> None:
        """
        Any bytes are read as the table says.
        """
        frames, fault = parse_frames(packet)
        self.assertEqual((frames, fault is not None), by_the_table(packet))

    def test_typeUnknown(self) -> None:
        """
        Of the 256 type bytes exactly the documented ones are known.
        """
        known = {0, 1, 2, 3, 4, 5, 0x20, 0x21, *range(0x40, 0x80)}
        for kind in range(256):
            fault = parse_frames(bytes((kind,)) + bytes(8))[1]
            self.assertEqual(fault is None, kind in known, kind)

    def test_sizeOffByOne(self) -> None:
        """
        Each frame is read whole, and refused when its last byte is missing.
        """
        for packet in (
            b"\x02\x00\x05\x01\x00",
            b"\x02\x00\x05\x01\x20" + bytes(32),
            b"\x03\x00",
            b"\x04" + bytes(8),
            b"\x05" + bytes(8),
            b"\x21\x00\x00",
            b"\x21\x00\x07message",
            b"\x40\x00\x00",
            b"\x60\x00\x00\x00\x00",
            b"\x78\x00\x00\x00\x04data",
        ):
            frames, fault = parse_frames(b"\x01" + packet)
            self.assertEqual((len(frames), fault), (2, None), packet)
            frames, fault = parse_frames(b"\x01" + packet[:-1])
            self.assertEqual(len(frames), 1, packet)
            self.assertIsNotNone(fault, packet)

    def test_bitmapOffByOne(self) -> None:
        """
        An ACK of 31 and 32 bytes of bits is read, one of 33 refused.
        """
        for count, read in ((31, True), (32, True), (33, False), (255, False)):
            packet = b"\x02\x00\x05\x01" + bytes((count,)) + b"x" * count
            frames, fault = parse_frames(packet)
            self.assertEqual(len(frames), read)
            self.assertEqual(fault is None, read)


class AckTests(SynchronousTestCase):
    """
    L{encode_ack}.
    """

    @given(st.integers(0, 2**28), st.integers(0, 10**6), st.integers(0, 2**256 - 1))
    @example(0, 254, 0)
    @example(65535, 255, 1)
    @example(65536, 256, 2**8)
    @example(1, 1, 2**7)
    @example(1, 1, 2**255)
    def test_roundTrip(self, largest: int, delay: int, bits: int) -> None:
        """
        It is read with the low 16 bits of the number, the delay up to 255 and a
        bitmap without zeros at its end.
        """
        (frame,), fault = parse_frames(encode_ack(largest, delay, bits))
        self.assertIsNone(fault)
        self.assertEqual(frame[:3], (2, largest % 2**16, min(delay, 255)))
        self.assertEqual(int.from_bytes(frame[3], "little"), bits)
        self.assertFalse(frame[3].endswith(b"\x00"))

    def test_layout(self) -> None:
        """
        Bit i of the bitmap is the packet C{largest - 1 - i}.
        """
        received = {998, 997, 990, 744}
        bits = sum(1 << 999 - number for number in received)
        (frame,), _ = parse_frames(encode_ack(1000, 3, bits))
        for i in range(8 * len(frame[3])):
            self.assertEqual(bool(frame[3][i >> 3] & 1 << (i & 7)), 1000 - 1 - i in received)
        self.assertEqual(encode_ack(1000, 3, bits)[:5], bytes.fromhex("0203e80320"))

    def test_badFieldsWritten(self) -> None:
        """
        More bits than an ACK holds, and negative numbers, are the caller's fault.
        """
        for delay, bits in ((0, 2**256), (-1, 0), (0, -1), (0, -(2**300))):
            self.assertRaises(LocalProtocolError, encode_ack, 0, delay, bits)


class ReliableTests(SynchronousTestCase):
    """
    L{reliable_header}.
    """

    @given(st.integers(0, 7), st.integers(0, 2**20), st.booleans(), st.booleans(), data)
    def test_roundTrip(self, channel: int, seq: int, first: bool, last: bool, data: bytes) -> None:
        """
        It is read with its channel, its flags and the low 16 bits of its number.
        """
        frame = reliable_header(channel, seq, first, last) + data
        kind = 0x40 + 0x10 * first + 0x08 * last + channel
        self.assertEqual(parse_frames(frame), ([(kind, seq % 2**16, 0, data)], None))

    def test_channelOffByOne(self) -> None:
        """
        Channels are 0 to 7; another would change the flags.
        """
        for channel in (0, 7):
            reliable_header(channel, 0, False, False)
        for channel in (-1, 8):
            self.assertRaises(LocalProtocolError, reliable_header, channel, 0, False, False)


class WithLengthTests(SynchronousTestCase):
    """
    L{with_length}.
    """

    @given(last_frames.filter(lambda frame: frame[0][:1] not in (b"", b"\x03")))
    def test_readsOtherwise(self, written: tuple[bytes, list[Frame]]) -> None:
        """
        A MESSAGE or RELIABLE is read as before, and so is what follows it.
        """
        encoded, (frame,) = written
        kind, seq, zero, data = frame
        expected = (kind | 0x20, seq, zero, data)
        self.assertEqual(len(with_length(encoded)), len(encoded) + 2)
        self.assertEqual(
            parse_frames(with_length(encoded) + b"\x01"), ([expected, (1, 0, 0, b"")], None)
        )

    @given(data)
    @example(b"")
    @example(b"\x40\x00")
    @example(b"\x60\x00\x00\x00\x00")
    @example(b"\x21\x00\x00")
    @example(b"\x80\x00\x00")
    def test_anyBytesRaise(self, frame: bytes) -> None:
        """
        Any bytes get a length, or are the caller's fault.
        """
        whole = len(frame) >= 3 and 0x40 <= frame[0] < 0x60
        if whole or frame[:1] == b"\x20":
            with_length(frame)
        else:
            self.assertRaises(LocalProtocolError, with_length, frame)

    def test_lengthOffByOne(self) -> None:
        """
        A length says up to 65535.
        """
        for header in (b"\x20", b"\x58\x00\x00"):
            with_length(header + bytes(65535))
            self.assertRaises(LocalProtocolError, with_length, header + bytes(65536))
