"""
Tests of L{diarkis_tw.net.datagram_reading}.
"""

import errno
import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.net.datagram_reading import BATCH, BATCHES_MOST, Arrived, DatagramReader

CLIENT = ("192.0.2.1", 7)

REFUSED = (
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EMSGSIZE,
    errno.ENETRESET,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENOBUFS,
)
"""What systems say of a datagram or a client, and not of the socket."""


class Script:
    """
    A socket that has what a test wants.

    @ivar arrived: datagrams and faults to come.
    """

    def __init__(self, *arrived, family=socket.AF_INET):
        self.family = family
        self.arrived = list(arrived)

    def recvfrom(self, size):
        what = self.arrived.pop(0) if self.arrived else errno.EAGAIN
        if isinstance(what, int):
            raise OSError(what, os.strerror(what))
        datagram, address = what
        return datagram[:size], address


class ReaderTests(SynchronousTestCase):
    def read(self, script):
        """Read once; the batches that were taken."""
        taken: list[Arrived] = []
        DatagramReader(script, 5, taken.append).read()
        return taken

    def test_batch(self):
        """What there is makes one batch, of no more bytes than are looked at."""
        taken = self.read(Script((b"1", CLIENT), (b"1234567", CLIENT)))
        self.assertEqual(taken, [[(b"1", CLIENT), (b"12345", CLIENT)]])

    def test_nothing(self):
        """Nothing to read is nothing to take."""
        self.assertEqual(self.read(Script()), [])

    def test_full(self):
        """A full batch is followed by the next one, if there is any more."""
        for count, sizes in ((BATCH, [BATCH]), (BATCH + 1, [BATCH, 1])):
            taken = self.read(Script(*[(b"x", CLIENT)] * count))
            self.assertEqual([len(batch) for batch in taken], sizes)

    def test_bounded(self):
        """A flood does not keep other sockets and timers waiting."""
        script = Script(*[(b"x", CLIENT)] * BATCH * (BATCHES_MOST + 1))
        self.assertEqual([len(batch) for batch in self.read(script)], [BATCH] * BATCHES_MOST)
        self.assertEqual(len(script.arrived), BATCH)

    def test_refused(self):
        """
        Word that a client is gone, or that a datagram was too large, ends the batch and
        loses none of it.
        """
        for code in REFUSED:
            script = Script((b"1", CLIENT), code, (b"2", CLIENT))
            self.assertEqual(self.read(script), [[(b"1", CLIENT)]])
            self.assertEqual(self.read(script), [[(b"2", CLIENT)]])

    def test_refusedAlone(self):
        """Such word alone does not cost the port."""
        for code in REFUSED:
            self.assertEqual(self.read(Script(code)), [])

    def test_unusable(self):
        """That the socket is unusable is the reactor's business, after what it still had."""
        script = Script((b"1", CLIENT), errno.EBADF, errno.EBADF)
        self.assertEqual(self.read(script), [[(b"1", CLIENT)]])
        self.assertRaises(OSError, self.read, script)

    def test_scope(self):
        """Addresses of IPv6 come without flow and scope."""
        script = Script((b"1", ("::1", 7, 0, 0)), family=socket.AF_INET6)
        self.assertEqual(self.read(script), [[(b"1", ("::1", 7))]])
