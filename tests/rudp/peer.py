"""
The other end of a connection, made by hand: it sends any frames in properly
sealed packets, so that what it does wrong is the protocol and not the sealing.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterable

from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.frame import (
    ACK,
    CLOSE,
    MESSAGE,
    RELIABLE,
    Frame,
    encode_ack,
    parse_frames,
    reliable_header,
    with_length,
)
from diarkis_tw.wire.packet import restore_number

MILLISECOND = 1_000
SECOND = 1_000_000
ROUND_TRIP = 50 * MILLISECOND
BUDGET = 64 * 1024 * 1024

CID = bytes(range(8))


def reliable(
    seq: int, data: bytes = b"data", channel: int = 0, first: bool = True, last: bool = True
) -> bytes:
    """
    A RELIABLE frame with a length, so that others may follow.
    """
    return with_length(reliable_header(channel, seq, first, last) + data)


def unreliable(message: bytes) -> bytes:
    """
    A MESSAGE frame with a length.
    """
    return with_length(bytes((MESSAGE,)) + message)


def ack(largest: int, *before: int) -> bytes:
    """
    An ACK of C{largest} and of the smaller numbers C{before}.
    """
    return encode_ack(largest, 0, sum(1 << largest - 1 - number for number in before))


class Peer:
    """
    Everything around one connection under test.

    @ivar connection: the one under test.
    @ivar now: the time.
    @ivar number: of the next packet that the peer sends.
    @ivar packets: what the connection sent: number, size and frames of each.
    """

    def __init__(
        self,
        is_client: bool = False,
        limits: Limits | None = None,
        encrypted: bool = True,
        round_trip: int = ROUND_TRIP,
        budget: ReassemblyBudget | None = None,
        connection: type[Connection] = Connection,
    ) -> None:
        """
        @param is_client: the connection under test is the client's end.
        @param connection: its class.
        """
        ciphers = AeadCache()
        keys = (bytes(range(16)), bytes(12)), (bytes(range(1, 17)), bytes(12))
        up, down = (Cipher(key, iv, encrypted, ciphers) for key, iv in keys)
        opener, sealer = (down, up) if is_client else (up, down)
        self._seal, self._open = opener, sealer
        self._header = b"\x80" if is_client else b"\x80" + CID
        self._sent_header = 11 if is_client else 3
        self._largest = -1
        self.now = 10 * SECOND
        self.number = 0
        self.budget = budget or ReassemblyBudget(BUDGET)
        self.connection = connection(
            limits or Limits(),
            CID,
            is_client,
            opener,
            sealer,
            self.budget,
            self.now,
            round_trip,
        )
        self.packets: list[tuple[int, int, list[Frame]]] = []

    def packet(self, *frames: bytes, number: int | None = None) -> bytes:
        """
        Seal a packet.
        """
        if number is None:
            number = self.number
            self.number += 1
        header = self._header + (number & 0xFFFF).to_bytes(2)
        return header + self._seal.seal(number, header, b"".join(frames))

    def give(self, *frames: bytes, number: int | None = None) -> bool:
        """
        Send a packet to the connection.
        """
        return self.connection.receive(self.packet(*frames, number=number), self.now)

    def flush(self) -> list[list[Frame]]:
        """
        Let the connection send.

        @return: the frames of each packet.
        """
        fresh = [self.read(datagram) for datagram in self.connection.flush(self.now)]
        self.packets += fresh
        return [frames for _, _, frames in fresh]

    def read(self, datagram: bytes) -> tuple[int, int, list[Frame]]:
        """
        Open what the connection sent: its number, its size and its frames.
        """
        size = self._sent_header
        number = restore_number(int.from_bytes(datagram[size - 2 : size]), self._largest + 1)
        self._largest = max(self._largest, number)
        plaintext = self._open.open(number, datagram[:size], datagram[size:])
        assert plaintext is not None
        frames, error = parse_frames(plaintext)
        assert error is None
        return number, len(datagram), frames

    def wait(self, duration: int) -> list[list[Frame]]:
        """
        Let time pass, as an owner does that keeps every deadline.

        @return: the frames of each packet that the connection sent.
        """
        until = self.now + duration
        sent = self.flush()
        for _ in range(10_000):
            deadline = self.connection.deadline()
            if deadline is None or deadline > until:
                self.now = until
                return sent
            self.now = max(self.now, deadline)
            self.connection.tick(self.now)
            sent += self.flush()
        raise AssertionError("the connection does not come to rest")

    def delivered(self) -> list[bytes]:
        """
        Take the messages that arrived.
        """
        messages = [message for message, _ in self.connection.delivered]
        self.connection.delivered.clear()
        return messages


def datas(packets: Iterable[list[Frame]]) -> list[bytes]:
    """
    The data of all RELIABLE frames.
    """
    return [data for frames in packets for kind, _, _, data in frames if kind >= RELIABLE]


def closes(packets: Iterable[list[Frame]]) -> list[bytes]:
    """
    The bodies of all CLOSE frames.
    """
    return [data for frames in packets for kind, _, _, data in frames if kind == CLOSE]


def acks(packets: Iterable[list[Frame]]) -> list[tuple[int, bytes]]:
    """
    Largest number and bitmap of all ACK frames.
    """
    return [(a, data) for frames in packets for kind, a, _, data in frames if kind == ACK]


def memory(work: Callable[[], object]) -> int:
    """
    Bytes that are in use after some work and were not before.
    """
    tracing = tracemalloc.is_tracing()
    gc.collect()
    if not tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        if not tracing:
            tracemalloc.stop()
