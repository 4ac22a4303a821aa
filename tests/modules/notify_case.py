"""
A node with notifications, for tests.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime

from diarkis_tw.mesh.local import LocalMesh
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notify import Notifier
from tests.core.fakes import CoreTestCase, FakeConnection


class LinkedMesh(LocalMesh):
    """
    A mesh of nodes in one process: what they tell each other is written and read.

    @ivar others: the other nodes.
    @ivar told: what this node told them.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.others: list[LinkedMesh] = []
        self.told: list[msgspec.Struct] = []

    def broadcast(self, message: msgspec.Struct) -> None:
        self.told.append(message)
        for other in self.others:
            packed = msgspec.msgpack.encode(message)
            other.send(other.node_address, msgspec.msgpack.decode(packed, type=type(message)))


def link(meshes: Iterable[LinkedMesh]) -> None:
    """
    Let all know each other.
    """
    nodes = list(meshes)
    for mesh in nodes:
        mesh.others = [other for other in nodes if other is not mesh]


def messages(client: FakeConnection) -> list[bytes]:
    """
    The notifications that a client got.
    """
    return [push.payload for push in client.pushes() if (push.ver, push.cmd) == (0, 400)]


class NotifyTestCase(CoreTestCase):
    """
    A node with notifications.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mesh = LinkedMesh(self.core.clock)
        self.notifier = Notifier(self.core.clock, self.core.users, self.mesh)
        self.notifier.enable()
        self.core.start()
        self.notifier.start()

    def notify(self, id: str = "n1", *, local: bool = True, **fields: Any) -> bool:
        """
        Send a notification whose message is its id.

        The next turn of the reactor passes.
        """
        is_new = self.notifier.notify(Notification(id, message=id.encode(), **fields), local)
        self.core.clock.advance(0)
        return is_new
