"""
C{diarkis-tw config}: is a configuration right, what can stand in one, and what
does the environment add?
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from twisted.internet.task import Clock

from diarkis_tw.config.document import document
from diarkis_tw.config.environment import SET_PREFIX, VARIABLES, read_environment
from diarkis_tw.config.json_file import shown
from diarkis_tw.config.load import EMBEDDED, FLAT_TYPES, default_settings, load_settings
from diarkis_tw.config.schema import flat_schema, schema
from diarkis_tw.config.section import is_secret
from diarkis_tw.config.settings import SECTIONS, Settings, UdpSettings
from diarkis_tw.errors import ConfigError
from diarkis_tw.net.addresses import bind_address
from diarkis_tw.net.tls import ServerTls

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_SHOWN_LENGTH: Final = 200
"""Characters of a variable's value."""


def add_parser(subparsers: "Subparsers") -> None:
    """
    Add C{config} and its own subcommands to the command line.
    """
    config = subparsers.add_parser("config", help="check and explain configurations")
    commands = config.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "check",
        help="say whether a file is right and what it would start",
        description="Check a configuration together with the DIARKIS_* environment variables, as "
        "at start: the application is imported, too. Nothing is started.",
    )
    command.add_argument(
        "file", metavar="FILE", nargs="?", help="the configuration; without it, the default"
    )
    _add_type(command, "the file is a flat one, with the keys of this one server")
    commands.add_parser("default", help="print the configuration that holds without a file")
    command = commands.add_parser("schema", help="print the JSON Schema of files, for editors")
    _add_type(command, "that of a flat file, with the keys of this one server")
    commands.add_parser("doc", help="print what every key and variable means, as Markdown")
    commands.add_parser("env", help="list the environment variables and what they are set to")


def _add_type(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument(
        "--type", type=str.lower, choices=FLAT_TYPES, metavar="|".join(FLAT_TYPES), help=text
    )


def run(args: argparse.Namespace) -> int:
    """
    Do what the command line says.

    @return: the exit status.
    """
    match args.config_command:
        case "check":
            return check(args.file, args.type, os.environ)
        case "env":
            return show_environment(os.environ)
        case "doc":
            print(document(), end="")
        case "default":
            _print_json(EMBEDDED)
        case "schema":
            _print_json(schema() if args.type is None else flat_schema(args.type.upper()))
    return 0


def check(path: str | None, server_type: str | None, environ: Mapping[str, str]) -> int:
    """
    Check a configuration and print what it would start, or the error.

    @param path: the file; None = the embedded default.
    @return: exit status: 0 if it is right, else 1.
    """
    origin = path or "the embedded default"
    try:
        if path is not None:
            settings = load_settings(path, server_type=server_type, environ=environ)
        elif server_type is not None:
            raise ConfigError("--type says what a flat file is; give the file, too.")
        else:
            settings = default_settings(environ)
        lines = _summary(settings, origin)
        _check_mesh(settings, origin)
        _import_application(settings, origin)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    used = [name for name in environ if name in VARIABLES or name.startswith(SET_PREFIX)]
    if used:
        lines.append(f"from the environment: {', '.join(sorted(used))}")
    print(f"OK: {origin}")
    for line in lines:
        print(line)
    return 0


def _import_application(settings: Settings, origin: str) -> None:
    # Not at the top: no other subcommand of config needs what this loads.
    from diarkis_tw.server.application import find_application

    if settings.app.module:
        try:
            find_application(settings.app.module, settings.app.dir)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from None


def _check_mesh(settings: Settings, origin: str) -> None:
    # Likewise.
    from diarkis_tw.server.mesh_setup import make_mesh

    try:
        make_mesh(Clock(), settings.mesh)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _summary(settings: Settings, origin: str) -> list[str]:
    lines = []
    sections = {**settings.transports(), "HTTP": settings.http}
    for name, section in sections.items():
        if section is None:
            continue
        fixed = section is settings.http and settings.http.use_fixed_port
        tls = ""
        try:
            address = bind_address(section.address, section.nic, section=name)
            if not isinstance(section, UdpSettings) and section.tls_certificate:
                ServerTls(name, section.tls_certificate, section.tls_private_key)
                tls = " with TLS"
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from None
        lines.append(f"{name}{tls}: {address} {_port(section.port, fixed=fixed)}")
    if settings.connector is not None:
        lines.append(f"CONNECTOR: 127.0.0.1 {_port(settings.connector.port, fixed=False)}")
    host = settings.public_host or settings.cloud or settings.node.public_address_url
    lines.append(f"clients connect to: {host or 'as bound'}")
    if settings.http is not None:
        guard = "the client key" if settings.client_key is not None else "nothing"
        lines.append(f"the endpoint API asks for: {guard}")
    if settings.mesh.engine != "local":
        hosts = ", ".join(urlsplit(server).hostname or "" for server in settings.mesh.servers)
        key = "with this key" if settings.mesh.key else "without a key"
        lines.append(f'other nodes: those of "{settings.mesh.app}" {key}, over NATS at {hosts}')
    lines.append(f"application: {settings.app.module or 'none here, see --app'}")
    return lines


def _port(port: int, *, fixed: bool) -> str:
    if port == 0:
        return "any free port"
    return f"port {port}" + ("" if fixed else ", or the next free one above")


def show_environment(environ: Mapping[str, str]) -> int:
    """
    Print every variable with its value, and what is wrong with them.

    @return: exit status: 0 if the server would take them, else 1.
    """
    named = {name: variable.secret for name, variable in VARIABLES.items()}
    keys = dict(_key_variables())
    width = max(map(len, keys))
    print("Variables with a meaning of their own:")
    for name, secret in named.items():
        print(f"    {name:<{width}}  {_value(environ.get(name), secret=secret)}")
    print("Keys of the configuration; these win over its file:")
    for name, secret in keys.items():
        print(f"    {name:<{width}}  {_value(environ.get(name), secret=secret)}")
    ignored = sorted(
        name
        for name in environ
        if name.startswith("DIARKIS_") and name not in named and not name.startswith(SET_PREFIX)
    )
    if ignored:
        print(f"Without a meaning here: {', '.join(ascii(name)[1:-1] for name in ignored)}")
    try:
        read_environment(environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _key_variables() -> Iterator[tuple[str, bool]]:
    """
    The variable of each key, and whether its value is a secret.
    """
    for name, section in SECTIONS.items():
        for field in msgspec.structs.fields(section):
            yield f"{SET_PREFIX}{name}__{field.encode_name}", is_secret(field.type)


def _value(value: str | None, *, secret: bool) -> str:
    if value is None:
        return "-"
    return "set (a secret)" if secret else shown(value, _SHOWN_LENGTH)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))
