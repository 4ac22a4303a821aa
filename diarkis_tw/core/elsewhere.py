"""
One player, one node: who has connected to another node leaves this one; and where
players of other nodes are.

Rules:

  - Each session has the time of the mesh (L{diarkis_tw.mesh.interface.Mesh.time})
    at which its first connection was confirmed. Of several sessions of a uid the
    one with the latest time stays; of the same time, which two nodes that do not
    hear each other may have, the one with the larger sid. All nodes see the same
    two numbers, so exactly one stays.
  - A node tells all others of each session that begins.
  - What did not arrive (the node stood still, was cut off, or the broker was away)
    is asked for when the mesh notices that something is missing: who has come
    since, and is still there? So it does not matter which side was away.
  - It is asked for until there is an answer, one node after another, the latest
    first, C{CHUNK} at a time. A node without users asks nothing: whoever comes to
    it later is newer than all that it has missed.
  - A node that others had given up forgets who was about to connect: those players
    may have been sent elsewhere. Players who are connected go on playing until it
    is known that they are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from diarkis_tw.constants import UID_MAX_BYTES, CloseCode
from diarkis_tw.core.background import background
from diarkis_tw.core.directory import Directory
from diarkis_tw.core.user import User
from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.envelope import ADDRESS_MAX
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.units import Seconds
from diarkis_tw.wire.keys import SID_SIZE

if TYPE_CHECKING:
    from diarkis_tw.core.users import Users

CHUNK: Final = 1_000
"""Sessions in one answer: 160 KB at most, and about 2 ms for the node that gets it."""

ASK_TIMEOUT: Final[Seconds] = 2.0
"""How long one answer may take. The next attempt is C{Users}' next sweep."""

MISSED_MAX: Final = 1024
"""Nodes that are still to be asked; those that are gone for good stay until then."""

SEARCH_TIMEOUT: Final[Seconds] = 1.0
"""How long a node may take to say whether a user is there."""

SEARCHES_MAX: Final = 256
"""Searches at a time: a client may send messages to users whom nobody has, and each one
asks all nodes."""

QUESTIONS_MAX: Final = 5_000
"""Nodes asked in one second for users who are searched for, over all searches: about a
third of a core. Otherwise a few clients who send messages to uids that nobody has would
cost everybody theirs."""

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Uid = Annotated[str, Meta(max_length=UID_MAX_BYTES)]
Sid = Annotated[bytes, Meta(max_length=SID_SIZE)]


class UserArrived(msgspec.Struct, frozen=True):
    """
    Mesh message: a uid has connected to a node, so that others let go of it.

    @ivar time: when, by the mesh.
    @ivar node: the address of that node.
    """

    uid: Uid
    sid: Sid
    time: Number
    node: Annotated[str, Meta(max_length=ADDRESS_MAX)]


class AskArrived(msgspec.Struct, frozen=True):
    """
    Mesh request: who has come within a time and is here?

    @ivar after: after this time of the mesh.
    @ivar before: and before this one; 0 = until now.
    """

    after: Number
    before: Number = 0


class Arrived(msgspec.Struct, frozen=True):
    """
    The answer to L{AskArrived}.

    @ivar users: uid, sid and time of each, the latest first.
    @ivar more: there are more, before the last of these.
    """

    users: Annotated[list[tuple[Uid, Sid, Number]], Meta(max_length=CHUNK)]
    more: bool


class FindUser(msgspec.Struct, frozen=True):
    """
    Mesh request: is this user there?
    """

    uid: Uid


class Found(msgspec.Struct, frozen=True):
    """
    The answer to L{FindUser}.
    """

    found: bool


