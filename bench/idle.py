"""
Memory of users who are connected and do nothing.
"""

import resource
from contextlib import ExitStack
from typing import Final

from bench.process import ServerProcess
from bench.session import Session, log_in, shake_hands
from diarkis_tw.wire.cipher import AeadCache

SPARE_FILES: Final = 200
"""Descriptors that a process has open besides its connections."""

FIRST: Final = 10
"""One in so many users comes before the first look, and so pays for what is
allocated once."""


def bytes_per_user(server: ServerProcess, count: int) -> float:
    """
    Let users connect and divide what the server's resident memory has grown by.

    @param server: not started yet, so that it gets the descriptors it needs.
    @param count: users that are counted.
    """
    first = count // FIRST
    _allow_open_files(count + first + SPARE_FILES)
    ciphers = AeadCache()
    before = 0
    with server, ExitStack() as connections:
        for number in range(first + count):
            if number == first:
                before = server.resident_bytes()
            keys, address = log_in(server.addresses["HTTP"], f"idle{number}")
            connections.enter_context(shake_hands(Session(keys, b"", ciphers), address))
        return (server.resident_bytes() - before) / count


def _allow_open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
