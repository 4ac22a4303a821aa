"""
The mesh of many nodes, over NATS.

Each node listens to two subjects, that of all and its own::

    diarkis.<MESH_VERSION>.<app>.all
    diarkis.<MESH_VERSION>.<app>.to.<node address>

A node that joins says so to all. Who hears of a node it does not know greets it,
and is greeted in return: both have then said something to the other's present
incarnation, which is what L{diarkis_tw.mesh.peers} wants to see.

Rules:

  - Each second a node tells all others what it is; what L{NatsMesh.nodes} answers
    is what was heard last, and costs nothing.
  - While the broker is away nobody is given up, as nobody can be heard; nor just
    after, until all had the time to come back.
  - A node that stood still, or that was given up by another one, takes a new
    incarnation: what was on its way to the old one is dropped.
  - Frames may be lost. Requests say so by their time-out, messages to all by the
    next heartbeat (L{diarkis_tw.mesh.missed}).
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, cast

import msgspec
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.errors import MeshError, NotSentError
from diarkis_tw.mesh.calls import Calls
from diarkis_tw.mesh.envelope import MESH_VERSION, Envelope, Kind, Sealing
from diarkis_tw.mesh.interface import (
    REQUEST_TIMEOUT,
    REQUEST_TIMEOUT_MOST,
    Message,
    NodeInfo,
    Reply,
)
from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.mesh.missed import Missed
from diarkis_tw.mesh.nats_link import STOP_TIMEOUT, Link
from diarkis_tw.mesh.peers import (
    GONE_AFTER,
    HEARTBEAT,
    SWEEP,
    Peer,
    Peers,
    Verdict,
    new_incarnation,
)
from diarkis_tw.mesh.strangers import Strangers
from diarkis_tw.mesh.system import GIVEN_UP, SYSTEM, Beat, GivenUp, Hello, Leave, described
from diarkis_tw.mesh.time import MeshTime
from diarkis_tw.units import Seconds

REASON_MAX: Final = 512
"""Characters of why a request failed, as they go to the asker."""

UPDATE_DELAY: Final[Seconds] = 0.05
"""How late others hear of a change, at most; all within it is one heartbeat."""


class NatsMesh:
    """
    A mesh over NATS; see L{diarkis_tw.mesh.interface.Mesh}.

    @ivar dropped: messages to nodes that are not known.
    @ivar misdirected: frames for an incarnation that is over, or for another node.
    @ivar malformed: messages of known nodes that are not what their topic says.
    @ivar unhandled: messages without a handler here.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        link: Link,
        app: str,
        secrets: Sequence[str] = (),
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        time_of_day: Callable[[], Seconds] = time.time,
    ) -> None:
        """
        @param app: nodes of the same word are one mesh.
        @param secrets: what they share; see L{Sealing}.
        @param time_of_day: Unix time.
        """
        self.dropped = 0
        self.misdirected = 0
        self.malformed = 0
        self.unhandled = 0
        self._clock = clock
        self._link = link
        self._random_bytes = random_bytes
        self._address = random_bytes(8).hex()
        self._sealing = Sealing(app, secrets, random_bytes)
        self._strangers = Strangers(app)
        self._all = f"diarkis.{MESH_VERSION}.{app}.all"
        self._to = f"diarkis.{MESH_VERSION}.{app}.to."
        self._peers = Peers()
        self._time = MeshTime(clock, time_of_day())
        self._missed = Missed()
        self._said = 0
        self._local = LocalMesh(clock, self._address)
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
            topic: msgspec.msgpack.Decoder(kind) for topic, kind in SYSTEM.items()
        }
        self._calls = Calls(clock)
        self._incarnation = self._counter = 0
        self._renew()
        self._describe: Callable[[], NodeInfo] | None = None
        self._info: NodeInfo | None = None
        self._on_stale: list[Callable[[], object]] = []
        self._on_missed: list[Callable[[str, int], object]] = []
        self._on_join: list[Callable[[str], object]] = []
        self._updating: IDelayedCall | None = None
        self._hold = self._swept = 0.0
        self._loops = [
            (LoopingCall(self._beat, True), HEARTBEAT),
            (LoopingCall(self._sweep), SWEEP),
        ]
        for loop, _ in self._loops:
            loop.clock = clock

    # Membership

    @property
    def node_address(self) -> str:
        return self._address

    @property
    def is_ready(self) -> bool:
        """
        Whether other nodes can be reached.
        """
        return self._link.is_up

    @property
    def strangers(self) -> int:
        """
        Frames of whoever has no key.
        """
        return self._sealing.strangers

    @property
    def repeated(self) -> int:
        """
        Frames that came again.
        """
        return self._peers.repeated

    def time(self) -> int:
        return self._time.now()

    def check(self) -> None:
        if self._describe is not None and self._stood_still():
            self._sweep()

    def on_stale(self, callback: Callable[[], object]) -> None:
        self._on_stale.append(callback)

    def on_missed(self, callback: Callable[[str, int], object]) -> None:
        self._on_missed.append(callback)

    def on_join(self, callback: Callable[[str], object]) -> None:
        self._on_join.append(callback)

    def join(self, describe: Callable[[], NodeInfo]) -> None:
        self.log.info("mesh: this is node {address}", address=self._address)
        self._describe = describe
        self._swept = self._clock.seconds()
        self._link.start((self._all, self._to + self._address), self._received, self._changed)
        for loop, period in self._loops:
            loop.start(period).addErrback(self._loop_ended)

    def _loop_ended(self, failure: Failure) -> None:
        self.log.failure("mesh: this node is not heard any more; restart it", failure)

    def leave(self) -> Deferred[None]:
        if self._describe is None:
            return succeed(None)
        self._broadcast(Leave())
        self._describe = None
        for loop, _ in self._loops:
            loop.stop()
        if self._updating is not None:
            self._updating.cancel()
            self._updating = None
        self._calls.fail_all("this node is leaving the mesh")
        self._peers = Peers()
        # The link is a daemon: should it not end, nothing waits for it.
        stopped = self._link.stop().addTimeout(STOP_TIMEOUT, self._clock)
        stopped.addErrback(lambda failure: failure.trap(TimeoutError) and None)
        return stopped

    def updated(self) -> None:
        if self._describe is not None and self._updating is None:
            self._updating = self._clock.callLater(UPDATE_DELAY, self._update)

    def nodes(self) -> Iterable[NodeInfo]:
        if self._describe is None:
            return ()
        return [self._describe(), *self._peers.infos()]

    # Messages

    def handle(
        self, topic: type[Message], handler: Callable[[Message], Reply | Awaitable[Reply] | None]
    ) -> None:
        if topic.__name__ in self._decoders:
            raise MeshError(f"{topic.__name__} has a handler already")
        self._local.handle(topic, handler)
        self._decoders[topic.__name__] = msgspec.msgpack.Decoder(topic)

    def send(self, node_address: str, message: msgspec.Struct) -> bool:
        if node_address == self._address:
            return self._local.send(node_address, message)
        peer = self._peers.find(node_address)
        if peer is None:
            self.dropped += 1
            return False
        return self._post(peer.address, peer.incarnation, Kind.MESSAGE, 0, message)

    def request(
        self,
        node_address: str,
        message: msgspec.Struct,
        reply: type[Reply],
        timeout: Seconds = REQUEST_TIMEOUT,
    ) -> Deferred[Reply]:
        if node_address == self._address:
            return self._local.request(node_address, message, reply, timeout)
        name = type(message).__name__
        peer = self._peers.find(node_address)
        if peer is None:
            return fail(NotSentError(f"no node {node_address}"))
        if not self._link.is_up:
            return fail(NotSentError(f"{name}: no NATS server is reached"))
        try:
            number = self._calls.number(name)
            sent = self._post(peer.address, peer.incarnation, Kind.REQUEST, number, message)
        except MeshError as error:
            return fail(error)
        if not sent:
            return fail(NotSentError(f"{name}: too much waits to be sent"))
        return self._calls.wait(number, name, node_address, reply, timeout)

    def broadcast(self, message: msgspec.Struct) -> None:
        if self._describe is not None:
            self._broadcast(message)
            # Sent or not: what was not is missing elsewhere.
            self._said += 1

    # Sending

    def _broadcast(self, message: msgspec.Struct, can_wait: bool = False) -> None:
        self._post("", 0, Kind.MESSAGE, 0, message, can_wait)

    def _post(
        self,
        address: str,
        incarnation: int,
        kind: Kind,
        call: int,
        message: msgspec.Struct,
        can_wait: bool = False,
    ) -> bool:
        """
        @return: False if it was dropped.
        @raise MeshError: it cannot be sent at all.
        """
        name = type(message).__name__
        topic = f"mesh.{name}" if f"mesh.{name}" in SYSTEM else name
        body, sealed = self._sealing.encode(message)
        return self._post_body(address, incarnation, kind, call, topic, sealed, body, can_wait)

    def _post_body(
        self,
        address: str,
        incarnation: int,
        kind: Kind,
        call: int,
        topic: str,
        sealed: bool,
        body: bytes,
        can_wait: bool = False,
    ) -> bool:
        self._counter += 1
        frame = self._sealing.frame(
            Envelope(
                self._address,
                self._incarnation,
                self._counter,
                address,
                incarnation,
                kind,
                call,
                topic,
                sealed,
                body,
                self._time.now(),
            )
        )
        subject = self._to + address if address else self._all
        return self._link.publish(subject, frame, can_wait)

    # Receiving

    def _received(self, frame: bytes) -> None:
        envelope = self._sealing.open(frame)
        if envelope is None or self._describe is None:
            return
        aimed = (envelope.to, envelope.to_incarnation)
        if aimed not in ((self._address, self._incarnation), ("", 0)) or (
            envelope.sender == self._address
        ):
            self.misdirected += 1
            return
        if envelope.topic == GIVEN_UP and envelope.to:
            # Of whomever this node has given up, too, or two halves of a mesh would
            # tell each other for ever. It is for this incarnation alone.
            self._stale("it was silent for too long")
            return
        match self._peers.judge(envelope, self._clock.seconds()):
            case Verdict.TAKE:
                self._take(envelope)
            case Verdict.TAKE_FIRST:
                # What its former self was asked it will not answer.
                self._calls.fail_those_of(envelope.sender)
                self._take(envelope)
                self._call_each("an on_join callback", self._on_join, envelope.sender)
            case Verdict.ASK:
                self._greet(envelope, answer=True)
            case Verdict.TELL:
                self._post(envelope.sender, envelope.incarnation, Kind.MESSAGE, 0, GivenUp())
            case Verdict.DROP:
                pass

    def _take(self, envelope: Envelope) -> None:
        self._time.heard(envelope.time)
        if not envelope.to and envelope.topic not in SYSTEM:
            self._missed.took(envelope.sender)
        if envelope.kind in (Kind.ANSWER, Kind.FAILURE):
            self._answered(envelope)
            return
        asked = envelope.kind is Kind.REQUEST and bool(envelope.to)
        decoder = self._decoders.get(envelope.topic)
        if decoder is None:
            self.unhandled += 1
            if asked:
                self._refuse(envelope, f"{self._address} does not handle {envelope.topic}")
            return
        message = self._decode(decoder, envelope)
        if message is None:
            if asked:
                self._refuse(envelope, f"{self._address} cannot read {envelope.topic}")
        elif envelope.topic in SYSTEM:
            self._system(envelope, message)
        elif asked:
            handled = self._local.request(
                self._address, message, msgspec.Struct, REQUEST_TIMEOUT_MOST
            )
            handled.addCallback(self._answer, envelope)
            handled.addErrback(self._handler_failed, envelope)
        else:
            self._local.send(self._address, message)

    def _decode(
        self, decoder: "msgspec.msgpack.Decoder[Any]", envelope: Envelope
    ) -> msgspec.Struct | None:
        try:
            return cast(msgspec.Struct, decoder.decode(envelope.body))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self.malformed += 1
            return None

    def _answer(self, answer: msgspec.Struct, envelope: Envelope) -> None:
        self._post(envelope.sender, envelope.incarnation, Kind.ANSWER, envelope.call, answer)

    def _handler_failed(self, failure: Failure, envelope: Envelope) -> None:
        failure.trap(MeshError)
        self._refuse(envelope, str(failure.value))

    def _refuse(self, envelope: Envelope, reason: str) -> None:
        body = reason[:REASON_MAX].encode()
        self._post_body(
            envelope.sender, envelope.incarnation, Kind.FAILURE, envelope.call, "", False, body
        )

    def _answered(self, envelope: Envelope) -> None:
        call = self._calls.find(envelope.call, envelope.sender)
        if call is None or not envelope.to:
            self.unhandled += 1  # too late
            return
        if envelope.kind is Kind.FAILURE:
            reason = envelope.body.decode("utf-8", "replace")[:REASON_MAX]
            call.answer.errback(MeshError(reason))
            return
        wanted = call.reply.__name__
        if envelope.topic != wanted:
            call.answer.errback(MeshError(f"answered with {envelope.topic}, not {wanted}"))
            return
        answer = self._decode(msgspec.msgpack.Decoder(call.reply), envelope)
        if answer is None:
            call.answer.errback(MeshError(f"{call.address} answered with no {wanted}"))
        else:
            call.answer.callback(answer)

    # The mesh itself

    def _system(self, envelope: Envelope, message: msgspec.Struct) -> None:
        peer = self._peers.find(envelope.sender)
        if peer is None:
            return
        match message:
            case Beat(info, said):
                self._learn(peer, info)
                since = self._missed.told(peer.address, said, envelope.time)
                if since is not None:
                    self._call_each("an on_missed callback", self._on_missed, peer.address, since)
            case Hello(info, answer):
                self._learn(peer, info)
                if answer:
                    self._greet(envelope, answer=False)
            case Leave():
                self.log.info("mesh: node {address} has left", address=peer.address)
                self._calls.fail_those_of(peer.address)
                self._peers.give_up(peer)

    def _learn(self, peer: Peer, info: NodeInfo) -> None:
        if info.address != peer.address:
            self.malformed += 1
            return
        if peer.info is None:
            what = described(info)
            self.log.info("mesh: node {address} is there: {what}", address=peer.address, what=what)
        peer.info = info

    def _greet(self, envelope: Envelope, *, answer: bool) -> None:
        info = self._own_info()
        if info is not None:
            hello = Hello(info, answer)
            self._post(envelope.sender, envelope.incarnation, Kind.MESSAGE, 0, hello)

    def _own_info(self) -> NodeInfo | None:
        if self._describe is not None:
            try:
                self._info = self._describe()
            except Exception:
                self.log.failure("the node cannot be described")
        return self._info

    def _update(self) -> None:
        self._updating = None
        self._beat()

    def _beat(self, can_wait: bool = False) -> None:
        if self._link.is_up and (info := self._own_info()) is not None:
            self._broadcast(Beat(info, self._said), can_wait)

    def _sweep(self) -> None:
        now = self._clock.seconds()
        self._strangers.look(self.strangers, now)
        stood_still, self._swept = self._stood_still(), now
        if stood_still:
            self._hold = now + GONE_AFTER
            self._stale("it stood still")
        self._link.look()
        if self._link.is_up and now >= self._hold:
            for peer in self._peers.sweep(now):
                self.log.warn("mesh: node {address} is silent and given up", address=peer.address)
                self._calls.fail_those_of(peer.address)

    def _stood_still(self) -> bool:
        return self._clock.seconds() - self._swept > GONE_AFTER

    def _changed(self, is_up: bool) -> None:
        if not is_up:
            # Who asked need not wait until the time is over: answers are on their way
            # to a connection that is no more.
            self._calls.fail_all("the connection to NATS was lost")
        elif self._describe is not None:
            self._hold = self._clock.seconds() + GONE_AFTER
            self._beat()

    def _stale(self, why: str) -> None:
        self.log.warn("mesh: this node was given up by others, as {why}; it joins anew", why=why)
        self._renew()
        # Answers would be for the incarnation that is over.
        self._calls.fail_all("this node was given up by others and joins anew")
        self._call_each("an on_stale callback", self._on_stale)
        self._beat()

    def _call_each(
        self, what: str, callbacks: Sequence[Callable[..., object]], *arguments: object
    ) -> None:
        for callback in callbacks:
            try:
                callback(*arguments)
            except Exception:
                self.log.failure("{what} failed", what=what)

    def _renew(self) -> None:
        self._incarnation = new_incarnation(
            self._incarnation, self._clock.seconds(), self._random_bytes
        )
        self._counter = 0
