"""
The room benchmark: members of rooms say 64 bytes 20 times a second, encrypted, and
everybody in the room hears it. The server has a process of its own on one core,
the load is on the other one, and a bare Twisted relay of the same transport,
which writes as many bytes for each delivery, is what the server is compared with.

How it is measured: L{bench.room_load}. Servers take turns within each round.
"""

import argparse
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.datagrams import open_socket
from bench.endpoint import IO_TIME, EndpointApi
from bench.figures import machine, spread
from bench.process import ServerProcess, cores, game_server, pinned
from bench.room_load import RATE, Relayed, RoomLoad
from bench.room_member import TEXT_SIZE, BareMember, Member
from bench.room_player import DatagramPlayer, Player, StreamPlayer, fill, pushed
from bench.room_ws import BareWebSocketMember, BinaryPlayer, JsonPlayer, pushed_json
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.packet import SERVER_HEADER_SIZE
from diarkis_tw.wire.record import RECORD_HEADER_SIZE

LAYOUTS: Final = ((10, 8), (2, 32), (1, 100))
"""Rooms, and members of each."""

WARM_UP: Final = 0.3
"""Seconds before each phase that are not counted."""

RECORD: Final = RECORD_HEADER_SIZE + TAG_SIZE
DATAGRAM: Final = SERVER_HEADER_SIZE + 1 + TAG_SIZE
"""What a transport adds to a message; one that is reliable has some bytes more."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    A server and who is in its rooms.
    """

    name: str
    load: RoomLoad


Enter = Callable[[ServerProcess, str, int, int], RoomLoad]
"""Fills rooms: server, prefix of names, rooms, members of each."""


