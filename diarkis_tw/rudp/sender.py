"""
What one end of a connection sends: packets, when they may leave, and what is done
when they are not acknowledged.

Rules:

  - Packets with reliable frames wait for congestion window and pacer; nothing
    else does.
  - The time-out counts from the last progress. When it expires, probes leave
    past the window: one, and from the second time on two.
  - If data stays unacknowledged while nothing authentic comes, the connection
    is given up after C{max_retry} times C{retry_interval}.
"""

from typing import Final

from diarkis_tw.rudp.congestion import Congestion
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.rudp.outgoing import LONE_MARGIN, Outgoing
from diarkis_tw.rudp.received import ReceivedPackets
from diarkis_tw.rudp.redundancy import LOSS_LEAST
from diarkis_tw.rudp.rtt import RTO_MIN, RoundTrip
from diarkis_tw.rudp.sent import IN_FLIGHT_MOST, SentPackets
from diarkis_tw.wire.cipher import DATAGRAM_NUMBER_LIMIT, TAG_SIZE, Cipher
from diarkis_tw.wire.frame import MESSAGE
from diarkis_tw.wire.packet import CLIENT_DATA_MIN, CLIENT_HEADER_SIZE

_MESSAGE_TYPE: Final = bytes((MESSAGE,))
_CLIENT_PLAINTEXT_MIN: Final = CLIENT_DATA_MIN - CLIENT_HEADER_SIZE - TAG_SIZE


