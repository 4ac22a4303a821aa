"""
Putting the settings together: a file or the embedded default, the environment
on top, then the rules of L{diarkis_tw.config.checks}.
"""

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeVar, overload

from diarkis_tw.config.checks import check_settings
from diarkis_tw.config.decode import Given, decode_section, suggestion
from diarkis_tw.config.environment import read_environment
from diarkis_tw.config.fields import PATH_MAX_LENGTH
from diarkis_tw.config.json_file import JsonObject, read_object, shown
from diarkis_tw.config.section import Section, keys
from diarkis_tw.config.settings import (
    SECTIONS,
    SERVERS,
    AppSettings,
    ConnectorSettings,
    HttpSettings,
    LogSettings,
    MeshSettings,
    NodeSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from diarkis_tw.errors import ConfigError

FLAT_TYPES: Final = tuple(name.lower() for name in SERVERS)
"""What a flat file can be, as C{--type} says it."""

_WITH_ENDPOINT_API: Final = ("udp", "tcp", "ws")

EMBEDDED: Final[Mapping[str, Mapping[str, object]]] = {
    "TCP": {"noDelay": True},
    "WS": {"noDelay": True},
    "UDP": {},
    "HTTP": {},
    "app": {"module": "diarkis_tw.demo"},
}
"""What is served without a file: everything on loopback, with the demo."""

_S = TypeVar("_S", bound=Section)

_GivenSections = dict[str, dict[str, Given]]


def load_settings(
    path: str | Path, *, server_type: str | None = None, environ: Mapping[str, str]
) -> Settings:
    """
    Read a configuration file.

    Without C{server_type} it holds sections, each an object or the path of a
    flat file. With one it is a flat file, the keys of that one section, as the
    engine has them; a client then gets in through an endpoint API with default
    settings that comes with C{udp}, C{tcp} and C{ws} (and follows the file's
    C{enableEncryption}).

    @param server_type: one of L{FLAT_TYPES}.
    @raise ConfigError: anything at all is wrong.
    """
    if server_type is not None and server_type.lower() not in FLAT_TYPES:
        raise ConfigError(
            f"the type must be one of {', '.join(FLAT_TYPES)}, not {shown(server_type)}. "
            f"{suggestion(server_type, FLAT_TYPES)}."
        )
    if server_type is None:
        sections = _sectioned(Path(path))
    else:
        sections = _flat(Path(path), server_type.lower())
    return _settings(sections, environ, str(path))


def default_settings(environ: Mapping[str, str]) -> Settings:
    """
    The settings without a file: everything on loopback, with the demo.

    @raise ConfigError: the environment is wrong.
    """
    origin = "the embedded default"
    sections = {name: _given(values, origin, None) for name, values in EMBEDDED.items()}
    return _settings(sections, environ, origin)


@overload
def parse_flat_section(
    kind: Literal["udp"], path_or_mapping: str | Path | Mapping[str, object]
) -> UdpSettings: ...
@overload
def parse_flat_section(
    kind: Literal["tcp"], path_or_mapping: str | Path | Mapping[str, object]
) -> TcpSettings: ...
@overload
def parse_flat_section(
    kind: Literal["ws"], path_or_mapping: str | Path | Mapping[str, object]
) -> WsSettings: ...
@overload
def parse_flat_section(
    kind: Literal["http"], path_or_mapping: str | Path | Mapping[str, object]
) -> HttpSettings: ...
@overload
def parse_flat_section(
    kind: Literal["connector"], path_or_mapping: str | Path | Mapping[str, object]
) -> ConnectorSettings: ...
def parse_flat_section(kind: str, path_or_mapping: str | Path | Mapping[str, object]) -> Section:
    """
    Read one section by itself, for C{setup_as_tcp_server} and the like. The
    environment and the rules between sections are not looked at here: see
    L{check_settings}.

    @param kind: one of L{FLAT_TYPES}.
    @param path_or_mapping: a flat file, or its keys and values; an empty path
        takes all defaults.
    @raise ConfigError: it is wrong.
    """
    name = kind.upper()
    if isinstance(path_or_mapping, Mapping):
        given = _given(path_or_mapping, f"the {name} settings", None)
    elif path_or_mapping == "":
        given = {}
    else:
        given = _flat_section(Path(path_or_mapping), name)
    return decode_section(SECTIONS[name], name, given)


def _sectioned(path: Path) -> _GivenSections:
    """
    Read a file of sections.
    """
    sections: _GivenSections = {}
    content = _content(path)
    for name, value in content.items():
        if name not in SECTIONS:
            raise _unknown_section(path, name, content)
        if isinstance(value, dict):
            sections[name] = _given(value, str(path), path.parent)
        elif isinstance(value, str):
            if not value or not value.isprintable() or len(value) > PATH_MAX_LENGTH:
                raise ConfigError(f"{path}: {name} must not be {shown(value)}. Give a path.")
            sections[name] = _flat_section(path.parent / value, name, named_by=path)
        else:
            raise ConfigError(
                f"{path}: {name} must be an object of keys, or the path of a flat file, "
                f"not {shown(value)}. {{}} takes all defaults."
            )
    return sections


def _unknown_section(path: Path, name: str, content: Mapping[str, object]) -> ConfigError:
    flat = any(name in keys(SECTIONS[kind.upper()]) for kind in FLAT_TYPES)
    if flat and not any(key in SECTIONS for key in content):
        return ConfigError(
            f"{path}: is a flat file, with {shown(name)} at its top, so it must be said what for. "
            f"Add --type {'|'.join(FLAT_TYPES)}, or put its keys into a section such as "
            '"TCP": {...}.'
        )
    return ConfigError(
        f"{path}: there is no section {shown(name)}. "
        f"{suggestion(name, SECTIONS)}; correct or remove it."
    )


def _flat(path: Path, kind: str) -> _GivenSections:
    """
    Read a flat file given by itself.
    """
    name = kind.upper()
    section = _flat_section(path, name)
    sections = {name: section}
    if kind in _WITH_ENDPOINT_API:
        sections["HTTP"] = {key: section[key] for key in ("enableEncryption",) if key in section}
    return sections


def _flat_section(path: Path, name: str, *, named_by: Path | None = None) -> dict[str, Given]:
    if named_by is not None and not os.path.exists(path):  # it never raises
        raise ConfigError(
            f"{named_by}: {name} is the path of a flat file, and there is no such file {path}. "
            "Correct it, or put an object of keys in its place."
        )
    content = _content(path)
    for key in content:
        if key in SECTIONS and key not in keys(SECTIONS[name]):
            raise ConfigError(
                f"{path}: has a section {shown(key)}, but the keys of {name} were expected at its "
                "top. Leave out --type for a file of sections."
            )
    return _given(content, str(path), path.parent)


def _content(path: Path) -> JsonObject:
    """
    Read a file without its C{$schema}, which is for editors.
    """
    content = read_object(path)
    schema = content.pop("$schema", "")
    if not isinstance(schema, str):
        raise ConfigError(
            f'{path}: "$schema" must be a string, the path or URL of a JSON Schema for your '
            f"editor, not {shown(schema)}. Correct or remove it."
        )
    return content


def _given(values: Mapping[str, object], origin: str, folder: Path | None) -> dict[str, Given]:
    return {key: Given(value, origin, folder) for key, value in values.items()}


def _settings(sections: _GivenSections, environ: Mapping[str, str], origin: str) -> Settings:
    environment = read_environment(environ)
    for name, overrides in environment.overrides.items():
        sections[name] = {**sections.get(name, {}), **overrides}

    def optional(section: type[_S], name: str) -> _S | None:
        return decode_section(section, name, sections[name]) if name in sections else None

    settings = Settings(
        udp=optional(UdpSettings, "UDP"),
        tcp=optional(TcpSettings, "TCP"),
        ws=optional(WsSettings, "WS"),
        http=optional(HttpSettings, "HTTP"),
        connector=optional(ConnectorSettings, "CONNECTOR"),
        node=optional(NodeSettings, "node") or NodeSettings(),
        mesh=optional(MeshSettings, "mesh") or MeshSettings(),
        log=optional(LogSettings, "log") or LogSettings(),
        app=optional(AppSettings, "app") or AppSettings(),
        public_host=environment.public_host,
        cloud=environment.cloud,
        metadata_base=environment.metadata_base,
        client_key=environment.client_key,
    )
    check_settings(settings, origin)
    return settings
