"""
Tests of L{diarkis_tw.net.free_port}.
"""

import contextlib
import socket

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import StartError
from diarkis_tw.net.free_port import free_port

KINDS = {"UDP": socket.SOCK_DGRAM, "TCP": socket.SOCK_STREAM}


class FreePortTests(SynchronousTestCase):
    """
    Real sockets, because the system decides.
    """

    def bind(self, transport: str, address: str, port: int = 0) -> int:
        """
        Use a port as a server does.
        """
        other = socket.socket(socket.AF_INET, KINDS[transport])
        self.addCleanup(other.close)
        other.bind((address, port))
        if transport == "TCP":
            other.listen()
        found: int = other.getsockname()[1]
        return found

    def test_free(self) -> None:
        """
        What it finds can be bound, at once and twice in a row.
        """
        for transport in KINDS:
            port = free_port(transport, 0)
            self.assertEqual(free_port(transport, port), port)
            self.assertEqual(self.bind(transport, "", port), port)

    def test_used(self) -> None:
        """
        A port used on any one address is passed over.
        """
        for transport in KINDS:
            for address in ("127.0.0.1", ""):
                used = self.bind(transport, address)
                self.assertGreater(free_port(transport, used), used)

    def test_other_transport(self) -> None:
        """
        A TCP port is of no concern for UDP.
        """
        used = self.bind("TCP", "", free_port("UDP", 0))
        self.assertEqual(free_port("UDP", used), used)

    def test_last(self) -> None:
        """
        Beyond the last port there is none.
        """
        with contextlib.suppress(OSError):  # then somebody else has it
            self.bind("UDP", "", 65_535)
        error = self.assertRaises(StartError, free_port, "UDP", 65_535)
        self.assertIn("in use", str(error))