def bare_tcp(relay: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms of the bare relay over TCP.
    """

    def enter(name: str, room: bytes) -> Member:
        address = (relay.addresses["TCP"]["host"], relay.addresses["TCP"]["port"])
        wire = socket.create_connection(address, IO_TIME)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BareMember(wire, name, room, len(pushed(name, bytes(TEXT_SIZE))) + RECORD)

    return _bare(enter, relay, prefix, rooms, members)


def bare_udp(relay: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms of the bare relay over UDP.
    """

    def enter(name: str, room: bytes) -> Member:
        wire = open_socket(**relay.addresses["UDP"])
        return BareMember(wire, name, room, len(pushed(name, bytes(TEXT_SIZE))) + DATAGRAM)

    return _bare(enter, relay, prefix, rooms, members)


def tcp(server: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms over TCP.
    """
    return _players(StreamPlayer, server, prefix, rooms, members)


def unreliable(server: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms over UDP.
    """

    def enter(api: EndpointApi, name: str, ciphers: AeadCache) -> Player:
        return DatagramPlayer(api, name, False, ciphers)

    return _players(enter, server, prefix, rooms, members)


def reliable(server: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms over reliable UDP.
    """

    def enter(api: EndpointApi, name: str, ciphers: AeadCache) -> Player:
        return DatagramPlayer(api, name, True, ciphers)

    return _players(enter, server, prefix, rooms, members)


def bare_ws(relay: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms of the bare relay over WebSocket.
    """

    def enter(name: str, room: bytes) -> Member:
        size = len(pushed_json(name, bytes(TEXT_SIZE)))
        return BareWebSocketMember(relay.addresses["WS"], name, room, size)

    return _bare(enter, relay, prefix, rooms, members)


def json(server: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms over WebSocket, with JSON.
    """
    return _players(JsonPlayer, server, prefix, rooms, members)


def binary(server: ServerProcess, prefix: str, rooms: int, members: int) -> RoomLoad:
    """
    Fill rooms over WebSocket, with sealed records.
    """
    return _players(BinaryPlayer, server, prefix, rooms, members)


PARTS: Final[dict[str, tuple[Enter, dict[str, Enter]]]] = {
    "tcp": (bare_tcp, {"diarkis_tw": tcp}),
    "ws": (bare_ws, {"json": json, "binary": binary}),
    "udp": (bare_udp, {"unreliable": unreliable, "reliable": reliable}),
}
"""By transport: rooms of the bare relay, and those of the server."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """
    Describe this benchmark's options.
    """
    parser.add_argument("--only", choices=PARTS, help="one transport alone")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each phase")
    parser.add_argument("--rounds", type=int, default=4, help="of all servers in turn")
    parser.add_argument(
        "--rooms",
        type=_layout,
        nargs="+",
        default=LAYOUTS,
        metavar="RxM",
        help="R rooms of M members (default 10x8 2x32 1x100)",
    )


def run(options: argparse.Namespace) -> None:
    """
    Measure and print.
    """
    begin = time.monotonic()
    print(machine(), flush=True)
    core, load_core = cores()
    print(
        f"Rooms: {TEXT_SIZE} bytes, {RATE} messages a second of each member, encrypted; "
        f"{options.rounds} rounds of {options.seconds:g} s; median (least-greatest)"
    )
    with TemporaryDirectory(prefix="bench-") as name, pinned(load_core):
        for part in PARTS:
            if options.only in (None, part):
                for rooms, members in options.rooms:
                    print(f"\n{part.upper()}, {rooms} x {members}", flush=True)
                    _contest(part, Path(name), core, rooms, members, options)
    print(f"\n{time.monotonic() - begin:.0f} s in all", flush=True)


def _contest(
    part: str,
    folder: Path,
    core: int | None,
    rooms: int,
    members: int,
    options: argparse.Namespace,
) -> None:
    bare, real = PARTS[part]
    with ExitStack() as stack:
        relay = ServerProcess(["-m", "bench.relay"], folder, "relay", core)
        stack.enter_context(relay)
        server = stack.enter_context(game_server(folder, "rooms", core))
        contestants = [Contestant("bare relay", bare(relay, "bare0", rooms, members))]
        stack.callback(contestants[0].load.close)
        for number, (name, enter) in enumerate(real.items()):
            contestants.append(Contestant(name, enter(server, f"user{number}", rooms, members)))
            stack.callback(contestants[-1].load.close)
        phases: list[list[Relayed]] = [[] for _ in contestants]
        for turn in range(options.rounds):
            for index in range(len(contestants)):
                which = (turn + index) % len(contestants)
                contestants[which].load.run(WARM_UP)
                phases[which].append(contestants[which].load.run(options.seconds))
    _report([contestant.name for contestant in contestants], phases)


def _report(names: Sequence[str], phases: Sequence[Sequence[Relayed]]) -> None:
    print(
        f"{'':12}{'deliveries per CPU-second':30}{'CPU us each':20}{'messages/s':20}"
        "together  busy  of bare"
    )
    for name, mine in zip(names, phases, strict=True):
        ratios = [
            phase.per_second / bare.per_second * 100
            for phase, bare in zip(mine, phases[0], strict=True)
        ]
        print(
            f"{name:12}"
            f"{spread([phase.per_second for phase in mine], 0):30}"
            f"{spread([1e6 / phase.per_second for phase in mine]):20}"
            f"{spread([phase.rate for phase in mine]):20}"
            f"{median(phase.together for phase in mine):8.1f}  "
            f"{median(phase.busy for phase in mine):3.0f} %"
            f"{median(ratios):7.0f} %",
            flush=True,
        )


def _layout(text: str) -> tuple[int, int]:
    rooms, _, members = text.partition("x")
    if not (rooms.isdecimal() and members.isdecimal() and int(rooms) and int(members)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 10x8")
    return int(rooms), int(members)


def _bare(
    enter: Callable[[str, bytes], Member],
    relay: ServerProcess,
    prefix: str,
    rooms: int,
    members: int,
) -> RoomLoad:
    return RoomLoad(
        relay,
        [
            [enter(f"{prefix}{room:02}{n:03}", f"{prefix}{room}".encode()) for n in range(members)]
            for room in range(rooms)
        ],
    )


def _players(
    enter: Callable[[EndpointApi, str, AeadCache], Player],
    server: ServerProcess,
    prefix: str,
    rooms: int,
    members: int,
) -> RoomLoad:
    ciphers = AeadCache(4 * rooms * members + 2)
    everybody = []
    with EndpointApi(server.addresses["HTTP"]) as api:
        for room in range(rooms):
            players = [enter(api, f"{prefix}{room:02}{n:03}", ciphers) for n in range(members)]
            fill(players)
            everybody.append(players)
    return RoomLoad(server, everybody)
