"""
One outgoing message, encoded at most once an encoding however many receive it::

    binary    message bytes of TCP, UDP and binary WebSocket; a mapping body
              travels as MessagePack
    json      text of JSON WebSocket, as UTF-8; a bytes body travels as base64
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from diarkis_tw.constants import Builtin, Status
from diarkis_tw.errors import LocalProtocolError
from diarkis_tw.wire.cipher import TAG_SIZE
from diarkis_tw.wire.json_message import encode_json_push, encode_json_response
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
    @ivar frame: what the WebSocket transport has made of L{json}, which is the
        same for all who receive it; L{None} before the first.
    """

    __slots__ = ("_binary", "_json", "body", "cmd", "frame", "request_id", "status", "ver")

    def __init__(
        self, ver: int, cmd: int, body: Body, status: Status | None = None, request_id: int = 0
    ) -> None:
        self.ver = ver
        self.cmd = cmd
        self.body = body
        self.status = status
        self.request_id = request_id
        self._binary: bytes | None = None
        self._json: bytes | None = None
        self.frame: bytes | None = None

    @property
    def binary(self) -> bytes:
        """
        The message of protocol section "Messages", made on first use.

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
            self._binary = _within_limit(binary)
        return binary

    @property
    def json(self) -> bytes:
        """
        The message as JSON, made on first use.

        @raise LocalProtocolError: a number is out of range, the value holds
            something that JSON cannot say, or the message is above
            C{MESSAGE_MAX_BYTES}.
        """
        text = self._json
        if text is None:
            body = self._json_body()
            status = self.status
            if status is None:
                text = encode_json_push(self.ver, self.cmd, body)
            else:
                text = encode_json_response(self.ver, self.cmd, status, self.request_id, body)
            self._json = _within_limit(text)
        return text

    def _json_body(self) -> Body:
        return self.body


class BuiltinPush(Encoded):
    """
    A push of the server itself, with a binary payload that JSON has fields for.
    """

    __slots__ = ("_value",)

    def __init__(self, cmd: Builtin, payload: bytes, value: Mapping[str, object]) -> None:
        """
        @param payload: for binary transports.
        @param value: for JSON.
        """
        super().__init__(0, cmd, payload)
        self._value = value

    def _json_body(self) -> Body:
        return self._value


def _payload(body: Body) -> bytes:
    return encode_value(body) if isinstance(body, Mapping) else bytes(body)


def _within_limit(message: bytes) -> bytes:
    if len(message) > MESSAGE_MAX_BYTES:
        raise LocalProtocolError(
            f"a message of {len(message)} bytes; {MESSAGE_MAX_BYTES} is the most"
        )
    return message
