"""
C{diarkis-tw config check FILE}: is this configuration right, and what would it
start?
"""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from diarkis_tw.config.load import FLAT_TYPES, load_settings
from diarkis_tw.config.settings import Settings
from diarkis_tw.errors import ConfigError
from diarkis_tw.net.addresses import bind_address

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: "Subparsers") -> None:
    """
    Add C{config} and its own subcommands to the command line.
    """
    config = subparsers.add_parser("config", help="work with configuration files")
    commands = config.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "check",
        help="say whether a file is right and what it would start",
        description="Check a configuration file together with the DIARKIS_* environment "
        "variables. Nothing is started.",
    )
    command.add_argument("file", metavar="FILE", help="the configuration, JSON")
    command.add_argument(
        "--type",
        metavar="|".join(FLAT_TYPES),
        help="the file is a flat one, the keys of this one server",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """
    Do what the command line says.

    @return: the exit status.
    """
    return check(args.file, args.type, os.environ)


def check(path: str, server_type: str | None, environ: Mapping[str, str]) -> int:
    """
    Check a file and print what it would start, or the error.

    @return: exit status: 0 if it is right, else 1.
    """
    try:
        settings = load_settings(path, server_type=server_type, environ=environ)
        lines = _summary(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print("OK")
    for line in lines:
        print(line)
    return 0


def _summary(settings: Settings) -> list[str]:
    lines = []
    sections = {**settings.transports(), "HTTP": settings.http}
    for name, section in sections.items():
        if section is None:
            continue
        fixed = section is settings.http and settings.http.use_fixed_port
        address = bind_address(section.address, section.nic, section=name)
        lines.append(f"{name}: {address} {_port(section.port, fixed=fixed)}")
    if settings.connector is not None:
        lines.append(f"CONNECTOR: 127.0.0.1 {_port(settings.connector.port, fixed=False)}")
    lines.append(f"clients connect to: {settings.public_host or settings.cloud or 'as bound'}")
    lines.append(f"application: {settings.app.module or 'none here, see --app'}")
    return lines


def _port(port: int, *, fixed: bool) -> str:
    if port == 0:
        return "any free port"
    return f"port {port}" + ("" if fixed else ", or the next free one above")