class Elsewhere:
    """
    What a node says and knows of users of other nodes.

    @ivar directory: where they are.
    """

    log = Logger()

    def __init__(self, mesh: Mesh, users: Users) -> None:
        self.directory = Directory()
        self._mesh = mesh
        self._users = users
        self._missed: dict[str, int] = {}
        self._asking: Deferred[object] | None = None
        self._searches = 0
        self._second = self._questions = 0
        mesh.handle(UserArrived, self._arrived)
        mesh.handle(AskArrived, self._answer)
        mesh.handle(FindUser, lambda find: Found(users.find_uid(find.uid) is not None))
        mesh.on_missed(self._note)

    def announce(self, user: User) -> None:
        """
        A session begins here.
        """
        user.arrived = self._mesh.time()
        self.directory.forget(user.uid)
        self._mesh.broadcast(
            UserArrived(user.uid, user.keys.sid, user.arrived, self._mesh.node_address)
        )

    def search(self, uid: str) -> Deferred[str | None]:
        """
        Ask all other nodes at once for a user; the first who has it is remembered.

        @return: the node's address; L{None} if nobody says so in time.
        @raise MeshError: too many are being searched for, or have been within this second.
        """
        own = self._mesh.node_address
        others = {node.address for node in self._mesh.nodes()} - {own}
        if not others:
            return succeed(None)
        if self._searches >= SEARCHES_MAX:
            raise MeshError(f"{SEARCHES_MAX} users are searched for already")
        if not self._may_ask(len(others)):
            raise MeshError(f"{QUESTIONS_MAX} questions for users were asked within a second")
        self._searches += 1
        found: Deferred[str | None] = Deferred()

        def answered(answer: Found | Failure, address: str) -> None:
            others.discard(address)
            if found.called:
                return
            if isinstance(answer, Found) and answer.found:
                self.directory.put(uid, address)
                found.callback(address)
            elif not others:
                found.callback(None)

        def ended(result: object) -> object:
            self._searches -= 1
            return result

        found.addBoth(ended)
        for address in list(others):
            asked = self._mesh.request(address, FindUser(uid), Found, SEARCH_TIMEOUT)
            asked.addBoth(answered, address)
        return found

    def _may_ask(self, nodes: int) -> bool:
        second = self._mesh.time() // 1_000_000
        if second != self._second:
            self._second, self._questions = second, 0
        # One search at least, however many nodes there are.
        if self._questions and self._questions + nodes > QUESTIONS_MAX:
            return False
        self._questions += nodes
        return True

    def ask(self) -> None:
        """
        Ask for what is missing, unless that is under way.
        """
        if self._missed and self._asking is None:
            asking = self._asking = background("asking who is elsewhere", self._ask_all())
            asking.addBoth(self._asked)

    def stop(self) -> None:
        """
        Ask for nothing more.
        """
        self._missed.clear()
        if self._asking is not None:
            self._asking.cancel()

    def _arrived(self, arrived: UserArrived) -> None:
        self._let_go(arrived.uid, arrived.sid, arrived.time, arrived.node)

    def _let_go(self, uid: str, sid: bytes, time: int, node: str) -> None:
        user = self._users.find_uid(uid)
        if user is None or (user.arrived, user.keys.sid) < (time, sid):
            self.directory.put(uid, node)
            if user is not None and user.keys.sid != sid:
                self._users.remove(user, CloseCode.REPLACED)

    def _answer(self, asked: AskArrived) -> Arrived:
        found: list[tuple[str, bytes, int]] = []
        for user in self._users.latest():
            if user.arrived <= asked.after:
                break
            if asked.before and user.arrived >= asked.before:
                continue
            if len(found) == CHUNK:
                return Arrived(found, more=True)
            found.append((user.uid, user.keys.sid, user.arrived))
        return Arrived(found, more=False)

    def _note(self, address: str, since: int) -> None:
        if self._users.ccu():
            self._remember(address, since)
            self.ask()

    def _remember(self, address: str, since: int) -> None:
        self._missed[address] = min(since, self._missed.get(address, since))
        if len(self._missed) > MISSED_MAX:
            del self._missed[next(iter(self._missed))]

    def _asked(self, ignored: object) -> None:
        self._asking = None

    async def _ask_all(self) -> None:
        asked: set[str] = set()
        while (address := self._next(asked)) is not None:
            asked.add(address)
            since = self._missed.pop(address)
            try:
                await self._ask(address, since)
            except MeshError as error:
                self._remember(address, since)
                self.log.info("who is on {address}? {error}", address=address, error=error)

    def _next(self, asked: set[str]) -> str | None:
        reached = {node.address for node in self._mesh.nodes()} - asked
        return next((address for address in self._missed if address in reached), None)

    async def _ask(self, address: str, since: int) -> None:
        before = 0
        while True:
            asked = AskArrived(since, before)
            answer = await self._mesh.request(address, asked, Arrived, ASK_TIMEOUT)
            for uid, sid, time in answer.users:
                self._let_go(uid, sid, time, address)
            if not answer.more or not answer.users:
                return
            before = answer.users[-1][2]
