"""
The client's keep-alive: shows the server that the user is there, measures the round
trip, learns the node's state, and notices a server that is gone.

Rules:

  - One at once after the handshake, which also confirms the connection, then one
    per interval.
  - Any answer proves the server alive. No answer for the whole connection TTL means
    that it is not, whatever else arrives: it would have dropped the user by then.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.constants import NODE_STATE_BYTE, NodeState
from diarkis_tw.units import Seconds, milliseconds, seconds
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keep_alive import decode_keep_alive_response, encode_keep_alive_request

_STATE = {byte: state for state, byte in NODE_STATE_BYTE.items()}


def node_state(byte: int) -> NodeState | None:
    """
    Look up the state that a byte on the wire means.

    @param byte: any.
    @return: L{None} if it means none.
    """
    return _STATE.get(byte)


class KeepAlive:
    """
    The keep-alive of one client, started anew with each connection.

    @ivar round_trip: the last one measured, L{None} before.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], object],
        give_up: Callable[[Seconds], object],
    ) -> None:
        """
        @param clock: measures everything.
        @param send: gets each request's payload.
        @param give_up: called when the server is gone, with the time it was silent.
        """
        self.round_trip: Seconds | None = None
        self._clock = clock
        self._send = send
        self._give_up = give_up
        self._sent_at: Seconds = 0.0
        self._sent_ms = -1
        self._interval: Seconds = 0.0
        self._ttl: Seconds = 0.0
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    def start(self, terms: Terms) -> None:
        """
        A connection opened.

        @param terms: say how often, and how long to wait.
        """
        self.stop()
        self._interval = seconds(terms.keep_alive)
        self._ttl = terms.connection_ttl
        self._deadline = self._clock.callLater(self._ttl, self._silent)
        self._ask()

    def stop(self) -> None:
        """
        The connection is over.
        """
        for timer in (self._next, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._next = self._deadline = None
        self._sent_ms = -1

    def answered(self, payload: bytes) -> NodeState:
        """
        An answer came.

        @param payload: the response's.
        @return: the state of the node.

        @raise RemoteProtocolError: it is none.
        """
        time_ms, state_byte, _ = decode_keep_alive_response(payload)
        if self._deadline is not None and self._deadline.active():
            self._deadline.reset(self._ttl)
        if time_ms == self._sent_ms:
            self.round_trip = self._clock.seconds() - self._sent_at
            # A repeated answer would measure its own delay.
            self._sent_ms = -1
        return _STATE[state_byte]

    def _ask(self) -> None:
        self._next = self._clock.callLater(self._interval, self._ask)
        self._sent_at = self._clock.seconds()
        self._sent_ms = milliseconds(self._sent_at)
        last = None if self.round_trip is None else milliseconds(self.round_trip)
        self._send(encode_keep_alive_request(self._sent_ms, last))

    def _silent(self) -> None:
        self.stop()
        self._give_up(self._ttl)
