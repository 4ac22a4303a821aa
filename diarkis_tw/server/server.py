"""
The Go doc's API as one object.

A server is put together before it starts: set it up as the kinds it shall be,
register commands and callbacks, then hand L{Server.service} to Twisted. With
C{twistd diarkis} all but the registering is done already, and the application
gets the server as the argument of its C{setup}.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.python.deprecate import deprecated
from twisted.python.versions import Version

from diarkis_tw.config.checks import check_debug_commands, check_settings
from diarkis_tw.config.load import parse_flat_section
from diarkis_tw.config.settings import (
    ConnectorSettings,
    HttpSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from diarkis_tw.connector.external import SWEEP as EXTERNAL_SWEEP
from diarkis_tw.connector.external import ExternalServer
from diarkis_tw.connector.listener import connector_listener
from diarkis_tw.constants import CONNECTOR_TYPE, NodeState, ServerType
from diarkis_tw.core.admission import Admission
from diarkis_tw.core.creation import UserCreation
from diarkis_tw.core.dispatch import Dispatcher
from diarkis_tw.core.node import Node
from diarkis_tw.core.rate import RateLimit
from diarkis_tw.core.registry import CommandRegistry, Handler
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.errors import ConfigError
from diarkis_tw.http.endpoint import EndpointResource
from diarkis_tw.http.health import HealthResource
from diarkis_tw.http.json_resource import Root
from diarkis_tw.http.route_resource import RouteResource
from diarkis_tw.http.routes import HttpRoutes
from diarkis_tw.http.site import JsonSite
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.modules.debug import DebugCallback, DebugCommands
from diarkis_tw.modules.dm import DirectMessages
from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_service import NotificationLoader
from diarkis_tw.modules.notify import NotificationHandler, Notifier
from diarkis_tw.modules.private_message import PrivateMessages
from diarkis_tw.modules.room.rooms import SWEEP as ROOM_SWEEP
from diarkis_tw.modules.room.rooms import Rooms
from diarkis_tw.modules.session import SessionCommands
from diarkis_tw.net.addresses import DEFAULT_ADDRESS
from diarkis_tw.net.datagram_listener import DatagramListener
from diarkis_tw.net.stream_listener import StreamListener
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.server.cloud_setup import CloudSetup
from diarkis_tw.server.endpoints import Endpoints, host_port
from diarkis_tw.server.lifecycle import Callback, Lifecycle
from diarkis_tw.server.mesh_setup import make_mesh
from diarkis_tw.server.public_address import PublicAddress
from diarkis_tw.server.reload import Reload
from diarkis_tw.server.taken_if import PERIOD, Predicate, TakenIf
from diarkis_tw.transports.stream_server import StreamServer
from diarkis_tw.transports.tcp import TcpServer
from diarkis_tw.transports.udp import UdpServer
from diarkis_tw.transports.ws import WsServer
from diarkis_tw.units import Seconds
from diarkis_tw.wire.cipher import AeadCache

# What the Go doc deprecates was born deprecated here. Written at the functions,
# pydoctor 25.10 refuses it: it takes the major version 0 for none.
_deprecated = partial(deprecated, Version("diarkis_tw", 0, 1, 0))

AEAD_OBJECTS: Final = 16_384
"""AES-GCM objects kept for connections that are busy: two each, 2.5 KB an object."""

AEAD_IDLE: Final[Seconds] = 1.0
"""After once to twice this time unused an object is dropped: it costs 5 KB a user
to keep both between two keep-alives, and 2 us to make them again."""


class Server(CloudSetup):
    """
    One node. Go: package C{server}.

    @ivar users: the users of this node.
    @ivar http: the application's own HTTP routes, as in
        C{server.http.get("/hello/:name", handler)}. They are served if the node
        has an HTTP server, and never otherwise, which the log says.
    @ivar rooms: the rooms of this node; clients need C{rooms.expose_commands()}.
    @ivar dm: messages from user to user; clients need C{dm.expose_commands()}.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        settings: Settings | None = None,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param reactor: provides time and TCP.
        @param settings: as loaded from a file; L{None} = nothing is set up yet.
        @param random_bytes: where sids, keys and nonces come from.
        """
        settings = Settings() if settings is None else settings
        self._reactor = reactor
        self._settings = settings
        self._random_bytes = random_bytes
        self._registry = CommandRegistry()
        self.http = HttpRoutes()
        self._node = Node()
        self._mesh = make_mesh(reactor, settings.mesh)
        limit = RateLimit(reactor, settings.node.max_command_rate)
        dispatcher = Dispatcher(self._registry, reactor, limit)
        self.users = Users(
            reactor, self._mesh, dispatcher, random_bytes, settings.node.reconnect_grace
        )
        self._listeners: dict[str, StreamListener | DatagramListener] = {}
        self._tls: dict[str, ServerTls] = {}
        self._external: ExternalServer | None = None
        self._reload = Reload(settings, self._tls, self.users.limit_rate)
        self._endpoints = Endpoints(settings.public_host, self._listeners)
        self._public_address = PublicAddress(settings, self._endpoints, reactor, self._mesh.updated)
        self._lifecycle = Lifecycle(
            reactor,
            self._node,
            self.users,
            self._mesh,
            self._describe,
            settings.node.shutdown_timeout,
        )
        self._lifecycle.prepare = self._assemble
        self._lifecycle.find_public_address = self._public_address.find
        SessionCommands(self._registry, self._node, self.is_p2p_enabled)
        self._notifier = Notifier(reactor, self.users, self._mesh)
        self._lifecycle.parts.append(self._notifier)
        self._private_messages = PrivateMessages(self._mesh, self.users)
        self._taken_if = TakenIf(self._node)
        self._lifecycle.every(PERIOD, self._taken_if.look)
        self._debug = DebugCommands(
            self._registry, self._node, self.users, self._lifecycle.terminate
        )
        self.rooms = Rooms(
            reactor,
            self.users,
            self._node,
            lambda: self._mesh.node_address,
            self._registry,
            random_bytes,
        )
        self._lifecycle.every(ROOM_SWEEP, self.rooms.sweep)
        self._debug.room_dump = self.rooms.dump
        self.dm = DirectMessages(self.users, self._mesh, self._registry)

    # Kinds

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

    # Commands

    def handle_command(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        Register a command handler. Go: C{server.HandleCommand}.

        Its forms are in L{diarkis_tw.core.registry}. Several handlers of one
        pair run in the order of registration.

        @param ver: 2..255.
        @param cmd: 0..65535.
        @raise RegistrationError: a number out of range, a handler of another
            form, or the server has started.
        """
        self._registry.handle(ver, cmd, handler)

    def handle_ws_command(self, ver: float, cmd: float, handler: Handler) -> None:
        """
        Register a command handler for users of JSON WebSocket, whose payload is a
        mapping. Go: C{server.HandleWSCommand}.

        Where a pair has such handlers, these users get them instead of those of
        L{handle_command}. Bytes arrive as C{{"base64": "..."}}, no payload as an
        empty mapping, C{ver} and C{cmd} as integers, which are floats to Python's
        types.

        @param ver: 2..255; 2 and 2.0 are the same.
        @param cmd: 0..65535; likewise.
        @raise RegistrationError: as for L{handle_command}.
        """
        self._registry.handle_ws(ver, cmd, handler)

    @_deprecated("handle_command")
    def command(self, ver: int, cmd: int, handler: Handler) -> None:
        """
        Register a handler of the older form. Go: C{server.Command}.

        @param ver: 2..255.
        @param cmd: 0..65535.
        @param handler: C{f(user, next_)} or C{f(user)}; the command is
            C{user.request}.
        @raise RegistrationError: as for L{handle_command}.
        """
        self._registry.command(ver, cmd, handler)

    def hook_all_commands(self, hook: Handler) -> None:
        """
        Run C{hook(user)} or C{hook(user, next_)} before the handlers of every
        command; an error ends the command. Go: C{server.HookAllCommands}.

        @raise RegistrationError: wrong form, or the server has started.
        """
        self._registry.hook(hook)

    def is_command_duplicate(self, ver: float, cmd: float) -> bool:
        """
        Whether the pair has a handler of L{handle_command} or L{handle_ws_command}.
        Go: C{server.IsCommandDuplicate}.

        @raise RegistrationError: a number out of range.
        """
        return self._registry.is_duplicate(ver, cmd)

    def on_keep_alive(self, handler: Handler) -> None:
        """
        Run C{handler(user)} or C{handler(user, next_)} on every keep-alive.
        Go: C{server.OnKeepAlive}.

        @raise RegistrationError: wrong form, or the server has started.
        """
        self._registry.on_keep_alive(handler)

    def on_disconnect(self, callback: Callable[[str, User], object]) -> None:
        """
        Call C{callback(sid, user)} exactly once for each user that leaves,
        however it left. Go: C{server.OnDisconnect}.
        """
        self.users.on_disconnect(callback)

    # State

    @property
    def state(self) -> NodeState:
        """
        The node's state.
        """
        return self._node.state

    def online(self) -> None:
        """
        Accept new users and rooms. Go: C{server.Online}.
        """
        self._node.online()

    def taken(self) -> None:
        """
        Accept no new users. Go: C{server.Taken}.
        """
        self._node.taken()

    def offline(self) -> None:
        """
        Accept neither new users nor new rooms. Go: C{server.Offline}.
        """
        self._node.offline()

    # Notifications

    def enable_notifications(self) -> None:
        """
        Have notifications; without it all the others are errors.
        Go: C{server.EnableNotifications}.

        @raise RegistrationError: the server has started.
        """
        self._notifier.enable()

    def notify(self, notification: Notification, *, local: bool) -> bool:
        """
        Send a notification to all users: those who are here get it within a
        second or so, those who connect later while its ttl lasts. It is not
        guaranteed. Go: C{server.Notify}.

        @param local: to the users of this node only, not of all nodes.
        @return: False if the id was sent before, so that nobody here gets it.
        @raise NotificationError: notifications are not enabled, the server is not
            running, or there were too many.
        """
        return self._notifier.notify(notification, local)

    def notification_service(
        self, name: str, loader: NotificationLoader, interval: Seconds
    ) -> None:
        """
        Call C{loader} each C{interval} and send what it returns to the users of
        this node: all nodes start the same services.
        Go: C{server.NotificationService}.

        @param loader: returns a L{Notification}, L{None}, or an awaitable of these.
            It is not called again before it is done; its failures are logged.
        @param interval: in seconds, not milliseconds as in Go; at least 0.1. The
            first call comes one interval after the start.
        @raise RegistrationError: a name twice, an interval or loader that is none,
            not enabled, or the server has started.
        """
        self._notifier.add_service(name, loader, interval)

    def set_on_notification(self, name: str, callback: NotificationHandler) -> None:
        """
        Call C{callback(user, notification)} for each user before a notification of
        that name is sent: True = the user gets it. Should it fail, the user does
        not, and the first failure of each notification is logged. Other names go
        to everybody. Go: C{server.SetOnNotification}.

        @raise RegistrationError: not a name and a function, or not enabled.
        """
        self._notifier.set_handler(name, callback)

    def delete_notification(self, id: str) -> None:
        """
        Let nobody get a notification any more, on any node. Its id stays used.
        Go: C{server.DeleteNotification}.

        @raise NotificationError: not enabled, or the server is not running.
        """
        self._notifier.delete(id)

    def mark_server_as_taken_if(self, predicate: Predicate) -> None:
        """
        Ask C{predicate()} every 2 seconds: true = TAKEN, false = ONLINE. It is not
        asked while the node is OFFLINE. Go: C{server.MarkServerAsTakenIf}.

        @param predicate: returns a bool, or an awaitable of one.
        @raise RegistrationError: it is no function, or there is one already.
        """
        self._taken_if.set(predicate)

    # Messages

    @property
    def node_address(self) -> str:
        """
        Where other nodes reach this one, for L{send_pm}.
        """
        return self._mesh.node_address

    @_deprecated("direct messages")
    def send_pm(self, node_address: str, sid: str, ver: int, cmd: int, message: bytes) -> None:
        """
        Push a message to a user of any node, reliably. Nobody is told if there is
        no such node or user. Go: C{server.SendPM}.

        @param node_address: C{server.node_address} of the user's node.
        @param sid: C{user.sid}.
        @param ver: 0..255.
        @param cmd: 0..65535.
        @param message: bytes.
        @raise LocalProtocolError: one of these is no such thing.
        """
        self._private_messages.send(node_address, sid, ver, cmd, message)

    # Debug commands

    def expose_debug_commands(self) -> None:
        """
        Let every client use the debug commands, ver 0 cmd 900 to 905: see
        L{diarkis_tw.modules.debug}. Go: C{server.ExposeDebugCommands}.

        On an address that other machines reach this needs C{node.allowDebugCommands}.

        @raise RegistrationError: the server has started.
        """
        self._debug.expose()

    def is_debug_commands_enabled(self) -> bool:
        """
        Whether clients may use the debug commands.
        Go: C{server.IsDebugCommandsEnabled}.
        """
        return self._debug.exposed

    def set_debug_command_callback(self, cmd: int, callback: DebugCallback) -> None:
        """
        Run C{callback(user, payload, respond)} after a debug command has done its
        work. It ends with C{respond(error, reply)}: the reply is the response,
        C{respond()} leaves the command's own. Go: C{server.SetDebugCommandCallback}.

        @param cmd: 900..905.
        @raise RegistrationError: no such command, wrong form, or the server has
            started.
        """
        self._debug.set_callback(cmd, callback)

    # Endpoints

    def get_endpoint(self, type: ServerType | None = None) -> str:
        """
        The C{host:port} that clients are told. Go: C{server.GetEndPoint}.

        @param type: which kind; needed if there are several.
        @raise ConfigError: it is not bound, or not clear which is meant.
        """
        kinds = self._kinds()
        if not kinds and type is None and self._external is not None:
            external = self._external.endpoint(self._external_host())
            if external is None:
                raise ConfigError("get_endpoint: no external server has registered")
            return host_port(external.host, external.port)
        if type is None:
            if len(kinds) != 1:
                raise ConfigError("get_endpoint: say of which type, as in ServerType.TCP")
            type = kinds[0]
        return host_port(*self._endpoints.public(type))

    def set_public_endpoint(self, address: str, type: ServerType | None = None) -> None:
        """
        Set where clients are sent. Go: C{server.SetPublicEndPoint}.

        @param address: C{host}, for all kinds with the ports bound, or C{host:port}.
        @param type: the kind that C{host:port} is for; needed if there are several.
        @raise ConfigError: no such address, or not clear which kind is meant.
        """
        self._endpoints.announce(address, self._kinds(), type)
        self._mesh.updated()

    def bound_addresses(self) -> dict[str, tuple[str, int]]:
        """
        Host and port really bound, by section: TCP, HTTP and so on.
        """
        return {name: (listener.host, listener.port) for name, listener in self._listeners.items()}

    def tls(self) -> dict[str, ServerTls]:
        """
        Certificates and keys by section, of those that have TLS.
        """
        return dict(self._tls)

    # Life cycle

    def reload(
        self, load: Callable[[], Settings], set_level: Callable[[str], None] | None = None
    ) -> None:
        """
        Take over what of a changed configuration can be without a restart, as
        SIGHUP makes C{twistd diarkis} do: certificates, the command rate, the log's
        level. What cannot be, and what is wrong with it, is logged.

        @param load: reads the configuration; it may fail with L{ConfigError}.
        @param set_level: sets the log's level; L{None} = it stays.
        """
        self._reload.run(load, set_level)

    def on_start(self, callback: Callback) -> None:
        """
        Call C{callback()} before anything is bound; it may return an awaitable.
        A failure ends the process with status 1. Go: C{diarkis.OnStart}.
        """
        self._lifecycle.on_start.append(callback)

    def on_ready(self, callback: Callback) -> None:
        """
        Call C{callback()} when all is bound, just before the node is ONLINE; it
        may return an awaitable. A failure ends the process with status 1.
        Go: C{diarkis.OnReady}.
        """
        self._lifecycle.on_ready.append(callback)

    def on_terminate(self, callback: Callback) -> None:
        """
        Call C{callback()} when all sessions have ended; it may return an
        awaitable. Go: C{diarkis.OnTerminate}.
        """
        self._lifecycle.on_terminate.append(callback)

    def service(self) -> Lifecycle:
        """
        What Twisted starts and stops: give it to C{setServiceParent}.
        """
        return self._lifecycle

    # Putting it together

    def _check_new(self, name: str, section: object) -> None:
        if section is not None:
            raise ConfigError(f"the server is set up as {name} server already")
        if self._listeners:
            raise ConfigError(f"too late to be a {name} server: set it up in setup(server)")

    def _kinds(self) -> list[ServerType]:
        return [ServerType(name) for name in self._settings.transports()]

    def _describe(self) -> NodeInfo:
        endpoints = self._endpoints.describe(self._settings.node.type)
        ccu = self.users.ccu()
        if (external := self._external) is not None:
            ccu += external.ccu()
            if (endpoint := external.endpoint(self._external_host())) is not None:
                endpoints[external.server_type] = endpoint
        return NodeInfo(
            self._mesh.node_address, self._node.state, endpoints, ccu, self._encryption()
        )

    def _external_host(self) -> str:
        return self._endpoints.host or DEFAULT_ADDRESS

    def _make_tls(
        self, name: str, section: TcpSettings | WsSettings | HttpSettings
    ) -> ServerTls | None:
        if not section.tls_certificate:
            return None
        tls = self._tls[name] = ServerTls(name, section.tls_certificate, section.tls_private_key)
        return tls

    def _encryption(self) -> bool:
        return all(section.enable_encryption for section in self._settings.transports().values())

    def _assemble(self) -> None:
        check_settings(self._settings, host_known=self._public_address.is_certain)
        if self._debug.exposed:
            check_debug_commands(self._settings)
        self._public_address.prepare()
        if refresh := self._settings.node.endpoint_refresh:
            self._lifecycle.every(refresh, self._public_address.refresh)
        self._registry.freeze()
        self.http.freeze(served=self._settings.http is not None)
        encryption = self._encryption()
        UserCreation(self._mesh, self._node, self.users, encryption)
        admission = Admission(self._node, self.users, encryption, self._random_bytes)
        ciphers = AeadCache(AEAD_OBJECTS)
        self._lifecycle.every(AEAD_IDLE, ciphers.rotate)
        if (tcp := self._settings.tcp) is not None:
            server = TcpServer(tcp, self.users, admission, ciphers, self._reactor)
            self._listeners["TCP"] = self._stream_listener("TCP", tcp, server)
        if (ws := self._settings.ws) is not None:
            sockets = WsServer(ws, self.users, admission, ciphers, self._reactor)
            self._listeners["WS"] = self._stream_listener("WS", ws, sockets)
        if (udp := self._settings.udp) is not None:
            datagrams = UdpServer(
                udp, self.users, admission, ciphers, self._reactor, self._random_bytes
            )
            self._listeners["UDP"] = DatagramListener(
                self._reactor, datagrams, "UDP", udp.address, udp.nic, udp.port
            )
        if (connector := self._settings.connector) is not None:
            self._listeners["CONNECTOR"] = self._make_connector(connector)
        if (http := self._settings.http) is not None:
            api = EndpointResource(self._mesh, http, self._settings.client_key)
            health = HealthResource(self._node, self._mesh, http.allow_origin)
            routes = RouteResource(self.http, self._node, http, self._reactor)
            root = Root({b"endpoint": api, b"healthcheck": health}, routes)
            site = JsonSite(root, self._reactor)
            self._listeners["HTTP"] = StreamListener(
                self._reactor,
                site,
                "HTTP",
                http.address,
                http.nic,
                http.port,
                fixed=http.use_fixed_port,
                tls=self._make_tls("HTTP", http),
                when_closed=site.when_closed,
                abort=site.abort_all,
            )
        self._lifecycle.listeners += self._listeners.values()

    def _stream_listener(
        self, name: str, section: TcpSettings | WsSettings, server: StreamServer
    ) -> StreamListener:
        return StreamListener(
            self._reactor,
            server,
            name,
            section.address,
            section.nic,
            section.port,
            tls=self._make_tls(name, section),
            when_closed=server.when_closed,
            abort=server.abort_all,
        )

    def _make_connector(self, settings: ConnectorSettings) -> StreamListener:
        server_type = self._settings.node.type or CONNECTOR_TYPE
        external = self._external = ExternalServer(
            self._reactor, self._node, self._mesh, server_type, settings.connection_ttl
        )
        self._lifecycle.occupied.append(external)
        self._lifecycle.every(EXTERNAL_SWEEP, external.sweep)
        return connector_listener(
            self._reactor,
            settings,
            external,
            self._node,
            self._external_host,
            self._lifecycle.terminate,
        )
