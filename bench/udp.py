"""
Echoes over UDP, unreliable and reliable, each with clients of its own.
"""

import os
from typing import Final

from bench.contest import Contestant
from bench.datagram_session import DatagramSession
from bench.datagrams import (
    BareEchoClient,
    DatagramEchoClient,
    asker,
    greet,
    open_socket,
)
from bench.endpoint import EndpointApi
from bench.load import Load
from bench.process import ServerProcess
from bench.session import PAYLOAD_SIZE
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE
from diarkis_tw.wire.packet import CLIENT_HEADER_SIZE

FRAME_SIZE: Final = 1
"""Of an unreliable message: its type byte. A reliable one has two more and, in an
echo, an ACK of five or six: too little to make a difference."""

REQUEST_SIZE: Final = (
    CLIENT_HEADER_SIZE + FRAME_SIZE + REQUEST_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE
)


def contestants(floor: ServerProcess, server: ServerProcess, count: int) -> list[Contestant]:
    """
    Connect C{count} clients to each.
    """
    return [
        Contestant("floor", floor, _floor_load(floor, count)),
        Contestant("unreliable", server, _server_load(server, count, False)),
        Contestant("reliable", server, _server_load(server, count, True)),
    ]


def _floor_load(process: ServerProcess, count: int) -> Load:
    host, port = process.addresses["UDP"]["host"], process.addresses["UDP"]["port"]
    return Load([BareEchoClient(open_socket(host, port), REQUEST_SIZE) for _ in range(count)])


def _server_load(process: ServerProcess, count: int, reliable: bool) -> Load:
    ciphers = AeadCache(2 * count + 2)
    with EndpointApi(process.addresses["HTTP"]) as api:
        name = "reliable" if reliable else "unreliable"
        return Load([_player(api, f"{name}{n}", reliable, ciphers) for n in range(count)])


def _player(api: EndpointApi, uid: str, reliable: bool, ciphers: AeadCache) -> DatagramEchoClient:
    endpoint = api.log_in("UDP", uid)
    wire = open_socket(endpoint.host, endpoint.port)
    ask = asker(wire)
    accepted = greet(endpoint, ask)
    session = DatagramSession.accepted(accepted, reliable, os.urandom(PAYLOAD_SIZE), ciphers)
    session.take(ask(session.ping()))
    return DatagramEchoClient(wire, session)
