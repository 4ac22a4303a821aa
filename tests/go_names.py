"""
The names in the index of the Go doc of the engine's package C{server}, and what
they are called here: an attribute of what C{diarkis_tw.server} exports.
"""

from typing import Final

CONSTANTS: Final = {
    "Bad": "Status.BAD",
    "Err": "Status.ERR",
    "Ok": "Status.OK",
    "TCPType": "ServerType.TCP",
    "UDPType": "ServerType.UDP",
    "WSType": "ServerType.WS",
}

FUNCTIONS: Final = {
    "Command": "Server.command",
    "DeleteNotification": "Server.delete_notification",
    "EnableNotifications": "Server.enable_notifications",
    "ExposeDebugCommands": "Server.expose_debug_commands",
    "GetEndPoint": "Server.get_endpoint",
    "HandleCommand": "Server.handle_command",
    "HandleWSCommand": "Server.handle_ws_command",
    "HookAllCommands": "Server.hook_all_commands",
    "IsCommandDuplicate": "Server.is_command_duplicate",
    "IsDebugCommandsEnabled": "Server.is_debug_commands_enabled",
    "IsP2PEnabled": "Server.is_p2p_enabled",
    "IsTCP": "Server.is_tcp",
    "IsUDP": "Server.is_udp",
    "IsWebSocket": "Server.is_websocket",
    "MarkServerAsTakenIf": "Server.mark_server_as_taken_if",
    "NotificationService": "Server.notification_service",
    "Notify": "Server.notify",
    "Offline": "Server.offline",
    "OnDisconnect": "Server.on_disconnect",
    "OnKeepAlive": "Server.on_keep_alive",
    "Online": "Server.online",
    "SendPM": "Server.send_pm",
    "SetDebugCommandCallback": "Server.set_debug_command_callback",
    "SetOnNotification": "Server.set_on_notification",
    "SetPublicEndPoint": "Server.set_public_endpoint",
    "SetupAsConnector": "Server.setup_as_connector",
    "SetupAsTCPServer": "Server.setup_as_tcp_server",
    "SetupAsUDPServer": "Server.setup_as_udp_server",
    "SetupAsWebSocketServer": "Server.setup_as_websocket_server",
    "SetupGenericCloudServer": "Server.setup_generic_cloud_server",
    "SetupServerForAWS": "Server.setup_server_for_aws",
    "SetupServerForAlibaba": "Server.setup_server_for_alibaba",
    "SetupServerForAzure": "Server.setup_server_for_azure",
    "SetupServerForGCP": "Server.setup_server_for_gcp",
    "SetupServerForLinode": "Server.setup_server_for_linode",
    "SetupServerForTencent": "Server.setup_server_for_tencent",
    "Taken": "Server.taken",
}

TYPES: Final = {
    "Notification": "Notification",
    "NotificationHandler": "NotificationHandler",
    "NotificationLoader": "NotificationLoader",
    "UserDataDump": "UserDataDump",
}

ALSO: Final = {
    "user.User": "User",
    "user.GetCCU": "Server.users",
    "diarkis.OnStart": "Server.on_start",
    "diarkis.OnReady": "Server.on_ready",
    "diarkis.OnTerminate": "Server.on_terminate",
}
"""Names of other packages that the doc speaks of; with their package."""

PENDING: Final[frozenset[str]] = frozenset()
"""Names that are not built yet. This list may only shrink."""
