"""
A user's connection to a server, kept alive across the failures of networks.

States::

    ============  ================================================================
    CONNECTING    the first connection is being made, or will be
    CONNECTED     messages go both ways
    RECONNECTING  the connection was lost, attempts go on for a while
    CLOSING       fin was sent, the server's CLOSE is waited for
    CLOSED        over for good; on_disconnected was called, once
    ============  ================================================================

Rules:

  - Which endings lead to RECONNECTING says L{diarkis_tw.client.reconnect}; all
    others lead to CLOSED, as do CONNECTING's.
  - A request in flight survives a reconnect: it waits for its answer, which the
    server keeps, until its own time-out. What was in flight at the moment of the
    loss, or sent before it was noticed, may be lost; nothing is sent twice.
  - While RECONNECTING reliable messages wait, a bounded number of them; unreliable
    ones are dropped.
  - A server may send the client elsewhere. That is a reconnect at another address;
    what the server it left would have answered is lost.
  - A server that forgot the connection, and not the session, makes it anew without
    RECONNECTING; what had not arrived then is lost.
  - Leaving, the client first waits until the server has what has to arrive.
  - Handlers run in order of arrival. Whatever they do, fail included, they cannot
    disturb the client.
"""

import random
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from diarkis_tw.client.dm import DirectMessageClient
from diarkis_tw.client.endpoint import Endpoint
from diarkis_tw.client.keep_alive import KeepAlive, pushed_state
from diarkis_tw.client.listening import Listening
from diarkis_tw.client.move import moved_endpoint
from diarkis_tw.client.reconnect import RECONNECTING, Backoff
from diarkis_tw.client.requests import PendingRequests
from diarkis_tw.client.room import RoomClient
from diarkis_tw.client.transport import Transport
from diarkis_tw.client.waiting import WaitingMessages
from diarkis_tw.constants import Builtin, CloseCode, NodeState, ServerType, Status
from diarkis_tw.errors import Disconnected, LocalProtocolError, RemoteProtocolError
from diarkis_tw.units import Seconds
from diarkis_tw.wire.frame import CHANNELS
from diarkis_tw.wire.handshake import Terms
from diarkis_tw.wire.keep_alive import encode_keep_alive_request, keep_alive_request_value
from diarkis_tw.wire.message import Push, Request, Response
from diarkis_tw.wire.value import Payload

BUILTIN: Final = 0
"""Version of the commands that the client itself speaks."""

CLOSE_TIMEOUT: Final[Seconds] = 2.0
"""How long the server may take to answer fin."""


class ClientState(Enum):
    """
    See L{diarkis_tw.client.client}.
    """

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSING = "closing"
    CLOSED = "closed"


