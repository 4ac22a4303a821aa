"""
What the application sends while there is no connection.
"""

from collections import deque
from typing import Final

from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, Request
from diarkis_tw.wire.value import decode_value

WAITING_MAX: Final = 256
"""Reliable messages kept while reconnecting; as many as the server keeps pushes."""

WAITING_MAX_BYTES: Final = 512 * 1024
"""Their size together, in binary; below what a fresh transport takes at once."""


class WaitingMessages:
    """
    A bounded number of messages, in order. A value in one of them is what it was
    when it was sent, whatever the application does to it meanwhile.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[Request, int]] = deque()
        self._bytes = 0

    def add(self, request: Request, channel: int) -> bool:
        """
        Keep one more.

        @param request: what to send later.
        @param channel: on which.
        @return: false if there is no room.

        @raise LocalProtocolError: it cannot be sent, now or later.
        """
        binary = request.encode()
        if len(self._messages) >= WAITING_MAX or self._bytes + len(binary) > WAITING_MAX_BYTES:
            return False
        if not isinstance(request.payload, bytes):
            copy = decode_value(binary[REQUEST_HEADER_SIZE:])
            request = Request(request.ver, request.cmd, request.request_id, copy)
        self._messages.append((request, channel))
        self._bytes += len(binary)
        return True

    def take(self) -> list[tuple[Request, int]]:
        """
        Take all of them out.

        @return: requests with their channels, in order.
        """
        messages = list(self._messages)
        self.clear()
        return messages

    def clear(self) -> None:
        """
        Forget all of them.
        """
        self._messages.clear()
        self._bytes = 0
