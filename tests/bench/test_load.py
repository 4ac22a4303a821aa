"""
L{bench.datagrams} and L{bench.keep_alive}: what they send is real, and they notice
what is wrong.
"""

import os
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from bench.datagram_session import DatagramSession
from bench.datagrams import DATAGRAM_SIZE, BareEchoClient, DatagramEchoClient, clock
from bench.keep_alive import KeepAlives
from bench.micro_udp import UdpEchoServer
from bench.session import ECHO
from diarkis_tw.constants import Status
from diarkis_tw.rudp.connection import Connection
from diarkis_tw.testing.simulation import LinkModel, Pair, Simulation
from diarkis_tw.wire.cipher import AeadCache, Cipher
from diarkis_tw.wire.message import decode_request, encode_response

SIZE = 8


class LoadCase(SynchronousTestCase):
    """
    A client's socket, and the other end of it.
    """

    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.theirs.setblocking(False)
        self.ours.settimeout(5)  # a bug is a failure then, not a test that hangs
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def messages(self, server: Connection) -> list[tuple[bytes, bool]]:
        """
        What the next datagram brought.
        """
        self.assertTrue(server.receive(self.theirs.recv(DATAGRAM_SIZE), clock()))
        delivered, server.delivered = server.delivered, []
        return delivered

    def say(self, server: Connection, message: bytes, reliable: bool) -> None:
        """
        Let the server send a message.
        """
        server.send(message, reliable)
        for datagram in server.flush(clock()):
            self.theirs.send(datagram)


class DatagramEchoTests(LoadCase):
    """
    L{DatagramEchoClient}.
    """

    def client(self, *, reliable: bool) -> tuple[DatagramEchoClient, Connection]:
        """
        A client of the load, and the server's end of its connection.
        """
        pair = Pair(Simulation(1), LinkModel(), LinkModel())
        ciphers = AeadCache()
        opener = Cipher(bytes(range(16, 32)), bytes(range(12, 24)), True, ciphers)
        sealer = Cipher(bytes(range(16)), bytes(range(12)), True, ciphers)
        session = DatagramSession(bytes(range(8)), opener, sealer, reliable, os.urandom(SIZE))
        return DatagramEchoClient(self.ours, session), pair.server.connection

    def test_echoes(self) -> None:
        """
        Requests of either kind are counted once their answers are there.
        """
        for reliable in (False, True):
            client, server = self.client(reliable=reliable)
            for number in range(3):
                client.send(float(number))
                [(request, was_reliable)] = self.messages(server)
                ver, cmd, request_id, payload = decode_request(request)
                self.assertEqual(((ver, cmd), was_reliable, len(payload)), (ECHO, reliable, SIZE))
                answer = encode_response(ver, cmd, Status.OK, request_id, payload)
                self.say(server, answer, reliable)
                self.assertEqual(client.receive(), 1)
            self.assertEqual(list(client.sent), [0.0, 1.0, 2.0])

    def test_again(self) -> None:
        """
        A reliable answer that was not acknowledged in time comes again, and counts once.
        """
        client, server = self.client(reliable=True)
        client.send(0.0)
        [(request, _)] = self.messages(server)
        _, _, request_id, payload = decode_request(request)
        self.say(server, encode_response(*ECHO, Status.OK, request_id, payload), True)
        self.assertEqual(client.receive(), 1)
        later = clock() + 1_200_000
        server.tick(later)
        (again,) = server.flush(later)
        self.theirs.send(again)
        self.assertEqual(client.receive(), 0)
        client.rest()
        self.assertEqual(self.messages(server), [])
        self.assertEqual(server.queued, 0)

    def test_wrong_answer(self) -> None:
        """
        The answer to an earlier request, one of the other kind or another payload
        fails the run.
        """
        for wrong in ("id", "kind", "payload"):
            client, server = self.client(reliable=False)
            client.send(0.0)
            [(request, _)] = self.messages(server)
            _, _, request_id, payload = decode_request(request)
            if wrong == "id":
                request_id -= 1
            elif wrong == "payload":
                payload = payload[::-1]
            answer = encode_response(*ECHO, Status.OK, request_id, payload)
            self.say(server, answer, wrong == "kind")
            self.assertRaises(RuntimeError, client.receive)

    def test_forged(self) -> None:
        """
        A datagram that does not open fails the run.
        """
        client, _ = self.client(reliable=False)
        self.theirs.send(b"\x80" + bytes(40))
        self.assertRaises(RuntimeError, client.receive)

    def test_rest(self) -> None:
        """
        At rest nothing reliable is left unacknowledged.
        """
        client, server = self.client(reliable=True)
        client.send(0.0)
        [(request, _)] = self.messages(server)
        _, _, request_id, payload = decode_request(request)
        self.say(server, encode_response(*ECHO, Status.OK, request_id, payload), True)
        self.assertEqual(client.receive(), 1)
        self.assertGreater(server.queued, 0)
        client.rest()
        self.assertEqual(self.messages(server), [])
        self.assertEqual(server.queued, 0)


class BareEchoTests(LoadCase):
    """
    L{BareEchoClient}.
    """

    def test_wrong_answer(self) -> None:
        """
        Anything but the request fails the run.
        """
        client = BareEchoClient(self.ours, SIZE)
        client.send(0.0)
        request = self.theirs.recv(DATAGRAM_SIZE)
        self.assertEqual(len(request), SIZE)
        self.theirs.send(request)
        self.assertEqual(client.receive(), 1)
        self.theirs.send(request[::-1])
        self.assertRaises(RuntimeError, client.receive)


class KeepAliveTests(LoadCase):
    """
    L{KeepAlives}.
    """

    def test_answers(self) -> None:
        """
        Of users on one socket each gets its own answer; one that is lost is not counted.
        """
        server = UdpEchoServer(3, False)
        users = KeepAlives(self.ours, 1000.0)
        for player in server.players:
            users.add(player.connection, time.perf_counter() - 1000.0)
        users.run_due()
        self.assertEqual((users.sent, users.answered), (3, 0))
        for player in server.players:
            server.port.socket.arrived.append((self.theirs.recv(DATAGRAM_SIZE), player.address))
        server.turn()
        [_, second, third] = server.take()
        for datagram, _ in (second, third):
            self.theirs.send(datagram)
        users.settle()
        self.assertEqual((users.sent, users.answered), (3, 2))
