"""
Two people in two terminals, with the real server in memory.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import demo
from diarkis_tw.cli.conversation import Conversation
from diarkis_tw.cli.meeting import HELP, WORDS, show_news
from diarkis_tw.client import Push, connect
from diarkis_tw.server import Room, Server
from diarkis_tw.testing.loopback_udp import LoopbackUdpReactor
from diarkis_tw.wire.value import encode_value
from tests.markdown import ROOT, blocks, matches


class Person:
    """
    Somebody who types and reads.

    @ivar shown: the lines that appeared since they were last looked at.
    """

    def __init__(self, case: "MeetingCase", uid: str, kind: str, binary: bool = False) -> None:
        self._case = case
        connecting = connect(
            "http://127.0.0.1:7000", uid, type=kind, binary=binary, reactor=case.reactor
        )
        case.reactor.advance(1)
        self.client = case.successResultOf(connecting)
        self._lines: list[str] = []
        self._conversation = Conversation(
            self.client,
            case.reactor,
            2.0,
            out=self._lines.append,
            note=self._lines.append,
            speaks_json=kind == "WS" and not binary,
        )

    @property
    def shown(self) -> list[str]:
        lines = self._lines[:]
        self._lines.clear()
        return lines

    def types(self, text: str, *, works: bool = True) -> list[str]:
        """
        What the terminal shows after a line.
        """
        carrying = Deferred.fromCoroutine(self._conversation.line(text))
        self._case.reactor.advance(0.2)
        self._case.assertEqual(self._case.successResultOf(carrying), works, self._lines)
        return self.shown


class MeetingCase(SynchronousTestCase):
    """
    The real server with the demo, in memory.
    """

    def set_up(self, server: Server) -> None:
        demo.setup(server)

    def setUp(self) -> None:
        self.reactor = LoopbackUdpReactor()
        self.server = Server(self.reactor)
        self.server.setup_as_udp_server({"port": 7100})
        self.server.setup_as_tcp_server({"port": 7200})
        self.server.setup_as_websocket_server({"port": 7300})
        self.server.setup_as_http_server({"port": 7000})
        self.set_up(self.server)
        self.service = self.server.service()
        self.service.startService()
        self.reactor.pump()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopping = self.service.stopService()
        self.reactor.advance(60)
        assert stopping is not None
        self.successResultOf(stopping)


class NotOfferedTests(MeetingCase):
    def set_up(self, server: Server) -> None:
        pass

    def test_not_offered(self) -> None:
        """Whose application does not let clients use rooms or messages is told how it would."""
        alice = Person(self, "alice", "TCP")
        for text, module in (("room create", "rooms"), ("dm bob hello", "dm")):
            (line,) = alice.types(text, works=False)
            self.assertIn(f"server.{module}.expose_commands()", line)
        (line,) = alice.types("2 99")
        self.assertNotIn("expose", line)


class MeetingTests(MeetingCase):
    def test_rooms(self) -> None:
        """Two meet in a room, talk, share a property and part; each step is shown to both."""
        for kinds in (("TCP", "UDP"), ("UDP", "WS"), ("WS", "TCP")):
            alice, bob = Person(self, "alice", kinds[0]), Person(self, "bob", kinds[1])
            (made,) = alice.types("room create duel")
            id = next(iter(self.server.rooms)).id
            self.assertEqual(made, f"you are in room {id} with nobody else yet")
            self.assertEqual(bob.types("room find duel"), [f"{id} (1 of 8)"])
            self.assertEqual(bob.types(f"room join {id}"), [f"you are in room {id} with alice"])
            self.assertEqual(alice.shown, ["bob joined the room (2 members)"])
            self.assertEqual(alice.types("room say hello  all"), ["alice: hello  all"])
            self.assertEqual(bob.shown, ["alice: hello  all"])
            self.assertEqual(bob.types('room say json:{"x": 1}'), ['bob: {"x":1}'])
            self.assertEqual(bob.types("room say hex:ff"), ["bob: hex:ff"])
            self.assertEqual(alice.shown, ['bob: {"x":1}', "bob: hex:ff"])
            self.assertEqual(alice.types("room members"), ["2 members: alice, bob"])
            self.assertEqual(alice.types("room set hp [1, 2]"), ["hp = [1,2]"])
            self.assertEqual(alice.types("room set map dark forest"), ['map = "dark forest"'])
            self.assertEqual(bob.shown, ["hp = [1,2]", 'map = "dark forest"'])
            self.assertEqual(bob.types("room get"), ['hp = [1,2]\nmap = "dark forest"'])
            self.assertEqual(bob.types("room set hp null"), ["hp is gone"])
            self.assertEqual(alice.shown, ["hp is gone"])
            self.assertEqual(alice.types("room leave"), ["you have left the room"])
            self.assertEqual(bob.shown, ["alice left the room (1 member)", "the room is bob's now"])
            self.assertEqual(
                alice.types("room random duel"),
                [f'you are in room {id} with bob\nmap = "dark forest"'],
            )
            for person in (alice, bob):
                person.client.close()
            self.reactor.advance(3)

    def test_random(self) -> None:
        """The shortest way to meet is the same line typed by both."""
        alice, bob = Person(self, "alice", "TCP"), Person(self, "bob", "WS", binary=True)
        self.assertIn("with nobody else yet", alice.types("room random lobby")[0])
        self.assertIn("with alice", bob.types("room random lobby")[0])

    def test_direct(self) -> None:
        """A direct message is shown to who gets it, and repeated to who types it."""
        alice, bob = Person(self, "alice", "TCP"), Person(self, "bob", "WS")
        self.assertEqual(alice.types("dm bob psst ..."), ["to bob: psst ..."])
        self.assertEqual(bob.shown, ["alice (to you): psst ..."])
        self.assertEqual(
            alice.types("dm carol x", works=False), ["refused: user carol is not here (code 5000)"]
        )

    def test_wrong_words(self) -> None:
        """What cannot be meant or done is answered with a sentence."""
        alice = Person(self, "alice", "TCP")
        for text in (
            "room",
            "room dance",
            "room join",
            "room set hp",
            "dm",
            "dm bob",
            "u room get",
        ):
            (line,) = alice.types(text, works=False)
            self.assertGreater(len(line), 15)
        for text in ("room say hi", "room leave", "room members", "room join x@y"):
            self.assertIn("refused: ", alice.types(text, works=False)[0])
        alice.types("room create")
        self.assertIn("sent", alice.types("room set a \udcff", works=False)[0])
        self.assertEqual(alice.types("room find nowhere"), ["no room of type nowhere"])
        self.assertEqual(alice.types("room get"), ["no properties"])

    def test_help(self) -> None:
        """The help has every word."""
        for word in WORDS:
            self.assertIn(f"room {word}", HELP)
        alice = Person(self, "alice", "TCP")
        self.assertIn(HELP, alice.types("help")[0])


class NewsTests(SynchronousTestCase):
    def shown(self, cmd: int, **value: object) -> str | None:
        """
        The same from a binary transport.
        """
        return show_news(Push(1, cmd, encode_value(value)))

    def test_others(self) -> None:
        """What is not typed here is shown likewise."""
        self.assertEqual(
            self.shown(125, **{"from": "bob", "text": "hi", "time": 1}), "bob (chat): hi"
        )
        self.assertEqual(self.shown(18, **{"from": "bob", "message": b"hi"}), "bob: hi")
        self.assertEqual(
            self.shown(101, uid="bob", members=3, message=b"hi"),
            "bob joined the room (3 members): hi",
        )
        self.assertEqual(self.shown(701, **{"from": "", "message": b"x"}), "the server (to you): x")
        self.assertEqual(self.shown(702, **{"from": "bob"}), "bob wants to hear when you leave")
        self.assertIn("bob has left", self.shown(700, **{"from": "bob"}) or "")

    def test_terminal(self) -> None:
        """Nothing that others say moves the cursor."""
        for line in (
            self.shown(103, **{"from": "\x1b[2J", "message": b"\r\n\x07"}),
            self.shown(130, properties={"\x1b": "\x1b", "b": {"\x9b": 1}}),
            self.shown(125, **{"from": "bob", "text": "\u202e", "time": 1}),
        ):
            assert line is not None
            self.assertTrue(all(char.isprintable() or char == "\n" for char in line), line)

    def test_unknown(self) -> None:
        """A push of another kind or shape is not shown as news."""
        self.assertIsNone(show_news(Push(1, 103, b"x")))
        self.assertIsNone(show_news(Push(1, 99, b"")))
        self.assertIsNone(show_news(Push(2, 103, encode_value({"from": "a", "message": b""}))))


class DocumentsTests(MeetingCase):
    """
    The terminals that the documents show.
    """

    def play(self, document: str) -> None:
        """
        Type what alice and bob type there, each line when all above it have appeared.
        """
        scripts = {
            block.info.split()[1]: block.text.splitlines()
            for block in blocks(ROOT / document)
            if block.info.startswith("terminal ")
        }
        people = {uid: Person(self, uid, kind) for uid, kind in (("alice", "TCP"), ("bob", "UDP"))}
        shown: dict[str, list[str]] = {"alice": [], "bob": []}
        self.assertEqual(set(scripts), set(people))
        for _ in range(50):
            for uid, person in people.items():
                script = scripts[uid]
                shown[uid] += person.shown
                while script and not script[0].startswith("> ") and shown[uid]:
                    expected, found = script.pop(0), shown[uid].pop(0)
                    self.assertTrue(matches(expected, found), f"{uid}: {found!r}, not {expected!r}")
                if script and script[0].startswith("> "):
                    self.assertEqual(shown[uid], [], f"{uid} sees more than {document} says")
                    shown[uid] += person.types(script.pop(0)[2:])
        self.assertEqual(scripts, {"alice": [], "bob": []})
        self.assertEqual(shown, {"alice": [], "bob": []})

    def test_readme(self) -> None:
        """What the README shows is what appears."""
        self.play("README.md")

    def test_tutorial(self) -> None:
        """So does what the tutorial shows, with its application."""
        (block,) = (
            each for each in blocks(ROOT / "docs" / "tutorial.md") if each.file == "chat/rooms.py"
        )
        names: dict[str, Callable[[Room, dict[str, object], object], None]] = {}
        exec(block.text.replace("from chat import commands\n", ""), names)
        self.server.rooms.on_property_update(names["changed"])
        self.play("docs/tutorial.md")
