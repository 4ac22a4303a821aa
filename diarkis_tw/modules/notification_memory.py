"""
The notifications that a node remembers.

Rules:

  - An id is remembered for its ttl and C{ID_LIFE}; C{REMEMBERED_MOST} are.
    Meanwhile a notification of the same id is nothing new, wherever it comes
    from.
  - Deleting one ends its life, not the memory of its id. An id that is not known
    can be deleted, too, before it comes: that is remembered for C{DELETED_LIFE}.
  - Serial numbers rise in the order in which they came to this node.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.core.encoded import Encoded
from diarkis_tw.errors import NotificationError
from diarkis_tw.modules.notification import Notification
from diarkis_tw.units import Seconds

REMEMBERED_MOST: Final = 4096
"""Notifications remembered: 64 MiB, were all messages as large as they may be. As many
deletions."""

ID_LIFE: Final[Seconds] = 60.0
"""How long an id is remembered after the end: two nodes may load one row that much
apart, and where it came late it lives as much longer."""

DELETED_LIFE: Final[Seconds] = 3600.0
"""How long the deletion of an unknown id is remembered: a node that was cut off for as
long may have it."""

ROUND_MOST: Final[Seconds] = 10.0
"""How late a notification may come to who was there when it was made; longer than
any round that makes sense. As long it is not forgotten."""

MARK_SIZE: Final = 8
"""Bytes that stand for an id where nodes compare what they know: of 10,000 ids no two
have the same with a probability of 1 to 3 in 10**12."""


@dataclass(eq=False, slots=True)
class Remembered:
    """
    A notification of this node.

    @ivar encoded: the push, made once for all users.
    @ivar mark: stands for its id.
    @ivar made: when it came to this node.
    @ivar life: until when users get it who connect later.
    @ivar memory: until when its id is remembered.
    @ivar everywhere: whether it is for the users of all nodes.
    @ivar failed: whether the log says already that somebody did not get it.
    """

    notification: Notification
    serial: int
    encoded: Encoded
    mark: bytes
    made: Seconds
    life: Seconds
    memory: Seconds
    everywhere: bool
    deleted: bool = False
    failed: bool = False


class NotificationMemory:
    """
    Those of one node.

    @ivar latest: the serial number of the newest.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.latest = 0
        self._clock = clock
        self._remembered: dict[str, Remembered] = {}
        # Until when, and the mark.
        self._deleted: dict[str, tuple[Seconds, bytes]] = {}

    def __len__(self) -> int:
        return len(self._remembered)

    def newest_first(self) -> Iterator[Remembered]:
        """
        All of them.
        """
        return reversed(self._remembered.values())

    def is_deleted(self, id: str) -> bool:
        """
        Whether nobody shall get it any more.
        """
        found = self._deleted.get(id)
        return found is not None and found[0] > self._clock.seconds()

    def add(self, notification: Notification, everywhere: bool, *, learned: bool = False) -> bool:
        """
        Remember one.

        @param learned: it was made before and is learned of another node, so that none
            is forgotten for it: that one would be learned again, and delivered again.
        @return: False if its id is remembered already.
        @raise NotificationError: too many in too short a time, or no room for what is learned.
        """
        now = self._clock.seconds()
        known = self._remembered.get(notification.id)
        if known is not None:
            if known.memory > now:
                known.everywhere = known.everywhere or everywhere
                return False
            # Behind the others again, where its new serial number belongs.
            del self._remembered[notification.id]
        if self.is_deleted(notification.id):
            return False
        self._make_room(now, learned)
        self.latest += 1
        ttl = notification.ttl
        self._remembered[notification.id] = Remembered(
            notification,
            self.latest,
            Encoded(notification.ver, notification.cmd, notification.message),
            _mark(notification.id),
            now,
            now + ttl,
            now + ttl + ID_LIFE,
            everywhere,
        )
        return True

    def delete(self, id: str, life: Seconds = DELETED_LIFE) -> bool:
        """
        Let nobody get it any more.

        @param life: how long that is remembered at least.
        @return: False if it was deleted already.
        """
        if self.is_deleted(id):
            return False
        until = self._clock.seconds() + life
        known = self._remembered.get(id)
        if known is not None:
            known.deleted = True
            until = max(until, known.memory)
        self._deleted.pop(id, None)
        if len(self._deleted) >= REMEMBERED_MOST:
            del self._deleted[next(iter(self._deleted))]
        self._deleted[id] = (until, _mark(id))
        return True

    def forget(self) -> None:
        """
        Forget what need not be remembered.
        """
        now = self._clock.seconds()
        for id, known in list(self._remembered.items()):
            if known.memory <= now:
                del self._remembered[id]
        for id, (until, _) in list(self._deleted.items()):
            if until <= now:
                del self._deleted[id]

    # What other nodes lack

    def marks(self) -> tuple[bytes, bytes]:
        """
        What is known here, and what of it or besides is deleted.
        """
        known = b"".join(one.mark for one in self._remembered.values())
        return known, b"".join(mark for _, mark in self._deleted.values())

    def alive(self, known: bytes) -> Iterator[Notification]:
        """
        Those that are alive and for all nodes, with the ttl that is left, but those
        of the marks C{known}; oldest first.
        """
        now = self._clock.seconds()
        marks = _split(known)
        for one in self._remembered.values():
            if one.everywhere and not one.deleted and one.life > now and one.mark not in marks:
                yield msgspec.structs.replace(one.notification, ttl=one.life - now)

    def deleted(self, known: bytes) -> Iterator[tuple[str, Seconds]]:
        """
        Ids that are deleted, and how long that is still remembered, but those of the
        marks C{known}.
        """
        now = self._clock.seconds()
        marks = _split(known)
        for id, (until, mark) in self._deleted.items():
            if until > now and mark not in marks:
                yield id, until - now

    def _make_room(self, now: Seconds, learned: bool) -> None:
        if len(self._remembered) < REMEMBERED_MOST:
            return
        self.forget()
        if len(self._remembered) < REMEMBERED_MOST:
            return
        if learned:
            raise NotificationError(f"{REMEMBERED_MOST} notifications are remembered already")
        # Those of the last seconds may be under way.
        known = self._remembered.values()
        older = [one for one in known if one.made + ROUND_MOST <= now]
        if not older:
            raise NotificationError(
                f"{REMEMBERED_MOST} notifications within {ROUND_MOST:g} s; no more can be taken"
            )
        del self._remembered[min(older, key=lambda one: one.memory).notification.id]


def _mark(id: str) -> bytes:
    return blake2b(id.encode(), digest_size=MARK_SIZE).digest()


def _split(marks: bytes) -> set[bytes]:
    return {marks[at : at + MARK_SIZE] for at in range(0, len(marks), MARK_SIZE)}
