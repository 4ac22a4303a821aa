"""
What hooks and handlers add to an echo: the same echo over the same connection,
with a hook before it and a handler more, in both forms of the Go doc.
"""

from collections.abc import Callable
from typing import Final

from bench.micro_tcp import EchoServer
from diarkis_tw import demo
from diarkis_tw.server import Server, User

Next = Callable[[], None]

HANDLER_ADDED: Final = "a hook and a second handler"
NEXT_ADDED: Final = "the same, all three with next_"


class DispatchServers:
    """
    Three servers that differ in what runs for an echo.
    """

    def __init__(self, players: int) -> None:
        self._bare = EchoServer(players)
        self._more = {
            HANDLER_ADDED: EchoServer(players, _returning),
            NEXT_ADDED: EchoServer(players, _with_next),
        }

    def above(self, count: int) -> dict[str, float]:
        """
        Run one round of each in turn.

        @param count: echoes of each player.
        @return: microseconds of CPU above the bare echo, by what was added.
        """
        bare = self._bare.echoes(count)
        return {name: server.echoes(count) - bare for name, server in self._more.items()}


def _returning(server: Server) -> None:
    def hook(user: User) -> None:
        pass

    def first(ver: int, cmd: int, payload: bytes, user: User) -> None:
        pass

    server.hook_all_commands(hook)
    server.handle_command(2, 10, first)
    demo.setup(server)


def _with_next(server: Server) -> None:
    def hook(user: User, next_: Next) -> None:
        next_()

    def first(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> None:
        next_()

    def second(ver: int, cmd: int, payload: bytes, user: User, next_: Next) -> bytes:
        next_()
        return payload

    server.hook_all_commands(hook)
    server.handle_command(2, 10, first)
    server.handle_command(2, 10, second)
