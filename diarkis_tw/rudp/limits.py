"""
The terms of a connection.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What both ends agreed on; times in microseconds, sizes in bytes.
    """

    mtu: int = 1200
    window: int = 256
    retry_interval: int = 1_000_000
    max_retry: int = 10
    ack_delay: int = 20_000
    max_message_size: int = 64 * 1024
    redundancy: bool = True
