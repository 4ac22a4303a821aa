"""
Tests of L{diarkis_tw.wire.record}.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.record import RecordReader, record_header
from tests.strategies import chunked, u8

LIMIT = 300

records = st.lists(st.tuples(u8, st.binary(max_size=LIMIT)), max_size=8)


def written(type: int, body: bytes) -> bytes:
    """
    One whole record.
    """
    return record_header(type, len(body)) + body


def drained(reader: RecordReader) -> list[tuple[int, bytes, bytes]]:
    """
    All whole records that a reader holds.
    """
    found = []
    while (record := reader.next()) is not None:
        found.append(record)
    return found


class HeaderTests(SynchronousTestCase):
    """
    L{record_header}.
    """

    def test_layout(self) -> None:
        """
        A header is the type and 24 bits of length, big endian.
        """
        self.assertEqual(record_header(0x10, 0x010203), b"\x10\x01\x02\x03")
        self.assertEqual(record_header(0, 0), bytes(4))
        self.assertEqual(record_header(255, 2**24 - 1), b"\xff\xff\xff\xff")

    def test_overflow(self) -> None:
        """
        A length beyond 24 bits, or a type beyond a byte, is refused.
        """
        for type, length in ((1, 2**24), (1, -1), (256, 0), (-1, 0)):
            self.assertRaises(LocalProtocolError, record_header, type, length)


class RecordReaderTests(SynchronousTestCase):
    """
    L{RecordReader}.
    """

    @given(records, st.data())
    def test_splitMatters(self, written_ones: list[tuple[int, bytes]], data: st.DataObject) -> None:
        """
        Any split of a stream gives the same records, with their headers, and leaves
        nothing behind.
        """
        stream = b"".join(written(*record) for record in written_ones)
        reader = RecordReader(LIMIT)
        found = []
        for chunk in data.draw(chunked(stream)):
            reader.feed(chunk)
            found += drained(reader)
        self.assertEqual(
            found, [(type, record_header(type, len(body)), body) for type, body in written_ones]
        )
        self.assertEqual(reader.pending, 0)

    @given(records, st.data())
    def test_lateReading(self, written_ones: list[tuple[int, bytes]], data: st.DataObject) -> None:
        """
        Records are the same when the reader is asked at odd times, and asked once.
        """
        stream = b"".join(written(*record) for record in written_ones)
        reader = RecordReader(LIMIT)
        found = []
        fed = 0
        for chunk in data.draw(chunked(stream)):
            reader.feed(chunk)
            fed += len(chunk)
            if data.draw(st.booleans()):
                record = reader.next()
                found += [] if record is None else [record]
            read = sum(4 + len(body) for _, _, body in found)
            self.assertEqual(reader.pending, fed - read)
        found += drained(reader)
        self.assertEqual([(type, body) for type, _, body in found], written_ones)

    @given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 40))
    def test_anyBytesRaise(self, chunks: list[bytes], limit: int) -> None:
        """
        Any bytes give whole records within the limit, or L{RemoteProtocolError} with
        TOO_LARGE, and what is held stays bounded.
        """
        reader = RecordReader(limit)
        for chunk in chunks:
            reader.feed(chunk)
            try:
                for _, header, body in drained(reader):
                    self.assertLessEqual(len(body), limit)
                    self.assertEqual(int.from_bytes(header[1:]), len(body))
            except RemoteProtocolError as exc:
                self.assertEqual(exc.code, CloseCode.TOO_LARGE)
                return
            self.assertLess(reader.pending, limit + 4)

    def test_typesAreBytes(self) -> None:
        """
        Header and body are bytes, from a whole chunk and from a dribble alike.
        """
        stream = written(16, b"abc")
        whole = RecordReader(3)
        whole.feed(stream)
        dribble = RecordReader(3)
        for byte in stream[:-1]:
            dribble.feed(bytes((byte,)))
            self.assertIsNone(dribble.next())
        dribble.feed(stream[-1:])
        for reader in (whole, dribble):
            record = reader.next()
            assert record is not None
            self.assertEqual(record, (16, b"\x10\x00\x00\x03", b"abc"))
            self.assertEqual((type(record[1]), type(record[2])), (bytes, bytes))

    def test_limitOffByOne(self) -> None:
        """
        Bodies one below and at the limit are read; one above is refused with
        TOO_LARGE, whole or dribbled.
        """
        for limit in (0, 1, 17, 8021):
            for size in (limit - 1, limit, limit + 1):
                if size < 0:
                    continue
                body = bytes(size)
                stream = written(16, body)
                for step in (1, len(stream)):
                    reader = RecordReader(limit)
                    if size > limit:
                        error = self.assertRaises(
                            RemoteProtocolError, self.readInSteps, reader, stream, step
                        )
                        self.assertEqual(error.code, CloseCode.TOO_LARGE)
                    else:
                        self.assertEqual(
                            self.readInSteps(reader, stream, step), [(16, stream[:4], body)]
                        )

    def readInSteps(
        self, reader: RecordReader, stream: bytes, step: int
    ) -> list[tuple[int, bytes, bytes]]:
        """
        Feed a stream in pieces and read all it gives.
        """
        found = []
        for start in range(0, len(stream), step):
            reader.feed(stream[start : start + step])
            found += drained(reader)
        return found

    def test_refusedLate(self) -> None:
        """
        A record above the limit is refused as soon as its header is there, and
        stays refused.
        """
        reader = RecordReader(10)
        reader.feed(record_header(16, 11)[:3])
        self.assertIsNone(reader.next())
        reader.feed(record_header(16, 11)[3:])
        for _ in range(2):
            self.assertRaises(RemoteProtocolError, reader.next)

    def test_refusedBehindGood(self) -> None:
        """
        Records before one above the limit are still read.
        """
        reader = RecordReader(3)
        reader.feed(written(16, b"abc") + record_header(16, 4))
        self.assertEqual(reader.next(), (16, b"\x10\x00\x00\x03", b"abc"))
        self.assertRaises(RemoteProtocolError, reader.next)

    def test_limitFixed(self) -> None:
        """
        A new limit holds from the next record on, also for what is already held.
        """
        reader = RecordReader(3)
        reader.feed(written(1, b"abc") + written(16, b"abcd") + written(16, b"abcde"))
        self.assertIsNotNone(reader.next())
        reader.limit = 4
        self.assertIsNotNone(reader.next())
        self.assertRaises(RemoteProtocolError, reader.next)

    def test_headerNotSeen(self) -> None:
        """
        The header in front can be looked at as soon as its four bytes are there,
        without taking it.
        """
        reader = RecordReader(3)
        stream = written(16, b"abc")
        for end in range(4):
            self.assertIsNone(reader.peek_header())
            reader.feed(stream[end : end + 1])
        for _ in range(2):
            self.assertEqual(reader.peek_header(), stream[:4])
        reader.feed(stream[4:] + b"\x11")
        self.assertEqual(reader.next(), (16, stream[:4], b"abc"))
        self.assertIsNone(reader.peek_header())
        reader.feed(b"\x00\x00\x00")
        self.assertEqual(reader.peek_header(), b"\x11\x00\x00\x00")


class LinearTimeTests(SynchronousTestCase):
    """
    A peer cannot make reading slow by the way it cuts its stream. The bytes that
    the buffer copies are counted, not seconds.
    """

    def copied(self, stream: bytes, step: int, limit: int) -> int:
        """
        Feed a stream in pieces; count the bytes moved into new buffers: a buffer
        that stays the same object between two feeds was only appended to.
        """
        reader = RecordReader(limit)
        moved = 0
        before: object = None
        for start in range(0, len(stream), step):
            held = reader.pending
            reader.feed(stream[start : start + step])
            buffer = reader._buffer
            moved += step if buffer is before or not held else held + step
            before = buffer
            drained(reader)
        return moved

    def test_dribbleQuadratic(self) -> None:
        """
        A large record that comes byte by byte is not copied again for each byte.
        """
        size = 20_000
        self.assertLess(self.copied(written(16, bytes(size)), 1, size), 3 * size)

    def test_smallRecordsQuadratic(self) -> None:
        """
        Many records across chunk borders are copied about once.
        """
        stream = written(16, bytes(60)) * 2000
        for step in (1, 7, 63, 65, 1000, 4096):
            self.assertLess(self.copied(stream, step, 100), 3 * len(stream) + 100 * step, step)

    def test_hugeChunkQuadratic(self) -> None:
        """
        A chunk of very many records behind half a record is read without moving the
        rest for each record.
        """
        record = written(16, b"")
        count = 100_000
        reader = RecordReader(10)
        reader.feed(record[:2])
        reader.feed(record[2:] + record * count)
        buffer = reader._buffer
        for _ in range(count + 1):
            self.assertIsNotNone(reader.next())
            # Nothing is cut off the front until the next chunk.
            self.assertIs(reader._buffer, buffer)
        self.assertEqual(len(buffer), 4 * count + 4)
        self.assertIsNone(reader.next())
