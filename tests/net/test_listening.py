"""
Tests of L{diarkis_tw.net.listening}.
"""

import errno
import os
import socket
from collections.abc import Container

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from diarkis_tw.errors import StartError
from diarkis_tw.net.listening import PORTS_SEARCHED, listen_upward


class FakeHost:
    """
    A host whose ports can be bound or not; remembers what was tried.
    """

    def __init__(
        self, in_use: Container[int] = (), error: int = errno.EADDRINUSE, interface: str = "::1"
    ) -> None:
        self.in_use = in_use
        self.error = error
        self.interface = interface
        self.tried: list[int] = []

    def listen(self, port: int) -> str:
        self.tried.append(port)
        if port in self.in_use:
            failure = OSError(self.error, os.strerror(self.error))
            raise CannotListenError(self.interface, port, failure)
        return f"bound {port}"


class ListenUpwardTests(SynchronousTestCase):
    """
    The search for a free port.
    """

    def refused(self, host: FakeHost, port: int, *, fixed: bool = False) -> str:
        error = self.assertRaises(StartError, listen_upward, host.listen, port, fixed=fixed)
        return str(error)

    def test_free(self) -> None:
        """
        A free port is taken at once.
        """
        host = FakeHost()
        self.assertEqual(listen_upward(host.listen, 7200), "bound 7200")
        self.assertEqual(host.tried, [7200])

    def test_in_use(self) -> None:
        """
        While ports are in use the next one is tried.
        """
        host = FakeHost({7200, 7201, 7203})
        self.assertEqual(listen_upward(host.listen, 7200), "bound 7202")

    def test_any(self) -> None:
        """
        Port 0 leaves the choice to the system.
        """
        host = FakeHost()
        self.assertEqual(listen_upward(host.listen, 0), "bound 0")

    def test_any_fails(self) -> None:
        """
        Port 0 is not searched upward from.
        """
        host = FakeHost(range(70_000))
        self.refused(host, 0)
        self.assertEqual(host.tried, [0])

    def test_last_port_of_the_search(self) -> None:
        """
        The hundredth port is still tried.
        """
        host = FakeHost(range(7200, 7299))
        self.assertEqual(listen_upward(host.listen, 7200), "bound 7299")

    def test_all_in_use(self) -> None:
        """
        After a hundred ports the search ends with a sentence.
        """
        host = FakeHost(range(70_000))
        text = self.refused(host, 7200)
        self.assertEqual(host.tried, list(range(7200, 7300)))
        self.assertEqual(len(host.tried), PORTS_SEARCHED)
        self.assertIn("All ports from 7200 to 7299 of ::1 are in use", text)
        self.assertIn("0 for any free one", text)

    def test_end_of_the_ports(self) -> None:
        """
        The search ends at port 65535.
        """
        host = FakeHost(range(70_000))
        self.assertIn("from 65530 to 65535", self.refused(host, 65_530))
        self.assertEqual(host.tried[-1], 65_535)

    def test_fixed(self) -> None:
        """
        A fixed port is the only one tried.
        """
        host = FakeHost({7000})
        text = self.refused(host, 7000, fixed=True)
        self.assertEqual(host.tried, [7000])
        self.assertIn("Port 7000 of ::1 is in use", text)
        self.assertIn("useFixedPort", text)
        self.assertEqual(listen_upward(FakeHost().listen, 7000, fixed=True), "bound 7000")

    def test_permission_denied(self) -> None:
        """
        A refused permission is reported at once.
        """
        for number in (errno.EACCES, errno.EPERM):
            host = FakeHost(range(70_000), number)
            text = self.refused(host, 80)
            self.assertEqual(host.tried, [80])
            self.assertIn("Cannot listen on ::1 port 80: permission denied", text)
            self.assertIn("above 1023", text)

    def test_not_an_address_of_this_machine(self) -> None:
        """
        Another machine's address is reported at once.
        """
        host = FakeHost(range(70_000), errno.EADDRNOTAVAIL)
        text = self.refused(host, 7200)
        self.assertEqual(host.tried, [7200])
        self.assertIn("no such address", text)
        self.assertIn("Set address", text)

    def test_other_errors(self) -> None:
        """
        Any other failure is reported at once with the system's reason.
        """
        host = FakeHost(range(70_000), errno.EMFILE, interface="")
        text = self.refused(host, 7200)
        self.assertEqual(host.tried, [7200])
        self.assertIn("all interfaces port 7200: Too many open files", text)

    def test_refused_after_a_port_in_use(self) -> None:
        """
        A failure in the midst of the search ends it.
        """
        host = FakeHost({7201}, errno.EACCES)

        def listen(port: int) -> str:
            if port == 7200:
                raise CannotListenError("::1", port, OSError(errno.EADDRINUSE, "in use"))
            return host.listen(port)

        self.assertIn("port 7201", str(self.assertRaises(StartError, listen_upward, listen, 7200)))
        self.assertEqual(host.tried, [7201])

    def test_failure_without_a_number(self) -> None:
        """
        A failure that is no system error is reported with its own text.
        """

        def listen(port: int) -> str:
            raise CannotListenError("nowhere", port, ValueError("odd"))

        self.assertIn("odd", str(self.assertRaises(StartError, listen_upward, listen, 7200)))


class RealPortTests(TestCase):
    """
    The search on real sockets.
    """

    def listen(self, port: int) -> IListeningPort:
        bound = reactor.listenTCP(port, Factory.forProtocol(Protocol), interface="127.0.0.1")

        def stop() -> Deferred[object]:
            return maybeDeferred(bound.stopListening)

        self.addCleanup(stop)
        return bound

    def test_next_port(self) -> None:
        """
        Beside a port in use the next free one is bound.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            bound = listen_upward(self.listen, port)
        self.assertIn(bound.getHost().port, range(port + 1, port + PORTS_SEARCHED))

    def test_foreign_address(self) -> None:
        """
        The system's answer for another machine's address is understood.
        """

        def listen(port: int) -> IListeningPort:
            return reactor.listenTCP(port, Factory(), interface="192.0.2.1")

        error = self.assertRaises(StartError, listen_upward, listen, 0)
        self.assertIn("no such address", str(error))
