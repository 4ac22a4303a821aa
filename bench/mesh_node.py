"""
The nodes of the mesh benchmark, and the players who have them do something.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import perf_counter
from typing import Any, Final

from bench.endpoint import IO_TIME, EndpointApi
from bench.notification import TcpUser
from bench.process import CONFIG, ServerProcess, configured_server
from diarkis_tw.constants import Status
from diarkis_tw.wire.cipher import AeadCache
from diarkis_tw.wire.message import Push, Response, decode_server_message, encode_request
from diarkis_tw.wire.value import Value, decode_value, encode_value

KEY: Final = "the key of a benchmark"

ACQUAINTED: Final = 10.0
"""Seconds in which nodes must know each other."""


def mesh_node(
    folder: Path,
    name: str,
    core: int | None,
    url: str = "",
    app: str = "bench.mesh_app",
    mesh: str = "bench",
) -> ServerProcess:
    """
    Describe a node with TCP and an endpoint API of its own, whose server type is
    its name.

    @param url: of the NATS server; empty = it is on its own.
    @param app: the module of its application.
    @param mesh: nodes of the same word are one mesh.
    """
    config: dict[str, Any] = {section: CONFIG[section] for section in ("TCP", "HTTP", "log")}
    config |= {"node": CONFIG["node"] | {"type": name}, "app": {"module": app}}
    if url:
        config["mesh"] = {"engine": "nats", "servers": [url], "app": mesh, "key": KEY}
    return configured_server(config, folder, name, core)


class Player(TcpUser):
    """
    A player of a node, one command at a time.

    @ivar sid: where private messages to it go.
    """

    def __init__(self, api: EndpointApi, node: str, uid: str) -> None:
        """
        @param api: of whichever node.
        @param node: the name of the one to be on.
        """
        endpoint = api.log_in(node, uid)
        super().__init__(endpoint, AeadCache(4))
        self.sid = endpoint.keys.sid.hex()
        self._answers: deque[Response] = deque()

    def ask(self, cmd: int, **value: object) -> Value:
        """
        Say a command and wait for the answer; pushes before that are lost.
        """
        self.send_ask(cmd, **value)
        return self.answer()

    def send_ask(self, cmd: int, **value: object) -> None:
        """
        Say a command.
        """
        self.send(encode_request(2, cmd, 1, encode_value(value)))

    def answer(self) -> Value:
        """
        Wait for the answer; pushes before it are lost.
        """
        while not self._answers:
            for message in self.receive():
                self._push(message)
        found = self._answers.popleft()
        if found.status is not Status.OK:
            raise RuntimeError(f"a command is answered with {found!r}")
        assert isinstance(found.payload, bytes)
        return decode_value(found.payload) if found.payload else {}

    def pushes(self, seconds: float) -> Iterator[tuple[float, bytes]]:
        """
        Listen for a while.

        @return: when each one came, and its payload.
        """
        end = perf_counter() + seconds
        while (left := end - perf_counter()) > 0:
            if not select([self.socket], [], [], left)[0]:
                return
            now = perf_counter()
            for message in self.receive():
                if (payload := self._push(message)) is not None:
                    yield now, payload

    def _push(self, message: bytes) -> bytes | None:
        """
        Keep an answer for later.
        """
        found = decode_server_message(message)
        if isinstance(found, Push):
            assert isinstance(found.payload, bytes)
            return found.payload
        self._answers.append(found)
        return None


@contextmanager
def playing(process: ServerProcess, node: str, uid: str) -> Iterator[Player]:
    """
    Have a player on a node, by the API of C{process}, once that knows the node.
    """
    with EndpointApi(process.addresses["HTTP"]) as api:
        until_known(process, [node])
        player = Player(api, node, uid)
    player.socket.settimeout(IO_TIME)
    try:
        yield player
    finally:
        player.socket.close()


def until_known(process: ServerProcess, nodes: list[str]) -> None:
    """
    Wait until the API of a node knows others, whether they take users or not.
    """
    limit = time.monotonic() + ACQUAINTED
    with EndpointApi(process.addresses["HTTP"]) as api:
        for node in nodes:
            while (error := api.refusal(node, "nobody")) == "unknown_type":
                if time.monotonic() > limit:
                    raise RuntimeError(f"{node} is not known: {error}")
                time.sleep(0.05)