class Sender:
    """
    The sending half of a connection.

    @ivar blocked_until: when the pacer lets the next packet out, if it holds one.
    @ivar last_number: the packet number at which sending stops.
    """

    __slots__ = (
        "_congestion",
        "_expiries",
        "_header",
        "_limits",
        "_outgoing",
        "_plaintext_min",
        "_probes",
        "_received",
        "_round_trip",
        "_rto_at",
        "_sealer",
        "_sent",
        "_unacked_since",
        "blocked_until",
        "last_number",
    )

    def __init__(
        self,
        limits: Limits,
        header: bytes,
        sealer: Cipher,
        outgoing: Outgoing,
        sent: SentPackets,
        received: ReceivedPackets,
        round_trip: RoundTrip,
        congestion: Congestion,
        now: int,
    ) -> None:
        """
        @param header: of each datagram, but for the packet number.
        """
        self._header = header
        self._plaintext_min = _CLIENT_PLAINTEXT_MIN if len(header) > 1 else 0
        self._sealer = sealer
        self._outgoing = outgoing
        self._sent = sent
        self._received = received
        self._round_trip = round_trip
        self._congestion = congestion
        self._limits = limits
        self._unacked_since = now
        self._probes = 0
        self._expiries = 0
        self._rto_at = 0
        self.blocked_until: int | None = None
        self.last_number = DATAGRAM_NUMBER_LIMIT

    # Packets

    def flush(self, datagrams: list[bytes], now: int) -> bool:
        """
        Send what may be sent now.

        @param datagrams: where they are appended.
        @return: False if C{last_number} is reached before all has left.
        """
        outgoing = self._outgoing
        received = self._received
        sent = self._sent
        while True:
            reliable = False
            if self._probes and not outgoing.has_reliable():
                # Two probes are two packets, even if both say the same.
                outgoing.send_again(1)
            if outgoing.retransmit or outgoing.active:
                self.blocked_until = None
                reliable = outgoing.has_reliable() and self._may_send(now)
            if not (reliable or outgoing.unreliable or outgoing.control or outgoing.ping):
                ack_at = received.ack_at
                if ack_at is None or ack_at > now:
                    return True
            if sent.next_number >= self.last_number:
                return False
            datagrams.append(self._build(reliable, now))

    def flush_usual(self, now: int) -> list[bytes] | None:
        """
        What L{flush} does in the three cases that are nearly all of them: nothing to
        send, an ACK alone, or one message that is one frame, with an ACK if one is
        owed. The same bytes for a third of the work.

        @return: the datagram, if any; L{None} if the case is another one: then
            nothing was done.
        """
        outgoing = self._outgoing
        if outgoing.retransmit or outgoing.control or outgoing.ping or self._probes:
            return None
        received = self._received
        ack_at = received.ack_at
        sent = self._sent
        congestion = self._congestion
        loss = congestion.loss
        unreliable = outgoing.unreliable
        active = outgoing.active
        frame = None
        if not active:
            if not unreliable:
                if ack_at is None or ack_at > now:
                    return []
                content = b""
            elif len(unreliable) == 1 and loss <= LOSS_LEAST:
                content = unreliable[0]
            else:
                return None
        else:
            if unreliable or len(active) > 1 or loss > LOSS_LEAST:
                return None
            frame = active[0].lone(outgoing.room - LONE_MARGIN)
            if frame is None:
                return None
            if (
                sent.in_flight >= congestion.window
                or len(sent.packets) >= IN_FLIGHT_MOST
                or congestion.allowed_at(now) > now
            ):
                return None
            self.blocked_until = None
            congestion.limited = False
            content = frame.encoded
        if sent.next_number >= self.last_number:
            return None
        told = -1
        if ack_at is not None:
            content = received.ack_frame(now) + content
            told = received.largest
        datagram = self._sealed(content)
        if frame is None:
            sent.add(None)
            if unreliable:
                outgoing.lone_message_sent()
        else:
            outgoing.lone_frame_sent(frame, loss)
            if not sent.packets:
                self._unacked_since = now
            size = len(datagram)
            sent.add((now, (frame,), None, told, size))
            congestion.sent(size)
        return [datagram]

    def prompt(self, message: bytes) -> bytes | None:
        """
        What queueing an unreliable message and L{flush_usual} do, where nothing else
        is to be sent: the same bytes for two thirds of the work.

        @return: the datagram; L{None} if there is more to say: then nothing was done.
        """
        outgoing = self._outgoing
        if (
            outgoing.unreliable
            or outgoing.active
            or outgoing.retransmit
            or outgoing.control
            or outgoing.ping
            or self._probes
            or self._received.ack_at is not None
            or self._congestion.loss > LOSS_LEAST
            or self._sent.next_number >= self.last_number
            or len(message) > outgoing.message_most
        ):
            return None
        return self.packet(_MESSAGE_TYPE + message)

    def packet(self, plaintext: bytes) -> bytes:
        """
        Make a packet of which no note is taken: it holds nothing that would be sent
        again. PATH frames are such, or a peer could fill the memory.
        """
        datagram = self._sealed(plaintext)
        self._sent.add(None)
        return datagram

    def acked(self, largest: int, delay: int, bitmap: bytes, now: int) -> None:
        """
        The peer's ACK.

        @param delay: in milliseconds.
        @raise RemoteProtocolError: it acknowledges what was never sent.
        """
        sent = self._sent
        told = sent.acked(largest, delay * 1000, bitmap, now)
        if told is not None:
            self._expiries = self._probes = 0
            received = self._received
            if told > received.told:
                received.told = told
            if self._outgoing.full_since is not None:
                self._outgoing.acked()
        if sent.lost_frames:
            self._take_lost()

    def forget(self) -> None:
        """
        The connection has ended: nothing is waited for any more.
        """
        self._outgoing.forget()
        self._sent.forget()
        self._probes = 0
        self.blocked_until = None
        self.last_number = DATAGRAM_NUMBER_LIMIT

    def _build(self, reliable: bool, now: int) -> bytes:
        outgoing = self._outgoing
        received = self._received
        sent = self._sent
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
        datagram = self._sealed(parts[0] if len(parts) == 1 else b"".join(parts))
        if not frames and not ping:
            sent.add(None)
            return datagram
        if self._probes:
            self._probes -= 1
        if not sent.packets:
            self._unacked_since = now
        size = len(datagram)
        sent.add((now, frames, copy, told, size))
        if sent.lost_frames:
            self._take_lost()
        self._congestion.sent(size)
        return datagram

    def _sealed(self, plaintext: bytes) -> bytes:
        """
        The datagram of the next packet number. Whoever calls this says C{sent.add}.
        """
        number = self._sent.next_number
        header = self._header + (number & 0xFFFF).to_bytes(2)
        missing = self._plaintext_min - len(plaintext)
        if missing > 0:
            plaintext = bytes(missing) + plaintext
        return header + self._sealer.seal(number, header, plaintext)

    def _may_send(self, now: int) -> bool:
        """
        Whether a packet with reliable frames may leave; if not, why.
        """
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

    def _take_lost(self) -> None:
        lost = self._sent.lost_frames
        self._outgoing.retransmit += lost
        lost.clear()

    # Time

    def deadline(self, heard_at: int) -> int | None:
        """
        When L{tick} must be called next, or L{give_up_at} is reached.

        @param heard_at: when something authentic last came.
        """
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
        at = self.give_up_at(heard_at)
        return at if due is None or at < due else due

    def may_be_due_before(self, at: int | None, now: int) -> bool:
        """
        A quick look that mostly spares L{deadline}, after L{flush}: a time-out never
        expires before the shortest one is over.

        @param at: when the owner looks at the deadline anyway; L{None} = it does not.
        @return: False if L{deadline} is not earlier, or not by as much as matters.
        """
        sent = self._sent
        if sent.loss_at is not None or self.blocked_until is not None:
            return True
        ack_at = self._received.ack_at
        if at is None:
            return bool(ack_at is not None or sent.packets or self._outgoing.retransmit)
        soonest = self._limits.retry_interval
        if soonest > RTO_MIN:
            soonest = RTO_MIN
        return at > now + soonest or (ack_at is not None and ack_at < at)

    def is_waiting(self) -> bool:
        """
        Whether the peer has to acknowledge something.
        """
        return bool(self._sent.packets or self._outgoing.retransmit)

    def give_up_at(self, heard_at: int) -> int:
        """
        When to give a peer up that acknowledges nothing.

        @param heard_at: when something authentic last came.
        """
        since = heard_at if heard_at > self._unacked_since else self._unacked_since
        return since + self._limits.max_retry * self._limits.retry_interval

    def tick(self, now: int) -> None:
        """
        Do what is due.
        """
        sent = self._sent
        if sent.loss_at is not None and now >= sent.loss_at:
            sent.detect_lost(now)
            self._take_lost()
        if sent.packets and now >= self._rto_deadline():
            self._expired(now)

    def _rto_deadline(self) -> int:
        since = self._sent.progress_at
        if self._rto_at > since:
            since = self._rto_at
        return since + self._round_trip.timeout(self._expiries)

    def _expired(self, now: int) -> None:
        self._rto_at = now
        self._expiries += 1
        self._probes = 1 if self._expiries == 1 else 2
        outgoing = self._outgoing
        outgoing.send_again(self._probes)
        if not outgoing.has_reliable():
            self._probes = 0
            outgoing.ping = True
