"""
The application that runs when none is named: an echo and a push, enough to see
that a client works, and the built-in commands by which players meet::

    ver 2 cmd 10   answers with the payload
    ver 2 cmd 11   pushes the payload back, as ver 2 cmd 11
    ver 1          rooms and direct messages

Over JSON WebSocket the payload is a mapping, else it is bytes.
"""

from collections.abc import Mapping

from diarkis_tw.server import Server, User

Payload = bytes | Mapping[str, object]


def setup(server: Server) -> None:
    """
    Register the demo's commands.
    """
    server.rooms.expose_commands()
    server.dm.expose_commands()
    server.handle_command(2, 10, echo)
    server.handle_command(2, 11, push)
    server.handle_ws_command(2, 10, echo)
    server.handle_ws_command(2, 11, push)


def echo(ver: int, cmd: int, payload: Payload, user: User) -> Payload:
    """
    Answer with what came.
    """
    return payload


def push(ver: int, cmd: int, payload: Payload, user: User) -> None:
    """
    Push what came back to its sender.
    """
    user.server_push(ver, cmd, payload)
