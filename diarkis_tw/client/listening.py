"""
What the application wants to hear of a client: its handlers, by event.
"""

from diarkis_tw.client.handlers import Handler, Handlers
from diarkis_tw.constants import Builtin, CloseCode, NodeState
from diarkis_tw.wire.message import Push, Response
from diarkis_tw.wire.value import Payload


class Listening:
    """
    The part of a L{diarkis_tw.client.client.Client} that handlers are registered
    with.
    """

    def __init__(self) -> None:
        self._pushes: dict[tuple[int, int], Handlers[[Payload]]] = {}
        self._any_push = Handlers[[Push]]("push")
        self._response = Handlers[[Response]]("response")
        self._reconnecting = Handlers[[]]("reconnecting")
        self._reconnected = Handlers[[]]("reconnected")
        self._disconnected = Handlers[[CloseCode]]("disconnected")
        self._node_states = Handlers[[NodeState]]("node state")

    def on_push(self, ver: int, cmd: int, handler: Handler[[Payload]]) -> None:
        """
        Listen to one kind of push.

        @param ver: of the push.
        @param cmd: of the push.
        @param handler: called with the payload, as L{Push.payload} has it;
            L{diarkis_tw.client.value_of} reads a value over any transport. As all
            handlers it may be sync, async or return a Deferred, and its failure is
            logged.
        """
        self._pushes.setdefault((ver, cmd), Handlers(f"push {ver}/{cmd}")).add(handler)

    def on_any_push(self, handler: Handler[[Push]]) -> None:
        """
        Listen to every push of the application and the modules.

        @param handler: called with the L{Push}, after those of L{on_push}.
        """
        self._any_push.add(handler)

    def on_notification(self, handler: Handler[[Payload]]) -> None:
        """
        Listen to notifications to all users, unless they were sent as another push.
        Go: C{OnNotification}.

        @param handler: called with the message.
        """
        self.on_push(0, Builtin.NOTIFICATION, handler)

    def on_response(self, handler: Handler[[Response]]) -> None:
        """
        Listen to responses that no request waits for: answers to C{send}, and those
        that came too late.

        @param handler: called with the L{Response}.
        """
        self._response.add(handler)

    def on_reconnecting(self, handler: Handler[[]]) -> None:
        """
        Listen to losses of the connection that the client tries to mend, and to
        moves to another server.

        @param handler: called without arguments.
        """
        self._reconnecting.add(handler)

    def on_reconnected(self, handler: Handler[[]]) -> None:
        """
        Listen to connections mended.

        @param handler: called without arguments.
        """
        self._reconnected.add(handler)

    def on_disconnected(self, handler: Handler[[CloseCode]]) -> None:
        """
        Listen to the end of the client, which comes once, C{close} included.

        @param handler: called with the code.
        """
        self._disconnected.add(handler)

    def on_node_state(self, handler: Handler[[NodeState]]) -> None:
        """
        Listen to changes of the node's state, OFFLINE above all: it will stop.

        @param handler: called with the new state.
        """
        self._node_states.add(handler)

    def _pushed(self, push: Push) -> None:
        handlers = self._pushes.get((push.ver, push.cmd))
        if handlers is not None:
            handlers.call(push.payload)
        self._any_push.call(push)
