"""
Tests of L{diarkis_tw.transports.udp}: what is read in one go is answered after it.
"""

from collections.abc import Callable

from diarkis_tw.core.user import User
from diarkis_tw.wire.datagram import HELLO_BYTE, HELLO_SIZE
from diarkis_tw.wire.frame import MESSAGE, RELIABLE, Frame
from tests.transports.udp_client import ECHO, UdpCase, UdpClient


class ReadingTests(UdpCase):
    """
    Several datagrams that the port has at once.
    """

    def arrive(self, client: UdpClient, *payloads: bytes, reliable: bool = False) -> None:
        """
        Let the port have commands of a client, a datagram each.
        """
        for payload in payloads:
            client.command(2, ECHO, payload, reliable=reliable)
            [datagram] = client.rudp.flush(self.now())
            self.socket.arrived.append((datagram, client.address))

    def messages(self, client: UdpClient) -> list[list[bytes]]:
        """
        What the client got: the last two bytes of each message in each datagram.
        """
        return [
            [data[-2:] for data in map(_message, client.open(datagram)) if data]
            for datagram in client.take()
        ]

    def test_coalesced(self) -> None:
        """
        Answers to several datagrams of a client leave in one, without a delayed call.
        """
        alice, bob = self.opened(), self.opened(self.user("bob"))
        later = self.reactor.later
        self.arrive(alice, b"a1", b"a2")
        self.arrive(bob, b"b1")
        self.port.doRead()
        self.assertEqual(self.messages(alice), [[b"a1", b"a2"]])
        self.assertEqual(self.messages(bob), [[b"b1"]])
        self.assertEqual(self.reactor.later, later)

    def test_others(self) -> None:
        """
        What a handler sends to other users leaves after the reading too.
        """
        alice, bob = self.opened(), self.opened(self.user("bob"))
        self.pushed_to = "bob"
        self.arrive(alice, b"a1", b"a2")
        self.port.doRead()
        self.assertEqual(self.messages(bob), [[b"a1", b"a2"]])

    def test_prompt(self) -> None:
        """
        What a command that came alone has for a client leaves before the handler is
        done; the second message and what is reliable wait for the end of the reading.
        """
        alice, bob = self.opened(), self.opened(self.user("bob"))
        at_once: list[list[list[bytes]]] = []
        user = self.server.users.find_uid("bob")
        assert user is not None

        def handle(ver: int, cmd: int, payload: bytes, sender: User) -> None:
            user.server_push(ver, cmd, b"p1", False)
            at_once.append(self.messages(bob))
            user.server_push(ver, cmd, b"p2", False)
            user.server_push(ver, cmd, b"p3", True)
            at_once.append(self.messages(bob))

        self.handle = handle
        self.arrive(alice, b"a1")
        self.port.doRead()
        self.assertEqual(at_once, [[[b"p1"]], []])
        self.assertEqual(self.messages(bob), [[b"p2", b"p3"]])

    def test_prompt_behind(self) -> None:
        """
        Nothing overtakes what waits for the same client already.
        """
        user = self.user("bob")
        alice, bob = self.opened(), self.opened(user)
        self.pushed_to = "bob"
        user.server_push(2, ECHO, b"p0", False)
        self.arrive(alice, b"a1")
        self.port.doRead()
        self.assertEqual(self.messages(bob), [[b"p0", b"a1"]])

    def test_outside(self) -> None:
        """
        After a reading, what is sent at another time still leaves by itself.
        """
        user = self.user()
        alice = self.opened(user)
        self.arrive(alice, b"a1")
        self.port.doRead()
        self.messages(alice)
        user.server_push(2, ECHO, b"p1", False)
        self.reactor.advance(0)
        self.assertEqual(self.messages(alice), [[b"p1"]])

    def test_fault(self) -> None:
        """
        A datagram at which this program fails, in or before a connection, costs no
        other client its answer, and later sends leave too.
        """
        user = self.user()
        alice, bob = self.opened(user), self.opened(self.user("bob"))
        self.arrive(alice, b"a1")
        self.arrive(bob, b"b1")
        self.socket.arrived.appendleft((bytes((HELLO_BYTE,)) + bytes(HELLO_SIZE - 1), "nowhere"))
        self.end(bob).rudp._opener = None
        self.port.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ValueError, AttributeError)), 2)
        self.assertEqual(self.messages(alice), [[b"a1"]])
        self.assertEqual(self.messages(bob), [])
        self.assertNotIn(bob.cid, self.udp._connections)
        user.server_push(2, ECHO, b"p1", False)
        self.reactor.advance(0)
        self.assertEqual(self.messages(alice), [[b"p1"]])

    def test_forged(self) -> None:
        """
        What is not authentic leaves nothing to be looked at after the reading.
        """
        alice = self.opened()
        self.arrive(alice, b"a1")
        datagram, address = self.socket.arrived.pop()
        self.socket.arrived.append((datagram[:-1] + bytes((datagram[-1] ^ 1,)), address))
        flushed = []
        self.udp._flush_one = flushed.append
        self.port.doRead()
        self.assertEqual(flushed, [])
        self.assertEqual(self.end(alice).rudp.forged, 1)

    def test_buffered(self) -> None:
        """
        With sendUDPInterval answers wait for the flush, not for the end of a reading.
        """
        self.serve({"sendUDPInterval": 20})
        alice = self.opened()
        self.arrive(alice, b"a1")
        self.port.doRead()
        self.assertEqual(self.messages(alice), [])
        self.reactor.advance(0.02)
        self.assertEqual(self.messages(alice), [[b"a1"]])

    def test_deadline_moved(self) -> None:
        """
        A deadline that has moved on by the time of the earlier one is kept.
        """
        alice = self.opened()
        self.arrive(alice, b"a1", reliable=True)
        self.port.doRead()
        [datagram] = alice.take()
        self.reactor.advance(0.02)
        alice.rudp.receive(datagram, self.now())
        self.arrive(alice, b"a2", reliable=True)
        self.port.doRead()
        self.assertEqual(self.messages(alice), [[b"a2"]])
        deadline = self.end(alice).rudp.deadline()
        assert deadline is not None
        self.reactor.advance((deadline - self.now()) / 1e6 - 0.001)
        self.assertEqual(self.messages(alice), [])
        self.reactor.advance(0.002)
        self.reactor.advance(0)
        self.assertEqual(self.messages(alice), [[b"a2"]])

    pushed_to = ""
    handle: Callable[[int, int, bytes, User], None] | None = None

    def _echo(self, ver: int, cmd: int, payload: bytes, user: User) -> bytes | None:  # type: ignore[override]
        if self.handle is not None:
            self.handle(ver, cmd, payload, user)
            return None
        if not self.pushed_to:
            return payload
        other = self.server.users.find_uid(self.pushed_to)
        assert other is not None
        other.server_push(ver, cmd, payload, False)
        return None


def _message(frame: Frame) -> bytes:
    kind, _, _, data = frame
    return data if kind == MESSAGE or kind >= RELIABLE else b""
