"""
The host that clients are told, where it has to be found out::

    DIARKIS_CLOUD_ENV=<host>                     nothing is looked up
    DIARKIS_CLOUD_ENV=<cloud>                    that cloud is asked
    node.publicAddressUrl                        that service is asked
    setup_server_for_*, set_public_endpoint      replace these, if they come first

A look-up that fails ends the start. One that is repeated later (node.endpointRefresh)
is logged, and the address stays.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.logger import Logger

from diarkis_tw.cloud.exchange import metadata_client
from diarkis_tw.cloud.metadata import Exchange, Found, Lookup
from diarkis_tw.cloud.public_host import narrowness
from diarkis_tw.cloud.sources import CLOUDS, Source, what_is_my_ip
from diarkis_tw.config.hosts import ip_address
from diarkis_tw.config.settings import Settings
from diarkis_tw.core.background import background
from diarkis_tw.errors import CloudError, ConfigError
from diarkis_tw.server.endpoints import Endpoints


def chosen_source(settings: Settings) -> Source | None:
    """
    Whom the settings say to ask.

    @return: L{None} = nobody.
    """
    if settings.public_host is not None:
        return None
    if settings.cloud is not None:
        return CLOUDS[settings.cloud]
    if settings.node.public_address_url:
        return what_is_my_ip(settings.node.public_address_url)
    return None


def look_up(
    source: Source,
    settings: Settings,
    reactor: IReactorTCP,
    clock: IReactorTime,
    note: Callable[[Exchange], object] = lambda exchange: None,
) -> Deferred[Found]:
    """
    Ask for the public address.

    @param reactor: makes the connections.
    @param clock: measures the time.
    @param note: told of every request.
    @raise CloudError: (the Deferred fails) it was not found.
    """
    lookup = Lookup(
        source.name,
        source.advice,
        metadata_client(reactor),
        clock,
        base=settings.metadata_base,
        note=note,
    )
    return lookup.run(source.find)


def doubts(host: str, bound: Iterable[str]) -> list[str]:
    """
    What makes it doubtful that clients reach a server.

    @param host: what they are told.
    @param bound: the addresses bound.
    @return: a sentence for each doubt.
    """
    found = []
    narrow = narrowness(host)
    if narrow is not None:
        found.append(f"{host} is {narrow}: clients elsewhere cannot connect to it")
    address = ip_address(host)
    if address is not None and address.version == 6:
        ipv4 = sorted({bind for bind in bound if isinstance(ip_address(bind), IPv4Address)})
        if ipv4:
            found.append(
                f"{host} is an IPv6 address, and {', '.join(ipv4)} is bound, which takes IPv4 "
                "alone: set address to ::"
            )
    return found


class PublicAddress:
    """
    Finds the public host at start and keeps it up to date.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        reactor: IReactorTime,
        changed: Callable[[], None],
    ) -> None:
        """
        @param endpoints: told of what was found.
        @param reactor: provides time and TCP.
        @param changed: called when something else is announced than before.
        """
        self._settings = settings
        self._endpoints = endpoints
        self._reactor = reactor
        self._changed = changed
        self._source = chosen_source(settings)
        self._explicit = False
        self._starting = False
        self._waiting: list[Deferred[None]] = []
        self._found: Found | None = None

    @property
    def is_certain(self) -> bool:
        """
        Whether the application says, or says whom to ask, what clients are told.
        """
        return self._explicit or self._endpoints.host is not None

    def choose(self, source: Source) -> Deferred[None]:
        """
        Ask this one, instead of whom the settings say. Before the start it is only
        noted, and asked when all is bound; from then on it is asked at once.

        @return: fires when the address is announced. It does not if the node cannot
            start, as the process then ends with the reason.
        @raise CloudError: (the Deferred fails) it was asked at once, and not found.
        """
        self._source = source
        self._explicit = True
        if self._starting:
            return Deferred.fromCoroutine(self._look_up(source))
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def prepare(self) -> None:
        """
        The node starts: from now on what is chosen is asked at once.
        """
        self._starting = True
        if self._settings.metadata_base is not None:
            self.log.warn(
                "DIARKIS_METADATA_BASE is set: {base} is asked for the public address, whatever "
                "the cloud. This is for tests and labs only.",
                base=self._settings.metadata_base,
            )

    async def find(self) -> Callable[[], None]:
        """
        Find the address, if somebody is to be asked.

        @return: what is to be called when the application has had its last say.
        @raise CloudError: it was not found.
        """
        wanted = self._explicit or self._endpoints.host is None  # else it has been set
        if self._source is not None and self._found is None and wanted:
            await self._look_up(self._source)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)
        return self._check_refresh

    def _check_refresh(self) -> None:
        """
        @raise ConfigError: the address shall be looked up again, and nobody says where.
        """
        node = self._settings.node
        if not node.endpoint_refresh or self._found is not None:
            return
        if self._source is not None or node.public_address_url:
            # What was set for this machine alone wins over a file that many share.
            self.log.warn("node.endpointRefresh has no effect: the public address is set")
        else:
            raise ConfigError(
                "node.endpointRefresh repeats the look-up of the public address, and there is "
                "none. Set DIARKIS_CLOUD_ENV to the name of a cloud, or node.publicAddressUrl, "
                "or remove node.endpointRefresh."
            )

    def refresh(self) -> Deferred[object] | None:
        """
        Look the address up again, unless the application has set another one.
        """
        if self._source is None or self._found is None or self._endpoints.host != self._found.host:
            return None
        return background("looking up the public address", self._refresh(self._source))

    async def _refresh(self, source: Source) -> None:
        try:
            await self._look_up(source)
        except CloudError as error:
            assert self._found is not None
            self.log.warn(
                "the public address stays {host}: {reason}",
                host=self._found.host,
                reason=str(error),
            )

    async def _look_up(self, source: Source) -> None:
        # Every reactor that a node runs on has TCP.
        tcp = IReactorTCP(self._reactor)
        found = await look_up(source, self._settings, tcp, self._reactor)
        before, self._found = self._found, found
        if before is not None and before.host == found.host == self._endpoints.host:
            return
        self._endpoints.host = found.host
        self.log.info(
            "the public address is {host}, says {source} ({origin})",
            host=found.host,
            source=source.name,
            origin=found.origin,
        )
        for problem in doubts(found.host, self._endpoints.bound_hosts()):
            self.log.warn("{problem}", problem=problem)
        self._changed()
