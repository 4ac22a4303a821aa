"""
The application that runs when none is named: an echo and a push, enough to see
that a client works::

    ver 2 cmd 10   answers with the payload
    ver 2 cmd 11   pushes the payload back, as ver 2 cmd 11
"""

from diarkis_tw.server import Server, User


def setup(server: Server) -> None:
    """
    Register the demo's commands.
    """
    server.handle_command(2, 10, echo)
    server.handle_command(2, 11, push)


def echo(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
    """
    Answer with what came.
    """
    return payload


def push(ver: int, cmd: int, payload: bytes, user: User) -> None:
    """
    Push what came back to its sender.
    """
    user.server_push(ver, cmd, payload)
