"""
The C{diarkis-tw} command: finds the subcommand and hands over.

A subcommand is a module of the shape of L{Subcommand}.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol

from diarkis_tw.cli import broker, client, config, endpoint, run
from diarkis_tw.errors import DiarkisError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


class Subcommand(Protocol):
    """
    What the module of a subcommand offers.
    """

    def add_parser(self, subparsers: "Subparsers") -> None:
        """
        Declare the options.
        """

    def run(self, args: argparse.Namespace) -> int:
        """
        Do it.

        @return: the exit status.
        """


SUBCOMMANDS: Final[dict[str, Subcommand]] = {
    "run": run,
    "client": client,
    "config": config,
    "endpoint": endpoint,
    "broker": broker,
}
"""By the name on the command line, which is also the name of its parser."""


def build_parser() -> argparse.ArgumentParser:
    """
    Build the parser of the whole command line.

    @return: a parser whose result has C{subcommand}, a key of L{SUBCOMMANDS}.
    """
    parser = argparse.ArgumentParser(
        prog="diarkis-tw",
        description="An open realtime game server, and what one needs to try it.",
        epilog="As a daemon, or with other reactors and log files: twistd diarkis --help",
    )
    parser.add_argument(
        "--version", action="version", version=f"diarkis-tw {version('diarkis_tw')}"
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for subcommand in SUBCOMMANDS.values():
        subcommand.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one subcommand; an error that is part of a contract becomes one sentence
    on standard error.

    @param argv: the arguments without the program's name; those of the process
        if None.
    @return: the exit status.
    """
    args = build_parser().parse_args(argv)
    try:
        status = SUBCOMMANDS[args.subcommand].run(args)
        sys.stdout.flush()
        return status
    except DiarkisError as error:
        print(f"diarkis-tw {args.subcommand}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # a reader such as head has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
