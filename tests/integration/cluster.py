"""
Several nodes of one mesh as real processes, and players who notice what happens.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diarkis_tw.wire.message import Push, Response
from tests.integration.process import Player, Process, ProcessCase, wait_until
from tests.mesh.nats_server import NatsServer
from tests.raw_client import Close

APP = """
import json

from diarkis_tw.server import Notification


def setup(server):
    server.enable_notifications()

    def notify(ver, cmd, payload, user):
        server.notify(Notification(payload.decode(), message=b"for all", ttl=60), local=False)

    async def send(ver, cmd, payload, user):
        await server.dm.send(payload.decode(), b"for one")
        return b"sent"

    def mesh(ver, cmd, payload, user):
        mesh = server._mesh
        link = mesh._link
        counts = {name: getattr(mesh, name) for name in ("strangers", "repeated", "malformed")}
        counts |= {name: getattr(mesh, name) for name in ("misdirected", "unhandled", "dropped")}
        counts |= {"dropped_in": link.dropped_in, "dropped_out": link.dropped_out}
        own = mesh.node_address
        others = [node.address for node in mesh.nodes() if node.address != own]
        return json.dumps({"own": own, "others": others} | counts).encode()

    server.handle_command(2, 1, notify)
    server.handle_command(2, 2, send)
    server.handle_command(2, 3, mesh)
    server.handle_command(2, 10, lambda ver, cmd, payload, user: payload)
