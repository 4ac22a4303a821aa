"""
Rooms and direct messages whose members came over every transport, on a whole server
and with real clients, all in memory.
"""

import json
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.client import Client, Joined, LocalProtocolError, ResponseError, connect
from diarkis_tw.constants import Builtin, ErrorCode, ServerType
from diarkis_tw.server import Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor
from diarkis_tw.wire.value import Payload

URL = "http://127.0.0.1:7000"

T = TypeVar("T")

KINDS: dict[str, tuple[ServerType, bool]] = {
    "udp": (ServerType.UDP, False),
    "tcp": (ServerType.TCP, False),
    "json": (ServerType.WS, False),
    "binary": (ServerType.WS, True),
}
"""The users of these tests, each with its transport."""


class RoomsCase(SynchronousTestCase):
    """
    A server of every kind, and a client on each.
    """

    def setUp(self) -> None:
        self.reactor = LoopbackUdpReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_udp_server({"port": 7100})
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.setup_as_websocket_server({"port": 7300})
        self.server.setup_as_http_server({"port": 7000})
        self.server.rooms.expose_commands()
        self.server.dm.expose_commands()
        self.server.expose_debug_commands()
        self.server.on_ready(self.ready)
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)
        self.heard: list[tuple[object, ...]] = []
        self.clients = {uid: self.connect(uid) for uid in KINDS}

    def ready(self) -> None:
        """
        All is bound, and the server is not ONLINE yet.
        """

    def stop(self) -> None:
        stopping = self.service.stopService()
        self.reactor.advance(60)
        assert stopping is not None
        self.successResultOf(stopping)

    def connect(self, uid: str) -> Client:
        """
        A client whose news go to C{heard}.
        """
        kind, binary = KINDS[uid]
        connecting = connect(URL, uid, type=kind, binary=binary, reactor=self.reactor)
        self.reactor.advance(1)
        client = self.successResultOf(connecting)
        heard = self.heard
        room = client.room
        room.on_message(lambda sender, message: heard.append((uid, sender, message)))
        room.on_member_joined(
            lambda news: heard.append((uid, "joined", news.uid, news.members, news.message))
        )
        room.on_member_left(
            lambda news: heard.append((uid, "left", news.uid, news.members, news.message))
        )
        room.on_owner_changed(lambda owner: heard.append((uid, "owner", owner)))
        room.on_properties_changed(lambda changes: heard.append((uid, "properties", changes)))
        room.on_chat(lambda line: heard.append((uid, "chat", line.sender, line.text)))
        client.dm.on_message(lambda sender, message: heard.append((uid, "dm", sender, message)))
        client.dm.on_connect(lambda sender: heard.append((uid, "connect", sender)))
        client.dm.on_disconnect(lambda sender: heard.append((uid, "disconnect", sender)))
        return client

    def answer(self, asking: "Deferred[T]") -> T:
        """
        What the server answers.
        """
        self.reactor.advance(0.5)
        return self.successResultOf(asking)

    def refused(self, asking: "Deferred[T]") -> int:
        """
        The code with which the server refuses.
        """
        self.reactor.advance(0.5)
        error = self.failureResultOf(asking, ResponseError).value
        self.assertTrue(error.message)
        return error.code

    def fill(self) -> Joined:
        """
        Everybody joins one room, which C{udp} has made.
        """
        room = self.answer(self.clients["udp"].room.create(properties={"map": "forest"}))
        for uid in ("tcp", "json", "binary"):
            room = self.answer(self.clients[uid].room.join(room.room_id))
        self.heard.clear()
        return room

    def took(self) -> list[tuple[object, ...]]:
        """
        What was heard since this was last asked, by user.
        """
        self.reactor.advance(0.5)
        heard = sorted(self.heard, key=lambda each: list(KINDS).index(str(each[0])))
        self.heard.clear()
        return heard


