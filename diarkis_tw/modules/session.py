"""
The built-in commands that every session has: keep-alive and ping.

fin (ver 0 cmd 0) is not here: it passes by the queue, see
L{diarkis_tw.core.inbox}.
"""

from collections.abc import Callable, Mapping

from diarkis_tw.constants import NODE_STATE_BYTE, Builtin, ErrorCode, NodeState, ServerType
from diarkis_tw.core.encoded import Body
from diarkis_tw.core.node import Node
from diarkis_tw.core.registry import CommandRegistry
from diarkis_tw.core.user import User
from diarkis_tw.errors import CommandError, RemoteProtocolError
from diarkis_tw.wire.keep_alive import (
    decode_keep_alive_request,
    encode_keep_alive_response,
    keep_alive_response_value,
    read_keep_alive_request,
)


class SessionCommands:
    """
    Keep-alive (ver 0 cmd 1) and ping (ver 0 cmd 3), binary and as JSON.
    """

    def __init__(
        self, registry: CommandRegistry, node: Node, is_p2p: Callable[[], bool] = lambda: False
    ) -> None:
        """
        @param is_p2p: whether UDP clients are told their public address.
        """
        self._node = node
        self._is_p2p = is_p2p
        registry.handle_builtin(0, Builtin.KEEP_ALIVE, self._keep_alive)
        registry.handle_builtin(0, Builtin.PING, self._ping)
        registry.handle_ws_builtin(0, Builtin.KEEP_ALIVE, self._keep_alive_value)
        registry.handle_ws_builtin(0, Builtin.PING, self._ping_value)

    def _keep_alive(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        try:
            time, round_trip = decode_keep_alive_request(payload)
        except RemoteProtocolError as error:
            raise CommandError(ErrorCode.INVALID_PARAMETERS, str(error)) from None
        if round_trip is not None:
            user.latency = round_trip
        address = user.address if user.transport is ServerType.UDP and self._is_p2p() else None
        return encode_keep_alive_response(time, self._state(), address or "")

    def _keep_alive_value(
        self, ver: int, cmd: int, payload: Mapping[str, object], user: User
    ) -> Mapping[str, object]:
        try:
            time, round_trip = read_keep_alive_request(payload)
        except RemoteProtocolError as error:
            raise CommandError(ErrorCode.INVALID_PARAMETERS, str(error)) from None
        if round_trip is not None:
            user.latency = round_trip
        return keep_alive_response_value(time, self._state(), "")

    def _state(self) -> int:
        return NODE_STATE_BYTE.get(self._node.state, NODE_STATE_BYTE[NodeState.OFFLINE])

    def _ping(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes:
        return payload

    def _ping_value(self, ver: int, cmd: int, payload: Mapping[str, object], user: User) -> Body:
        return payload or b""
