"""
One reliable UDP connection, the same class at both ends: datagrams, messages
and C{now} in, datagrams and messages out. No socket, no clock, no timer.

All times are integers of microseconds of one monotonic clock: with floats "armed
for sent + delay" and "due when now - sent >= delay" can disagree by one bit, and
a timer then fires for ever at one instant.

States::

    OPEN      messages go both ways
    CLOSING   CLOSE was sent, and is sent up to C{CLOSES} times, a time-out
              apart, until the peer's comes
    CLOSED    over; C{code} says why

How to use it:

  - L{receive} each datagram, then take what is in C{delivered}.
  - L{send} messages; then L{flush} once and send the datagrams it returns.
  - Call L{tick} at L{deadline}, and L{flush} after it.
  - End it with L{close}, also one that is silent: what it holds of the process's
    L{ReassemblyBudget} goes back then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.rudp.channel import ReassemblyBudget, ReceiveChannel
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.outgoing import FRAME_ROOM, Outgoing
from diarkis_tw.rudp.received import ReceivedPackets
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
    RELIABLE,
    Frame,
    parse_frames,
)
from diarkis_tw.wire.handshake import decode_close, encode_close
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, RESPONSE_HEADER_SIZE
from diarkis_tw.wire.packet import (
    CLIENT_DATA_MIN,
    CLIENT_HEADER_SIZE,
    DATA_BYTE,
    SERVER_HEADER_SIZE,
    restore_number,
)

CLOSES: Final = 3

NUMBER_LAST: Final = DATAGRAM_NUMBER_LIMIT - 2 * CLOSES
"""Packet number at which a sender closes with REKEY, so that its CLOSEs stay below the limit."""

_CLIENT_PLAINTEXT_MIN: Final = CLIENT_DATA_MIN - CLIENT_HEADER_SIZE - TAG_SIZE
_NO_CHANNELS: Final[tuple[None, ...]] = (None,) * CHANNELS


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
        are dropped unacknowledged, so that the peer keeps them. Only ACK and
        CLOSE in them take effect.
    @ivar state: see L{State}.
    @ivar code: why it ended, once it is not OPEN; with C{reason}, for people.
    @ivar heard_at: when something authentic last came.
    @ivar path_response: data of the last PATH_RESPONSE; the owner clears it.
    @ivar replayed: datagrams dropped as old or seen before.
    @ivar forged: datagrams with a bad tag.
    @ivar dropped: unreliable messages dropped here at a full queue.
    @ivar full_since: since when messages are refused; L{None} once a reliable one
        was taken, or there is room again.
    @ivar round_trip: estimates, and the retransmission time-out.
    @ivar blocked_until: when the pacer lets the next packet out, if it holds one.
    """

    __slots__ = (
        "_budget",
        "_closes",
        "_closing_at",
        "_congestion",
        "_expiries",
        "_header",
        "_header_size",
        "_limits",
        "_message_most",
        "_open",
        "_outgoing",
        "_patience",
        "_probes",
        "_received",
        "_receiving",
        "_rto_at",
        "_seal",
        "_sent",
        "_unacked_since",
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
        self._header_size = SERVER_HEADER_SIZE if is_client else CLIENT_HEADER_SIZE
        self._open = opener.open
        self._seal = sealer.seal
        self._budget = budget
        self.round_trip = RoundTrip(limits.retry_interval, limits.ack_delay)
        if round_trip:
            self.round_trip.sample(round_trip)
        self._congestion = Congestion(limits.mtu, self.round_trip)
        self._sent = SentPackets(self.round_trip, self._congestion)
        self._received = ReceivedPackets(limits.ack_delay)
        self._outgoing = Outgoing(
            limits.mtu - len(self._header) - 2 - TAG_SIZE,
            limits.mtu - FRAME_ROOM + self._message_header(is_client),
            limits.window,
            limits.redundancy,
            self._sent,
        )
        self._receiving: Sequence[ReceiveChannel | None] = _NO_CHANNELS
        self._message_most = limits.max_message_size + self._message_header(is_client)
        self._patience = limits.max_retry * limits.retry_interval
        self._unacked_since = now
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
        self.full_since: int | None = None

    # In

    def receive(self, datagram: bytes, now: int) -> bool:
        """
        Take a DATA datagram.

        @return: whether it is authentic and new.
        """
        size = self._header_size
        received = self._received
        try:
            low = datagram[size - 2] << 8 | datagram[size - 1]
        except IndexError:
            self.forged += 1
            return False
        number = received.largest + 1
        if low != number & 0xFFFF:
            number = restore_number(low, number)
            if not received.is_new(number):
                self.replayed += 1
                return False
        packet = self._open(number, datagram[:size], datagram[size:])
        if packet is None:
            self.forged += 1
            return False
        self.heard_at = now
        frames, error = parse_frames(packet)
        if self.state is not State.OPEN:
            self._receive_close(frames)
            return True
        budget = self._budget
        if (self.paused or budget.used > budget.begin) and not self._may_take(frames):
            self._refuse(frames, now)
            return True
        eliciting = False
        try:
            if number >= DATAGRAM_NUMBER_LIMIT:
                raise RemoteProtocolError("a packet number above the limit")
            for kind, a, b, data in frames:
                if kind >= RELIABLE:
                    eliciting = True
                    channel = self._receiving[kind & CHANNEL_MASK] or self._begin_channel(kind)
                    channel.receive(kind, a, data, self.delivered)
                elif kind == ACK:
                    self._acked(a, b, data, now)
                elif kind == MESSAGE:
                    self.delivered.append((data, False))
                elif kind == CLOSE:
                    self._closed_by_peer(data)
                    return True
                else:
                    eliciting = True
                    if kind == PATH_CHALLENGE:
                        self._outgoing.respond(data)
                    elif kind == PATH_RESPONSE:
                        self.path_response = data
            if error is not None:
                raise error
        except RemoteProtocolError as fault:
            self.close(fault.code, now, str(fault))
        else:
            received.add(number, eliciting, now)
        return True

    def _may_take(self, frames: list[Frame]) -> bool:
        """
        Whether owner and process have room for the reliable frames of a packet.
        """
        ahead = [0] * CHANNELS
        for kind, seq, _, _ in frames:
            if kind >= RELIABLE:
                number = kind & CHANNEL_MASK
                channel = self._receiving[number] or self._begin_channel(number)
                if self.paused or not channel.has_room(kind, seq, ahead[number]):
                    return False
                ahead[number] += 1
        return True

    def _refuse(self, frames: list[Frame], now: int) -> None:
        """
        A packet that is not acknowledged and will come again, in another one.
        """
        for kind, largest, delay, data in frames:
            if kind == ACK:
                try:
                    self._acked(largest, delay, data, now)
                except RemoteProtocolError as fault:
                    self.close(fault.code, now, str(fault))
                    return
        self._receive_close(frames)

    def _begin_channel(self, kind: int) -> ReceiveChannel:
        most = self._limits.max_message_size + self._message_header(
            self._header_size == CLIENT_HEADER_SIZE
        )
        channel = ReceiveChannel(self._limits.window, most, self._budget)
        receiving = list(self._receiving)
        receiving[kind & CHANNEL_MASK] = channel
        self._receiving = receiving
        return channel

    def _acked(self, largest: int, delay: int, bitmap: bytes, now: int) -> None:
        sent = self._sent
        told = sent.acked(largest, delay * 1000, bitmap, now)
        if told is not None:
            self._expiries = self._probes = 0
            if told >= 0:
                self._received.told(told)
        if sent.lost_frames:
            self._take_lost()
        if self.full_since is not None and not self._outgoing.is_full(0):
            self.full_since = None

    def _take_lost(self) -> None:
        lost = self._sent.lost_frames
        self._outgoing.retransmit += lost
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
        if not reliable:
            if self._outgoing.add_unreliable(message):
                return True
            self.dropped += 1
        else:
            if len(message) > self._message_most:
                raise LocalProtocolError(
                    f"a message of {len(message)} bytes is above the limit of "
                    f"{self._message_most} bytes, header included"
                )
            if self._outgoing.add_reliable(message, channel):
                self.full_since = None
                return True
        if self.full_since is None:
            self.full_since = now
        return False

    @staticmethod
    def _message_header(from_client: bool) -> int:
        """
        Limits of messages count their payload; the header comes on top.
        """
        return REQUEST_HEADER_SIZE if from_client else RESPONSE_HEADER_SIZE

    @property
    def queued(self) -> int:
        """
        Bytes of messages that the peer does not have, as far as is known.
        """
        return self._outgoing.size

    @property
    def retransmitted(self) -> int:
        """
        How many frames were sent again because they seemed lost.
        """
        return self._outgoing.retransmitted

    def ping(self) -> None:
        """
        Ask for an acknowledgement with the next L{flush}.
        """
        self._outgoing.ping = True

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
        return self._packet(bytes((PATH_CHALLENGE,)) + data, None)

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
        outgoing = self._outgoing
        sent = self._sent
        while True:
            ack_at = self._received.ack_at
            if self._probes and not outgoing.has_reliable():
                # Two probes are two packets, even if both say the same.
                outgoing.send_again(1)
            reliable = bool(outgoing.retransmit or outgoing.active) and self._may_send(now)
            if not (reliable or outgoing.unreliable or outgoing.control or outgoing.ping) and (
                ack_at is None or ack_at > now
            ):
                return datagrams
            if sent.next_number >= NUMBER_LAST and self.state is State.OPEN:
                self.close(CloseCode.REKEY, now)
            else:
                datagrams.append(self._build(reliable, now))

    def _build(self, reliable: bool, now: int) -> bytes:
        outgoing = self._outgoing
        received = self._received
        parts: list[bytes] = []
        told = -1
        size = 0
        if received.ack_at is not None:
            ack = received.ack_frame(now)
            told = received.largest
            size = len(ack)
            parts.append(ack)
        ping = outgoing.ping
        frames, copy = outgoing.fill(parts, size, reliable, self._congestion.loss, now)
        plaintext = parts[0] if len(parts) == 1 else b"".join(parts)
        if not frames and not ping:
            return self._packet(plaintext, None)
        packet = SentPacket(now, frames, copy, told)
        if self._probes:
            self._probes -= 1
        if not self._sent.packets:
            self._unacked_since = now
        datagram = self._packet(plaintext, packet)
        self._congestion.sent(packet.size)
        return datagram

    def _packet(self, plaintext: bytes, packet: SentPacket | None) -> bytes:
        """
        Seal a packet and take note of it.

        @param packet: L{None} if it need not be kept: it holds nothing that would
            be sent again. PATH frames are such, or a peer could fill the memory.
        """
        sent = self._sent
        number = sent.next_number
        header = self._header + (number & 0xFFFF).to_bytes(2)
        if len(plaintext) < _CLIENT_PLAINTEXT_MIN and len(header) == CLIENT_HEADER_SIZE:
            plaintext = bytes(_CLIENT_PLAINTEXT_MIN - len(plaintext)) + plaintext
        datagram = header + self._seal(number, header, plaintext)
        if packet is not None:
            packet.size = len(datagram)
        sent.add(packet)
        if sent.lost_frames:
            self._take_lost()
        return datagram

    def _may_send(self, now: int) -> bool:
        """
        Whether a packet with reliable frames may leave; if not, why.
        """
        self.blocked_until = None
        if not self._outgoing.has_reliable():
            return False
        if self._probes:
            return True
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
        if self.state is not State.OPEN:
            return self._closing_at if self.state is State.CLOSING else None
        due = self._received.ack_at
        at = self.blocked_until
        if at is not None and (due is None or at < due):
            due = at
        sent = self._sent
        if sent.packets:
            at = self._rto_deadline()
            if due is None or at < due:
                due = at
            at = sent.loss_at
            if at is not None and at < due:
                due = at
        elif not self._outgoing.retransmit:
            return due
        at = self._give_up_at()
        return at if due is None or at < due else due

    def tick(self, now: int) -> None:
        """
        Do what is due; L{flush} afterwards.
        """
        if self.state is not State.OPEN:
            if self.state is State.CLOSING and now >= self._closing_at:
                self._say_close(now)
            return
        sent = self._sent
        if (sent.packets or self._outgoing.retransmit) and now >= self._give_up_at():
            self._give_up()
            return
        if sent.loss_at is not None and now >= sent.loss_at:
            sent.detect_lost(now)
            self._take_lost()
        if sent.packets and now >= self._rto_deadline():
            self._expired(now)

    def _rto_deadline(self) -> int:
        since = self._sent.progress_at
        if self._rto_at > since:
            since = self._rto_at
        return since + self.round_trip.timeout(self._expiries)

    def _give_up_at(self) -> int:
        since = self.heard_at if self.heard_at > self._unacked_since else self._unacked_since
        return since + self._patience

    def _expired(self, now: int) -> None:
        self._rto_at = now
        self._expiries += 1
        self._probes = 1 if self._expiries == 1 else 2
        outgoing = self._outgoing
        outgoing.send_again(self._probes)
        if not outgoing.has_reliable():
            self._probes = 0
            outgoing.ping = True

    # The end

    def _give_up(self) -> None:
        """
        The peer is silent: end at once, with one CLOSE in case that it hears us.
        """
        self.state = State.CLOSED
        self.code = CloseCode.TIMEOUT
        self._release()
        self._outgoing.control = bytes((CLOSE,)) + encode_close(self.code, "")

    def _say_close(self, now: int) -> None:
        if self._closes >= CLOSES:
            self.state = State.CLOSED
            return
        self._closes += 1
        self._closing_at = now + self.round_trip.timeout(0)
        assert self.code is not None
        self._outgoing.control = bytes((CLOSE,)) + encode_close(self.code, self.reason)

    def _receive_close(self, frames: list[Frame]) -> None:
        """
        Take notice of CLOSE alone.
        """
        for kind, _, _, data in frames:
            if kind == CLOSE:
                self._closed_by_peer(data)

    def _closed_by_peer(self, body: bytes) -> None:
        if self.state is State.OPEN:
            self.code, self.reason = decode_close(body)
            self._release()
            # answered with the same code, also one that is not known here
            self._outgoing.control = bytes((CLOSE, body[0]))
        self.state = State.CLOSED

    def _release(self) -> None:
        """
        Drop all that an ended connection needs no more.
        """
        for channel in self._receiving:
            if channel is not None:
                channel.release()
        self._receiving = _NO_CHANNELS
        self._outgoing.forget()
        self._sent.forget()
        self._received.ack_at = None
        self._probes = 0
        self.blocked_until = self.full_since = None
