"""
Notifications: messages to all users, those included who connect while they live.

Rules:

  - Each notification gets the next serial number of this node, and each user
    has one number: everything up to it is settled for that user, which is sent
    or not wanted by the name's handler. So nobody gets one twice, and what a
    user has seen takes no more room than that number.
  - Who is connected or away when it is made gets it in a round of
    L{diarkis_tw.core.fan_out}; C{ROUND_MOST} later at the latest, or not at
    all. Who connects afterwards gets it while its ttl lasts.
  - What a user's connection refuses because it is full is not settled: it is
    tried again with the next notification and when the user comes back.
  - What is remembered, and for how long: L{diarkis_tw.modules.notification_memory}.
    How nodes make up for what they have missed:
    L{diarkis_tw.modules.notification_exchange}.
"""

from collections.abc import Callable
from inspect import iscoroutinefunction
from math import isfinite
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from diarkis_tw.core.background import FAULTS, background
from diarkis_tw.core.callables import describe_callable, parameter_count
from diarkis_tw.core.fan_out import FanOut
from diarkis_tw.core.user import User, UserState
from diarkis_tw.core.users import Users
from diarkis_tw.errors import NotificationError, RegistrationError
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.modules.notification import NAME_MAX_BYTES, Notification, check_id
from diarkis_tw.modules.notification_exchange import LivingNotifications, NotificationExchange
from diarkis_tw.modules.notification_memory import ROUND_MOST, NotificationMemory, Remembered
from diarkis_tw.modules.notification_service import NotificationLoader, NotificationService
from diarkis_tw.units import Seconds

AT_ONCE: Final = 64
"""Notifications that a user gets in one go; the others come in the next round."""

FORGETTING: Final[Seconds] = 10.0
"""Period in which what need not be remembered is forgotten."""

INTERVAL_MIN: Final[Seconds] = 0.1
"""Least interval of a service: less would be a loop that keeps the node busy."""

NotificationHandler: TypeAlias = Callable[[User, Notification], bool]
"""Decides whether a user gets a notification. Go: C{server.NotificationHandler}."""


class NotificationDeleted(msgspec.Struct, frozen=True):
    """
    Mesh message: a notification is not to be delivered any more.
    """

    id: Annotated[str, Meta(min_length=1, max_length=NAME_MAX_BYTES)]


