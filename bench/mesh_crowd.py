"""
Nodes without a game, many in one process: each is a real L{NatsMesh}, so its
heartbeats are real ones; what they share is the clock and a connection as small as
NATS's protocol allows. They know those who talk to them, not each other.

It says the address of one node on its standard output, and reads one line a
command: C{talk <rate> <sid> <node address>} sends private messages to a user, in
turn from all nodes; without an address as much is sent to nobody.
"""

import json
import select
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from time import perf_counter
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from bench.mesh_app import PUSHED, SIZE
from bench.mesh_node import KEY
from bench.process import CHECKOUT
from diarkis_tw.constants import NodeState
from diarkis_tw.mesh.envelope import MESH_VERSION
from diarkis_tw.mesh.interface import NodeInfo, PublicEndpoint
from diarkis_tw.mesh.nats import NatsMesh
from diarkis_tw.mesh.nats_link import CAN_WAIT
from diarkis_tw.modules.private_message import PrivateMessage

STEP: Final = 0.005
"""Seconds between two looks at the clock."""

IO_TIME: Final = 10.0
"""Seconds after which connecting has failed."""


class Wire:
    """
    A connection to a NATS server.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.socket = socket.create_connection((address.hostname, address.port or 4222), IO_TIME)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._listeners: dict[str, list[Callable[[bytes], None]]] = {}
        options = {"verbose": False, "pedantic": False, "echo": False}
        self.socket.sendall(f"CONNECT {json.dumps(options)}\r\n".encode())

    def listen(self, subject: str, received: Callable[[bytes], None]) -> None:
        """
        Have frames of a subject.
        """
        listeners = self._listeners.setdefault(subject, [])
        if not listeners:
            self.socket.sendall(f"SUB {subject} {len(self._listeners)}\r\n".encode())
        listeners.append(received)

    def publish(self, subject: str, frame: bytes, reply: str = "") -> None:
        """
        Send a frame.
        """
        subjects = f"{subject} {reply}".encode()
        self.socket.sendall(b"PUB %b %d\r\n%b\r\n" % (subjects, len(frame), frame))

    def receive(self) -> None:
        """
        Handle what has come, of which there must be something.
        """
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the NATS server closed the connection")
        buffer = self._buffer + data
        while (end := buffer.find(b"\r\n")) >= 0:
            line = buffer[:end]
            rest = end + 2
            if line.startswith(b"MSG "):
                words = line.decode().split()
                size = int(words[-1])
                if len(buffer) < rest + size + 2:
                    break
                frame = buffer[rest : rest + size]
                rest += size + 2
                for received in self._listeners[words[1]]:
                    received(frame)
            elif line == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise RuntimeError(line.decode())
            buffer = buffer[rest:]
        self._buffer = buffer


class CrowdLink:
    """
    A L{diarkis_tw.mesh.nats_link.Link} on a shared connection.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def is_up(self) -> bool:
        """
        Always.
        """
        return True

    def start(
        self,
        subjects: Sequence[str],
        received: Callable[[bytes], None],
        changed: Callable[[bool], None],
    ) -> None:
        """
        Listen.
        """
        for subject in subjects:
            self._wire.listen(subject, received)

    def publish(self, subject: str, frame: bytes, can_wait: bool = False) -> bool:
        """
        Send a frame.
        """
        self._wire.publish(subject, frame, CAN_WAIT if can_wait else "")
        return True

    def look(self) -> None:
        """
        Nothing waits here.
        """

    def stop(self) -> Deferred[None]:
        """
        The connection is the process's.
        """
        return succeed(None)


class Crowd:
    """
    All nodes.

    @ivar address: of one of them.
    """

    def __init__(self, url: str, mesh: str, count: int) -> None:
        self._wire = Wire(url)
        self._clock = Clock()
        self._clock.advance(perf_counter())
        self._mesh = mesh
        self._nodes = [
            NatsMesh(self._clock, CrowdLink(self._wire), mesh, [KEY]) for _ in range(count)
        ]
        self._rate = 0.0
        self._sent = 0
        self._began = 0.0
        self._sid = b""
        self._to = ""
        self.address = self._nodes[0].node_address
        for number, node in enumerate(self._nodes):
            # Spread over a second, as those of nodes that started by themselves.
            self._clock.callLater(number / count, self._join, number, node)

    def run(self) -> None:
        """
        Live until standard input ends.
        """
        while True:
            ready, _, _ = select.select([self._wire.socket, sys.stdin], [], [], STEP)
            if self._wire.socket in ready:
                self._wire.receive()
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self._talk(line.split())
            now = perf_counter()
            self._clock.advance(now - self._clock.seconds())
            while self._rate and self._sent < (now - self._began) * self._rate:
                self._tell()

    def _join(self, number: int, node: NatsMesh) -> None:
        endpoint = PublicEndpoint("127.0.0.1", 7000, "UDP")
        info = NodeInfo(node.node_address, NodeState.TAKEN, {simulated(number): endpoint}, 100)
        node.join(lambda: info)

    def _talk(self, words: list[str]) -> None:
        self._rate = float(words[1])
        self._sid = bytes.fromhex(words[2]) if len(words) > 2 else b""
        self._to = words[3] if len(words) > 3 else ""
        self._sent, self._began = 0, perf_counter()

    def _tell(self) -> None:
        node = self._nodes[self._sent % len(self._nodes)]
        self._sent += 1
        if self._to:
            node.send(self._to, PrivateMessage(self._sid, *PUSHED, bytes(SIZE)))
        else:
            self._wire.publish(f"diarkis.{MESH_VERSION}.{self._mesh}.to.nobody", bytes(4 * SIZE))


class CrowdProcess:
    """
    A context manager: the crowd is there inside it.

    @ivar types: the server types of its nodes; C{address}: that of one of them.
    """

    address: str

    def __init__(self, url: str, count: int, mesh: str = "bench") -> None:
        command = [sys.executable, "-m", "bench.mesh_crowd"]
        self._command = [*command, "--url", url, "--mesh", mesh, "--nodes", str(count)]
        self.types = [simulated(number) for number in range(count)]

    def __enter__(self) -> "CrowdProcess":
        self._process = subprocess.Popen(
            self._command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError("no crowd came")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def talk(self, rate: float, sid: str = "", to: str = "") -> None:
        """
        Have so many private messages a second sent.

        @param sid: of the user they are for.
        @param to: address of its node; empty = as much, to nobody.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"talk {rate} {sid} {to}".rstrip() + "\n")
        self._process.stdin.flush()


def simulated(number: int) -> str:
    """
    The server type by which one of them is known.
    """
    return f"SIM{number}"


def main() -> None:
    """
    Be the crowd.
    """
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--mesh", required=True)
    parser.add_argument("--nodes", type=int, required=True)
    options = parser.parse_args()
    crowd = Crowd(options.url, options.mesh, options.nodes)
    print(crowd.address, flush=True)
    crowd.run()


if __name__ == "__main__":
    main()
