"""
What a notification is::

    ==========  =====================================================
    id          1..128 bytes of UTF-8; never used for another one
    name        which handler decides who gets it; may be empty
    ver, cmd    the push that clients get: 0/400, which raises their
                notification event, or any of the application's own
    message     the payload of that push, at most C{MESSAGE_MAX_BYTES}
    ttl         seconds for which users who connect later get it, too
    ==========  =====================================================

Nodes send notifications to each other as they are.
"""

from math import isfinite
from typing import Final

import msgspec

from diarkis_tw.constants import BUILTIN_VERSIONS, Builtin
from diarkis_tw.errors import NotificationError
from diarkis_tw.units import Seconds

NAME_MAX_BYTES: Final = 128
"""Longest id and longest name, in bytes of UTF-8."""

MESSAGE_MAX_BYTES: Final = 16 * 1024
"""Largest message: while 10,000 users are slow to take it, it is there 10,000 times."""

VER_MAX: Final = 0xFF
CMD_MAX: Final = 0xFFFF


class Notification(msgspec.Struct, frozen=True):
    """
    A message to all users. Go: C{server.Notification}.

    @ivar id: unique; an id that was sent before is not sent again.
    @ivar name: see C{server.set_on_notification}.
    @ivar ver: of the push, 2..255, or 0 with cmd 400.
    @ivar cmd: of the push, 0..65535.
    @ivar message: its payload, exactly.
    @ivar ttl: how long users who connect later get it, in seconds; 0 = only who
        is connected now.
    @raise NotificationError: one of them is wrong.
    """

    id: str
    name: str = ""
    ver: int = 0
    cmd: int = int(Builtin.NOTIFICATION)
    message: bytes = b""
    ttl: Seconds = 0.0

    def __post_init__(self) -> None:
        check_id(self.id)
        _bytes_of("name", self.name)
        _check_number("ver", self.ver, VER_MAX)
        _check_number("cmd", self.cmd, CMD_MAX)
        if self.ver in BUILTIN_VERSIONS and (self.ver, self.cmd) != (0, Builtin.NOTIFICATION):
            raise NotificationError(
                f"ver {self.ver} cmd {self.cmd} is the server's own: a notification has "
                "ver 0 with cmd 400, or ver 2..255"
            )
        if not isinstance(self.message, bytes):
            raise NotificationError(f"message is bytes, not {type(self.message).__name__}")
        if len(self.message) > MESSAGE_MAX_BYTES:
            raise NotificationError(
                f"a message of {len(self.message)} bytes; {MESSAGE_MAX_BYTES} is the most"
            )
        if not _is_number(self.ttl) or not isfinite(self.ttl) or self.ttl < 0:
            raise NotificationError(f"ttl is seconds, 0 or more, not {self.ttl!r}")


def check_id(id: object) -> None:
    """
    @raise NotificationError: no notification can have it.
    """
    if _bytes_of("id", id) == 0:
        raise NotificationError("a notification needs an id, such as that of its row")


def _bytes_of(what: str, text: object) -> int:
    if not isinstance(text, str):
        raise NotificationError(f"{what} is a str, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise NotificationError(f"{what} {text!r} is not text") from None
    if size > NAME_MAX_BYTES:
        raise NotificationError(f"{what} has {size} bytes; {NAME_MAX_BYTES} is the most")
    return size


def _check_number(what: str, number: object, most: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise NotificationError(f"{what} is a number from 0 to {most}, not {number!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
