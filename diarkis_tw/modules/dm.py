"""
Direct messages: from user to user by uid, wherever the other one is.

Rules:

  - The receiver is looked for on this node first, then on the one to which it has
    come last as far as is known, then on all others at once
    (L{diarkis_tw.core.elsewhere}). The message goes to one node only: if that does
    not answer it may have been delivered, and is not sent again.
  - It has to be here: connected, or away within its grace. If it is not, the
    sender learns so.
  - The node of the sender may rewrite a message, the one of the receiver may
    refuse it.
  - Two users who connected hear when the other one leaves the game.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.constants import ErrorCode
from diarkis_tw.core.background import as_deferred, background
from diarkis_tw.core.encoded import Body, Encoded
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.errors import CommandError, LocalProtocolError, MeshError, NotSentError
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.modules.builtin import handle_builtin
from diarkis_tw.schema import dm as schema
from diarkis_tw.schema.command import Body as PlainBody
from diarkis_tw.schema.command import Nothing, as_value
from diarkis_tw.units import Seconds

PEERS_MAX: Final = 64
"""Users who hear when one user leaves. Of those who came by themselves the oldest makes
room for the next, so strangers cannot use them up."""

HOOK_PATIENCE: Final[Seconds] = 4.0
"""How long an asynchronous hook may take: less than another node waits for the answer."""

VER: Final = 1


class DeliverDirect(msgspec.Struct, frozen=True):
    """
    Mesh message: hand this to a user, if it is on the node that gets it.

    @ivar cmd: one of L{schema.DmCommand}.
    @ivar sender: the uid of who says it; empty for the server.
    """

    cmd: int
    sender: str
    to: str
    message: PlainBody = b""
    reliable: bool = True


class Delivered(msgspec.Struct, frozen=True):
    """
    What became of a L{DeliverDirect}.

    @ivar found: the user is on this node.
    @ivar refusal: why it does not get the message; empty if it does.
    """

    found: bool
    refusal: str = ""


_NOT_FOUND: Final = Delivered(found=False)


class DirectMessages:
    """
    Go: package C{dm}.

    @ivar unanswered: messages that another node did not answer for.
    """

    def __init__(
        self, clock: IReactorTime, users: Users, mesh: Mesh, registry: CommandRegistry
    ) -> None:
        self.unanswered = 0
        self._clock = clock
        self._users = users
        self._mesh = mesh
        self._registry = registry
        self._rewrite: Callable[[User, str, PlainBody], object] | None = None
        self._condition: Callable[[User, str, PlainBody], object] | None = None
        # By uid: whether the user asked for it.
        self._peers: dict[User, dict[str, bool]] = {}
        mesh.handle(DeliverDirect, self._deliver_here)
        users.on_disconnect(self._left)

    def expose_commands(self) -> None:
        """
        Let clients use direct messages. Go: C{dm.ExposeCommands}.

        @raise RegistrationError: the server has started.
        """
        handle_builtin(self._registry, schema.SEND, self._send)
        handle_builtin(self._registry, schema.CONNECT, self._connect)
        handle_builtin(self._registry, schema.DISCONNECT, self._disconnect)

    def set_on_message(self, rewrite: Callable[[User, str, PlainBody], object] | None) -> None:
        """
        Ask C{rewrite(sender, uid, message)} for the message that is sent instead;
        None = none at all, which the sender is not told. It may be asynchronous.
        Go: C{dm.SetOnMessage}.
        """
        self._rewrite = rewrite

    def set_on_receive_message(
        self, condition: Callable[[User, str, PlainBody], object] | None
    ) -> None:
        """
        Ask C{condition(receiver, uid of the sender, message)} on the receiver's
        node; a false answer refuses the message. It may be asynchronous.
        Go: C{dm.SetOnReceiveMessage}.
        """
        self._condition = condition

    async def send(
        self, uid: str, message: Body, *, sender: str = "", reliable: bool = True
    ) -> None:
        """
        Push ver 1 cmd 701 to a user. Go: C{dm.SendMessageByUserID}.

        @param uid: whose.
        @param message: bytes, or a mapping.
        @param sender: the uid that the receiver is told; empty = the server.
        @raise CommandError: the user is not here, or refuses.
        """
        plain = dict(message) if isinstance(message, Mapping) else bytes(message)
        await self._deliver(
            DeliverDirect(schema.DmCommand.SEND, sender, uid, plain, reliable=reliable)
        )

    # Commands

    async def _send(self, request: schema.Direct, user: User) -> Nothing:
        running = user.request
        reliable = running is None or running.reliable
        message: Body = request.message
        if self._rewrite is not None:
            rewritten = await self._decided(self._rewrite(user, request.to, request.message))
            if rewritten is None:
                return Nothing()
            if not isinstance(rewritten, bytes | Mapping):
                kind = type(rewritten).__name__
                raise TypeError(f"an on_message hook returns bytes, a mapping or None, not {kind}")
            message = rewritten
        await self.send(request.to, message, sender=user.uid, reliable=reliable)
        return Nothing()

    async def _connect(self, request: schema.Peer, user: User) -> Nothing:
        if request.to == user.uid:
            raise _refused("that is yourself")
        self._link(user, request.to, wanted=True)
        try:
            await self._deliver(DeliverDirect(schema.DmCommand.CONNECT, user.uid, request.to))
        except CommandError:
            self._unlink(user, request.to)
            raise
        return Nothing()

    async def _disconnect(self, request: schema.Peer, user: User) -> Nothing:
        if self._unlink(user, request.to):
            await self._deliver(DeliverDirect(schema.DmCommand.DISCONNECT, user.uid, request.to))
        return Nothing()

    async def _decided(self, answer: object) -> object:
        """
        What a hook says, now or later.

        @raise CommandError: it says nothing for too long.
        """
        work = as_deferred(answer)
        if work is None:
            return answer
        try:
            return await work.addTimeout(HOOK_PATIENCE, self._clock)
        except TimeoutError:
            raise _refused("nobody decided about the message in time; try again") from None

    # Delivery

    async def _deliver(self, message: DeliverDirect) -> None:
        delivered = await self._deliver_here(message)
        if not delivered.found:
            delivered = await self._deliver_elsewhere(message)
        if not delivered.found:
            raise _refused(f"user {message.to} is not here")
        if delivered.refusal:
            raise _refused(delivered.refusal)

    async def _deliver_elsewhere(self, message: DeliverDirect) -> Delivered:
        elsewhere = self._users.elsewhere
        address = elsewhere.directory.find(message.to)
        if address is not None:
            delivered = await self._deliver_there(address, message)
            if delivered.found:
                return delivered
            elsewhere.directory.forget(message.to)
        try:
            address = await elsewhere.search(message.to)
        except MeshError as error:
            raise _refused(f"user {message.to} is not found: {error}") from None
        if address is None:
            return _NOT_FOUND
        return await self._deliver_there(address, message)

    async def _deliver_there(self, address: str, message: DeliverDirect) -> Delivered:
        try:
            return await self._mesh.request(address, message, Delivered)
        except NotSentError:
            self.unanswered += 1
            return _NOT_FOUND
        except MeshError as error:
            # It may have arrived all the same: to ask again could deliver it twice.
            self.unanswered += 1
            raise _refused(f"user {message.to} is out of reach: {error}") from None

    async def _deliver_here(self, message: DeliverDirect) -> Delivered:
        user = self._users.find_uid(message.to)
        if user is None:
            return _NOT_FOUND
        try:
            await self._take(user, message)
        except CommandError as error:
            return Delivered(found=True, refusal=error.message)
        return Delivered(found=True)

    async def _take(self, user: User, message: DeliverDirect) -> None:
        if message.cmd == schema.DmCommand.SEND:
            if self._condition is not None:
                answer = self._condition(user, message.sender, message.message)
                if not await self._decided(answer):
                    raise _refused(f"user {user.uid} does not take the message")
            body = as_value(schema.DirectMessage(sender=message.sender, message=message.message))
        else:
            if message.cmd == schema.DmCommand.CONNECT:
                self._link(user, message.sender, wanted=False)
            else:
                self._unlink(user, message.sender)
            body = as_value(schema.PeerNews(sender=message.sender))
        try:
            sent = user.send(Encoded(VER, message.cmd, body), message.reliable)
        except LocalProtocolError as error:
            raise _refused(f"the message cannot be sent to user {user.uid}: {error}") from None
        if not sent:
            raise _refused(f"user {user.uid} cannot take messages at present")

    # Who hears of whom

    def _link(self, user: User, uid: str, wanted: bool) -> None:
        peers = self._peers.setdefault(user, {})
        if uid not in peers and len(peers) >= PEERS_MAX:
            unwanted = next((other for other, asked in peers.items() if not asked), None)
            if unwanted is None:
                raise _refused(f"{user.uid} is connected with {PEERS_MAX} users already")
            del peers[unwanted]
        peers[uid] = wanted or peers.get(uid, False)

    def _unlink(self, user: User, uid: str) -> bool:
        peers = self._peers.get(user)
        if peers is None or uid not in peers:
            return False
        del peers[uid]
        if not peers:
            del self._peers[user]
        return True

    def _left(self, sid: str, user: User) -> None:
        for uid in self._peers.pop(user, ()):
            news = DeliverDirect(schema.DmCommand.DISCONNECT, user.uid, uid)
            background("the notice that a user has left", self._tell_left(news))

    async def _tell_left(self, news: DeliverDirect) -> None:
        with suppress(CommandError):  # gone as well
            await self._deliver(news)


def _refused(message: str) -> CommandError:
    return CommandError(ErrorCode.DM, message)
