"""
Kinds of values that several sections have, and the base class of sections.

A field's C{Annotated} type says everything about its key: type, range and a
description in C{msgspec.Meta}. What a JSON type cannot say is named by
C{Meta.extra}:

    - C{form}: the form of the text, a name in L{FORMS};
    - C{quoted}: the number may come in quotes;
    - C{secret}: the value is never shown, neither in an error nor in a repr.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from diarkis_tw.config.hosts import is_bindable

CONNECTION_TTL_DEFAULT: Final = 10
CONNECTION_TTL_MIN: Final = 10
CONNECTION_TTL_MAX: Final = 65_535
"""ACCEPT carries it as a u16 of seconds."""

MAX_RCV_SIZE_DEFAULT: Final = 8000
MAX_RCV_SIZE_MIN: Final = 256
"""Room for each built-in command, one that names a uid of 128 bytes included."""
MAX_RCV_SIZE_MAX: Final = 1024 * 1024
"""Every client may make the server buffer one whole message of this size."""

_ORIGIN: Final = r"https?://[A-Za-z0-9.\-\[\]:]+"


@dataclass(frozen=True, slots=True)
class Form:
    """
    A form of text that a JSON type cannot express.

    @ivar expected: how an error names it.
    @ivar accepts: whether a text has it.
    """

    expected: str
    accepts: Callable[[str], bool]


FORMS: Final[Mapping[str, Form]] = {
    "address": Form("an IP address of this machine, or localhost", is_bindable),
    "path": Form("a path", lambda text: "\0" not in text),
    "server type": Form(
        "a word of at most 32 letters, digits, _ or -, a letter first",
        lambda text: re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,31}", text) is not None,
    ),
    "mesh name": Form(
        "a word of at most 64 letters, digits, _ or -",
        lambda text: re.fullmatch("[A-Za-z0-9_-]{1,64}", text) is not None,
    ),
    "nats": Form(
        "a URL such as nats://127.0.0.1:4222",
        lambda text: re.fullmatch("(nats|tls)://[!-~]+", text) is not None,
    ),
    "origin": Form(
        "an origin such as https://game.example (no path)",
        lambda text: re.fullmatch(_ORIGIN, text) is not None,
    ),
    "origin or *": Form(
        "an origin such as https://game.example (no path), or *",
        lambda text: re.fullmatch(_ORIGIN + r"|\*", text) is not None,
    ),
    "url": Form(
        "an http:// or https:// URL",
        lambda text: re.fullmatch("https?://[!-~]+", text) is not None,
    ),
}
"""
The empty text stands for "not set" and is not held against the form, except as
an item of a list.
"""

EnableEncryption = Annotated[
    bool,
    Meta(description="Encrypt packets; must be the same in all sections."),
]
Address = Annotated[
    str,
    Meta(
        description="IP address to bind; wins over nic. With neither: 127.0.0.1.",
        extra={"form": "address"},
    ),
]
Nic = Annotated[
    str,
    Meta(description="Network interface whose IPv4 address to bind, such as eth0."),
]
Port = Annotated[
    int,
    Meta(
        ge=0,
        le=65_535,
        description="First port to try, upward up to 100 in all while in use; 0 = any free one.",
        extra={"quoted": True},
    ),
]
ConnectionTtl = Annotated[
    int,
    Meta(
        ge=CONNECTION_TTL_MIN,
        le=CONNECTION_TTL_MAX,
        description="Seconds without a sign of life after which a connection ends.",
    ),
]
MaxRcvSize = Annotated[
    int,
    Meta(
        ge=MAX_RCV_SIZE_MIN,
        le=MAX_RCV_SIZE_MAX,
        description="Largest payload accepted from a client, in bytes.",
    ),
]
NoDelay = Annotated[
    bool,
    Meta(description="Switch off Nagle's algorithm, which holds back small messages."),
]
TlsCertificate = Annotated[
    str,
    Meta(
        description="PEM file of the TLS certificate and its chain, relative to this file.",
        extra={"form": "path"},
    ),
]
TlsPrivateKey = Annotated[
    str,
    Meta(
        description="PEM file of the TLS private key, relative to this file.",
        extra={"form": "path"},
    ),
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Base class of the sections. Each field has a default, so C{{}} is a whole
    section.
    """

    def __repr__(self) -> str:
        shown = (
            f"{field.name}=" + ("***" if is_secret(field.type) else repr(getattr(self, field.name)))
            for field in msgspec.structs.fields(self)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def keys(section: type[Section]) -> list[str]:
    """
    The keys of a section, as a file has them.
    """
    return [field.encode_name for field in msgspec.structs.fields(section)]


def meta(annotated: object) -> Meta:
    """
    The L{Meta} of a field's type.
    """
    found = getattr(annotated, "__metadata__", (Meta(),))[0]
    assert isinstance(found, Meta)
    return found


def extra(annotated: object, name: str) -> object:
    """
    What a field's L{Meta.extra} says under C{name}; None if nothing.
    """
    return (meta(annotated).extra or {}).get(name)


def is_secret(annotated: object) -> bool:
    """
    Whether the values of a field must not be shown.
    """
    return bool(extra(annotated, "secret"))
