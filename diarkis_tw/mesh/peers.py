"""
The other nodes: who is alive, and whose frames are taken.

Rules:

  - A node is known by what it said to this node's own incarnation: only somebody
    who lives now can. So frames of a node that has ended, repeated by a stranger,
    prove nothing to a node that has just started.
  - Of one node the highest incarnation counts; older ones are over.
  - Who says nothing for C{GONE_AFTER} is given up, and so is its incarnation. Should
    it come back, it is told, and comes as a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from diarkis_tw.mesh.envelope import CALLS_MAX, Envelope, ReplayWindow
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.units import Seconds

HEARTBEAT: Final[Seconds] = 1.0
"""Period in which a node says that it lives."""

SWEEP: Final[Seconds] = 0.1
"""Period of looking who is gone."""

GONE_AFTER: Final[Seconds] = 3.2
"""Silence after which a node is given up: three heartbeats are missing. With
L{SWEEP} it is 3.3 s at most, which leaves a busy machine some of the 3.5 s promised."""

PEERS_MAX: Final = 1024
"""Other nodes known at a time."""

GIVEN_UP_MAX: Final = 4096
"""Incarnations remembered as over."""

TOLD_MAX: Final = 1024
"""Incarnations that are told something within L{HEARTBEAT}: a stranger who repeats old
frames must not make this node talk."""


_INCARNATION_RANDOM: Final = 22
"""Bits of chance below the milliseconds in an incarnation."""


def new_incarnation(last: int, now: Seconds, random_bytes: Callable[[int], bytes]) -> int:
    """
    A number for the next life of a node.

    @param last: of the life before; 0 = there was none.
    @return: more than C{last}.
    """
    fresh = int(now * 1000) << _INCARNATION_RANDOM
    fresh |= int.from_bytes(random_bytes(4), "big") >> (32 - _INCARNATION_RANDOM)
    return min(max(fresh, last + 1), CALLS_MAX)


class Verdict(Enum):
    """
    What to do with a frame.
    """

    TAKE = auto()
    """Handle it."""
    TAKE_FIRST = auto()
    """Likewise; it is the first one of that incarnation."""
    ASK = auto()
    """Drop it, and ask the sender to prove that it lives."""
    TELL = auto()
    """Drop it, and tell the sender that it was given up."""
    DROP = auto()


@dataclass(eq=False, slots=True)
class Peer:
    """
    Another node.

    @ivar heard: when it last said something.
    @ivar info: what it says of itself; L{None} until it does.
    """

    address: str
    incarnation: int
    window: ReplayWindow = field(repr=False)
    heard: Seconds
    info: NodeInfo | None = None


class Peers:
    """
    The other nodes that this one knows.

    @ivar repeated: frames that came a second time, or of incarnations that are over.
    @ivar unproven: frames of nodes that are not known yet.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self.unproven = 0
        self._peers: dict[str, Peer] = {}
        self._given_up: dict[str, int] = {}
        self._told: dict[tuple[str, int], Seconds] = {}

    def find(self, address: str) -> Peer | None:
        """
        One of them.
        """
        return self._peers.get(address)

    def infos(self) -> list[NodeInfo]:
        """
        What they say of themselves.
        """
        return [peer.info for peer in self._peers.values() if peer.info is not None]

    def judge(self, envelope: Envelope, now: Seconds) -> Verdict:
        """
        What to do with a frame that is authentic and, if it is for one node, for
        this one as it lives now.
        """
        sender, incarnation = envelope.sender, envelope.incarnation
        known = self._peers.get(sender)
        if known is not None and incarnation == known.incarnation:
            if not known.window.take(envelope.counter):
                self.repeated += 1
                return Verdict.DROP
            known.heard = now
            return Verdict.TAKE
        if incarnation <= self._given_up.get(sender, -1):
            self.repeated += 1
            return Verdict.TELL if self._may_tell((sender, incarnation), now) else Verdict.DROP
        if known is not None and incarnation < known.incarnation:
            self.repeated += 1
            return Verdict.DROP
        if not envelope.to:
            self.unproven += 1
            return Verdict.ASK if self._may_tell((sender, incarnation), now) else Verdict.DROP
        if known is None and len(self._peers) >= PEERS_MAX:
            self.unproven += 1
            return Verdict.DROP
        window = ReplayWindow(envelope.counter)
        self._peers[sender] = Peer(sender, incarnation, window, now)
        return Verdict.TAKE_FIRST

    def give_up(self, peer: Peer) -> None:
        """
        Its incarnation is over.
        """
        self._peers.pop(peer.address, None)
        self._given_up.pop(peer.address, None)
        self._given_up[peer.address] = peer.incarnation
        if len(self._given_up) > GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]

    def sweep(self, now: Seconds) -> list[Peer]:
        """
        Give up who is silent.

        @return: those.
        """
        silent = [peer for peer in self._peers.values() if now - peer.heard > GONE_AFTER]
        for peer in silent:
            self.give_up(peer)
        return silent

    def _may_tell(self, node: tuple[str, int], now: Seconds) -> bool:
        told = self._told
        if node not in told and len(told) >= TOLD_MAX:
            for other in [other for other, when in told.items() if now - when >= HEARTBEAT]:
                del told[other]
            if len(told) >= TOLD_MAX:
                return False
        # A little less than a period, as heartbeats are not exact.
        if now - told.get(node, now - HEARTBEAT) < HEARTBEAT / 2:
            return False
        told[node] = now
        return True
