"""
The Go doc's API as one object.

A server is put together before it starts: set it up as the kinds it shall be,
register commands and callbacks, then hand L{Server.service} to Twisted. With
C{twistd diarkis} all but the registering is done already, and the application
gets the server as the argument of its C{setup}.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from twisted.internet.interfaces import IReactorTime
from twisted.python.deprecate import deprecated
from twisted.python.versions import Version

from diarkis_tw.config.checks import check_debug_commands, check_settings
from diarkis_tw.config.settings import Settings
from diarkis_tw.constants import NodeState, ServerType
from diarkis_tw.core.creation import UserCreation
from diarkis_tw.core.dispatch import Dispatcher
from diarkis_tw.core.node import Node
from diarkis_tw.core.rate import RateLimit
from diarkis_tw.core.registry import CommandRegistry, Handler
from diarkis_tw.core.user import User
from diarkis_tw.core.users import Users
from diarkis_tw.errors import ConfigError
from diarkis_tw.http.node_choice import NodeSelector
from diarkis_tw.http.routes import HttpRoutes
from diarkis_tw.mesh.interface import NodeInfo
from diarkis_tw.modules.debug import DebugCallback, DebugCommands
from diarkis_tw.modules.dm import DirectMessages
from diarkis_tw.modules.mesh_commands import MeshCommands
from diarkis_tw.modules.notify import Notifier
from diarkis_tw.modules.private_message import PrivateMessages
from diarkis_tw.modules.room.rooms import SWEEP as ROOM_SWEEP
from diarkis_tw.modules.room.rooms import Rooms
from diarkis_tw.modules.session import SessionCommands
from diarkis_tw.net.tls import ServerTls
from diarkis_tw.server.cloud_setup import CloudSetup
from diarkis_tw.server.endpoints import host_port
from diarkis_tw.server.kinds import Kinds
from diarkis_tw.server.lifecycle import Callback, Lifecycle
from diarkis_tw.server.listeners import Listeners
from diarkis_tw.server.mesh_setup import make_mesh
from diarkis_tw.server.notifications import Notifications
from diarkis_tw.server.public_address import PublicAddress
from diarkis_tw.server.reload import Reload
from diarkis_tw.server.taken_if import PERIOD, Predicate, TakenIf

# What the Go doc deprecates was born deprecated here. Written at the functions,
# pydoctor 25.10 refuses it: it takes the major version 0 for none.
_deprecated = partial(deprecated, Version("diarkis_tw", 0, 1, 0))


class Server(Kinds, CloudSetup, Notifications):
    """
    One node. Go: package C{server}.

    @ivar users: the users of this node.
    @ivar http: the application's own HTTP routes, as in
        C{server.http.get("/hello/:name", handler)}. They are served if the node
        has an HTTP server, and never otherwise, which the log says.
    @ivar rooms: the rooms of this node; clients need C{rooms.expose_commands()}.
    @ivar dm: messages from user to user; clients need C{dm.expose_commands()}.
    @ivar mesh: the other nodes: who is there, and commands of the application's own
        between them.
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
        self._registry = CommandRegistry()
        self.http = HttpRoutes()
        self._node = Node()
        self._version = version("diarkis_tw")
        self._mesh = make_mesh(reactor, settings.mesh)
        limit = RateLimit(reactor, settings.node.max_command_rate)
        dispatcher = Dispatcher(self._registry, reactor, limit)
        self.users = Users(
            reactor, self._mesh, dispatcher, random_bytes, settings.node.reconnect_grace
        )
        self._listeners = Listeners(
            reactor, self._node, self.users, self._mesh, random_bytes, settings.public_host
        )
        self._endpoints = self._listeners.endpoints
        self._reload = Reload(settings, self._listeners.tls, self.users.limit_rate)
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
        self.dm = DirectMessages(reactor, self.users, self._mesh, self._registry)
        self.mesh = MeshCommands(self._mesh)

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
        external = self._listeners.external
        if not kinds and type is None and external is not None:
            endpoint = external.endpoint(self._listeners.external_host())
            if endpoint is None:
                raise ConfigError("get_endpoint: no external server has registered")
            return host_port(endpoint.host, endpoint.port)
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

    def set_custom_node_selector(self, selector: NodeSelector) -> None:
        """
        Let C{selector(server_type, nodes)} choose where the endpoint API of this node
        sends a player, instead of to the node with the fewest users. If the chosen one
        does not take the player, it is asked again with the others. Should it fail,
        the node with the fewest users is taken. Go: C{http.SetCustomNodeSelector}.

        @param selector: gets the word asked for, such as TCP, and a list of
            L{NodeInfo}, of nodes that are ONLINE; returns the address of one of them,
            or L{None}: the player is told to try later (503). It must not wait.
        @raise RegistrationError: no function of two parameters, or an async one.
        """
        self._listeners.node_choice.set_selector(selector)

    def bound_addresses(self) -> dict[str, tuple[str, int]]:
        """
        Host and port really bound, by section: TCP, HTTP and so on.
        """
        return {
            name: (listener.host, listener.port)
            for name, listener in self._listeners.by_section.items()
        }

    def tls(self) -> dict[str, ServerTls]:
        """
        Certificates and keys by section, of those that have TLS.
        """
        return dict(self._listeners.tls)

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

    def _describe(self) -> NodeInfo:
        endpoints = self._endpoints.describe(self._settings.node.type)
        ccu = self.users.ccu()
        if (external := self._listeners.external) is not None:
            ccu += external.ccu()
            endpoint = external.endpoint(self._listeners.external_host())
            if endpoint is not None:
                endpoints[external.server_type] = endpoint
        return NodeInfo(
            self._mesh.node_address,
            self._node.state,
            endpoints,
            ccu,
            encryption=self._settings.encryption(),
            type=self._settings.node.type,
            roles=tuple(self._listeners.by_section),
            rooms=len(self.rooms),
            version=self._version,
        )

    def _assemble(self) -> None:
        check_settings(self._settings, host_known=self._public_address.is_certain)
        if self._debug.exposed:
            check_debug_commands(self._settings)
        self._public_address.prepare()
        if refresh := self._settings.node.endpoint_refresh:
            self._lifecycle.every(refresh, self._public_address.refresh)
        self._registry.freeze()
        self.mesh.freeze()
        self.http.freeze(served=self._settings.http is not None)
        UserCreation(self._mesh, self._node, self.users, self._settings.encryption())
        self._listeners.add(self._settings, self.http, self._lifecycle)
