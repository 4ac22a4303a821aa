"""
C{twistd diarkis}: options, and the one place where the reactor comes in.

For a tac file::

    options = Options()
    options.parseOptions(["--config", path])
    makeService(options).setServiceParent(application)
"""

import atexit
import json
import os
import sys
from collections.abc import MutableMapping
from dataclasses import replace
from inspect import iscoroutine
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.python.usage import Options as UsageOptions

from diarkis_tw.config.hosts import is_wildcard
from diarkis_tw.config.load import default_settings, load_settings
from diarkis_tw.config.settings import Settings
from diarkis_tw.errors import ConfigError
from diarkis_tw.server import Server
from diarkis_tw.server.application import Setup, find_application
from diarkis_tw.server.endpoints import host_port
from diarkis_tw.server.logs import application_observer, use_twist_log


class Options(UsageOptions):
    """
    Options of the subcommand. Whatever is wrong ends the process with status 1
    and one sentence, before anything has started.

    @ivar settings: what the file, the environment and the options say.
    """

    synopsis = "[options]"
    longdesc = "A realtime game server. Without --config and --app it serves its demo on loopback."
    optParameters = [
        ["config", None, None, "JSON file of settings."],
        ["app", None, None, "Module with setup(server), or the dotted name of a callable."],
        ["app-dir", None, None, "Directory in which the application is looked for."],
        ["type", None, None, "Kind of server that a flat settings file describes: tcp, http, ..."],
        ["ready-file", None, None, "Write the bound addresses there, as JSON, once online."],
        ["banner", None, None, "Print addresses and the next command; the program to name in it."],
    ]

    settings: Settings
    setup: Setup | None = None

    def postOptions(self) -> None:
        try:
            self.settings = self._load()
            app = self.settings.app
            if app.module:
                self.setup = find_application(app.module, app.dir)
        except ConfigError as error:
            raise SystemExit(f"diarkis: {error}") from error
        if self["ready-file"]:
            self["ready-file"] = str(Path(self["ready-file"]).absolute())
        if self.parent_options is not None:
            use_twist_log(self.settings.log, self.parent_options)

    @property
    def parent_options(self) -> MutableMapping[str, Any] | None:
        """
        The options of twistd or twist; L{None} in a tac file.
        """
        return cast("MutableMapping[str, Any] | None", getattr(self, "parent", None))

    def _load(self) -> Settings:
        if self["config"]:
            settings = load_settings(
                Path(self["config"]).absolute(), server_type=self["type"], environ=os.environ
            )
        elif self["type"]:
            raise ConfigError("--type says what a flat file is; give the file with --config")
        else:
            settings = default_settings(os.environ)
        app = settings.app
        if self["app"]:
            app = type(app)(module=self["app"])
        if self["app-dir"]:
            app = type(app)(module=app.module, dir=self["app-dir"])
        return replace(settings, app=app)


def makeService(options: Options) -> IService:
    """
    Make the service of one node. Opens no socket and starts no thread: twistd
    calls this before it daemonizes.
    """
    from twisted.internet import reactor

    server = Server(cast(IReactorTime, reactor), options.settings)
    service = server.service()
    core = cast(IReactorCore, reactor)
    service.stop_process = lambda status: _stop(core, status)
    if options.setup is not None:
        left = options.setup(server)
        if iscoroutine(left):
            left.close()
            raise SystemExit(
                f"diarkis: app {options.settings.app.module}: its setup is asynchronous, and "
                "nothing would wait for it. Make it a plain function; on_start callbacks may be "
                "asynchronous."
            )
    if options["ready-file"]:
        ready_file = Path(options["ready-file"])
        service.on_online.append(lambda: write_ready_file(ready_file, server.bound_addresses()))
    if options["banner"]:
        program = options["banner"]
        service.on_online.append(lambda: _show(banner(program, server.bound_addresses())))
    service.log_observer = application_observer(options.settings.log, options.parent_options)
    core.callWhenRunning(service.reactor_runs)
    return cast(IService, service)


def write_ready_file(path: Path, addresses: dict[str, tuple[str, int]]) -> None:
    """
    Write the addresses really bound, so that whoever waits for the file never
    reads half of it.
    """
    content: dict[str, object] = {
        name: {"host": host, "port": port} for name, (host, port) in addresses.items()
    }
    content["pid"] = os.getpid()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)


def banner(program: str, addresses: dict[str, tuple[str, int]]) -> str:
    """
    Tell a person where the server is and what to type next.

    @param program: the command line's own name.
    """
    lines = ["", "diarkis_tw is ONLINE"]
    for name, (host, port) in addresses.items():
        scheme = "http://" if name == "HTTP" else ""
        lines.append(f"    {name:<5} {scheme}{host_port(host, port)}")
    if "HTTP" in addresses:
        host, port = addresses["HTTP"]
        kind = next((name for name in addresses if name != "HTTP"), "TCP").lower()
        url = f"http://{host_port('127.0.0.1' if is_wildcard(host) else host, port)}"
        lines += [
            "Next, in another terminal:",
            f"    {program} client --type {kind} --uid alice --url {url}",
        ]
    return "\n".join([*lines, "Control-C stops it.", ""])


def _show(text: str) -> None:
    # twistd has made sys.stdout a log by now
    print(text, file=sys.__stdout__, flush=True)


def _stop(reactor: IReactorCore, status: int) -> None:
    if status:
        # twistd and twist end with status 0 whenever the reactor was stopped
        # (twisted.application.app, Twisted 26.10); this runs after their clean-up.
        atexit.register(_exit, status)
    if getattr(reactor, "running", False):
        try:
            reactor.stop()
        except ReactorNotRunning:  # it is stopping already, and some service does not end
            reactor.crash()


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
