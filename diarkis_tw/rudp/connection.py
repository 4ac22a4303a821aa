"""
One reliable UDP connection, the same class at both ends: datagrams, messages
and C{now} in, datagrams and messages out. No socket, no clock, no timer.

All times are integers of microseconds of one monotonic clock: with floats "armed
for sent + delay" and "due when now - sent >= delay" can disagree by one bit, and
a timer then fires for ever at one instant.

States:

    OPEN      messages go both ways
    CLOSING   CLOSE was sent, and is sent up to C{CLOSES} times, a time-out
              apart, until the peer's comes
    CLOSED    over; C{code} says why

How to use it:

  - L{receive} each datagram, then take what is in C{delivered}.
  - L{send} messages; then L{flush} once and send the datagrams it returns.
  - Call L{tick} at L{deadline}, and L{flush} after it.

Packets hold first an ACK if one is owed, then control frames, frames lost
before, unreliable messages, new reliable frames, and at last a redundant copy.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.rudp.channel import ReassemblyBudget, ReceiveChannel, ReliableFrame, SendChannel
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.received import ReceivedPackets
from diarkis_tw.rudp.redundancy import Redundancy
from diarkis_tw.rudp.rtt import RoundTrip
from diarkis_tw.rudp.sent import IN_FLIGHT_MOST, SentPacket, SentPackets
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, TAG_SIZE, Cipher
from diarkis_tw.wire.frame import (
    ACK,
    CHANNEL_MASK,
    CHANNELS,
    CLOSE,
    MESSAGE,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    RELIABLE,
    parse_frames,
    with_length,
)
from diarkis_tw.wire.handshake import decode_close, encode_close
from diarkis_tw.wire.packet import CLIENT_DATA_MIN, DATA_BYTE, restore_number

QUEUE_FRAMES: Final = 4096
QUEUE_BYTES: Final = 1024 * 1024
"""What may wait in one connection: beyond it messages are dropped or refused."""

FRAME_ROOM: Final = 72
"""Bytes of the MTU that are left for headers, tag and an ACK beside a full frame."""

MESSAGE_HEADER_MOST: Final = 6
"""Limits of messages count their payload; the header of a response comes on top."""

CLOSES: Final = 3

NUMBER_LAST: Final = DATAGRAM_NUMBER_LIMIT - 2 * CLOSES
"""Packet number at which a sender closes with REKEY, so that its CLOSEs stay below the limit."""


class State(Enum):
    """
    See the module's table.
    """

    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What both ends agreed on; times in microseconds, sizes in bytes.
    """

    mtu: int = 1200
    window: int = 256
    retry_interval: int = 1_000_000
    max_retry: int = 10
    ack_delay: int = 20_000
    max_message_size: int = 64 * 1024
    redundancy: bool = True


