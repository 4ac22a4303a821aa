"""
Echoes over TCP. Requests are sealed before the timed part and answers opened
after it.
"""

import os
import socket
from typing import Final

from bench.contest import Contestant
from bench.endpoint import EndpointApi
from bench.load import EchoClient, Load
from bench.process import ServerProcess
from bench.session import PAYLOAD_SIZE, Session, shake_hands
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, RESPONSE_HEADER_SIZE
from diarkis_tw.wire.record import RECORD_HEADER_SIZE, RecordReader

REQUEST_SIZE: Final = RECORD_HEADER_SIZE + REQUEST_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE
ANSWER_SIZE: Final = RECORD_HEADER_SIZE + RESPONSE_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE


def contestants(floor: ServerProcess, server: ServerProcess, count: int) -> list[Contestant]:
    """
    Connect C{count} clients to each.
    """
    return [
        Contestant("floor", floor, _floor_load(floor, count)),
        Contestant("diarkis_tw", server, players(server, count)),
    ]


def _floor_load(process: ServerProcess, count: int) -> Load:
    address = (process.addresses["TCP"]["host"], process.addresses["TCP"]["port"])
    request = os.urandom(REQUEST_SIZE)

    def judge(answers: bytes) -> None:
        if answers != request * (len(answers) // REQUEST_SIZE):
            raise RuntimeError("the floor's echo is wrong")

    clients = []
    for _ in range(count):
        connection = socket.create_connection(address, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(EchoClient(connection, REQUEST_SIZE, lambda: request, judge))
    return Load(clients)


def players(process: ServerProcess, count: int, server_type: str = "TCP") -> Load:
    """
    Connect C{count} players to a server.
    """
    ciphers = AeadCache(2 * count + 2)
    with EndpointApi(process.addresses["HTTP"]) as api:
        return Load([_player(api, server_type, f"tcp{number}", ciphers) for number in range(count)])


def _player(api: EndpointApi, server_type: str, uid: str, ciphers: AeadCache) -> EchoClient:
    endpoint = api.log_in(server_type, uid)
    session = Session(endpoint.keys, os.urandom(PAYLOAD_SIZE), ciphers)

    def judge(answers: bytes) -> None:
        reader = RecordReader(ANSWER_SIZE)
        reader.feed(answers)
        while (record := reader.next()) is not None:
            session.check(record[1], record[2])

    connection = shake_hands(session, (endpoint.host, endpoint.port))
    return EchoClient(connection, ANSWER_SIZE, session.echo, judge)
