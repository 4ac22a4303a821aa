"""
C{send_pm}: a push to one user, on whichever node it is. Deprecated by the Go doc
in favour of direct messages, which find the user themselves.

Rules:

  - The sender learns nothing: for a node or a sid that nobody knows, and for a
    user who cannot take it, the message is dropped and counted, there.
  - Reliable: a user who is away gets it on coming back, as any reliable push.
"""

from typing import Final

import msgspec

from diarkis_tw.core.encoded import Encoded
from diarkis_tw.core.users import Users
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.mesh.interface import Mesh

SID_SIZE: Final = 16


class PrivateMessage(msgspec.Struct, frozen=True):
    """
    Mesh message: push this to the user with that sid.
    """

    sid: bytes
    ver: int
    cmd: int
    payload: bytes


class PrivateMessages:
    """
    Sends private messages, and delivers those to the users of this node.

    @ivar dropped: messages that were for nobody: on the node of the sender if the
        node is unknown or out of reach, on that of the receiver if the user is.
    """

    def __init__(self, mesh: Mesh, users: Users) -> None:
        self._mesh = mesh
        self._users = users
        self.dropped = 0
        mesh.handle(PrivateMessage, self._deliver)

    def send(self, node_address: str, sid: str, ver: int, cmd: int, message: bytes) -> None:
        """
        Send one message.

        @param node_address: of the node that has the user.
        @param sid: of the user, 32 hex digits.
        @param ver: 0..255.
        @param cmd: 0..65535.
        @raise LocalProtocolError: these are no such things, or the message is too
            large for any transport.
        """
        if not isinstance(node_address, str):
            raise LocalProtocolError(f"send_pm: a node address is text, not {node_address!r}")
        raw = _parse_sid(sid)
        for name, number in (("ver", ver), ("cmd", cmd)):
            if type(number) is not int:
                raise LocalProtocolError(f"send_pm: {name} is an integer, not {number!r}")
        if not isinstance(message, bytes | bytearray | memoryview):
            raise LocalProtocolError(f"send_pm: a message is bytes, not {type(message).__name__}")
        payload = bytes(message)
        # Made here too, so that whoever calls hears of what cannot be sent.
        _ = Encoded(ver, cmd, payload).binary
        if not self._mesh.send(node_address, PrivateMessage(raw, ver, cmd, payload)):
            self.dropped += 1

    def _deliver(self, message: PrivateMessage) -> None:
        user = self._users.find_sid(message.sid)
        try:
            encoded = Encoded(message.ver, message.cmd, message.payload)
            delivered = user is not None and user.send(encoded, True)
        except LocalProtocolError:  # above what this user's transport takes
            delivered = False
        if not delivered:
            self.dropped += 1


def _parse_sid(sid: object) -> bytes:
    if isinstance(sid, str) and len(sid) == 2 * SID_SIZE:
        try:
            raw = bytes.fromhex(sid)
        except ValueError:
            raw = b""
        if len(raw) == SID_SIZE:  # blanks between the digits count as none
            return raw
    # It is not shown: a sid that is nearly right is still nobody's business.
    raise LocalProtocolError("send_pm: a sid is 32 hex digits, as in user.sid")