"""
"""2/1 notifies all, 2/2 sends to one, 2/3 tells of the mesh, 2/10 is an echo."""

KEY = "a key for the tests, long enough"

LONGEST = 1.5
"""Seconds that an answer may take while something else in the cluster breaks. What
waits for a broker or for another node waits for 2 s at least; where the machine is
not busy with other tests, it is 10 ms."""

PERIOD = 0.02
"""Seconds between an answer and the next request of a player who measures."""


class Node:
    """
    A node that was started.

    @ivar process: its process.
    """

    def __init__(self, name: str, process: Process, ready_file: Path) -> None:
        self.name = name
        self.process = process
        self._ready_file = ready_file

    def online(self) -> "Node":
        """
        Wait until it is.
        """
        self.process.until(self._ready_file.exists)
        return self

    def reconnected(self) -> None:
        """
        Wait until its log says that it reaches a broker, after one that was lost.
        """

        def last_is_good() -> bool:
            log = self.process.output()
            return log.rfind("mesh: connected to") > log.rfind("no NATS server is reached")

        self.process.until(last_is_good)

    def port(self, section: str) -> int:
        """
        What is bound.
        """
        port: int = json.loads(self._ready_file.read_text())[section]["port"]
        return port


class Measured(threading.Thread):
    """
    A player who asks for an echo all the time, and measures how long it takes.

    @ivar worst: the longest round trip, in seconds.
    @ivar answers: how many there were, none of them lost.
    @ivar pushes: payloads of what came besides.
    @ivar closed: how the server has ended the connection.
    """

    def __init__(self, player: Player) -> None:
        super().__init__(daemon=True)
        self.player = player
        self.worst = 0.0
        self.answers = 0
        self.pushes: list[bytes] = []
        self.closed: Close | None = None
        self._wrong: list[object] = []
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        """
        Ask, until the end.
        """
        try:
            while self.closed is None and not self._over.wait(PERIOD):
                self._echo(b"%d" % self.answers)
        except Exception as error:
            self._wrong.append(error)

    def finish(self) -> None:
        """
        Ask no more, and say what went wrong.
        """
        self._over.set()
        self.join()
        assert not self._wrong, self._wrong

    def _echo(self, payload: bytes) -> None:
        asked = time.monotonic()
        self.player.send(self.player.raw.request(2, 10, payload))
        while True:
            came = self.player.next_of_any()
            if not isinstance(came, Push):
                break
            self.pushes.append(came.payload)
        if isinstance(came, Close):
            self.closed = came
        elif isinstance(came, Response) and came.payload == payload:
            self.worst = max(self.worst, time.monotonic() - asked)
            self.answers += 1
        else:
            self._wrong.append(came)


class ClusterCase(ProcessCase):
    """
    Nodes and a broker.

    @ivar broker: started by L{setUp}.
    @ivar mesh: what the section C{mesh} of all nodes says besides the servers.
    @ivar http: the node of the endpoint API.
    @ivar api: its URL.
    """

    http: Node
    api: str

    def setUp(self) -> None:
        super().setUp()
        for section in ("TCP", "UDP", "WS", "HTTP"):
            self.environ.pop(f"DIARKIS_SET_{section}__port", None)
        self.write("game.py", APP)
        self.mesh: dict[str, object] = {"app": "test", "key": KEY}
        self.measured: list[Measured] = []
        self.broker = self.a_broker()
        self.broker.start()

    def a_broker(self, *options: str) -> NatsServer:
        """
        One that is not started yet.
        """
        broker = NatsServer(*options)
        self.addCleanup(broker.stop)
        return broker

    # Nodes

    def launch(self, name: str, *servers: str, **mesh: object) -> Node:
        """
        Start a node and do not wait for it.

        @param servers: the servers it has; if there is one besides HTTP, the name is
            what to ask the endpoint API for.
        @param mesh: changes of the section C{mesh}.
        """
        section: dict[str, object] = {"engine": "nats", "servers": [self.broker.url]}
        content: dict[str, object] = {"mesh": section | self.mesh | mesh}
        for server in servers:
            content[server] = {"port": 0} | ({"noDelay": True} if server in ("TCP", "WS") else {})
        if len(set(servers) - {"HTTP"}) == 1:
            content["node"] = {"type": name}
        ready_file = self.folder / f"{name}.ready"
        ready_file.unlink(missing_ok=True)
        process = self.start(
            *("twistd", "-n", "--pidfile=", "diarkis", "--app", "game"),
            *("--config", self.write(f"{name}.json", content), "--ready-file", ready_file),
        )
        return Node(name, process, ready_file)

    def cluster(self, *names: str) -> list[Node]:
        """
        Start the node of the endpoint API and, for each name, one with TCP; then wait
        until the API offers them all.

        @return: the latter.
        """
        http = self.launch("http", "HTTP")
        return self.all_offered(http, *(self.launch(name, "TCP") for name in names))

    def all_offered(self, http: Node, *nodes: Node) -> list[Node]:
        """
        Wait until the endpoint API of a node offers all others.
        """
        self.http = http
        self.api = f"http://127.0.0.1:{http.online().port('HTTP')}"
        for node in nodes:
            node.online()
            self.until_offered(node.name, node.port("TCP"))
        return list(nodes)

    def endpoint(self, kind: str, uid: str = "probe") -> dict[str, object]:
        """
        Ask the endpoint API.
        """
        return self.ask(f"{self.api}/endpoint/type/{kind}/user/{uid}")

    def until_offered(self, kind: str, port: int) -> None:
        """
        Wait until the endpoint API sends players there.
        """
        wait_until(lambda: self.endpoint(kind).get("serverPort") == port)

    def until_ready(self, ready: bool = True) -> None:
        """
        Wait until the node of the endpoint API reaches a broker, or none.
        """
        url = f"{self.api}/healthcheck/ready"
        wait_until(lambda: (self.ask(url).get("error") != "mesh_away") is ready)

    # Players

    def player_on(self, kind: str, uid: str) -> Player:
        """
        Have a player connect to a node of that type.
        """
        player = Player(self.endpoint(kind, uid))
        self.addCleanup(player.close)
        player.answer(2, 10)  # only now the node counts it
        return player

    def player_at(self, port: int, uid: str) -> Player:
        """
        Have a player log in until the API sends it there, and connect.
        """
        sent: dict[str, object] = {}

        def there() -> bool:
            sent.update(self.endpoint("TCP", uid))
            return sent.get("serverPort") == port

        wait_until(there)
        player = Player(sent)
        self.addCleanup(player.close)
        player.answer(2, 10)
        return player

    def measure(self, kind: str, uid: str) -> Measured:
        """
        Have such a player measure round trips until L{assertUnharmed}.
        """
        measured = Measured(self.player_on(kind, uid))
        self.addCleanup(measured.finish)
        self.measured.append(measured)
        return measured

    def assertUnharmed(self) -> None:
        """
        Of all who measure: no answer was lost, and none took too long.
        """
        for measured in self.measured:
            wait_until(lambda m=measured: m.answers > 10 or not m.is_alive())  # type: ignore[misc]
            measured.finish()
            self.assertIsNone(measured.closed)
            self.assertLess(measured.worst, LONGEST)

    def told(self, player: Player) -> "Told":
        """
        What the node of a player says of the mesh.
        """
        return Told(json.loads(player.answer(2, 3).payload))

    def until_told(self, player: Player, condition: Callable[["Told"], bool]) -> "Told":
        """
        Wait until it says something.
        """
        told: list[Told] = []

        def says() -> bool:
            told[:] = [self.told(player)]
            return condition(told[0])

        wait_until(says, lambda: str(vars(told[0])))
        return told[0]


class Told:
    """
    What a node says of the mesh.

    @ivar own: its address.
    @ivar others: the addresses of the others that it knows.
    @ivar counts: by name.
    """

    def __init__(self, said: Mapping[str, object]) -> None:
        rest = dict(said)
        self.own = str(rest.pop("own"))
        others = rest.pop("others")
        assert isinstance(others, list)
        self.others: Sequence[str] = others
        self.counts = {name: int(str(count)) for name, count in rest.items()}