class Notifier:
    """
    The notifications of one node.

    @ivar refused: notifications of other nodes for which there was no room.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, users: Users, mesh: Mesh) -> None:
        self.refused = 0
        self._clock = clock
        self._users = users
        self._mesh = mesh
        self._enabled = False
        self._running = False
        self._handlers: dict[str, NotificationHandler] = {}
        self._services: dict[str, NotificationService] = {}
        self._memory = NotificationMemory(clock)
        self._exchange: NotificationExchange | None = None
        self._settled: dict[User, int] = {}
        self._fan_out = FanOut(clock, users, self._serve)
        self._forgetting = LoopingCall(self._memory.forget)
        self._forgetting.clock = clock

    # Before the start

    def enable(self) -> None:
        """
        Have notifications.

        @raise RegistrationError: the node has started.
        """
        if self._enabled:
            return
        if self._running:
            raise RegistrationError("enable_notifications: too late, the server has started")
        self._enabled = True
        self._users.on_connect(self._connected)
        self._users.on_disconnect(self._left)
        self._mesh.handle(Notification, self._made_elsewhere)
        self._mesh.handle(NotificationDeleted, self._deleted_elsewhere)
        self._exchange = NotificationExchange(self._clock, self._mesh, self._memory, self._learn)

    def set_handler(self, name: str, handler: NotificationHandler) -> None:
        """
        Let C{handler} decide who gets the notifications of a name; a second one
        takes the first one's place.

        @raise RegistrationError: not enabled, or not a name and a function.
        """
        self._check_registration("set_on_notification", name, handler, 2)
        if iscoroutinefunction(handler):
            raise RegistrationError(
                f"set_on_notification {name!r}: the handler must answer at once, not be async"
            )
        self._handlers[name] = handler

    def add_service(self, name: str, loader: NotificationLoader, interval: Seconds) -> None:
        """
        Ask C{loader} each C{interval} while the node runs.

        @raise RegistrationError: not enabled, too late, a name twice, or
            something is not what it should be.
        """
        what = "notification_service"
        self._check_registration(what, name, loader, 0)
        if self._running:
            raise RegistrationError(f"{what} {name!r}: too late, the server has started")
        if name in self._services:
            raise RegistrationError(f"{what} {name!r}: there is one of that name")
        if (
            not isinstance(interval, int | float)
            or isinstance(interval, bool)
            or not isfinite(interval)
            or interval < INTERVAL_MIN
        ):
            raise RegistrationError(
                f"{what} {name!r}: the interval is seconds, {INTERVAL_MIN:g} or more, "
                f"not {interval!r}"
            )
        self._services[name] = NotificationService(
            name, loader, interval, self._clock, lambda loaded: self.notify(loaded, True)
        )

    # While the node runs

    def start(self) -> None:
        """
        The node has started.
        """
        self._running = True
        if self._exchange is not None:
            self._exchange.start()
            background("forgetting notifications", self._forgetting.start(FORGETTING, now=False))
            for service in self._services.values():
                service.start()

    def stop(self) -> None:
        """
        The node stops.
        """
        self._running = False
        for service in self._services.values():
            service.stop()
        if self._exchange is not None:
            self._exchange.stop()
        self._fan_out.stop()
        if self._forgetting.running:
            self._forgetting.stop()

    def notify(self, notification: Notification, local: bool) -> bool:
        """
        Send to all users.

        @param local: of this node only, not of all nodes.
        @return: False if the id was sent before, so that users of this node get
            nothing.
        @raise NotificationError: not enabled, not running, not a notification,
            or too many in too short a time.
        """
        self._check_running("notify")
        if not isinstance(notification, Notification):
            raise NotificationError(
                f"notify takes a Notification, not {type(notification).__name__}"
            )
        is_new = self._remember(notification, not local)
        if not local and not self._memory.is_deleted(notification.id):
            self._mesh.broadcast(notification)
        return is_new

    def delete(self, id: str) -> None:
        """
        Let nobody get it any more, on any node. Harmless if there is none.

        @raise NotificationError: not enabled, not running, or not an id.
        """
        self._check_running("delete_notification")
        check_id(id)
        self._memory.delete(id)
        self._mesh.broadcast(NotificationDeleted(id))

    # Inside

    def _check_registration(
        self, what: str, name: object, function: Callable[..., object], parameters: int
    ) -> None:
        if not self._enabled:
            raise RegistrationError(f"{what}: call enable_notifications() before")
        if not isinstance(name, str):
            raise RegistrationError(f"{what}: the name is a str, not {type(name).__name__}")
        if not callable(function):
            raise RegistrationError(f"{what} {name!r}: {function!r} cannot be called")
        if parameter_count(function) not in (parameters, None):
            where = describe_callable(function)
            raise RegistrationError(
                f"{what} {name!r}: {where} must take {parameters} parameters: "
                + ("user and notification" if parameters else "it is called without any")
            )

    def _check_running(self, what: str) -> None:
        if not self._enabled:
            raise NotificationError(
                f"{what}: call enable_notifications() in setup(server), before the start"
            )
        if not self._running:
            raise NotificationError(f"{what}: the server has not started, or has stopped")

    def _made_elsewhere(self, notification: Notification) -> None:
        if self._running:
            try:
                self._remember(notification, True)
            except NotificationError:
                self.refused += 1

    def _deleted_elsewhere(self, deleted: NotificationDeleted) -> None:
        self._memory.delete(deleted.id)

    def _learn(self, found: LivingNotifications) -> bool:
        """
        @return: whether anything was new.
        """
        learned = [self._memory.delete(id, left) for id, left in found.deleted.items()]
        try:
            learned += [self._remember(one, True, learned=True) for one in found.alive]
        except NotificationError:
            self.refused += 1
            return False
        return any(learned)

    def _remember(
        self, notification: Notification, everywhere: bool, *, learned: bool = False
    ) -> bool:
        is_new = self._memory.add(notification, everywhere, learned=learned)
        if is_new:
            self._fan_out.start()
        return is_new

    def _left(self, sid: str, user: User) -> None:
        self._settled.pop(user, None)

    def _connected(self, user: User) -> None:
        now = self._clock.seconds()
        self._settle(user, lambda known: known.life > now)

    def _serve(self, user: User) -> None:
        now = self._clock.seconds()
        self._settle(user, lambda known: max(known.life, known.made + ROUND_MOST) > now)

    def _settle(self, user: User, is_due: Callable[[Remembered], bool]) -> None:
        settled, latest = self._settled.get(user, 0), self._memory.latest
        if settled == latest:
            return
        unsettled: list[Remembered] = []
        for known in self._memory.newest_first():
            if known.serial <= settled:
                break
            unsettled.append(known)
        tried = 0
        for known in reversed(unsettled):
            if is_due(known) and not known.deleted:
                if tried == AT_ONCE:
                    self._fan_out.start()
                    break
                tried += 1
                if not self._deliver(user, known):
                    break
            settled = known.serial
        else:
            settled = latest
        if user.state is not UserState.GONE:
            self._settled[user] = settled

    def _deliver(self, user: User, known: Remembered) -> bool:
        """
        @return: False if the user's connection is too full for it.
        """
        notification = known.notification
        handler = self._handlers.get(notification.name)
        try:
            if handler is not None:
                wanted = handler(user, notification)
                if type(wanted) is not bool:
                    raise TypeError(f"{handler!r} answers with True or False, not {wanted!r}")
                if not wanted:
                    return True
            return user.send(known.encoded, True) or user.state is UserState.GONE
        except FAULTS:
            if not known.failed:
                known.failed = True
                self.log.failure(
                    "notification {id!r} does not reach {uid}, perhaps others neither",
                    id=notification.id,
                    uid=user.uid,
                )
            return True
