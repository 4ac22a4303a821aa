"""
What the environment says: the variables of L{VARIABLES}, and any key of a
section as C{DIARKIS_SET_<SECTION>__<key>}.

Other variables that begin with C{DIARKIS_} are left alone: Kubernetes makes up
some, for each Service of such a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from diarkis_tw.config.decode import Given, suggestion, unknown_key
from diarkis_tw.config.forms import FORMS
from diarkis_tw.config.hosts import ip_address, is_host_name, is_wildcard
from diarkis_tw.config.json_file import parse, shown
from diarkis_tw.config.section import keys
from diarkis_tw.config.settings import SECTIONS
from diarkis_tw.errors import ConfigError

CLOUDS: Final = ("AWS", "GCP", "AZURE", "ALIBABA", "TENCENT", "LINODE")

SET_PREFIX: Final = "DIARKIS_SET_"


@dataclass(frozen=True, slots=True)
class Variable:
    """
    A variable with a name of its own.

    @ivar about: what it is for, for the documentation.
    @ivar secret: its value is never shown.
    """

    about: str
    secret: bool = False


VARIABLES: Final[Mapping[str, Variable]] = {
    "DIARKIS_CLOUD_ENV": Variable(
        "Host name or IP address that clients connect to, without a port; needed where a server "
        "binds all interfaces. Or the cloud that this machine asks for it: "
        f"{', '.join(CLOUDS)}."
    ),
    "DIARKIS_METADATA_BASE": Variable(
        "For tests and labs: `http://host:port` that is asked for the public address instead of "
        "the cloud's own metadata service. Never set it in production: whoever answers there "
        "decides where your players connect to."
    ),
    "DIARKIS_CLIENT_KEY": Variable(
        "Secret that the endpoint API demands in the header `ClientKey`, so that only your back "
        "end, which knows it, can let players in.",
        secret=True,
    ),
    "DIARKIS_NODE_TYPE": Variable(
        "Server type that clients ask the endpoint API for. It wins over `node.type`."
    ),
    "DIARKIS_SHUTDOWN_TIMEOUT": Variable(
        "Seconds that a node which shall stop waits for its users to leave. It wins over "
        "`node.shutdownTimeout`."
    ),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """
    What the environment says, checked as far as it can be without a file.

    @ivar overrides: values by section and key; they win over a file's.
    """

    public_host: str | None
    cloud: str | None
    metadata_base: str | None
    client_key: str | None = field(repr=False)
    overrides: Mapping[str, Mapping[str, Given]]


def read_environment(environ: Mapping[str, str]) -> Environment:
    """
    Read the variables that concern the settings.

    @raise ConfigError: one of them is wrong.
    """
    overrides: dict[str, dict[str, Given]] = {}
    for variable in sorted(environ):
        if variable.startswith(SET_PREFIX):
            section, key = _target(variable)
            given = Given(_value(environ[variable]), f"environment variable {variable}")
            overrides.setdefault(section, {})[key] = given
    timeout = environ.get("DIARKIS_SHUTDOWN_TIMEOUT")
    if timeout is not None:
        overrides.setdefault("node", {})["shutdownTimeout"] = Given(
            _value(timeout), "environment variable DIARKIS_SHUTDOWN_TIMEOUT"
        )
    if (node_type := environ.get("DIARKIS_NODE_TYPE")) is not None:
        overrides.setdefault("node", {})["type"] = Given(
            node_type, "environment variable DIARKIS_NODE_TYPE"
        )
    public_host, cloud = _cloud_env(environ.get("DIARKIS_CLOUD_ENV"))
    metadata_base = _metadata_base(environ.get("DIARKIS_METADATA_BASE"))
    client_key = _client_key(environ.get("DIARKIS_CLIENT_KEY"))
    return Environment(public_host, cloud, metadata_base, client_key, overrides)


def _value(text: str) -> object:
    try:
        return parse(text)
    except ValueError:
        return text


def _target(variable: str) -> tuple[str, str]:
    origin = f"environment variable {ascii(variable)[1:-1]}"
    section, separator, key = variable.removeprefix(SET_PREFIX).partition("__")
    if not separator:
        raise ConfigError(
            f"{origin}: must be named {SET_PREFIX}<SECTION>__<key>, such as "
            f"{SET_PREFIX}TCP__port. Rename or unset it."
        )
    if section not in SECTIONS:
        raise ConfigError(
            f"{origin}: there is no section {shown(section)}. "
            f"{suggestion(section, SECTIONS)}; rename or unset it."
        )
    if key not in keys(SECTIONS[section]):
        raise ConfigError(f"{origin}: {unknown_key(section, key)}; rename or unset it.")
    return section, key


def _cloud_env(text: str | None) -> tuple[str | None, str | None]:
    """
    @return: the public host and the cloud, at most one of them.
    """
    if text is None:
        return None, None
    if text.upper() in CLOUDS:
        return None, text.upper()
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ip_address(host) is not None and not is_wildcard(host):
        return host, None
    if is_host_name(text) and ("." in text or text.lower() == "localhost"):
        return text, None
    near = suggestion(text, CLOUDS)
    hint = f" {near}." if near.startswith("The nearest") else ""
    raise ConfigError(
        "environment variable DIARKIS_CLOUD_ENV: must be the host name or IP address that clients "
        f"connect to (no port), or one of {', '.join(CLOUDS)}, not {shown(text)}.{hint} "
        "Correct or unset it."
    )


def _metadata_base(text: str | None) -> str | None:
    if text is None:
        return None
    base = text.removesuffix("/")
    try:
        right = FORMS["origin"].accepts(base) and bool(urlsplit(base).hostname)
        _ = urlsplit(base).port
    except ValueError:
        right = False
    if not right:
        raise ConfigError(
            "environment variable DIARKIS_METADATA_BASE: must be scheme, host and port alone, such "
            f"as http://127.0.0.1:8080, not {shown(text)}. Correct or unset it."
        )
    return base


def _client_key(key: str | None) -> str | None:
    if key is None:
        return None
    if not key or any(character not in _HEADER_CHARACTERS for character in key):
        raise ConfigError(
            "environment variable DIARKIS_CLIENT_KEY: must be visible ASCII characters without "
            "spaces, at least one, because it travels in an HTTP header. Correct or unset it."
        )
    return key


_HEADER_CHARACTERS: Final = frozenset(map(chr, range(0x21, 0x7F)))
