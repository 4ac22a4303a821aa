"""
Memory of users who are connected and do nothing.
"""

import resource
from contextlib import ExitStack
from typing import Final

from bench.datagrams import asker, open_socket
from bench.datagrams import shake_hands as shake_hands_udp
from bench.endpoint import EndpointApi
from bench.process import ServerProcess
from bench.session import Session, shake_hands
from bench.web_socket import enter_json
from diarkis_tw.wire.cipher import AeadCache

DEFAULT: Final = {"tcp": 2_000, "udp": 10_000, "ws": 2_000}
"""Users by transport."""

SPARE_FILES: Final = 200
"""Descriptors that a process has open besides its connections."""

FIRST: Final = 10
"""One in so many users comes before the first look, and so pays for what is
allocated once."""


def bytes_per_user(part: str, server: ServerProcess, count: int) -> float:
    """
    Let users connect and divide what the server's resident memory has grown by.

    @param part: the transport.
    @param server: not started yet, so that it gets the descriptors it needs.
    @param count: users that are counted.
    """
    first = count // FIRST
    if part != "udp":
        allow_open_files(count + first)
    before = 0
    with server, ExitStack() as stack:
        api = stack.enter_context(EndpointApi(server.addresses["HTTP"]))
        ciphers = AeadCache(4)
        # The server tells clients apart by their cids; one socket does for all.
        wire = stack.enter_context(open_socket(**server.addresses["UDP"]))
        for number in range(first + count):
            if number == first:
                before = server.resident_bytes()
            endpoint = api.log_in(part.upper(), f"idle{number}")
            if part == "udp":
                shake_hands_udp(endpoint, asker(wire), ciphers)
            elif part == "ws":
                stack.enter_context(enter_json(endpoint))
            else:
                session = Session(endpoint.keys, b"", ciphers)
                stack.enter_context(shake_hands(session, (endpoint.host, endpoint.port)))
        return (server.resident_bytes() - before) / count


def allow_open_files(connections: int) -> None:
    """
    Let this process, and those that it starts, have so many, if the system does.
    """
    count = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
