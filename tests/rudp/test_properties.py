"""
Properties of L{diarkis_tw.rudp.connection} under any input and any schedule.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.connection import State
from diarkis_tw.rudp.limits import Limits
from diarkis_tw.wire.frame import ACK, CLOSE, PATH_CHALLENGE, PATH_RESPONSE, encode_ack
from tests.rudp.peer import MILLISECOND, SECOND, Peer, reliable, unreliable
from tests.strategies import sized, u8, u16

frames = (
    st.binary(max_size=40)
    | st.builds(
        reliable,
        st.integers(0, 20) | st.integers(0, 300) | u16,
        st.binary(max_size=60),
        st.integers(0, 7),
        st.booleans(),
        st.booleans(),
    )
    | st.builds(unreliable, st.binary(max_size=60))
    | st.builds(encode_ack, st.integers(0, 10) | u16, u8, st.integers(0, 2**256 - 1))
    | st.builds(
        lambda kind, data: bytes((kind,)) + data,
        st.sampled_from((PATH_CHALLENGE, PATH_RESPONSE)),
        sized(8),
    )
    | st.sampled_from((b"\x00", b"\x01", bytes((ACK, 0, 0, 0, 0)), bytes((CLOSE, 0))))
)
numbers = st.none() | st.integers(0, 2**28)


class HostileInputTests(SynchronousTestCase):
    """
    Any bytes.
    """

    @given(st.lists(st.binary(max_size=1300) | st.binary(max_size=60).map(b"\x80".__add__)))
    def test_anyDatagram(self, datagrams: list[bytes]) -> None:
        """
        Any bytes as a datagram raise nothing and change nothing but counters.
        """
        for is_client in (True, False):
            for encrypted in (True, False):
                peer = Peer(is_client, encrypted=encrypted)
                for datagram in datagrams:
                    self.assertFalse(peer.connection.receive(datagram, peer.now))
                counted = peer.connection.forged + peer.connection.replayed
                self.assertEqual(counted, len(datagrams))
                self.assertEqual((peer.connection.delivered, peer.wait(SECOND)), ([], []))

    @settings(max_examples=200)
    @given(
        st.lists(
            st.tuples(st.lists(frames, max_size=8), numbers, st.integers(0, 300 * MILLISECOND)),
            max_size=30,
        )
    )
    @example([([encode_ack(0, 0, 0)], None, 0)] * 3)
    def test_anyPlaintext(self, packets: list[tuple[list[bytes], int | None, int]]) -> None:
        """
        Any authentic plaintext, under any number, raises nothing, makes no timer spin, holds no
        more than came, and a closed connection holds nothing.
        """
        peer = Peer(limits=Limits(window=64, max_message_size=200))
        size = 0
        for contents, number, pause in packets:
            peer.connection.send(b"reliable", True, 0, peer.now)
            peer.connection.send(b"unreliable", False)
            peer.give(*contents, number=number)
            size += sum(map(len, contents)) * 200
            peer.delivered()
            self.assertLessEqual(peer.budget.used, size)
            self.assertLessEqual(len(peer.wait(pause)), 40)
            if peer.connection.state is not State.OPEN:
                self.assertEqual(peer.budget.used, 0)
                self.assertIsNotNone(peer.connection.code)
        peer.wait(60 * SECOND)


class ScheduleTests(SynchronousTestCase):
    """
    Two real ends and a network that a test case decides.
    """

    @settings(max_examples=150)
    @given(st.data())
    def test_anySchedule(self, data: st.DataObject) -> None:
        """
        Whatever is sent when, and whatever is lost, delayed or duplicated: each reliable
        message arrives once and in the order of its channel, an unreliable one at most once.
        """
        limits = Limits(
            window=data.draw(st.sampled_from((16, 256)), "window"),
            mtu=576,
            redundancy=data.draw(st.booleans(), "redundancy"),
        )
        ends = Peer(True, limits), Peer(False, limits)
        sent: tuple[list[tuple[int, bytes]], ...] = ([], [])
        got: tuple[list[bytes], ...] = ([], [])
        wire: list[tuple[int, bytes]] = []
        steps = data.draw(
            st.lists(
                st.tuples(
                    st.integers(0, 1),
                    st.sampled_from(("send", "send", "carry", "carry", "lose", "copy", "wait")),
                    st.integers(0, 2_000),
                ),
                max_size=60,
            ),
            "steps",
        )
        now = 10 * SECOND

        def work(turn: int) -> None:
            for to, end in ((1, ends[0]), (0, ends[1])):
                deadline = end.connection.deadline()
                if deadline is not None and deadline <= now:
                    end.connection.tick(now)
                wire.extend((to, datagram) for datagram in end.connection.flush(now))

        def arrive(to: int, datagram: bytes) -> None:
            ends[to].connection.receive(datagram, now)
            for message, is_reliable in ends[to].connection.delivered:
                got[to].append(message if is_reliable else b"u" + message)
            ends[to].connection.delivered.clear()

        for count, (end, step, number) in enumerate(steps):
            if step == "send":
                message = b"%d " % count + bytes(number)
                channel = number % 3
                if number % 5:
                    self.assertTrue(ends[end].connection.send(message, True, channel, now))
                    sent[end].append((channel, message))
                elif number < 500:
                    ends[end].connection.send(message, False, 0, now)
            elif step == "wait":
                now += number * 100
            elif wire:
                index = number % len(wire)
                to, datagram = wire[index] if step == "copy" else wire.pop(index)
                if step != "lose":
                    arrive(to, datagram)
            work(count)
        for _ in range(3_000):  # and then the network is well
            if not wire and not any(end.connection.queued for end in ends):
                break
            now += MILLISECOND
            arriving, wire[:] = wire[:], []
            for to, datagram in arriving:
                arrive(to, datagram)
            work(-1)
        for to, end in ((1, 0), (0, 1)):
            arrived = [message for message in got[to] if message[:1] != b"u"]
            for channel in range(3):
                expected = [message for number, message in sent[end] if number == channel]
                self.assertEqual([m for m in arrived if m in expected], expected)
            self.assertEqual(len(arrived), len(sent[end]))
            loose = [message for message in got[to] if message[:1] == b"u"]
            self.assertEqual(len(loose), len(set(loose)))
            self.assertIs(ends[end].connection.state, State.OPEN)
