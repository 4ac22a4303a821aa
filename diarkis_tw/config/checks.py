"""
Rules that more than one key, or the state of this project, has a say in.
"""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from diarkis_tw.config.hosts import DEFAULT_ADDRESS, ip_address, is_loopback, is_wildcard
from diarkis_tw.config.json_file import shown
from diarkis_tw.config.section import extra
from diarkis_tw.config.settings import (
    SECTIONS,
    HttpSettings,
    MeshSettings,
    Settings,
    UdpSettings,
)
from diarkis_tw.errors import ConfigError

BUILT: Final[Mapping[str, bool]] = {
    "UDP": True,
    "TCP": True,
    "WS": True,
    "HTTP": True,
    "CONNECTOR": True,
    "TLS": True,
    "worker processes": False,
    "mesh": True,
    "public address look-up": True,
    "cloud": True,
}
"""
What exists. A setting that needs something else is refused, never ignored:
change False to True here when the thing is built.
"""

MESH_KEY_MIN: Final = 16
"""Characters of a mesh key: 64 bits, should they be hexadecimal digits."""

RESERVED_TYPES: Final = ("UDP", "TCP", "WS", "HTTP")
"""Server types that mean a transport, so that C{node.type} cannot be one."""


def check_settings(
    settings: Settings,
    origin: str = "configuration",
    *,
    built: Mapping[str, bool] = BUILT,
    cores: int | None = None,
    host_known: bool = False,
) -> None:
    """
    Hold the settings against the rules.

    @param origin: the file, as errors name it.
    @param cores: CPU cores of this machine; None = ask the system.
    @param host_known: the application says what clients connect to.
    @raise ConfigError: the first rule that is broken.
    """
    try:
        _check_serves(settings)
        _check_built(settings, built)
        _check_encryption(settings)
        _check_tls(settings)
        if settings.http is not None:
            _check_fixed_port(settings.http, settings)
        if settings.udp is not None:
            _check_workers(settings.udp, cores or os.cpu_count() or 1)
        _check_node_type(settings)
        _check_mesh(settings.mesh)
        if not host_known:
            _check_public_host(settings)
        if settings.http is not None:
            _check_anonymous(settings.http, settings.client_key)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def check_debug_commands(settings: Settings) -> None:
    """
    Refuse debug commands where other machines could use them, unless that is
    wanted.

    @raise ConfigError: it is not said to be.
    """
    if settings.node.allow_debug_commands:
        return
    for name, section in settings.transports().items():
        if section.address:
            if is_loopback(section.address):
                continue
            place = f"{name}.address {shown(section.address)}"
        elif section.nic:
            place = f"{name}.nic {shown(section.nic)}"
        else:
            continue
        raise ConfigError(
            f"{place} lets other machines use the debug commands, which expose_debug_commands() "
            "switched on and which can stop this node. Set node.allowDebugCommands to true if "
            f"that is wanted, or {name}.address to 127.0.0.1."
        )


def _check_serves(settings: Settings) -> None:
    if not settings.transports() and settings.http is None and settings.connector is None:
        raise ConfigError(
            "no section starts a server. Add at least one of UDP, TCP, WS, HTTP, CONNECTOR; "
            '{} as in "TCP": {} takes all defaults.'
        )


def _check_built(settings: Settings, built: Mapping[str, bool]) -> None:
    for use, feature in _needs(settings).items():
        if not built[feature]:
            raise ConfigError(f"{use} is not built yet in this version. Remove it.")


def _needs(settings: Settings) -> dict[str, str]:
    """
    The settings whose effect is a feature of its own, and that feature.
    """
    needs = {f"the section {name}": name for name in settings.transports()}
    if settings.connector is not None:
        needs["the section CONNECTOR"] = "CONNECTOR"
    if settings.mesh != MeshSettings():
        needs["the section mesh"] = "mesh"
    for name in SECTIONS:
        section = getattr(settings, name.lower())
        for field in msgspec.structs.fields(section) if section is not None else ():
            feature = extra(field.type, "needs")
            if feature is not None and getattr(section, field.name) != field.default:
                needs[f"{name}.{field.encode_name}"] = str(feature)
    if settings.cloud is not None:
        needs[f"DIARKIS_CLOUD_ENV={settings.cloud}"] = "cloud"
    return needs


def _tls_files(settings: Settings) -> dict[str, dict[str, str]]:
    """
    The TLS files that are set, by section and key.
    """
    sections = {"TCP": settings.tcp, "WS": settings.ws, "HTTP": settings.http}
    return {
        name: {
            key: path
            for key, path in (
                ("tlsCertificate", section.tls_certificate),
                ("tlsPrivateKey", section.tls_private_key),
            )
            if path
        }
        for name, section in sections.items()
        if section is not None
    }


def _check_tls(settings: Settings) -> None:
    for name, files in _tls_files(settings).items():
        if len(files) == 1:
            raise ConfigError(
                f"{name}.tlsCertificate and {name}.tlsPrivateKey need each other, but only "
                f"{name}.{next(iter(files))} is set. Set both or none."
            )


