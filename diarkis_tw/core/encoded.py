"""
One outgoing message, encoded at most once an encoding however many receive it::

    binary    message bytes of TCP, UDP and binary WebSocket; a mapping body
              travels as MessagePack
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from diarkis_tw.constants import Status
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.cipher import TAG_SIZE
from diarkis_tw.wire.message import encode_push, encode_response
from diarkis_tw.wire.value import encode_value

Body: TypeAlias = bytes | Mapping[str, object]
"""The payload of a command: bytes, or a value."""

MESSAGE_MAX_BYTES: Final = 1024 * 1024 - TAG_SIZE
"""Largest message: sealed, it is the largest record that a client takes."""


class Encoded:
    """
    A push or response on its way to any number of connections.

    @ivar status: L{None} for a push.
    """

    __slots__ = ("_binary", "body", "cmd", "request_id", "status", "ver")

    def __init__(
        self, ver: int, cmd: int, body: Body, status: Status | None = None, request_id: int = 0
    ) -> None:
        self.ver = ver
        self.cmd = cmd
        self.body = body
        self.status = status
        self.request_id = request_id
        self._binary: bytes | None = None

    @property
    def binary(self) -> bytes:
        """
        The message of protocol section 5, made on first use.

        @raise LocalProtocolError: a number is out of range, the value holds
            something that MessagePack cannot say, or the message is above
            C{MESSAGE_MAX_BYTES}.
        """
        binary = self._binary
        if binary is None:
            body = self.body
            payload = body if type(body) is bytes else _payload(body)
            status = self.status
            if status is None:
                binary = encode_push(self.ver, self.cmd, payload)
            else:
                binary = encode_response(self.ver, self.cmd, status, self.request_id, payload)
            if len(binary) > MESSAGE_MAX_BYTES:
                raise LocalProtocolError(
                    f"a message of {len(binary)} bytes; {MESSAGE_MAX_BYTES} is the most"
                )
            self._binary = binary
        return binary


def _payload(body: Body) -> bytes:
    return encode_value(body) if isinstance(body, Mapping) else bytes(body)
