"""
The command line: C{python -m bench [echo|rooms|mesh|directory|notification|micro] [options]}.
"""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from bench import directory, echo, mesh, micro, notification, rooms

KINDS: Final[dict[str, ModuleType]] = {
    "echo": echo,
    "rooms": rooms,
    "mesh": mesh,
    "directory": directory,
    "notification": notification,
    "micro": micro,
}


def parser() -> argparse.ArgumentParser:
    """
    Describe the options.
    """
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = top.add_subparsers(dest="kind", required=True)
    echo.add_options(kinds.add_parser("echo", help="a server process against the bare Twisted one"))
    notification.add_options(kinds.add_parser("notification", help="one to all users"))
    rooms.add_options(kinds.add_parser("rooms", help="members of rooms against a bare relay"))
    mesh.add_options(kinds.add_parser("mesh", help="several nodes and a NATS server"))
    directory.add_options(kinds.add_parser("directory", help="two ways to find a user's node"))
    micro.add_options(kinds.add_parser("micro", help="one connection without sockets"))
    return top


def main(arguments: Sequence[str]) -> int:
    """
    Run what is asked for: C{echo} if there are only options, C{echo}, C{rooms}
    and C{mesh} if there is nothing.

    @return: the exit status.
    """
    if not arguments:
        return main(["echo"]) or main(["rooms"]) or main(["mesh"])
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"):
        arguments = ["echo", *arguments]
    options = parser().parse_args(arguments)
    KINDS[options.kind].run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
