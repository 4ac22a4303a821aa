"""
Three nodes that know each other, over a broker in memory.
"""

from typing import ClassVar, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import MeshError
from tests.mesh.fake_broker import FakeBroker, FakeNode


class Ask(msgspec.Struct, frozen=True):
    """
    A message.
    """

    text: str


class Answer(msgspec.Struct, frozen=True):
    """
    Its answer.
    """

    sealed: ClassVar[bool] = True
    text: str


class Other(msgspec.Struct, frozen=True):
    """
    A message that nobody handles.
    """


class HandlerFault(Exception):
    """
    A bug of a handler.
    """


class NatsMeshTestCase(SynchronousTestCase):
    """
    Three nodes that know each other.
    """

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.a, self.b, self.c = (self.broker.node() for _ in range(3))
        self.got: list[tuple[str, Ask]] = []
        for node in (self.a, self.b, self.c):
            self.listen(node)
        self.broker.join(self.a, self.b, self.c)

    def listen(self, node: FakeNode) -> None:
        def handler(ask: Ask) -> Answer:
            self.got.append((node.address, ask))
            return Answer(ask.text + " back")

        node.mesh.handle(Ask, handler)

    def ask(self, to: FakeNode, text: str = "hello") -> Deferred[Answer]:
        asked = self.a.mesh.request(to.address, Ask(text), Answer)
        self.broker.settle()
        return asked

    def failed(self, asked: Deferred[Answer]) -> str:
        return str(self.failureResultOf(asked, MeshError).value)

    def logged(self) -> list[str]:
        """
        The lines of the log from now on.
        """
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(cast(ILogObserver, observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, observe))
        return lines

    def all_see_all(self, *nodes: FakeNode) -> None:
        addresses = {node.address for node in nodes}
        for node in nodes:
            self.assertEqual(node.seen(), addresses - {node.address})
