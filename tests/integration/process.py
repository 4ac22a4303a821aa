"""
Server processes, and players who connect to them over real sockets.

Another process has no clock that a test could advance: what is waited for is
polled, at most L{PATIENCE} seconds, and nothing else depends on time.
"""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.checks import BUILT
from diarkis_tw.wire.keys import SessionKeys
from diarkis_tw.wire.message import Push, Response
from tests.raw_client import Accept, RawClient, Received

ROOT = Path(__file__).resolve().parent.parent.parent

PATIENCE = 20.0
"""Seconds that anything may take on a busy machine."""

_POLL = 0.01

_R = TypeVar("_R")


def program(name: str) -> str:
    """
    A script installed beside this Python.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found


class Player:
    """
    A client with a blocking socket.

    @ivar raw: its keys and what it received.
    @ivar terms: what the server granted.
    @ivar socket: the socket, that of TLS if the server wants it.
    """

    def __init__(self, endpoint: Mapping[str, object], ca: str | None = None) -> None:
        """
        @param endpoint: the endpoint API's answer.
        @param ca: whom to trust if the server has TLS.
        """
        names = ("sid", "encryptionKey", "encryptionIV", "encryptionMacKey")
        keys = SessionKeys.from_hex(*(str(endpoint[name]) for name in names))
        self.raw = RawClient(keys, seed=int.from_bytes(keys.sid))
        address = (str(endpoint["serverHost"]), int(str(endpoint["serverPort"])))
        self.socket = socket.create_connection(address, PATIENCE)
        if endpoint["tls"]:
            trusting = ssl.create_default_context(cafile=ca)
            self.socket = trusting.wrap_socket(self.socket, server_hostname=address[0])
        self.send(self.raw.hello())
        self.terms = self.next(Accept).terms

    def send(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self.socket.sendall(data)

    def next(self, kind: type[_R]) -> _R:
        """
        Take what comes next, which must be of that kind.
        """
        found = self.next_of_any()
        assert isinstance(found, kind), found
        return found

    def next_of_any(self) -> Received | None:
        """
        Take what comes next; L{None} if the server has closed the connection.
        """
        while not self.raw.received:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.raw.feed(data)
        return self.raw.received.pop(0)

    def request(self, ver: int, cmd: int, payload: bytes = b"") -> bytes:
        """
        Send a command and wait for its answer.

        @return: the answer's payload.
        """
        self.send(self.raw.request(ver, cmd, payload))
        return self.next(Response).payload

    def answer(self, ver: int, cmd: int, payload: bytes = b"") -> Response:
        """
        The same, passing over what is pushed meanwhile.

        @return: the answer.
        """
        self.send(self.raw.request(ver, cmd, payload))
        while isinstance(came := self.next_of_any(), Push):
            pass
        assert isinstance(came, Response), came
        return came

    def at_end(self) -> bool:
        """
        Whether the server has closed the connection, in order, with nothing more to read.
        """
        return self.next_of_any() is None

    def close(self) -> None:
        """
        Close the socket.
        """
        self.socket.close()


class Process:
    """
    A process that a test started.

    @ivar folder: where its files are.
    """

    def __init__(self, arguments: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        handle, name = tempfile.mkstemp(".log", dir=folder)
        self._output = Path(name)
        with open(handle, "wb") as output:
            self._popen = subprocess.Popen(
                arguments,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """
        Its number.
        """
        return self._popen.pid

    def output(self) -> str:
        """
        Everything it has printed and logged.
        """
        return self._output.read_text()

    def signal(self, number: signal.Signals) -> None:
        """
        Send it a signal.
        """
        self._popen.send_signal(number)

    def ended(self) -> bool:
        """
        Whether it has ended.
        """
        return self._popen.poll() is not None

    def wait(self) -> int:
        """
        Wait for its end.

        @return: its exit status.
        """
        try:
            return self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.output()}") from None

    def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait for something that it does before it ends.
        """
        wait_until(lambda: condition() or self.ended(), self.output)
        if not condition():
            raise AssertionError(f"it has ended:\n{self.output()}")

    def kill(self) -> None:
        """
        Make sure that it is gone.
        """
        if not self.ended():
            self._popen.kill()
            self._popen.wait()


