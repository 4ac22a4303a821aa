"""
Echoes over WebSocket, JSON and binary, each above bare Autobahn with messages of the
same size. Requests are made before the timed part, answers looked at after it.
"""

import os
from collections.abc import Callable
from typing import Final

from bench.contest import Contestant
from bench.endpoint import EndpointApi
from bench.load import EchoClient, Load
from bench.process import ServerProcess
from bench.session import ECHO, PAYLOAD_SIZE
from bench.web_socket import (
    WebSocketSession,
    enter_binary,
    enter_json,
    frame,
    messages,
    open_web_socket,
)
from diarkis_tw.constants import Status
from diarkis_tw.wire.cipher import TAG_SIZE, AeadCache
from diarkis_tw.wire.json_message import encode_json_request, encode_json_response
from diarkis_tw.wire.message import REQUEST_HEADER_SIZE, RESPONSE_HEADER_SIZE
from diarkis_tw.wire.websocket import FRAME_BINARY, FRAME_TEXT, server_frame, split_ws_record

VALUE: Final = {"x": 12.5, "y": -3.25, "name": "player 01", "hp": 100, "flags": [1, 2, 3]}
"""The payload of a JSON echo, as long as the others', PAYLOAD_SIZE."""

FIRST_ID: Final = 10_000
"""Request ids have five digits, so that all answers are equally long."""

IDS: Final = 50_000

RECORD_SIZE: Final = 1 + REQUEST_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE
ANSWER_SIZE: Final = len(
    server_frame(FRAME_BINARY, bytes(1 + RESPONSE_HEADER_SIZE + PAYLOAD_SIZE + TAG_SIZE))
)


class JsonSession:
    """
    What one player says in JSON and must hear.
    """

    def __init__(self) -> None:
        self._echoes = 0
        self._answers = 0

    def echo(self) -> bytes:
        """
        Write the next request.
        """
        self._echoes += 1
        return frame(FRAME_TEXT, encode_json_request(*ECHO, _id(self._echoes), VALUE))

    def check(self, text: bytes) -> None:
        """
        Look at the answer to the next one.
        """
        self._answers += 1
        if text != (expected := answer(self._answers)):
            raise RuntimeError(f"{text!r} instead of {expected!r}")


def answer(count: int) -> bytes:
    """
    Write the answer to a player's echo of that number.
    """
    return encode_json_response(*ECHO, Status.OK, _id(count), VALUE)


def texts(floor: ServerProcess, server: ServerProcess, count: int) -> list[Contestant]:
    """
    Connect C{count} clients to each, that speak JSON.
    """
    request = encode_json_request(*ECHO, FIRST_ID, VALUE)
    with EndpointApi(server.addresses["HTTP"]) as api:
        players = Load([_json_player(api, f"json{n}") for n in range(count)])
    return [
        Contestant("autobahn text", floor, _floor_load(floor, count, FRAME_TEXT, request)),
        Contestant("json", server, players),
    ]


def records(floor: ServerProcess, server: ServerProcess, count: int) -> list[Contestant]:
    """
    The same with sealed records.
    """
    record = os.urandom(RECORD_SIZE)
    ciphers = AeadCache(2 * count + 2)
    with EndpointApi(server.addresses["HTTP"]) as api:
        players = Load([_binary_player(api, f"binary{n}", ciphers) for n in range(count)])
    return [
        Contestant("autobahn bytes", floor, _floor_load(floor, count, FRAME_BINARY, record)),
        Contestant("binary", server, players),
    ]


def _floor_load(process: ServerProcess, count: int, first: int, payload: bytes) -> Load:
    request = frame(first, payload)
    echo = server_frame(first, payload)

    def judge(answers: bytes) -> None:
        if answers != echo * (len(answers) // len(echo)):
            raise RuntimeError("the floor's echo is wrong")

    clients = []
    for _ in range(count):
        wire, _ = open_web_socket(process.addresses["WS"])
        clients.append(EchoClient(wire, len(echo), lambda: request, judge))
    return Load(clients)


def _json_player(api: EndpointApi, uid: str) -> EchoClient:
    session = JsonSession()
    wire = enter_json(api.log_in("WS", uid))
    size = len(server_frame(FRAME_TEXT, answer(0)))
    return EchoClient(wire, size, session.echo, _each(session.check))


def _binary_player(api: EndpointApi, uid: str, ciphers: AeadCache) -> EchoClient:
    endpoint = api.log_in("WS", uid)
    session = WebSocketSession(endpoint.keys, os.urandom(PAYLOAD_SIZE), ciphers)
    wire = enter_binary(endpoint, session)
    return EchoClient(
        wire,
        ANSWER_SIZE,
        lambda: frame(FRAME_BINARY, session.echo()),
        _each(lambda record: session.check(*split_ws_record(record)[1:])),
    )


def _each(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def judge(answers: bytes) -> None:
        for message in messages(answers):
            check(message)

    return judge


def _id(count: int) -> int:
    return FIRST_ID + count % IDS