class Client(Listening):
    """
    What L{diarkis_tw.client.connect} gives.

    Handlers that are registered before the first C{await} after it miss nothing.

    @ivar uid: the user's id.
    @ivar endpoint: where it connects to; another one once the server has moved it.
    @ivar room: rooms, and what their members do.
    @ivar dm: direct messages.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        uid: str,
        *,
        clock: IReactorTime,
        make_transport: Callable[[ServerType], Transport],
        reconnect_for: Seconds = 30.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param endpoint: where to connect to.
        @param uid: the user's id.
        @param clock: measures everything.
        @param make_transport: makes an unconnected transport of a kind.
        @param reconnect_for: how long a lost connection is tried again, in seconds;
            0 = not at all.
        @param jitter: see L{Backoff}.
        """
        super().__init__()
        self.uid = uid
        self.endpoint = endpoint
        self.room = RoomClient(self)
        self.dm = DirectMessageClient(self)
        self._clock = clock
        self._make_transport = make_transport
        self._reconnect_for = reconnect_for
        self._state = ClientState.CONNECTING
        self._transport: Transport | None = None
        self._former: list[Transport] = []
        self._opening: Deferred[None] | None = None
        self._requests = PendingRequests(clock)
        self._keep_alive = KeepAlive(
            clock, self._send_keep_alive, self._server_silent, self._message_timeout
        )
        self._backoff = Backoff(jitter)
        self._retry: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._waiting = WaitingMessages()
        self._discarded = 0
        self._node_state: NodeState | None = None
        self._ending: tuple[CloseCode, str] | None = None
        self._closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Client {self.uid!r} {self._state.value} {self.endpoint}>"

    @property
    def state(self) -> ClientState:
        """
        What the client is doing.
        """
        return self._state

    @property
    def round_trip(self) -> Seconds | None:
        """
        The last round trip measured, in seconds; L{None} before the first.
        """
        return self._keep_alive.round_trip

    @property
    def node_state(self) -> NodeState | None:
        """
        The node's state as it last said; L{None} before the first word.
        """
        return self._node_state

    @property
    def public_address(self) -> str | None:
        """
        C{ip:port} from which the server last heard this client, for peer-to-peer;
        L{None} unless it tells, which it does over UDP with C{enableP2P}.
        """
        return self._keep_alive.public_address

    @property
    def discarded(self) -> int:
        """
        Bytes of reliable messages given up because the server had forgotten the
        connection, as after a restart, and it was made anew; 0 most of the time.
        """
        return self._discarded

    # Talking

    def request(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        timeout: Seconds = 5.0,
        reliable: bool = True,
    ) -> Deferred[Payload]:
        """
        Run a command and wait for its answer.

        @param ver: version of the command, 0..255.
        @param cmd: number of the command, 0..65535.
        @param payload: bytes, or a value: a map that is sent as MessagePack, over
            WebSocket texts as JSON.
        @param timeout: for the answer, in seconds.
        @param reliable: false = request and answer may be lost; see L{send}.
        @return: fires with the payload of an answer with status OK, as
            L{Response.payload} has it; L{diarkis_tw.client.value_of} reads a value
            over any transport. Cancellable.

        @raise ResponseError: the answer's status was BAD or ERR. As all of these
            it comes through the Deferred.
        @raise RequestTimeout: there was no answer in time.
        @raise Disconnected: the client ended for good.
        @raise LocalProtocolError: the request cannot be sent: a number or the
            payload is illegal, too much waits to be sent already, or an unreliable
            one was dropped.
        """
        if self._ending is not None:
            return fail(Disconnected(*self._ending))
        try:
            request_id, answer = self._requests.begin(f"command {ver}/{cmd}", timeout)
        except LocalProtocolError as error:
            return fail(error)
        try:
            if not self._send(Request(ver, cmd, request_id, payload), reliable):
                why = "too much waits to be sent" if reliable else "dropped, not connected or busy"
                raise LocalProtocolError(f"command {ver}/{cmd}: {why}")
        except LocalProtocolError as error:
            self._requests.fail(request_id, error)
        return answer

    def send(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        reliable: bool = True,
        channel: int = 0,
    ) -> bool:
        """
        Run a command without waiting; should the server answer nevertheless,
        L{Listening.on_response} handlers get it.

        @param ver: version of the command, 0..255.
        @param cmd: number of the command, 0..65535.
        @param payload: bytes, or a value: a map that is sent as MessagePack, over
            WebSocket texts as JSON.
        @param reliable: false = it may be lost, and is dropped while reconnecting
            or while the network is slow. Over UDP it must fit one packet.
        @param channel: 0..7: over UDP a reliable message that is lost holds up
            those of its channel only. Requests have channel 0.
        @return: false if it was dropped.

        @raise LocalProtocolError: a number or the payload is illegal.
        """
        if not 0 <= channel < CHANNELS:
            raise LocalProtocolError(f"channel {channel}: 0 to {CHANNELS - 1} exist")
        return self._send(Request(ver, cmd, 0, payload), reliable, channel)

    async def ping(self, timeout: Seconds = 5.0) -> Seconds:  # noqa: ASYNC109 - Twisted
        """
        Measure a round trip now.

        @param timeout: for the answer, in seconds.
        @return: the round trip, in seconds.

        @raise RequestTimeout: there was no answer in time.
        @raise Disconnected: the client ended for good.
        """
        began = self._clock.seconds()
        await self.request(BUILTIN, Builtin.PING, timeout=timeout)
        self._keep_alive.round_trip = self._clock.seconds() - began
        return self._keep_alive.round_trip

    # Beginning and ending

    def open(self) -> Deferred[None]:
        """
        Connect for the first time; L{diarkis_tw.client.connect} does this.

        @return: fires when connected; cancellable.

        @raise Disconnected: it did not come to that.
        """
        opening = self._opening = Deferred(self._opening_cancelled)
        self._attempt()
        return opening

    def close(self) -> Deferred[None]:
        """
        Leave for good. The server forgets the user at once, instead of waiting for
        a return.

        @return: fires when nothing is left of the connection; 2 seconds for the
            server's answer and as many for the socket at most.
        """
        if self._state is ClientState.CLOSED:
            return self._all_gone(CloseCode.NORMAL)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if self._state is ClientState.CONNECTED:
            self._state = ClientState.CLOSING
            self._ending = (CloseCode.NORMAL, "closing")
            self._deadline = self._clock.callLater(CLOSE_TIMEOUT, self._finish, CloseCode.NORMAL)
            if self._transport is not None:
                self._transport.drained().addCallback(self._say_fin)
        elif self._state is not ClientState.CLOSING:
            self._finish(CloseCode.NORMAL)
        return closed

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Events of the transport

    def connected(self, terms: Terms) -> None:
        """
        The transport is open; see L{diarkis_tw.client.transport.TransportEvents}.
        """
        self._state = ClientState.CONNECTED
        self._stop_timers()
        self._keep_alive.start(terms)
        self._send_waiting()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.callback(None)
        elif self._is_connected():
            # It may have been lost again by what waited.
            self._reconnected.call()

    def message_received(self, message: Response | Push) -> None:
        """
        A message came; see L{diarkis_tw.client.transport.TransportEvents}.
        """
        self._backoff.reset()
        try:
            if isinstance(message, Push):
                self._push_received(message)
            elif message.ver == BUILTIN and message.cmd == Builtin.KEEP_ALIVE:
                self._keep_alive_answered(message)
            elif not self._requests.answered(message):
                self._response.call(message)
        except RemoteProtocolError as error:
            self._finish(error.code, str(error))

    def reconnected(self, terms: Terms, discarded: int) -> None:
        """
        The connection was made anew; see
        L{diarkis_tw.client.transport.TransportEvents}.
        """
        self._discarded += discarded
        if self._state is ClientState.CLOSING:
            self._say_fin(None)
            return
        self._keep_alive.start(terms)
        self._reconnected.call()

    def closed(self, code: CloseCode | None, reason: str) -> None:
        """
        The transport ended; see L{diarkis_tw.client.transport.TransportEvents}.
        """
        if self._state is ClientState.CLOSING:
            self._finish(CloseCode.NORMAL)
        elif self._state is not ClientState.CONNECTING and code in RECONNECTING:
            self._lost(reason)
        else:
            self._finish(CloseCode.TIMEOUT if code is None else code, reason)

    # Inside

    def _send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        if self._state is ClientState.CONNECTED:
            return self._transport_send(request, reliable, channel)
        if self._state is not ClientState.RECONNECTING or not reliable:
            return False
        return self._waiting.add(request, channel)

    def _is_connected(self) -> bool:
        return self._state is ClientState.CONNECTED

    def _send_waiting(self) -> None:
        for request, channel in self._waiting.take():
            # A request that was given up meanwhile must not run after all.
            if request.request_id and request.request_id not in self._requests:
                continue
            try:
                self._send(request, True, channel)
            except LocalProtocolError as error:
                # Not every transport can write every value.
                self._requests.fail(request.request_id, error)

    def _transport_send(self, request: Request, reliable: bool, channel: int = 0) -> bool:
        return self._transport is not None and self._transport.send(request, reliable, channel)

    def _say_fin(self, _: None) -> None:
        # Refused, it goes the same way: without the server's answer.
        self._transport_send(Request(BUILTIN, Builtin.FIN, 0, b""), True)

    def _message_timeout(self) -> Seconds | None:
        return None if self._transport is None else self._transport.timeout()

    def _send_keep_alive(self, time_ms: int, rtt_ms: int | None) -> None:
        payload: Payload
        if self._transport is not None and self._transport.is_text:
            payload = keep_alive_request_value(time_ms, rtt_ms)
        else:
            payload = encode_keep_alive_request(time_ms, rtt_ms)
        # A stream that is merely slow would drop an unreliable one, and the client
        # would give up a server that is alive.
        reliable = self.endpoint.server_type is not ServerType.UDP
        self._transport_send(Request(BUILTIN, Builtin.KEEP_ALIVE, 0, payload), reliable)

    def _push_received(self, push: Push) -> None:
        if push.ver == BUILTIN and push.cmd == Builtin.NODE_STATE:
            self._node_is(pushed_state(push.payload))
        elif push.ver == BUILTIN and push.cmd == Builtin.RECONNECT:
            self._move(moved_endpoint(self.endpoint, push.value()))
        else:
            self._pushed(push)

    def _move(self, endpoint: Endpoint) -> None:
        if self._state is not ClientState.CONNECTED:
            return
        if self._reconnect_for <= 0:
            self._finish(CloseCode.MOVED, f"the server moved the session to {endpoint}")
            return
        self.endpoint = endpoint
        self._retire_transport(CloseCode.MOVED)
        self._lost(f"the server moved the session to {endpoint}")

    def _keep_alive_answered(self, found: Response) -> None:
        if found.status is Status.OK:
            self._node_is(self._keep_alive.answered(found.payload))
        else:
            self._keep_alive.refused()

    def _node_is(self, state: NodeState) -> None:
        if state is not self._node_state:
            self._node_state = state
            self._node_states.call(state)

    def _attempt(self) -> None:
        self._retry = None
        self._retire_transport(CloseCode.NORMAL)
        self._transport = self._make_transport(self.endpoint.server_type)
        self._transport.connect(self.endpoint, self)

    def _retire_transport(self, code: CloseCode) -> None:
        """
        Be rid of the transport, of which something may stay for a moment.
        """
        transport, self._transport = self._transport, None
        if transport is not None:
            self._former.append(transport)
            transport.close(code).addCallback(lambda _: self._former.remove(transport))

    def _server_silent(self, silence: Seconds) -> None:
        self._retire_transport(CloseCode.TIMEOUT)
        self.closed(CloseCode.TIMEOUT, f"the server did not answer for {silence:g} s")

    def _lost(self, reason: str) -> None:
        self._keep_alive.stop()
        if self._state is not ClientState.RECONNECTING:
            if self._reconnect_for <= 0:
                self._finish(CloseCode.TIMEOUT, reason)
                return
            self._state = ClientState.RECONNECTING
            self._deadline = self._clock.callLater(
                self._reconnect_for, self._finish, CloseCode.TIMEOUT, reason
            )
            self._retry = self._clock.callLater(self._backoff.next(), self._attempt)
            self._reconnecting.call()
        else:
            self._retry = self._clock.callLater(self._backoff.next(), self._attempt)

    def _finish(self, code: CloseCode, reason: str = "") -> None:
        if self._state is ClientState.CLOSED:
            return
        self._state = ClientState.CLOSED
        self._ending = (code, reason)
        self._stop_timers()
        self._keep_alive.stop()
        self._waiting.clear()
        gone = self._all_gone(code)
        self._requests.fail_all(code, reason)
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.errback(Disconnected(code, reason))
        else:
            self._disconnected.call(code)
        gone.addCallback(self._gone)

    def _gone(self, _: None) -> None:
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)

    def _opening_cancelled(self, _: Deferred[None]) -> None:
        self._opening = None
        self._finish(CloseCode.NORMAL)

    def _all_gone(self, code: CloseCode) -> Deferred[None]:
        transports = list(self._former)
        if self._transport is not None:
            transports.append(self._transport)
        gone: Deferred[None] = Deferred()
        DeferredList([transport.close(code) for transport in transports]).addCallback(
            lambda _: gone.callback(None)
        )
        return gone

    def _stop_timers(self) -> None:
        for timer in (self._retry, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._retry = self._deadline = None
