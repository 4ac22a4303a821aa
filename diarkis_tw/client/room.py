"""
Rooms, as a member sees them.

Rules:

  - A user is in one room at a time; all but C{create}, C{join}, C{random_join} and
    C{find} mean that one.
  - Every method begins at once and returns a L{Deferred}, which fires with the
    server's answer. It fails as
    L{Client.request<diarkis_tw.client.client.Client.request>} does:
    L{ResponseError<diarkis_tw.errors.ResponseError>} says why the server refused.
  - A message is bytes, or a value: a map.
  - What the game's server pushes to a room with numbers of its own comes to
    L{on_push<diarkis_tw.client.listening.Listening.on_push>}.
"""

from collections.abc import Iterable, Mapping

from twisted.internet.defer import Deferred

from diarkis_tw.client.builtin import BuiltinClient, Talking, body_of
from diarkis_tw.client.handlers import Handler, Handlers
from diarkis_tw.schema import room as schema
from diarkis_tw.schema.command import Body, Nothing
from diarkis_tw.wire.value import Payload


class RoomClient(BuiltinClient):
    """
    C{client.room}.
    """

    def __init__(self, client: Talking) -> None:
        """
        @param client: asks and hears.
        """
        super().__init__(client)
        self._message = Handlers[[str, Body]]("room message")
        self._joined = Handlers[[schema.MemberJoined]]("member joined")
        self._left = Handlers[[schema.MemberLeft]]("member left")
        self._owner_changed = Handlers[[str]]("room owner")
        self._properties_changed = Handlers[[dict[str, object]]]("room properties")
        self._chat = Handlers[[schema.ChatLine]]("room chat")
        number = schema.RoomCommand
        for cmd in (number.BROADCAST, number.MESSAGE, number.RELAY, number.RELAY_TO):
            self._on(cmd, schema.Said, lambda said: self._message.call(said.sender, said.message))
        self._on(number.JOIN, schema.MemberJoined, self._joined.call)
        self._on(number.LEAVE, schema.MemberLeft, self._left.call)
        self._on(
            number.OWNER_CHANGED,
            schema.OwnerChanged,
            lambda news: self._owner_changed.call(news.owner_id),
        )
        self._on(
            number.PROPERTIES_CHANGED,
            schema.Properties,
            lambda news: self._properties_changed.call(news.properties),
        )
        self._on(number.CHAT, schema.ChatLine, self._chat.call)

    # Coming and going

    def create(
        self,
        *,
        max_members: int = 8,
        allow_empty: bool = False,
        ttl: int = schema.TTL_MIN,
        interval: int = 0,
        type: str = "",
        properties: Mapping[str, object] | None = None,
    ) -> Deferred[schema.Joined]:
        """
        Make a room, and be in it.

        @param max_members: 2..1000.
        @param allow_empty: it outlives its last member by C{ttl}.
        @param ttl: seconds, 10..3600.
        @param interval: milliseconds for which messages are gathered, below 100 =
            not at all, at most 10,000.
        @param type: what others find it by, 64 characters at most; empty = not to
            be found.
        @param properties: to begin with.
        @return: fires with the room.
        """
        request = schema.Create(
            max_members=max_members,
            allow_empty=allow_empty,
            ttl=ttl,
            interval=interval,
            type=type,
            properties=dict(properties or {}),
        )
        return self._ask(schema.CREATE, request)

    def join(self, room_id: str, message: Payload = b"") -> Deferred[schema.Joined]:
        """
        Join a room.

        @param room_id: of L{create} or L{find}.
        @param message: what the others get with the news.
        @return: fires with the room.
        """
        return self._ask(schema.JOIN, schema.Join(room_id=room_id, message=body_of(message)))

    def random_join(
        self,
        type: str,
        message: Payload = b"",
        *,
        max_members: int = 8,
        allow_empty: bool = False,
        ttl: int = schema.TTL_MIN,
        interval: int = 0,
        properties: Mapping[str, object] | None = None,
    ) -> Deferred[schema.Joined]:
        """
        Join any room of a type, or make one if there is none with a free seat.

        @param type: 1 to 64 characters.
        @param message: what the others get with the news.
        @param max_members: of a new room, as all that follow; see L{create}.
        @param allow_empty: see L{create}.
        @param ttl: see L{create}.
        @param interval: see L{create}.
        @param properties: see L{create}.
        @return: fires with the room; C{created} says whether it is new.
        """
        request = schema.RandomJoin(
            max_members=max_members,
            allow_empty=allow_empty,
            ttl=ttl,
            interval=interval,
            type=type,
            properties=dict(properties or {}),
            message=body_of(message),
        )
        return self._ask(schema.RANDOM_JOIN, request)

    def leave(self, message: Payload = b"") -> Deferred[None]:
        """
        Leave the room.

        @param message: what the others get with the news.
        @return: fires when left.
        """
        return self._say(schema.LEAVE, schema.Leave(message=body_of(message)), True)

    # Messages

    def broadcast(self, message: Payload, *, reliable: bool = True) -> Deferred[None]:
        """
        Tell all members, oneself included.

        @param message: bytes or a value.
        @param reliable: false = over UDP it may be lost, to each member on its own,
            and the server answers nothing, so that C{Deferred} fires at once.
        @return: fires when the server has taken it.
        """
        return self._say(schema.BROADCAST, schema.Say(message=body_of(message)), reliable)

    def relay(self, message: Payload, *, reliable: bool = True) -> Deferred[None]:
        """
        Tell all other members, without waiting for the room's interval.

        @param message: bytes or a value.
        @param reliable: see L{broadcast}.
        @return: fires when the server has taken it.
        """
        return self._say(schema.RELAY, schema.Say(message=body_of(message)), reliable)

    def message(
        self, uids: Iterable[str], message: Payload, *, reliable: bool = True
    ) -> Deferred[None]:
        """
        Tell some members; who is not in the room gets nothing.

        @param uids: whom, 1000 at most.
        @param message: bytes or a value.
        @param reliable: see L{broadcast}.
        @return: fires when the server has taken it.
        """
        request = schema.SayTo(member_ids=list(uids), message=body_of(message))
        return self._say(schema.MESSAGE, request, reliable)

    def relay_to(
        self, uids: Iterable[str], message: Payload, *, reliable: bool = True
    ) -> Deferred[None]:
        """
        Tell some members, but never oneself, without waiting for the room's interval.

        @param uids: whom, 1000 at most.
        @param message: bytes or a value.
        @param reliable: see L{broadcast}.
        @return: fires when the server has taken it.
        """
        request = schema.SayTo(member_ids=list(uids), message=body_of(message))
        return self._say(schema.RELAY_TO, request, reliable)

    def chat(self, text: str) -> Deferred[None]:
        """
        Say a line that the room's log keeps.

        @param text: 1 to 500 characters.
        @return: fires when the server has taken it.
        """
        return self._say(schema.CHAT, schema.Chat(text=text), True)

    def chat_log(self) -> Deferred[list[schema.ChatLine]]:
        """
        The latest lines of the chat.

        @return: fires with 100 at most, oldest first.
        """
        return self._ask(schema.CHAT_LOG, Nothing()).addCallback(lambda log: log.lines)

    # Properties

    def update_properties(self, changes: Mapping[str, object]) -> Deferred[None]:
        """
        Set properties, all of them or none.

        @param changes: by name; None removes one.
        @return: fires when they are set.
        """
        request = schema.Properties(properties=dict(changes))
        return self._say(schema.UPDATE_PROPERTIES, request, True)

    def get_properties(self, *keys: str) -> Deferred[dict[str, object]]:
        """
        Ask for properties.

        @param keys: their names; none named = all.
        @return: fires with those that exist, by name.
        """
        asking = self._ask(schema.GET_PROPERTIES, schema.PropertyKeys(keys=list(keys)))
        return asking.addCallback(lambda found: found.properties)

    def increment(self, key: str, by: int = 1) -> Deferred[int]:
        """
        Add to a property that is a whole number; a missing one counts as 0.

        @param key: its name.
        @param by: what to add.
        @return: fires with the sum.
        """
        asking = self._ask(schema.INCREMENT, schema.Increment(key=key, by=by))
        return asking.addCallback(lambda sum: sum.value)

    # Who and what

    def member_ids(self) -> Deferred[list[str]]:
        """
        Who is in the room.

        @return: fires with user ids in the order of joining.
        """
        return self._ask(schema.MEMBER_IDS, Nothing()).addCallback(lambda found: found.member_ids)

    def member_count(self) -> Deferred[schema.MemberCount]:
        """
        How many are in the room.

        @return: fires with that and how many there can be.
        """
        return self._ask(schema.MEMBER_COUNT, Nothing())

    def owner(self) -> Deferred[str]:
        """
        Whose the room is.

        @return: fires with the user id; empty = nobody's.
        """
        return self._ask(schema.OWNER, Nothing()).addCallback(lambda found: found.owner_id)

    def register(self, type: str) -> Deferred[None]:
        """
        Let others find the room; the owner may.

        @param type: 64 characters at most; empty = it is not to be found.
        @return: fires when done.
        """
        return self._say(schema.REGISTER, schema.Register(type=type), True)

    def find(self, type: str, limit: int = 20) -> Deferred[list[schema.RoomSummary]]:
        """
        Ask for rooms of a type that have a free seat.

        @param type: 1 to 64 characters.
        @param limit: how many at most, 1..100.
        @return: fires with the rooms.
        """
        asking = self._ask(schema.FIND, schema.Find(type=type, limit=limit))
        return asking.addCallback(lambda found: found.rooms)

    def reserve(self, uids: Iterable[str]) -> Deferred[None]:
        """
        Keep seats for users, for all or none of them; the owner may.

        @param uids: for whom.
        @return: fires when done.
        """
        return self._say(schema.RESERVE, schema.Reserve(uids=list(uids)), True)

    def cancel_reservation(self, uids: Iterable[str]) -> Deferred[None]:
        """
        Keep those seats no longer; the owner may.

        @param uids: for whom they were kept.
        @return: fires when done.
        """
        return self._say(schema.CANCEL_RESERVATION, schema.Reserve(uids=list(uids)), True)

    # Listening

    def on_message(self, handler: Handler[[str, Body]]) -> None:
        """
        Listen to what members say by L{broadcast}, L{relay}, L{message} and
        L{relay_to}.

        @param handler: called with the uid of the sender and the message: bytes, or
            a value as a dict.
        """
        self._message.add(handler)

    def on_member_joined(self, handler: Handler[[schema.MemberJoined]]) -> None:
        """
        Listen to others coming in.

        @param handler: called with who, how many are in now, and their message.
        """
        self._joined.add(handler)

    def on_member_left(self, handler: Handler[[schema.MemberLeft]]) -> None:
        """
        Listen to others leaving, those that were lost included.

        @param handler: called with who, how many are in now, and their message.
        """
        self._left.add(handler)

    def on_owner_changed(self, handler: Handler[[str]]) -> None:
        """
        Listen to the room passing to another member.

        @param handler: called with the uid of the new owner.
        """
        self._owner_changed.add(handler)

    def on_properties_changed(self, handler: Handler[[dict[str, object]]]) -> None:
        """
        Listen to changes of properties, one's own included.

        @param handler: called with those that changed, by name; None = it is gone.
        """
        self._properties_changed.add(handler)

    def on_chat(self, handler: Handler[[schema.ChatLine]]) -> None:
        """
        Listen to the chat, oneself included.

        @param handler: called with the line.
        """
        self._chat.add(handler)
