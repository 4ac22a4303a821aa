"""
A dedicated game server that knows nothing of diarkis_tw but the calls of a
connector: plain asyncio, with a protocol of its own. An Unreal server would do the
same in C++.

In one terminal the node, in another one the game::

    twistd -n --pidfile= diarkis --config configs/connector.json
    python examples/dedicated_server.py

A player asks the endpoint API where to go and talks UDP to the game::

    curl http://127.0.0.1:7000/endpoint/type/CONNECTOR/user/alice
    nc -u 127.0.0.1 7777

C{join}, C{leave}, and anything else, which all players get. A match takes two
players and is over when both have left. Control-C ends the game.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from http.client import HTTPConnection, HTTPException
from typing import cast

Address = tuple[str, int]


class Refused(Exception):
    """
    The node says no; C{args[0]} is the HTTP status.
    """


class Connector:
    """
    The node's side door.
    """

    def __init__(self, url: str, token: str) -> None:
        self._address = url.removeprefix("http://").rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def call(self, name: str, **body: object) -> dict[str, object]:
        """
        Call the node in a thread, because http.client blocks.

        @raise OSError: there is no node.
        @raise Refused: it says no.
        """
        return await asyncio.to_thread(self._call, name, body)

    def _call(self, name: str, body: dict[str, object]) -> dict[str, object]:
        connection = HTTPConnection(self._address, timeout=5)
        try:
            connection.request("POST", f"/connector/v1/{name}", json.dumps(body), self._headers)
            answer = connection.getresponse()
            found: dict[str, object] = json.load(answer)
        except HTTPException as error:
            raise OSError(f"it hung up: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(answer.status, found["message"])
        return found


class Match(asyncio.DatagramProtocol):
    """
    The game: players chat.
    """

    def __init__(self, most: int) -> None:
        self.players: set[Address] = set()
        self.closing = False
        self.changed = asyncio.Event()
        self._most = most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    @property
    def full(self) -> bool:
        """
        Whether nobody else can join.
        """
        return len(self.players) >= self._most

    def datagram_received(self, data: bytes, address: Address) -> None:
        word = data.strip()
        if word == b"join":
            if address not in self.players and (self.full or self.closing):
                self._transport.sendto(b"sorry\n", address)
                return
            self.players.add(address)
            self._tell(b"%d of %d players\n" % (len(self.players), self._most))
            self.changed.set()
        elif address not in self.players:
            return
        elif word == b"leave":
            self.players.discard(address)
            self._tell(b"%d of %d players\n" % (len(self.players), self._most))
            self.changed.set()
        else:
            self._tell(word + b"\n")

    def _tell(self, text: bytes) -> None:
        for player in self.players:
            self._transport.sendto(text, player)


class Game:
    """
    Goes through the life of a server: port, ready, health, allocate, shutdown.
    """

    def __init__(self, connector: Connector, match: Match, port: int) -> None:
        self._connector = connector
        self._match = match
        self._port = port
        self._registered = False
        self._allocated = False

    async def run(self) -> None:
        """
        Keep the node informed, each second and when something has changed.
        """
        while not (self._match.closing and not self._match.players):
            try:
                await self._inform()
            except OSError as error:
                print(f"no node: {error}", flush=True)
                self._registered = False
            except Refused as refusal:
                # 409: it was restarted and does not know us, or somebody else is there
                print(f"the node refused: {refusal}", flush=True)
                self._registered = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._match.changed.wait(), timeout=1)
            self._match.changed.clear()
        if self._registered:
            with contextlib.suppress(OSError, Refused):
                await self._connector.call("shutdown", port=self._port)

    async def _inform(self) -> None:
        match, port = self._match, self._port
        if not self._registered:
            found = await self._connector.call("port", port=port, transport="UDP")
            await self._connector.call("ready", port=port)
            self._registered, self._allocated = True, False
            print(f"ready: {found['type']} {found['host']}:{found['port']}", flush=True)
        node = await self._connector.call("health", port=port, ccu=len(match.players))
        if node["stopping"]:
            match.closing = True  # who plays may finish, and then we end, too
        elif match.full and not self._allocated:
            await self._connector.call("allocate", port=port)
            self._allocated = True
            print("allocated", flush=True)
        elif not match.players and self._allocated:
            await self._connector.call("ready", port=port)
            self._allocated = False
            print("ready again", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description="a dedicated server beside a connector")
    parser.add_argument("--connector", default="http://127.0.0.1:9000", help="of the node")
    parser.add_argument("--address", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=7777, help="UDP port; 0 = any")
    parser.add_argument("--players", type=int, default=2, help="players of a match")
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    transport, match = await loop.create_datagram_endpoint(
        lambda: Match(options.players), (options.address, options.port)
    )
    port = transport.get_extra_info("sockname")[1]

    def stop() -> None:
        match.closing = True
        match.players.clear()
        match.changed.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    connector = Connector(options.connector, os.environ.get("CONNECTOR_TOKEN", ""))
    await Game(connector, match, port).run()
    transport.close()
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
