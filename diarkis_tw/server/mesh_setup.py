"""
Which mesh a node is part of, by its settings.
"""

import ssl
from typing import cast

from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from diarkis_tw.config.settings import MeshSettings
from diarkis_tw.errors import ConfigError
from diarkis_tw.mesh.interface import Mesh
from diarkis_tw.mesh.local import LocalMesh


def make_mesh(reactor: IReactorTime, settings: MeshSettings) -> Mesh:
    """
    Make it; it connects when the node joins.

    @raise ConfigError: NATS is wanted and its client is not installed, or a file
        cannot be read.
    """
    if settings.engine == "local":
        return LocalMesh(reactor)
    try:
        # Here, as a node on its own does not need it.
        from diarkis_tw.mesh.credentials import Credentials
        from diarkis_tw.mesh.nats import NatsMesh
        from diarkis_tw.mesh.nats_link import Broker, NatsLink
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'mesh.engine "nats" needs the module {error.name}: pip install "diarkis-tw[mesh]"'
        ) from None
    tls = None
    if settings.tls_ca:
        try:
            tls = ssl.create_default_context(cafile=settings.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"mesh.tlsCa {settings.tls_ca}: cannot be read: {error}") from None
    credentials = Credentials(settings.credentials) if settings.credentials else None
    broker = Broker(settings.servers, credentials, tls)
    link = NatsLink(cast(IReactorFromThreads, reactor), broker)
    return NatsMesh(reactor, link, settings.app, settings.keys)