def _check_fixed_port(http: HttpSettings, settings: Settings) -> None:
    """
    HTTP is bound last, so a port that others have is theirs. These go on to the next
    one where it is taken; a fixed one does not.
    """
    if not http.use_fixed_port or http.port == 0:
        return
    streams: dict[str, tuple[str, str, int]] = {}
    for name, section in (("TCP", settings.tcp), ("WS", settings.ws)):
        if section is not None:
            streams[name] = (section.address, section.nic, section.port)
    if settings.connector is not None:
        streams["CONNECTOR"] = (DEFAULT_ADDRESS, "", settings.connector.port)
    for name, (address, nic, port) in streams.items():
        if port == http.port and _certainly_meet((address, nic), (http.address, http.nic)):
            raise ConfigError(
                f"{name}.port and HTTP.port are both {port} on the same address, where {name} is "
                "bound first, and HTTP.useFixedPort allows HTTP no other. Set another port in "
                "one of them."
            )


def _certainly_meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """
    Whether two sockets could not have the same port. Which address an interface has
    is not known here.

    @param one: C{address} and C{nic} of a section.
    """
    if one == other:
        return True
    addresses = []
    for address, nic in (one, other):
        if nic and not address:
            return False
        addresses.append(ip_address(DEFAULT_ADDRESS if address in ("", "localhost") else address))
    first, second = addresses
    if first is None or second is None or first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _check_encryption(settings: Settings) -> None:
    sections = {**settings.transports(), "HTTP": settings.http}
    values = {
        name: section.enable_encryption for name, section in sections.items() if section is not None
    }
    if len(set(values.values())) > 1:
        listed = ", ".join(f"{shown(value)} in {name}" for name, value in values.items())
        raise ConfigError(
            "enableEncryption must be the same in all sections, because the endpoint API tells "
            f"clients about it; it is {listed}. Make them equal."
        )


def _check_workers(udp: UdpSettings, cores: int) -> None:
    if udp.rcv_workers > cores:
        raise ConfigError(
            f"UDP.rcvWorkers must be at most the number of CPU cores, {cores} on this machine, "
            f"not {udp.rcv_workers}. Lower it."
        )


def _check_node_type(settings: Settings) -> None:
    kind = settings.node.type
    if not kind:
        return
    if kind.upper() in RESERVED_TYPES:
        raise ConfigError(
            f"node.type must be a word of your own, not {shown(kind)}, which means a transport. "
            "Leave it out: the sections say what this node serves."
        )
    servers = [*settings.transports(), *(["CONNECTOR"] if settings.connector is not None else [])]
    if len(servers) != 1:
        found = ", ".join(servers) or "none"
        raise ConfigError(
            f"node.type {shown(kind)} needs exactly one of the sections UDP, TCP, WS, CONNECTOR, "
            f"because clients ask for the type, not for a transport; there is {found}. "
            "Run one node for each, or leave node.type out."
        )


def _check_mesh(mesh: MeshSettings) -> None:
    if mesh.engine == "local":
        if mesh.servers:
            raise ConfigError(
                'mesh.servers says where NATS is, but mesh.engine is "local". Set it to "nats", '
                "or remove the servers."
            )
        return
    if not mesh.servers:
        raise ConfigError(
            'mesh.engine "nats" needs mesh.servers, such as ["nats://127.0.0.1:4222"].'
        )
    for name, key in (("key", mesh.key), ("otherKey", mesh.other_key)):
        if key and len(key) < MESH_KEY_MIN:
            raise ConfigError(
                f"mesh.{name} must have at least {MESH_KEY_MIN} characters, as whoever "
                "guesses it is a node. Make one with: openssl rand -hex 32"
            )
    if mesh.other_key and not mesh.key:
        raise ConfigError("mesh.otherKey is a second key, and there is no mesh.key. Set that.")
    if mesh.key:
        return
    for server in mesh.servers:
        if not is_loopback(urlsplit(server).hostname or ""):
            host = urlsplit(server).hostname or "?"
            raise ConfigError(
                f"mesh.servers has {host}, which is not on loopback: nodes need a mesh.key, or "
                "anybody who reaches NATS could be one. Make one with: openssl rand -hex 32"
            )


def _check_public_host(settings: Settings) -> None:
    if settings.public_host is not None or settings.cloud is not None:
        return
    if settings.node.public_address_url:
        return
    for name, section in settings.transports().items():
        if section.address and is_wildcard(section.address):
            raise ConfigError(
                f"{name}.address {shown(section.address)} means all interfaces, which is no "
                "address that clients could connect to. Set the environment variable "
                "DIARKIS_CLOUD_ENV=<host> to the host name or IP address they reach this "
                "machine by or to the name of its cloud, or bind one address."
            )


def _check_anonymous(http: HttpSettings, client_key: str | None) -> None:
    if client_key is not None or http.allow_anonymous:
        return
    if http.address:
        if is_loopback(http.address):
            return
        place = f"HTTP.address {shown(http.address)}"
    elif http.nic:
        # Which address the interface has is not known here.
        place = f"HTTP.nic {shown(http.nic)}"
    else:
        return
    raise ConfigError(
        f"{place} lets other machines ask the endpoint API for players' keys, and nothing guards "
        "it. Set the environment variable DIARKIS_CLIENT_KEY, or HTTP.address to 127.0.0.1, or "
        "HTTP.allowAnonymous to true if something in front of it guards it."
    )
