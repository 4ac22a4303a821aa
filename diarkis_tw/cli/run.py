"""
C{diarkis-tw run}: the server in the foreground of a terminal.

It is C{twistd -n --pidfile= diarkis --banner=PROGRAM} in this process. No pid
file, so that several can run from one directory.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

OPTIONS: Final = {
    "config": ("FILE", "JSON file of settings; without it, the demo on loopback"),
    "app": ("MODULE", "module with setup(server), or the dotted name of a callable"),
    "app-dir": ("DIR", "directory in which the application is looked for"),
    "type": ("TYPE", "kind of server that a flat settings file describes"),
    "ready-file": ("PATH", "write the bound addresses there, as JSON, once online"),
}
"""The options of C{twistd diarkis}, without its C{--banner}."""


def add_parser(subparsers: "Subparsers") -> None:
    """
    Declare the options of this subcommand.

    @param subparsers: where to add the parser.
    """
    parser = subparsers.add_parser(
        "run",
        help="start the server in the foreground",
        description="Start the server in the foreground. Control-C ends it.",
    )
    for name, (metavar, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)


def name_to_type(script: str) -> str:
    """
    What a person types to run this command line once more: its bare name if the
    shell finds it by that, else the path it was called by.

    @param script: the path of this process's script.
    """
    name = Path(script).name
    found = shutil.which(name)
    return name if found and Path(found).absolute() == Path(script).absolute() else script


def twistd_arguments(args: argparse.Namespace, program: str) -> list[str]:
    """
    Translate to C{twistd}'s command line.

    @param args: what the parser made.
    @param program: the name of this command line, for the banner.
    @return: the arguments, the program's name first.
    """
    arguments = ["twistd", "-n", "--pidfile=", "diarkis", f"--banner={program}"]
    for name in OPTIONS:
        value = getattr(args, name.replace("-", "_"))
        if value is not None:
            arguments.append(f"--{name}={value}")
    return arguments


def run(args: argparse.Namespace) -> int:
    """
    Run the server until it is told to end.

    @param args: what the parser made.
    @return: the exit status; C{twistd} itself exits when starting fails.
    """
    # Not at the top: no other subcommand needs what this loads.
    from twisted.scripts import twistd

    sys.argv = twistd_arguments(args, name_to_type(sys.argv[0]))
    twistd.run()
    return 0
