"""
The room benchmark: it runs, its relay relays, and it notices what is missing or wrong.
"""

import argparse
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import rooms
from bench.process import ServerProcess
from bench.room_load import LoadedRoom, Relayed, RoomLoad
from bench.room_member import BareMember, Member, Pieces, receive_some
from bench.room_player import pushed
from bench.room_ws import pushed_json
from bench.web_socket import frame, messages
from diarkis_tw.wire.json_message import decode_json_server_message
from diarkis_tw.wire.message import Push, decode_server_message
from diarkis_tw.wire.value import decode_value
from diarkis_tw.wire.websocket import FRAME_TEXT, server_frame, whole_message
from tests.bench.whole import run_bench

TINY = ["rooms", "--seconds=0.1", "--rounds=1", "--rooms", "2x2", "1x3"]


class RoomBenchmarkTests(SynchronousTestCase):
    """
    C{python -m bench rooms}.
    """

    def test_whole(self) -> None:
        """
        With tiny rooms it ends by itself, each server compared with the bare relay.
        """
        said = run_bench(*TINY)
        rows = [line for line in said.splitlines() if line.endswith("%")]
        names = [row[:12].strip() for row in rows]
        tcp, udp = ["bare relay", "diarkis_tw"], ["bare relay", "unreliable", "reliable"]
        ws = ["bare relay", "json", "binary"]
        self.assertEqual(names, 2 * tcp + 2 * ws + 2 * udp)
        for row in rows:
            self.assertRegex(row, " 100 %$" if row.startswith("bare") else r" \d+ %$")

    def test_layouts(self) -> None:
        """
        A layout is two positive numbers.
        """
        self.assertEqual(rooms._layout("10x8"), (10, 8))
        for wrong in ("", "10", "x8", "10x", "0x8", "ax8", "-1x8", "1x2x3"):
            self.assertRaises(argparse.ArgumentTypeError, rooms._layout, wrong)

    def test_figures(self) -> None:
        """
        Deliveries are counted by the second of CPU, and CPU by the second of time.
        """
        relayed = Relayed(deliveries=1000, cpu=0.5, took=2.0, rate=20.0, together=1.5)
        self.assertEqual((relayed.per_second, relayed.busy), (2000.0, 25.0))

    def test_message(self) -> None:
        """
        What members are expected to hear is what the server pushes, as bytes or as JSON.
        """
        push = decode_server_message(pushed("alice", b"hello"))
        assert isinstance(push, Push)
        self.assertEqual((push.ver, push.cmd), (1, 103))
        self.assertEqual(decode_value(push.payload), {"from": "alice", "message": b"hello"})
        push = decode_json_server_message(pushed_json("alice", b"hello"))
        assert isinstance(push, Push)
        self.assertEqual(push.payload, {"from": "alice", "message": "aGVsbG8="})

    def test_frames(self) -> None:
        """
        A client's frames are masked, and a server's are taken apart again.
        """
        for size in (5, 125, 126, 300):
            payload = b"x" * size
            masked = frame(FRAME_TEXT, payload)
            self.assertNotIn(payload, masked)
            self.assertEqual(whole_message(masked, FRAME_TEXT, size), payload)
            frames = server_frame(FRAME_TEXT, payload) + server_frame(FRAME_TEXT, b"")
            self.assertEqual(list(messages(frames)), [payload, b""])


class PiecesTests(SynchronousTestCase):
    """
    L{Pieces}.
    """

    def test_count(self) -> None:
        """
        Deliveries are counted with the piece that completes them, however a stream is cut.
        """
        pieces = Pieces(4)
        counts = [pieces.add(b"x" * size) for size in (1, 2, 1, 4, 9, 2, 1, 8, 0, 4)]
        self.assertEqual(counts, [0, 0, 1, 1, 2, 0, 1, 2, 0, 1])
        self.assertEqual(pieces.take(), b"x" * 32)
        self.assertEqual((pieces.add(b"xxxx"), pieces.take()), (1, b"xxxx"))

    def test_closed(self) -> None:
        """
        A server that closes a connection fails the run.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        theirs.close()
        self.assertRaises(RuntimeError, receive_some, ours)


class Silent(Member):
    """
    A member that has heard what a test says.
    """

    def __init__(self, wire: socket.socket, name: str) -> None:
        super().__init__(wire, name)
        self.was_said: list[bytes] = []

    def said(self, number: int) -> bytes:
        return self.text(number)

    def heard(self) -> list[bytes]:
        return self.was_said


class CheckTests(SynchronousTestCase):
    """
    L{LoadedRoom.check}.
    """

    def setUp(self) -> None:
        wires = socket.socketpair()
        for wire in wires:
            self.addCleanup(wire.close)
        self.members = [Silent(wire, name) for wire, name in zip(wires, ("a", "b"), strict=True)]
        self.room = LoadedRoom(self.members)
        for number, member in enumerate(self.members):
            self.room.spoken.append((member, number))
        self.all = [member.said(number) for member, number in self.room.spoken]
        for member in self.members:
            member.was_said = list(self.all)

    def test_all(self) -> None:
        """
        Everybody heard everything, in whatever order.
        """
        self.members[1].was_said.reverse()
        self.room.check()
        self.assertEqual(self.room.spoken, [])

    def test_wrong(self) -> None:
        """
        A delivery that is missing, wrong, or comes twice fails the run.
        """
        first, second = self.all
        for heard in ([first], [first, first], [first, second, second], [first, second[:-1]], []):
            self.members[1].was_said = heard
            spoken = list(self.room.spoken)
            self.assertRaises(RuntimeError, self.room.check)
            self.room.spoken[:] = spoken


class RelayTests(SynchronousTestCase):
    """
    L{bench.relay}.
    """

    def test_relay(self) -> None:
        """
        What a member says comes to its room and no other, over every transport.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        with ServerProcess(["-m", "bench.relay"], folder.absolute(), "relay", None) as relay:
            for enter in (rooms.bare_tcp, rooms.bare_ws, rooms.bare_udp):
                load = enter(relay, "m", 2, 2)
                try:
                    relayed = load.run(0.2)
                    self.assertGreater(relayed.deliveries, 2 * 4)
                    self.hear_one(load)
                finally:
                    load.close()

    def hear_one(self, load: RoomLoad) -> None:
        """
        Let one member speak.
        """
        first, second, *others = [member for room in load._rooms for member in room.members]
        assert isinstance(first, BareMember)
        first.say(7)
        for member in (first, second):
            member.wait()
            self.assertEqual(member.receive(), 1)
            self.assertEqual(member.heard(), [first.said(7)])
        for member in others:
            self.assertRaises(BlockingIOError, member.receive)
