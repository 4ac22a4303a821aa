"""
The base class of the sections, and what can be asked about their fields.
"""

from typing import ClassVar

import msgspec
from msgspec import Meta


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Base class of the sections. Each field has a default, so C{{}} is a whole
    section.

    @cvar about: what the section is for, for the documentation.
    """

    about: ClassVar[str]

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
    The C{msgspec.Meta} of a field's type.
    """
    found = getattr(annotated, "__metadata__", (Meta(),))[0]
    assert isinstance(found, Meta)
    return found


def extra(annotated: object, name: str) -> object:
    """
    What a field's C{Meta.extra} says under C{name}; None if nothing.
    """
    return (meta(annotated).extra or {}).get(name)


def is_secret(annotated: object) -> bool:
    """
    Whether the values of a field must not be shown.
    """
    return bool(extra(annotated, "secret"))


def is_reloadable(annotated: object) -> bool:
    """
    Whether SIGHUP applies a new value of a field without a restart.
    """
    return bool(extra(annotated, "reload"))
