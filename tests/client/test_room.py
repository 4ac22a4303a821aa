"""
The room and direct message client, on answers and pushes of a server that errs.
C{tests/server/test_rooms.py} has the rest, with a real server.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import (
    DirectMessageClient,
    LocalProtocolError,
    Payload,
    RemoteProtocolError,
    RoomClient,
)
from diarkis_tw.client.handlers import Handlers
from diarkis_tw.wire.value import encode_value


class Server:
    """
    Answers whatever is asked with one payload.

    @ivar asked: ver, cmd and payload of each request.
    """

    def __init__(self, answer: Payload) -> None:
        self._answer = answer
        self.asked: list[tuple[int, int, Payload]] = []
        self.pushes: dict[tuple[int, int], Handlers[[Payload]]] = {}

    def request(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        timeout: float = 5.0,
        reliable: bool = True,
    ) -> Deferred[Payload]:
        self.asked.append((ver, cmd, payload))
        return succeed(self._answer)

    def send(
        self,
        ver: int,
        cmd: int,
        payload: Payload = b"",
        reliable: bool = True,
        channel: int = 0,
    ) -> bool:
        raise AssertionError("everything here is reliable")

    def on_push(self, ver: int, cmd: int, handler: Callable[[Payload], object]) -> None:
        self.pushes.setdefault((ver, cmd), Handlers("push")).add(handler)


class ErringServerTests(SynchronousTestCase):
    def test_answers(self) -> None:
        """An answer of another shape fails what asked for it, and nothing else."""
        for answer in (b"\xc1", encode_value({"memberIds": 1}), {"memberIds": [1]}, {}):
            asking = RoomClient(Server(answer)).member_ids()
            self.failureResultOf(asking, RemoteProtocolError)

    def test_newer(self) -> None:
        """What a newer server says more is ignored."""
        asking = RoomClient(Server({"ownerId": "bob", "since": 1})).owner()
        self.assertEqual(self.successResultOf(asking), "bob")

    def test_pushes(self) -> None:
        """A push of another shape is logged, and no handler hears of it."""
        server = Server(b"")
        heard: list[object] = []
        RoomClient(server).on_message(lambda sender, message: heard.append(message))
        DirectMessageClient(server).on_message(lambda sender, message: heard.append(message))
        for cmd in (103, 701):
            for payload in (b"\xc1", {"from": "bob"}, {"from": 1, "message": ""}):
                server.pushes[1, cmd].call(payload)
        self.assertEqual(len(self.flushLoggedErrors(RemoteProtocolError)), 6)
        server.pushes[1, 103].call({"from": "bob", "message": "aGk="})
        self.assertEqual(heard, [b"hi"])

    def test_handlers(self) -> None:
        """A handler that fails keeps nobody else from being called."""
        server = Server(b"")
        room = RoomClient(server)
        owners: list[str] = []
        room.on_owner_changed(lambda owner: [][1])
        room.on_owner_changed(owners.append)
        server.pushes[1, 14].call({"ownerId": "bob"})
        self.assertEqual(owners, ["bob"])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class SendingTests(SynchronousTestCase):
    def test_messages(self) -> None:
        """Whatever is bytes or a mapping can be said; else nothing is sent."""
        server = Server(b"")
        room = RoomClient(server)
        for message in (b"a", bytearray(b"a"), {"a": {"b": b"c"}}):
            self.assertIsNone(self.successResultOf(room.broadcast(message)))
        deep: dict[str, object] = {}
        for _ in range(5000):
            deep = {"a": deep}
        for bad in ({"a": object()}, deep):
            self.failureResultOf(room.broadcast(bad), LocalProtocolError)
        self.assertEqual(
            [payload for _, _, payload in server.asked],
            [{"message": b"a"}, {"message": b"a"}, {"message": {"a": {"b": b"c"}}}],
        )