class RoomTests(RoomsCase):
    def test_joining(self) -> None:
        """Who joins gets the room, and the others hear of it with the message."""
        made = self.answer(self.clients["udp"].room.create(properties={"map": "forest"}))
        self.assertEqual(
            (made.member_ids, made.owner_id, made.max_members, made.created),
            (["udp"], "udp", 8, True),
        )
        for uid, message in (("tcp", b"\xff"), ("json", b"hi"), ("binary", {"a": [1]})):
            room = self.answer(self.clients[uid].room.join(made.room_id, message))
        self.assertEqual(room.member_ids, list(KINDS))
        self.assertEqual((room.properties, room.created), ({"map": "forest"}, False))
        self.assertEqual(
            self.took(),
            [
                ("udp", "joined", "tcp", 2, b"\xff"),
                ("udp", "joined", "json", 3, b"hi"),
                ("udp", "joined", "binary", 4, {"a": [1]}),
                ("tcp", "joined", "json", 3, b"hi"),
                ("tcp", "joined", "binary", 4, {"a": [1]}),
                ("json", "joined", "binary", 4, {"a": [1]}),
            ],
        )

    def test_broadcasts(self) -> None:
        """Bytes and values go from every transport to every transport as they are."""
        self.fill()
        messages: list[Payload] = [b"", b"\x00\xff", {"x": 1.5, "list": [None, "ü"]}]
        for sender, client in self.clients.items():
            for message in messages:
                self.answer(client.room.broadcast(message))
                self.assertEqual(self.took(), [(uid, sender, message) for uid in KINDS])

    def test_relays(self) -> None:
        """A relay goes to all but its sender, a message to whom it names."""
        self.fill()
        for sender, client in self.clients.items():
            others = [uid for uid in KINDS if uid != sender]
            self.answer(client.room.relay(b"r"))
            self.assertEqual(self.took(), [(uid, sender, b"r") for uid in others])
            self.answer(client.room.relay_to(KINDS, b"t"))
            self.assertEqual(self.took(), [(uid, sender, b"t") for uid in others])
            self.answer(client.room.message(["json", "udp", "nobody"], {"m": 1}))
            self.assertEqual(self.took(), [(uid, sender, {"m": 1}) for uid in ("udp", "json")])

    def test_unreliable(self) -> None:
        """An unreliable broadcast fires at once, and arrives without an answer."""
        self.fill()
        answers: list[object] = []
        for sender, client in self.clients.items():
            client.on_response(answers.append)
            self.successResultOf(client.room.broadcast(b"u", reliable=False))
            self.assertEqual(self.took(), [(uid, sender, b"u") for uid in KINDS])
        self.assertEqual(answers, [])

    def test_not_for_json(self) -> None:
        """What JSON cannot carry reaches the others, and costs no member its connection."""
        self.fill()
        deep: dict[str, object] = {}
        for _ in range(20):
            deep = {"a": deep}
        for message in (deep, {"n": float("inf")}):
            self.answer(self.clients["tcp"].room.broadcast(message))
            others = [(uid, "tcp", message) for uid in KINDS if uid != "json"]
            self.assertEqual(self.took(), others)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.answer(self.clients["tcp"].room.broadcast(b"x"))
        self.assertEqual(self.took(), [(uid, "tcp", b"x") for uid in KINDS])

    def test_unreliable_is_lost(self) -> None:
        """What was unreliable on its way in is on its way out: when lost, not sent again."""
        self.fill()
        room = self.clients["udp"].room
        hops = self.reactor.hops
        hops.append(lambda datagram: () if datagram.source[1] == 7100 else [(0, datagram)])
        self.successResultOf(room.broadcast(b"lost", reliable=False))
        waiting = room.broadcast(b"kept")
        self.reactor.advance(0.1)
        hops.clear()
        self.reactor.advance(3)
        self.successResultOf(waiting)
        self.assertEqual([each[2] for each in self.took()], [b"kept"] + 3 * [b"lost", b"kept"])

    def test_properties(self) -> None:
        """Properties and their changes are the same to all; increments add up."""
        self.fill()
        for n, client in enumerate(self.clients.values(), 1):
            self.assertEqual(self.answer(client.room.increment("n", 2)), 2 * n)
            self.assertEqual(self.took(), [(uid, "properties", {"n": 2 * n}) for uid in KINDS])
            self.answer(client.room.update_properties({"map": None, "s": [n]}))
            self.assertEqual(
                self.took(), [(uid, "properties", {"map": None, "s": [n]}) for uid in KINDS]
            )
            self.assertEqual(self.answer(client.room.get_properties()), {"n": 2 * n, "s": [n]})
            self.assertEqual(self.answer(client.room.get_properties("s", "no")), {"s": [n]})

    def test_chat(self) -> None:
        """A line of chat is heard by all, and kept."""
        self.fill()
        for sender, client in self.clients.items():
            self.answer(client.room.chat(f"I am {sender}"))
            self.assertEqual(
                self.took(), [(uid, "chat", sender, f"I am {sender}") for uid in KINDS]
            )
        for client in self.clients.values():
            lines = self.answer(client.room.chat_log())
            self.assertEqual([line.sender for line in lines], list(KINDS))

    def test_who(self) -> None:
        """Members, their number and the owner are the same to all."""
        self.fill()
        for client in self.clients.values():
            self.assertEqual(self.answer(client.room.member_ids()), list(KINDS))
            count = self.answer(client.room.member_count())
            self.assertEqual((count.members, count.max_members), (4, 8))
            self.assertEqual(self.answer(client.room.owner()), "udp")

    def test_finding(self) -> None:
        """A room that is registered is found and joined at random, until it is full."""
        udp, tcp, json_, binary = (client.room for client in self.clients.values())
        made = self.answer(udp.create(max_members=2))
        self.assertEqual(self.answer(tcp.find("duel")), [])
        self.answer(udp.register("duel"))
        (found,) = self.answer(json_.find("duel", 5))
        self.assertEqual((found.room_id, found.members, found.max_members), (made.room_id, 1, 2))
        self.answer(udp.reserve(["binary"]))
        self.assertEqual(self.refused(tcp.join(made.room_id)), ErrorCode.JOIN_ROOM)
        self.answer(udp.cancel_reservation(["binary"]))
        joined = self.answer(tcp.random_join("duel", b"hello"))
        self.assertEqual((joined.room_id, joined.created), (made.room_id, False))
        self.assertEqual(self.took(), [("udp", "joined", "tcp", 2, b"hello")])
        new = self.answer(json_.random_join("duel", max_members=3, properties={"a": 1}))
        self.assertTrue(new.created)
        self.assertEqual((new.max_members, new.properties), (3, {"a": 1}))
        self.assertEqual(self.refused(tcp.register("x")), ErrorCode.ROOM)
        self.assertEqual(self.answer(binary.find("duel"))[0].room_id, new.room_id)

    def test_leaving(self) -> None:
        """Who leaves is heard of with the message, and the next one owns the room."""
        self.fill()
        self.answer(self.clients["udp"].room.leave({"bye": True}))
        self.assertEqual(
            self.took(),
            [
                each
                for uid in ("tcp", "json", "binary")
                for each in ((uid, "left", "udp", 3, {"bye": True}), (uid, "owner", "tcp"))
            ],
        )
        self.assertEqual(self.refused(self.clients["udp"].room.leave()), ErrorCode.NOT_IN_ROOM)

    def test_lost(self) -> None:
        """A member whose socket is lost stays for its grace, then leaves, and others hear it."""
        self.fill()
        lost = self.clients["tcp"]
        self.reactor.ports.pop(7200)
        (link,) = (each for each in self.reactor.links if each.server.getHost().port == 7200)
        link.cut()
        self.reactor.advance(8)
        self.assertEqual(self.answer(self.clients["udp"].room.member_ids()), list(KINDS))
        self.reactor.advance(4)
        self.assertEqual(
            self.took(), [(uid, "left", "tcp", 3, b"") for uid in ("udp", "json", "binary")]
        )
        self.answer(lost.close())

    def test_back_within_grace(self) -> None:
        """A member who comes back within its grace is still in, and has missed nothing."""
        self.fill()
        (link,) = (each for each in self.reactor.links if each.server.getHost().port == 7200)
        link.cut()
        self.answer(self.clients["udp"].room.broadcast(b"meanwhile"))
        self.reactor.advance(5)
        self.assertIn(("tcp", "udp", b"meanwhile"), self.took())
        self.assertEqual(self.answer(self.clients["tcp"].room.member_ids()), list(KINDS))

    def test_refusals(self) -> None:
        """What cannot be done is refused over every transport with the same code."""
        for client in self.clients.values():
            room = client.room
            self.assertEqual(self.refused(room.broadcast(b"x")), ErrorCode.NOT_IN_ROOM)
            self.assertEqual(self.refused(room.join("x@y")), ErrorCode.ROOM_NOT_FOUND)
            self.assertEqual(self.refused(room.create(max_members=1)), ErrorCode.INVALID_PARAMETERS)
            self.failureResultOf(room.broadcast({"x": object()}), LocalProtocolError)
            self.failureResultOf(
                room.broadcast({"x": object()}, reliable=False), LocalProtocolError
            )

    def test_offline(self) -> None:
        """A node that is OFFLINE takes no new rooms, and lets users into those it has."""
        made = self.answer(self.clients["udp"].room.create())
        self.server.offline()
        for uid in ("tcp", "json"):
            room = self.clients[uid].room
            self.assertEqual(self.refused(room.create()), ErrorCode.NEW_ROOM)
            self.assertEqual(self.refused(room.random_join("x")), ErrorCode.NEW_ROOM)
            self.assertIn(uid, self.answer(room.join(made.room_id)).member_ids)

    def test_dump(self) -> None:
        """The debug command 904 lists the rooms with members and properties."""
        made = self.fill()
        dump = self.answer(self.clients["binary"].request(0, Builtin.DEBUG_ROOMS))
        assert isinstance(dump, bytes)
        self.assertEqual(
            json.loads(dump),
            [
                {
                    "ID": made.room_id,
                    "Type": "",
                    "Owner": "udp",
                    "MaxMembers": 8,
                    "Members": list(KINDS),
                    "Reserved": [],
                    "Properties": {"map": "forest"},
                }
            ],
        )

    def test_interval(self) -> None:
        """With an interval broadcasts arrive later, each on its own and in order."""
        made = self.answer(self.clients["udp"].room.create(interval=1000))
        self.answer(self.clients["json"].room.join(made.room_id))
        self.reactor.advance(2)
        self.heard.clear()
        sent = [self.clients["json"].room.broadcast(bytes([n])) for n in range(3)]
        self.reactor.advance(0.5)
        for each in sent:
            self.successResultOf(each)
        self.assertEqual(self.heard, [])
        self.reactor.advance(0.6)
        self.assertEqual(
            self.took(), [(uid, "json", bytes([n])) for uid in ("udp", "json") for n in range(3)]
        )


