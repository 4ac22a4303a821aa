"""
Tests of what the system is asked for on a UDP socket.
"""

import socket

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.net.datagram_socket import DONT_FRAGMENT, READ_MOST, tune


class RecordingSocket(socket.socket):
    """
    Records options, and grants none if told so.
    """

    refuses = False

    def setsockopt(self, *option):
        self.options = [*getattr(self, "options", ()), option]
        if self.refuses:
            raise OSError("not permitted")


class Port:
    maxThroughput = 256 * 1024

    def __init__(self, system_socket):
        self.socket = system_socket


class TuneTests(SynchronousTestCase):
    def make(self, family=socket.AF_INET):
        made = RecordingSocket(family, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        return made

    def test_asks(self):
        """Both buffers and unfragmented datagrams are asked for, and reads are bounded."""
        port = Port(self.make())
        tune(port, 12345)
        asked = port.socket.options
        self.assertIn((socket.SOL_SOCKET, socket.SO_RCVBUF, 12345), asked)
        self.assertIn((socket.SOL_SOCKET, socket.SO_SNDBUF, 12345), asked)
        self.assertEqual(port.maxThroughput, READ_MOST)

    def test_fragments(self):
        """Where a platform has a name for it, IPv4 datagrams are not fragmented."""
        for platform, option in DONT_FRAGMENT.items():
            port = Port(self.make())
            tune(port, 1, platform)
            self.assertIn(option, port.socket.options)
            other = Port(self.make(socket.AF_INET6))
            tune(other, 1, platform)
            self.assertNotIn(option, other.socket.options)
        port = Port(self.make())
        tune(port, 1, "a platform of the future")
        self.assertEqual(len(port.socket.options), 2)

    def test_refused(self):
        """What the system does not grant is done without, and the rest still asked for."""
        made = self.make()
        made.refuses = True
        tune(Port(made), 1, "linux")
        self.assertEqual(len(made.options), 3)

    def test_no_socket(self):
        """A port without a socket, as in memory, is left alone."""
        port = object()
        tune(port, 1)