def wait_until(condition: Callable[[], bool], describe: Callable[[], str] = str) -> None:
    """
    Poll until something is the case.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain:\n{describe()}")
        time.sleep(_POLL)


class ProcessCase(SynchronousTestCase):
    """
    Starts processes, each with ports of its own.

    @ivar folder: current directory of the processes.
    @ivar environ: what they get as environment.
    @ivar ca: PEM file of the authority that players trust; L{None} = the system's.
    """

    ca: str | None = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.ready_file = self.folder / "ready.json"
        self.environ = {
            name: text for name, text in os.environ.items() if not name.startswith("DIARKIS")
        }
        self.environ |= {
            "DIARKIS_SET_TCP__port": "0",
            "DIARKIS_SET_WS__port": "0",
            "DIARKIS_SET_HTTP__port": "0",
            "PYTHONUNBUFFERED": "1",
        }
        if BUILT["UDP"]:
            self.environ["DIARKIS_SET_UDP__port"] = "0"

    def write(self, name: str, content: object) -> Path:
        """
        Write a file into the folder, as JSON unless it is text.
        """
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def start(self, *arguments: str | Path) -> Process:
        """
        Start a program that is installed beside this Python.
        """
        command = [program(str(arguments[0])), *map(str, arguments[1:])]
        process = Process(command, self.folder, self.environ)
        self.addCleanup(process.kill)
        return process

    def foreground(self, *options: str | Path) -> Process:
        """
        Start C{twistd -n diarkis} with a ready file.
        """
        return self.start(
            "twistd", "-n", "--pidfile=", "diarkis", "--ready-file", self.ready_file, *options
        )

    def serving(self, process: Process) -> str:
        """
        Wait for the ready file.

        @return: URL of the endpoint API.
        """
        process.until(self.ready_file.exists)
        http = json.loads(self.ready_file.read_text())["HTTP"]
        return f"http{'s' if http.get('tls') else ''}://{http['host']}:{http['port']}"

    def serving_from_log(self, process: Process) -> str:
        """
        The same for a process that cannot be given a ready file.
        """
        process.until(lambda: "node is ONLINE" in process.output())
        found = re.search(r"JsonSite starting on (\d+)", process.output())
        assert found is not None, process.output()
        return f"http://127.0.0.1:{found.group(1)}"

    def ask(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, object]:
        """
        Ask HTTP for JSON, an error's as well.
        """
        request = urllib.request.Request(url, headers=dict(headers or {}))
        try:
            secure = url.startswith("https")
            trusting = ssl.create_default_context(cafile=self.ca) if secure else None
            with urllib.request.urlopen(request, timeout=PATIENCE, context=trusting) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                found = json.load(error)
        assert isinstance(found, dict)
        return found

    def player(self, url: str, uid: str = "alice") -> Player:
        """
        Have a player log in and connect.
        """
        player = Player(self.ask(f"{url}/endpoint/type/TCP/user/{uid}"), self.ca)
        self.addCleanup(player.close)
        return player

    def assertServes(self, url: str, expected: bytes = b"hi", payload: bytes = b"hi") -> None:
        """
        A player logs in, is answered, and leaves.
        """
        player = self.player(url)
        self.assertEqual(player.request(2, 10, payload), expected)
        player.send(player.raw.close())
        self.assertTrue(player.at_end())
        player.close()

    def assertStops(self, process: Process) -> None:
        """
        SIGTERM ends it with status 0 and without a complaint.
        """
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0, process.output())
        self.assertNotIn("Traceback", process.output())
        self.assertNotIn("Unhandled", process.output())
