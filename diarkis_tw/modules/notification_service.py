"""
A notification service: asks a loader again and again for what is to be sent.

Rules:

  - The loader is first called one interval after the start, then each interval.
  - Calls never overlap: while one is not done, those that are due are left out.
  - Whatever the loader does, it is asked again: its failure is logged.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from diarkis_tw.core.background import as_deferred, background
from diarkis_tw.errors import NotificationError
from diarkis_tw.modules.notification import Notification
from diarkis_tw.units import Seconds

NotificationLoader: TypeAlias = Callable[[], Notification | Awaitable[Notification | None] | None]
"""Returns what is to be sent, L{None} for nothing, or an awaitable of these.
Go: C{server.NotificationLoader}."""


class NotificationService:
    """
    One loader and its interval.
    """

    def __init__(
        self,
        name: str,
        loader: NotificationLoader,
        interval: Seconds,
        clock: IReactorTime,
        send: Callable[[Notification], object],
    ) -> None:
        """
        @param send: called with each notification loaded.
        """
        self._name = name
        self._loader = loader
        self._interval = interval
        self._send = send
        self._loading: Deferred[object] | None = None
        self._asking = LoopingCall(self._ask)
        self._asking.clock = clock

    def start(self) -> None:
        """
        Ask from now on.
        """
        background(self._description, self._asking.start(self._interval, now=False))

    def stop(self) -> None:
        """
        Ask no more, and give up what is being loaded.
        """
        if self._asking.running:
            self._asking.stop()
        if self._loading is not None:
            self._loading.cancel()

    @property
    def _description(self) -> str:
        return f"notification service {self._name}"

    def _ask(self) -> Deferred[object]:
        self._loading = background(self._description, self._load())
        return self._loading

    async def _load(self) -> None:
        loaded: object = self._loader()
        loading = as_deferred(loaded)
        if loading is not None:
            loaded = await loading
        if loaded is None:
            return
        if not isinstance(loaded, Notification):
            raise NotificationError(
                f"a loader gives a Notification or None, not {type(loaded).__name__}"
            )
        self._send(loaded)
