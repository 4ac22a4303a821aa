"""
A UDP client as small as the protocol allows, for a path that loses nothing: it
seals requests, acknowledges what came, and opens answers. Unlike a real
L{diarkis_tw.rudp.connection.Connection} it costs the load generator a fraction of
what the server spends, so that the server is what a closed loop waits for.
"""

from typing import Final

from bench.session import ECHO
from diarkis_tw.client.udp_handshake import Accepted
from diarkis_tw.constants import Status
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache, Cipher
from diarkis_tw.wire.frame import (
    ACK,
    MESSAGE,
    PING,
    RELIABLE,
    encode_ack,
    parse_frames,
    reliable_header,
)
from diarkis_tw.wire.message import encode_request, encode_response
from diarkis_tw.wire.packet import (
    CLIENT_DATA_MIN,
    CLIENT_HEADER_SIZE,
    DATA_BYTE,
    SERVER_HEADER_SIZE,
    restore_number,
)

DIFFERENT: Final = 256
"""Requests that differ by their id, made once and sent in turn."""

_PLAINTEXT_MIN: Final = CLIENT_DATA_MIN - CLIENT_HEADER_SIZE - TAG_SIZE
_MESSAGE_TYPE: Final = bytes((MESSAGE,))


class DatagramSession:
    """
    The packets of one user who echoes.
    """

    def __init__(
        self, cid: bytes, opener: Cipher, sealer: Cipher, reliable: bool, payload: bytes
    ) -> None:
        """
        @param cid: names the connection to the server.
        @param reliable: how requests travel, and so answers.
        @param payload: of every request; the answers are compared with it.
        """
        self._header = bytes((DATA_BYTE,)) + cid
        self._open = opener.open
        self._seal = sealer.seal
        self._reliable = reliable
        ids = range(1, DIFFERENT + 1)
        self._requests = [encode_request(*ECHO, n, payload) for n in ids]
        self._answers = [encode_response(*ECHO, Status.OK, n, payload) for n in ids]
        self._sent = self._requested = self._answered = 0
        self._largest = self._acknowledged = -1

    @classmethod
    def accepted(
        cls, accepted: Accepted, reliable: bool, payload: bytes, ciphers: AeadCache
    ) -> "DatagramSession":
        """
        Make one of what the handshake gave.

        @param ciphers: shared by all sessions.
        """
        opener, sealer = accepted.agreement.ciphers(True, ciphers)
        return cls(accepted.terms.cid, opener, sealer, reliable, payload)

    def ping(self) -> bytes:
        """
        The first packet.
        """
        return self._packet(bytes((PING,)))

    def request(self) -> bytes:
        """
        The next request, with an acknowledgement of what came.
        """
        count = self._requested
        self._requested += 1
        request = self._requests[count % DIFFERENT]
        if self._reliable:
            return self._packet(self._ack() + reliable_header(0, count, True, True) + request)
        return self._packet(_MESSAGE_TYPE + request)

    def acknowledge(self) -> bytes:
        """
        An acknowledgement alone.
        """
        return self._packet(self._ack())

    def take(self, datagram: bytes) -> int:
        """
        Look at a datagram of the server. A reliable answer comes again if what
        acknowledges it was long in coming, as on a busy machine; it counts once.

        @return: how many answers it brought.
        @raise RuntimeError: it does not open, or something in it is wrong.
        """
        header = datagram[:SERVER_HEADER_SIZE]
        number = restore_number(int.from_bytes(header[1:]), self._largest + 1)
        packet = self._open(number, header, datagram[SERVER_HEADER_SIZE:])
        if packet is None or number <= self._largest:
            raise RuntimeError("the server's packet does not open, or is an old one")
        self._largest = number
        frames, error = parse_frames(packet)
        count = 0
        for kind, seq, _, data in frames:
            if kind >= RELIABLE and self._reliable and (seq - self._answered) & 0x8000:
                continue
            if kind != ACK:
                right = self._answers[self._answered % DIFFERENT]
                if data != right or (kind >= RELIABLE) != self._reliable:
                    raise RuntimeError("a wrong answer")
                self._answered += 1
                count += 1
        if error is not None:
            raise error
        return count

    def _ack(self) -> bytes:
        news = self._largest - self._acknowledged
        if news <= 0:
            return b""
        self._acknowledged = self._largest
        return encode_ack(self._largest, 0, (1 << min(news - 1, 256)) - 1)

    def _packet(self, plaintext: bytes) -> bytes:
        number = self._sent
        self._sent += 1
        header = self._header + (number & 0xFFFF).to_bytes(2)
        return header + self._seal(number, header, plaintext.rjust(_PLAINTEXT_MIN, b"\0"))
