"""
The client's keep-alive: shows the server that the user is there, measures the round
trip, learns the node's state, and notices a server that is gone.

Rules:

  - One at once after the handshake, which also confirms the connection, then one
    per interval.
  - Where messages may be lost it is repeated until answered, each copy with its own
    time, so that the answer to any of them measures the round trip.
  - Any answer proves the server alive. No answer for the whole connection TTL means
    that it is not, whatever else arrives: it would have dropped the user by then.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.constants import NODE_STATE_BYTE, NodeState
from diarkis_tw.errors import RemoteProtocolError
from diarkis_tw.units import Seconds, milliseconds, seconds
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keep_alive import decode_keep_alive_response, read_keep_alive_response
from diarkis_tw.wire.value import Payload

REPEAT_MIN: Final[Seconds] = 0.5
"""A copy sent sooner would rarely be needed; the path's time-out counts if it is
longer."""

_STATE: Final = {byte: state for state, byte in NODE_STATE_BYTE.items()}


def pushed_state(payload: Payload) -> NodeState:
    """
    Read the payload of a node state push: a byte, or the value C{{"state": n}}.

    @param payload: as it came.
    @return: the state.

    @raise RemoteProtocolError: it is none.
    """
    if isinstance(payload, bytes):
        number: object = payload[0] if len(payload) == 1 else None
    else:
        number = payload.get("state")
    for state, byte in NODE_STATE_BYTE.items():
        if byte == number:
            return state
    raise RemoteProtocolError("a node state push without a state")


class KeepAlive:
    """
    The keep-alive of one client, started anew with each connection.

    @ivar round_trip: the last one measured, L{None} before.
    @ivar public_address: C{ip:port} of the client as the server sees it, L{None} if
        it does not say.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[int, int | None], object],
        give_up: Callable[[Seconds], object],
        timeout: Callable[[], Seconds | None] = lambda: None,
    ) -> None:
        """
        @param clock: measures everything.
        @param send: gets each request's time, and the last round trip, both in
            milliseconds; L{None} = none yet.
        @param give_up: called when the server is gone, with the time it was silent.
        @param timeout: after which a request may be taken for lost; L{None} = none
            is lost.
        """
        self.round_trip: Seconds | None = None
        self.public_address: str | None = None
        self._clock = clock
        self._send = send
        self._give_up = give_up
        self._timeout = timeout
        self._sent: dict[int, Seconds] = {}
        self._interval: Seconds = 0.0
        self._ttl: Seconds = 0.0
        self._next: IDelayedCall | None = None
        self._again: IDelayedCall | None = None
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
        for timer in (self._next, self._again, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._next = self._again = self._deadline = None
        self._sent.clear()

    def answered(self, payload: Payload) -> NodeState:
        """
        An answer came.

        @param payload: the response's.
        @return: the state of the node.

        @raise RemoteProtocolError: it is none.
        """
        if isinstance(payload, bytes):
            time_ms, state_byte, address = decode_keep_alive_response(payload)
        else:
            time_ms, state_byte, address = read_keep_alive_response(payload)
        self.public_address = address or None
        self._heard()
        sent_at = self._sent.get(time_ms)
        if sent_at is not None:
            self.round_trip = self._clock.seconds() - sent_at
            # A repeated answer would measure its own delay.
            self._settle()
        return _STATE[state_byte]

    def refused(self) -> None:
        """
        An answer came, and it is an error, as of a hook that refuses all commands of
        this user: the server is there, and says nothing more.
        """
        self._heard()
        self._settle()

    def _heard(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.reset(self._ttl)

    def _settle(self) -> None:
        self._sent.clear()
        self._stop_repeating()

    def _ask(self) -> None:
        self._next = self._clock.callLater(self._interval, self._ask)
        self._stop_repeating()
        self._sent.clear()
        self._say()

    def _say(self) -> None:
        now = self._clock.seconds()
        now_ms = milliseconds(now)
        self._sent[now_ms] = now
        timeout = self._timeout()
        if timeout is not None:
            self._again = self._clock.callLater(max(timeout, REPEAT_MIN), self._say)
        last = None if self.round_trip is None else milliseconds(self.round_trip)
        self._send(now_ms, last)

    def _stop_repeating(self) -> None:
        if self._again is not None and self._again.active():
            self._again.cancel()

    def _silent(self) -> None:
        self.stop()
        self._give_up(self._ttl)
