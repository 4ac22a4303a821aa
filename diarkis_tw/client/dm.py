"""
Direct messages: from user to user, wherever the other one is.

Rules:

  - The methods begin at once and return a L{Deferred}, as those of
    L{diarkis_tw.client.room}.
  - The other user has to be in the game, or away for a moment; else they fail with
    L{ResponseError<diarkis_tw.errors.ResponseError>}.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.client.builtin import BuiltinClient, Talking, body_of
from diarkis_tw.client.handlers import Handler, Handlers
from diarkis_tw.schema import dm as schema
from diarkis_tw.schema.command import Body
from diarkis_tw.wire.value import Payload


class DirectMessageClient(BuiltinClient):
    """
    C{client.dm}.
    """

    def __init__(self, client: Talking) -> None:
        """
        @param client: asks and hears.
        """
        super().__init__(client)
        self._message = Handlers[[str, Body]]("direct message")
        self._connected = Handlers[[str]]("direct connect")
        self._disconnected = Handlers[[str]]("direct disconnect")
        number = schema.DmCommand
        self._on(
            number.SEND,
            schema.DirectMessage,
            lambda said: self._message.call(said.sender, said.message),
        )
        self._on(number.CONNECT, schema.PeerNews, lambda news: self._connected.call(news.sender))
        self._on(
            number.DISCONNECT, schema.PeerNews, lambda news: self._disconnected.call(news.sender)
        )

    def send(self, uid: str, message: Payload, *, reliable: bool = True) -> Deferred[None]:
        """
        Send a message to a user.

        @param uid: whom.
        @param message: bytes or a value.
        @param reliable: false = over UDP it may be lost, and the server answers
            nothing, so that C{Deferred} fires at once.
        @return: fires when it is on its way.
        """
        request = schema.Direct(to=uid, message=body_of(message))
        return self._say(schema.SEND, request, reliable)

    def connect(self, uid: str) -> Deferred[None]:
        """
        Hear when a user leaves the game, who then hears when oneself does.

        @param uid: whom.
        @return: fires when done.
        """
        return self._say(schema.CONNECT, schema.Peer(to=uid), True)

    def disconnect(self, uid: str) -> Deferred[None]:
        """
        Take L{connect} back; the other user is told.

        @param uid: whom.
        @return: fires when done.
        """
        return self._say(schema.DISCONNECT, schema.Peer(to=uid), True)

    def on_message(self, handler: Handler[[str, Body]]) -> None:
        """
        Listen to direct messages.

        @param handler: called with the uid of the sender, empty for the server, and
            the message: bytes, or a value as a dict.
        """
        self._message.add(handler)

    def on_connect(self, handler: Handler[[str]]) -> None:
        """
        Listen to users who connect with this one.

        @param handler: called with the uid.
        """
        self._connected.add(handler)

    def on_disconnect(self, handler: Handler[[str]]) -> None:
        """
        Listen to users of a L{connect} who disconnect, or leave the game.

        @param handler: called with the uid.
        """
        self._disconnected.add(handler)
