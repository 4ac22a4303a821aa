"""
Runs the blocks of a Markdown document as its reader would, top to bottom, in
one empty folder.

What the info string of a fenced block says:

    python file=PATH      write the block to that file (any language)
    console               run the lines after C{$}; the lines below each are
                          what it must print, "..." standing for anything;
                          "> FILE" at the end writes that to a file instead
    console server        start it in the background and wait until it is
                          ONLINE; an earlier server of the document ends first
    console terminals     start each in the background, a broker or a node of a mesh,
                          besides what runs already; the next server ends them
    console dry-run       only ask make what it would do
    anything else         not run

Ports: servers bind port 0, and wherever the document says 7000, 7200 or 9000 the
port really bound is put in, and taken out of the output again. A broker gets a free
one, and nodes are told of it. C{configs/} is there to be used.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.mesh.nats_server import free_port

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 20
"""Seconds for one command, and for a server to be ONLINE."""

SERVED = ("TCP", "HTTP", "UDP", "WS")
"""The sections of a server, unless its configuration is that of a connector."""

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Block:
    """
    One fenced block.
    """

    info: str
    text: str

    @property
    def file(self) -> str | None:
        """
        The file it is to be written to.
        """
        found = re.search(r"\bfile=(\S+)", self.info)
        return found.group(1) if found else None

    def commands(self) -> Iterator[tuple[str, str]]:
        """
        Each command with the output it must have.
        """
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(document: Path) -> list[Block]:
    """
    The fenced blocks of a document.
    """
    return [Block(info.strip(), text) for info, text in FENCE.findall(document.read_text())]


def matches(expected: str, found: str) -> bool:
    """
    Whether C{found} is C{expected}, with "..." standing for anything.
    """
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None


class DocumentRun:
    """
    One document on its way through a folder.

    @ivar ran: how many blocks were written or run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True)
        self._ready = self._folder / "ready.json"
        self._server: subprocess.Popen[bytes] | None = None
        self._terminals: list[subprocess.Popen[bytes]] = []
        self._broker: dict[str, str] = {}
        self._ports: Mapping[str, str] = {}
        self.ran = 0

    def run(self, document: Path) -> None:
        """
        Run all blocks.

        @raise AssertionError: one of them does not do what the document says.
        """
        try:
            for block in blocks(document):
                self._run(block)
        finally:
            self._stop_server()

    def _run(self, block: Block) -> None:
        kind = block.info.split()
        if block.file is not None:
            path = self._folder / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(self._with_real_ports(block.text))
        elif kind[:2] == ["console", "server"]:
            for command, _ in block.commands():
                self._start_server(command)
        elif kind[:2] == ["console", "terminals"]:
            for command, _ in block.commands():
                self._start_terminal(command)
        elif kind[:2] == ["console", "dry-run"]:
            for command, _ in block.commands():
                self._check_dry_run(command)
        elif kind[:1] == ["console"]:
            for command, output in block.commands():
                self._check(command, output)
        else:
            return
        self.ran += 1

    def _environment(self, sections: Iterable[str] = SERVED) -> dict[str, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DIARKIS_")}
        for section in sections:
            environ[f"DIARKIS_SET_{section}__port"] = "0"
        return environ | {
            "PYTHONPATH": os.pathsep.join([str(self._folder), str(ROOT)]),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def _arguments(self, command: str) -> list[str]:
        arguments = shlex.split(self._with_real_ports(command))
        for index, argument in enumerate(arguments):
            if argument.startswith(".venv/bin/"):
                arguments[index] = str(Path(sys.executable).with_name(Path(argument).name))
        if arguments[1:2] == ["client"] and "--url" not in arguments:
            arguments += ["--url", f"http://127.0.0.1:{self._ports['7000']}"]
        return arguments

    def _check(self, command: str, expected: str) -> None:
        command_line, _, file = command.partition(" > ")
        done = subprocess.run(
            self._arguments(command_line),
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            text=True,
            check=False,
        )
        found = self._with_document_ports(done.stdout)
        if file and done.returncode == 0:
            (self._folder / file).write_text(found)
            found = ""
        if done.returncode != 0 or not matches(expected, found):
            raise AssertionError(f"$ {command}\nstatus {done.returncode}, printed:\n{found}")

    def _check_dry_run(self, command: str) -> None:
        arguments = shlex.split(command)
        done = subprocess.run(
            [arguments[0], "-n", *arguments[1:]],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not re.search("trial.*pytest", done.stdout, re.DOTALL):
            raise AssertionError(f"$ {command} would do:\n{done.stdout}{done.stderr}")

    def _start_server(self, command: str) -> None:
        self._stop_server()
        arguments = self._arguments(command)
        folder = self._folder
        environ = self._environment()
        if "--config" in arguments:
            config = json.loads((folder / arguments[arguments.index("--config") + 1]).read_text())
            if "CONNECTOR" in config:
                environ = self._environment(("CONNECTOR", "HTTP"))
        if arguments[0] == "make":
            if not (ROOT / ".venv").exists():
                raise SkipTest("make would set up .venv, which is not here")
            folder = ROOT
            arguments.append(f"ARGS=--ready-file={self._ready}")
        elif "diarkis" in arguments:
            arguments.append(f"--ready-file={self._ready}")
        else:  # a tac file: it has no such option, so its log says what it has bound
            self._start_tac(arguments, environ)
            return
        self._server = self._popen(arguments, folder, environ)
        self._wait(self._ready.exists)
        bound = json.loads(self._ready.read_text())
        written = {"HTTP": "7000", "TCP": "7200", "CONNECTOR": "9000"}
        self._ports = {written[name]: str(bound[name]["port"]) for name in written if name in bound}

    def _start_tac(self, arguments: list[str], environ: dict[str, str]) -> None:
        self._server = self._popen(arguments, self._folder, environ)
        log = self._log()
        self._wait(lambda: "node is ONLINE" in log.read_text())
        http = re.search(r"JsonSite starting on (\d+)", log.read_text())
        assert http is not None, log.read_text()
        self._ports = {"7000": http.group(1), "7200": "0"}

    def _start_terminal(self, command: str) -> None:
        configs = self._folder / "configs"
        if not configs.exists():
            configs.symlink_to(ROOT / "configs")
        arguments = self._arguments(command)
        ready = self._folder / f"ready-{len(self._terminals)}.json"
        environ = self._environment(()) | self._broker
        if "broker" in arguments:
            port = str(free_port())
            self._broker = {"DIARKIS_SET_mesh__servers": f'["nats://127.0.0.1:{port}"]'}
            arguments += ["--port", port]
            sign = "Server is ready"
        else:
            config = json.loads(
                (self._folder / arguments[arguments.index("--config") + 1]).read_text()
            )
            environ = self._environment(set(SERVED) & set(config)) | self._broker
            arguments += ["--ready-file", str(ready)]
            sign = "mesh: connected"
        log = ready.with_suffix(".log")
        process = self._popen(arguments, self._folder, environ, log)
        self._terminals.append(process)
        self._wait(lambda: sign in log.read_text(), process, log)
        if ready.exists() and "HTTP" in (bound := json.loads(ready.read_text())):
            self._ports = {"7000": str(bound["HTTP"]["port"])}

    def _log(self) -> Path:
        return self._folder / "server.log"

    def _popen(
        self,
        arguments: list[str],
        folder: Path,
        environ: dict[str, str],
        log_file: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        with (log_file or self._log()).open("wb") as log:
            return subprocess.Popen(
                arguments,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(
        self,
        done: Callable[[], bool],
        process: "subprocess.Popen[bytes] | None" = None,
        log: Path | None = None,
    ) -> None:
        waited_for, log = process or self._server, log or self._log()
        assert waited_for is not None
        end = time.monotonic() + PATIENCE
        while not done():
            if waited_for.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the server does not serve:\n{log.read_text()}")
            time.sleep(0.02)  # another process: no clock of ours can be advanced for it

    def _stop_server(self) -> None:
        terminals, self._terminals = self._terminals, []
        for process in terminals:
            process.kill()
            process.wait()
        server, self._server = self._server, None
        if server is None:
            return
        # its session: `make` starts the server as a child of its own
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            raise AssertionError(f"the server does not end:\n{self._log().read_text()}") from None
        self._ready.unlink(missing_ok=True)

    def _with_real_ports(self, text: str) -> str:
        for written, real in self._ports.items():
            text = text.replace(f":{written}", f":{real}")
        return text

    def _with_document_ports(self, text: str) -> str:
        for written, real in self._ports.items():
            text = re.sub(rf"\b{real}\b", written, text)
        return text