class LobbyTests(RoomsCase):
    def ready(self) -> None:
        self.lobby = self.server.rooms.create(type="lobby", allow_empty=True, ttl=60)

    def test_made_before_online(self) -> None:
        """A room that the application made before the node was ONLINE is found and joined."""
        [found] = self.answer(self.clients["json"].room.find("lobby"))
        self.assertEqual(found.room_id, self.lobby.id)
        joined = self.answer(self.clients["tcp"].room.join(self.lobby.id))
        self.assertEqual((joined.member_ids, joined.owner_id), (["tcp"], "tcp"))


class DirectMessageTests(RoomsCase):
    def test_messages(self) -> None:
        """Bytes and values go from every transport to every transport."""
        messages: list[Payload] = [b"\xff", {"a": {"b": 1}}]
        for sender, client in self.clients.items():
            for to in KINDS:
                for message in messages:
                    self.answer(client.dm.send(to, message))
                    self.assertEqual(self.took(), [(to, "dm", sender, message)])

    def test_unreliable(self) -> None:
        """An unreliable one fires at once."""
        self.successResultOf(self.clients["udp"].dm.send("json", b"u", reliable=False))
        self.assertEqual(self.took(), [("json", "dm", "udp", b"u")])

    def test_nobody(self) -> None:
        """A user who is not here is said so."""
        for client in self.clients.values():
            self.assertEqual(self.refused(client.dm.send("nobody", b"x")), ErrorCode.DM)

    def test_connections(self) -> None:
        """Who connects is heard of, and hears when the other one leaves the game."""
        self.answer(self.clients["udp"].dm.connect("json"))
        self.answer(self.clients["tcp"].dm.connect("json"))
        self.answer(self.clients["tcp"].dm.disconnect("json"))
        self.assertEqual(
            self.took(),
            [
                ("json", "connect", "udp"),
                ("json", "connect", "tcp"),
                ("json", "disconnect", "tcp"),
            ],
        )
        self.answer(self.clients["json"].close())
        self.assertEqual(self.took(), [("udp", "disconnect", "json")])
