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

from enum import Enum
from typing import Final

from diarkis_tw.constants import CloseCode
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.rudp.channel import ReassemblyBudget
from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.incoming import Incoming
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.rudp.outgoing import FRAME_ROOM, Outgoing
from diarkis_tw.rudp.received import ReceivedPackets
from diarkis_tw.rudp.rtt import RoundTrip
from diarkis_tw.rudp.sender import Sender
from diarkis_tw.rudp.sent import SentPackets
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, TAG_SIZE, Cipher
from diarkis_tw.wire.frame import (
    ACK,
    ACK_BYTES_MAX,
    ACK_SIZE,
    CHANNEL_MASK,
    CLOSE,
    MESSAGE,
    PADDING,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    RELIABLE,
    WHOLE,
    Frame,
    parse_frames,
    unpack_ack,
)
from diarkis_tw.wire.handshake import decode_close, encode_close
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, RESPONSE_HEADER_SIZE
from diarkis_tw.wire.packet import (
    CLIENT_HEADER_SIZE,
    DATA_BYTE,
    SERVER_HEADER_SIZE,
    restore_number,
)

CLOSES: Final = 3

NUMBER_LAST: Final = DATAGRAM_NUMBER_LIMIT - 2 * CLOSES
"""Packet number at which a sender closes with REKEY, so that its CLOSEs stay below the limit."""

_PADDING_FRAME: Final = bytes((PADDING,))


class State(Enum):
    """
    See the module's table.
    """

    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


