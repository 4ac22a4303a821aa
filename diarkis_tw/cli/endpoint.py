"""
C{diarkis-tw endpoint}: what a server started here would tell its clients, and how it
comes to know. Nothing is bound or announced.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.task import react
from twisted.python.failure import Failure

from diarkis_tw.cloud.metadata import Exchange
from diarkis_tw.cloud.sources import WHAT_IS_MY_IP, Source, what_is_my_ip
from diarkis_tw.config.environment import CLOUDS
from diarkis_tw.config.load import FLAT_TYPES, default_settings, load_settings
from diarkis_tw.config.settings import Settings
from diarkis_tw.errors import ConfigError, DiarkisError
from diarkis_tw.net.addresses import bind_address
from diarkis_tw.server.public_address import chosen_source, doubts, look_up
from diarkis_tw.units import milliseconds

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: "Subparsers") -> None:
    """
    Declare the options of this subcommand.

    @param subparsers: where to add the parser.
    """
    parser = subparsers.add_parser(
        "endpoint",
        help="say what address clients would be told here, and why",
        description="Look the public address up as a server does at start, and show each request. "
        "Nothing is started. Exits with 1 if a server would not find its address.",
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the configuration; without it, the default"
    )
    parser.add_argument(
        "--type",
        type=str.lower,
        choices=FLAT_TYPES,
        metavar="|".join(FLAT_TYPES),
        help="the file is a flat one, with the keys of this one server",
    )
    parser.add_argument(
        "--cloud",
        metavar="NAME",
        help=f"use this instead of DIARKIS_CLOUD_ENV: {', '.join(CLOUDS)}, or a host",
    )
    parser.add_argument(
        "--generic",
        action="store_true",
        help="ask the service at node.publicAddressUrl, which no dry run does otherwise; without "
        f"that key {WHAT_IS_MY_IP}",
    )


def run(args: argparse.Namespace) -> int:
    """
    Do what the command line says.

    @param args: what the parser made.
    @return: the exit status.
    @raise DiarkisError: no address was found, or the configuration is wrong.
    """
    from twisted.internet import reactor  # noqa: TID251 - where the reactor enters

    settings = read_settings(args.file, args.type, args.cloud, os.environ)
    outcome: list[object] = []

    def work(reactor: object) -> Deferred[None]:
        working = Deferred.fromCoroutine(dry_run(reactor, settings, args.generic, print))
        return working.addBoth(outcome.append)

    with suppress(SystemExit):  # it always raises this
        react(work, (), reactor)
    match outcome:
        case [None]:
            return 0
        case [Failure() as failure] if failure.check(DiarkisError):
            sys.stdout.flush()
            failure.raiseException()
        case [Failure() as failure]:
            failure.printTraceback()
    return 1  # ^C


def read_settings(
    path: str | None, server_type: str | None, cloud: str | None, environ: Mapping[str, str]
) -> Settings:
    """
    Read the configuration as a server would.

    @param path: the file; L{None} = the embedded default.
    @param cloud: in place of C{DIARKIS_CLOUD_ENV}; L{None} = that one.
    @raise ConfigError: it is wrong.
    """
    if cloud is not None:
        environ = {**environ, "DIARKIS_CLOUD_ENV": cloud}
    if path is not None:
        return load_settings(path, server_type=server_type, environ=environ)
    if server_type is not None:
        raise ConfigError("--type says what a flat file is; give the file, too")
    return default_settings(environ)


async def dry_run(
    reactor: object, settings: Settings, generic: bool, out: Callable[[str], object]
) -> None:
    """
    Find out what would be announced, and say it.

    @param reactor: does everything.
    @param generic: ask what answers with this machine's address.
    @param out: prints a line.
    @raise DiarkisError: no address was found.
    """
    if settings.metadata_base is not None:
        out(f"DIARKIS_METADATA_BASE: {settings.metadata_base} is asked instead of the cloud")
    url = settings.node.public_address_url
    source = what_is_my_ip(url) if generic else chosen_source(settings)
    host = settings.public_host
    if source is None:
        out(f"{_variable(settings)}: nobody is asked")
    elif source.name in CLOUDS or generic:
        host = await _ask(reactor, source, settings, out)
    else:
        out(f"node.publicAddressUrl: {url} would be asked, and is with --generic")
        host = "what it answers"
    bound = {
        name: bind_address(section.address, section.nic, section=name)
        for name, section in settings.transports().items()
    }
    out("Clients would be told:" if bound else "There is nothing that clients connect to.")
    for name, section in settings.transports().items():
        port = f"port {section.port}, or the next free one above" if section.port else "any port"
        out(f"    {name:<3} {host or bound[name]} {port}")
    for problem in doubts(host, bound.values()) if host is not None else ():
        out(f"But {problem}.")


def _variable(settings: Settings) -> str:
    if settings.public_host is None:
        return "DIARKIS_CLOUD_ENV is not set"
    return f"DIARKIS_CLOUD_ENV={settings.public_host}"


async def _ask(
    reactor: object, source: Source, settings: Settings, out: Callable[[str], object]
) -> str:
    def show(exchange: Exchange) -> None:
        out(
            f"    {exchange.method} {exchange.url}: {exchange.outcome} "
            f"({milliseconds(exchange.duration)} ms)"
        )

    out(f"{source.name} is asked:")
    found = await look_up(source, settings, IReactorTCP(reactor), IReactorTime(reactor), show)
    out(f"The public address is {found.host} ({found.origin}).")
    return found.host
