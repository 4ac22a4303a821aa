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
import shlex
import signal
import sys
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import replace
from inspect import iscoroutine
from pathlib import Path
from typing import Any, cast

from msgspec import structs
from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime
from twisted.python.usage import Options as UsageOptions

from diarkis_tw.config.hosts import is_wildcard
from diarkis_tw.config.load import default_settings, load_settings
from diarkis_tw.config.settings import Settings
from diarkis_tw.errors import ConfigError
from diarkis_tw.net.certificate import names_of
from diarkis_tw.net.steady_time import count_steadily
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.server import Server
from diarkis_tw.server.application import Setup, find_application
from diarkis_tw.server.endpoints import host_port
from diarkis_tw.server.lifecycle import INTERRUPT_DRAIN
from diarkis_tw.server.logs import application_log, use_twist_log


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
        # What is read again later must not depend on where the process is then.
        for name in ("config", "ready-file"):
            if self[name]:
                self[name] = str(Path(self[name]).absolute())
        try:
            self.settings = self.load()
            app = self.settings.app
            if app.module:
                self.setup = find_application(app.module, app.dir)
        except ConfigError as error:
            raise SystemExit(f"diarkis: {error}") from error
        if self.parent_options is not None:
            use_twist_log(self.settings.log, self.parent_options)

    @property
    def parent_options(self) -> MutableMapping[str, Any] | None:
        """
        The options of twistd or twist; L{None} in a tac file.
        """
        return cast("MutableMapping[str, Any] | None", getattr(self, "parent", None))

    def load(self) -> Settings:
        """
        Read the settings, as often as needed.

        @raise ConfigError: they are wrong.
        """
        if self["config"]:
            settings = load_settings(self["config"], server_type=self["type"], environ=os.environ)
        elif self["type"]:
            raise ConfigError("--type says what a flat file is; give the file with --config")
        else:
            settings = default_settings(os.environ)
        app = settings.app
        if self["app"]:
            app = structs.replace(app, module=self["app"])
        if self["app-dir"]:
            app = structs.replace(app, dir=self["app-dir"])
        return replace(settings, app=app)


def makeService(options: Options) -> IService:
    """
    Make the service of one node. Opens no socket and starts no thread: twistd
    calls this before it daemonizes.
    """
    from twisted.internet import reactor

    count_steadily(cast(IReactorTime, reactor))
    try:
        server = Server(cast(IReactorTime, reactor), options.settings)
    except ConfigError as error:  # a file of the section mesh
        raise SystemExit(f"diarkis: {error}") from error
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
        service.on_online.append(
            lambda: write_ready_file(ready_file, server.bound_addresses(), server.tls())
        )
    if options["banner"]:
        program = options["banner"]
        service.on_online.append(
            lambda: _show(banner(program, server.bound_addresses(), server.tls()))
        )
    log = application_log(options.settings.log, options.parent_options)
    if log is not None:
        service.log_observer = log.observer
        core.callWhenRunning(log.rotate_on_signal, cast(IReactorFromThreads, reactor))
    set_level = None if log is None else log.set_level
    on_terminal = _is_terminal(0)

    def hung_up() -> None:
        if on_terminal and not _is_terminal(0):
            # The same signal says that the window was closed: that is ^C for good.
            service.terminate(INTERRUPT_DRAIN)
        else:
            server.reload(options.load, set_level)

    service.on_hangup = hung_up
    core.callWhenRunning(service.reactor_runs)
    core.callWhenRunning(atexit.register, _ignore_signals)
    return cast(IService, service)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def write_ready_file(
    path: Path, addresses: dict[str, tuple[str, int]], tls: Collection[str] = ()
) -> None:
    """
    Write the addresses really bound, so that whoever waits for the file never
    reads half of it.

    @param tls: names of those that speak TLS.
    """
    content: dict[str, object] = {
        name: {"host": host, "port": port} | ({"tls": True} if name in tls else {})
        for name, (host, port) in addresses.items()
    }
    content["pid"] = os.getpid()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)


def banner(
    program: str, addresses: dict[str, tuple[str, int]], tls: Mapping[str, ServerTls] | None = None
) -> str:
    """
    Tell a person where the server is and what to type next.

    @param program: the command line's own name.
    @param tls: certificates by section.
    """
    tls = tls or {}
    connector = addresses.get("CONNECTOR")
    state = "ONLINE" if connector is None else "OFFLINE until the external server is ready"
    lines = ["", f"diarkis_tw is {state}"]
    for name, (host, port) in addresses.items():
        scheme = _scheme(tls) if name == "HTTP" else ""
        lines.append(
            f"    {name:<5} {scheme}{host_port(host, port)}"
            + (" (TLS)" if name in tls and not scheme else "")
        )
    if connector is not None:
        url = f"http://{host_port(*connector)}/connector/v1/"
        lines += ["Next, in another terminal: your server, which calls", f"    {url}"]
    elif "HTTP" in addresses:
        host, port = addresses["HTTP"]
        kind = next((name for name in addresses if name != "HTTP"), "TCP")
        host = "127.0.0.1" if is_wildcard(host) else host
        if "HTTP" in tls:
            host = _certified(host, names_of(tls["HTTP"].pair.certificate))
        url = f"{_scheme(tls)}{host_port(host, port)}"
        command = f"{program} client --type {kind.lower()} --uid alice --url {url}"
        own = next((tls[name] for name in ("HTTP", kind) if name in tls), None)
        if own is not None and own.pair.is_self_signed:
            command += f" --ca {shlex.quote(own.certificate_file)}"
        lines += ["Next, in another terminal:", f"    {command}"]
    return "\n".join([*lines, "Control-C stops it.", ""])


def _certified(host: str, names: list[str]) -> str:
    if host in names:
        return host
    return next((name for name in names if "*" not in name), host)


def _scheme(tls: Collection[str]) -> str:
    return "https://" if "HTTP" in tls else "http://"


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


def _ignore_signals() -> None:
    """
    Nothing is left to end: a signal from here on, when Python takes its modules
    apart and puts the default handlers back, would only change the status.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