# In Python 3.11 looking a member up in its Enum takes 80 ns.
STATE_OPEN: Final = State.OPEN
STATE_CLOSING: Final = State.CLOSING
STATE_CLOSED: Final = State.CLOSED


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
    @ivar round_trip: estimates, and the retransmission time-out.
    @ivar sender: the sending half.
    """

    __slots__ = (
        "_closes",
        "_closing_at",
        "_congestion",
        "_header_size",
        "_incoming",
        "_message_most",
        "_opener",
        "_outgoing",
        "_received",
        "_sent",
        "code",
        "delivered",
        "forged",
        "heard_at",
        "path_response",
        "paused",
        "reason",
        "replayed",
        "round_trip",
        "sender",
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
        # Limits of messages count their payload; the header comes on top.
        ours, theirs = RESPONSE_HEADER_SIZE, REQUEST_HEADER_SIZE
        header = bytes((DATA_BYTE,))
        if is_client:
            ours, theirs = theirs, ours
            header += cid
        self._header_size = SERVER_HEADER_SIZE if is_client else CLIENT_HEADER_SIZE
        self._opener = opener
        self.round_trip = RoundTrip(limits.retry_interval, limits.ack_delay)
        if round_trip:
            self.round_trip.sample(round_trip)
        self._congestion = Congestion(limits.mtu, self.round_trip)
        self._sent = SentPackets(self.round_trip, self._congestion)
        self._received = ReceivedPackets(limits.ack_delay)
        self._outgoing = Outgoing(
            limits.mtu - len(header) - 2 - TAG_SIZE,
            limits.mtu - FRAME_ROOM + ours,
            limits.window,
            limits.redundancy,
            self._sent,
        )
        self.sender = Sender(
            limits,
            header,
            sealer,
            self._outgoing,
            self._sent,
            self._received,
            self.round_trip,
            self._congestion,
            now,
        )
        self.sender.last_number = NUMBER_LAST
        self._message_most = limits.max_message_size + ours
        self._incoming = Incoming(limits.window, limits.max_message_size + theirs, budget)
        self._closes = 0
        self._closing_at = 0
        self.delivered: list[tuple[bytes, bool]] = []
        self.paused = False
        self.state = STATE_OPEN
        self.code: CloseCode | None = None
        self.reason = ""
        self.heard_at = now
        self.path_response: bytes | None = None
        self.replayed = 0
        self.forged = 0

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
        packet = self._opener.open(number, datagram[:size], datagram[size:])
        if packet is None:
            self.forged += 1
            return False
        self.heard_at = now
        if not self._receive_usual(packet, number, now):
            self._receive_frames(packet, number, now)
        return True

    def _receive_usual(self, packet: bytes, number: int, now: int) -> bool:
        """
        What L{_receive_frames} does with the packets that nearly all are: an ACK, or
        one message that is one frame, or both. The same for a third of the work.

        @return: whether it was one; if not, nothing was done.
        """
        if self.state is not STATE_OPEN or number >= DATAGRAM_NUMBER_LIMIT:
            return False
        kind = packet[0] if packet else PADDING
        if kind == PADDING:
            # A client's small packet.
            packet = packet.lstrip(_PADDING_FRAME)
            kind = packet[0] if packet else PADDING
        if kind == MESSAGE:
            self.delivered.append((packet[1:], False))
            self._received.add(number, False, now)
            return True
        size = len(packet)
        after = 0
        if kind == ACK and size >= ACK_SIZE:
            largest, delay, count = unpack_ack(packet, 1)
            after = ACK_SIZE + count
            if count > ACK_BYTES_MAX:
                return False
            kind = packet[after] if after < size else ACK
        if kind & ~CHANNEL_MASK == WHOLE and size >= after + 3:
            channel = self._incoming.channels[kind & CHANNEL_MASK]
            if channel is None or self.paused:
                return False
            content = packet[after + 3 :]
            if not channel.take_whole(packet[after + 1] << 8 | packet[after + 2], content):
                return False
        elif kind == MESSAGE:
            content = packet[after + 1 :]
        elif kind != ACK or after != size:
            return False
        if after:
            try:
                self.sender.acked(largest, delay, packet[ACK_SIZE:after], now)
            except RemoteProtocolError as fault:
                self.close(fault.code, now, str(fault))
                return True
        if kind != ACK:
            self.delivered.append((content, kind != MESSAGE))
        self._received.add(number, kind >= RELIABLE, now)
        return True

    def _receive_frames(self, packet: bytes, number: int, now: int) -> None:
        """
        Let the frames of a packet take effect.
        """
        frames, error = parse_frames(packet)
        if self.state is not STATE_OPEN:
            self._receive_close(frames)
            return
        incoming = self._incoming
        if (self.paused or incoming.is_short()) and not self._may_take(frames):
            self._refuse(frames, now)
            return
        eliciting = False
        try:
            if number >= DATAGRAM_NUMBER_LIMIT:
                raise RemoteProtocolError("a packet number above the limit")
            for kind, a, b, data in frames:
                if kind >= RELIABLE:
                    eliciting = True
                    incoming.receive(kind, a, data, self.delivered)
                elif kind == ACK:
                    self.sender.acked(a, b, data, now)
                elif kind == MESSAGE:
                    self.delivered.append((data, False))
                elif kind == CLOSE:
                    self._closed_by_peer(data)
                    return
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
            self._received.add(number, eliciting, now)

    def _may_take(self, frames: list[Frame]) -> bool:
        """
        Whether owner and process have room for the reliable frames of a packet.
        """
        if self.paused:
            return all(kind < RELIABLE for kind, _, _, _ in frames)
        return self._incoming.may_take(frames)

    def _refuse(self, frames: list[Frame], now: int) -> None:
        """
        A packet that is not acknowledged and will come again, in another one.
        """
        for kind, largest, delay, data in frames:
            if kind == ACK:
                try:
                    self.sender.acked(largest, delay, data, now)
                except RemoteProtocolError as fault:
                    self.close(fault.code, now, str(fault))
                    return
        self._receive_close(frames)

    # Out

    def send(self, message: bytes, reliable: bool, channel: int = 0, now: int = 0) -> bool:
        """
        Queue a message; L{flush} sends it.

        @param channel: 0..7, of reliable messages.
        @return: False if it was dropped (unreliable) or refused (reliable).
        @raise LocalProtocolError: too large, or no such channel.
        """
        if self.state is not STATE_OPEN:
            return False
        if not reliable:
            return self._outgoing.add_unreliable(message, now)
        if len(message) > self._message_most:
            raise LocalProtocolError(
                f"a message of {len(message)} bytes is above the limit of "
                f"{self._message_most} bytes, header included"
            )
        return self._outgoing.add_reliable(message, channel, now)

    def prompt(self, message: bytes) -> bytes | None:
        """
        Make an unreliable message a datagram of its own, which needs no L{flush}.

        @return: L{None} if it has to wait its turn, for L{send}.
        """
        return self.sender.prompt(message) if self.state is STATE_OPEN else None

    @property
    def queued(self) -> int:
        """
        Bytes of messages that the peer does not have, as far as is known.
        """
        return self._outgoing.size

    @property
    def dropped(self) -> int:
        """
        Unreliable messages dropped here at a full queue.
        """
        return self._outgoing.dropped

    @property
    def full_since(self) -> int | None:
        """
        Since when messages are refused; L{None} once a reliable one was taken, or
        there is room again.
        """
        return self._outgoing.full_since

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
        return self.sender.packet(bytes((PATH_CHALLENGE,)) + data)

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
        if self.state is not STATE_OPEN:
            return
        self.state = STATE_CLOSING
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
        datagrams = self.sender.flush_usual(now)
        return self._flush_any(now) if datagrams is None else datagrams

    def _flush_any(self, now: int) -> list[bytes]:
        datagrams: list[bytes] = []
        if not self.sender.flush(datagrams, now):
            self.close(CloseCode.REKEY, now)
            self.sender.flush(datagrams, now)
        return datagrams

    # Time

    def deadline(self) -> int | None:
        """
        When L{tick} must be called next; L{None} = not before something happens.
        """
        if self.state is not STATE_OPEN:
            return self._closing_at if self.state is STATE_CLOSING else None
        return self.sender.deadline(self.heard_at)

    def tick(self, now: int) -> None:
        """
        Do what is due; L{flush} afterwards.
        """
        if self.state is not STATE_OPEN:
            if self.state is STATE_CLOSING and now >= self._closing_at:
                self._say_close(now)
            return
        sender = self.sender
        if sender.is_waiting() and now >= sender.give_up_at(self.heard_at):
            self._give_up()
        else:
            sender.tick(now)

    # The end

    def _give_up(self) -> None:
        """
        The peer is silent: end at once, with one CLOSE in case that it hears us.
        """
        self.state = STATE_CLOSED
        self.code = CloseCode.TIMEOUT
        self._release()
        self._outgoing.control = bytes((CLOSE,)) + encode_close(self.code, "")

    def _say_close(self, now: int) -> None:
        if self._closes >= CLOSES:
            self.state = STATE_CLOSED
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
        if self.state is STATE_OPEN:
            self.code, self.reason = decode_close(body)
            self._release()
            # answered with the same code, also one that is not known here
            self._outgoing.control = bytes((CLOSE, body[0]))
        self.state = STATE_CLOSED

    def _release(self) -> None:
        """
        Drop all that an ended connection needs no more.
        """
        self._incoming.release()
        self.sender.forget()
        self._received.ack_at = None
