"""
The connector's own HTTP server, on loopback.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from diarkis_tw.config.hosts import DEFAULT_ADDRESS
from diarkis_tw.config.settings import ConnectorSettings
from diarkis_tw.connector.api import ConnectorResource
from diarkis_tw.connector.external import ExternalServer
from diarkis_tw.core.node import Node
from diarkis_tw.http.json_resource import JsonResource, Root
from diarkis_tw.http.site import JsonSite
from diarkis_tw.net.stream_listener import StreamListener


def connector_listener(
    reactor: IReactorTime,
    settings: ConnectorSettings,
    external: ExternalServer,
    node: Node,
    host: Callable[[], str],
    end_node: Callable[[], None],
) -> StreamListener:
    """
    Make what listens for the external server's calls.

    @param host: the host that players are told.
    @param end_node: ends the process in good order.
    """
    resource = ConnectorResource(
        external, node, host, settings.connection_ttl, settings.token, end_node
    )
    site = JsonSite(Root({b"connector": resource}, JsonResource()), reactor)
    return StreamListener(
        reactor,
        site,
        "CONNECTOR",
        DEFAULT_ADDRESS,
        "",
        settings.port,
        when_closed=site.when_closed,
        abort=site.abort_all,
    )
