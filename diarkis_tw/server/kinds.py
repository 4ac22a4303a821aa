"""
The Go doc's functions that say what a node is: TCP server, UDP server and so on.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from diarkis_tw.config.load import parse_flat_section
from diarkis_tw.config.settings import (
    ConnectorSettings,
    HttpSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from diarkis_tw.constants import ServerType
from diarkis_tw.errors import ConfigError
from diarkis_tw.server.listeners import Listeners


class Kinds:
    """
    The part of L{Server<diarkis_tw.server.server.Server>} that chooses what it
    serves. A node may be several kinds; each is set up once, before the start.
    """

    _settings: Settings
    _listeners: Listeners

    def setup_as_tcp_server(self, path_or_config: str | Path | Mapping[str, object] = "") -> None:
        """
        Be a TCP server. Go: C{server.SetupAsTCPServer}.

        @param path_or_config: flat JSON file, or its keys; empty = defaults.
        @raise ConfigError: it is wrong, this is a TCP server already, or too late.
        """
        section: TcpSettings = parse_flat_section("tcp", path_or_config)
        self._check_new("TCP", self._settings.tcp)
        self._settings = replace(self._settings, tcp=section)

    def setup_as_udp_server(self, path_or_config: str | Path | Mapping[str, object] = "") -> None:
        """
        Be a UDP and reliable UDP server. Go: C{server.SetupAsUDPServer}.

        @param path_or_config: flat JSON file, or its keys; empty = defaults.
        @raise ConfigError: it is wrong, this is a UDP server already, or too late.
        """
        section: UdpSettings = parse_flat_section("udp", path_or_config)
        self._check_new("UDP", self._settings.udp)
        self._settings = replace(self._settings, udp=section)

    def setup_as_websocket_server(
        self, path_or_config: str | Path | Mapping[str, object] = ""
    ) -> None:
        """
        Be a WebSocket server. Go: C{server.SetupAsWebSocketServer}.

        @param path_or_config: flat JSON file, or its keys; empty = defaults.
        @raise ConfigError: it is wrong, this is a WebSocket server already, or too late.
        """
        section: WsSettings = parse_flat_section("ws", path_or_config)
        self._check_new("WS", self._settings.ws)
        self._settings = replace(self._settings, ws=section)

    def setup_as_http_server(self, path_or_config: str | Path | Mapping[str, object] = "") -> None:
        """
        Serve the endpoint API, and the routes of C{http}.

        @param path_or_config: flat JSON file, or its keys; empty = defaults.
        @raise ConfigError: it is wrong, this is an HTTP server already, or too late.
        """
        section: HttpSettings = parse_flat_section("http", path_or_config)
        self._check_new("HTTP", self._settings.http)
        self._settings = replace(self._settings, http=section)

    def setup_as_connector(self, path_or_config: str | Path | Mapping[str, object] = "") -> None:
        """
        Lend registration, state and scaling to an external dedicated server, which
        players talk to directly. Go: C{server.SetupAsConnector}.

        @param path_or_config: flat JSON file, or its keys; empty = defaults.
        @raise ConfigError: it is wrong, this is a connector already, or too late.
        """
        section: ConnectorSettings = parse_flat_section("connector", path_or_config)
        self._check_new("CONNECTOR", self._settings.connector)
        self._settings = replace(self._settings, connector=section)

    def is_udp(self) -> bool:
        """
        Whether the server is set up as a UDP server. Go: C{server.IsUDP}.
        """
        return self._settings.udp is not None

    def is_p2p_enabled(self) -> bool:
        """
        Whether UDP clients learn their public address. Go: C{server.IsP2PEnabled}.
        """
        return self._settings.udp is not None and self._settings.udp.enable_p2p

    def is_tcp(self) -> bool:
        """
        Whether the server is set up as a TCP server. Go: C{server.IsTCP}.
        """
        return self._settings.tcp is not None

    def is_websocket(self) -> bool:
        """
        Whether the server is set up as a WebSocket server. Go: C{server.IsWebSocket}.
        """
        return self._settings.ws is not None

    # Inside

    def _check_new(self, name: str, section: object) -> None:
        if section is not None:
            raise ConfigError(f"the server is set up as {name} server already")
        if self._listeners.by_section:
            raise ConfigError(f"too late to be a {name} server: set it up in setup(server)")

    def _kinds(self) -> list[ServerType]:
        return [ServerType(name) for name in self._settings.transports()]
