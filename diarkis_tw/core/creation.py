"""
How the endpoint API has a node make a user: one request over the mesh.
"""

from typing import ClassVar, Literal

import msgspec

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.node import Node
from diarkis_tw.core.users import PENDING_LIFE, TooManyPending, Users
from diarkis_tw.mesh.interface import Mesh


class CreateUser(msgspec.Struct, frozen=True):
    """
    Make a session on the node that gets this.

    @ivar server_type: as asked for: UDP, TCP, WS or a custom word.
    @ivar encryption: C{enableEncryption} of the HTTP server that asks.
    """

    uid: str
    server_type: str
    data: dict[str, object]
    encryption: bool


class UserMade(msgspec.Struct, frozen=True, tag=True):
    """
    The session; keys are 16 bytes each.
    """

    sid: bytes
    encryption_key: bytes
    encryption_iv: bytes
    encryption_mac_key: bytes
    expires_in: int

    def __repr__(self) -> str:
        return "UserMade(...)"


class UserRefused(msgspec.Struct, frozen=True, tag=True):
    """
    The node makes no user.

    @ivar reason: a word for programs.
    @ivar message: a sentence for people.
    """

    reason: Literal["taken", "offline", "full", "encryption"]
    message: str


class CreateUserReply(msgspec.Struct, frozen=True):
    """
    What became of a L{CreateUser}.

    @cvar sealed: keys are inside, which nobody between the nodes shall see.
    """

    sealed: ClassVar[bool] = True
    outcome: UserMade | UserRefused


class UserCreation:
    """
    Answers L{CreateUser} for this node.
    """

    def __init__(self, mesh: Mesh, node: Node, users: Users, encryption: bool) -> None:
        self._node = node
        self._users = users
        self._encryption = encryption
        mesh.handle(CreateUser, self.create)

    def create(self, request: CreateUser) -> CreateUserReply:
        """
        Make the user, or say why not.
        """
        return CreateUserReply(self._create(request))

    def _create(self, request: CreateUser) -> UserMade | UserRefused:
        if request.encryption != self._encryption:
            here, there = _on(self._encryption), _on(request.encryption)
            return UserRefused(
                "encryption",
                f"enableEncryption is {here} on the game server and {there} on the HTTP server; "
                "set both alike.",
            )
        refusal = self._node.refusal()
        if refusal is CloseCode.TAKEN:
            return UserRefused("taken", "The server takes no new users at present.")
        if refusal is not None:
            return UserRefused("offline", "The server is starting or going away.")
        try:
            user = self._users.create(request.uid, request.server_type, request.data)
        except TooManyPending:
            return UserRefused("full", "Too many players are connecting; try again soon.")
        keys = user.keys
        return UserMade(
            keys.sid,
            keys.encryption_key,
            keys.encryption_iv,
            keys.encryption_mac_key,
            int(PENDING_LIFE),
        )


def _on(flag: bool) -> str:
    return "on" if flag else "off"
