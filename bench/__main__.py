"""
The command line: C{python -m bench [echo|notification|micro] [options]}.
"""

import argparse
import sys
from collections.abc import Sequence

from bench import echo, micro, notification


def parser() -> argparse.ArgumentParser:
    """
    Describe the options.
    """
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = top.add_subparsers(dest="kind", required=True)
    echo.add_options(kinds.add_parser("echo", help="a server process against the bare Twisted one"))
    notification.add_options(kinds.add_parser("notification", help="one to all users"))
    micro.add_options(kinds.add_parser("micro", help="one connection without sockets"))
    return top


def main(arguments: Sequence[str]) -> int:
    """
    Run what is asked for; C{echo} if nothing is.

    @return: the exit status.
    """
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["echo", *arguments]
    options = parser().parse_args(arguments)
    {"echo": echo.run, "notification": notification.run, "micro": micro.run}[options.kind](options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