class Connection:
    """
    One end of a connection.

    @ivar delivered: complete messages, each with whether it was reliable; the
        owner empties it.
    @ivar paused: the owner takes no more messages: packets with reliable frames
        are dropped unacknowledged, so that the peer keeps them.
    @ivar state: see L{State}.
    @ivar code: why it ended, once it is not OPEN.
    @ivar heard_at: when something authentic last came.
    @ivar path_response: data of the last PATH_RESPONSE; the owner clears it.
    @ivar replayed: datagrams dropped as old or seen before.
    @ivar forged: datagrams with a bad tag.
    @ivar dropped: unreliable messages dropped here at a full queue.
    @ivar full_since: since when messages are refused.
    """

    __slots__ = (
        "_active",
        "_budget",
        "_channels",
        "_closes",
        "_closing_at",
        "_congestion",
        "_control",
        "_expiries",
        "_frame_most",
        "_header",
        "_header_size",
        "_least",
        "_limits",
        "_open",
        "_ping",
        "_probes",
        "_received",
        "_receiving",
        "_redundancy",
        "_retransmit",
        "_room",
        "_rto_at",
        "_seal",
        "_sent",
        "_unacked_since",
        "_unreliable",
        "_unreliable_bytes",
        "blocked_until",
        "code",
        "delivered",
        "dropped",
        "forged",
        "full_since",
        "heard_at",
        "path_response",
        "paused",
        "reason",
        "replayed",
        "retransmitted",
        "round_trip",
        "state",
    )

    def __init__(
        self,
        limits: Limits,
        cid: bytes,
        is_client: bool,
        opener: Cipher,
        sealer: Cipher,
        budget: ReassemblyBudget,
        now: int,
        round_trip: int = 0,
    ) -> None:
        """
        @param cid: 8 bytes that name the connection to the server.
        @param budget: shared by the connections of the process.
        @param round_trip: measured by the handshake; 0 = not.
        """
        self._limits = limits
        client_header = bytes((DATA_BYTE,)) + cid
        self._header = client_header if is_client else client_header[:1]
        self._header_size = 3 if is_client else 11
        self._open = opener.open
        self._seal = sealer.seal
        self._budget = budget
        self.round_trip = RoundTrip(limits.retry_interval, limits.ack_delay)
        if round_trip:
            self.round_trip.sample(round_trip)
        self._congestion = Congestion(limits.mtu, self.round_trip)
        self._sent = SentPackets(self.round_trip, self._congestion)
        self._received = ReceivedPackets(limits.ack_delay)
        self._redundancy = Redundancy() if limits.redundancy else None
        self._room = limits.mtu - len(self._header) - 2 - TAG_SIZE
        self._least = CLIENT_DATA_MIN - len(client_header) - 2 - TAG_SIZE if is_client else 0
        self._frame_most = limits.mtu - FRAME_ROOM
        self._channels: list[SendChannel | None] = [None] * CHANNELS
        self._receiving: list[ReceiveChannel | None] = [None] * CHANNELS
        self._retransmit: deque[ReliableFrame] = deque()
        self._unreliable: deque[bytes] = deque()
        self._control: list[bytes] = []
        self._ping = False
        self._unreliable_bytes = 0
        self._active: deque[SendChannel] = deque()
        self._unacked_since: int | None = None
        self._probes = 0
        self._expiries = 0
        self._rto_at = 0
        self._closes = 0
        self._closing_at = 0
        self.blocked_until: int | None = None
        self.delivered: list[tuple[bytes, bool]] = []
        self.paused = False
        self.state = State.OPEN
        self.code: CloseCode | None = None
        self.reason = ""
        self.heard_at = now
        self.path_response: bytes | None = None
        self.replayed = 0
        self.forged = 0
        self.dropped = 0
        self.retransmitted = 0
        self.full_since: int | None = None

    # In

    def receive(self, datagram: bytes, now: int) -> bool:
        """
        Take a DATA datagram.

        @return: whether it is authentic and new.
        """
        header_size = self._header_size
        received = self._received
        number = restore_number(
            datagram[header_size - 2] << 8 | datagram[header_size - 1], received.largest + 1
        )
        if not received.is_new(number):
            self.replayed += 1
            return False
        packet = self._open(number, datagram[:header_size], datagram[header_size:])
        if packet is None:
            self.forged += 1
            return False
        self.heard_at = now
        if self.state is State.CLOSED:
            return True
        frames, error = parse_frames(packet)
        eliciting = False
        for kind, _, _, _ in frames:
            if kind >= RELIABLE:
                if self.paused or self._budget.used > self._budget.most:
                    return True
                eliciting = True
            elif kind == PING or kind == PATH_CHALLENGE or kind == PATH_RESPONSE:
                eliciting = True
        received.add(number, eliciting, now)
        try:
            if number >= DATAGRAM_NUMBER_LIMIT:
                raise RemoteProtocolError("a packet number above the limit")
            for kind, a, b, data in frames:
                if kind >= RELIABLE:
                    self._receive_channel(kind & CHANNEL_MASK).receive(
                        kind, a, data, self.delivered
                    )
                elif kind == ACK:
                    self._acked(a, b * 1000, data, now)
                elif kind == MESSAGE:
                    self.delivered.append((data, False))
                elif kind == PATH_CHALLENGE:
                    if len(self._control) < CHANNELS:
                        self._control.append(bytes((PATH_RESPONSE,)) + data)
                elif kind == PATH_RESPONSE:
                    self.path_response = data
                elif kind == CLOSE:
                    self._closed_by_peer(data)
                    return True
            if error is not None:
                raise error
        except RemoteProtocolError as fault:
            self.close(fault.code, now)
        return True

    def _receive_channel(self, number: int) -> ReceiveChannel:
        channel = self._receiving[number]
        if channel is None:
            limits = self._limits
            most = limits.max_message_size + MESSAGE_HEADER_MOST
            channel = self._receiving[number] = ReceiveChannel(limits.window, most, self._budget)
        return channel

    def _acked(self, largest: int, delay: int, bitmap: bytes, now: int) -> None:
        sent = self._sent
        told = sent.acked(largest, delay, bitmap, now)
        if sent.progress_at == now:
            self._expiries = 0
        if told >= 0:
            self._received.told(told)
        self._take_lost()
        if not sent.packets and not self._retransmit:
            self._unacked_since = None

    def _take_lost(self) -> None:
        lost = self._sent.lost_frames
        if lost:
            self._retransmit += lost
            lost.clear()

    # Out

    def send(self, message: bytes, reliable: bool, channel: int = 0, now: int = 0) -> bool:
        """
        Queue a message; L{flush} sends it.

        @param channel: 0..7, of reliable messages.
        @return: False if it was dropped (unreliable) or refused (reliable).
        @raise LocalProtocolError: too large, or no such channel.
        """
        if self.state is not State.OPEN:
            return False
        size = len(message)
        if not reliable:
            if size > self._frame_most + MESSAGE_HEADER_MOST:
                raise LocalProtocolError(
                    f"an unreliable message of {size} bytes does not fit one packet: "
                    f"at most {self._frame_most} bytes of payload, or send it reliably"
                )
            if self._is_full(size):
                self.dropped += 1
                return False
            self._unreliable.append(bytes((MESSAGE,)) + message)
            self._unreliable_bytes += size
            return True
        if size > self._limits.max_message_size + MESSAGE_HEADER_MOST:
            raise LocalProtocolError(
                f"a message of {size} bytes is above the limit of "
                f"{self._limits.max_message_size} bytes of payload"
            )
        if self._is_full(size):
            if self.full_since is None:
                self.full_since = now
            return False
        self.full_since = None
        sending = self._channels[channel]
        if sending is None:
            sending = self._channels[channel] = SendChannel(channel, self._limits.window)
        if not sending.queue:
            self._active.append(sending)
        frames = sending.add(message, self._frame_most + MESSAGE_HEADER_MOST)
        self._sent.pending_frames += frames
        self._sent.pending_bytes += size
        return True

    def _is_full(self, size: int) -> bool:
        sent = self._sent
        return (
            sent.pending_frames + len(self._unreliable) >= QUEUE_FRAMES
            or sent.pending_bytes + self._unreliable_bytes + size > QUEUE_BYTES
        )

    @property
    def queued(self) -> int:
        """
        Bytes of messages that the peer does not have, as far as is known.
        """
        return self._sent.pending_bytes + self._unreliable_bytes

    def ping(self) -> None:
        """
        Ask for an acknowledgement with the next L{flush}.
        """
        self._ping = True

    @property
    def largest(self) -> int:
        """
        The largest packet number received, -1 before the first.
        """
        return self._received.largest

    def challenge(self, data: bytes, now: int) -> bytes:
        """
        A datagram with a PATH_CHALLENGE and nothing else, for another address
        than the peer's.

        @param data: 8 unpredictable bytes.
        """
        return self._packet(bytes((PATH_CHALLENGE,)) + data, (), None, -1, True, now)

    def path_changed(self) -> None:
        """
        The peer is at another IP address: what was measured is worth nothing.
        """
        self.round_trip.reset()
        self._congestion.reset()

    def close(self, code: CloseCode, now: int, reason: str = "") -> None:
        """
        End the connection without waiting for reliable data.
        """
        if self.state is not State.OPEN:
            return
        self.state = State.CLOSING
        self.code = code
        self.reason = reason
        self._release()
        self._closes = 0
        self._closing_at = now
        self.tick(now)

    def flush(self, now: int) -> list[bytes]:
        """
        The datagrams to send now.
        """
        datagrams: list[bytes] = []
        if self._sent.next_number >= NUMBER_LAST and self.state is State.OPEN:
            self.close(CloseCode.REKEY, now)
        while (datagram := self._build(now)) is not None:
            datagrams.append(datagram)
        return datagrams

    def _build(self, now: int) -> bytes | None:
        sent = self._sent
        received = self._received
        unreliable = self._unreliable
        retransmit = self._retransmit
        ack_at = received.ack_at
        reliable = bool(retransmit or self._active) and self._may_send(now)
        if not (reliable or unreliable or self._control or self._ping):
            if ack_at is None or ack_at > now:
                return None
        room = self._room
        told = -1
        parts: list[bytes] = []
        size = 0
        if ack_at is not None:
            ack = received.ack_frame(now)
            told = received.largest
            size = len(ack)
            parts.append(ack)
        eliciting = False
        if self._control or self._ping:
            size += self._build_control(parts)
            eliciting = self.state is State.OPEN
        data: list[bytes] = []
        frames: list[ReliableFrame] = []
        while unreliable and size + len(unreliable[0]) + 2 <= room:
            message = unreliable.popleft()
            self._unreliable_bytes -= len(message) - 1
            size += len(message) + 2
            data.append(message)
        if reliable:
            size = self._build_reliable(data, frames, size)
        copy = None
        if self._redundancy is not None and data:
            space = room - size - 2
            copy = self._redundancy.pick(self._congestion.loss, sent.saved, now, frames, space)
            if copy is not None:
                data.append(copy.encoded)
                frames.append(copy)
        if len(data) > 1:
            last = data.pop()
            parts += map(with_length, data)
            parts.append(last)
        elif data:
            parts += data
        plaintext = b"".join(parts) if len(parts) != 1 else parts[0]
        return self._packet(plaintext, tuple(frames), copy, told, eliciting or bool(frames), now)

    def _packet(
        self,
        plaintext: bytes,
        frames: tuple[ReliableFrame, ...],
        copy: ReliableFrame | None,
        told: int,
        eliciting: bool,
        now: int,
    ) -> bytes:
        """
        Seal a packet and take note of it.
        """
        sent = self._sent
        short = self._least - len(plaintext)
        if short > 0:
            plaintext = bytes(short) + plaintext
        number = sent.next_number
        header = self._header + (number & 0xFFFF).to_bytes(2)
        datagram = header + self._seal(number, header, plaintext)
        if eliciting:
            sent.add(SentPacket(now, len(datagram), frames, copy, told))
            self._congestion.sent(len(datagram))
            if self._probes:
                self._probes -= 1
            if self._unacked_since is None:
                self._unacked_since = now
        else:
            sent.add(None)
        return datagram

    def _build_control(self, parts: list[bytes]) -> int:
        """
        Add control frames and PING; CLOSE must be the last of a packet.
        """
        if self._ping:
            self._ping = False
            parts.append(bytes((PING,)))
        control, self._control = self._control, []
        parts += control
        return 1 + sum(map(len, control))

    def _build_reliable(self, data: list[bytes], frames: list[ReliableFrame], size: int) -> int:
        room = self._room
        retransmit = self._retransmit
        while retransmit:
            frame = retransmit[0]
            if frame.acked:
                retransmit.popleft().waiting = False
                continue
            if size + len(frame.encoded) + 2 > room:
                return size
            retransmit.popleft().waiting = False
            self.retransmitted += 1
            size += len(frame.encoded) + 2
            data.append(frame.encoded)
            frames.append(frame)
        active = self._active
        for _ in range(len(active)):
            channel = active[0]
            while (fresh := channel.next_frame()) is not None:
                if size + len(fresh.encoded) + 2 > room:
                    return size
                channel.take()
                size += len(fresh.encoded) + 2
                data.append(fresh.encoded)
                frames.append(fresh)
                if self._redundancy is not None:
                    self._redundancy.sent(fresh)
            active.popleft()
            if channel.queue:
                active.append(channel)
        return size

    def _may_send(self, now: int) -> bool:
        """
        Whether a packet with reliable frames may leave; if not, why.
        """
        self.blocked_until = None
        if self._probes:
            return True
        if not self._retransmit and all(c.next_frame() is None for c in self._active):
            return False
        sent = self._sent
        congestion = self._congestion
        congestion.limited = False
        if sent.in_flight >= congestion.window or len(sent.packets) >= IN_FLIGHT_MOST:
            congestion.limited = True
            return False
        allowed = congestion.allowed_at(now)
        if allowed > now:
            self.blocked_until = allowed
            congestion.limited = True
            return False
        return True

    # Time

    def deadline(self) -> int | None:
        """
        When L{tick} must be called next; L{None} = not before something happens.
        """
        if self.state is State.CLOSED:
            return None
        if self.state is State.CLOSING:
            return self._closing_at
        times = [self._received.ack_at, self.blocked_until, self._sent.loss_at]
        if self._sent.packets:
            times.append(self._rto_deadline())
        if self._unacked_since is not None:
            times.append(self._give_up_at())
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: int) -> None:
        """
        Do what is due; L{flush} afterwards.
        """
        if self.state is State.CLOSING:
            if now >= self._closing_at:
                self._say_close(now)
            return
        if self.state is State.CLOSED:
            return
        if self._unacked_since is not None and now >= self._give_up_at():
            self.state = State.CLOSED
            self.code = CloseCode.TIMEOUT
            self._release()
            return
        sent = self._sent
        if sent.loss_at is not None and now >= sent.loss_at:
            sent.detect_lost(now)
            self._take_lost()
        if sent.packets and now >= self._rto_deadline():
            self._expired(now)

    def _rto_deadline(self) -> int:
        since = max(self._sent.progress_at, self._rto_at)
        return since + self.round_trip.timeout(self._expiries)

    def _give_up_at(self) -> int:
        limits = self._limits
        since = max(self.heard_at, self._unacked_since or 0)
        return since + limits.max_retry * limits.retry_interval

    def _expired(self, now: int) -> None:
        self._rto_at = now
        self._expiries += 1
        count = 1 if self._expiries == 1 else 2
        for packet in list(self._sent.packets.values())[:count]:
            again = [f for f in packet.frames if not f.acked and not f.waiting]
            for frame in again:
                frame.waiting = True
            self._retransmit.extendleft(reversed(again))
        self._probes = count
        if not self._retransmit:
            self._ping = True

    def _say_close(self, now: int) -> None:
        if self._closes >= CLOSES:
            self.state = State.CLOSED
            self._control.clear()
            return
        self._closes += 1
        self._closing_at = now + self.round_trip.timeout(0)
        assert self.code is not None
        self._control = [bytes((CLOSE,)) + encode_close(self.code, self.reason)]

    def _closed_by_peer(self, body: bytes) -> None:
        code, reason = decode_close(body)
        if self.state is State.OPEN:
            self.code = code
            self.reason = reason
            self._release()
            self._control = [bytes((CLOSE,)) + encode_close(code, "")]
        else:
            self._control = []
        self.state = State.CLOSED

    def _release(self) -> None:
        """
        Drop all that an ended connection needs no more.
        """
        for channel in self._receiving:
            if channel is not None:
                channel.release()
        self._unreliable.clear()
        self._unreliable_bytes = 0
        self._retransmit.clear()
        self._active.clear()
        self._sent.packets.clear()
        self._ping = False
        self._control = []
        self._unacked_since = None
